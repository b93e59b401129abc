//! `meridian demo`: nine nodes on this machine, and what they can do.

use std::path::PathBuf;

use clap::Args;

use super::{exit::Failure, node::told_to_stop, output::Output};
use crate::demo::{self, Play};

/// How to play the demo.
#[derive(Debug, Args)]
pub struct DemoArguments {
    /// End after the last act; exit with an error if anything did not hold.
    #[arg(long)]
    pub check: bool,
    /// Where the nodes keep their data, a folder that is not there yet. Default: a temporary one.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Compare the output, numbers masked, with this file.
    #[arg(long, value_name = "FILE", requires = "check")]
    pub golden: Option<PathBuf>,
    /// Write that file instead of comparing with it.
    #[arg(long, requires = "golden")]
    pub write_golden: bool,
}

pub(super) async fn demo(arguments: DemoArguments) -> Result<Output, Failure> {
    let temporary = || std::env::temp_dir().join(format!("meridian-demo-{}", std::process::id()));
    let play = Play {
        dir: arguments.data.unwrap_or_else(temporary),
        golden: arguments.golden,
        write_golden: arguments.write_golden,
        check: arguments.check,
    };
    demo::play(play, told_to_stop()).await?;
    Ok(Output::ok(
        String::new(),
        serde_json::json!({ "held": true }),
    ))
}
