use std::collections::{BTreeMap, BTreeSet};

use ledger_domain::{
    AccountId, Book, Currency, Hash, HouseCode, HybridTime, Limit, Position, ShardId,
    account::Status, event::ChannelItem, state::Recorded,
};

/// Which accounts of a book are summed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Customers,
    House(HouseCode),
}

/// Accounts of one kind and currency, summed in more bits than one balance has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sum {
    /// Of the balances below zero, as a positive number.
    pub(super) debit: i128,
    /// Of those above zero.
    pub(super) credit: i128,
    pub(super) accounts: u64,
}

impl Sum {
    pub(super) fn of(balance: i64) -> Self {
        let balance = i128::from(balance);
        Self {
            debit: (-balance).max(0),
            credit: balance.max(0),
            accounts: 1,
        }
    }

    pub(super) fn add(&mut self, other: Self) {
        self.debit += other.debit;
        self.credit += other.credit;
        self.accounts += other.accounts;
    }

    pub(super) fn net(&self) -> i128 {
        self.credit - self.debit
    }
}

/// An item that its source holds open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OpenItem {
    pub(super) currency: Currency,
    pub(super) units: i64,
    pub(super) hash: Hash,
    /// When it was sent, where that was told.
    pub(super) sent: Option<HybridTime>,
}

impl OpenItem {
    fn of(item: &ChannelItem, hash: Hash, sent: Option<HybridTime>) -> Self {
        Self {
            currency: item.currency,
            units: item.amount.minor_units(),
            hash,
            sent,
        }
    }
}

/// When the items that a book holds open were sent: it does not keep that itself.
#[derive(Debug, Default)]
pub(super) struct Sending {
    /// The last item of each channel that was seen.
    last: BTreeMap<ShardId, u64>,
    times: BTreeMap<(ShardId, u64), HybridTime>,
    /// How many times are kept before those of closed items are forgotten.
    room: usize,
}

impl Sending {
    /// Takes note of what the last entry of a book has sent.
    pub(super) fn see(&mut self, book: &Book) {
        for (to, head) in book.channels_out() {
            let last = self.last.entry(to).or_default();
            for number in *last + 1..=head.sent {
                self.times.insert((to, number), book.time());
            }
            *last = head.sent;
        }
        if self.times.len() > self.room.max(1_024) {
            let open = book.under_way();
            let open: BTreeSet<_> = open
                .map(|sent| (sent.item.destination, sent.item.number))
                .collect();
            self.times.retain(|item, _| open.contains(item));
            self.room = 2 * self.times.len();
        }
    }
}

/// A channel as its source has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ChannelOut {
    /// The number of the last item sent.
    pub(super) sent: u64,
    pub(super) open: BTreeMap<u64, OpenItem>,
}

/// A channel as its destination has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ChannelIn {
    /// The number of the last item taken or refused.
    pub(super) recorded: u64,
    /// Records up to this number are forgotten: their items are closed at the source.
    pub(super) forgotten: u64,
    pub(super) records: BTreeMap<u64, Recorded>,
}

/// What the trial balance needs of one shard's book.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ShardBook {
    pub(super) position: Position,
    pub(super) sums: BTreeMap<(Currency, Kind), Sum>,
    pub(super) out: BTreeMap<ShardId, ChannelOut>,
    pub(super) into: BTreeMap<ShardId, ChannelIn>,
    /// Open accounts without a limit, sorted.
    pub(super) unlimited: Vec<AccountId>,
}

impl ShardBook {
    pub(super) fn of(book: &Book, sending: &Sending) -> Self {
        let mut sums: BTreeMap<_, Sum> = BTreeMap::new();
        let mut unlimited = Vec::new();
        for (id, account) in book.accounts() {
            let key = (account.currency, Kind::Customers);
            sums.entry(key).or_default().add(Sum::of(account.posted));
            if account.limit == Limit::Unlimited && account.status == Status::Open {
                unlimited.push(id);
            }
        }
        for (code, currency, balance) in book.houses() {
            let key = (currency, Kind::House(code.clone()));
            sums.entry(key).or_default().add(Sum::of(balance));
        }
        let mut out: BTreeMap<_, ChannelOut> = book
            .channels_out()
            .map(|(to, head)| {
                (
                    to,
                    ChannelOut {
                        sent: head.sent,
                        ..Default::default()
                    },
                )
            })
            .collect();
        for sent in book.under_way() {
            let channel = out.entry(sent.item.destination).or_default();
            let place = (sent.item.destination, sent.item.number);
            let at = sending.times.get(&place).copied();
            let item = OpenItem::of(&sent.item, sent.hash, at);
            channel.open.insert(sent.item.number, item);
        }
        let mut into: BTreeMap<_, ChannelIn> = book
            .channels_in()
            .map(|(from, head)| {
                let channel = ChannelIn {
                    recorded: head.recorded,
                    forgotten: head.forgotten,
                    records: BTreeMap::new(),
                };
                (from, channel)
            })
            .collect();
        for (from, number, recorded) in book.records() {
            let channel = into.entry(from).or_default();
            channel.records.insert(number, recorded.clone());
        }
        Self {
            position: Position {
                shard: book.shard(),
                epoch: book.epoch(),
                index: book.applied(),
            },
            sums,
            out,
            into,
            unlimited,
        }
    }

    /// The balance of a house account; an account that was never opened holds nothing.
    pub(super) fn house(&self, code: HouseCode, currency: Currency) -> i128 {
        let sum = self.sums.get(&(currency, Kind::House(code)));
        sum.map_or(0, Sum::net)
    }
}
