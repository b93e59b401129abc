//! Money set aside first and paid later: their pending transfers, our holds.

use super::Case;

pub const CASES: &[Case] = &[
    Case {
        theirs: "create/lookup 2-phase transfers",
        differs: "\
A hold names no payee: the capture does, and so the payee shows nothing before it. A capture that takes less than all leaves \
the rest held, for the next one, unless it says that it is the last. Nothing is captured by an amount of zero: that is a \
release, and a release gives back all. What a hold was captured or released for is told by its figures, not by two codes.",
        script: "
            open a unlimited                      => done
            open b                                => done
            open c                                => done

            transfer a b 15 as t                  => done                 ~ created
            hold a 15 for 1000s as h2             => done                 ~ created
            hold a 15 for 50s as h3               => done                 ~ created
            hold a 15 for 1s as h4                => done                 ~ created
            hold a 7 for 50s as h5                => done                 ~ created
            hold a 1 as h6                        => done                 ~ created
            hold a 1 as h7                        => done                 ~ created
            balance a -15 held 54
            balance b 15
            wait 1s
            balance a -15 held 39

            capture h2 13 to b last key k1        => done                 ~ created
            capture h2 14 to b last key k1        => KEY_CONFLICT amount  ~ exists_with_different_amount
            capture h2 all to b last key k1       => KEY_CONFLICT amount  ~ exists_with_different_amount
            capture h3 13 to b last key k1        => KEY_CONFLICT hold    ~ exists_with_different_pending_id
            release h2 key k1                     => KEY_CONFLICT command ~ exists_with_different_flags
            capture h2 13 to b last key k1        => again done           ~ exists
            balance a -28 held 24

            capture t 15 to b                     => HOLD_NOT_FOUND       ~ pending_transfer_not_pending
            release h3 of c                       => HOLD_NOT_FOUND       ~ pending_transfer_has_different_debit_account_id
            capture h3 15 in JPY to b             => CURRENCY_MISMATCH    ~ pending_transfer_has_different_ledger
            capture h3 16 to b                    => HOLD_EXCEEDED 15 16  ~ exceeds_pending_transfer_amount
            capture h2 13 to b                    => HOLD_ENDED 2 13      ~ pending_transfer_already_posted
            release h3                            => done                 ~ created
            capture h3 13 to b                    => HOLD_ENDED 15 13     ~ pending_transfer_already_voided
            release h4                            => HOLD_EXPIRED 15 15   ~ pending_transfer_expired

            capture h5 8 to b                     => HOLD_EXCEEDED 7 8    ~ exceeds_pending_transfer_amount
            capture h5 all to b key k5            => done                 ~ created
            capture h5 all to b key k5            => again done           ~ exists
            capture h5 7 to b key k5              => KEY_CONFLICT amount  ~! exists
            capture h6 all to b                   => done                 ~ created
            capture h7 0 to b                     => no amount            ~! created
            release h7                            => done                 ~ created
            balance a -36
            balance b 36
        ",
    },
    Case {
        theirs: "create/lookup 2-phase transfers (amount=maxInt)",
        differs: "All that is held is asked for by leaving the amount out, not by the largest number there is.",
        script: "
            open a unlimited                      => done
            open b                                => done
            hold a max as h                       => done                 ~ created
            hold a 1                              => BALANCE_OVERFLOW 0   ~ overflows_debits_pending
            balance a 0 held max
            capture h all to b key k              => done                 ~ created
            capture h all to b key k              => again done           ~ exists
            balance a -9223372036854775807
            balance b max
        ",
    },
    Case {
        theirs: "create/lookup expired transfers",
        differs: "\
A hold without a time lasts seven days: none lasts for ever, and 31 days is the most that may be asked for. That it is over is \
written into the log, by the first entry at or after its time. What is presented late all the same can be forced, by whoever may.",
        script: "
            open a unlimited                      => done
            open b                                => done
            hold a 10 as h1                       => done                 ~ created
            hold a 11 for 1s as h2                => done                 ~ created
            hold a 12 for 2s as h3                => done                 ~ created
            hold a 13 for 3s as h4                => done                 ~ created
            balance a 0 held 46
            wait 1s
            balance a 0 held 35
            wait 1s
            balance a 0 held 23
            wait 1s
            balance a 0 held 10

            capture h1 10 to b                    => done                 ~ created
            capture h2 11 to b                    => HOLD_EXPIRED 11 11   ~ pending_transfer_expired
            capture h3 12 to b                    => HOLD_EXPIRED 12 12   ~ pending_transfer_expired
            capture h4 13 to b                    => HOLD_EXPIRED 13 13   ~ pending_transfer_expired
            balance a -10
            balance b 10

            hold a 5 as h5                        => done
            wait 7d
            capture h5 5 to b                     => HOLD_EXPIRED 5 5     ~! created
            capture h5 5 to b forced              => done                 ~! pending_transfer_expired
            balance a -15
        ",
    },
];
