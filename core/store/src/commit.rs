//! The commit: the instant at which the server takes responsibility.
//!
//! One thread, the committer, owns the write connection and the shared segment file. It takes the jobs that wait, runs
//! each in a savepoint of one transaction, syncs the segment file, commits (SQLite in WAL mode with
//! `synchronous=FULL` syncs its log), and only then answers. So concurrent sessions share two syncs, and `Ok` from
//! [`Store::write`] means: on disk (RFC 5321 §6.1).
//!
//! A failed sync is final. What the kernel did with the pages is unknown then, so the store refuses every later write
//! until a restart reads back what the disk really has.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use sigillo_mail::{Rope, Segment};
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use crate::Millis;
use crate::error::StoreError;
use crate::folders::FolderId;
use crate::migrate;
use crate::segments::{Appender, Segments, Spool};

/// Jobs merged into one transaction at most: bounds how long the first of them waits.
const BATCH_MAX: usize = 256;
/// Jobs that may wait; more make their sessions wait.
const WAITING_MAX: usize = 1024;
/// How long a write waits for another process that holds the database (a command of the operator).
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);
/// Read connections kept.
const READERS_MAX: usize = 8;
/// Folder changes that a slow listener may miss before it is told to look at everything.
const CHANGES_KEPT: usize = 4096;

type Finish = Box<dyn FnOnce(Result<(), StoreError>) + Send>;
type Job = Box<dyn FnOnce(&mut Tx<'_>) -> (bool, Finish) + Send>;

/// The store. Cheap to clone; the committer ends when the last clone is dropped.
#[derive(Clone)]
pub struct Store {
    jobs: mpsc::Sender<Job>,
    segments: Arc<Segments>,
    readers: Arc<Readers>,
    folder_changes: broadcast::Sender<FolderId>,
    queue_changes: watch::Receiver<u64>,
    _lock: Arc<Option<File>>,
}

struct Readers {
    path: std::path::PathBuf,
    idle: Mutex<Vec<Connection>>,
}

/// A consistent view of the database, for reading.
pub struct Reader<'a> {
    /// Statements of this crate's modules run here.
    pub(crate) db: &'a Connection,
}

/// One job of the running transaction. Its changes become durable together, or none does.
pub struct Tx<'a> {
    pub(crate) db: &'a Connection,
    pub(crate) appender: &'a mut Appender,
    pub(crate) now: Millis,
    /// What this server is called in its records.
    pub(crate) server: &'a mut String,
    touched: &'a mut Touched,
}

#[derive(Default)]
struct Touched {
    folders: Vec<FolderId>,
    queue: bool,
    dead_files: Vec<u64>,
}

impl Tx<'_> {
    /// The instant of this transaction.
    pub fn now(&self) -> Millis {
        self.now
    }

    /// The same rows as a reader would see them, with this job's own changes.
    pub fn reader(&self) -> Reader<'_> {
        Reader { db: self.db }
    }

    /// Runs a statement of a test that brings the database into a state that is hard to reach from outside.
    #[doc(hidden)]
    pub fn execute_for_test(&mut self, statement: &str) -> Result<(), StoreError> {
        Ok(self.db.execute_batch(statement)?)
    }

    /// Gives the transaction another instant, for tests of what depends on it.
    #[doc(hidden)]
    pub fn set_now_for_test(&mut self, now: Millis) {
        self.now = now;
    }

    /// The folders that this job has changed so far (and others of the same batch).
    pub fn touched_folders(&self) -> &[FolderId] {
        &self.touched.folders
    }

    pub(crate) fn touch_folder(&mut self, folder: FolderId) {
        self.touched.folders.push(folder);
    }

    pub(crate) fn touch_queue(&mut self) {
        self.touched.queue = true;
    }

    pub(crate) fn free_file(&mut self, file: u64) {
        self.touched.dead_files.push(file);
    }
}

/// The wall clock in milliseconds since 1970.
pub fn now() -> Millis {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as Millis
}

impl Store {
    /// Opens the store of a server, making it if the folder is empty. Fails if another server holds it.
    pub fn open(folder: &Path) -> Result<Store, StoreError> {
        std::fs::create_dir_all(folder)?;
        let lock = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(folder.join("lock"))?;
        lock.try_lock()
            .map_err(|_| StoreError::Invalid(format!("{} is in use by another server process", folder.display())))?;
        Self::start(folder, Some(lock))
    }

