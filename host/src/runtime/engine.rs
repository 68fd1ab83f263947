//! The engine and its numbers, and the proof at the start that this machine can give what they ask for.

use wasmtime::{
    Config, Engine, Instance, InstanceAllocationStrategy, Module, PoolingAllocationConfig, Store, WasmBacktraceDetails,
    WasmFeatures,
};

use super::error::StartError;
use crate::registry::Limit;

/// The most linear memory one run can have, in bytes: the size of a slot of the pool. A job's own limit is below it.
pub const MAX_MEMORY_BYTES: usize = 128 << 20;
/// The most elements of one table.
pub const MAX_TABLE_ELEMENTS: usize = 20_000;
/// The deepest that a guest's calls go, in bytes of stack.
pub const MAX_WASM_STACK_BYTES: usize = 512 * 1024;

/// The stack of a run: the guest's and, on top of it, that of the host call it is in.
const ASYNC_STACK_BYTES: usize = 1 << 20;
/// The most core instances that one component may consist of, nested components and the adapters between them included.
const MAX_INSTANCES: u32 = *Limit::Instances.bounds().end() as u32;
/// The most tables that one component may have.
const MAX_TABLES: u32 = *Limit::Tables.bounds().end() as u32;
/// The most linear memories that one component may have.
const MAX_MEMORIES: u32 = *Limit::Memories.bounds().end() as u32;
/// What wasmtime may keep about one instance, in bytes.
const INSTANCE_BYTES: usize = 1 << 20;
/// What stays resident of a stack between two runs, in bytes: what most runs touch of it.
const KEPT_STACK_BYTES: usize = 8 * 1024;
/// The same of each table.
const KEPT_TABLE_BYTES: usize = 4 * 1024;
/// How many slots are given back to the kernel in one call.
const DECOMMIT_BATCH: usize = 8;

/// A core module of one memory of one page: `(module (memory 1))`.
const PROBE: &[u8] = b"\0asm\x01\0\0\0\x05\x03\x01\0\x01";

/// An engine with room for `max_runs` runs at once, which have a linear memory each, and `further_memories` between them.
///
/// # Errors
/// [`StartError`] where the address space, about 4 GiB a memory, can't be reserved. There is no fallback: without the pool
/// every promise on speed and memory would quietly not hold.
pub(super) fn pooled(max_runs: u32, further_memories: u32) -> Result<Engine, StartError> {
    let mut config = config(false);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(max_runs, further_memories)));
    let engine = Engine::new(&config).map_err(|error| StartError::Pool { max_runs, detail: chain(&error) })?;
    probe(&engine).map_err(|error| StartError::Probe { detail: chain(&error) })?;
    Ok(engine)
}

/// An engine that finds room for each guest as it comes: a start is slower, and what a run may have is the limiter's alone to
/// say. A guest that lasts takes less memory there: each of its tables has a page of its own in a pool. `metered` guests count
/// what they execute.
pub(super) fn on_demand(metered: bool) -> wasmtime::Result<Engine> {
    Engine::new(&config(metered))
}

/// An engine that compiles for both of the others. It has room for one run, so that it refuses what no pool has room for: whoever
/// loads the code need not look at it first.
pub(super) fn compiling(metered: bool) -> wasmtime::Result<Engine> {
    let mut config = config(metered);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(1, MAX_MEMORIES)));
    Engine::new(&config)
}

fn config(metered: bool) -> Config {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .consume_fuel(metered)
        .memory_init_cow(true)
        .max_wasm_stack(MAX_WASM_STACK_BYTES)
        .async_stack_size(ASYNC_STACK_BYTES)
        .async_stack_zeroing(true)
        // A trap is told by what it is, not by where. The tables for who asks where would be an eighth of what is kept of a
        // JavaScript component, and some unwinders take quadratic time to be told of them (docs of
        // `Config::native_unwind_info`). The host's environment has no say in it: its compiler has none.
        .wasm_backtrace_max_frames(None)
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        .generate_address_map(false)
        .native_unwind_info(false)
        // A call without the bookkeeping of concurrent tasks takes a quarter of the time.
        .concurrency_support(false)
        .wasm_features(unneeded(), false)
        // The adapters between the components of a composition copy from memory to memory.
        .wasm_multi_memory(true);
    config
}

