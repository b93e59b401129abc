//! Their statuses, and what says the same here.

/// A status of theirs.
pub struct Status {
    /// Its name there, of `CreateTransferStatus` or `CreateAccountStatus`.
    pub theirs: &'static str,
    /// What a caller is told here instead; none where nobody can come to be told.
    pub ours: &'static [&'static str],
    /// Why there is none, or what else there is to know.
    pub why: &'static str,
}

const fn same(theirs: &'static str, ours: &'static [&'static str]) -> Status {
    known(theirs, ours, "")
}

const fn known(theirs: &'static str, ours: &'static [&'static str], why: &'static str) -> Status {
    Status { theirs, ours, why }
}

const fn none(theirs: &'static str, why: &'static str) -> Status {
    known(theirs, &[], why)
}

const INVALID: &str = "`INVALID_ARGUMENT` at the node: it is no account id";
const CONFLICT: &[&str] = &["KEY_CONFLICT"];
const NO_USER_DATA: &str =
    "`KEY_CONFLICT`, naming the reference, memo, external reference or reason";
const ONE_COMMAND: &str = "placing, capturing and releasing are commands of their own";
const DATES: &str = "no imported batches; a command may have an effective date of the past";

/// In their order of precedence.
pub const ALL: &[Status] = &[
    known("created", &["done"], "with a receipt"),
    none(
        "linked_event_failed",
        "a group has one answer: that of the first command that could not be done, and its place",
    ),
    none(
        "linked_event_chain_open",
        "a group is one message, which cannot be left open",
    ),
    none("imported_event_expected", DATES),
    none("imported_event_not_expected", DATES),
    none(
        "timestamp_must_be_zero",
        "a caller cannot name an entry's time",
    ),
    none(
        "imported_event_timestamp_out_of_range",
        "`INVALID_ARGUMENT` at the node: it is no date",
    ),
    known(
        "imported_event_timestamp_must_not_advance",
        &["DATE_IN_FUTURE"],
        "dates, not times",
    ),
    none("reserved_field", "messages have no such fields"),
    none("reserved_flag", "messages have no such fields"),
    none("id_must_not_be_zero", INVALID),
    none("id_must_not_be_int_max", INVALID),
    known(
        "exists_with_different_flags",
        CONFLICT,
        "every conflict names the first field that differs",
    ),
    same("exists_with_different_pending_id", CONFLICT),
    same("exists_with_different_timeout", CONFLICT),
    none(
        "exists_with_different_debit_account_id",
        "keys are scoped to the account that a command names first: with another it is another key",
    ),
    same("exists_with_different_credit_account_id", CONFLICT),
    same("exists_with_different_amount", CONFLICT),
    none("exists_with_different_user_data_128", NO_USER_DATA),
    none("exists_with_different_user_data_64", NO_USER_DATA),
    none("exists_with_different_user_data_32", NO_USER_DATA),
    same("exists_with_different_ledger", CONFLICT),
    none("exists_with_different_code", NO_USER_DATA),
    known(
        "exists",
        &["again", "ACCOUNT_EXISTS"],
        "the recorded outcome, with the receipt of the first time; a second opening of an account under another key is refused",
    ),
    known(
        "id_already_failed",
        &["again", "KEY_CONFLICT"],
        "every recorded refusal, not some of them, is answered again for as long as its key is known",
    ),
    none("flags_are_mutually_exclusive", ONE_COMMAND),
    none("debit_account_id_must_not_be_zero", INVALID),
    none("debit_account_id_must_not_be_int_max", INVALID),
    none("credit_account_id_must_not_be_zero", INVALID),
    none("credit_account_id_must_not_be_int_max", INVALID),
    same("accounts_must_be_different", &["SAME_ACCOUNT"]),
    none("pending_id_must_be_zero", ONE_COMMAND),
    none(
        "pending_id_must_not_be_zero",
        "`INVALID_ARGUMENT` at the node: it is no hold",
    ),
    none(
        "pending_id_must_not_be_int_max",
        "`INVALID_ARGUMENT` at the node: it is no hold",
    ),
    none(
        "pending_id_must_be_different",
        "a caller does not choose the id of a transaction",
    ),
    none("timeout_reserved_for_pending_transfer", ONE_COMMAND),
    none(
        "closing_transfer_must_be_pending",
        "closing and freezing are commands of their own",
    ),
    none(
        "debits_pending_must_be_zero",
        "an account begins empty: a balance cannot be asked for",
    ),
    none("debits_posted_must_be_zero", "as before"),
    none("credits_pending_must_be_zero", "as before"),
    none("credits_posted_must_be_zero", "as before"),
    none(
        "ledger_must_not_be_zero",
        "`INVALID_ARGUMENT` at the node: it is no currency",
    ),
    none("code_must_not_be_zero", "a reason may be left out"),
    known(
        "debit_account_not_found",
        &["ACCOUNT_NOT_FOUND"],
        "recorded under its key",
    ),
    same("credit_account_not_found", &["ACCOUNT_NOT_FOUND"]),
    known(
        "accounts_must_have_the_same_ledger",
        &["CURRENCY_MISMATCH"],
        "a ledger of theirs is a currency here",
    ),
    same(
        "transfer_must_have_the_same_ledger_as_accounts",
        &["CURRENCY_MISMATCH"],
    ),
    none(
        "pending_transfer_not_found",
        "`HOLD_NOT_FOUND`, as for the next",
    ),
    known(
        "pending_transfer_not_pending",
        &["HOLD_NOT_FOUND"],
        "a hold is known by the transaction that placed it",
    ),
    same(
        "pending_transfer_has_different_debit_account_id",
        &["HOLD_NOT_FOUND"],
    ),
    none(
        "pending_transfer_has_different_credit_account_id",
        "a hold has no payee: each capture names one",
    ),
    same(
        "pending_transfer_has_different_ledger",
        &["CURRENCY_MISMATCH"],
    ),
    none(
        "pending_transfer_has_different_code",
        "a capture's reason is its own",
    ),
    known(
        "exceeds_pending_transfer_amount",
        &["HOLD_EXCEEDED"],
        "with what remains and what was asked for",
    ),
    none(
        "pending_transfer_has_different_amount",
        "a release names no amount",
    ),
    known(
        "pending_transfer_already_posted",
        &["HOLD_ENDED"],
        "with what it gave back",
    ),
    known(
        "pending_transfer_already_voided",
        &["HOLD_ENDED", "NOT_FROZEN"],
        "where the pending transfer was a closing one, it is a freeze that is not there any more",
    ),
    known(
        "pending_transfer_expired",
        &["HOLD_EXPIRED"],
        "for 60 days; then nobody remembers the hold",
    ),
    none("imported_event_timestamp_must_not_regress", DATES),
    known(
        "imported_event_timestamp_must_postdate_debit_account",
        &["DATE_BEFORE_OPENING"],
        "dates, not times",
    ),
    known(
        "imported_event_timestamp_must_postdate_credit_account",
        &["DATE_BEFORE_OPENING"],
        "dates, not times",
    ),
    none("imported_event_timeout_must_be_zero", DATES),
    known(
        "debit_account_already_closed",
        &["ACCOUNT_CLOSED", "ACCOUNT_FROZEN"],
        "for ever, or for a while",
    ),
    same(
        "credit_account_already_closed",
        &["ACCOUNT_CLOSED", "ACCOUNT_FROZEN"],
    ),
    known(
        "overflows_debits_pending",
        &["BALANCE_OVERFLOW"],
        "a hold has room for its capture when it is placed",
    ),
    none(
        "overflows_credits_pending",
        "a hold does not show with a payee",
    ),
    known(
        "overflows_debits_posted",
        &["BALANCE_OVERFLOW"],
        "one signed number of 64 bits; theirs are four of 128",
    ),
    same("overflows_credits_posted", &["BALANCE_OVERFLOW"]),
    same("overflows_debits", &["BALANCE_OVERFLOW"]),
    none("overflows_credits", "`BALANCE_OVERFLOW`, as before"),
    none(
        "overflows_timeout",
        "`INVALID_ARGUMENT` at the node: a hold lasts 31 days at most",
    ),
    known(
        "exceeds_credits",
        &["INSUFFICIENT_FUNDS", "BALANCE_BELOW_MINIMUM"],
        "by the account's limit, or by a condition of the command; with what is available",
    ),
    known(
        "exceeds_debits",
        &["BALANCE_ABOVE_MAXIMUM"],
        "a condition of the command: accounts have no bound above",
    ),
];
