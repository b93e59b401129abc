//! Journals: how far one is, and which are not decided.

mod pages;

use ledger_domain::{
    AccountId, Book, Event, JournalEvent, JournalRef, Outcome, Position, ShardId, TransactionId,
    event::After,
    journal::{Leg, Line, OpenJournal, Party, Refusal, Side},
};
use replication::shard::Shard;
use tonic::{Request, Response, Status};

use super::{
    Server,
    deadline::Deadline,
    prepare, receipt, refusal,
    reversals::{Known, original},
    settlement::{Ending, Progress},
};
use pages::{Cursor, PAGE_LEGS, first_page};

use crate::api::teller::v1::{
    self as pb, JournalSide, JournalState, journal_leg, list_journals_request::Of,
    teller_client::TellerClient,
};

/// How a coordinator decided about a journal between shards.
#[derive(Debug, Clone)]
pub(super) struct Decision {
    pub(super) position: Position,
    /// What it left on the accounts of the coordinator's book.
    pub(super) afters: Vec<After>,
    /// Who refused and why; `None` where it is posted.
    pub(super) cancelled: Option<(ShardId, Refusal)>,
}

/// The number of the journal between shards that an outcome opened, if it did.
pub(super) fn opened(outcome: &Outcome) -> Option<u64> {
    let events = outcome.result.as_deref().ok()?;
    events.iter().find_map(|event| match event {
        Event::Journal(JournalEvent::Opened { number, .. }) => Some(*number),
        _ => None,
    })
}

/// What the lines of an event leave on accounts.
pub(super) fn afters(event: &JournalEvent) -> Vec<After> {
    let lines = match event {
        JournalEvent::Booked { lines, .. }
        | JournalEvent::Opened { lines, .. }
        | JournalEvent::Reserved { lines, .. }
        | JournalEvent::Posted { lines, .. }
        | JournalEvent::Cancelled { lines, .. } => &lines[..],
        JournalEvent::Refused { .. } | JournalEvent::Answered { .. } => &[],
    };
    lines.iter().filter_map(|line| line.after).collect()
}

/// What an event at a position says about a journal's end.
fn decision(event: &JournalEvent, id: JournalRef, position: Position) -> Option<Decision> {
    let cancelled = match event {
        JournalEvent::Posted { journal, .. } if *journal == id => None,
        JournalEvent::Cancelled {
            journal,
            by,
            refusal,
            ..
        } if *journal == id => Some((*by, refusal.clone())),
        _ => return None,
    };
    Some(Decision {
        position,
        afters: afters(event),
        cancelled,
    })
}

impl Server {
    /// Waits until a journal that was opened here is decided.
    pub(super) async fn wait_for_decision(
        &self,
        shard: &Shard,
        number: u64,
        deadline: Deadline,
    ) -> Progress {
        let mut stopping = self.stopping.subscribe();
        let decided = async {
            let by = shard.journal_decided(number).await.ok()?;
            self.decision(number, by, deadline).await.ok()
        };
        let decided = tokio::select! {
            decided = tokio::time::timeout_at(deadline.patience(), decided) => decided.ok().flatten(),
            _ = stopping.wait_for(|stopping| *stopping) => None,
        };
        decided.map_or(Progress::Open, |it| Progress::Ended(Ending::Decided(it)))
    }

    /// How far a journal that was opened here is, now.
    pub(super) async fn journal_progress(
        &self,
        shard: &Shard,
        number: u64,
        deadline: Deadline,
    ) -> Result<Progress, Status> {
        match shard.is_journal_decided(number) {
            None => Ok(Progress::Decided),
            Some(by) => {
                let decision = self.decision(number, by, deadline).await?;
                Ok(Progress::Ended(Ending::Decided(decision)))
            }
        }
    }

    /// Finds the decision about a journal, which was made by a position of its coordinator's log.
    pub(super) async fn decision(
        &self,
        number: u64,
        by: Position,
        deadline: Deadline,
    ) -> Result<Decision, Status> {
        self.viewed(by, deadline).await?;
        let coordinator = by.shard;
        let decided = self.views().journal_decided(coordinator, number);
        let decided = decided.map_err(refusal::unreadable)?.ok_or_else(|| {
            let what = format!("the view of shard {coordinator} lacks the end of journal {number}");
            refusal::damaged(what)
        })?;
        let id = JournalRef {
            coordinator,
            number,
        };
        let (outcome, _) = self.outcome(decided).await?;
        let found = outcome
            .result
            .iter()
            .flatten()
            .find_map(|event| match event {
                Event::Journal(event) => decision(event, id, decided.position),
                _ => None,
            });
        found.ok_or_else(|| {
            let what = format!("the outcome {decided} does not decide journal {number}");
            refusal::damaged(what)
        })
    }

