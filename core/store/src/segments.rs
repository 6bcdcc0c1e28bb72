//! Message bytes in append-only files.
//!
//! A record is a header of [`HEADER`] octets (magic, length, SHA-256) and the bytes. Small content shares a file and is
//! appended by the committer, so that one sync covers a batch; content above [`LARGE`] streams into a file of its own
//! while it arrives, so that memory never holds it whole. The files can be read without the database.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use sha2::{Digest, Sha256};
use sigillo_mail::{Range, Rope, Segment, Source};

/// Octets before the bytes of a record: magic (8), length (8, big endian), SHA-256 (32).
pub const HEADER: u64 = 48;
/// Content above this many octets gets a file of its own. Measured: below it one sync per batch is the cheaper way.
pub const LARGE: usize = 1024 * 1024;
/// A shared file is closed when it passes this many octets, so that dead space can be given back file by file.
pub const SHARED_FILE_MAX: u64 = 256 * 1024 * 1024;
/// Open read handles kept.
const HANDLES_MAX: usize = 256;

const MAGIC: &[u8; 8] = b"SIGILLO1";

/// The segment files of one store.
pub struct Segments {
    folder: PathBuf,
    next: AtomicU64,
    handles: Mutex<HashMap<u64, Arc<File>>>,
    /// Files of large content by when they were finished: whether a commit came to name them is looked at later.
    finished: Mutex<Vec<(Instant, u64)>>,
}

impl Segments {
    /// Opens the folder, making it if it is not there.
    pub(crate) fn open(folder: &Path) -> io::Result<Segments> {
        fs::create_dir_all(folder)?;
        let last = Self::numbers(folder)?.into_iter().max().unwrap_or(0);
        Ok(Segments {
            folder: folder.to_owned(),
            next: AtomicU64::new(last + 1),
            handles: Mutex::default(),
            finished: Mutex::default(),
        })
    }

    fn numbers(folder: &Path) -> io::Result<Vec<u64>> {
        let mut numbers = Vec::new();
        for entry in fs::read_dir(folder)? {
            let name = entry?.file_name();
            if let Some(number) = name.to_str().and_then(|n| n.strip_suffix(".seg")).and_then(|n| n.parse().ok()) {
                numbers.push(number);
            }
        }
        Ok(numbers)
    }

    /// Numbers of all files in the folder.
    pub(crate) fn files(&self) -> io::Result<Vec<u64>> {
        Self::numbers(&self.folder)
    }

    fn path(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{number:010}.seg"))
    }

    fn create(&self) -> io::Result<(u64, File)> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(self.path(number))?;
        Ok((number, file))
    }

    /// Makes the names of new files durable.
    fn sync_folder(&self) -> io::Result<()> {
        File::open(&self.folder)?.sync_all()
    }

    /// Gives a file's space back. A file that is not there is no error: the goal is reached.
    pub(crate) fn remove(&self, number: u64) -> io::Result<()> {
        let removed = fs::remove_file(self.path(number));
        // Afterwards: whoever reads meanwhile must not leave a handle of a file that is gone.
        self.handles.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Takes the files of large content that was finished longer ago than this off the list.
    pub(crate) fn finished_before(&self, age: Duration) -> Vec<u64> {
        let mut finished = self.finished.lock().unwrap_or_else(PoisonError::into_inner);
        let (old, young): (Vec<_>, Vec<_>) = finished.drain(..).partition(|(at, _)| at.elapsed() >= age);
        *finished = young;
        old.into_iter().map(|(_, number)| number).collect()
    }

    fn handle(&self, number: u64) -> io::Result<Arc<File>> {
        let mut handles = self.handles.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = handles.get(&number) {
            return Ok(file.clone());
        }
        if handles.len() >= HANDLES_MAX {
            handles.clear();
        }
        let file = Arc::new(File::open(self.path(number))?);
        handles.insert(number, file.clone());
        Ok(file)
    }

    /// The files of a rope, held open: they stay readable while the content is streamed, even when it is removed
    /// meanwhile.
    pub fn pin(&self, content: &Rope) -> io::Result<Arc<dyn Source>> {
        let mut files = HashMap::new();
        for segment in content.segments() {
            if let Segment::Range(range) = segment {
                files.insert(range.file, self.handle(range.file)?);
            }
        }
        Ok(Arc::new(Pinned(files)))
    }

    /// Content that arrives piece by piece.
    pub fn spool(self: &Arc<Self>) -> Spool {
        Spool { segments: self.clone(), buffer: BytesMut::new(), large: None }
    }
}

/// Open files of one rope.
struct Pinned(HashMap<u64, Arc<File>>);

impl Source for Pinned {
    fn read_exact_at(&self, file: u64, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let file = self.0.get(&file).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        file.read_exact_at(buffer, offset)
    }
}

impl Source for Segments {
    fn read_exact_at(&self, file: u64, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.handle(file)?.read_exact_at(buffer, offset)
    }
}

fn header(length: u64, sha256: [u8; 32]) -> [u8; HEADER as usize] {
    let mut header = [0; HEADER as usize];
    header[..8].copy_from_slice(MAGIC);
    header[8..16].copy_from_slice(&length.to_be_bytes());
    header[16..].copy_from_slice(&sha256);
    header
}