    /// Opens the store beside a running server, for a command of the operator: rows only, no message content is
    /// written and nothing is cleaned up.
    pub fn open_beside(folder: &Path) -> Result<Store, StoreError> {
        std::fs::create_dir_all(folder)?;
        Self::start(folder, None)
    }

    fn start(folder: &Path, lock: Option<File>) -> Result<Store, StoreError> {
        let path = folder.join("sigillo.db");
        let db = Connection::open(&path)?;
        configure(&db)?;
        db.execute_batch("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;")?;
        migrate::migrate(&db, folder, lock.is_some())?;
        db.execute_batch(include_str!("schema.sql"))?;
        migrate::mark(&db)?;
        let segments = Arc::new(Segments::open(&folder.join("segments"))?);
        if lock.is_some() {
            remove_unnamed_files(&db, &segments)?;
        }
        let shared = meta(&db, "shared_file")?.and_then(|n| n.parse().ok());
        let exclusive = lock.is_some();
        let server = meta(&db, "server")?.unwrap_or_default();

        let (jobs, queue) = mpsc::channel(WAITING_MAX);
        let (folder_changes, _) = broadcast::channel(CHANGES_KEPT);
        let (queue_changed, queue_changes) = watch::channel(0);
        let committer = Committer {
            db,
            appender: Appender::new(segments.clone(), shared.filter(|_| exclusive)),
            shared,
            exclusive,
            server,
            segments: segments.clone(),
            folder_changes: folder_changes.clone(),
            queue_changed,
            stopped: None,
        };
        std::thread::Builder::new().name("committer".into()).spawn(move || committer.run(queue))?;
        let readers = Arc::new(Readers { path, idle: Mutex::default() });
        Ok(Store { jobs, segments, readers, folder_changes, queue_changes, _lock: Arc::new(lock) })
    }

    /// Runs `job` in a transaction. `Ok` means that every change of the job is on disk.
    ///
    /// The job may run beside others in one transaction, so it must not wait for anything; if it fails, nothing of it
    /// remains.
    pub async fn write<T, F>(&self, job: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |tx| {
            let result = job(tx);
            let ok = result.is_ok();
            let finish: Finish = Box::new(move |committed| {
                // A caller that went away is told nothing; the change is durable all the same.
                let _ = answer.send(committed.and(result));
            });
            (ok, finish)
        });
        let gone = || StoreError::Stopped("the committer takes no more".into());
        self.jobs.send(job).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }

    /// Reads a consistent view, on a thread where blocking is allowed.
    pub async fn read<T, F>(&self, job: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Reader<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let readers = self.readers.clone();
        tokio::task::spawn_blocking(move || readers.with(job))
            .await
            .map_err(|error| StoreError::Stopped(error.to_string()))?
    }

    /// The same at once on the calling thread: for look-ups of a few rows, which take less time than handing them to
    /// another thread.
    pub fn look<T>(&self, job: impl FnOnce(&Reader<'_>) -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.readers.with(job)
    }

    /// The bytes of messages.
    pub fn segments(&self) -> &Arc<Segments> {
        &self.segments
    }

    /// A place for a message that arrives, or for content that is only read. What is large has a file of its own: whoever
    /// finishes it and does not come to keep it says so by [`Store::give_back`], or leaves it to
    /// [`Store::give_back_finished`].
    pub fn spool(&self) -> Spool {
        self.segments.spool()
    }

    /// Gives the space of this content back, as far as no commit came to name it.
    pub async fn give_back(&self, content: &Rope) -> Result<(), StoreError> {
        let file = |segment: &Segment| match segment {
            Segment::Range(range) => Some(range.file),
            Segment::Literal(_) => None,
        };
        self.give_back_files(content.segments().iter().filter_map(file).collect()).await
    }

    /// The same of all large content that was finished longer ago than `age`, which must be longer than anybody takes
    /// from finishing content to the commit that names it.
    pub async fn give_back_finished(&self, age: Duration) -> Result<(), StoreError> {
        self.give_back_files(self.segments.finished_before(age)).await
    }

    async fn give_back_files(&self, files: Vec<u64>) -> Result<(), StoreError> {
        if files.is_empty() { Ok(()) } else { self.write(move |tx| tx.give_back_unnamed(&files)).await }
    }

    /// Folders as they change. A listener that falls behind gets `Lagged` and looks at everything.
    pub fn folder_changes(&self) -> broadcast::Receiver<FolderId> {
        self.folder_changes.subscribe()
    }

    /// Changes whenever the queue or the timers may hold something that is due sooner than before.
    pub fn queue_changes(&self) -> watch::Receiver<u64> {
        self.queue_changes.clone()
    }
}

