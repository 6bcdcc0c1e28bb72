//! Figures for monitoring, in the format of Prometheus.

use prometheus::{
    Encoder, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};
use sigillo_plugin::ChainRun;
use sigillo_policy::Stage;
use sigillo_store::evidence::sealing::StreamStatus;

/// Bounds of the histograms of a step's cost, seconds: from the cheapest look-up to a step at its limit.
const COST_BUCKETS: [f64; 12] = [2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 2e-2, 0.1, 0.5, 2.0];

/// Every figure of the server.
pub struct Metrics {
    registry: Registry,
    messages: IntCounterVec,
    attempts: IntCounterVec,
    step_cpu: HistogramVec,
    step_wall: HistogramVec,
    step_memory: IntGaugeVec,
    step_bytes: IntCounterVec,
    step_calls: IntCounterVec,
    step_failures: IntCounterVec,
    logins: IntCounterVec,
    sessions: IntGaugeVec,
    queue: IntGaugeVec,
    key_expires: IntGaugeVec,
    list_expires: IntGaugeVec,
    evidence: IntGaugeVec,
    clock_steps: IntCounter,
    started: IntGauge,
    outbox: OutboxFigures,
    index_age: IntGaugeVec,
    index_success: IntGaugeVec,
    index_fetches: IntCounterVec,
    index_failures: IntCounterVec,
}

/// Of the outbox.
struct OutboxFigures {
    requests: IntGaugeVec,
    attempts: IntCounterVec,
    away: IntGaugeVec,
}

impl OutboxFigures {
    fn new(registry: &Registry) -> Result<OutboxFigures, prometheus::Error> {
        Ok(OutboxFigures {
            requests: gauge(registry, "outbox", "Requests of the outbox", &["target", "state"])?,
            attempts: counter(
                registry,
                "outbox_attempts_total",
                "Ends of attempts at requests of the outbox, and of the requests (ended-…)",
                &["target", "result"],
            )?,
            away: gauge(
                registry,
                "outbox_target_away",
                "1 where the last attempts did not reach a target",
                &["target"],
            )?,
        })
    }
}

impl Metrics {
    /// All at zero. Fails only if two figures had one name.
    pub fn new() -> Result<Metrics, prometheus::Error> {
        let registry = Registry::new();
        let step = ["plugin", "stage"];
        let metrics = Metrics {
            messages: counter(&registry, "messages_total", "Messages handed to the server", &["stage", "result"])?,
            attempts: counter(&registry, "recipients_total", "Ends of delivery attempts", &["result"])?,
            step_cpu: cost(&registry, "step_cpu_seconds", "CPU time of one step of a plugin")?,
            step_wall: cost(&registry, "step_wall_seconds", "Time from begin to end of one step of a plugin")?,
            step_memory: gauge(
                &registry,
                "step_memory_bytes",
                "Memory of the last step of a plugin at its peak",
                &step,
            )?,
            step_bytes: counter(
                &registry,
                "step_bytes_total",
                "Octets that crossed into and out of plugins",
                &["plugin", "stage", "direction"],
            )?,
            step_calls: counter(&registry, "step_host_calls_total", "Calls of plugins to the host", &step)?,
            step_failures: counter(
                &registry,
                "step_failures_total",
                "Steps that failed, so that the policy decided",
                &step,
            )?,
            logins: counter(&registry, "logins_total", "Authentications", &["protocol", "result"])?,
            sessions: gauge(&registry, "sessions", "Open connections", &["protocol"])?,
            queue: gauge(&registry, "queue", "Entries and recipients of the queue", &["what"])?,
            index_age: gauge(
                &registry,
                "index_age_seconds",
                "Since the index of providers in use was signed, or taken if it is not signed",
                &[],
            )?,
            index_success: gauge(
                &registry,
                "index_last_success_seconds",
                "When an index of providers was last found good, seconds since 1970",
                &[],
            )?,
            index_fetches: counter(&registry, "index_fetches_total", "Fetches of the index of providers", &[])?,
            index_failures: counter(
                &registry,
                "index_failures_total",
                "Fetches of the index of providers after which the edition in use stayed",
                &[],
            )?,
            key_expires: gauge(
                &registry,
                "key_expires_seconds",
                "Seconds until the last certificate of a signing key ends",
                &["key"],
            )?,
            list_expires: gauge(
                &registry,
                "revocation_list_expires_seconds",
                "Seconds until the revocation list of an authority counts no more",
                &["issuer"],
            )?,
            evidence: gauge(&registry, "evidence", "The message log as it stands", &["log", "what"])?,
            clock_steps: IntCounter::new("sigillo_clock_steps_total", "Times that the clock was seen to be set")?,
            outbox: OutboxFigures::new(&registry)?,
            started: IntGauge::new("sigillo_start_time_seconds", "When the server started, seconds since 1970")?,
            registry,
        };
        metrics.registry.register(Box::new(metrics.started.clone()))?;
        metrics.registry.register(Box::new(metrics.clock_steps.clone()))?;
        metrics.started.set((sigillo_store::commit::now() / 1000) as i64);
        Ok(metrics)
    }

    /// A chain ran: what each of its steps cost.
    pub fn chain(&self, stage: Stage, run: &ChainRun) {
        for step in &run.steps {
            let labels = [step.plugin.as_str(), stage.as_str()];
            self.step_cpu.with_label_values(&labels).observe(step.cpu_us as f64 / 1e6);
            self.step_wall.with_label_values(&labels).observe(step.wall_us as f64 / 1e6);
            self.step_memory.with_label_values(&labels).set(step.memory_peak as i64);
            self.step_calls.with_label_values(&labels).inc_by(step.host_calls);
            let bytes = |direction| self.step_bytes.with_label_values(&[labels[0], labels[1], direction]);
            bytes("read").inc_by(step.bytes_read);
            bytes("written").inc_by(step.bytes_written);
            if step.failure.is_some() {
                self.step_failures.with_label_values(&labels).inc();
            }
        }
    }

