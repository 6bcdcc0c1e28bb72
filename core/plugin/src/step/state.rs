//! What one step may read, and what it has asked for so far.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use sigillo_mail::{Rope, Source};
use sigillo_policy::{Grants, Stage};
use sigillo_trust::Directory;
use wasmtime::component::ResourceTable;

use crate::cache::hex;
use crate::changes::{
    ArchiveOp, ChangeSet, Event, OutboxRequest, SignatureMade, StateWrite, Submission, Suspension, TimerOp,
};
use crate::limits;
use crate::meter::{Budget, LimitHit, MemoryLimit, Tally};
use crate::operation::Request;
use crate::passage::Passage;
use crate::services::{Level, Services};
use crate::view::MessageView;

/// What a step may read.
#[derive(Clone)]
pub struct Inputs {
    /// The plugin's name in the policy.
    pub plugin: Arc<str>,
    /// Its settings, JSON.
    pub config: Arc<str>,
    /// What its policy grants.
    pub grants: Arc<Grants>,
    /// None while the settings are checked.
    pub stage: Option<Stage>,
    /// None for a wake-up and while the settings are checked.
    pub in_hand: Option<(Arc<Passage>, Arc<MessageView>)>,
    /// What somebody asks, at an operation.
    pub request: Option<Arc<Request>>,
    /// What the steps before left for it, `PLUGIN.NAME`.
    pub annotations: Arc<BTreeMap<String, String>>,
    /// For the log.
    pub passage_id: Arc<str>,
    /// From which ids are derived: the same for the same step run anew.
    pub seed: [u8; 32],
    /// One instant for the whole step.
    pub now_ms: u64,
    /// The server.
    pub services: Arc<dyn Services>,
}

/// What a step has asked for.
#[derive(Debug, Default)]
pub struct Recorded {
    /// Header fields, in the order in which they were prepended.
    pub fields: Vec<Bytes>,
    /// New content.
    pub replacement: Option<Rope>,
    /// Content for whoever asked.
    pub output: Option<Rope>,
    /// Facts for the steps that follow, by their name.
    pub annotations: BTreeMap<String, String>,
    /// See [`ChangeSet`].
    pub submissions: Vec<Submission>,
    /// See [`ChangeSet`].
    pub state_reads: BTreeMap<String, u64>,
    /// The last write of each key.
    pub state_writes: BTreeMap<String, StateWrite>,
    /// See [`ChangeSet`].
    pub timers: Vec<TimerOp>,
    /// See [`ChangeSet`].
    pub outbox: Vec<OutboxRequest>,
    /// See [`ChangeSet`].
    pub evidence: Vec<Event>,
    /// See [`ChangeSet`].
    pub file_into: Option<String>,
    /// See [`ChangeSet`].
    pub flags: Vec<String>,
    /// See [`ChangeSet`].
    pub signatures: Vec<SignatureMade>,
    /// See [`ChangeSet`].
    pub archive: Vec<ArchiveOp>,
    /// See [`ChangeSet`].
    pub suspensions: Vec<Suspension>,
}

impl Recorded {
    /// Everything but the edits of the message and what is left for later steps.
    pub fn change_set(self, plugin: &str, step: String) -> ChangeSet {
        ChangeSet {
            plugin: plugin.to_owned(),
            step,
            submissions: self.submissions,
            state_reads: self.state_reads.into_iter().collect(),
            state_writes: self.state_writes.into_values().collect(),
            timers: self.timers,
            outbox: self.outbox,
            evidence: self.evidence,
            file_into: self.file_into,
            flags: self.flags,
            signatures: self.signatures,
            archive: self.archive,
            suspensions: self.suspensions,
        }
    }
}

/// The host's side of one step: lives and ends with its store.
pub struct StepState {
    inputs: Inputs,
    /// What the step has asked for.
    pub recorded: Recorded,
    /// The guest's handles.
    pub table: ResourceTable,
    /// Its memory.
    pub memory: MemoryLimit,
    /// What it has cost.
    pub tally: Tally,
    budget: Budget,
    /// The index of providers as it was when the step first asked it.
    directory: Option<Arc<Directory>>,
    /// How many ids were given.
    pub ids: u64,
    /// How many signatures were asked for.
    pub signatures: u32,
    /// How many time stamps were asked for.
    pub stamps: u32,
    /// Held once by the step and once by each scan that is under way.
    pub scans: Arc<()>,
    /// Lines written to the operator's log.
    pub log_lines: u32,
    /// Lines beyond the limit.
    pub log_lines_dropped: u32,
}

