//! `sigillo`: the server and the commands of its operator.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use sigillo_server::admin;

fn main() -> ExitCode {
    admin::run(admin::arguments())
}
