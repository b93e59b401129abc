//! The binary `meridian`; everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    node::cli::main()
}
