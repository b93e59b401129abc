//! A book as bytes: written in chunks, read back chunk by chunk, equal for equal books.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message as _;

use super::{Book, Generation, shelves::Shelves};
use crate::{
    Account, AccountId, Damage, Fence, Freezes, Hash, HouseCode, KeyDigest, ShardId, TransactionId,
    account::Status,
    codec, frame,
    hold::{self, Hold},
    planted::{Bug, planted},
    proto::{self, book_chunk::Part},
    state::{Inbound, KeyRecord, Outbound, Recorded, Sent, State as _},
    suspense::Suspended,
};

/// How many rows a chunk has at most: some hundreds of kilobytes.
const ROWS: usize = 8_192;
/// Shelves are put together until a chunk has so many rows.
const FEW_ROWS: usize = 512;

/// Why chunks are no book.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// A chunk is damaged.
    #[error("chunk {chunk}: {damage}")]
    Damage {
        /// Which, from 0.
        chunk: u64,
        /// What is wrong.
        damage: Damage,
    },
    /// The chunks are not one book's, all of it, in order.
    #[error("chunk {chunk} does not belong here: {why}")]
    Order {
        /// Which, from 0.
        chunk: u64,
        /// What was expected.
        why: &'static str,
    },
    /// The last chunk has not come.
    #[error("the book ends after {0} chunks without an end")]
    Cut(u64),
}

/// A book that was read, and the audited chain at its index.
#[derive(Debug, Clone)]
pub struct Restored {
    /// The book.
    pub book: Book,
    /// The audited head at [`Book::applied`].
    pub audited: Hash,
}

impl Book {
    /// The book in chunks of stored bytes. `audited` is the audited head at [`Self::applied`].
    pub fn chunks(&self, audited: Hash) -> impl Iterator<Item = Bytes> {
        let mut count = 0;
        let mut hasher = blake3::Hasher::new();
        let parts = std::iter::once(Part::Head(self.stored_head(audited)))
            .chain(self.stored_accounts())
            .chain(self.stored_freezes())
            .chain(self.stored_houses())
            .chain(self.stored_channels())
            .chain(self.stored_holds())
            .chain(self.stored_suspense())
            .chain(self.stored_reversals())
            .chain(self.stored_days())
            .chain(self.stored_spending())
            .chain(self.stored_journals())
            .chain(self.stored_references())
            .chain(self.stored_customers())
            .chain(self.stored_consumers())
            .chain(self.stored_keys())
            .map(Some)
            .chain(std::iter::once(None));
        parts.map(move |part| {
            let part = part.unwrap_or_else(|| {
                let hash = Bytes::copy_from_slice(hasher.finalize().as_bytes());
                Part::End(proto::BookEnd {
                    chunks: count,
                    hash,
                })
            });
            let chunk = frame::seal_message(&proto::BookChunk { part: Some(part) });
            count += 1;
            hasher.update(&chunk);
            chunk
        })
    }

    fn stored_head(&self, audited: Hash) -> proto::BookHead {
        proto::BookHead {
            shard: self.fence.shard.0,
            epoch: self.fence.epoch,
            applied: self.applied,
            writer_head: Bytes::copy_from_slice(&self.fence.head),
            audited_head: Bytes::copy_from_slice(&audited),
            time: Some(codec::time_to_proto(self.fence.time)),
            last_hold: self.last_hold,
        }
    }

