//! Statements: what was booked between two dates, and what it comes to.

use std::sync::Arc;

use ledger_domain::{
    AccountId, Currency, Date, Position, ShardId, Token,
    movement::{Counterparty, MovementKind},
};
use replication::{
    past::Needed,
    shard::{NoEntry, entry_at},
    view::{Line, Mark, Span, StatementQuery},
};
use tonic::{Request, Response, Status};

use super::{Server, atm, deadline::Deadline, freshness::Bound, prepare, receipt, refusal};
use crate::api::{
    atm::v1::{self as pb, atm_client::AtmClient},
    v1::{
        self,
        read_mode::{Mode, as_of::At},
    },
};

/// What is asked for, beside how fresh it must be.
struct Asked {
    query: StatementQuery,
    /// Where the page before was read.
    read_at: Option<Position>,
}

impl Server {
    /// Answers here, or at the account's home where that was asked for.
    pub(super) async fn statement(
        self: &Arc<Self>,
        request: Request<pb::GetStatementRequest>,
        deadline: Deadline,
    ) -> Result<Response<pb::GetStatementReply>, Status> {
        let body = request.get_ref();
        let account = prepare::account(&body.account_id)?;
        let home = self.home(&account)?;
        let asked = asked(account, home, body)?;
        if let Some(position) = asked.read_at {
            self.viewed(position, deadline).await?;
        }
        let answered = match atm::mode(body.mode.as_ref()) {
            Mode::Local(_) => {
                self.page(&asked, Token::default(), pb::ModeUsed::Local)
                    .await?
            }
            Mode::Session(session) => {
                let covered = self.wait_for(&session.tokens, deadline).await?;
                self.page(&asked, covered, pb::ModeUsed::Session).await?
            }
            Mode::AsOf(as_of) => self.page_as_of(home, asked, &as_of, deadline).await?,
            Mode::Bounded(bounded) => {
                let bound = Bound::of(&bounded);
                let covered = self.verified(&bounded.tokens)?;
                loop {
                    if !self.meets(home, bound, &covered, deadline).await? {
                        return self
                            .statement_at_home(home, request, covered, deadline)
                            .await;
                    }
                    self.wait_until(&covered, deadline).await?;
                    let page = self
                        .page(&asked, covered.clone(), pb::ModeUsed::Bounded)
                        .await?;
                    let age = page.balance.as_ref().map_or(0, |it| it.staleness_bound_ms);
                    // Time has gone by since the bound was met.
                    if age <= bounded.max_staleness_ms {
                        break page;
                    }
                }
            }
            Mode::Strong(_) => {
                let nothing = Token::default();
                return self
                    .statement_at_home(home, request, nothing, deadline)
                    .await;
            }
        };
        Ok(Response::new(answered))
    }

    /// Answers with all that was acknowledged before it was asked.
    async fn statement_at_home(
        self: &Arc<Self>,
        home: ShardId,
        request: Request<pb::GetStatementRequest>,
        covered: Token,
        deadline: Deadline,
    ) -> Result<Response<pb::GetStatementReply>, Status> {
        let request = request.map(|body| pb::GetStatementRequest {
            mode: Some(v1::ReadMode {
                mode: Some(Mode::Strong(v1::read_mode::Strong {})),
            }),
            ..body
        });
        let answer = self.at_leader(
            home,
            request,
            deadline,
            |shard, body| async move {
                self.viewed_as_acknowledged(&shard, deadline).await?;
                let account = prepare::account(&body.account_id)?;
                let asked = asked(account, home, &body)?;
                let mut page = self
                    .page(&asked, Token::default(), pb::ModeUsed::Strong)
                    .await?;
                if let Some(balance) = &mut page.balance {
                    balance.staleness_bound_ms = 0;
                }
                Ok(page)
            },
            |channel, request| async move { AtmClient::new(channel).get_statement(request).await },
        );
        let mut reply = answer.await?;
        if let Some(balance) = &mut reply.get_mut().balance {
            balance.token = self.covering(covered, &balance.token)?;
        }
        Ok(reply)
    }

    /// What the views here say.
    async fn page(
        &self,
        asked: &Asked,
        covered: Token,
        used: pb::ModeUsed,
    ) -> Result<pb::GetStatementReply, Status> {
        let query = &asked.query;
        let page = self.views().statement(query).map_err(refusal::unreadable)?;
        let page = page.ok_or_else(refusal::unknown_account)?;
        let currency = page.account.account.currency;
        let money = |units| sum(units, currency).map(Some);
        let read_at = page.account.watermark.position;
        let through = page.through;
        let mut lines = Vec::with_capacity(page.lines.len());
        for (line, balance) in &page.lines {
            let words = self.words(&query.account, line).await?;
            lines.push(self.line(line, words, *balance, currency)?);
        }
        Ok(pb::GetStatementReply {
            lines,
            next_page_token: page
                .next
                .map(|mark| token(mark, through, read_at))
                .unwrap_or_default(),
            balance: Some(self.balance(query.account, &page.account, covered, used)),
            opening_balance: money(page.opening)?,
            closing_balance: money(page.closing)?,
        })
    }

    /// What was known at a moment.
    async fn page_as_of(
        self: &Arc<Self>,
        home: ShardId,
        mut asked: Asked,
        as_of: &v1::read_mode::AsOf,
        deadline: Deadline,
    ) -> Result<pb::GetStatementReply, Status> {
        let moment = match &as_of.at {
            Some(At::Time(time)) => self.moment(time)?,
            Some(At::Position(position)) => self.place(home, position)?,
            Some(At::EffectiveDate(_)) => {
                let what = "a statement goes up to `to_date`; as of is a time or a position here";
                return Err(refusal::invalid(what));
            }
            None => return Err(refusal::invalid("as of what is not said")),
        };
        let account = asked.query.account;
        let past = self.known(home, account, moment, Needed::Posted, deadline);
        let past = past.await?.ok_or_else(refusal::unknown_account)?;
        let (balance, version) = (
            self.past_balance(account, moment, &past),
            past.account.version,
        );
        let known = asked.query.through.unwrap_or(version);
        asked.query.through = Some(known.min(version));
        let page = self
            .page(&asked, Token::default(), pb::ModeUsed::AsOf)
            .await?;
        Ok(pb::GetStatementReply {
            balance: Some(balance),
            ..page
        })
    }

