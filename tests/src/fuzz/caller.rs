//! Guests that call what they like of all that a host offers, with arguments of chance.
//!
//! They are core modules in text, so that nothing stands between them and the host: no binding checks a pointer, a length, a
//! discriminant or a handle.

use std::fmt::Write as _;
use std::fs;

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::abi::WasmType;
use wit_parser::{Resolve, WorldId};

use super::exchange::{ANSWERED, EXCHANGE, PATH, Step};
use super::offer::{Function, Given, KEPT, Use, functions};
use crate::chance::Chance;
use crate::cli::Cli;
use crate::neighbour::PATHS;

/// How many functions one guest imports and how often it calls one, at the most, where it isn't sending a request.
const IMPORTS: usize = 12;
const CALLS: usize = 60;
/// One argument in so many is anything at all, and one call in so many of an exchange.
const WILD: usize = 12;
/// The same of every other guest that sends a request: nearly never.
const TAME: usize = usize::MAX / 8;
/// One guest in so many often uses handles that it doesn't have, which ends it.
const RASH: usize = 4;
/// One guest in so many sends a request of HTTP, more or less.
const SENDERS: usize = 2;

/// The world that a host offers, with WASI 0.2 whole.
pub(super) struct World {
    resolve: Resolve,
    world: WorldId,
    functions: Vec<Function>,
    /// What is in a guest's memory for it to say.
    texts: Vec<String>,
}

impl World {
    /// Whose guests know an authority to send requests to.
    pub(super) fn new(authority: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder can be had");
        Cli::new("http://127.0.0.1:1").ok(&["wit", "--out", &folder.path().display().to_string()]);
        let leader = folder.path().join("leader.wit");
        let text = fs::read_to_string(&leader).expect("it is there");
        let version =
            text.split("outgoing-handler@").nth(1).and_then(|rest| rest.split(';').next()).expect("WASI's version");
        let whole =
            text.replace("    export job;", &format!("    include wasi:cli/imports@{version};\n    export job;"));
        fs::write(&leader, whole).expect("it can be written");
        let mut resolve = Resolve::default();
        let (package, _) = resolve.push_dir(folder.path()).expect("the world is whole");
        let world = resolve.select_world(&[package], Some("leader")).expect("it has the world");
        let functions = functions(&resolve, world);
        assert!(functions.len() > 100, "only {} functions", functions.len());
        let other = ["default", "key", "text/plain", "content-type", "\u{feff}\u{10ffff}", ""];
        let texts = [authority].iter().chain(&PATHS).chain(&other).map(|text| (*text).to_owned()).collect();
        World { resolve, world, functions, texts }
    }

    /// Calls of few interfaces, so that one gives what another takes.
    fn calls(&self, chance: &mut Chance) -> Vec<&Function> {
        let modules: Vec<&str> = (0..1 + chance.below(3))
            .map(|_| self.functions[chance.below(self.functions.len())].module.as_str())
            .collect();
        let near: Vec<&Function> =
            self.functions.iter().filter(|function| modules.contains(&function.module.as_str())).collect();
        let chosen: Vec<&Function> = (0..IMPORTS).map(|_| near[chance.below(near.len())]).collect();
        (0..1 + chance.below(CALLS)).map(|_| chosen[chance.below(chosen.len())]).collect()
    }

    /// The calls of a request and its answer, some of them missing or there twice, and others in between.
    fn exchange(&self, chance: &mut Chance, wild: usize) -> Vec<(&Function, Option<&Step>)> {
        let is_of = |function: &Function, step: &Step| {
            function.name == step.name && function.module.starts_with(step.interface)
        };
        let find = |step| self.functions.iter().find(|function| is_of(function, step)).expect("the world has it");
        let others = self.calls(chance);
        let mut plan = Vec::new();
        for step in &EXCHANGE {
            let times = [0, 2].get(chance.below(2 * wild)).copied().unwrap_or(1);
            plan.extend((0..times).map(|_| (find(step), Some(step))));
            if chance.below(wild) == 0 {
                plan.push((others[chance.below(others.len())], None));
            }
        }
        plan
    }

