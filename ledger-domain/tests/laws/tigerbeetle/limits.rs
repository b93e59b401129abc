//! How far an account may go: their flags on its balances, our limits.

use super::Case;

pub const CASES: &[Case] = &[
    Case {
        theirs: "create_transfers/lookup_transfers; debits_must_not_exceed_credits",
        differs: "\
A limit is an amount, not a flag: what is available is the balance, less what is held, plus the overdraft that the account may \
have. It is changed by a command, and where that leaves the account beyond it, the account takes only credits.",
        script: "
            open a                                => done                 ~ created
            open b limit 50                       => done
            deposit a 10                          => done
            hold a 4 as h                         => done                 ~ created
            withdraw a 7                          => INSUFFICIENT_FUNDS 6 7 ~ exceeds_credits
            withdraw a 6                          => done                 ~ created
            capture h all to b                    => done                 ~ created
            withdraw b 54                         => done
            balance b -50
            withdraw b 1                          => INSUFFICIENT_FUNDS 0 1
            limit b 20                            => done
            withdraw b 1                          => ACCOUNT_IN_EXCESS -30
            hold b 1                              => ACCOUNT_IN_EXCESS -30
            deposit b 40                          => done
            withdraw b 11                         => INSUFFICIENT_FUNDS 10 11
            withdraw b 11 forced                  => done
            balance b -21
        ",
    },
    Case {
        theirs: "create_transfers/lookup_transfers; credits_must_not_exceed_debits",
        differs: "\
Accounts of ours have no bound above: those that have a debit balance are the bank's own, which have no limits. An expected \
maximum is a condition of the command.",
        script: "
            open a                                => done
            deposit a 100 most 100                 => done                 ~ created
            deposit a 1 most 100                   => BALANCE_ABOVE_MAXIMUM 101 100 ~ exceeds_debits
            house cash -100
            deposit a 1 from equity               => done
            house equity -1
            deposit a 1 from in-transit:2         => HOUSE_ACCOUNT_RESERVED
        ",
    },
    Case {
        theirs: "create_transfers/lookup_transfers; exceeds_credits counts what is pending",
        differs: "",
        script: "
            open a                                => done
            open b                                => done
            deposit a 10                          => done
            hold a 6 for 1s as h                  => done                 ~ created
            hold a 5                              => INSUFFICIENT_FUNDS 4 5 ~ exceeds_credits
            transfer a b 5                        => INSUFFICIENT_FUNDS 4 5 ~ exceeds_credits
            raise h 5                             => INSUFFICIENT_FUNDS 4 5
            raise h 4                             => done
            transfer a b 1                        => INSUFFICIENT_FUNDS 0 1 ~ exceeds_credits
            wait 1s
            transfer a b 10                       => done                 ~ created
        ",
    },
];