    fn stored_accounts(&self) -> impl Iterator<Item = Part> + use<'_> {
        let row = |(id, account): (AccountId, Account)| proto::BookAccount {
            id: codec::account_to_proto(id),
            currency: account.currency.to_string(),
            limit: codec::limit_to_proto(account.limit),
            closed: account.status == Status::Closed,
            posted: account.posted,
            held: account.held,
            version: account.version,
            opened_on: account.opened_on.days(),
            under_way: account.under_way,
            reserved: account.reserved,
            accepted: account.accepted,
        };
        shelved(self.accounts.sorted()).map(move |rows| {
            let accounts = rows.into_iter().map(row).collect();
            Part::Accounts(proto::BookAccounts { accounts })
        })
    }

    fn stored_freezes(&self) -> impl Iterator<Item = Part> + use<'_> {
        let row = |(id, freezes): (AccountId, Freezes)| proto::BookFreeze {
            id: codec::account_to_proto(id),
            freezes: freezes.iter().map(codec::freeze_to_proto).collect(),
        };
        shelved(self.freezes.sorted()).map(move |rows| {
            let freezes = rows.into_iter().map(row).collect();
            Part::Freezes(proto::BookFreezes { freezes })
        })
    }

    fn stored_houses(&self) -> impl Iterator<Item = Part> + use<'_> {
        let rows = self
            .houses()
            .map(|(code, currency, balance)| proto::BookHouse {
                code: code.to_string(),
                currency: currency.to_string(),
                balance,
            });
        runs(rows).map(|houses| Part::Houses(proto::BookHouses { houses }))
    }

    fn stored_channels(&self) -> impl Iterator<Item = Part> + use<'_> {
        let outbound = self.outbound.iter().map(|(to, head)| proto::BookOutbound {
            to: to.0,
            sent: head.sent,
            under_way: head.under_way,
        });
        let inbound = self.inbound.iter().map(|(from, head)| proto::BookInbound {
            from: from.0,
            recorded: head.recorded,
            forgotten: head.forgotten,
        });
        let heads = proto::BookChannels {
            outbound: outbound.collect(),
            inbound: inbound.collect(),
            ..Default::default()
        };
        let sent = self.sent.values().map(|sent| proto::BookSent {
            item: codec::encode_item(&sent.item),
        });
        let sent = runs(sent).map(|sent| proto::BookChannels {
            sent,
            ..Default::default()
        });
        let recorded = self
            .recorded
            .iter()
            .map(|((from, number), it)| proto::BookRecorded {
                from: from.0,
                number: *number,
                hash: Bytes::copy_from_slice(&it.hash),
                taken: it.taken,
            });
        let recorded = runs(recorded).map(|recorded| proto::BookChannels {
            recorded,
            ..Default::default()
        });
        let all = std::iter::once(heads).chain(sent).chain(recorded);
        all.map(Part::Channels)
    }

    fn stored_holds(&self) -> impl Iterator<Item = Part> + use<'_> {
        let row = |(number, hold): (u64, Hold)| {
            let placed = hold.placed;
            let at = placed.map(|placed| placed.position);
            proto::BookHold {
                number,
                account: codec::account_to_proto(hold.account),
                placed: at.map(codec::position_to_proto),
                ordinal: placed.map_or(0, |placed| placed.ordinal),
                amount: hold.amount,
                captured: hold.captured,
                late: hold.late,
                expires: hold.expires,
                status: hold.status as i32,
            }
        };
        shelved(self.holds.sorted()).map(move |rows| {
            let holds = rows.into_iter().map(row).collect();
            Part::Holds(proto::BookHolds { holds })
        })
    }

    fn stored_suspense(&self) -> impl Iterator<Item = Part> + use<'_> {
        let items = self
            .suspended
            .iter()
            .map(|(put, item)| proto::BookSuspended {
                put: Some(codec::position_to_proto(put.position)),
                put_ordinal: put.ordinal,
                owner: codec::account_to_proto(item.owner),
                other: codec::account_to_proto(item.other),
                currency: item.currency.to_string(),
                amount: item.amount.minor_units().unsigned_abs(),
                since: Some(codec::time_to_proto(item.since)),
                why: Some(codec::rejection_to_proto(&item.why)),
            });
        runs(items).map(|items| Part::Suspense(proto::BookSuspense { items }))
    }

    fn stored_keys(&self) -> impl Iterator<Item = Part> + use<'_> {
        let generations = match planted(Bug::KeysLostInSnapshot) {
            true => &[][..],
            false => &self.generations[..],
        };
        generations.iter().flat_map(|generation| {
            let row = |(key, record): (KeyDigest, KeyRecord)| proto::BookKey {
                key: Bytes::copy_from_slice(&key.0),
                fingerprint: Bytes::copy_from_slice(&record.fingerprint),
                index: record.index,
                ordinal: record.ordinal,
            };
            let began = Some(codec::time_to_proto(generation.began));
            shelved(generation.keys.sorted()).map(move |rows| {
                let keys = rows.into_iter().map(row).collect();
                Part::Keys(proto::BookKeys { began, keys })
            })
        })
    }
}

/// Rows in runs of [`ROWS`].
pub(super) fn runs<T>(mut rows: impl Iterator<Item = T>) -> impl Iterator<Item = Vec<T>> {
    std::iter::from_fn(move || {
        let run: Vec<T> = rows.by_ref().take(ROWS).collect();
        (!run.is_empty()).then_some(run)
    })
}

