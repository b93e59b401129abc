//! Accounts that take part in nothing any more, for ever or for a while.

use super::Case;

pub const CASES: &[Case] = &[
    Case {
        theirs: "create_accounts: closed accounts",
        differs: "An account is opened to be used. It is not opened closed.",
        script: "
            open a                                => done
            close a key k                         => done
            close a key k                         => again done           ~ exists
            closed a
            open a                                => ACCOUNT_EXISTS       ~ exists
        ",
    },
    Case {
        theirs: "create_transfers: closing accounts",
        differs: "\
Closing is a command of its own, about an account that has nothing left, and for ever. What they do with a closing transfer \
that is voided or runs out, an account shut for a while, is a freeze here: it keeps the balance, says why, is lifted or is over \
by itself, and one on top of another takes its place.",
        script: "
            open a unlimited                      => done
            open b                                => done
            open c                                => done
            deposit c 20                          => done
            transfer a b 15                       => done                 ~ created
            close a                               => BALANCE_NOT_ZERO -15 ~! created

            freeze a key k2                       => done                 ~ created
            freeze a key k2                       => again done           ~ exists
            transfer a b 5 key k3                 => ACCOUNT_FROZEN until it is lifted   ~ debit_account_already_closed
            transfer a b 5 key k3                 => again ACCOUNT_FROZEN until it is lifted ~ id_already_failed
            transfer b a 5                        => ACCOUNT_FROZEN until it is lifted   ~ credit_account_already_closed
            balance a -15
            thaw a key k6                         => done                 ~ created
            thaw a key k6                         => again done           ~ exists
            thaw a                                => NOT_FROZEN 5         ~ pending_transfer_already_voided
            transfer a b 5                        => done                 ~ created
            balance a -20
            balance b 20

            hold a 10 for 2s as h8                => done                 ~ created
            hold a 10 as h9                       => done                 ~ created
            freeze b for 4s                       => done                 ~ created
            capture h9 10 to b                    => ACCOUNT_FROZEN for a while ~ credit_account_already_closed
            release h9                            => done                 ~ created
            freeze b for 4s                       => done                 ~! credit_account_already_closed
            balance a -20 held 10
            wait 2s
            balance a -20
            transfer a b 1                        => ACCOUNT_FROZEN for a while ~ credit_account_already_closed
            wait 2s
            transfer a b 1                        => done                 ~ created
            balance b 21
        ",
    },
    Case {
        theirs: "create_transfers: closing accounts; for ever",
        differs: "Neither holds nor money are left in a closed account; nothing opens it again.",
        script: "
            open a                                => done
            open b                                => done
            open c                                => done
            deposit a 20                          => done
            deposit c 20                          => done
            hold a 20 as h                        => done                 ~ created
            close a                               => HOLDS_OPEN 20        ~! created
            capture h 20 to b                     => done                 ~ created
            close a                               => done                 ~ created
            transfer a b 5                        => ACCOUNT_CLOSED       ~ debit_account_already_closed
            transfer c a 5                        => ACCOUNT_CLOSED       ~ credit_account_already_closed
            capture h 1 to b                      => ACCOUNT_CLOSED       ~ debit_account_already_closed
            close a                               => ACCOUNT_CLOSED       ~ debit_account_already_closed
            thaw a                                => ACCOUNT_CLOSED       ~! created
            closed a
            balance a 0
            balance b 20
        ",
    },
];
