//! A policy at work: picks the chain, runs its steps one after the other, and applies each change set whole or not
//! at all.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use sigillo_policy::{Chain, Diagnostic, Facts, OnFailure, Policy, Stage, Step};

use crate::cache::hex;
use crate::changes::{ArchiveOp, ChangeSet, SignatureMade};
use crate::command::Answer;
use crate::host::Host;
use crate::load::{self, Loaded};
use crate::operation::{Operated, Request, for_the_log, operation_limits};
use crate::passage::{Answered, Passage};
use crate::run::{ChainRun, Outcome, StepRecord};
use crate::services::Services;
use crate::step::{self, Call, Inputs, Ran, Recorded, Said, StepLimits};
use crate::verdict::{self, Allowed};
use crate::view::MessageView;

/// The key of the wake-up of a plugin when a server begins.
pub const START: &str = "start";

/// A loaded, checked policy. To change the policy, load another beside it: a message finishes on the one with which
/// it began.
pub struct Engine {
    host: Arc<Host>,
    policy: Policy,
    plugins: BTreeMap<String, Loaded>,
    services: Arc<dyn Services>,
    epoch: String,
}

impl Engine {
    /// Loads every plugin of a policy, or says everything that is wrong. Compiles where the cache has nothing: that
    /// takes seconds, on a thread where it may.
    pub async fn load(
        host: Arc<Host>,
        policy: Policy,
        plugins_dir: &Path,
        services: Arc<dyn Services>,
    ) -> Result<Engine, Vec<Diagnostic>> {
        let plugins = load::all(&host, &policy, plugins_dir, &services).await?;
        let epoch = epoch(&policy, &plugins);
        Ok(Engine { host, policy, plugins, services, epoch })
    }

    /// Names the policy and the plugins behind it: equal for equal texts and equal components.
    pub fn epoch(&self) -> &str {
        &self.epoch
    }

    /// The policy.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Plugins that are woken with the key [`START`] when a server begins to work with this policy: those whose manifest
    /// says so and that may ask for wake-ups.
    pub fn wakes_at_start(&self) -> impl Iterator<Item = &str> {
        let woken = self.plugins.values().filter(|plugin| plugin.wake_at_start && plugin.grants.timers.is_some());
        woken.map(|plugin| &*plugin.name)
    }

    /// Runs the first chain of the stage whose condition holds. If there is none, the message goes on as it came.
    pub async fn run(&self, stage: Stage, facts: &Facts, passage: Passage) -> ChainRun {
        let came = MessageView { rope: passage.message().clone(), structure: passage.structure().clone() };
        let mut course = Course::of(came);
        let Some(chain) = self.policy.chain(stage, facts) else {
            return course.end(self, None, Outcome::Continue, &passage);
        };
        let (passage, now_ms) = (Arc::new(passage), self.services.now_ms());
        for (index, step) in chain.steps.iter().enumerate() {
            let outcome = self.step(chain, index, step, &passage, now_ms, &mut course).await;
            if outcome != Outcome::Continue {
                return course.end(self, Some(chain), outcome, &passage);
            }
        }
        // Every step of the policy has run, or the message does not go on.
        let outcome = match course.steps.len() == chain.steps.len() {
            true => Outcome::Continue,
            false => Outcome::Hold("the steps that ran are not those of the policy".into()),
        };
        course.end(self, Some(chain), outcome, &passage)
    }

    async fn step(
        &self,
        chain: &Chain,
        index: usize,
        step: &Step,
        passage: &Arc<Passage>,
        now_ms: u64,
        course: &mut Course,
    ) -> Outcome {
        let stage = chain.stage;
        let Some(plugin) = self.plugins.get(&step.plugin) else {
            // Loading has checked this; nothing may pass for a step that did not run.
            return Outcome::Hold(format!("plugin `{}` is not loaded", step.plugin));
        };
        let inputs = Inputs {
            stage: Some(stage),
            in_hand: Some((passage.clone(), course.view.clone())),
            annotations: course.annotations.clone(),
            ..self.inputs(plugin, passage.id(), seed(passage, chain, index), now_ms)
        };
        let limits = StepLimits::of(&step.limits);
        let ran = step::run(&self.host, &plugin.pre, &plugin.hooks, inputs, limits, Call::Stage(stage)).await;
        let mut record = record(plugin, stage.as_str(), index, &ran);
        record.message_size = course.view.rope.len();
        let allowed = Allowed { accept: step.may_accept, discard: step.may_discard };
        let made = ran.recorded.signatures.clone();
        let outcome = match self.settle(ran, stage, allowed, course).await {
            Ok((outcome, mut changes)) => {
                record.verdict = outcome.word().into();
                record.annotations = std::mem::take(&mut changes.annotations);
                course.annotate(&plugin.name, &record.annotations);
                course.change_sets.push((index, changes.change_set(&plugin.name, format!("{}/{index}", chain.name))));
                outcome
            }
            Err(why) => {
                let after = verdict::after_failure(step.on_failure, &plugin.name);
                record.verdict = after.as_ref().map_or("skip", Outcome::word).into();
                tracing::warn!(plugin = %plugin.name, %stage, passage = passage.id(), verdict = record.verdict, why, "step failed");
                record.failure = Some(why);
                undone(&plugin.name, passage.id(), &made);
                after.unwrap_or(Outcome::Continue)
            }
        };
        course.steps.push(record);
        outcome
    }

