//! Running other programs, and the one kind of error.

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What went wrong, in words for a person.
#[derive(Debug)]
pub struct Problem(pub String);

impl Problem {
    /// «`what`: `cause`».
    pub fn at(what: impl std::fmt::Display, cause: impl std::fmt::Display) -> Self {
        Self(format!("{what}: {cause}"))
    }
}

/// The folder of the workspace.
pub fn root() -> PathBuf {
    let core = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
    core.parent().unwrap_or(Path::new(".")).to_path_buf()
}

/// `target/`, or where `CARGO_TARGET_DIR` points.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |dir| root().join(dir))
}

/// Cargo as this task was started with, in the root of the workspace.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

fn words(command: &Command) -> String {
    let all = std::iter::once(command.get_program()).chain(command.get_args());
    all.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

fn start_failure(command: &Command, error: &std::io::Error) -> Problem {
    match error.kind() {
        ErrorKind::NotFound => Problem(format!("`{}` is not installed", command.get_program().to_string_lossy())),
        _ => Problem::at(words(command), error),
    }
}

/// Runs to the end with the output shown; an exit status other than 0 is a problem.
pub fn shown(command: &mut Command) -> Result<(), Problem> {
    let status = command.stdin(Stdio::null()).status().map_err(|error| start_failure(command, &error))?;
    if status.success() { Ok(()) } else { Err(Problem(format!("`{}` ended with {status}", words(command)))) }
}

/// Runs to the end and returns standard output; where the exit status is not 0, what it printed is in the problem.
pub fn output(command: &mut Command) -> Result<String, Problem> {
    fed(command, b"")
}

/// The same, with these bytes on standard input.
pub fn fed(command: &mut Command, input: &[u8]) -> Result<String, Problem> {
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().map_err(|error| start_failure(command, &error))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that ends without reading what it was given is judged by its exit status below.
        let _ = stdin.write_all(input);
    }
    let done = child.wait_with_output().map_err(|error| Problem::at(words(command), error))?;
    if done.status.success() {
        return Ok(String::from_utf8_lossy(&done.stdout).into_owned());
    }
    let said = [done.stdout, done.stderr].concat();
    Err(Problem(format!("`{}` ended with {}\n{}", words(command), done.status, String::from_utf8_lossy(&said).trim())))
}

/// Writes a file whole.
pub fn write(path: &Path, content: impl AsRef<[u8]>) -> Result<(), Problem> {
    std::fs::write(path, content).map_err(|error| Problem::at(path.display(), error))
}

/// Reads a file whole, as text.
pub fn read(path: &Path) -> Result<String, Problem> {
    std::fs::read_to_string(path).map_err(|error| Problem::at(path.display(), error))
}

/// Makes a folder and those above it.
pub fn folder(path: &Path) -> Result<(), Problem> {
    std::fs::create_dir_all(path).map_err(|error| Problem::at(path.display(), error))
}
