//! Real components on a real engine. They are written as core modules in text and wrapped by `wit-component`, so that
//! each test shows all that its guest does.

mod admission;
mod composition;
mod ends;
mod fairness;
mod fallen;
mod http;
mod limits;

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{Resolve, WorldId};

use super::world;

/// A component for our world, of a core module whose leader function is `body`: WAT that leaves the address of its
/// result. Ready-made results are [`OK`] and [`FAILED`]; the parameters are `$tick` and `$token`.
pub(crate) fn guest(body: &str) -> Vec<u8> {
    let (resolve, world) = world::ours();
    wrap(resolve, *world, &module("", "silverback:leader/job@0.1.0#run", body))
}

/// As [`guest`], with functions imported from `leadership`: `$sleep` and `$should-stop`.
pub(crate) fn waiting_guest(body: &str) -> Vec<u8> {
    let imports = r#"
        (import "silverback:leader/leadership@0.1.0" "sleep" (func $sleep (param i64) (result i32)))
        (import "silverback:leader/leadership@0.1.0" "should-stop" (func $should-stop (result i32)))"#;
    importing_guest(imports, body)
}

/// As [`guest`], with imports of our world's, and whatever else stands before a module's memory.
pub(crate) fn importing_guest(imports: &str, body: &str) -> Vec<u8> {
    let (resolve, world) = world::ours();
    wrap(resolve, *world, &module(imports, "silverback:leader/job@0.1.0#run", body))
}

/// Leaves `ok` of the one byte at address 1024.
pub(crate) const OK: &str = "(i32.const 16)";
/// Leaves `err(retryable("oh no"))`.
const FAILED: &str = "(i32.const 32)";

/// As [`guest`], with a memory of so many pages.
fn guest_of_pages(pages: u32, body: &str) -> Vec<u8> {
    let (resolve, world) = world::ours();
    let small = module("", "silverback:leader/job@0.1.0#run", body);
    let memory = r#"(memory (export "memory") "#;
    wrap(resolve, *world, &small.replace(&format!("{memory}1)"), &format!("{memory}{pages})")))
}

fn module(imports: &str, export: &str, body: &str) -> String {
    format!(
        r#"(module {imports}
            (memory (export "memory") 1)
            (global $free (mut i32) (i32.const 4096))
            (data (i32.const 16) "\00\00\00\00\00\04\00\00\01\00\00\00")
            (data (i32.const 32) "\01\00\00\00\00\00\00\00\00\08\00\00\05\00\00\00")
            (data (i32.const 2048) "oh no")
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
                (global.get $free)
                (global.set $free (i32.add (global.get $free) (i32.and (i32.add (local.get 3) (i32.const 7)) (i32.const -8)))))
            (func $dive (call $dive) (call $dive))
            (func (export "{export}")
                (param i32 i32 i32 i32 i32 i32 i32) (param i32) (param $tick i64) (param $token i64) (param i32 i32)
                (result i32)
                {body}))"#
    )
}

/// A component for a world, of a core module in text.
fn wrap(resolve: &Resolve, world: WorldId, wat: &str) -> Vec<u8> {
    wrap_as(resolve, world, wat, StringEncoding::UTF8)
}

/// The same with another form of its texts.
fn wrap_as(resolve: &Resolve, world: WorldId, wat: &str, encoding: StringEncoding) -> Vec<u8> {
    let mut bytes = wat::parse_str(wat).expect("the test's text parses");
    embed_component_metadata(&mut bytes, resolve, world, encoding).expect("the world fits");
    ComponentEncoder::default().module(&bytes).and_then(|encoder| encoder.validate(true).encode()).expect("it encodes")
}
