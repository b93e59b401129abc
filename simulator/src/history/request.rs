//! What clients ask, in words of their own.

use super::{
    asked::{Channel, Conditions, Freeze, Name},
    journals::Leg,
};

/// What is asked about who a customer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Person {
    /// To keep a profile, made of the key of the command.
    Profile,
    /// Not to forget it, whatever else allows it.
    Hold,
    /// That the law lets it be forgotten.
    Lift,
    /// To forget it for ever.
    Erase,
}

/// What a client asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Pay in.
    Deposit {
        /// The account.
        account: String,
        /// How much; positive.
        amount: i64,
    },
    /// Pay out.
    Withdraw {
        /// The account.
        account: String,
        /// How much; positive.
        amount: i64,
    },
    /// Move between two accounts.
    Transfer {
        /// Who pays.
        payer: String,
        /// Who is paid.
        payee: String,
        /// How much; positive.
        amount: i64,
    },
    /// Close an account for ever.
    Close {
        /// The account.
        account: String,
        /// Who gets what is left in it; nothing may be left where nobody is named.
        sweep: Option<String>,
    },
    /// Take an item out of suspense.
    Clear {
        /// Whose it is.
        account: String,
        /// What the ledger calls it: the transaction that put it there.
        item: String,
        /// Who gets it.
        to: String,
    },
    /// Move back what an earlier command moved, or a part of it.
    Reverse {
        /// The account that it names.
        account: String,
        /// What is to be moved back.
        original: Name,
        /// Who was paid by it; the bank's cash where nobody is said. Nobody of a journal.
        from: Option<String>,
        /// Who paid it; the bank's cash where nobody is said. Nobody of a journal.
        to: Option<String>,
        /// How much; all that was not moved back before where it is not said. Never of a journal.
        amount: Option<i64>,
        /// As a journal, where they are of two shards: then it is said how much. Of a journal its
        /// opposite. Empty otherwise.
        legs: Vec<Leg>,
    },
    /// Debit and credit accounts anywhere, all of them or none.
    Journal {
        /// Two or more, at least one on a customer's account.
        legs: Vec<Leg>,
        /// The rate, of an exchange.
        rate: Option<String>,
        /// Whether to wait until it is posted or cancelled.
        waits: bool,
    },
    /// Set money aside.
    Hold {
        /// The account.
        account: String,
        /// How much; positive.
        amount: i64,
        /// For how long, in milliseconds; 0 for as long as usual.
        life_ms: u64,
    },
    /// Set more aside under a hold.
    Raise {
        /// The account.
        account: String,
        /// The hold.
        hold: Name,
        /// How much more; positive.
        amount: i64,
    },
    /// Pay out of a hold.
    Capture {
        /// The account.
        account: String,
        /// The hold.
        hold: Name,
        /// How much; all that it holds where it is not said.
        amount: Option<i64>,
        /// Who is paid; the bank's cash where it is not said.
        payee: Option<String>,
        /// Whether what remains is given back.
        is_last: bool,
    },
    /// Give back what a hold holds.
    Release {
        /// The account.
        account: String,
        /// The hold.
        hold: Name,
    },
    /// Freeze an account, in place of what froze it before.
    Freeze {
        /// The account.
        account: String,
        /// What it stops.
        freeze: Freeze,
    },
    /// Lift what froze an account.
    Unfreeze {
        /// The account.
        account: String,
    },
    /// Change how far below zero an account may go.
    SetLimit {
        /// The account.
        account: String,
        /// How far; zero or positive.
        limit: i64,
    },
    /// Change how much may be spent by a channel.
    LimitSpending {
        /// The account.
        account: String,
        /// By which.
        channel: Channel,
        /// The most at once; as much as one likes where it is not said.
        at_once: Option<i64>,
        /// The most on one day; likewise.
        a_day: Option<i64>,
    },
    /// Let a reference stand for an account; or for nobody any more.
    Refer {
        /// The account.
        account: String,
        /// The reference, of the account's region.
        reference: String,
        /// Whether it is to stand for it no longer.
        releases: bool,
    },
    /// Make a customer known.
    Register {
        /// The customer.
        customer: String,
    },
    /// Let a customer have an account; or no longer.
    Attach {
        /// The customer.
        customer: String,
        /// The account, which may be nobody's.
        account: String,
        /// Whether it is to have it no longer.
        detaches: bool,
    },
    /// Say who a customer is, or see to whether it may be forgotten.
    Person {
        /// The customer.
        customer: String,
        /// What is asked.
        asks: Person,
    },
    /// Close a day, and all days before it, in one shard.
    CloseDay {
        /// The name of the shard's books, in place of an account.
        books: String,
        /// The shard.
        shard: u32,
        /// The day, counted from 1970-01-01.
        day: i32,
    },
    /// Pay in, pay out or move, as of a day.
    Dated {
        /// The day, counted from 1970-01-01.
        day: i32,
        /// Also where that is closed.
        into_closed_day: bool,
        /// What is to be done.
        request: Box<Request>,
    },
    /// Ask by a channel.
    Through {
        /// By which.
        channel: Channel,
        /// What is to be done.
        request: Box<Request>,
    },
    /// Pay out or move, whatever is left.
    Forced {
        /// What is to be done.
        request: Box<Request>,
    },
    /// One of several that are done together, in their order, or not at all.
    Grouped {
        /// The group.
        group: String,
        /// Those that come before it, with their keys.
        before: Vec<(String, Request)>,
        /// What is to be done.
        request: Box<Request>,
    },
    /// Ask for a balance that is true now.
    StrongRead {
        /// The account.
        account: String,
    },
    /// Do something, but only if the account that it names first is as expected.
    Provided {
        /// What must be so.
        conditions: Conditions,
        /// What is to be done.
        request: Box<Request>,
    },
}