    /// Answers from the leader of the coordinator's shard.
    pub(super) async fn get_journal(
        &self,
        request: Request<pb::GetJournalRequest>,
        deadline: Deadline,
    ) -> Result<Response<pb::GetJournalReply>, Status> {
        let id: TransactionId = request
            .get_ref()
            .journal_id
            .parse()
            .map_err(refusal::invalid)?;
        let home = id.position.shard;
        if self.directory_has(home).is_none() {
            return Err(refusal::transaction_not_found());
        }
        let here = |shard: Shard, _| async move {
            let (known, now) = shard
                .strong(|book: &Book| {
                    let mut open = book.open_journals();
                    let found = open.find(|(_, journal)| journal.opened == Some(id));
                    found.map(|(_, journal)| journal.clone())
                })
                .await
                .map_err(|error| refusal::read(&error))?;
            let journal = self.journal(&shard, id, known, now, deadline).await?;
            Ok(pb::GetJournalReply {
                journal: Some(journal),
                served_by: Some(self.served_by()),
                position: Some(receipt::position(now)),
            })
        };
        self.at_leader(
            home,
            request,
            deadline,
            here,
            |channel, request| async move { TellerClient::new(channel).get_journal(request).await },
        )
        .await
    }

    async fn journal(
        &self,
        shard: &Shard,
        id: TransactionId,
        open: Option<OpenJournal>,
        now: Position,
        deadline: Deadline,
    ) -> Result<pb::Journal, Status> {
        let at = id.position;
        let (_, outcome) = self.outcome_at(id, now, deadline).await?;
        let date = outcome.command.as_ref().map(|it| it.effective_date);
        let known = Known::by(&shard.book(), &id);
        let reversals = self.reversals(id, &outcome, &known, deadline).await?;
        let reverses = original(&outcome);
        let told = |legs: Vec<pb::JournalLeg>, rate: String| pb::Journal {
            journal_id: id.to_string(),
            coordinator: at.shard.0,
            legs,
            rate,
            effective_date: date.map(|it| it.to_string()).unwrap_or_default(),
            reverses: reverses.map_or_else(String::new, |it| it.to_string()),
            reversals,
            ..pb::Journal::default()
        };
        for event in outcome.result.iter().flatten() {
            match event {
                Event::Journal(JournalEvent::Booked { lines, rate, .. }) => {
                    let rate = rate.as_ref().map(ToString::to_string);
                    return Ok(pb::Journal {
                        state: JournalState::Posted.into(),
                        decided_at: Some(receipt::position(at)),
                        ..told(of_lines(lines, at.shard), rate.unwrap_or_default())
                    });
                }
                Event::Journal(JournalEvent::Opened {
                    number,
                    lines,
                    asks,
                    rate,
                    ..
                }) => {
                    let own = lines.iter().map(|line| (at.shard, &line.leg));
                    let asked = asks.iter();
                    let asked =
                        asked.flat_map(|ask| ask.legs.iter().map(move |leg| (ask.shard, leg)));
                    let mut legs: Vec<_> = own.chain(asked).collect();
                    legs.sort_by_key(|(_, leg)| leg.place);
                    let legs = legs.into_iter().map(|(shard, leg)| leg_of(leg, shard));
                    let rate = rate.as_ref().map(ToString::to_string).unwrap_or_default();
                    let journal = told(legs.collect(), rate);
                    if let Some(open) = open {
                        return Ok(pb::Journal {
                            state: JournalState::Pending.into(),
                            waiting_for: open.waiting.iter().map(|it| it.0).collect(),
                            ..journal
                        });
                    }
                    let by = shard.is_journal_decided(*number).unwrap_or(now);
                    let decision = self.decision(*number, by, deadline).await?;
                    return Ok(decided(journal, &decision));
                }
                _ => {}
            }
        }
        Err(refusal::transaction_not_found())
    }

    /// Lists what is not decided, page by page.
    pub(super) async fn list_journals(
        &self,
        request: Request<pb::ListJournalsRequest>,
        deadline: Deadline,
    ) -> Result<Response<pb::ListJournalsReply>, Status> {
        let (metadata, _, body) = request.into_parts();
        let after = Cursor::parse(&body.page_token)?;
        let page = prepare::page(body.page_size, "", "journals")?;
        let shards = match &body.of {
            Some(Of::Shard(shard)) => {
                let shard = ShardId(*shard);
                self.directory_has(shard)
                    .ok_or_else(|| refusal::unknown_shard(shard.0))?;
                vec![shard]
            }
            Some(Of::Region(region)) => {
                let region = region.parse().map_err(refusal::invalid)?;
                self.shards_of(region, None)?
            }
            Some(Of::AccountId(account)) => vec![self.home(&prepare::account(account)?)?],
            None => return Err(refusal::invalid("name a region, a shard, or an account")),
        };
        let is_one = shards.len() == 1;
        let (mut journals, mut positions) = (Vec::new(), Vec::new());
        let mut next = String::new();
        // All of a shard come before those of the next.
        for shard in shards {
            if after.is_some_and(|after| shard < after.shard) {
                continue;
            }
            let left = page.limit - journals.len();
            let legs = journals.iter().map(|it: &pb::Journal| it.legs.len());
            if left == 0 || legs.sum::<usize>() >= PAGE_LEGS {
                next = Cursor::before(shard).token();
                break;
            }
            let asked = pb::ListJournalsRequest {
                of: match (&body.of, is_one) {
                    (Some(Of::AccountId(_)), _) | (_, true) => body.of.clone(),
                    _ => Some(Of::Shard(shard.0)),
                },
                page_size: u32::try_from(left).unwrap_or(u32::MAX),
                page_token: match after.filter(|after| after.shard == shard) {
                    Some(_) => body.page_token.clone(),
                    None => String::new(),
                },
            };
            let mut request = Request::new(asked);
            *request.metadata_mut() = metadata.clone();
            let reply = self.journals_of_shard(shard, request, deadline).await?;
            let reply = reply.into_inner();
            positions.extend(reply.positions);
            journals.extend(reply.journals);
            if !reply.next_page_token.is_empty() {
                next = reply.next_page_token;
                break;
            }
        }
        Ok(Response::new(pb::ListJournalsReply {
            journals,
            next_page_token: next,
            served_by: Some(self.served_by()),
            positions,
        }))
    }