/// What no supported guest language needs, a tenant can't attack. (What componentize-py builds needs extended constants.)
fn unneeded() -> WasmFeatures {
    WasmFeatures::EXCEPTIONS
        | WasmFeatures::FUNCTION_REFERENCES
        | WasmFeatures::GC
        | WasmFeatures::MEMORY64
        | WasmFeatures::RELAXED_SIMD
        | WasmFeatures::SIMD
        | WasmFeatures::TAIL_CALL
        | WasmFeatures::THREADS
}

fn pool(max_runs: u32, further_memories: u32) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(max_runs)
        .total_core_instances(max_runs.saturating_mul(MAX_INSTANCES))
        .total_memories(max_runs.saturating_add(further_memories))
        .total_tables(max_runs.saturating_mul(MAX_TABLES))
        .total_stacks(max_runs)
        .max_core_instances_per_component(MAX_INSTANCES)
        .max_memories_per_component(MAX_MEMORIES)
        .max_tables_per_component(MAX_TABLES)
        // A module has no lower bound of its own: what counts is what all of them have together. (No higher one either: the pool
        // looks at so many memories for each module that goes.)
        .max_memories_per_module(MAX_MEMORIES)
        .max_tables_per_module(MAX_TABLES)
        .max_component_instance_size(INSTANCE_BYTES)
        .max_core_instance_size(INSTANCE_BYTES)
        .max_memory_size(MAX_MEMORY_BYTES)
        .table_elements(MAX_TABLE_ELEMENTS)
        // Memory that is kept is slower to reset than memory that is given back, and stays resident after a burst.
        .linear_memory_keep_resident(0)
        // The first pages of a stack and of a table are wiped faster than they are given back and faulted in again.
        .async_stack_keep_resident(KEPT_STACK_BYTES)
        .table_keep_resident(KEPT_TABLE_BYTES)
        .decommit_batch_size(DECOMMIT_BATCH);
    pool
}

/// Compiles and runs the smallest thing that takes a slot.
fn probe(engine: &Engine) -> wasmtime::Result<()> {
    let module = Module::new(engine, PROBE)?;
    Instance::new(Store::new(engine, ()), &module, &[])?;
    Ok(())
}

/// An error of wasmtime with all of its causes.
pub(super) fn chain(error: &wasmtime::Error) -> String {
    error.chain().map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One module each, of which the engine says no other word than that it is off.
    #[test]
    fn what_no_language_needs_is_refused() {
        let engine = on_demand(false).unwrap();
        for (name, module) in [
            ("exceptions", "(tag)"),
            ("function references", "(type $f (func)) (func (param (ref $f)))"),
            ("gc", "(type (struct))"),
            ("memory64", "(memory i64 1)"),
            ("relaxed simd", "(func (param v128) (result v128) (i32x4.relaxed_trunc_f32x4_s (local.get 0)))"),
            ("simd", "(func (param v128))"),
            ("tail calls", "(func (return_call 0))"),
            ("threads", "(memory 1 1 shared)"),
        ] {
            let bytes = wat::parse_str(format!("(module {module})")).unwrap();
            let refused = Module::new(&engine, bytes).map(|_| ());
            let refused = refused.expect_err(name);
            println!("{name}: {}", chain(&refused));
        }
    }

    /// A machine that can't reserve it has the start fail.
    #[test]
    fn wasmcloud_4360_the_pool_is_silently_given_up() {
        let error = pooled(10_000_000, 0).map(|_| ()).unwrap_err();
        assert!(matches!(error, StartError::Pool { max_runs: 10_000_000, .. }), "{error}");
        assert!(error.to_string().starts_with("room for 10000000 runs at once can't be reserved"), "{error}");
    }
}
