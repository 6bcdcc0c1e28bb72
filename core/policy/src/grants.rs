//! What a plugin may do: the meeting of what its manifest asks for and what the policy grants.

use serde::{Deserialize, Serialize};
use sigillo_mail::{Mailbox, ReversePath};

use crate::chain::OnFailure;
use crate::diagnostic::{Position, Report};
use crate::limits::Limits;
use crate::pattern::AddressPattern;
use crate::yaml::{Map, Node, Value};

/// A capability that must be asked for and granted; the names are those of the contract (`wit/capabilities.wit`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Capability {
    /// Queue new messages.
    Submit,
    /// Sign with named keys.
    Signer,
    /// Verify S/MIME signatures.
    Verifier,
    /// Ask the index of providers.
    Directory,
    /// Read status and settings of mailboxes.
    Mailboxes,
    /// Keep state.
    State,
    /// Ask for wake-ups.
    Timers,
    /// Append to the message log.
    Evidence,
    /// Show content to scanners.
    Scan,
    /// Ask for time stamps.
    Timestamps,
    /// Read the sealed files of the message log.
    Registro,
    /// Tag data under a key of the plugin's own.
    Mac,
    /// Own addresses: mail to them is the plugin's.
    Receive,
    /// Keep copies of messages.
    Archive,
    /// Ask targets outside.
    Outbox,
    /// Suspend mailboxes.
    Accounts,
}

impl Capability {
    /// Every capability.
    pub const ALL: [Capability; 16] = [
        Capability::Submit,
        Capability::Signer,
        Capability::Verifier,
        Capability::Directory,
        Capability::Mailboxes,
        Capability::State,
        Capability::Timers,
        Capability::Evidence,
        Capability::Scan,
        Capability::Timestamps,
        Capability::Registro,
        Capability::Mac,
        Capability::Receive,
        Capability::Archive,
        Capability::Outbox,
        Capability::Accounts,
    ];

    /// The word for it in policies, manifests and the contract.
    pub fn as_str(self) -> &'static str {
        match self {
            Capability::Submit => "submit",
            Capability::Signer => "signer",
            Capability::Verifier => "verifier",
            Capability::Directory => "directory",
            Capability::Mailboxes => "mailboxes",
            Capability::State => "state",
            Capability::Timers => "timers",
            Capability::Evidence => "evidence",
            Capability::Scan => "scan",
            Capability::Timestamps => "timestamps",
            Capability::Registro => "registro",
            Capability::Mac => "mac",
            Capability::Receive => "receive",
            Capability::Archive => "archive",
            Capability::Outbox => "outbox",
            Capability::Accounts => "accounts",
        }
    }

    /// How to grant it, for messages.
    pub fn example(self) -> &'static str {
        match self {
            Capability::Submit => "submit: { from: [address@domain] }",
            Capability::Signer => "signer: [key-name]",
            Capability::Verifier => "verifier: true",
            Capability::Directory => "directory: read",
            Capability::Mailboxes => "mailboxes: read",
            Capability::State => "state: true",
            Capability::Timers => "timers: true",
            Capability::Evidence => "evidence: true",
            Capability::Scan => "scan: [scanner-name]",
            Capability::Timestamps => "timestamps: true",
            Capability::Registro => "registro: read",
            Capability::Mac => "mac: true",
            Capability::Receive => "receive: [\"PREFIX*@domain\"]",
            Capability::Archive => "archive: true",
            Capability::Outbox => "outbox: [target-name]",
            Capability::Accounts => "accounts: suspend",
        }
    }

    pub(crate) fn words() -> Vec<(&'static str, Capability)> {
        Capability::ALL.iter().map(|capability| (capability.as_str(), *capability)).collect()
    }
}

/// New messages: whose addresses the plugin may send from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubmitGrant {
    /// Reverse-paths it may use. The null path is always allowed: reports go out under it (RFC 5321 §4.5.5).
    pub from: Vec<AddressPattern>,
}

impl SubmitGrant {
    /// Whether a message may go out under this reverse-path.
    pub fn allows(&self, path: &ReversePath) -> bool {
        path.mailbox().is_none_or(|mailbox| self.from.iter().any(|granted| granted.matches(mailbox)))
    }
}

/// Wake-ups. A wake-up belongs to no chain, so what its failure means and what it may cost is said where it is
/// granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimerGrant {
    /// `defer` or `hold`: what the operator's log calls it. Either way the wake-up comes again.
    pub on_failure: OnFailure,
    /// Limits of one wake-up.
    pub limits: Limits,
}