impl StepState {
    /// A fresh one.
    pub fn new(inputs: Inputs, memory: u64, budget: Budget) -> StepState {
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits::HANDLES_MAX);
        StepState {
            inputs,
            recorded: Recorded::default(),
            table,
            memory: MemoryLimit::new(memory),
            tally: Tally::default(),
            budget,
            directory: None,
            ids: 0,
            signatures: 0,
            stamps: 0,
            scans: Arc::default(),
            log_lines: 0,
            log_lines_dropped: 0,
        }
    }

    /// Counts a call of the guest.
    pub fn call(&mut self) -> Result<(), LimitHit> {
        self.tally.call(&self.budget)
    }

    /// Counts octets on their way to the guest.
    pub fn reads(&mut self, octets: u64) -> Result<(), LimitHit> {
        self.tally.reads(octets, &self.budget)
    }

    /// Counts octets from the guest.
    pub fn writes(&mut self, octets: u64) -> Result<(), LimitHit> {
        self.tally.writes(octets, &self.budget)
    }

    /// The index of providers: the same for the whole step, whatever takes its place meanwhile.
    pub fn directory(&mut self) -> Arc<Directory> {
        let services = &self.inputs.services;
        self.directory.get_or_insert_with(|| services.directory()).clone()
    }

    /// What the policy grants.
    pub fn grants(&self) -> &Grants {
        &self.inputs.grants
    }

    /// The server.
    pub fn services(&self) -> Arc<dyn Services> {
        self.inputs.services.clone()
    }

    /// Where bytes of ropes are read.
    pub fn source(&self) -> Arc<dyn Source> {
        self.inputs.services.source()
    }

    /// The plugin's name in the policy.
    pub fn plugin_name(&self) -> Arc<str> {
        self.inputs.plugin.clone()
    }

    /// The plugin's settings.
    pub fn config(&self) -> String {
        self.inputs.config.to_string()
    }

    /// The step's instant.
    pub fn now_ms(&self) -> u64 {
        self.inputs.now_ms
    }

    /// The passage in hand. Guests have no handle of one where there is none.
    pub fn passage(&self) -> wasmtime::Result<&Passage> {
        match &self.inputs.in_hand {
            Some((passage, _)) => Ok(passage),
            None => Err(wasmtime::Error::msg("no message in hand")),
        }
    }

    /// What an earlier step left under this name.
    pub fn annotation(&self, name: &str) -> Option<&String> {
        self.inputs.annotations.get(name)
    }

    /// The message in hand.
    pub fn message_in_hand(&self) -> wasmtime::Result<&Arc<MessageView>> {
        match &self.inputs.in_hand {
            Some((_, view)) => Ok(view),
            None => Err(wasmtime::Error::msg("no message in hand")),
        }
    }

    /// The message in hand, where there may be none.
    pub fn message_if_any(&self) -> Option<&Arc<MessageView>> {
        self.inputs.in_hand.as_ref().map(|(_, view)| view)
    }

    /// What somebody asks, at an operation.
    pub fn request(&self) -> Option<&Request> {
        self.inputs.request.as_deref()
    }

    /// The stage; none while the settings are checked and for a wake-up.
    pub fn stage(&self) -> Option<Stage> {
        self.inputs.stage
    }

    /// Whether the stage is one at which a delivery may still be changed.
    pub fn edits_allowed(&self) -> bool {
        self.inputs.stage == Some(Stage::Delivery)
    }

    /// A name that is unique in the world as far as the passage's id is, and the same in a re-run. Letters and digits.
    pub fn derived_id(&self, purpose: &str, key: &str) -> String {
        let mut hash = Sha256::new();
        hash.update(self.inputs.seed);
        hash.update(purpose.as_bytes());
        hash.update([0]);
        hash.update(key.as_bytes());
        hex(&hash.finalize()[..16])
    }

    /// One line for the operator.
    pub fn write_log(&self, level: Level, line: &str) {
        self.inputs.services.log(&self.inputs.plugin, &self.inputs.passage_id, level, line);
    }
}