impl Readers {
    fn with<T>(&self, job: impl FnOnce(&Reader<'_>) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let db = match idle {
            Some(db) => db,
            None => {
                let db = Connection::open_with_flags(&self.path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
                configure(&db)?;
                db
            }
        };
        db.prepare_cached("BEGIN")?.execute([])?;
        let result = job(&Reader { db: &db });
        db.prepare_cached("COMMIT")?.execute([])?;
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < READERS_MAX {
            idle.push(db);
        }
        result
    }
}

fn configure(db: &Connection) -> Result<(), StoreError> {
    db.busy_timeout(BUSY_TIMEOUT)?;
    db.execute_batch("PRAGMA foreign_keys=ON; PRAGMA temp_store=MEMORY; PRAGMA cache_size=-8192;")?;
    db.set_prepared_statement_cache_capacity(128);
    // One plan for each statement. Otherwise SQLite looks at the values that are bound (that of a LIMIT, for one) and prepares
    // the statement anew at every use: a tenth of the processor time of a message.
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(())
}

fn meta(db: &Connection, name: &str) -> Result<Option<String>, StoreError> {
    use rusqlite::OptionalExtension;
    Ok(db.query_row("SELECT value FROM meta WHERE name = ?1", [name], |row| row.get(0)).optional()?)
}

pub(crate) fn set_meta(db: &Connection, name: &str, value: &str) -> Result<(), StoreError> {
    db.execute(
        "INSERT INTO meta (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        [name, value],
    )?;
    Ok(())
}

/// Files that no row names were left by a crash before the commit, or by one between a commit and an unlink.
fn remove_unnamed_files(db: &Connection, segments: &Segments) -> Result<(), StoreError> {
    let shared = meta(db, "shared_file")?.and_then(|n| n.parse::<u64>().ok());
    let mut named = db.prepare("SELECT 1 FROM message_files WHERE file = ?1 LIMIT 1")?;
    for file in segments.files()? {
        if Some(file) != shared && !named.exists([file as i64])? {
            segments.remove(file)?;
        }
    }
    Ok(())
}

/// A file freed by one job may have been named again by a later one (a chain's result shares its message's bytes).
fn still_unnamed(db: &Connection, files: &[u64]) -> Result<Vec<u64>, StoreError> {
    let mut named = db.prepare_cached("SELECT 1 FROM message_files WHERE file = ?1 LIMIT 1")?;
    let mut unnamed = Vec::new();
    for &file in files {
        if !named.exists([file as i64])? {
            unnamed.push(file);
        }
    }
    Ok(unnamed)
}

struct Committer {
    db: Connection,
    appender: Appender,
    shared: Option<u64>,
    exclusive: bool,
    server: String,
    segments: Arc<Segments>,
    folder_changes: broadcast::Sender<FolderId>,
    queue_changed: watch::Sender<u64>,
    stopped: Option<String>,
}

impl Committer {
    fn run(mut self, mut queue: mpsc::Receiver<Job>) {
        let mut arrived = Vec::with_capacity(BATCH_MAX);
        let mut batch = VecDeque::with_capacity(BATCH_MAX);
        // What an undone transaction did not come to is left in the batch.
        while !batch.is_empty() || queue.blocking_recv_many(&mut arrived, BATCH_MAX) > 0 {
            batch.extend(arrived.drain(..));
            let mut touched = Touched::default();
            let mut waiting = Vec::with_capacity(batch.len());
            let result = match &self.stopped {
                Some(why) => {
                    batch.clear();
                    Err(StoreError::Stopped(why.clone()))
                }
                None => self.commit(&mut batch, &mut waiting, &mut touched),
            };
            match result {
                Ok(()) => {
                    waiting.into_iter().for_each(|finish| finish(Ok(())));
                    self.tell(touched);
                }
                Err(error) => {
                    if waiting.is_empty() {
                        batch.clear(); // not even begun: trying again at once would only spin
                    }
                    self.undo(&error, waiting);
                }
            }
        }
    }

