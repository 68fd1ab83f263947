//! The floor of a run: wasmtime alone with the same component. Nothing is limited, logged, watched or stopped, and the
//! only import that works is the one that the component calls.
//!
//! The settings of the engine are spelled out here once more, apart from the host's own: a floor doesn't move when the
//! host's settings do.

use silverback::runtime::{DEFAULT_MAX_RUNS, DEFAULT_MAX_TERMS};
use wasmtime::component::{Component, HasSelf, Linker};
use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Result, Store};

use bindings::LeaderPre;
use bindings::exports::silverback::leader::job::{Grant, RunError};
use bindings::wasi::config::store;

/// As many slots as a host has.
const SLOTS: u32 = DEFAULT_MAX_RUNS + DEFAULT_MAX_TERMS;

mod bindings {
    #![allow(missing_docs, unreachable_pub, reason = "generated")]

    wasmtime::component::bindgen!({
        path: "../wit",
        world: "silverback:leader/leader",
        imports: { default: async | trappable },
        exports: { default: async },
    });
}

/// A component, ready to run on an engine of its own.
pub(crate) struct Bare {
    engine: Engine,
    component: LeaderPre<Nothing>,
    grant: Grant,
}

/// What the store holds.
struct Nothing;

impl Bare {
    /// Compiles and links.
    pub(crate) fn new(component: &[u8]) -> Result<Self> {
        let engine = Engine::new(&config())?;
        let component = Component::from_binary(&engine, component)?;
        let mut linker = Linker::new(&engine);
        store::add_to_linker::<_, HasSelf<Nothing>>(&mut linker, |nothing| nothing)?;
        linker.define_unknown_imports_as_traps(&component)?;
        let component = LeaderPre::new(linker.instantiate_pre(&component)?)?;
        let grant = Grant {
            tenant: "acme".to_owned(),
            job: "nothing".to_owned(),
            run: "acme/nothing/1".to_owned(),
            attempt: 1,
            tick: Some(0),
            token: 1,
            identifier: "bench".to_owned(),
        };
        Ok(Bare { engine, component, grant })
    }

    /// Store, instantiate, call, drop.
    pub(crate) async fn run(&self) -> Result<std::result::Result<Vec<u8>, RunError>> {
        let mut store = Store::new(&self.engine, Nothing);
        // Epochs are compiled in, as in a host, and never come.
        store.set_epoch_deadline(u64::MAX / 2);
        let leader = self.component.instantiate_async(&mut store).await?;
        leader.silverback_leader_job().call_run(&mut store, &self.grant).await
    }
}

/// The component's logger asks for its level.
impl store::Host for Nothing {
    async fn get(&mut self, _key: String) -> Result<std::result::Result<Option<String>, store::Error>> {
        Ok(Ok(None))
    }

    async fn get_all(&mut self) -> Result<std::result::Result<Vec<(String, String)>, store::Error>> {
        Ok(Ok(Vec::new()))
    }
}

fn config() -> Config {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(SLOTS)
        .total_core_instances(SLOTS * 16)
        .total_memories(SLOTS)
        .total_tables(SLOTS * 4)
        .total_stacks(SLOTS)
        .max_core_instances_per_component(16)
        .max_memories_per_component(1)
        .max_tables_per_component(4)
        .max_component_instance_size(1 << 20)
        .max_core_instance_size(1 << 20)
        .max_memory_size(128 << 20)
        .table_elements(20_000)
        .linear_memory_keep_resident(0)
        .decommit_batch_size(8);
    let mut config = Config::new();
    config
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool))
        .epoch_interruption(true)
        .concurrency_support(false)
        .memory_init_cow(true)
        .max_wasm_stack(512 << 10)
        .async_stack_size(1 << 20)
        .async_stack_zeroing(true);
    config
}