impl Request {
    /// What is to be done, whatever it depends on.
    #[must_use]
    pub fn bare(&self) -> &Request {
        match self {
            Request::Provided { request, .. }
            | Request::Forced { request }
            | Request::Through { request, .. }
            | Request::Dated { request, .. }
            | Request::Grouped { request, .. } => request.bare(),
            request => request,
        }
    }

    /// Whether it is to be done whatever is left.
    #[must_use]
    pub fn is_forced(&self) -> bool {
        match self {
            Request::Provided { request, .. }
            | Request::Through { request, .. }
            | Request::Dated { request, .. }
            | Request::Grouped { request, .. } => request.is_forced(),
            request => matches!(request, Request::Forced { .. }),
        }
    }

    /// What it depends on.
    #[must_use]
    pub fn conditions(&self) -> Conditions {
        match self {
            Request::Provided { conditions, .. } => *conditions,
            Request::Grouped { request, .. }
            | Request::Through { request, .. }
            | Request::Dated { request, .. } => request.conditions(),
            _ => Conditions::default(),
        }
    }

    /// The account, or customer, that it names first: the payer of a transfer, the first customer's of a journal.
    #[must_use]
    pub fn named_first(&self) -> &str {
        match self {
            Request::Deposit { account, .. }
            | Request::Withdraw { account, .. }
            | Request::Close { account, .. }
            | Request::Clear { account, .. }
            | Request::Reverse { account, .. }
            | Request::Hold { account, .. }
            | Request::Raise { account, .. }
            | Request::Capture { account, .. }
            | Request::Release { account, .. }
            | Request::Freeze { account, .. }
            | Request::Unfreeze { account }
            | Request::SetLimit { account, .. }
            | Request::LimitSpending { account, .. }
            | Request::CloseDay { books: account, .. }
            | Request::Refer { account, .. }
            | Request::Register { customer: account }
            | Request::Attach {
                customer: account, ..
            }
            | Request::Person {
                customer: account, ..
            }
            | Request::StrongRead { account } => account,
            Request::Transfer { payer, .. } => payer,
            Request::Journal { legs, .. } => {
                let first = legs.iter().find(|leg| leg.house.is_none());
                first.map_or("", |leg| &leg.account)
            }
            Request::Provided { request, .. }
            | Request::Forced { request }
            | Request::Through { request, .. }
            | Request::Dated { request, .. }
            | Request::Grouped { request, .. } => request.named_first(),
        }
    }
}