/// Rows in runs that weigh about as much as [`ROWS`] do of rows of weight one, and no row without any.
pub(super) fn weighed_runs<T>(
    mut rows: impl Iterator<Item = T>,
    weight: impl Fn(&T) -> u64,
) -> impl Iterator<Item = Vec<T>> {
    std::iter::from_fn(move || {
        let (mut run, mut weighs) = (Vec::new(), 0);
        while weighs < ROWS as u64 {
            let Some(row) = rows.next() else { break };
            weighs += weight(&row).max(1);
            run.push(row);
        }
        (!run.is_empty()).then_some(run)
    })
}

/// The rows of shelves in runs that begin and end with a shelf, unless a shelf has too many. So a
/// row that changes changes one chunk, and most chunks of a book are those of the book before.
pub(super) fn shelved<T>(shelves: impl Iterator<Item = Vec<T>>) -> impl Iterator<Item = Vec<T>> {
    let mut shelves = shelves.peekable();
    std::iter::from_fn(move || {
        let mut run = Vec::new();
        while let Some(next) = shelves.peek_mut() {
            if run.len() >= FEW_ROWS || (!run.is_empty() && run.len() + next.len() > ROWS) {
                break;
            }
            if next.len() > ROWS {
                run.extend(next.drain(..ROWS));
                break;
            }
            run.append(next);
            shelves.next();
        }
        (!run.is_empty()).then_some(run)
    })
}

/// Reads a book back, chunk by chunk.
#[derive(Debug, Default)]
pub struct Reader {
    read: Option<Restored>,
    chunks: u64,
    hasher: blake3::Hasher,
    ended: bool,
}

impl Reader {
    /// Takes the next chunk.
    pub fn take(&mut self, stored: &Bytes) -> Result<(), Unreadable> {
        let chunk = self.chunks;
        let damage = |damage| Unreadable::Damage { chunk, damage };
        let misplaced = |why| Unreadable::Order { chunk, why };
        let payload = frame::open(stored).map_err(|e| damage(e.into()))?;
        let message = proto::BookChunk::decode(payload)
            .map_err(|e| damage(Damage::Message(e.to_string())))?;
        let part = message.part.ok_or_else(|| damage(Damage::Field("part")))?;
        if self.ended {
            return Err(misplaced("the book has ended"));
        }
        match (part, &mut self.read) {
            (Part::Head(head), read @ None) => *read = Some(begin(head).map_err(damage)?),
            (Part::Head(_), Some(_)) => return Err(misplaced("a book has one head")),
            (_, None) => return Err(misplaced("a book begins with its head")),
            (Part::End(end), Some(_)) => {
                if end.chunks != chunk || end.hash[..] != self.hasher.finalize().as_bytes()[..] {
                    return Err(misplaced("the end is of other chunks"));
                }
                self.ended = true;
            }
            (part, Some(read)) => read.book.fill(part).map_err(damage)?,
        }
        self.chunks += 1;
        self.hasher.update(stored);
        Ok(())
    }

    /// Whether the last chunk has come.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// The whole book.
    pub fn finish(self) -> Result<Restored, Unreadable> {
        match self.read {
            Some(read) if self.ended => Ok(read),
            _ => Err(Unreadable::Cut(self.chunks)),
        }
    }
}

fn begin(head: proto::BookHead) -> Result<Restored, Damage> {
    let shard = ShardId(head.shard);
    let mut book = Book::new(shard, head.epoch);
    book.applied = head.applied;
    book.last_hold = head.last_hold;
    book.fence = Fence {
        shard,
        epoch: head.epoch,
        head: codec::hash(&head.writer_head, "writer_head")?,
        time: codec::time_from_proto(head.time)?,
    };
    let audited = codec::hash(&head.audited_head, "audited_head")?;
    Ok(Restored { book, audited })
}

