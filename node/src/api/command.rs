//! What all commands of a batch or a stream have in common.

use super::{
    teller::v1::{BatchCommand, batch_command::Command},
    v1::CommandContext,
};

impl BatchCommand {
    /// What the command carries besides its own substance. `None` of an empty one.
    pub fn context_mut(&mut self) -> Option<&mut CommandContext> {
        let context = match self.command.as_mut()? {
            Command::OpenAccount(open) => &mut open.context,
            Command::CloseAccount(close) => &mut close.context,
            Command::Deposit(deposit) => &mut deposit.context,
            Command::Withdraw(withdraw) => &mut withdraw.context,
            Command::Transfer(transfer) => &mut transfer.context,
            Command::PlaceHold(hold) => &mut hold.context,
            Command::RaiseHold(hold) => &mut hold.context,
            Command::CaptureHold(hold) => &mut hold.context,
            Command::ReleaseHold(hold) => &mut hold.context,
            Command::FreezeAccount(freeze) => &mut freeze.context,
            Command::UnfreezeAccount(unfreeze) => &mut unfreeze.context,
            Command::SetLimit(limit) => &mut limit.context,
            Command::ClearSuspense(clear) => &mut clear.context,
            Command::Reverse(reverse) => &mut reverse.context,
            Command::SubmitJournal(journal) => &mut journal.context,
            Command::SetSpendingLimit(limit) => &mut limit.context,
            Command::SubmitGroup(group) => &mut group.context,
        };
        Some(context.get_or_insert_default())
    }

    /// For how many commands it counts: a group for as many as it has, at least one.
    pub fn count(&self) -> usize {
        match &self.command {
            Some(Command::SubmitGroup(group)) => group.commands.len().max(1),
            _ => 1,
        }
    }
}

impl From<Command> for BatchCommand {
    fn from(command: Command) -> Self {
        Self {
            command: Some(command),
        }
    }
}