    async fn journals_of_shard(
        &self,
        home: ShardId,
        request: Request<pb::ListJournalsRequest>,
        deadline: Deadline,
    ) -> Result<Response<pb::ListJournalsReply>, Status> {
        let here = |shard: Shard, body: pb::ListJournalsRequest| async move {
            let after = Cursor::parse(&body.page_token)?;
            let page = prepare::page(body.page_size, "", "journals")?;
            let account = match &body.of {
                Some(Of::AccountId(id)) => Some(prepare::account(id)?),
                _ => None,
            };
            let found = |book: &Book| {
                let all = book.open_journals().filter(|(id, journal)| {
                    let cursor = Cursor {
                        shard: home,
                        journal: **id,
                    };
                    Some(cursor) > after && account.is_none_or(|it| names(journal, &it))
                });
                let all = all.map(|(id, journal)| (*id, pending(*id, journal, home)));
                first_page(all, page.limit, |(_, journal)| journal.legs.len())
            };
            let ((journals, more), position) = shard
                .strong(found)
                .await
                .map_err(|error| refusal::read(&error))?;
            let last = journals.last().filter(|_| more).map(|(journal, _)| Cursor {
                shard: home,
                journal: *journal,
            });
            Ok(pb::ListJournalsReply {
                next_page_token: last.map(|it| it.token()).unwrap_or_default(),
                journals: journals.into_iter().map(|(_, journal)| journal).collect(),
                served_by: Some(self.served_by()),
                positions: vec![receipt::position(position)],
            })
        };
        self.at_leader(home, request, deadline, here, |channel, request| async move {
            TellerClient::new(channel).list_journals(request).await
        })
        .await
    }
}

fn names(journal: &OpenJournal, account: &AccountId) -> bool {
    let party = Party::Account(*account);
    journal.legs.iter().any(|leg| leg.party == party)
}

fn leg_of(leg: &Leg, shard: ShardId) -> pb::JournalLeg {
    pb::JournalLeg {
        party: Some(match &leg.party {
            Party::Account(id) => journal_leg::Party::AccountId(id.to_string()),
            Party::House(code) => journal_leg::Party::HouseAccount(code.to_string()),
        }),
        region: String::new(),
        side: match leg.side {
            Side::Debit => JournalSide::Debit,
            Side::Credit => JournalSide::Credit,
        }
        .into(),
        amount: Some(receipt::money(leg.amount.minor_units(), leg.currency)),
        shard: shard.0,
    }
}

fn of_lines(lines: &[Line], shard: ShardId) -> Vec<pb::JournalLeg> {
    lines.iter().map(|line| leg_of(&line.leg, shard)).collect()
}

/// A journal that is not decided, as the book of a shard has it.
fn pending(id: JournalRef, journal: &OpenJournal, shard: ShardId) -> pb::Journal {
    let waiting: Vec<u32> = match journal.is_own() {
        true => journal.waiting.iter().map(|it| it.0).collect(),
        false => vec![id.coordinator.0],
    };
    let rate = journal.rate.as_ref().map(ToString::to_string);
    pb::Journal {
        journal_id: journal.opened.map(|it| it.to_string()).unwrap_or_default(),
        state: JournalState::Pending.into(),
        coordinator: id.coordinator.0,
        legs: journal.legs.iter().map(|leg| leg_of(leg, shard)).collect(),
        rate: rate.unwrap_or_default(),
        effective_date: journal.date.to_string(),
        waiting_for: waiting,
        ..pb::Journal::default()
    }
}

fn decided(journal: pb::Journal, decision: &Decision) -> pb::Journal {
    let decided_at = Some(receipt::position(decision.position));
    match &decision.cancelled {
        None => pb::Journal {
            state: JournalState::Posted.into(),
            decided_at,
            ..journal
        },
        Some((by, refusal)) => pb::Journal {
            state: JournalState::Cancelled.into(),
            decided_at,
            refused_by: by.0,
            refused_leg: refusal.leg,
            rejection: Some(super::refusal::recorded(&refusal.rejection)),
            ..journal
        },
    }
}
