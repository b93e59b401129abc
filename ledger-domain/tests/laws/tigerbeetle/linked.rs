//! Several at once, all or none: their linked chains, our groups.

use super::Case;

/// What is different in all of them.
const ONE_ANSWER: &str = "\
A chain of theirs is a flag on each of its events but the last, among others in a batch, and each event has an answer. A group \
of ours is one command with one key: it is done, or it is refused for the first command that could not be done, with its \
code and its place. That is recorded under the group's key and answered again; the keys of the others are as unused as before.";

pub const CASES: &[Case] = &[
    Case {
        theirs: "linked accounts",
        differs: ONE_ANSWER,
        script: "
            open h                                                  => done     ~ created
            together open a; open b; open a; open c                 => ACCOUNT_EXISTS in 3 ~ exists
            nobody a
            nobody b
            nobody c
            open a                                                  => done     ~ created
            together open a limit 5; open b                         => ACCOUNT_EXISTS in 1 ~! exists_with_different_flags
            nobody b
            open b                                                  => done     ~ created
            together open c; open a in JPY                          => ACCOUNT_EXISTS in 2 ~! exists_with_different_ledger
            nobody c
            together open c; open d                                 => done     ~ created
            balance d 0
        ",
    },
    Case {
        theirs: "create_transfers: failed linked-chains are undone",
        differs: ONE_ANSWER,
        script: "
            open a unlimited                                        => done
            open b                                                  => done
            open c in JPY                                           => done
            together transfer a b 15 key g; transfer a c 15 key k   => CURRENCY_MISMATCH in 2 ~ accounts_must_have_the_same_ledger
            together transfer a b 15 key g; transfer a c 15 key k   => again CURRENCY_MISMATCH in 2 ~ id_already_failed
            together hold a 15 for 1s; transfer a c 15              => CURRENCY_MISMATCH in 2 ~ accounts_must_have_the_same_ledger
            balance a 0
            balance b 0
            wait 1s
            balance a 0
            transfer a b 1 key k                                    => done     ~ created
            balance b 1
        ",
    },
    Case {
        theirs: "create_transfers: failed linked-chains are undone within a commit",
        differs: "",
        script: "
            open a                                                  => done
            open b                                                  => done
            open c in JPY                                           => done
            deposit a 20                                            => done
            together transfer a b 15; transfer a c 5                => CURRENCY_MISMATCH in 2 ~ accounts_must_have_the_same_ledger
            transfer a b 15                                         => done     ~ created
            balance a 5
            balance b 15
        ",
    },
    Case {
        theirs: "create_transfers: multiple debits, single credit, balancing debits",
        differs: "\
Theirs takes from each account what it has until there is enough, by way of accounts that only count. Ours is told how much to take \
from each; whoever has not enough refuses all of it.",
        script: "
            open a                                                  => done
            open b                                                  => done
            open c                                                  => done
            open f                                                  => done
            deposit a 40                                            => done
            deposit b 40                                            => done
            deposit c 19                                            => done
            together transfer a f 40; transfer b f 40; transfer c f 20 => INSUFFICIENT_FUNDS 19 20 in 3 ~ exceeds_credits
            balance a 40
            balance f 0
            deposit c 2                                             => done
            together transfer a f 40; transfer b f 40; transfer c f 20 => done     ~ created
            balance a 0
            balance b 0
            balance c 1
            balance f 100
        ",
    },
    Case {
        theirs: "create_transfers: per-transfer balance invariant; a chain sees its own events",
        differs: "A hold's id is the place of its transaction: a group cannot capture what it places.",
        script: "
            open a                                                  => done
            open b                                                  => done
            deposit a 40                                            => done
            together transfer a b 40; transfer b a 30; transfer a b 30 => done  ~ created
            balance a 0
            balance b 40
            together transfer b a 40; transfer b a 1                => INSUFFICIENT_FUNDS 0 1 in 2 ~ exceeds_credits
            balance b 40
        ",
    },
];
