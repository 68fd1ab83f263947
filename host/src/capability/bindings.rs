//! The world as Rust types: what `bindgen!` makes of wit/, and nothing else.
#![allow(missing_docs, reason = "generated; the words stand in wit/leader.wit")]

wasmtime::component::bindgen!({
    path: "../wit",
    world: "silverback:leader/leader",
    imports: { default: async | trappable },
    exports: { default: async },
    with: { "wasi:keyvalue/store.bucket": super::state::Bucket },
});
