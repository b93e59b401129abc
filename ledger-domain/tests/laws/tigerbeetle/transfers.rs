//! What speaks against an account or a transfer, and what is told of several reasons.

use super::Case;

pub const CASES: &[Case] = &[
    Case {
        theirs: "create_accounts",
        differs: "\
An account begins empty and open, and says so by having no words for anything else. A second account of the same id is \
refused whether or not it would be the same; whoever asks again under the same key is told again that it was opened.",
        script: "
            open a limit 5 key k                  => done                 ~ created
            open a limit 6 key k                  => KEY_CONFLICT limit   ~ exists_with_different_flags
            open a in JPY limit 5 key k           => KEY_CONFLICT currency ~ exists_with_different_ledger
            open a limit 5 key k                  => again done           ~ exists
            open a limit 5                        => ACCOUNT_EXISTS       ~ exists
            nobody b
        ",
    },
    Case {
        theirs: "create_transfers/lookup_transfers",
        differs: "\
One code for an account that is not there, on whichever side, and one for another currency: the sentence of the refusal says \
the rest. A balance is one number of 64 bits, and there is one code for leaving it. Nobody moves zero.",
        script: "
            open a unlimited                      => done                 ~ created
            open b unlimited in JPY               => done                 ~ created
            open c unlimited                      => done                 ~ created
            open d                                => done                 ~ created
            open e                                => done                 ~ created
            deposit c 210                         => done
            deposit d 200                         => done
            hold d 2                              => done

            transfer h h 9                        => SAME_ACCOUNT         ~ accounts_must_be_different
            transfer h g 9 key k1                 => ACCOUNT_NOT_FOUND    ~ debit_account_not_found
            transfer h g 9 key k1                 => again ACCOUNT_NOT_FOUND ~ id_already_failed
            transfer a g 9 key k2                 => ACCOUNT_NOT_FOUND    ~ credit_account_not_found
            transfer a c 9 key k2                 => KEY_CONFLICT to_account ~ id_already_failed
            transfer a b 1                        => CURRENCY_MISMATCH    ~ accounts_must_have_the_same_ledger
            transfer a c 1 in JPY                 => CURRENCY_MISMATCH    ~ transfer_must_have_the_same_ledger_as_accounts
            transfer a c max-209                  => BALANCE_OVERFLOW 210 ~ overflows_credits_posted
            transfer a c max-210                  => done                 ~ created
            transfer a d max                      => BALANCE_OVERFLOW -9223372036854775597 ~ overflows_debits_posted
            hold a max-209                        => BALANCE_OVERFLOW -9223372036854775597 ~ overflows_debits
            transfer c a max-210                  => done                 ~ created
            transfer d e 199 key k3               => INSUFFICIENT_FUNDS 198 199 ~ exceeds_credits
            transfer d e 199 key k3               => again INSUFFICIENT_FUNDS 198 199 ~ id_already_failed
            transfer a c 123 key k4               => done                 ~ created

            transfer a c 123 in JPY key k4        => KEY_CONFLICT currency ~ exists_with_different_ledger
            transfer a d 123 key k4               => KEY_CONFLICT to_account ~ exists_with_different_credit_account_id
            transfer a c 124 key k4               => KEY_CONFLICT amount  ~ exists_with_different_amount
            transfer a c 123 key k4               => again done           ~ exists
            transfer c a 7                        => done                 ~ created
            transfer a c 3                        => done                 ~ created
            transfer a c 0                        => no amount            ~! created
            balance a -119
            balance c 329
        ",
    },
    Case {
        theirs: "create_transfers/lookup_transfers; idempotence is checked first",
        differs: "\
A key belongs to its caller and to the account that the command names first: with another payer it is another key, and not a \
conflict. How long a hold was to last is a part of what was asked.",
        script: "
            open a unlimited                      => done
            open b unlimited                      => done
            hold a 5 for 1s as h key k            => done                 ~ created
            hold a 5 for 2s key k                 => KEY_CONFLICT expires_after ~ exists_with_different_timeout
            hold a 5 for 1s key k                 => again done           ~ exists
            hold b 5 for 1s key k                 => done                 ~! exists_with_different_debit_account_id
            wait 1s
            hold a 5 for 1s key k                 => again done           ~ exists
            balance a 0
            balance b 0
        ",
    },
    Case {
        theirs: "create_transfers/lookup_transfers; errors by descending precedence",
        differs: "\
The order of our reasons is that of the page of codes. In it, too, what is wrong with the command comes before what is wrong \
with the accounts, and that before balances.",
        script: "
            open a                                => done
            open b in JPY                         => done
            open c                                => done
            close c                               => done
            transfer h h 9 on 1 least 0             => SAME_ACCOUNT         ~ accounts_must_be_different
            transfer h g 9 on 1                   => DATE_IN_FUTURE 20001 20000 ~ imported_event_timestamp_must_not_advance
            transfer a h 9 in JPY                 => ACCOUNT_NOT_FOUND    ~ credit_account_not_found
            transfer a c 9 in JPY                 => ACCOUNT_CLOSED       ~! transfer_must_have_the_same_ledger_as_accounts
            transfer a b 9                        => CURRENCY_MISMATCH    ~ accounts_must_have_the_same_ledger
            transfer a c 9                        => ACCOUNT_CLOSED       ~ credit_account_already_closed
            deposit a 9 on -1                     => DATE_BEFORE_OPENING 19999 20000 ~ imported_event_timestamp_must_postdate_credit_account
            withdraw a 9 on -1                    => DATE_BEFORE_OPENING 19999 20000 ~ imported_event_timestamp_must_postdate_debit_account
        ",
    },
    Case {
        theirs: "create_transfers/lookup_transfers: failed transfer does not exist",
        differs: "\
Theirs leaves nothing behind. With us a refusal that rests on the state of accounts is an outcome: it is in the log, and its \
key answers it again.",
        script: "
            open a                                => done
            open b                                => done
            deposit a 20                          => done
            transfer a b 15                       => done                 ~ created
            transfer a b 15 key k                 => INSUFFICIENT_FUNDS 5 15 ~ exceeds_credits
            deposit a 100                         => done
            transfer a b 15 key k                 => again INSUFFICIENT_FUNDS 5 15 ~ id_already_failed
            balance a 105
            balance b 15
        ",
    },
];