    /// Nothing of the batch remains. What failed before the sync is forgotten (another process held the database, the
    /// disk is full); a sync that failed stops the store.
    fn undo(&mut self, error: &StoreError, waiting: Vec<Finish>) {
        let why = error.to_string();
        let undone = self.db.is_autocommit() || self.db.execute_batch("ROLLBACK").is_ok();
        if matches!(error, StoreError::Stopped(_)) || !undone {
            tracing::error!(error = %why, "commit failed: no message is acknowledged until a restart");
            self.stopped.get_or_insert_with(|| why.clone());
            waiting.into_iter().for_each(|finish| finish(Err(StoreError::Stopped(why.clone()))));
        } else {
            tracing::error!(error = %why, "a batch of changes could not be made and was undone");
            waiting.into_iter().for_each(|finish| finish(Err(StoreError::Undone(why.clone()))));
        }
    }

    fn commit(
        &mut self,
        batch: &mut VecDeque<Job>,
        waiting: &mut Vec<Finish>,
        touched: &mut Touched,
    ) -> Result<(), StoreError> {
        self.run_cached("BEGIN IMMEDIATE")?;
        while let Some(job) = batch.pop_front() {
            self.run_cached("SAVEPOINT job")?;
            let (db, appender, server) = (&self.db, &mut self.appender, &mut self.server);
            let mut tx = Tx { db, appender, now: now(), server, touched };
            let (ok, finish) = job(&mut tx);
            waiting.push(finish);
            // A full disk takes the whole transaction with it: then the savepoint is gone, and this fails.
            if !ok {
                self.run_cached("ROLLBACK TO job")?;
            }
            self.run_cached("RELEASE job")?;
        }
        let begun = self.appender.number().filter(|number| self.exclusive && self.shared != Some(*number));
        if let Some(number) = begun {
            set_meta(&self.db, "shared_file", &number.to_string())?;
        }
        touched.dead_files = still_unnamed(&self.db, &touched.dead_files)?;
        // Content first: a row may name only bytes that are on disk.
        let synced = self.appender.sync().map_err(StoreError::from);
        let committed = synced.and_then(|()| self.run_cached("COMMIT"));
        if committed.is_ok() && begun.is_some() {
            self.shared = begun;
        }
        committed.map_err(|error| match error {
            StoreError::Database(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull) => {
                error.into()
            }
            error => StoreError::Stopped(error.to_string()),
        })
    }

    /// A statement without values that comes again with every batch.
    fn run_cached(&self, statement: &str) -> Result<(), StoreError> {
        self.db.prepare_cached(statement)?.execute([])?;
        Ok(())
    }

    fn tell(&self, mut touched: Touched) {
        touched.folders.sort_unstable();
        touched.folders.dedup();
        for folder in touched.folders {
            let _ = self.folder_changes.send(folder); // nobody listening is fine
        }
        if touched.queue {
            self.queue_changed.send_modify(|count| *count += 1);
        }
        for file in touched.dead_files {
            if Some(file) != self.shared
                && let Err(error) = self.segments.remove(file)
            {
                tracing::warn!(file, %error, "cannot remove a segment file; the next start tries again");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::StatementStatus;

    #[test]
    fn a_statement_is_prepared_once_whatever_is_bound() {
        let db = Connection::open_in_memory().unwrap();
        configure(&db).unwrap();
        db.execute_batch("CREATE TABLE item (id INTEGER PRIMARY KEY, word TEXT)").unwrap();
        let mut statement = db.prepare("SELECT word FROM item WHERE id > ?1 ORDER BY id LIMIT ?2").unwrap();
        for bound in 1..20 {
            statement.query([bound, bound]).unwrap().next().unwrap();
        }
        assert_eq!(statement.get_status(StatementStatus::RePrepare), 0);
    }
}
