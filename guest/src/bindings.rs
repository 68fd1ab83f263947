//! The world as Rust types: what `generate!` makes of wit/, and nothing else.
#![allow(
    unsafe_code,
    missing_docs,
    unreachable_pub,
    clippy::all,
    reason = "generated; the words stand in wit/leader.wit"
)]

wit_bindgen::generate!({
    path: "../wit",
    world: "silverback:leader/leader",
    runtime_path: "::silverback_guest::__private::rt",
    default_bindings_module: "::silverback_guest::__private::bindings",
    export_macro_name: "__export_job",
    pub_export_macro: true,
    generate_all,
});
