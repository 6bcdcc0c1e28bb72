//! Throughput beside Postfix: prerequisites and a release build; the measurement itself is `compare.py`.

use crate::machine;
use crate::run::{self, Problem};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Passes its words on to `compare.py`; returns only if something is wrong.
pub fn compare(words: &[String]) -> Result<(), Problem> {
    for needs in [machine::BUILD, machine::DEMO, machine::COMPARE] {
        machine::ensure(needs)?;
    }
    println!("building the server in release mode");
    run::shown(run::cargo().args(["build", "--quiet", "--release", "--workspace", "--bin", "sigillo"]))?;
    let mut script = Command::new("python3");
    script.arg("-B").arg(run::root().join("core/xtask/compare.py")).args(words);
    script.env("SIGILLO", run::target().join("release/sigillo"));
    Err(Problem::at("python3", script.exec()))
}
