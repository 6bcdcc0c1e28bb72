//! Guests: every plugin and every test guest, from Rust to a WebAssembly component.
//!
//! Cargo makes a core module for `wasm32-unknown-unknown`; `wit-component` makes a component of it, with no adapter,
//! so that a guest cannot import anything but the contract in `wit/`.

use crate::machine;
use crate::run::{self, Problem};
use std::path::{Path, PathBuf};
use std::process::Command;
use wit_component::ComponentEncoder;

const TARGET: &str = "wasm32-unknown-unknown";

/// One package that becomes a component.
#[derive(Clone)]
struct Guest {
    /// Its folder's name, which is the component's.
    name: String,
    folder: PathBuf,
    /// `target/plugins` or `target/guests`.
    output: PathBuf,
}

/// How core modules are compiled on this machine.
enum Toolchain {
    /// The target is installed beside the compiler in use.
    Target,
    /// Debian's compiler with its sources, from which it builds the standard library too.
    Debian { linker: PathBuf },
}

/// Builds the guests of these names, or all; a name with a `/` is the folder of a plugin that lies elsewhere.
pub fn build(names: &[String]) -> Result<(), Problem> {
    let (folders, names): (Vec<&String>, Vec<&String>) = names.iter().partition(|name| name.contains('/'));
    let elsewhere: Vec<Guest> = folders.iter().map(|folder| Guest::at(folder)).collect::<Result<_, _>>()?;
    let mut guests = [all("plugins", "plugins")?, all("tests/guests", "guests")?].concat();
    if let Some(unknown) = names.iter().find(|name| guests.iter().all(|guest| guest.name != ***name)) {
        return Err(Problem(format!("no guest named `{unknown}` under plugins/ or tests/guests/")));
    }
    let every = names.is_empty() && elsewhere.is_empty();
    guests.retain(|guest| every || names.contains(&&guest.name));
    guests.extend(elsewhere);
    if guests.is_empty() {
        return Ok(());
    }
    let toolchain = Toolchain::choose()?;
    println!("guests: {}", toolchain.describe());
    let results: Vec<Result<bool, Problem>> = guests.iter().map(|guest| guest.build(&toolchain)).collect();
    let built = results.iter().filter(|result| matches!(result, Ok(false))).count();
    let kept = results.iter().filter(|result| matches!(result, Ok(true))).count();
    println!("guests: {built} built, {kept} up to date");
    // One guest that does not compile does not keep the others from being built.
    let broken: Vec<String> = results.into_iter().filter_map(Result::err).map(|Problem(text)| text).collect();
    if broken.is_empty() { Ok(()) } else { Err(Problem(broken.join("\n"))) }
}

/// The folders of `plugins/` and `tests/guests/` that are packages of their own.
pub fn manifests() -> Result<Vec<PathBuf>, Problem> {
    let guests = [all("plugins", "plugins")?, all("tests/guests", "guests")?].concat();
    Ok(guests.into_iter().map(|guest| guest.folder.join("Cargo.toml")).collect())
}

fn all(under: &str, output: &str) -> Result<Vec<Guest>, Problem> {
    let Ok(entries) = std::fs::read_dir(run::root().join(under)) else { return Ok(Vec::new()) };
    let folders = entries.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    let packages = folders.filter(|folder| folder.join("Cargo.toml").is_file());
    let mut guests: Vec<Guest> = packages
        .filter(|folder| is_guest(folder))
        .filter_map(|folder| {
            let name = folder.file_name()?.to_str()?.to_owned();
            Some(Guest { name, folder, output: run::target().join(output) })
        })
        .collect();
    guests.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(guests)
}

/// A library that only other guests use is no guest: it makes no `cdylib`.
fn is_guest(folder: &Path) -> bool {
    run::read(&folder.join("Cargo.toml")).is_ok_and(|manifest| manifest.contains("cdylib"))
}

impl Toolchain {
    fn choose() -> Result<Self, Problem> {
        let mut ask = Command::new("rustc");
        let library = run::output(ask.args(["--print", "target-libdir", "--target", TARGET]))?;
        if Path::new(library.trim()).is_dir() {
            return Ok(Self::Target);
        }
        let advice = "run: rustup target add wasm32-unknown-unknown";
        if machine::find("apt-get").is_none() {
            return Err(Problem(format!("this Rust cannot compile for {TARGET}; {advice}")));
        }
        machine::ensure(machine::GUESTS).map_err(|Problem(text)| Problem(format!("{text}\n(or {advice})")))?;
        let ask = |what| run::output(Command::new("rustc").args(["--print", what]));
        let host = Path::new(ask("sysroot")?.trim()).join("lib/rustlib").join(ask("host-tuple")?.trim());
        let linker = host.join("bin/rust-lld");
        match linker.is_file() {
            true => Ok(Self::Debian { linker }),
            false => Err(Problem(format!("{} is not there; {advice}", linker.display()))),
        }
    }

    fn describe(&self) -> String {
        match self {
            Self::Target => format!("target {TARGET} is installed: the usual cargo"),
            Self::Debian { .. } => format!(
                "target {TARGET} is not installed: Debian's cargo and sources; the first time this builds the standard \
                 library too, about two minutes"
            ),
        }
    }

