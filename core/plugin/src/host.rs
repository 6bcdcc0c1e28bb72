//! The one WebAssembly engine of a process: its settings, its pool, its clock, its compiled code.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::Semaphore;
use wasmtime::component::{Component, HasSelf, Linker};
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::cache::Cache;
use crate::limits;
use crate::step::StepState;
use crate::world;

/// How a host is made.
#[derive(Debug, Clone)]
pub struct HostOptions {
    /// Folder for compiled plugins: of the server's user, mode 0700; made if it is not there.
    pub cache_dir: PathBuf,
    /// Steps that run at once; others wait. Each slot reserves some 6 GiB of addresses (not of memory).
    pub concurrency: u32,
}

impl HostOptions {
    /// With the usual number of slots.
    pub fn new(cache_dir: PathBuf) -> HostOptions {
        HostOptions { cache_dir, concurrency: 128 }
    }
}

/// Why there is no host.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The engine refused its settings.
    #[error("the WebAssembly engine does not start: {0}")]
    Engine(String),
    /// The folder of compiled code is not usable.
    #[error("cache of compiled plugins: {0}")]
    Cache(std::io::Error),
    /// The clock's thread did not start.
    #[error("the clock of the WebAssembly engine does not start: {0}")]
    Clock(std::io::Error),
}

/// The engine of a process. One is enough, and the clock is one per engine.
pub struct Host {
    engine: Engine,
    linker: Linker<StepState>,
    cache: Cache,
    slots: Semaphore,
}

impl Host {
    /// Starts the engine and its clock.
    pub fn new(options: HostOptions) -> Result<Arc<Host>, HostError> {
        let slots = options.concurrency.max(1);
        let engine = engine(slots).map_err(|error| HostError::Engine(format!("{error:#}")))?;
        let cache = Cache::open(&options.cache_dir, &engine).map_err(HostError::Cache)?;
        let mut linker = Linker::new(&engine);
        world::Plugin::add_to_linker::<_, HasSelf<StepState>>(&mut linker, |state| state)
            .map_err(|error| HostError::Engine(format!("{error:#}")))?;
        start_clock(&engine).map_err(HostError::Clock)?;
        Ok(Arc::new(Host { engine, linker, cache, slots: Semaphore::new(slots as usize) }))
    }

    /// A compiled component. Takes seconds for a large one: off the session's thread.
    pub(crate) fn compile(&self, wasm: &[u8], sha256: &str) -> wasmtime::Result<Component> {
        self.cache.component(&self.engine, wasm, sha256)
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(crate) fn linker(&self) -> &Linker<StepState> {
        &self.linker
    }

    /// A place for one step. An exhausted pool would be an error, so steps wait here.
    pub(crate) async fn slot(&self) -> Option<tokio::sync::SemaphorePermit<'_>> {
        self.slots.acquire().await.ok()
    }
}

/// With a pool; without, where the machine does not give the addresses (containers with a limit on them).
fn engine(slots: u32) -> wasmtime::Result<Engine> {
    let mut config = settings();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(slots)));
    match Engine::new(&config) {
        Ok(engine) => Ok(engine),
        Err(error) => {
            tracing::warn!(%error, slots, "no pool of instances: each step maps its memory anew, which is slower");
            Engine::new(&settings())
        }
    }
}

fn settings() -> Config {
    let mut config = Config::new();
    config
        // Guests are plain blocking code and each has a store of its own: the structures for concurrent tasks inside
        // one store would only cost (measured: a chain takes 2.4 times as long with them).
        .concurrency_support(false)
        .epoch_interruption(true)
        .consume_fuel(false)
        // What two machines could answer differently.
        .wasm_relaxed_simd(false)
        .cranelift_nan_canonicalization(true)
        .shared_memory(false)
        // Explicit bounds checks; no plugin needs it.
        .wasm_memory64(false)
        .memory_init_cow(true)
        // Runtimes that were initialised before they were packed have sparse images above the default of 16 MiB.
        .memory_guaranteed_dense_image_size(32 << 20)
        .max_wasm_stack(512 << 10)
        .async_stack_size(2 << 20)
        .wasm_backtrace_max_frames(std::num::NonZeroUsize::new(16));
    config
}

fn pool(slots: u32) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(slots)
        .total_core_instances(4 * slots)
        .total_memories(slots + slots / 4 + 1)
        .total_tables(4 * slots)
        .total_stacks(slots)
        .max_memory_size(limits::MEMORY_MAX)
        .table_elements(limits::TABLE_ELEMENTS_MAX)
        .max_memories_per_module(1)
        .max_tables_per_module(2)
        .max_core_instances_per_component(limits::INSTANCES_MAX as u32)
        // Kept pages are cleared one by one: only worth it where the kernel tells which were written (Linux 6.7).
        .linear_memory_keep_resident(2 << 20)
        .table_keep_resident(64 << 10)
        .pagemap_scan(Enabled::Auto)
        .max_unused_warm_slots(slots);
    if !pagemap_scan_works() {
        pool.linear_memory_keep_resident(0).table_keep_resident(0);
    }
    pool
}

/// `keep_resident` without the scan clears the whole kept range for every step (measured: eight times as slow).
fn pagemap_scan_works() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release.split(['.', '-']).map_while(|n| n.parse::<u32>().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (6, 7)
}

/// A thread, not a task: tasks do not run while a guest holds the executor's threads. Ends with the engine.
fn start_clock(engine: &Engine) -> std::io::Result<()> {
    let engine = engine.weak();
    let tick = move || {
        while let Some(engine) = engine.upgrade() {
            engine.increment_epoch();
            drop(engine);
            std::thread::sleep(limits::TICK);
        }
    };
    std::thread::Builder::new().name("wasm-clock".into()).spawn(tick).map(drop)
}
