//! Every check there is, in one run with one summary. A check that cannot run has failed: nothing is skipped.

use crate::demo;
use crate::guests;
use crate::machine;
use crate::run::{self, Problem};
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

/// Outcomes so far.
struct Tally {
    passed: u32,
    failed: Vec<String>,
}

/// Runs all checks, those after a failed one too, and then says how many passed.
pub fn verify() -> Result<(), Problem> {
    for needs in [machine::BUILD, machine::DEMO, machine::JOURNEYS] {
        machine::ensure(needs)?;
    }
    machine::ensure_rust_tools()?;
    let mut tally = Tally { passed: 0, failed: Vec::new() };
    tally.check("format", || run::shown(run::cargo().args(["fmt", "--all", "--", "--check", "-l"])));
    tally.check("guests", || guests::build(&[]));
    tally.check("lints", lints);
    tally.check("server", || demo::build_server().map(|_| ()));
    tally.check("tests of the workspace", || run::shown(run::cargo().args(["test", "--workspace", "--no-fail-fast"])));
    for manifest in guests::manifests()? {
        if manifest.starts_with(run::root().join("plugins")) {
            tally.plugin(&manifest);
        }
    }
    for journey in journeys()? {
        let name = journey.file_name().unwrap_or_default().to_string_lossy().into_owned();
        tally.check(&format!("journey {name}"), || {
            run::shown(Command::new(run::root().join("tests/journeys/run")).arg(&name))
        });
    }
    tally.end()
}

fn lints() -> Result<(), Problem> {
    run::shown(run::cargo().args(["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"]))
}

/// The folders `tests/journeys/t-NN-name`, in order.
fn journeys() -> Result<Vec<PathBuf>, Problem> {
    let under = run::root().join("tests/journeys");
    let entries = std::fs::read_dir(&under).map_err(|error| Problem::at(under.display(), error))?;
    let mut folders: Vec<PathBuf> = entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    folders.retain(|folder| folder.join("journey.py").is_file());
    folders.sort();
    Ok(folders)
}

impl Tally {
    fn check(&mut self, name: &str, work: impl FnOnce() -> Result<(), Problem>) {
        println!("\n==> {name}");
        let began = Instant::now();
        let result = work();
        let seconds = began.elapsed().as_secs();
        match result {
            Ok(()) => {
                println!("==> {name}: passed ({seconds} s)");
                self.passed += 1;
            }
            Err(Problem(text)) => {
                println!("==> {name}: FAILED ({seconds} s)\n{text}");
                self.failed.push(name.to_owned());
            }
        }
    }

    /// A plugin is a package of its own: its format, lints and native tests.
    fn plugin(&mut self, manifest: &std::path::Path) {
        let name =
            manifest.parent().and_then(|folder| folder.file_name()).unwrap_or_default().to_string_lossy().into_owned();
        let cargo = |words: &[&str], after: &[&str]| {
            let mut command = run::cargo();
            command.args(words).arg("--manifest-path").arg(manifest).args(after);
            command.env("CARGO_TARGET_DIR", run::target().join("plugin-tests"));
            run::shown(&mut command)
        };
        self.check(&format!("plugin {name}: format"), || cargo(&["fmt"], &["--", "--check", "-l"]));
        self.check(&format!("plugin {name}: lints"), || {
            cargo(&["clippy", "--quiet", "--all-targets"], &["--", "-D", "warnings"])
        });
        self.check(&format!("plugin {name}: tests"), || cargo(&["test", "--quiet"], &[]));
    }

    fn end(self) -> Result<(), Problem> {
        for name in &self.failed {
            println!("failed: {name}");
        }
        println!("{} passed, {} failed", self.passed, self.failed.len());
        if self.failed.is_empty() { Ok(()) } else { Err(Problem("not everything passed".into())) }
    }
}
