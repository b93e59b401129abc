//! Transfers of as much as there is: they have flags, we have conditions and dry runs.

use super::Case;

/// Why there is no such flag.
const NO_FLAG: &str = "\
A command's amount is what it says, and its receipt, its retry and its statement line can never say another. As much as there is \
is asked for in two steps: a refusal, also that of a dry run, says what is available; the command then names that amount, and \
the version at which it was so. Whoever comes between is noticed, and nothing is moved.";

pub const CASES: &[Case] = &[
    Case {
        theirs: "create_transfers: balancing_debit | balancing_credit (*_must_not_exceed_*)",
        differs: NO_FLAG,
        script: "
            open a                                => done
            open b                                => done
            deposit a 10                          => done
            hold a 1                              => done

            transfer a b 3                        => done                 ~ created
            dry transfer a b 13                   => INSUFFICIENT_FUNDS 6 13 ~! created
            deposit a 2                           => done
            transfer a b 6 version 4              => VERSION_MISMATCH 5 4
            dry transfer a b 13 version 5         => INSUFFICIENT_FUNDS 8 13
            transfer a b 8 version 5 key k        => done
            transfer a b 8 version 5 key k        => again done           ~ exists
            transfer a b 9 version 6 key k        => KEY_CONFLICT amount  ~! exists
            transfer a b 1                        => INSUFFICIENT_FUNDS 0 1 ~! created
            balance a 1 held 1
            balance b 11
        ",
    },
    Case {
        theirs: "create_transfers: balancing_debit | balancing_credit (*_must_not_exceed_*, exceeds_*)",
        differs: "\
An account of ours has a bound below and none above. What a payee may have at most is a condition of a payment in.",
        script: "
            open a                                => done
            deposit a 4 most 4                     => done
            deposit a 1 most 4                     => BALANCE_ABOVE_MAXIMUM 5 4 ~ exceeds_debits
            withdraw a 10                         => INSUFFICIENT_FUNDS 4 10 ~ exceeds_credits
            balance a 4
        ",
    },
    Case {
        theirs: "create_transfers: balancing_debit | balancing_credit (¬*_must_not_exceed_*)",
        differs: "\
Where an account may go as far below zero as it likes, a condition sets the bound that a flag of theirs would.",
        script: "
            open a unlimited                      => done
            open b                                => done
            deposit a 10                          => done
            dry transfer a b 99 least 0             => BALANCE_BELOW_MINIMUM -89 0 ~! created
            transfer a b 10 least 0                 => done                 ~ created
            transfer a b 1 least 0                  => BALANCE_BELOW_MINIMUM -1 0 ~! created
            balance a 0
            balance b 10
        ",
    },
    Case {
        theirs: "create_transfers: balancing_debit | balancing_credit (amount=0)",
        differs: "Nobody moves zero: there is no such amount.",
        script: "
            open a                                => done
            open b                                => done
            transfer a b 0                        => no amount            ~! created
            hold a 0                              => no amount            ~! created
            balance a 0
        ",
    },
    Case {
        theirs: "create_transfers: balancing_debit | balancing_credit (amount=maxInt, balance≈maxInt)",
        differs: "",
        script: "
            open a                                => done
            open b                                => done
            deposit a max-1                       => done
            dry transfer a b max                  => INSUFFICIENT_FUNDS 9223372036854775806 9223372036854775807
            transfer a b max-1                    => done                 ~ created
            balance a 0
            balance b max-1
        ",
    },
    Case {
        theirs: "create_transfers: balancing_debit/balancing_credit + pending",
        differs: "A hold is of the amount it says, as a payment is.",
        script: "
            open a                                => done
            open b                                => done
            deposit a 10                          => done
            hold a 3 as h1                        => done                 ~ created
            dry hold a 13                         => INSUFFICIENT_FUNDS 7 13 ~! created
            hold a 7 version 3 as h2              => done
            hold a 1                              => INSUFFICIENT_FUNDS 0 1 ~! created
            balance a 10 held 10
            capture h1 3 to b                     => done                 ~ created
            capture h2 5 to b                     => done                 ~ created
            balance a 2 held 2
            balance b 8
        ",
    },
    Case {
        theirs: "create_transfers: per-transfer balance invariant",
        differs: "\
Theirs is a recipe of three linked transfers through an account that has the flag. Ours is a condition of the one command, and \
works for every command, not for an account.",
        script: "
            open a unlimited                      => done
            open b                                => done
            deposit a 40                          => done
            transfer a b 41 least 0                 => BALANCE_BELOW_MINIMUM -1 0 ~ exceeds_credits
            transfer a b 40 least 0                 => done                 ~ created
            balance a 0
            deposit b 1 most 40                    => BALANCE_ABOVE_MAXIMUM 41 40 ~ exceeds_debits
            balance b 40
        ",
    },
];
