//! From the archive of one mailbox to one package on its way (CON-04).

use crate::build::{self, Trouble};
use crate::entry::{Entry, Facts, MessageFacts, hex};
use crate::host::{Error, Event, Failure, Host, Item, Level};
use crate::legal_time::{self, LegalTime};
use crate::package::{Agent, Package, State};
use crate::settings::{OCTETS_MAX, Settings, is_agent_id};
use crate::store::{self, Progress};
use crate::tar;

/// Octets of a file in a package beside its own: header, filling, and its lines in the index.
const BESIDE: u64 = 6 * 1024;
/// Octets of the index of one package at most, and of what is remembered of it: whoever writes to a mailbox chooses the
/// words, and they must not fill the memory of a step or what it may write.
const METADATA_MAX: u64 = 8 << 20;

/// Packages that begin with the same message: each but the last was sent without it.
const IDS_MAX: u32 = 100;

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packed {
    /// A package is on its way; whether there may be more to pack.
    Package {
        /// Its id.
        id: String,
        /// Files in it.
        count: u32,
        /// Look again.
        more: bool,
    },
    /// Only messages that cannot be packed were found; look again behind them.
    Stuck,
    /// There is nothing to pack.
    Nothing,
    /// Not now, and why.
    Waits(String),
}

/// Which content is old enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Age {
    /// Whole legal days that are over since the days of the settings.
    Settings,
    /// All of it: at the end of a contract (CON-08).
    All,
}

/// The instant before which content is moved: the begin of the legal day so many days ago.
pub fn cutoff<H: Host>(host: &H, settings: &Settings, mailbox: &str, age: Age) -> Result<u64, Failure> {
    let now = LegalTime::of(host, host.now())?;
    if age == Age::All {
        return Ok(now.at);
    }
    let own = setting(host, mailbox, "conservation-days")?;
    let own = own.and_then(|days| days.trim().parse::<u32>().ok()).filter(|days| (1..=3650).contains(days));
    legal_time::instant_of(host, now.day_number() - i64::from(own.unwrap_or(settings.days)), 0)
}

/// A setting of a mailbox; an empty one is none.
pub fn setting<H: Host>(host: &H, mailbox: &str, name: &str) -> Result<Option<String>, Failure> {
    let value = host.setting(mailbox, name).map_err(|error| error.during("settings of the mailbox"))?;
    Ok(value.map(|value| value.trim().to_owned()).filter(|value| !value.is_empty()))
}

/// Whether a mailbox has the service. Without the archive there is nothing that could be moved (CON-02): that is said.
pub fn is_on<H: Host>(host: &H, mailbox: &str) -> Result<Result<(), String>, Failure> {
    if setting(host, mailbox, "conservation")?.as_deref() != Some("on") {
        return Ok(Err("conservation is not on".into()));
    }
    Ok(match setting(host, mailbox, "archive")?.as_deref() {
        Some("on") => Ok(()),
        _ => Err("conservation is on, but the archive is not: switch it on first (CON-02)".into()),
    })
}

/// Packs what one package takes, and queues it: one step. `begin` is the first of a run.
pub fn pack<H: Host>(host: &H, settings: &Settings, mailbox: &str, age: Age, begin: bool) -> Result<Packed, Failure> {
    let mut progress = store::progress(host, mailbox)?;
    if begin && store::open(host, Some(mailbox), None, 1)?.is_empty() {
        // What was packed is confirmed and has left; whatever is still there is looked at again.
        progress.after = None;
    }
    if store::open(host, None, None, settings.in_flight)?.len() >= settings.in_flight as usize {
        return Ok(Packed::Waits(format!("{} packages wait for their confirmation", settings.in_flight)));
    }
    let before = cutoff(host, settings, mailbox, age)?;
    let limit = settings.package_messages;
    let items =
        host.items(mailbox, before, progress.after.as_deref(), limit).map_err(|error| error.during("archive"))?;
    let Some(first) = items.first() else {
        store::unstick(host, mailbox, progress.after.as_deref(), None, &[])?;
        return Ok(Packed::Nothing);
    };
    let day = LegalTime::of(host, first.kept)?;
    let (mut taken, mut octets) = (Vec::new(), 0);
    for item in &items {
        let room = tar::room(item.size) + BESIDE;
        let same_day = LegalTime::of(host, item.kept)?.day_number() == day.day_number();
        if !same_day || !taken.is_empty() && octets + room > settings.package_octets {
            break;
        }
        octets += room;
        taken.push(item.clone());
    }
    let mut all = taken.len() == items.len() && items.len() < limit as usize;
    let (mut entries, mut stuck, mut last, mut metadata) = (Vec::with_capacity(taken.len()), Vec::new(), None, 0);
    for item in &taken {
        match entry(host, mailbox, item) {
            Ok(entry) => {
                metadata += entry.weight();
                if metadata > METADATA_MAX && !entries.is_empty() {
                    all = false;
                    break;
                }
                entries.push(entry);
            }
            Err(why) => {
                cannot(host, mailbox, &item.id, &why)?;
                stuck.push(item.id.clone());
            }
        }
        last = Some(item.id.clone());
    }
    store::unstick(host, mailbox, progress.after.as_deref(), last.as_deref(), &stuck)?;
    if entries.is_empty() {
        store::set_progress(host, mailbox, &Progress { after: last })?;
        return Ok(if all { Packed::Nothing } else { Packed::Stuck });
    }
    let taken = Taken { mailbox, day: day.day(), last, more: !all };
    send_new(host, settings, taken, entries)
}

