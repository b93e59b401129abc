//! Which commands of a stream come after which: every one after those before it that name one of
//! its accounts.

use std::collections::{BTreeMap, BTreeSet};

use ledger_domain::{AccountId, command::LONGEST_GROUP};
use replication::topology::Directory;
use tokio::sync::oneshot;

use crate::{
    api::teller::v1::{
        self as pb, batch_command::Command, capture_hold_request::Payee,
        clear_suspense_request::To, close_account_request::Sweep, journal_leg::Party,
    },
    server::{group, prepare},
};

/// Accounts whose last command is over are forgotten when there are more than this.
const MANY: usize = 4_096;

/// The turns that were given out: of each account the last.
#[derive(Default)]
pub(super) struct Order {
    last: BTreeMap<AccountId, oneshot::Receiver<()>>,
}

/// A command's place in the order. Dropped before it is over, it never is, and none after it comes.
pub(super) struct Turn {
    before: Vec<oneshot::Receiver<()>>,
    after: Vec<oneshot::Sender<()>>,
}

impl Order {
    /// The turn of a command that names these accounts.
    pub(super) fn take(&mut self, accounts: BTreeSet<AccountId>) -> Turn {
        if self.last.len() > MANY {
            self.last.retain(|_, turn| turn.try_recv().is_err());
        }
        let mut turn = Turn {
            before: Vec::new(),
            after: Vec::new(),
        };
        for account in accounts {
            let (after, last) = oneshot::channel();
            turn.before.extend(self.last.insert(account, last));
            turn.after.push(after);
        }
        turn
    }
}

impl Turn {
    /// Waits until all before it are over; `None` if one of them never is.
    pub(super) async fn comes(mut self) -> Option<Self> {
        for before in self.before.drain(..) {
            before.await.ok()?;
        }
        Some(self)
    }

    /// Lets those after it come.
    pub(super) fn ends(self) {
        for after in self.after {
            // Nobody may come after it any more.
            let _ = after.send(());
        }
    }
}

/// The accounts that a command names. One that cannot be read is named by nobody.
pub(super) fn named(directory: &dyn Directory, command: &pb::BatchCommand) -> BTreeSet<AccountId> {
    let ids: Vec<&str> = match &command.command {
        None => Vec::new(),
        Some(Command::OpenAccount(open)) => {
            let opened = prepare::open(directory, open).ok();
            return opened.map(|it| it.action.account()).into_iter().collect();
        }
        Some(Command::CloseAccount(it)) => match &it.sweep {
            Some(Sweep::ToAccountId(to)) => vec![&it.account_id, to],
            _ => vec![&it.account_id],
        },
        Some(Command::Deposit(it)) => vec![&it.account_id],
        Some(Command::Withdraw(it)) => vec![&it.account_id],
        Some(Command::Transfer(it)) => vec![&it.from_account_id, &it.to_account_id],
        Some(Command::PlaceHold(it)) => vec![&it.account_id],
        Some(Command::RaiseHold(it)) => vec![&it.account_id],
        Some(Command::CaptureHold(it)) => match &it.payee {
            Some(Payee::ToAccountId(to)) => vec![&it.account_id, to],
            _ => vec![&it.account_id],
        },
        Some(Command::ReleaseHold(it)) => vec![&it.account_id],
        Some(Command::FreezeAccount(it)) => vec![&it.account_id],
        Some(Command::UnfreezeAccount(it)) => vec![&it.account_id],
        Some(Command::SetLimit(it)) => vec![&it.account_id],
        Some(Command::Reverse(it)) => vec![&it.account_id],
        Some(Command::SetSpendingLimit(it)) => vec![&it.account_id],
        Some(Command::SubmitJournal(it)) => {
            let parties = it.legs.iter().filter_map(|leg| leg.party.as_ref());
            let accounts = parties.filter_map(|party| match party {
                Party::AccountId(id) => Some(id.as_str()),
                Party::HouseAccount(_) => None,
            });
            accounts.collect()
        }
        // One that is too long, or of which a command cannot be read, does nothing.
        Some(Command::SubmitGroup(it)) => {
            let commands = group::commands(it).take(LONGEST_GROUP).flatten();
            return commands.flat_map(|it| named(directory, &it)).collect();
        }
        Some(Command::ClearSuspense(it)) => match &it.to {
            Some(To::ToAccountId(to)) => vec![&it.account_id, to],
            _ => vec![&it.account_id],
        },
    };
    ids.into_iter()
        .filter_map(|id| prepare::account(id).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn accounts(names: &[&str]) -> BTreeSet<AccountId> {
        let home = "home".parse().unwrap();
        let ids = names.iter().map(|name| AccountId::derive(home, "t", name));
        ids.collect()
    }

    #[test]
    fn a_turn_comes_when_all_before_it_that_name_its_accounts_are_over() {
        let mut order = Order::default();
        let [a, b, ab, c, bc] = [&["a"][..], &["b"], &["a", "b"], &["c"], &["b", "c"]]
            .map(|names| order.take(accounts(names)));
        let came = |turn: Turn| turn.comes().now_or_never().map(|it| it.expect("it comes"));
        let (a, b, c) = (came(a).unwrap(), came(b).unwrap(), came(c).unwrap());
        c.ends();
        a.ends();
        let mut both = Box::pin(ab.comes());
        assert!(both.as_mut().now_or_never().is_none(), "b is not over");
        b.ends();
        let both = both.now_or_never().unwrap().unwrap();
        let mut last = Box::pin(bc.comes());
        assert!(last.as_mut().now_or_never().is_none());
        both.ends();
        assert!(last.now_or_never().is_some());
    }

    #[test]
    fn none_comes_after_one_that_is_never_over() {
        let mut order = Order::default();
        let [first, second, third] =
            [&["a"][..], &["a", "b"], &["b"]].map(|n| order.take(accounts(n)));
        drop(first);
        assert!(second.comes().now_or_never().unwrap().is_none());
        assert!(third.comes().now_or_never().unwrap().is_none());
    }

    #[test]
    fn accounts_of_commands_that_are_over_are_forgotten() {
        let mut order = Order::default();
        let open = order.take(accounts(&["open"]));
        for n in 0..MANY * 2 {
            order.take(accounts(&[&n.to_string()])).ends();
        }
        assert!(order.last.len() <= MANY + 2);
        let next = order.take(accounts(&["open"]));
        assert!(next.comes().now_or_never().is_none());
        open.ends();
    }
}