    /// Judges what a step said and applies its edits. After an error nothing of the step remains.
    async fn settle(
        &self,
        ran: Ran,
        stage: Stage,
        allowed: Allowed,
        course: &mut Course,
    ) -> Result<(Outcome, Recorded), String> {
        let said = ran.said.map_err(|failure| failure.words)?;
        let Said::Verdict(said) = said else { return Err("gave no verdict".into()) };
        let outcome = verdict::judge(said, stage, allowed)?;
        let mut recorded = ran.recorded;
        let replacement = recorded.replacement.take();
        if matches!(outcome, Outcome::Continue | Outcome::Accept) {
            let source = self.services.source();
            let view = course.view.clone().edited(replacement, &recorded.fields, source).await;
            course.view = view.map_err(|why| format!("made a message that is none: {why}"))?;
        }
        Ok((outcome, recorded))
    }

    /// Runs a wake-up. It belongs to no chain: limits and failure policy stand at the grant. The outcome is
    /// `Continue` (done), `Defer` or `Hold`: not done, and by itself it may never be; both come again.
    pub async fn run_timer(&self, plugin: &str, key: &str, payload: Vec<u8>, passage_id: &str) -> ChainRun {
        let Some((plugin, grant)) = self.plugins.get(plugin).and_then(|p| Some((p, p.grants.timers?))) else {
            // The policy has changed since it was asked for.
            return self.timer_run(Outcome::Hold(format!("no plugin `{plugin}` with the grant `timers`")), None, None);
        };
        let seed = hashed(&[b"timer", passage_id.as_bytes(), plugin.name.as_bytes(), key.as_bytes()]);
        let inputs = self.inputs(plugin, passage_id, seed, self.services.now_ms());
        let call = Call::Timer { key: key.to_owned(), payload };
        let ran = step::run(&self.host, &plugin.pre, &plugin.hooks, inputs, StepLimits::of(&grant.limits), call).await;
        let mut record = record(plugin, Stage::Timer.as_str(), 0, &ran);
        let (outcome, changes) = match ran.said {
            Ok(_) => (Outcome::Continue, Some(ran.recorded.change_set(&plugin.name, format!("timer/{key}")))),
            Err(failure) => {
                undone(&plugin.name, passage_id, &ran.recorded.signatures);
                // Also what the plugin itself says will not work later either: the operator's log says so.
                let hold = failure.permanent || grant.on_failure != OnFailure::Defer;
                tracing::warn!(plugin = %plugin.name, key, hold, why = failure.words, "wake-up failed");
                let reason = format!("wake-up of plugin `{}`: {}", plugin.name, failure.words);
                record.failure = Some(failure.words);
                (if hold { Outcome::Hold(reason) } else { Outcome::Defer(verdict::later()) }, None)
            }
        };
        record.verdict = outcome.word().into();
        self.timer_run(outcome, changes, Some(record))
    }

    /// Does what somebody asks of a plugin, which is called `name` in the policy or is its one plugin from the component
    /// `name`. An error is about the request itself: nothing ran.
    pub async fn run_operation(&self, name: &str, request: Request, passage_id: &str) -> Result<Operated, String> {
        let plugin = self.asked(name)?;
        request.check(&plugin.name, &plugin.operations)?;
        let seed = hashed(&[b"operation", passage_id.as_bytes(), plugin.name.as_bytes()]);
        let in_hand = request.message.clone().map(|(rope, structure)| {
            let (message, properties) = (rope.clone(), request.properties.clone());
            let passage = Passage::Inspection { message, structure: structure.clone(), properties };
            (Arc::new(passage), Arc::new(MessageView { rope, structure }))
        });
        let operation = request.operation.clone();
        let arguments = plugin.operations.get(&operation).map(|it| for_the_log(&request, it)).unwrap_or_default();
        let inputs = Inputs {
            in_hand,
            request: Some(Arc::new(request)),
            ..self.inputs(plugin, passage_id, seed, self.services.now_ms())
        };
        let mut ran =
            step::run(&self.host, &plugin.pre, &plugin.hooks, inputs, operation_limits(), Call::Operation).await;
        let mut record = record(plugin, "operation", 0, &ran);
        let output = ran.recorded.output.take();
        let said = ran.said.map_err(|failure| failure.words).and_then(|said| match said {
            Said::Answer(text) => Answer::check(text),
            Said::Nothing | Said::Verdict(_) => Err("gave no answer".into()),
        });
        let (answer, changes) = match said {
            Ok(answer) => (Ok(answer), Some(ran.recorded.change_set(&plugin.name, format!("operation/{operation}")))),
            Err(why) => {
                undone(&plugin.name, passage_id, &ran.recorded.signatures);
                record.failure = Some(why.clone());
                (Err(why), None)
            }
        };
        record.verdict = if answer.is_ok() { operation } else { "failed".into() };
        let run = self.timer_run(Outcome::Continue, changes, Some(record));
        Ok(Operated { answer, plugin: plugin.name.to_string(), arguments, run, output })
    }