    fn cargo(&self) -> Command {
        match self {
            Self::Target => Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())),
            Self::Debian { linker } => {
                let mut command = Command::new("/usr/bin/cargo");
                // What rustup's cargo sets for its own compiler would mislead the other one.
                for name in ["CARGO", "RUSTUP_TOOLCHAIN", "RUSTDOC", "LD_LIBRARY_PATH", "RUSTC_WRAPPER", "RUSTFLAGS"] {
                    command.env_remove(name);
                }
                // -Zbuild-std is refused to a stable compiler unless told that we mean it.
                command.env("RUSTC", "/usr/bin/rustc").env("RUSTC_BOOTSTRAP", "1");
                command.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
                command
            }
        }
    }
}

impl Guest {
    /// The package of a plugin anywhere on this machine.
    fn at(folder: &str) -> Result<Guest, Problem> {
        let folder = std::fs::canonicalize(folder).map_err(|error| Problem::at(folder, error))?;
        let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        if !is_guest(&folder) {
            let shown = folder.display();
            return Err(Problem(format!("{shown}: there is no Cargo.toml with crate-type = [\"cdylib\"] in it")));
        }
        Ok(Guest { name, folder, output: run::target().join("plugins") })
    }

    /// Returns whether everything was there already.
    fn build(&self, toolchain: &Toolchain) -> Result<bool, Problem> {
        let built = run::target().join("guest-build");
        let mut cargo = toolchain.cargo();
        cargo.args(["build", "--quiet", "--release", "--target", TARGET]);
        if let Toolchain::Debian { .. } = toolchain {
            cargo.arg("-Zbuild-std=std,panic_abort");
        }
        cargo.current_dir(&self.folder).env("CARGO_TARGET_DIR", &built);
        run::shown(&mut cargo).map_err(|Problem(text)| Problem(format!("guest {}: {text}", self.name)))?;
        let module = built.join(TARGET).join("release").join(format!("{}.wasm", self.crate_name()?));
        let component = self.output.join(format!("{}.wasm", self.name));
        run::folder(&self.output)?;
        self.copy_manifest()?;
        if newer(&component, &module) {
            return Ok(true);
        }
        let size = encode(&module, &component).map_err(|text| Problem::at(format!("guest {}", self.name), text))?;
        println!("guests: {} ({} kB)", self.name, size.div_ceil(1000));
        Ok(false)
    }

    /// The library's name if it has one of its own, else the package's.
    fn crate_name(&self) -> Result<String, Problem> {
        let path = self.folder.join("Cargo.toml");
        let manifest = run::read(&path)?;
        let name = name_in(&manifest, "[lib]").or_else(|| name_in(&manifest, "[package]"));
        name.map(|name| name.replace('-', "_")).ok_or_else(|| Problem::at(path.display(), "no name"))
    }

    fn copy_manifest(&self) -> Result<(), Problem> {
        let from = self.folder.join("plugin.yaml");
        if !from.is_file() {
            return Ok(());
        }
        let to = self.output.join(format!("{}.plugin.yaml", self.name));
        if newer(&to, &from) {
            return Ok(());
        }
        std::fs::copy(&from, &to).map(|_| ()).map_err(|error| Problem::at(to.display(), error))
    }
}

fn name_in(manifest: &str, section: &str) -> Option<String> {
    let lines = manifest.lines().map(str::trim).skip_while(|line| *line != section).skip(1);
    lines.take_while(|line| !line.starts_with('[')).find_map(|line| {
        let (key, value) = line.split_once('=')?;
        (key.trim() == "name").then(|| value.trim().trim_matches('"').to_owned())
    })
}

/// Core module to component, replaced at once so that a server never reads half of one.
fn encode(module: &Path, component: &Path) -> Result<usize, String> {
    let bytes = std::fs::read(module).map_err(|error| format!("{}: {error}", module.display()))?;
    let encoder = ComponentEncoder::default().validate(true).module(&bytes);
    let encoded = encoder.and_then(|mut encoder| encoder.encode()).map_err(|error| format!("{error:#}"))?;
    let half = component.with_extension("wasm.new");
    std::fs::write(&half, &encoded).map_err(|error| format!("{}: {error}", half.display()))?;
    std::fs::rename(&half, component).map_err(|error| format!("{}: {error}", component.display()))?;
    Ok(encoded.len())
}

/// Whether `this` is there and was written after `than`.
fn newer(this: &Path, than: &Path) -> bool {
    let time = |path: &Path| std::fs::metadata(path).and_then(|meta| meta.modified()).ok();
    matches!((time(this), time(than)), (Some(this), Some(than)) if this >= than)
}

#[cfg(test)]
mod tests {
    use super::name_in;

    #[test]
    fn a_folder_elsewhere_is_a_plugin_only_with_a_package_in_it() {
        let said = |folder| super::build(&[format!("{folder}/")]).unwrap_err().0;
        assert!(said("/nowhere").contains("/nowhere"));
        assert!(said(env!("CARGO_MANIFEST_DIR")).contains("cdylib"));
    }

    #[test]
    fn the_library_has_its_own_name_or_none() {
        let manifest =
            "[package]\nname = \"a-b\"\n\n[lib]\ncrate-type = [\"cdylib\"]\n\n[dependencies]\nname = \"x\"\n";
        assert_eq!(name_in(manifest, "[lib]"), None);
        assert_eq!(name_in(manifest, "[package]").as_deref(), Some("a-b"));
        assert_eq!(name_in("[lib]\nname = \"guest\"\n", "[lib]").as_deref(), Some("guest"));
    }
}
