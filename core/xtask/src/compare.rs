//! Figures beside other servers: prerequisites and a release build; the measurements themselves are `compare.py`
//! (throughput beside Postfix) and `cost.py` (the whole policy beside rspamd as a milter).

use crate::guests;
use crate::machine::{self, Need};
use crate::run::{self, Problem};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Passes its words on to `compare.py`; returns only if something is wrong.
pub fn compare(words: &[String]) -> Result<(), Problem> {
    measure("compare.py", &[machine::COMPARE], words)
}

/// Passes its words on to `cost.py`; returns only if something is wrong.
pub fn cost(words: &[String]) -> Result<(), Problem> {
    guests::build(&[])?;
    // The providers are made by the usual build's command.
    run::shown(run::cargo().args(["build", "--quiet", "--workspace", "--bins"]))?;
    measure("cost.py", &[machine::COMPARE, machine::COST], words)
}

fn measure(script: &str, needs: &[&[Need]], words: &[String]) -> Result<(), Problem> {
    for needs in [&[machine::BUILD, machine::DEMO], needs].concat() {
        machine::ensure(needs)?;
    }
    println!("building the server in release mode");
    run::shown(run::cargo().args(["build", "--quiet", "--release", "--workspace", "--bin", "sigillo"]))?;
    let mut python = Command::new("python3");
    python.arg("-B").arg(run::root().join("core/xtask").join(script)).args(words);
    python.env("SIGILLO", run::target().join("release/sigillo"));
    Err(Problem::at("python3", python.exec()))
}