struct Taken<'a> {
    mailbox: &'a str,
    day: String,
    last: Option<String>,
    more: bool,
}

/// Builds the largest package that fits, and queues it.
fn send_new<H: Host>(
    host: &H,
    settings: &Settings,
    mut taken: Taken<'_>,
    mut entries: Vec<Entry>,
) -> Result<Packed, Failure> {
    let mailbox = taken.mailbox;
    loop {
        number(&mut entries);
        let mut package = new_package(host, settings, mailbox, &taken.day, &entries)?;
        let (id, count) = (package.id.clone(), package.count);
        let built = build::build(host, &mut package, &mut entries);
        match built.and_then(|built| send(host, settings, package, &entries, &built.content)) {
            Ok(()) => {
                store::set_progress(host, mailbox, &Progress { after: taken.last })?;
                return Ok(Packed::Package { id, count, more: taken.more });
            }
            Err(Trouble::TooMuch(why)) if entries.len() == 1 => {
                cannot(host, mailbox, &entries[0].id, &format!("it is too large for a package: {why}"))?;
                store::set_progress(host, mailbox, &Progress { after: Some(entries[0].id.clone()) })?;
                return Ok(Packed::Stuck);
            }
            Err(Trouble::TooMuch(_)) => {
                entries.truncate(entries.len() / 2);
                (taken.last, taken.more) = (entries.last().map(|entry| entry.id.clone()), true);
            }
            // Between the list and the look somebody let it go: the step runs anew and does not find it.
            Err(Trouble::Gone(id)) => return Err(Failure::Transient(format!("{id} left the archive meanwhile"))),
            Err(Trouble::Damaged { why, .. }) => return Err(Failure::Permanent(why)),
            Err(Trouble::Failed(failure)) => return Err(failure),
        }
    }
}

/// One message as it goes into a package, or why it cannot.
fn entry<H: Host>(host: &H, mailbox: &str, item: &Item) -> Result<Entry, String> {
    if item.size > OCTETS_MAX {
        return Err(format!("it has {} octets, more than a package takes", item.size));
    }
    let sha256 = hex(&item.sha256);
    let message = opened(host, mailbox, &item.id, item.size, &sha256)?;
    Ok(Entry {
        id: item.id.clone(),
        size: item.size,
        sha256,
        kept: item.kept,
        facts: Facts::Message(MessageFacts::read(host, &message, item)),
        ..Entry::default()
    })
}

/// A message of the archive, byte for byte what was kept, or why not. Trouble with one, of whatever kind, does not keep
/// the others from their package: it is looked at again by the next run.
pub fn opened<H: Host>(host: &H, mailbox: &str, id: &str, size: u64, sha256: &str) -> Result<H::Message, String> {
    let message = host.open(mailbox, id).map_err(|error| match error {
        Error::NotFound => "its bytes are not there".to_owned(),
        error => error.during("it cannot be read").words().to_owned(),
    })?;
    let digest = host.message_sha256(&message).map_err(|error| error.during("it cannot be read").words().to_owned())?;
    match host.size(&message) == size && hex(&digest) == sha256 {
        true => Ok(message),
        false => Err("its bytes are not those that were kept: the store is damaged".into()),
    }
}

fn number(entries: &mut [Entry]) {
    for (index, entry) in entries.iter_mut().enumerate() {
        entry.path = format!("messages/{:06}.eml", index + 1);
    }
}

/// A message that stays in the archive, or a log file (`mailbox` is empty), and why: said once in the log, and shown by
/// `status`.
pub fn cannot<H: Host>(host: &H, mailbox: &str, item: &str, why: &str) -> Result<(), Failure> {
    if store::stuck(host, mailbox, item, why)? {
        let what = if mailbox.is_empty() { format!("log file {item}") } else { format!("message {item} of {mailbox}") };
        host.log(Level::Error, &format!("{what} cannot be deposited: {why}"));
        let details = vec![("item", item.to_owned()), ("reason", why.to_owned())];
        let event = Event { kind: "conservation-failed", mailbox: mailbox.into(), details, ..Event::default() };
        host.record(&event).map_err(|error| error.during("message log"))?;
    }
    Ok(())
}

