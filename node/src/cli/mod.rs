//! The commands of the binary `meridian`.
//!
//! `args` says what can be asked for. Each command makes an `Output`, the same answer as
//! text for people and as JSON for programs (`--json`), which goes to standard output. Everything
//! else, progress and errors included, goes to standard error. `exit` has the exit codes.

mod amount;
mod args;
mod backup;
mod consumer;
mod customer;
mod day;
mod declined;
mod demo;
mod events;
mod exit;
mod export;
mod freeze;
mod heads;
mod hold;
mod import;
mod journal;
mod keys;
mod moment;
mod node;
mod output;
mod pages;
mod path;
mod progress;
mod read;
mod reference;
mod replica;
mod reverse;
mod spending;
mod statement;
mod status;
mod submit;
mod suspense;
mod trial_balance;
mod verify;
mod views;
mod watch;
mod why_stale;
mod write;

use std::{io::Write, process::ExitCode};

use clap::Parser;
use serde_json::Value;

use crate::{
    client::{Client, Options, Seed},
    config::Config,
};
use args::{AccountCommand, Arguments, Command, Connection};
use exit::Failure;
use output::Output;

pub(crate) use amount::render;

/// Runs the program: reads the command line, does what it says, answers with an exit code.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let json = arguments.connection.json;
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if let Some(threads) = threads(&arguments) {
        builder.worker_threads(threads);
    }
    let runtime = match builder.enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("meridian: start the runtime: {error}");
            return exit::BROKEN.into();
        }
    };
    match runtime.block_on(run(arguments)) {
        Ok(output) => print(&output, json),
        Err(failure) => {
            eprintln!("{}", failure.render(json));
            failure.exit_code().into()
        }
    }
}

/// How many threads a node's configuration asks for. What is wrong with it is told when it is read
/// again to start the node.
fn threads(arguments: &Arguments) -> Option<usize> {
    let Command::Node(node) = &arguments.command else {
        return None;
    };
    let config = Config::read(node.config.as_ref()?).ok()?;
    (config.threads > 0).then_some(config.threads)
}

async fn run(arguments: Arguments) -> Result<Output, Failure> {
    let connection = &arguments.connection;
    match arguments.command {
        Command::Account { command } => {
            let client = connect(connection)?;
            match command {
                AccountCommand::Open(open) => write::open(&client, open).await,
                AccountCommand::Show(given) => read::account(&client, given).await,
                AccountCommand::Close(close) => write::close(&client, close).await,
                AccountCommand::Freeze(given) => freeze::freeze(&client, given).await,
                AccountCommand::Declined { account, limit } => {
                    declined::declined(&client, account, limit).await
                }
                AccountCommand::Limit(given) => write::limit(&client, given).await,
                AccountCommand::SpendingLimit(given) => spending::limit(&client, given).await,
                AccountCommand::Unfreeze(given) => freeze::unfreeze(&client, given).await,
            }
        }
        Command::Deposit(deposit) => write::deposit(&connect(connection)?, deposit).await,
        Command::Withdraw(withdraw) => write::withdraw(&connect(connection)?, withdraw).await,
        Command::Transfer(transfer) => write::transfer(&connect(connection)?, transfer).await,
        Command::Hold { command } => hold::hold(&connect(connection)?, command).await,
        Command::Suspense { command } => suspense::suspense(&connect(connection)?, command).await,
        Command::Customer { command } => customer::customer(&connect(connection)?, command).await,
        Command::Reference { command } => {
            reference::reference_command(&connect(connection)?, command).await
        }
        Command::Find(given) => reference::find(&connect(connection)?, given).await,
        Command::Reverse(given) => reverse::reverse(&connect(connection)?, given).await,
        Command::Journal { command } => journal::journal(&connect(connection)?, command).await,
        Command::Exchange(given) => journal::exchange(&connect(connection)?, given).await,
        Command::Transaction(which) => read::transaction(&connect(connection)?, which).await,
        Command::Balance(balance) => read::balance(&connect(connection)?, balance).await,
        Command::Statement(statement) => {
            statement::statement(&connect(connection)?, statement).await
        }
        Command::Watch(given) => watch::watch(&connect(connection)?, given, connection.json).await,
        Command::Events(given) => {
            events::events(&connect(connection)?, given, connection.json).await
        }
        Command::Consumer { command } => {
            consumer::consumer(&connect(connection)?, command, connection.json).await
        }
        Command::TrialBalance(what) => {
            trial_balance::trial_balance(&connect(connection)?, what).await
        }
        Command::Day { command } => day::day(&connect(connection)?, command).await,
        Command::Import(what) => import::import(&connect(connection)?, what).await,
        Command::Submit(what) if what.check => submit::check(&what, &connection.caller),
        Command::Submit(what) => {
            submit::submit(&connect(connection)?, what, &connection.caller).await
        }
        Command::Group(what) => submit::group(&connect(connection)?, what).await,
        Command::Demo(arguments) => demo::demo(arguments, connection.json).await,
        Command::Node(arguments) => node::node(arguments).await,
        Command::Verify(what) => verify::verify(&what),
        Command::Export(what) => export::export(&what),
        Command::Keys { command } => keys::keys(&command),
        Command::Backup(what) => backup::backup(&connect(connection)?, what).await,
        Command::Restore(what) => backup::restored(what).await,
        Command::Replica { command } => replica::replica(&connect(connection)?, command).await,
        Command::Views { command } => views::views(&connect(connection)?, command).await,
        Command::Heads => heads::heads(&connect(connection)?).await,
        Command::Status => status::status(&connect(connection)?).await,
        Command::WhyStale(what) => why_stale::why_stale(&connect(connection)?, what).await,
    }
}

fn connect(connection: &Connection) -> Result<Client, Failure> {
    let mut options = Options::new(&connection.caller);
    options.deadline = connection.deadline;
    // Leaves time for another node, and for one more after that.
    options.attempt = options.attempt.min(connection.deadline / 3);
    options.region.clone_from(&connection.near);
    let named_one_by_one = connection.nodes.iter().all(|node| Seed::is_address(node));
    if named_one_by_one && connection.near.is_none() {
        return Ok(Client::new(connection.nodes.clone(), options)?);
    }
    let seeds = connection.nodes.iter().map(|node| node.parse());
    Ok(Client::discover(seeds.collect::<Result<_, _>>()?, options)?)
}

fn print(output: &Output, json: bool) -> ExitCode {
    let text = match &output.json {
        // It was printed as it came.
        Value::Null if json => String::new(),
        answer if json => format!("{answer}\n"),
        _ => output.text.clone(),
    };
    // Nobody may be reading any more, as in `meridian statement … | head`.
    let written = std::io::stdout().lock().write_all(text.as_bytes());
    match written {
        Ok(()) => output.exit_code.into(),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => output.exit_code.into(),
        Err(error) => {
            eprintln!("meridian: write the answer: {error}");
            exit::BROKEN.into()
        }
    }
}
