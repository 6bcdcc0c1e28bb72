//! `sigillo`: the server and the commands of its operator.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;
use sigillo_server::admin::{self, Cli};

fn main() -> ExitCode {
    admin::run(Cli::parse())
}