impl Book {
    fn fill(&mut self, part: Part) -> Result<(), Damage> {
        match part {
            Part::Head(_) | Part::End(_) => {}
            Part::Accounts(part) => {
                for row in part.accounts {
                    let account = Account {
                        currency: codec::currency(&row.currency)?,
                        limit: codec::limit_from_proto(row.limit)?,
                        status: if row.closed {
                            Status::Closed
                        } else {
                            Status::Open
                        },
                        posted: row.posted,
                        held: row.held,
                        version: row.version,
                        opened_on: codec::date(row.opened_on)?,
                        under_way: row.under_way,
                        // Its items follow.
                        outgoing: 0,
                        reserved: row.reserved,
                        accepted: row.accepted,
                    };
                    self.set_account(codec::account_from_proto(row.id)?, account);
                }
            }
            Part::Freezes(part) => {
                for row in part.freezes {
                    let id = codec::account_from_proto(row.id)?;
                    let mut freezes = Freezes::default();
                    for freeze in row.freezes {
                        freezes.put(codec::freeze_from_proto(Some(freeze))?);
                    }
                    self.set_freezes(id, freezes);
                }
            }
            Part::Houses(part) => {
                for row in part.houses {
                    let currency = codec::currency(&row.currency)?;
                    let code = codec::house(&row.code)?;
                    if let HouseCode::InTransit(_) = code {
                        let sum = self.in_transit(currency) + i128::from(row.balance);
                        self.set_in_transit(currency, sum);
                    }
                    self.set_house(code, currency, row.balance);
                }
            }
            Part::Channels(part) => self.fill_channels(part)?,
            Part::Holds(part) => self.fill_holds(part)?,
            Part::Suspense(part) => self.fill_suspense(part)?,
            Part::Reversals(part) => self.fill_reversals(part)?,
            Part::Days(part) => self.fill_days(part)?,
            Part::Spending(part) => self.fill_spending(part)?,
            Part::Journals(part) => self.fill_journals(part)?,
            Part::References(part) => self.fill_references(part)?,
            Part::Customers(part) => self.fill_customers(part)?,
            Part::Consumers(part) => self.fill_consumers(part)?,
            Part::Keys(part) => {
                let began = codec::time_from_proto(part.began)?;
                if self.generations.last().is_none_or(|g| g.began != began) {
                    let keys = Arc::new(Shelves::new());
                    self.generations.push(Generation { began, keys });
                }
                for row in part.keys {
                    let record = KeyRecord {
                        fingerprint: codec::digest(&row.fingerprint, "fingerprint")?,
                        index: row.index,
                        ordinal: row.ordinal,
                    };
                    self.set_key(KeyDigest(codec::digest(&row.key, "key")?), record);
                }
            }
        }
        Ok(())
    }

    fn fill_holds(&mut self, part: proto::BookHolds) -> Result<(), Damage> {
        for row in part.holds {
            let placed = row.placed.ok_or(Damage::Field("placed"))?;
            let hold = Hold {
                account: codec::account_from_proto(row.account)?,
                placed: None,
                amount: row.amount,
                captured: row.captured,
                late: row.late,
                expires: row.expires,
                status: hold::Status::from_number(row.status).ok_or(Damage::Field("status"))?,
            };
            self.set_hold(row.number, hold);
            let placed = TransactionId {
                position: codec::position_from_proto(placed),
                ordinal: row.ordinal,
            };
            self.name_hold(row.number, placed);
        }
        Ok(())
    }

    fn fill_suspense(&mut self, part: proto::BookSuspense) -> Result<(), Damage> {
        for row in part.items {
            let put = TransactionId {
                position: codec::position_from_proto(row.put.ok_or(Damage::Field("put"))?),
                ordinal: row.put_ordinal,
            };
            let item = Suspended {
                owner: codec::account_from_proto(row.owner)?,
                other: codec::account_from_proto(row.other)?,
                currency: codec::currency(&row.currency)?,
                amount: codec::amount(row.amount)?,
                since: codec::time_from_proto(row.since)?,
                why: codec::rejection_from_proto(row.why.ok_or(Damage::Field("why"))?)?,
            };
            self.set_suspended(put, Some(item));
        }
        Ok(())
    }

    fn fill_channels(&mut self, part: proto::BookChannels) -> Result<(), Damage> {
        for row in part.outbound {
            let head = Outbound {
                sent: row.sent,
                under_way: row.under_way,
            };
            self.set_outbound(ShardId(row.to), head);
        }
        for row in part.inbound {
            let head = Inbound {
                recorded: row.recorded,
                forgotten: row.forgotten,
            };
            self.set_inbound(ShardId(row.from), head);
        }
        for row in part.sent {
            let item = codec::decode_item(&row.item)?;
            let payer = self.account(&item.payer).and_then(|payer| {
                let outgoing = payer.outgoing.checked_add(item.amount.minor_units())?;
                Some(Account { outgoing, ..payer })
            });
            let payer = payer.ok_or(Damage::Field("payer"))?;
            self.set_account(item.payer, payer);
            let hash = crate::chain::writer_link(&row.item);
            self.set_sent(item.destination, item.number, Some(Sent { item, hash }));
        }
        for row in part.recorded {
            let recorded = Recorded {
                hash: codec::hash(&row.hash, "hash")?,
                taken: row.taken,
            };
            self.set_recorded(ShardId(row.from), row.number, Some(recorded));
        }
        Ok(())
    }
}