fn new_package<H: Host>(
    host: &H,
    settings: &Settings,
    mailbox: &str,
    day: &str,
    entries: &[Entry],
) -> Result<Package, Failure> {
    let holder = setting(host, mailbox, "conservation-holder")?.unwrap_or_else(|| mailbox.to_owned());
    let holder_id = setting(host, mailbox, "conservation-holder-id")?.filter(|id| is_agent_id(id));
    let manager = setting(host, mailbox, "conservation-manager")?;
    let first = entries.first().map_or("", |entry| entry.id.as_str());
    package(host, settings, Named { mailbox, day, first, count: entries.len() }, holder, holder_id, manager)
}

/// What names a package.
pub struct Named<'a> {
    /// Whose; `""` for logs.
    pub mailbox: &'a str,
    /// The legal day of its content.
    pub day: &'a str,
    /// Its first entry: with the mailbox it makes the id, so that a step that runs anew makes the same one.
    pub first: &'a str,
    /// How many entries it has.
    pub count: usize,
}

/// A name that no package has had. What a package once left behind (a message that could not be read) begins another one.
fn new_id<H: Host>(host: &H, named: &Named<'_>) -> Result<String, Failure> {
    let Named { mailbox, day, first, .. } = named;
    for number in 0..IDS_MAX {
        let again = if number == 0 { String::new() } else { format!("\n{number}") };
        let digest = build::digest(host, format!("{mailbox}\n{first}{again}").as_bytes())?;
        let id = format!("{day}-{}", hex(&digest[..digest.len().min(8)]));
        if store::package(host, &id)?.is_none() {
            return Ok(id);
        }
    }
    Err(Failure::Permanent(format!("{first} was the first of {IDS_MAX} packages and left with none")))
}

/// A package that has no bytes yet.
pub fn package<H: Host>(
    host: &H,
    settings: &Settings,
    named: Named<'_>,
    holder: String,
    holder_id: Option<String>,
    addressee: Option<String>,
) -> Result<Package, Failure> {
    let id = new_id(host, &named)?;
    let Named { mailbox, day, count, .. } = named;
    let now = LegalTime::of(host, host.now())?;
    Ok(Package {
        path: Package::path_of(settings, mailbox, &id, 1),
        id,
        mailbox: mailbox.to_owned(),
        day: day.to_owned(),
        created: now.at,
        offset: now.offset,
        revision: 1,
        attempt: 1,
        state: State::Queued,
        since: now.at,
        target: settings.target.clone(),
        protocol: settings.protocol,
        size: 0,
        sha256: String::new(),
        index_sha256: String::new(),
        stamp: String::new(),
        count: count as u32,
        pages: 0,
        submitter: Agent { name: settings.provider.clone(), id: settings.provider_id.clone() },
        holder: Agent { name: holder, id: holder_id },
        addressee,
        relevant_document: settings.relevant_document.clone(),
        said: String::new(),
        code: None,
        receipt_pages: 0,
    })
}

/// Queues the bytes of a package and remembers it with its entries, all in this step. `TooMuch` if the target does not take
/// so many; nothing is remembered then.
pub fn send<H: Host>(
    host: &H,
    settings: &Settings,
    mut package: Package,
    entries: &[Entry],
    content: &H::Content,
) -> Result<(), Trouble> {
    host.queue(&package.target, &package.key(), &package.parameters(), content)
        .map_err(|error| build::trouble(error, "outbox"))?;
    package.pages = store::put_entries(host, &package.id, entries, store::FOR_EVER.max(settings.keep_days))?;
    store::put(host, &package, settings.keep_days)?;
    let details = vec![
        ("sha256", package.sha256.clone()),
        ("octets", package.size.to_string()),
        ("files", package.count.to_string()),
        ("first", entries.first().map(|entry| entry.id.clone()).unwrap_or_default()),
        ("last", entries.last().map(|entry| entry.id.clone()).unwrap_or_default()),
        ("target", package.target.clone()),
        ("path", package.path.clone()),
    ];
    Ok(record(host, "conservation-package", &package, details)?)
}

/// An event about a package.
pub fn record<H: Host>(
    host: &H,
    kind: &'static str,
    package: &Package,
    details: Vec<(&'static str, String)>,
) -> Result<(), Failure> {
    let (mailbox, package) = (package.mailbox.clone(), package.id.clone());
    let event = Event { kind, mailbox, package, details, ..Event::default() };
    host.record(&event).map_err(|error| error.during("message log"))
}
