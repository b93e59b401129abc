//! Journals: events, and the rows of books.

use super::{
    Read, amount, currency, date,
    event::{after_from_proto, after_to_proto},
    field, house, position_to_proto, rejection_from_proto, rejection_to_proto,
    reversal::{part_from_proto, part_to_proto, reversed_from_proto, reversed_to_proto},
    said::{Said, Saying},
    transaction_from_proto,
};
use crate::{
    Damage, ShardId, TransactionId,
    entry::Format,
    journal::{
        Ask, Clearing, JournalEvent, JournalRef, Leg, Line, OpenJournal, Party, Rate, Refusal, Side,
    },
    proto::{self, event::Event as E},
};

fn party_to_proto(party: &Party, saying: &mut Saying) -> Option<proto::Party> {
    use proto::party::Party as P;
    let party = match party {
        Party::Account(id) => saying.account(*id).map(P::Account),
        Party::House(code) => Some(P::House(code.to_string())),
    };
    Some(proto::Party { party })
}

fn party_from_proto(party: Option<proto::Party>, said: &Said) -> Read<Party> {
    use proto::party::Party as P;
    Ok(match field(party.and_then(|it| it.party), "party")? {
        P::Account(id) => Party::Account(said.account(Some(id))?),
        P::House(code) => Party::House(house(&code)?),
    })
}

fn leg_to_proto(leg: &Leg, saying: &mut Saying) -> proto::Leg {
    proto::Leg {
        place: leg.place,
        party: party_to_proto(&leg.party, saying),
        side: leg.side as i32,
        currency: leg.currency.to_string(),
        amount: leg.amount.minor_units().unsigned_abs(),
        against: party_to_proto(&leg.against, saying),
    }
}

fn leg_from_proto(leg: proto::Leg, said: &Said) -> Read<Leg> {
    Ok(Leg {
        place: leg.place,
        party: party_from_proto(leg.party, said)?,
        side: field(Side::from_number(leg.side), "side")?,
        currency: currency(&leg.currency)?,
        amount: amount(leg.amount)?,
        against: party_from_proto(leg.against, said)?,
    })
}

fn legs_from_proto(legs: Vec<proto::Leg>, said: &Said) -> Read<Vec<Leg>> {
    legs.into_iter()
        .map(|leg| leg_from_proto(leg, said))
        .collect()
}

fn lines_to_proto(lines: &[Line], saying: &mut Saying) -> Vec<proto::JournalLine> {
    let line = |line: &Line| proto::JournalLine {
        leg: Some(leg_to_proto(&line.leg, saying)),
        after: (line.after.as_ref()).and_then(|after| after_to_proto(after, saying)),
    };
    lines.iter().map(line).collect()
}

fn lines_from_proto(lines: Vec<proto::JournalLine>, said: &Said) -> Read<Vec<Line>> {
    let line = |line: proto::JournalLine| {
        let after = line.after.map(|after| after_from_proto(Some(after), said));
        Ok(Line {
            leg: leg_from_proto(field(line.leg, "leg")?, said)?,
            after: after.transpose()?,
        })
    };
    lines.into_iter().map(line).collect()
}

fn ref_to_proto(journal: JournalRef) -> Option<proto::JournalRef> {
    Some(proto::JournalRef {
        coordinator: journal.coordinator.0,
        number: journal.number,
    })
}

fn ref_from_proto(journal: Option<proto::JournalRef>) -> Read<JournalRef> {
    let journal = field(journal, "journal")?;
    Ok(JournalRef {
        coordinator: ShardId(journal.coordinator),
        number: journal.number,
    })
}

fn refusal_to_proto(refusal: &Refusal) -> Option<proto::JournalRefusal> {
    Some(proto::JournalRefusal {
        leg: refusal.leg,
        rejection: Some(rejection_to_proto(&refusal.rejection)),
    })
}

fn refusal_from_proto(refusal: Option<proto::JournalRefusal>) -> Read<Refusal> {
    let refusal = field(refusal, "refusal")?;
    Ok(Refusal {
        leg: refusal.leg,
        rejection: rejection_from_proto(field(refusal.rejection, "rejection")?)?,
    })
}

