//! One step: a fresh instance in a store of its own, from instantiation to verdict, within its limits.

mod state;

use std::sync::Arc;
use std::time::{Duration, Instant};

use sigillo_policy::Stage;
use wasmtime::Store;
use wasmtime::component::{InstancePre, Resource};

pub use state::{Inputs, Recorded, StepState};

use crate::capability::{AnswerHandle, DeliveryHandle, InspectionHandle, RequestHandle, TransactionHandle};
use crate::check;
use crate::host::Host;
use crate::limits;
use crate::meter::{Budget, LimitHit, Tally, cpu_clock};
use crate::passage::Answered;
use crate::world::exports::sigillo::mail as hooks;
use crate::world::mail::types::{Failure, Verdict};

/// Limits of one step.
#[derive(Debug, Clone, Copy)]
pub struct StepLimits {
    /// Octets of linear memory.
    pub memory: u64,
    /// Processor time.
    pub cpu: Duration,
    /// Time on the clock.
    pub wall: Duration,
    /// Calls and bytes.
    pub budget: Budget,
}

impl StepLimits {
    /// As the policy says.
    pub fn of(limits: &sigillo_policy::Limits) -> StepLimits {
        StepLimits {
            memory: limits.memory,
            cpu: limits.cpu,
            wall: limits.wall,
            budget: Budget { host_calls: limits.host_calls, read: limits.read, written: limits.write },
        }
    }
}

/// What a plugin exports: one interface for each stage that it has.
#[derive(Clone, Default)]
pub struct Hooks {
    /// `lifecycle`.
    pub lifecycle: Option<hooks::lifecycle::GuestIndices>,
    /// `access`.
    pub access: Option<hooks::access::GuestIndices>,
    /// `reception`.
    pub reception: Option<hooks::reception::GuestIndices>,
    /// `delivery`.
    pub delivery: Option<hooks::delivery::GuestIndices>,
    /// `stored`.
    pub stored: Option<hooks::stored::GuestIndices>,
    /// `refiled`.
    pub refiled: Option<hooks::refiled::GuestIndices>,
    /// `outcome`.
    pub outcome: Option<hooks::outcome::GuestIndices>,
    /// `timer`.
    pub timer: Option<hooks::timer::GuestIndices>,
    /// `operation`: no stage.
    pub operation: Option<hooks::operation::GuestIndices>,
    /// `answer`.
    pub answer: Option<hooks::answer::GuestIndices>,
    /// `command`: no stage.
    pub command: Option<hooks::command::GuestIndices>,
}

impl Hooks {
    /// Looks for each.
    pub fn of(pre: &InstancePre<StepState>) -> Hooks {
        Hooks {
            lifecycle: hooks::lifecycle::GuestIndices::new(pre).ok(),
            access: hooks::access::GuestIndices::new(pre).ok(),
            reception: hooks::reception::GuestIndices::new(pre).ok(),
            delivery: hooks::delivery::GuestIndices::new(pre).ok(),
            stored: hooks::stored::GuestIndices::new(pre).ok(),
            refiled: hooks::refiled::GuestIndices::new(pre).ok(),
            outcome: hooks::outcome::GuestIndices::new(pre).ok(),
            timer: hooks::timer::GuestIndices::new(pre).ok(),
            operation: hooks::operation::GuestIndices::new(pre).ok(),
            answer: hooks::answer::GuestIndices::new(pre).ok(),
            command: hooks::command::GuestIndices::new(pre).ok(),
        }
    }

    /// Whether the plugin has this stage.
    pub fn has(&self, stage: Stage) -> bool {
        match stage {
            Stage::Access => self.access.is_some(),
            Stage::Reception => self.reception.is_some(),
            Stage::Delivery => self.delivery.is_some(),
            Stage::Stored => self.stored.is_some(),
            Stage::Refiled => self.refiled.is_some(),
            Stage::Outcome => self.outcome.is_some(),
            Stage::Timer => self.timer.is_some(),
            Stage::Answer => self.answer.is_some(),
        }
    }
}