    /// A component that is well, whatever it does.
    pub(super) fn guest_that_calls(&self, chance: &mut Chance) -> Vec<u8> {
        let sends = chance.below(SENDERS) == 0;
        let wild = if sends { [WILD, TAME][chance.below(2)] } else { WILD };
        let plan: Vec<(&Function, Option<&Step>)> = match sends {
            true => self.exchange(chance, wild),
            false => self.calls(chance).into_iter().map(|function| (function, None)).collect(),
        };
        let mut wat = String::from("(module\n");
        for (at, (function, _)) in plan.iter().enumerate() {
            let types = |kind: &str, types: &[WasmType]| {
                types.iter().fold(String::new(), |text, ty| format!("{text} ({kind} {})", name(*ty)))
            };
            let (params, results) = (types("param", &function.params), types("result", &function.results));
            let _ = writeln!(wat, "(import {:?} {:?} (func $f{at}{params}{results}))", function.module, function.name);
        }
        wat.push_str(BEFORE);
        (0..KEPT).for_each(|kept| wat.push_str(&format!("(local $k{kept} i32)")));
        let is_rash = chance.below(RASH) == 0;
        for (at, (function, step)) in plan.iter().enumerate() {
            let call = self.call(chance, wild, at, function, *step);
            let tries = is_rash && chance.below(wild) == 0;
            let needed = function.uses.iter().filter_map(|used| match used {
                Use::Handle(kept) | Use::Owned(kept) if !tries => Some(*kept),
                _ => None,
            });
            let needed: Vec<usize> = needed.collect();
            needed.iter().for_each(|kept| wat.push_str(&format!("(if (local.get $k{kept}) (then ")));
            wat.push_str(&call);
            wat.push_str(&"))".repeat(needed.len()));
            wat.push('\n');
        }
        wat.push_str("(i32.const 16))\n");
        for (at, text) in self.texts.iter().enumerate() {
            let bytes = text.bytes().fold(String::new(), |text, byte| format!("{text}\\{byte:02x}"));
            let _ = writeln!(wat, "(data (i32.const {}) \"{bytes}\")", TEXTS + at * TEXT);
        }
        wat.push(')');
        let mut bytes = wat::parse_str(&wat).unwrap_or_else(|error| panic!("{error}\n{wat}"));
        // What it says to a server is in the first.
        let encodings = [StringEncoding::UTF8, StringEncoding::UTF16, StringEncoding::CompactUTF16];
        let encoding = encodings[chance.below(if sends { 1 } else { encodings.len() })];
        embed_component_metadata(&mut bytes, &self.resolve, self.world, encoding).expect("the world fits");
        let encoder = ComponentEncoder::default().module(&bytes);
        encoder.and_then(|mut encoder| encoder.encode()).unwrap_or_else(|error| panic!("{error:#}\n{wat}"))
    }
}

/// What comes before the calls: a result that is `ok` of the first text's first byte, an allocator that gives what is left and begins again, memory with texts.
const BEFORE: &str = r#"
(memory (export "memory") 2)
(global $free (mut i32) (i32.const 4096))
(data (i32.const 16) "\00\00\00\00\00\04\00\00\01\00\00\00")
(data (i32.const 1024) "GET\00text/plain\00\ff\fe\d8\00\dc\00")
(func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (if (i32.gt_u (i32.add (global.get $free) (i32.add (local.get 3) (i32.const 16))) (i32.const 131072))
        (then (global.set $free (i32.const 4096))))
    (global.set $free (i32.and (i32.add (global.get $free) (i32.const 15)) (i32.const -16)))
    (global.get $free)
    (global.set $free (i32.add (global.get $free) (local.get 3))))