    fn asked(&self, name: &str) -> Result<&Loaded, String> {
        if let Some(plugin) = self.plugins.get(name) {
            return Ok(plugin);
        }
        let of_component = self.policy.plugins.values().filter(|plugin| plugin.component.manifest_name() == name);
        let names: Vec<&str> = of_component.map(|plugin| plugin.name.as_str()).collect();
        match names[..] {
            [] => Err(format!("the policy has no plugin '{name}'")),
            [one] => self.plugins.get(one).ok_or_else(|| format!("plugin '{one}' is not loaded")),
            _ => Err(format!("the policy has '{name}' under several names; ask for one of {}", names.join(", "))),
        }
    }

    /// Tells a plugin how a request of its outbox ended. `passage_id` names the request: the same for a step run anew. The
    /// outcome is `Continue` (it knows) or `Defer` (to be told again): an answer is never dropped.
    pub async fn run_answer(&self, plugin: &str, answered: Answered, passage_id: &str) -> ChainRun {
        let granted = self.plugins.get(plugin).and_then(|p| Some((p, p.grants.outbox.as_ref()?)));
        let Some((plugin, grant)) = granted else {
            tracing::warn!(plugin, "no such plugin with the grant `outbox`: an answer waits for it");
            return self.timer_run(Outcome::Defer(verdict::later()), None, None);
        };
        let key = answered.key.clone();
        let seed = hashed(&[b"answer", passage_id.as_bytes(), plugin.name.as_bytes(), key.as_bytes()]);
        let inputs =
            Inputs { stage: Some(Stage::Answer), ..self.inputs(plugin, passage_id, seed, self.services.now_ms()) };
        let limits = StepLimits::of(&grant.limits);
        let ran = step::run(&self.host, &plugin.pre, &plugin.hooks, inputs, limits, Call::Answer(answered)).await;
        let mut record = record(plugin, Stage::Answer.as_str(), 0, &ran);
        let (outcome, changes) = match ran.said {
            Ok(_) => (Outcome::Continue, Some(ran.recorded.change_set(&plugin.name, format!("answer/{key}")))),
            Err(failure) => {
                undone(&plugin.name, passage_id, &ran.recorded.signatures);
                tracing::warn!(plugin = %plugin.name, key, why = failure.words, "an answer of the outbox was not taken");
                record.failure = Some(failure.words);
                (Outcome::Defer(verdict::later()), None)
            }
        };
        record.verdict = outcome.word().into();
        self.timer_run(outcome, changes, Some(record))
    }

    fn timer_run(&self, outcome: Outcome, changes: Option<ChangeSet>, record: Option<StepRecord>) -> ChainRun {
        ChainRun {
            chain: None,
            outcome,
            message: Default::default(),
            structure: None,
            change_sets: changes.into_iter().filter(worth_a_commit).collect(),
            steps: record.into_iter().collect(),
            epoch: self.epoch.clone(),
        }
    }

    fn inputs(&self, plugin: &Loaded, passage_id: &str, seed: [u8; 32], now_ms: u64) -> Inputs {
        Inputs {
            plugin: plugin.name.clone(),
            config: plugin.config.clone(),
            grants: plugin.grants.clone(),
            stage: None,
            in_hand: None,
            request: None,
            annotations: Arc::default(),
            passage_id: passage_id.into(),
            seed,
            now_ms,
            services: self.services.clone(),
        }
    }
}

/// A chain under way.
struct Course {
    view: Arc<MessageView>,
    /// With the index of the step.
    change_sets: Vec<(usize, ChangeSet)>,
    /// What the steps left for those that follow, `PLUGIN.NAME`.
    annotations: Arc<BTreeMap<String, String>>,
    steps: Vec<StepRecord>,
}

impl Course {
    fn of(came: MessageView) -> Course {
        Course { view: Arc::new(came), change_sets: Vec::new(), annotations: Arc::default(), steps: Vec::new() }
    }