fn asks_to_proto(asks: &[Ask], saying: &mut Saying) -> Vec<proto::JournalAsk> {
    let ask = |ask: &Ask| proto::JournalAsk {
        shard: ask.shard.0,
        previous: ask.previous,
        legs: ask
            .legs
            .iter()
            .map(|leg| leg_to_proto(leg, saying))
            .collect(),
    };
    asks.iter().map(ask).collect()
}

fn asks_from_proto(asks: Vec<proto::JournalAsk>, said: &Said) -> Read<Vec<Ask>> {
    let ask = |ask: proto::JournalAsk| {
        Ok(Ask {
            shard: ShardId(ask.shard),
            previous: ask.previous,
            legs: legs_from_proto(ask.legs, said)?,
        })
    };
    asks.into_iter().map(ask).collect()
}

fn rate_to_proto(rate: &Option<Rate>) -> String {
    rate.as_ref().map_or_else(String::new, ToString::to_string)
}

fn rate_from_proto(rate: &str) -> Read<Option<Rate>> {
    match rate {
        "" => Ok(None),
        rate => Ok(Some(rate.parse().map_err(|_| Damage::Field("rate"))?)),
    }
}

fn opened_from_proto(opened: Option<proto::Position>, ordinal: u32) -> Read<TransactionId> {
    transaction_from_proto((opened, ordinal), "opened")
}

fn known_from_proto(opened: Option<proto::Position>, ordinal: u32) -> Read<Option<TransactionId>> {
    let known = opened.map(|opened| opened_from_proto(Some(opened), ordinal));
    known.transpose()
}

pub(super) fn to_proto(event: &JournalEvent, saying: &mut Saying) -> E {
    match event {
        JournalEvent::Booked {
            lines,
            rate,
            forced,
        } => E::JournalBooked(proto::JournalBooked {
            lines: lines_to_proto(lines, saying),
            rate: rate_to_proto(rate),
            forced: *forced,
        }),
        JournalEvent::Opened {
            number,
            date,
            lines,
            asks,
            rate,
            reverses,
            forced,
        } => E::JournalOpened(proto::JournalOpened {
            number: *number,
            date: date.days(),
            lines: lines_to_proto(lines, saying),
            asks: asks_to_proto(asks, saying),
            rate: rate_to_proto(rate),
            reverses: reverses.as_ref().map(reversed_to_proto),
            forced: *forced,
        }),
        JournalEvent::Reserved {
            journal,
            opened,
            date,
            lines,
            forced,
        } => E::JournalReserved(proto::JournalReserved {
            journal: ref_to_proto(*journal),
            opened: Some(position_to_proto(opened.position)),
            ordinal: opened.ordinal,
            date: date.days(),
            lines: lines_to_proto(lines, saying),
            forced: *forced,
        }),
        JournalEvent::Refused {
            journal,
            opened,
            refusal,
        } => E::JournalRefused(proto::JournalRefused {
            journal: ref_to_proto(*journal),
            refusal: refusal_to_proto(refusal),
            opened: opened.map(|opened| position_to_proto(opened.position)),
            ordinal: opened.map_or(0, |opened| opened.ordinal),
        }),
        JournalEvent::Answered { number, shard } => E::JournalAnswered(proto::JournalAnswered {
            number: *number,
            shard: shard.0,
        }),
        JournalEvent::Posted {
            journal,
            opened,
            date,
            lines,
            clearing,
        } => E::JournalPosted(proto::JournalPosted {
            journal: ref_to_proto(*journal),
            opened: opened.map(|opened| position_to_proto(opened.position)),
            ordinal: opened.map_or(0, |opened| opened.ordinal),
            date: date.days(),
            lines: lines_to_proto(lines, saying),
            clearing: clearing.iter().map(clearing_to_proto).collect(),
        }),
        JournalEvent::Cancelled {
            journal,
            lines,
            by,
            refusal,
            reverses,
        } => E::JournalCancelled(proto::JournalCancelled {
            journal: ref_to_proto(*journal),
            lines: lines_to_proto(lines, saying),
            by: by.0,
            refusal: refusal_to_proto(refusal),
            reverses: reverses.as_ref().map(part_to_proto),
        }),
    }
}