/// Requests to targets outside. The step that learns how one ended belongs to no chain, so what it may cost is said
/// where the requests are granted; one that fails runs again later, which loses nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxGrant {
    /// Targets of the server's configuration that it may ask, each with its place in the policy.
    pub targets: Vec<(String, Position)>,
    /// Limits of one `answer` step.
    pub limits: Limits,
}

/// A grant as it stands in the policy.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Written {
    pub capability: Capability,
    pub at: Position,
    /// It could be read; otherwise its mistake is reported already.
    pub sound: bool,
}

/// Everything granted to one plugin. Nothing is by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants {
    /// Queue new messages.
    pub submit: Option<SubmitGrant>,
    /// Names of keys it may sign with.
    pub signer: Vec<String>,
    /// Verify signatures.
    pub verifier: bool,
    /// Ask the index of providers.
    pub directory: bool,
    /// Read status and settings of mailboxes.
    pub mailboxes: bool,
    /// Keep state.
    pub state: bool,
    /// Ask for wake-ups.
    pub timers: Option<TimerGrant>,
    /// Append to the message log.
    pub evidence: bool,
    /// Scanners of the server's configuration that it may show content to, each with its place in the policy.
    pub scan: Vec<(String, Position)>,
    /// Ask for time stamps.
    pub timestamps: bool,
    /// Read the sealed files of the message log.
    pub registro: bool,
    /// Tag data under a key of its own.
    pub mac: bool,
    /// Addresses of ordinary domains of this server that are the plugin's where no mailbox has them.
    pub receive: Vec<AddressPattern>,
    /// Keep, read and let go copies of messages.
    pub archive: bool,
    /// Ask targets outside.
    pub outbox: Option<OutboxGrant>,
    /// `scan: []`: the plugin may load, and there is no scanner for it.
    pub scan_none: bool,
    /// Suspend mailboxes.
    pub suspend: bool,
}

impl Grants {
    /// Whether content may be shown to this scanner.
    pub fn allows_scanner(&self, name: &str) -> bool {
        self.scan.iter().any(|(granted, _)| granted == name)
    }

    /// Whether an address that is no mailbox is this plugin's.
    pub fn owns(&self, address: &Mailbox) -> bool {
        self.receive.iter().any(|pattern| pattern.matches(address))
    }

    /// Whether this target may be asked.
    pub fn allows_target(&self, name: &str) -> bool {
        self.outbox.iter().flat_map(|grant| &grant.targets).any(|(granted, _)| granted == name)
    }

    /// Whether this capability is granted.
    pub fn has(&self, capability: Capability) -> bool {
        match capability {
            Capability::Submit => self.submit.is_some(),
            Capability::Signer => !self.signer.is_empty(),
            Capability::Verifier => self.verifier,
            Capability::Directory => self.directory,
            Capability::Mailboxes => self.mailboxes,
            Capability::State => self.state,
            Capability::Timers => self.timers.is_some(),
            Capability::Evidence => self.evidence,
            Capability::Timestamps => self.timestamps,
            Capability::Registro => self.registro,
            Capability::Mac => self.mac,
            Capability::Receive => !self.receive.is_empty(),
            Capability::Archive => self.archive,
            Capability::Outbox => self.outbox.is_some(),
            Capability::Scan => self.scan_none || !self.scan.is_empty(),
            Capability::Accounts => self.suspend,
        }
    }

    /// Reads `grants:`, and how each grant is written.
    pub(crate) fn read(node: &Node, report: &mut Report) -> (Grants, Vec<Written>) {
        let mut grants = Grants::default();
        let mut places = Vec::new();
        let Some(mut map) = Map::of(node, "'grants'", report) else { return (grants, places) };
        for capability in Capability::ALL {
            let Some(entry) = map.entry(capability.as_str()) else { continue };
            let errors = report.errors();
            grants.read_one(capability, &entry.node, report);
            places.push(Written { capability, at: entry.position, sound: report.errors() == errors });
        }
        map.finish(report);
        (grants, places)
    }