struct Large {
    number: u64,
    file: File,
    length: u64,
    hash: Sha256,
}

/// A message on its way in: in memory up to [`LARGE`], then in a file of its own. Dropped unfinished, it leaves nothing.
pub struct Spool {
    segments: Arc<Segments>,
    buffer: BytesMut,
    large: Option<Large>,
}

impl Spool {
    /// Adds bytes. Blocking for as long as a write to the page cache takes.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some(large) = &mut self.large {
            large.file.write_all_at(bytes, HEADER + large.length)?;
            large.hash.update(bytes);
            large.length += bytes.len() as u64;
            return Ok(());
        }
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() > LARGE {
            let (number, file) = self.segments.create()?;
            self.large = Some(Large { number, file, length: 0, hash: Sha256::new() });
            let buffered = std::mem::take(&mut self.buffer);
            return self.write(&buffered);
        }
        Ok(())
    }

    /// Whether the content has a file of its own, so that finishing it waits for a sync.
    pub fn is_large(&self) -> bool {
        self.large.is_some()
    }

    /// The content as a rope. Large content is on disk when this returns: it blocks for a sync.
    pub fn finish(mut self) -> io::Result<Rope> {
        let Some(large) = &mut self.large else {
            return Ok(Rope::from_bytes(std::mem::take(&mut self.buffer).freeze()));
        };
        let digest = std::mem::take(&mut large.hash).finalize().into();
        large.file.write_all_at(&header(large.length, digest), 0)?;
        large.file.sync_data()?;
        self.segments.sync_folder()?;
        let range = Range { file: large.number, offset: HEADER, length: large.length };
        self.large = None; // keep the file
        self.segments.finished.lock().unwrap_or_else(PoisonError::into_inner).push((Instant::now(), range.file));
        Ok(Rope::from_range(range))
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        if let Some(large) = self.large.take() {
            // A file left behind costs space until the next start, which removes it; nothing is lost.
            let _ = self.segments.remove(large.number);
        }
    }
}

/// The shared file to which the committer appends. One owner, no locks; nothing is opened before the first append, so
/// that a command beside a server leaves no trace here.
pub(crate) struct Appender {
    segments: Arc<Segments>,
    /// The file to go on with, if it is there.
    resume: Option<u64>,
    current: Option<Shared>,
    dirty: bool,
}

struct Shared {
    number: u64,
    file: File,
    length: u64,
}

impl Appender {
    /// Will go on behind the bytes of the shared file `resume`, or begin a new one.
    pub(crate) fn new(segments: Arc<Segments>, resume: Option<u64>) -> Appender {
        Appender { segments, resume, current: None, dirty: false }
    }

    /// Number of the current file; none before the first append.
    pub(crate) fn number(&self) -> Option<u64> {
        self.current.as_ref().map(|shared| shared.number)
    }

    /// Puts the literals of a rope on disk (not yet synced) and returns it as ranges only. `NotFound` if a file that it
    /// shares was given back since it was read.
    pub(crate) fn persist(&mut self, rope: &Rope) -> io::Result<Vec<Range>> {
        let mut ranges: Vec<Range> = Vec::with_capacity(rope.segments().len());
        for segment in rope.segments() {
            ranges.push(match segment {
                // Files are removed on the thread that runs this, after a commit: one that is there now stays.
                Segment::Range(range) => self.segments.handle(range.file).map(|_| *range)?,
                Segment::Literal(bytes) => self.append(bytes)?,
            });
        }
        Ok(ranges)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<Range> {
        if self.current.as_ref().is_some_and(|shared| shared.length > SHARED_FILE_MAX) {
            self.sync()?;
            self.current = None;
        }
        let shared = match &mut self.current {
            Some(shared) => shared,
            None => {
                let opened = open_shared(&self.segments, self.resume.take())?;
                self.current.insert(opened)
            }
        };
        let mut record = BytesMut::with_capacity(HEADER as usize + bytes.len());
        record.extend_from_slice(&header(bytes.len() as u64, Sha256::digest(bytes).into()));
        record.extend_from_slice(bytes);
        shared.file.write_all_at(&record, shared.length)?;
        self.dirty = true;
        let range = Range { file: shared.number, offset: shared.length + HEADER, length: bytes.len() as u64 };
        shared.length += record.len() as u64;
        Ok(range)
    }

    /// Makes durable what was appended.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        if let Some(shared) = &self.current
            && std::mem::take(&mut self.dirty)
        {
            shared.file.sync_data()?;
        }
        Ok(())
    }
}

fn open_shared(segments: &Segments, resume: Option<u64>) -> io::Result<Shared> {
    let existing = resume.and_then(|number| {
        let file = OpenOptions::new().read(true).write(true).open(segments.path(number)).ok()?;
        Some((number, file))
    });
    let (number, file) = match existing {
        Some(found) => found,
        None => {
            let made = segments.create()?;
            segments.sync_folder()?;
            made
        }
    };
    let length = file.metadata()?.len();
    Ok(Shared { number, file, length })
}