    /// A message was taken.
    pub fn accepted(&self, stage: Stage) {
        self.messages.with_label_values(&[stage.as_str(), "accepted"]).inc();
    }

    /// A message was refused or put off.
    pub fn refused(&self, stage: Stage) {
        self.messages.with_label_values(&[stage.as_str(), "refused"]).inc();
    }

    /// An attempt to reach a recipient ended: `filed`, `delivered`, `deferred`, `failed` or `expired`.
    pub fn attempt(&self, result: &str) {
        self.attempts.with_label_values(&[result]).inc();
    }

    /// Somebody logged in, or did not.
    pub fn login(&self, protocol: &str, good: bool) {
        self.logins.with_label_values(&[protocol, if good { "good" } else { "bad" }]).inc();
    }

    /// A connection that counts as open until the value is dropped.
    pub fn session(&self, protocol: &str) -> OpenSession {
        let gauge = self.sessions.with_label_values(&[protocol]);
        gauge.inc();
        OpenSession(gauge)
    }

    /// The queue as it stands.
    pub fn queue(&self, entries: u64, pending: u64, held: u64) {
        for (what, value) in [("entries", entries), ("pending", pending), ("held", held)] {
            self.queue.with_label_values(&[what]).set(value as i64);
        }
    }

    /// An attempt at a request of the outbox ended.
    pub fn outbox_attempt(&self, target: &str, result: &str) {
        self.outbox.attempts.with_label_values(&[target, result]).inc();
    }

    /// The outbox as it stands: by target and state how many requests, and the targets with whether they are away.
    pub fn outbox<'a>(
        &self,
        counts: &[(String, String, u64, sigillo_store::Millis)],
        targets: impl Iterator<Item = (&'a str, bool)>,
    ) {
        self.outbox.requests.reset();
        for (target, away) in targets {
            self.outbox.requests.with_label_values(&[target, "waiting"]).set(0);
            self.outbox.away.with_label_values(&[target]).set(i64::from(away));
        }
        for (target, state, count, _) in counts {
            self.outbox.requests.with_label_values(&[target, state]).set(*count as i64);
        }
    }

    /// The index of providers as it stands: age of the edition in use and the last success, milliseconds.
    pub fn index(&self, age: u64, last_success: u64) {
        let none: [&str; 0] = [];
        self.index_age.with_label_values(&none).set((age / 1000) as i64);
        self.index_success.with_label_values(&none).set((last_success / 1000) as i64);
        self.index_failures.with_label_values(&none); // there from the beginning, at zero
    }

    /// The index of providers was fetched, with or without success.
    pub fn index_fetch(&self, good: bool) {
        let none: [&str; 0] = [];
        self.index_fetches.with_label_values(&none).inc();
        self.index_failures.with_label_values(&none).inc_by(u64::from(!good));
    }

    /// How long each key still signs, milliseconds.
    pub fn keys(&self, expiry: &[(&str, i64)]) {
        for (key, left_ms) in expiry {
            self.key_expires.with_label_values(&[key]).set(left_ms / 1000);
        }
    }

    /// How long each authority's revocation list still counts, milliseconds.
    pub fn lists(&self, expiry: &std::collections::BTreeMap<String, i64>) {
        for (issuer, left_ms) in expiry {
            self.list_expires.with_label_values(&[issuer]).set(left_ms.div_euclid(1000));
        }
    }

    /// The message log as it stands: records in no file yet, files, files without a stamp, and the age in seconds of the
    /// oldest of these.
    pub fn evidence(&self, status: &[StreamStatus]) {
        for log in status {
            let age = log.unstamped_since.map_or(0, |since| sigillo_store::commit::now().saturating_sub(since) / 1000);
            let figures = [
                ("unsealed", log.unsealed),
                ("files", log.files),
                ("unstamped", log.unstamped),
                ("unstamped_seconds", age),
            ];
            for (what, value) in figures {
                self.evidence.with_label_values(&[log.stream.word(), what]).set(value as i64);
            }
        }
    }

    /// The clock was set.
    pub fn clock_step(&self) {
        self.clock_steps.inc();
    }

    /// The page that Prometheus reads.
    pub fn page(&self) -> Result<Vec<u8>, prometheus::Error> {
        let mut page = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut page)?;
        Ok(page)
    }
}

/// Counts a connection as open for as long as it lives.
pub struct OpenSession(IntGauge);

impl Drop for OpenSession {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn opts(name: &str, help: &str) -> Opts {
    Opts::new(format!("sigillo_{name}"), help)
}

fn counter(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec, prometheus::Error> {
    let counter = IntCounterVec::new(opts(name, help), labels)?;
    registry.register(Box::new(counter.clone()))?;
    Ok(counter)
}

fn gauge(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> Result<IntGaugeVec, prometheus::Error> {
    let gauge = IntGaugeVec::new(opts(name, help), labels)?;
    registry.register(Box::new(gauge.clone()))?;
    Ok(gauge)
}

fn cost(registry: &Registry, name: &str, help: &str) -> Result<HistogramVec, prometheus::Error> {
    let options = HistogramOpts::new(format!("sigillo_{name}"), help).buckets(COST_BUCKETS.to_vec());
    let histogram = HistogramVec::new(options, &["plugin", "stage"])?;
    registry.register(Box::new(histogram.clone()))?;
    Ok(histogram)
}
