//! `meridian demo`: the whole ledger on one machine, shown in acts.
//!
//! Nine real nodes, each a process with its own disk, in three regions with the distances of the
//! topology's dev settings. Everything that is shown comes out of the public API. Each act states
//! what must hold; what does not is an [`Error`].

mod acts;
mod cluster;
mod screen;

use std::{future::Future, path::PathBuf};

use crate::{client, import};
use cluster::Cluster;
use screen::Screen;

/// Why the demo ended early.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or a process.
    #[error("{what}: {cause}")]
    Machine {
        /// What was tried.
        what: String,
        /// Why it failed.
        cause: std::io::Error,
    },
    /// A file of the nodes' configuration.
    #[error(transparent)]
    Config(#[from] crate::config::Error),
    /// A call failed that must not.
    #[error("{what}: {cause}")]
    Call {
        /// What was asked.
        what: &'static str,
        /// What came back.
        cause: client::Error,
    },
    /// The import failed.
    #[error(transparent)]
    Import(#[from] import::Error),
    /// A node did not come up.
    #[error("{0}")]
    NotReady(String),
    /// Something does not hold that must.
    #[error("this does not hold: {0}")]
    Broken(String),
    /// The output is not what it was.
    #[error("the output differs from {file}:\n{difference}")]
    Golden {
        /// The golden text.
        file: PathBuf,
        /// The first line that differs.
        difference: String,
    },
}

/// How to play it.
#[derive(Debug, Clone, Default)]
pub struct Play {
    /// Where the nodes keep their data; must not exist yet. Removed after a good end.
    pub dir: PathBuf,
    /// The golden text to compare the output with, numbers masked.
    pub golden: Option<PathBuf>,
    /// Write the golden text instead.
    pub write_golden: bool,
    /// End after the last act instead of leaving the ledger to the user.
    pub check: bool,
}

/// States what must hold.
fn holds(is_so: bool, claim: impl FnOnce() -> String) -> Result<(), Error> {
    if is_so {
        return Ok(());
    }
    Err(Error::Broken(claim()))
}

/// Plays all acts. Unless it is a check, the ledger then stays until `stop` resolves.
pub async fn play(play: Play, stop: impl Future<Output = ()>) -> Result<(), Error> {
    let mut screen = Screen::default();
    let mut stop = std::pin::pin!(stop);
    screen.title();
    let mut cluster = Cluster::prepare(&play.dir)?;
    let acts = async {
        cluster.start_all()?;
        cluster.ready().await?;
        acts::all(&mut cluster, &mut screen).await
    };
    let played = tokio::select! {
        played = acts => played,
        () = &mut stop => {
            screen.say("Stopping.");
            cluster.stop().await;
            return cluster.remove();
        }
    };
    if let Err(error) = played {
        cluster.stop().await;
        screen.say(&format!("The nodes' logs are in {}.", play.dir.display()));
        return Err(error);
    }
    if play.check {
        cluster.stop().await;
        cluster.remove()?;
        return match &play.golden {
            Some(file) if play.write_golden => screen.write_golden(file),
            Some(file) => screen.compare_golden(file),
            None => Ok(()),
        };
    }
    screen.try_it(&cluster);
    stop.await;
    screen.say("Stopping.");
    cluster.stop().await;
    cluster.remove()
}
