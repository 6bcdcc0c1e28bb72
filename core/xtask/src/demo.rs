//! The demo: everything up to two providers ready to start; the walk itself is `demo.py`, an ordinary mail client.

use crate::guests;
use crate::machine;
use crate::providers;
use crate::run::{self, Problem};
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the command line may ask of the demo.
pub struct Options {
    /// Stop after the walk instead of waiting for Ctrl-C.
    pub once: bool,
    /// Where everything is kept; `./demo` if nobody says.
    pub dir: Option<PathBuf>,
    /// First port; the next free one if nobody says.
    pub base_port: Option<u16>,
    /// Make the providers anew where there are some already.
    pub force: bool,
}

/// Runs it; returns only if something is wrong, because the walk takes this process's place.
pub fn demo(options: &Options) -> Result<(), Problem> {
    let dir = options.dir.clone().unwrap_or_else(|| "demo".into());
    let dir = std::path::absolute(&dir).map_err(|error| Problem::at(dir.display(), error))?;
    step(1, "what this machine needs (compiler, openssl, python3, xmllint, curl, clamd)");
    machine::ensure(machine::BUILD)?;
    machine::ensure(machine::DEMO)?;
    machine::ensure(machine::SERVICE)?;
    println!("ok");
    step(2, "building the server; the first time about ten minutes");
    println!();
    build_server()?;
    step(3, "building the plugins to WebAssembly");
    println!();
    guests::build(&[])?;
    step(4, "providers Alfa and Beta: authority, keys, index, mailboxes");
    let kept = prepare(&dir, options.base_port, options.force)?;
    println!("{}", if kept { "kept as they were" } else { "ok" });
    let mut walk = Command::new("python3");
    walk.arg("-B").arg(run::root().join("core/xtask/demo.py")).arg(&dir).args(options.once.then_some("--once"));
    // The same process from here on, so that Ctrl-C and the exit status are the walk's.
    Err(Problem::at("python3", walk.exec()))
}

/// The server's command, `target/debug/sigillo`.
pub fn build_server() -> Result<PathBuf, Problem> {
    run::shown(run::cargo().args(["build", "--quiet", "--workspace", "--bin", "sigillo"]))?;
    Ok(run::target().join("debug/sigillo"))
}

/// Both providers complete in `dir`, with the plugins as they were built last. Returns whether they were there.
pub fn prepare(dir: &Path, base_port: Option<u16>, force: bool) -> Result<bool, Problem> {
    let kept = providers::existing(dir)?.is_some() && !force;
    install_plugins(&dir.join("plugins"))?;
    if !kept {
        let pair = providers::create(dir, providers::free_base(base_port)?, force)?;
        providers::create_accounts(dir, &pair, &run::target().join("debug/sigillo"))?;
    }
    Ok(kept)
}

/// Plugins are code: unlike keys and mailboxes they are renewed every time.
fn install_plugins(folder: &Path) -> Result<(), Problem> {
    run::folder(folder)?;
    let built = run::target().join("plugins");
    let entries = std::fs::read_dir(&built).map_err(|_| Problem("no plugins are built: cargo xtask guests".into()))?;
    for entry in entries.filter_map(Result::ok).filter(|entry| entry.path().is_file()) {
        let to = folder.join(entry.file_name());
        std::fs::copy(entry.path(), &to).map_err(|error| Problem::at(to.display(), error))?;
    }
    Ok(())
}

fn step(number: u32, what: &str) {
    print!("{:.<84} ", format!("[{number}/9] {what} "));
    // A line that cannot be shown is no reason to stop.
    let _ = std::io::stdout().flush();
}