(func (export "silverback:leader/job@0.1.0#run")
    (param i32 i32 i32 i32 i32 i32 i32) (param i32) (param i64) (param i64) (param i32 i32) (result i32)
"#;

impl World {
    /// The call of the function that is imported as the `at`-th; as a step has it, mostly, where there is one.
    fn call(&self, chance: &mut Chance, wild: usize, at: usize, function: &Function, step: Option<&Step>) -> String {
        let step = step.filter(|_| chance.below(wild) > 0);
        let mut numbers = step.map_or(&[][..], |step| step.numbers).iter();
        let mut said = step.and_then(|step| step.text).unwrap_or_else(|| chance.below(self.texts.len()));
        // Any path will do.
        if (PATH..PATH + PATHS.len()).contains(&said) {
            said = PATH + chance.below(PATHS.len());
        }
        let args = function.params.iter().zip(&function.uses).fold(String::new(), |args, (ty, used)| {
            let arg = match (used, ty, numbers.next()) {
                (Use::Number, WasmType::I64, Some(number)) => format!("(i64.const {number})"),
                (Use::Number, _, Some(number)) => format!("(i32.const {number})"),
                (Use::Text, _, _) if chance.below(wild) > 0 => format!("(i32.const {})", TEXTS + said * TEXT),
                (Use::Length, _, _) if chance.below(wild) > 0 => format!("(i32.const {})", self.texts[said].len()),
                _ => argument(*ty, *used, chance, wild, step.is_some()),
            };
            format!("{args} {arg}")
        });
        let call = format!("(call $f{at}{args})");
        let mut wat = String::new();
        let _ = match (function.results.first(), &function.gives) {
            (None, _) => write!(wat, "{call}"),
            (Some(WasmType::I32), Some(Given { kept, .. })) => write!(wat, "(local.set $k{kept} {call})"),
            (Some(_), _) => write!(wat, "(drop {call})"),
        };
        for used in &function.uses {
            if let Use::Owned(kept) = used {
                let _ = write!(wat, "(local.set $k{kept} (i32.const 0))");
            }
        }
        // What came back by way of memory.
        if let (true, Some(Given { kept, behind, where_there })) = (function.results.is_empty(), &function.gives) {
            for (behind, is) in where_there {
                let _ =
                    write!(wat, "(if (i32.eq (i32.load8_u (i32.const {})) (i32.const {is})) (then ", RETURN + behind);
            }
            let _ = write!(wat, "(local.set $k{kept} (i32.load (i32.const {})))", RETURN + behind);
            wat.push_str(&"))".repeat(where_there.len()));
        }
        if step.is_some_and(|step| step.tells) {
            let _ = write!(wat, "(if (i32.eqz (i32.load8_u (i32.const {RETURN}))) (then ");
            let _ = write!(wat, "(i32.store8 (i32.const {ANY_TEXT}) (i32.const {ANSWERED}))))");
        }
        wat
    }
}

/// Where results are put, where a text of any length lies, and where those of the world do, each in so many bytes.
const RETURN: usize = 3072;
const ANY_TEXT: usize = 1024;
const TEXTS: usize = 2048;
const TEXT: usize = 32;

/// `is_tame`: a number is one that all take.
fn argument(ty: WasmType, used: Use, chance: &mut Chance, wild: usize, is_tame: bool) -> String {
    let integers: [i64; 10] = [0, 1, 2, 4, 16, RETURN as i64, 65_536, 131_071, -1, i64::from(i32::MIN)];
    let used = if chance.below(4 * wild) == 0 { Use::Number } else { used };
    match (ty, used) {
        (WasmType::F32, _) => "(f32.const nan)".to_owned(),
        (WasmType::F64, _) => "(f64.const nan)".to_owned(),
        (WasmType::I64 | WasmType::PointerOrI64, _) => match chance.below(4) {
            0 => format!("(i64.const {})", [i64::MAX, i64::MIN, -1, 1 << 40][chance.below(4)]),
            _ => format!("(i64.const {})", chance.below(64)),
        },
        (_, Use::Text) => format!("(i32.const {})", ANY_TEXT + 4 * chance.below(8)),
        (_, Use::Length) => format!("(i32.const {})", chance.below(24)),
        (_, Use::Handle(kept) | Use::Owned(kept)) => format!("(local.get $k{kept})"),
        (_, Use::Return) => format!("(i32.const {RETURN})"),
        (_, Use::Number) if is_tame => "(i32.const 0)".to_owned(),
        (_, Use::Number) => match chance.below(WILD) {
            0 => format!("(i32.const {})", chance.below(1 << 32) as u32 as i32),
            1 => format!("(i32.const {})", integers[chance.below(integers.len())]),
            _ => format!("(i32.const {})", chance.below(3)),
        },
    }
}

fn name(ty: WasmType) -> &'static str {
    match ty {
        WasmType::I32 | WasmType::Pointer | WasmType::Length => "i32",
        WasmType::I64 | WasmType::PointerOrI64 => "i64",
        WasmType::F32 => "f32",
        WasmType::F64 => "f64",
    }
}
