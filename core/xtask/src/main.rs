//! The tasks of this repository, reached as `cargo xtask`, `cargo demo` and `cargo verify`.
//!
//! *What it does*: builds the plugins to WebAssembly components, creates demo providers, runs the demo and every check
//! there is; installs what the machine lacks for that, and says so.
//! *What it never does*: take part in the server; nothing of `core/` depends on it, and it needs only the standard
//! library and `wit-component`, so that it is there a minute after a clone.
//! *What it trusts*: this repository and the machine it runs on.
//! *Standards*: RFC 5280 (certificates of the demo), RFC 2849 (index of providers).
//! *When it fails*: with one message that says what to do, and a non-zero exit status.
#![forbid(unsafe_code)]

mod arguments;
mod certificates;
mod compare;
mod demo;
mod guests;
mod machine;
mod providers;
mod run;
mod verify;

use arguments::Arguments;
use run::Problem;
use std::process::ExitCode;

const USAGE: &str = "\
Tasks of this repository

  cargo demo [--once] [--dir DIR] [--base-port N] [--force]
                                                    two certified-mail providers and a message between them
  cargo verify                                      format, lints, tests, journeys: everything that must pass
  cargo xtask guests [NAME|FOLDER/...]              the plugins and the tests' guests, as components under target/;
                                                    FOLDER/: a plugin that lies elsewhere
  cargo xtask providers --dir DIR [--base-port N] [--force]
                                                    two providers in a folder, ready for `sigillo serve`
  cargo xtask compare [--messages N] [--connections N] [--rounds N]
                                                    throughput beside Postfix, in one run
  cargo xtask cost [--messages N] [--rounds N] [--size OCTETS]
                                                    what the whole policy costs a message, beside rspamd under Postfix
";

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let task = words.next().unwrap_or_default();
    let result = match task.as_str() {
        // Its words are for the script it starts.
        "compare" => compare::compare(&words.collect::<Vec<_>>()),
        "cost" => compare::cost(&words.collect::<Vec<_>>()),
        _ => Arguments::parse(words).and_then(|arguments| dispatch(&task, arguments)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Problem(text)) => {
            eprintln!("error: {text}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(task: &str, mut arguments: Arguments) -> Result<(), Problem> {
    match task {
        "guests" => {
            let names = arguments.rest();
            arguments.finish()?;
            guests::build(&names)
        }
        "demo" => {
            let options = demo_options(&mut arguments)?;
            arguments.finish()?;
            demo::demo(&options)
        }
        "providers" => {
            let options = demo_options(&mut arguments)?;
            arguments.finish()?;
            let dir = options.dir.ok_or_else(|| Problem("--dir DIR is missing".into()))?;
            let kept = demo::prepare(&dir, options.base_port, options.force)?;
            println!("{}: {}", dir.display(), if kept { "kept as it was" } else { "two providers" });
            Ok(())
        }
        "verify" => {
            arguments.finish()?;
            verify::verify()
        }
        "" | "help" | "--help" | "-h" => {
            print!("{USAGE}");
            Ok(())
        }
        other => Err(Problem(format!("no task named `{other}`\n\n{USAGE}"))),
    }
}

fn demo_options(arguments: &mut Arguments) -> Result<demo::Options, Problem> {
    Ok(demo::Options {
        once: arguments.flag("--once"),
        dir: arguments.value("--dir")?,
        base_port: arguments.value("--base-port")?,
        force: arguments.flag("--force"),
    })
}