fn clearing_to_proto(it: &Clearing) -> proto::JournalClearing {
    proto::JournalClearing {
        shard: it.shard.0,
        currency: it.currency.to_string(),
        units: it.units,
    }
}

fn clearing_from_proto(it: proto::JournalClearing) -> Read<Clearing> {
    Ok(Clearing {
        shard: ShardId(it.shard),
        currency: currency(&it.currency)?,
        units: it.units,
    })
}

pub(super) fn from_proto(event: E, said: &Said) -> Read<JournalEvent> {
    Ok(match event {
        E::JournalBooked(e) => JournalEvent::Booked {
            lines: lines_from_proto(e.lines, said)?,
            rate: rate_from_proto(&e.rate)?,
            forced: e.forced,
        },
        E::JournalOpened(e) => JournalEvent::Opened {
            number: e.number,
            date: date(e.date)?,
            lines: lines_from_proto(e.lines, said)?,
            asks: asks_from_proto(e.asks, said)?,
            rate: rate_from_proto(&e.rate)?,
            reverses: e.reverses.map(reversed_from_proto).transpose()?,
            forced: e.forced,
        },
        E::JournalReserved(e) => JournalEvent::Reserved {
            journal: ref_from_proto(e.journal)?,
            opened: opened_from_proto(e.opened, e.ordinal)?,
            date: date(e.date)?,
            lines: lines_from_proto(e.lines, said)?,
            forced: e.forced,
        },
        E::JournalRefused(e) => JournalEvent::Refused {
            journal: ref_from_proto(e.journal)?,
            opened: known_from_proto(e.opened, e.ordinal)?,
            refusal: refusal_from_proto(e.refusal)?,
        },
        E::JournalAnswered(e) => JournalEvent::Answered {
            number: e.number,
            shard: ShardId(e.shard),
        },
        E::JournalPosted(e) => JournalEvent::Posted {
            journal: ref_from_proto(e.journal)?,
            opened: known_from_proto(e.opened, e.ordinal)?,
            date: date(e.date)?,
            lines: lines_from_proto(e.lines, said)?,
            clearing: e
                .clearing
                .into_iter()
                .map(clearing_from_proto)
                .collect::<Read<_>>()?,
        },
        E::JournalCancelled(e) => JournalEvent::Cancelled {
            journal: ref_from_proto(e.journal)?,
            lines: lines_from_proto(e.lines, said)?,
            by: ShardId(e.by),
            refusal: refusal_from_proto(e.refusal)?,
            reverses: e.reverses.map(part_from_proto).transpose()?,
        },
        _ => return Err(Damage::UnknownEvent),
    })
}

/// A book's row of an open journal: it names accounts in full.
pub(crate) fn journal_to_proto(id: JournalRef, journal: &OpenJournal) -> proto::BookJournal {
    let mut saying = Saying::new(Format::InFull);
    let opened = journal.opened;
    proto::BookJournal {
        journal: ref_to_proto(id),
        opened: opened.map(|opened| position_to_proto(opened.position)),
        ordinal: opened.map_or(0, |opened| opened.ordinal),
        date: journal.date.days(),
        legs: (journal.legs.iter())
            .map(|leg| leg_to_proto(leg, &mut saying))
            .collect(),
        asks: asks_to_proto(&journal.asks, &mut saying),
        waiting: journal.waiting.iter().map(|shard| shard.0).collect(),
        rate: rate_to_proto(&journal.rate),
        reverses: journal.reverses.as_ref().map(part_to_proto),
    }
}

pub(crate) fn journal_from_proto(row: proto::BookJournal) -> Read<(JournalRef, OpenJournal)> {
    let said = Said::read(Format::InFull, Vec::new(), Vec::new())?;
    let journal = OpenJournal {
        opened: Some(opened_from_proto(row.opened, row.ordinal)?),
        date: date(row.date)?,
        legs: legs_from_proto(row.legs, &said)?,
        asks: asks_from_proto(row.asks, &said)?,
        waiting: row.waiting.into_iter().map(ShardId).collect(),
        rate: rate_from_proto(&row.rate)?,
        reverses: row.reverses.map(part_from_proto).transpose()?,
    };
    Ok((ref_from_proto(row.journal)?, journal))
}