    fn annotate(&mut self, plugin: &str, left: &BTreeMap<String, String>) {
        if !left.is_empty() {
            let named = left.iter().map(|(name, value)| (format!("{plugin}.{name}"), value.clone()));
            Arc::make_mut(&mut self.annotations).extend(named);
        }
    }

    /// What remains of the steps, by the outcome; the table stands at [`ChainRun`].
    fn end(self, engine: &Engine, chain: Option<&Chain>, outcome: Outcome, passage: &Passage) -> ChainRun {
        let last = self.steps.len().saturating_sub(1);
        let keep = |index: usize| match outcome {
            Outcome::Continue | Outcome::Accept | Outcome::Quarantine(_) | Outcome::Discard(_) => true,
            Outcome::Reject(_) => index == last,
            Outcome::Defer(_) | Outcome::Hold(_) => false,
        };
        let as_it_came = matches!(outcome, Outcome::Reject(_) | Outcome::Defer(_) | Outcome::Hold(_));
        let (kept, dropped): (Vec<_>, Vec<_>) = self.change_sets.into_iter().partition(|(index, _)| keep(*index));
        dropped.iter().for_each(|(_, set)| undone(&set.plugin, passage.id(), &set.signatures));
        // A message that does not go on leaves no copy, whichever step would have kept one.
        let goes_on = matches!(outcome, Outcome::Continue | Outcome::Accept);
        let kept = kept.into_iter().map(|(_, mut changes)| {
            changes.archive.retain(|op| goes_on || !matches!(op, ArchiveOp::Keep(_)));
            changes
        });
        let (message, structure) = match as_it_came {
            true => (passage.message().clone(), passage.structure().clone()),
            false => (self.view.rope.clone(), self.view.structure.clone()),
        };
        ChainRun {
            chain: chain.map(|chain| chain.name.clone()),
            change_sets: kept.filter(worth_a_commit).collect(),
            outcome,
            message,
            structure: Some(structure),
            steps: self.steps,
            epoch: engine.epoch.clone(),
        }
    }
}

/// Signatures that nothing will carry: the register has only those of commits, the operator's log has these (LOG-17).
fn undone(plugin: &str, passage: &str, signatures: &[SignatureMade]) {
    for made in signatures {
        tracing::info!(
            plugin,
            passage,
            key = made.key,
            serial = made.serial,
            certificate_sha1 = made.certificate_sha1,
            content_sha256 = made.content_sha256,
            "a signature was made and is not used: its step did not end in a commit"
        );
    }
}

/// A step that changed nothing still has its say where it read state: another step's commit may have made its
/// verdict wrong.
fn worth_a_commit(changes: &ChangeSet) -> bool {
    !changes.is_empty() || !changes.state_reads.is_empty()
}

fn record(plugin: &Loaded, stage: &str, index: usize, ran: &Ran) -> StepRecord {
    let cost = &ran.cost;
    StepRecord {
        plugin: plugin.name.to_string(),
        plugin_sha256: plugin.sha256.clone(),
        stage: stage.into(),
        step: index,
        message_size: 0,
        verdict: String::new(),
        failure: None,
        annotations: BTreeMap::new(),
        cpu_us: cost.cpu.as_micros() as u64,
        wall_us: cost.wall.as_micros() as u64,
        host_calls: cost.tally.host_calls,
        bytes_read: cost.tally.bytes_read,
        bytes_written: cost.tally.bytes_written,
        memory_peak: cost.memory_peak,
        log_lines_dropped: cost.log_lines_dropped,
    }
}

/// From which a step's ids come. The attempt belongs to it: what an earlier attempt made may be on its way already.
fn seed(passage: &Passage, chain: &Chain, index: usize) -> [u8; 32] {
    let (attempt, recipient) = match passage {
        Passage::Transaction { .. } | Passage::Inspection { .. } => (0, ""),
        Passage::Delivery { attempt, recipient, .. } => (*attempt, recipient.as_str()),
    };
    hashed(&[
        chain.stage.as_str().as_bytes(),
        passage.id().as_bytes(),
        recipient.as_bytes(),
        &attempt.to_be_bytes(),
        chain.name.as_bytes(),
        &(index as u64).to_be_bytes(),
    ])
}

fn epoch(policy: &Policy, plugins: &BTreeMap<String, Loaded>) -> String {
    let components = plugins.values().flat_map(|plugin| [plugin.name.as_bytes(), plugin.sha256.as_bytes()]);
    let parts: Vec<&[u8]> = std::iter::once(policy.sha256.as_bytes()).chain(components).collect();
    hex(&hashed(&parts))
}

/// SHA-256 over parts with their lengths, so that no two lists of parts are the same bytes.
fn hashed(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}