    /// A line as it is told.
    pub(super) fn line(
        &self,
        line: &Line,
        words: Words,
        balance: i128,
        currency: Currency,
    ) -> Result<pb::StatementLine, Status> {
        Ok(pb::StatementLine {
            transaction_id: line.transaction.to_string(),
            position: Some(receipt::position(line.transaction.position)),
            booked_at: Some(receipt::time(line.booked)),
            booked_on: line.booked_on.to_string(),
            effective_date: line.effective_date.to_string(),
            into_closed_day: line.into_closed_day,
            amount: Some(receipt::money(line.amount, currency)),
            balance_after: Some(sum(balance, currency)?),
            counterparty: match &line.counterparty {
                Counterparty::House(code) => code.to_string(),
                Counterparty::Account(id) => id.to_string(),
            },
            memo: words.memo,
            correlation_id: words.correlation_id,
            external_reference: words.external_reference,
            reason: words.reason,
            kind: kind(line.kind).to_owned(),
        })
    }

    /// What the log says of a line, as far as it may be read here.
    async fn words(&self, account: &AccountId, line: &Line) -> Result<Words, Status> {
        if !line.has_words {
            return Ok(Words::default());
        }
        let entry = match entry_at(&self.hub, line.transaction.position).await {
            Ok(entry) => entry,
            Err(error @ (NoEntry::InArchive | NoEntry::NotReached(_))) => {
                return Err(refusal::no_entry(error));
            }
            Err(NoEntry::NotHeld(_) | NoEntry::Damaged(_)) => None,
        };
        let ordinal = usize::try_from(line.transaction.ordinal).unwrap_or(usize::MAX);
        let Some(outcome) = entry.as_ref().and_then(|it| it.outcomes.get(ordinal)) else {
            return Ok(Words::default());
        };
        let named = outcome.command.as_ref();
        let said = named.filter(|command| command.account == *account);
        let said = said.map(|command| &command.info);
        Ok(Words {
            memo: self.memo_in(outcome),
            correlation_id: said.map(|it| it.correlation_id.clone()).unwrap_or_default(),
            external_reference: said
                .and_then(|it| it.external_reference.as_ref())
                .map(|sealed| self.unsealed(sealed))
                .unwrap_or_default(),
            reason: said.map(|it| it.reason.clone()).unwrap_or_default(),
        })
    }
}

/// What stands in the log beside a movement.
#[derive(Default)]
pub(super) struct Words {
    memo: String,
    correlation_id: String,
    external_reference: String,
    reason: String,
}

fn kind(kind: MovementKind) -> &'static str {
    match kind {
        MovementKind::Deposit => "deposit",
        MovementKind::Withdrawal => "withdrawal",
        MovementKind::TransferOut => "transfer-out",
        MovementKind::TransferIn => "transfer-in",
        MovementKind::Return => "return",
        MovementKind::Journal => "journal",
    }
}

fn sum(units: i128, currency: Currency) -> Result<v1::Money, Status> {
    let units = i64::try_from(units)
        .map_err(|_| refusal::invalid("what counts from these dates leaves 64 bits"))?;
    Ok(receipt::money(units, currency))
}

fn asked(
    account: AccountId,
    home: ShardId,
    body: &pb::GetStatementRequest,
) -> Result<Asked, Status> {
    let first = prepare::date(&body.from_date)?.unwrap_or(Date::MIN);
    let last = prepare::date(&body.to_date)?.unwrap_or(Date::MAX);
    let limit = prepare::page(body.page_size, "", "lines")?.limit;
    let span = match pb::StatementBasis::try_from(body.basis) {
        Ok(pb::StatementBasis::Effective) => Span::Effective(first..=last),
        Ok(_) => Span::Booked(first..=last),
        Err(_) => return Err(refusal::invalid("not a basis of statements")),
    };
    let from = match body.page_token.as_str() {
        "" => None,
        token => {
            let from = place_of(token, home);
            Some(from.ok_or_else(|| refusal::invalid("not a page token"))?)
        }
    };
    Ok(Asked {
        query: StatementQuery {
            account,
            span,
            through: from.map(|(_, through, _)| through),
            newest_first: body.newest_first,
            after: from.map(|(mark, ..)| mark),
            limit,
        },
        read_at: from.map(|(.., read_at)| read_at),
    })
}

/// Names the line that a page ended with, the version up to which the statement goes, and where it was
/// read.
fn token(mark: Mark, through: u64, read_at: Position) -> String {
    let Position { epoch, index, .. } = read_at;
    format!(
        "{}.{}.{through}.{epoch}.{index}",
        mark.date.days(),
        mark.version
    )
}

fn place_of(token: &str, shard: ShardId) -> Option<(Mark, u64, Position)> {
    let mut parts = token.split('.');
    let date = Date::from_days(parts.next()?.parse().ok()?)?;
    let mut number = || parts.next()?.parse().ok();
    let (version, through, epoch, index) = (number()?, number()?, number()?, number()?);
    let read_at = Position {
        shard,
        epoch,
        index,
    };
    let is_all = parts.next().is_none();
    is_all.then_some((Mark { date, version }, through, read_at))
}