/// What is asked of a plugin.
#[derive(Debug, Clone)]
pub enum Call {
    /// To check its settings.
    Configure,
    /// To look at the message in hand at this stage.
    Stage(Stage),
    /// To do what it wanted to do at this instant.
    Timer {
        /// The plugin's own name for the wake-up.
        key: String,
        /// What it left for itself.
        payload: Vec<u8>,
    },
    /// To do what somebody asks.
    Operation,
    /// To learn how a request of the outbox ended.
    Answer(Answered),
    /// To answer a command about the message in hand.
    Command(String),
}

/// What a plugin says when nothing went wrong.
#[derive(Debug)]
pub enum Said {
    /// Nothing: `configure`, wake-ups and answers of the outbox.
    Nothing,
    /// What follows for the message: stages.
    Verdict(Verdict),
    /// The answer to a command or an operation.
    Answer(String),
}

/// How a step failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepFailure {
    /// For the operator; one line.
    pub words: String,
    /// The plugin itself said that it will not work later either.
    pub permanent: bool,
}

/// A step that ran.
pub struct Ran {
    /// Its verdict or its answer.
    pub said: Result<Said, StepFailure>,
    /// What it asked for; to be dropped if it failed.
    pub recorded: Recorded,
    /// Its cost.
    pub cost: Cost,
}

/// What a step took.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cost {
    /// Processor time.
    pub cpu: Duration,
    /// Time on the clock, without waiting for a slot.
    pub wall: Duration,
    /// Calls and bytes.
    pub tally: Tally,
    /// Octets.
    pub memory_peak: u64,
    /// Lines of the log that were dropped.
    pub log_lines_dropped: u32,
}

/// Runs one step. The store is dropped with everything in it, however it ends: a guest that trapped, or was dropped
/// half-way, cannot be entered again.
pub async fn run(
    host: &Host,
    pre: &InstancePre<StepState>,
    hooks: &Hooks,
    inputs: Inputs,
    limits: StepLimits,
    call: Call,
) -> Ran {
    let _slot = host.slot().await;
    let began = Instant::now();
    let clock = cpu_clock();
    let mut store = store(host, inputs, &limits);
    let at_tick = Arc::clone(&clock);
    store.epoch_deadline_callback(move |_| at_tick.at_tick(limits.cpu));
    let step = clock.measure(enter(&mut store, pre, hooks, call));
    let ended = tokio::time::timeout(limits.wall, step).await;
    let (cpu, wall) = (clock.spent(), began.elapsed());
    let state = store.into_data();
    let said = match ended {
        Ok(Ok(Ok(said))) => Ok(said),
        Ok(Ok(Err(failure))) => Err(own_words(failure)),
        Ok(Err(error)) => Err(trapped(&error, &state)),
        Err(_) => Err(operators_words(&LimitHit::Wall(limits.wall).to_string())),
    };
    let cost = Cost {
        cpu,
        wall,
        tally: state.tally,
        memory_peak: state.memory.peak(),
        log_lines_dropped: state.log_lines_dropped,
    };
    Ran { said, recorded: state.recorded, cost }
}

fn store(host: &Host, inputs: Inputs, limits: &StepLimits) -> Store<StepState> {
    let mut store = Store::new(host.engine(), StepState::new(inputs, limits.memory, limits.budget));
    store.limiter(|state| &mut state.memory);
    store.set_epoch_deadline(1);
    store.set_hostcall_fuel(limits::HOST_CALL_BYTES_MAX);
    store.set_max_component_handles(limits::HANDLES_MAX);
    store
}

type Answer = Result<Said, Failure>;