    fn read_one(&mut self, capability: Capability, node: &Node, report: &mut Report) {
        match capability {
            Capability::Submit => self.submit = read_submit(node, report),
            Capability::Signer => {
                self.signer = read_names(node, "'signer'", "a key", report).into_iter().map(|(name, _)| name).collect()
            }
            Capability::Verifier => self.verifier = node.boolean(report) == Some(true),
            Capability::Directory => self.directory = read_access(node, report),
            Capability::Mailboxes => self.mailboxes = read_access(node, report),
            Capability::State => self.state = node.boolean(report) == Some(true),
            Capability::Timers => self.timers = read_timers(node, report),
            Capability::Evidence => self.evidence = node.boolean(report) == Some(true),
            // A plugin that can do without a scanner is let do so in words.
            Capability::Scan if matches!(&node.value, Value::List(items) if items.is_empty()) => self.scan_none = true,
            Capability::Scan => self.scan = read_names(node, "'scan'", "a scanner", report),
            Capability::Timestamps => self.timestamps = node.boolean(report) == Some(true),
            Capability::Registro => self.registro = read_access(node, report),
            Capability::Mac => self.mac = node.boolean(report) == Some(true),
            Capability::Receive => self.receive = read_patterns(node, "'receive'", report),
            Capability::Archive => self.archive = node.boolean(report) == Some(true),
            Capability::Outbox => self.outbox = read_outbox(node, report),
            Capability::Accounts => {
                self.suspend = node.word("access", &[("suspend", true)], report).unwrap_or(false);
            }
        }
    }
}

fn read_submit(node: &Node, report: &mut Report) -> Option<SubmitGrant> {
    let mut map = Map::of(node, "'submit'", report)?;
    let list = map.require("from", report).map(|from| from.list("'from'", report));
    map.finish(report);
    let from = list?.iter().filter_map(|item| read_pattern(item, report)).collect();
    Some(SubmitGrant { from })
}

fn read_patterns(node: &Node, what: &'static str, report: &mut Report) -> Vec<AddressPattern> {
    if matches!(&node.value, Value::List(items) if items.is_empty()) {
        let help = "name an address, or leave the grant out";
        report.error_with_help(node.position, "E207", "the list is empty", help);
    }
    node.list(what, report).iter().filter_map(|item| read_pattern(item, report)).collect()
}

fn read_pattern(node: &Node, report: &mut Report) -> Option<AddressPattern> {
    let text = node.text(report)?;
    match text.parse() {
        Ok(pattern) => Some(pattern),
        Err(problem) => {
            report.error(node.position, "E207", format!("'{text}' is not an address: {problem}"));
            None
        }
    }
}

/// Names of the server's configuration, with their places: only the server knows whether they lead anywhere.
fn read_names(node: &Node, what: &'static str, kind: &str, report: &mut Report) -> Vec<(String, Position)> {
    let items = node.list(what, report);
    let names = items.iter().filter_map(|item| Some((item.name(report)?.to_owned(), item.position))).collect();
    if matches!(&node.value, Value::List(items) if items.is_empty()) {
        let help = format!("name {kind}, or leave the grant out");
        report.error_with_help(node.position, "E207", "the list is empty", help);
    }
    names
}

/// `read`: the only access there is; the word leaves room for others.
fn read_access(node: &Node, report: &mut Report) -> bool {
    node.word("access", &[("read", true)], report).unwrap_or(false)
}

fn read_timers(node: &Node, report: &mut Report) -> Option<TimerGrant> {
    // A wake-up that failed is tried again: the only answer that loses nothing needs no words.
    let mut grant = TimerGrant { on_failure: OnFailure::Defer, limits: Limits::default() };
    match node.value {
        Value::Boolean(granted) => return granted.then_some(grant),
        Value::Map(_) => {}
        _ => {
            node.wrong_type("true, or a map with 'on-failure' and 'limits'", None, report);
            return None;
        }
    }
    let mut map = Map::of(node, "'timers'", report)?;
    let words = [("defer", OnFailure::Defer), ("hold", OnFailure::Hold)];
    if let Some(choice) = map.get("on-failure").and_then(|n| n.word("failure policy of a wake-up", &words, report)) {
        grant.on_failure = choice;
    }
    if let Some(limits) = map.get("limits") {
        grant.limits = Limits::read(limits, report);
    }
    map.finish(report);
    Some(grant)
}

/// A list of targets, or a map with `targets` and `limits`.
fn read_outbox(node: &Node, report: &mut Report) -> Option<OutboxGrant> {
    let (mut targets, mut limits) = (Vec::new(), Limits::default());
    if let Value::Map(_) = node.value {
        let mut map = Map::of(node, "'outbox'", report)?;
        if let Some(list) = map.require("targets", report) {
            targets = read_names(list, "'targets'", "a target", report);
        }
        if let Some(node) = map.get("limits") {
            limits = Limits::read(node, report);
        }
        map.finish(report);
    } else if matches!(&node.value, Value::List(items) if items.is_empty()) {
        // A plugin that can do without targets, such as alerts by e-mail alone.
        return Some(OutboxGrant { targets, limits });
    } else {
        targets = read_names(node, "'outbox'", "a target", report);
    }
    (!targets.is_empty()).then_some(OutboxGrant { targets, limits })
}
