//! A folder of sealed files by itself: what an export writes, and its verification without the database.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::chain::{Finding, hex};
use super::sealed_file::{self, FileReport, write_whole};
use super::sealing::{SealedFile, log_files};

/// The file that lists the others, so that one that is missing at the begin or the end is noticed too.
pub const MANIFEST: &str = "manifest.json";
/// Longest manifest that is read, octets: thirty months with a hundred files a day.
const MANIFEST_MAX: u64 = 64 * 1024 * 1024;
/// Version of its form.
const FORM: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Manifest {
    sigillo_log_manifest: u32,
    files: Vec<Listed>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Listed {
    name: String,
    sha256: String,
    /// Of its stamp; absent if there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stamp_sha256: Option<String>,
}

/// What verifying a folder found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderReport {
    /// Every file that could be read.
    pub files: Vec<FileReport>,
    /// Whether a manifest says which files belong here.
    pub listed: bool,
    /// Everything that is wrong.
    pub findings: Vec<Finding>,
}

fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn stamp_name(name: &str) -> String {
    format!("{name}.tsr")
}

/// Copies sealed files with their stamps from one folder to another, which must be empty, and lists them there.
pub fn export(files: &[SealedFile], from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    if fs::read_dir(to)?.next().is_some() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("{}: the folder is not empty", to.display())));
    }
    let mut listed = Vec::new();
    for file in files {
        let content = fs::read(from.join(&file.name))?;
        write_whole(&to.join(&file.name), &content)?;
        let stamp = match fs::read(from.join(stamp_name(&file.name))) {
            Ok(stamp) => Some(stamp),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        if let Some(stamp) = &stamp {
            write_whole(&to.join(stamp_name(&file.name)), stamp)?;
        }
        listed.push(Listed {
            name: file.name.clone(),
            sha256: digest(&content),
            stamp_sha256: stamp.as_deref().map(digest),
        });
    }
    let manifest = Manifest { sigillo_log_manifest: FORM, files: listed };
    write_whole(&to.join(MANIFEST), serde_json::to_string(&manifest)?.as_bytes())
}

/// Reads every file of a folder through, each by itself and all together as chains. `seen` is told each name.
pub fn verify(folder: &Path, mut seen: impl FnMut(&str)) -> io::Result<FolderReport> {
    let mut files = Vec::new();
    for path in log_files(folder)? {
        seen(&path.file_name().unwrap_or_default().to_string_lossy());
        files.push(sealed_file::read(&path, |_, _, _| {})?);
    }
    let mut findings: Vec<Finding> = files.iter().flat_map(|file| file.findings.clone()).collect();
    check_chains(&files, &mut findings);
    let listed = check_manifest(folder, &files, &mut findings)?;
    Ok(FolderReport { files, listed, findings })
}

/// Each file must go on where the one before it ended.
fn check_chains(files: &[FileReport], findings: &mut Vec<Finding>) {
    let mut chains: BTreeMap<&'static str, Vec<&FileReport>> = BTreeMap::new();
    for file in files {
        if let Some(header) = &file.header {
            chains.entry(header.stream.word()).or_default().push(file);
        }
    }
    for chain in chains.values_mut() {
        chain.sort_by_key(|file| file.header.as_ref().map_or(0, |header| header.first));
        for pair in chain.windows(2) {
            let (Some(head), Some(header)) = (pair[0].head, &pair[1].header) else { continue };
            let mut note = |problem: String| findings.push(Finding::file(&pair[1].name, problem));
            if header.first > head.sequence + 1 {
                note(format!("records {} to {} are in no file here", head.sequence + 1, header.first - 1));
            } else if header.first <= head.sequence {
                note(format!("it holds records that are in {} too", pair[0].name));
            } else if header.previous != hex(&head.hash) {
                note(format!("it does not continue {}", pair[0].name));
            }
        }
    }
}

fn check_manifest(folder: &Path, files: &[FileReport], findings: &mut Vec<Finding>) -> io::Result<bool> {
    let path = folder.join(MANIFEST);
    if !path.exists() {
        return Ok(false);
    }
    let manifest =
        if path.metadata()?.len() > MANIFEST_MAX { None } else { serde_json::from_slice(&fs::read(&path)?).ok() };
    let Some(manifest) = manifest.filter(|manifest: &Manifest| manifest.sigillo_log_manifest == FORM) else {
        findings.push(Finding::file(MANIFEST, "it is not a list of log files any more"));
        return Ok(true);
    };
    for listed in &manifest.files {
        let mut note = |problem: &str| findings.push(Finding::file(&listed.name, problem));
        match files.iter().find(|file| file.name == listed.name) {
            None => note("it is missing, and the manifest lists it"),
            Some(file) if hex(&file.sha256) != listed.sha256 => note("its SHA-256 is not the one in the manifest"),
            Some(_) => {}
        }
        let stamp = fs::read(folder.join(stamp_name(&listed.name))).ok().map(|stamp| digest(&stamp));
        match (&listed.stamp_sha256, stamp) {
            (Some(_), None) => note("its stamp is missing"),
            (Some(listed), Some(found)) if *listed != found => note("its stamp is not the one in the manifest"),
            (None, Some(_)) => note("it has a stamp that the manifest does not list"),
            _ => {}
        }
    }
    for file in files.iter().filter(|file| !manifest.files.iter().any(|listed| listed.name == file.name)) {
        findings.push(Finding::file(&file.name, "it is here and the manifest does not list it"));
    }
    Ok(true)
}