async fn enter(
    store: &mut Store<StepState>,
    pre: &InstancePre<StepState>,
    hooks: &Hooks,
    call: Call,
) -> wasmtime::Result<Answer> {
    let instance = pre.instantiate_async(&mut *store).await?;
    macro_rules! guest {
        ($stage:ident) => {
            hooks.$stage.as_ref().ok_or_else(not_exported)?.load(&mut *store, &instance)?
        };
    }
    let stage = match call {
        Call::Configure => {
            let answer = guest!(lifecycle).call_configure(store).await?;
            return Ok(answer.map(|()| Said::Nothing).map_err(Failure::Permanent));
        }
        Call::Timer { key, payload } => {
            let answer = guest!(timer).call_run(store, &key, &payload).await?;
            return Ok(answer.map(|()| Said::Nothing));
        }
        Call::Operation => {
            let guest = guest!(operation);
            let request = store.data_mut().table.push(RequestHandle)?;
            return Ok(guest.call_run(store, request).await?.map(Said::Answer));
        }
        Call::Answer(answered) => {
            let guest = guest!(answer);
            let handle = store.data_mut().table.push(AnswerHandle(answered))?;
            return Ok(guest.call_run(store, handle).await?.map(|()| Said::Nothing));
        }
        Call::Command(name) => {
            let guest = guest!(command);
            let inspection = store.data_mut().table.push(InspectionHandle)?;
            return Ok(guest.call_run(store, &name, inspection).await?.map(Said::Answer));
        }
        Call::Stage(stage) => stage,
    };
    let answer = match stage {
        Stage::Access => {
            let guest = guest!(access);
            let transaction = transaction(store)?;
            guest.call_run(store, transaction).await?
        }
        Stage::Reception => {
            let guest = guest!(reception);
            let transaction = transaction(store)?;
            guest.call_run(store, transaction).await?
        }
        Stage::Delivery => {
            let guest = guest!(delivery);
            let delivery = delivery(store)?;
            guest.call_run(store, delivery).await?
        }
        Stage::Stored => {
            let guest = guest!(stored);
            let delivery = delivery(store)?;
            guest.call_run(store, delivery).await?
        }
        Stage::Refiled => {
            let guest = guest!(refiled);
            let delivery = delivery(store)?;
            guest.call_run(store, delivery).await?
        }
        Stage::Outcome => {
            let guest = guest!(outcome);
            let delivery = delivery(store)?;
            guest.call_run(store, delivery).await?
        }
        Stage::Timer | Stage::Answer => return Err(not_exported()),
    };
    Ok(answer.map(Said::Verdict))
}

/// The guest borrows the handle; it stays in the table until the store is dropped.
fn transaction(store: &mut Store<StepState>) -> wasmtime::Result<Resource<TransactionHandle>> {
    Ok(store.data_mut().table.push(TransactionHandle)?)
}

fn delivery(store: &mut Store<StepState>) -> wasmtime::Result<Resource<DeliveryHandle>> {
    Ok(store.data_mut().table.push(DeliveryHandle)?)
}

/// Loading has checked this already.
fn not_exported() -> wasmtime::Error {
    wasmtime::Error::msg("the plugin does not export this stage")
}

fn own_words(failure: Failure) -> StepFailure {
    let (words, permanent) = match failure {
        Failure::Transient(words) => (words, false),
        Failure::Permanent(words) => (words, true),
    };
    StepFailure { words: check::reason(&words), permanent }
}

fn trapped(error: &wasmtime::Error, state: &StepState) -> StepFailure {
    if let Some(hit) = error.downcast_ref::<LimitHit>() {
        return operators_words(&hit.to_string());
    }
    // A guest that gets no memory mostly aborts: the limit is the reason, the trap only how it took it.
    if state.memory.refused {
        return operators_words(&state.memory.hit().to_string());
    }
    operators_words(&format!("trapped: {}", error.root_cause()))
}

fn operators_words(words: &str) -> StepFailure {
    StepFailure { words: check::reason(words), permanent: false }
}
