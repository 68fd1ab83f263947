//! Guests that call what they like of all that a host offers, with arguments of chance.
//!
//! They are core modules in text, so that nothing stands between them and the host: no binding checks a pointer, a length, a
//! discriminant or a handle.

use std::fmt::Write as _;
use std::fs;

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::abi::{AbiVariant, WasmType};
use wit_parser::{Handle, Resolve, Type, TypeDefKind, TypeId, WorldId, WorldItem, WorldKey};

use crate::chance::Chance;
use crate::cli::Cli;

/// How many functions one guest imports, and how often it calls one, at the most.
const IMPORTS: usize = 12;
const CALLS: usize = 60;
/// In so many places handles are kept for later calls, by their resource.
const KEPT: usize = 8;
/// One argument in so many is anything at all.
const WILD: usize = 12;

/// The world that a host offers, with WASI 0.2 whole.
pub(super) struct World {
    resolve: Resolve,
    world: WorldId,
    functions: Vec<Function>,
}

struct Function {
    module: String,
    name: String,
    params: Vec<WasmType>,
    results: Vec<WasmType>,
    /// What each parameter is for, where it is more than a number.
    uses: Vec<Use>,
    /// Where the handle that it gives is kept.
    gives: Option<usize>,
}

#[derive(Clone, Copy)]
enum Use {
    Number,
    Text,
    Length,
    Handle(usize),
    /// The same, and it is gone then.
    Owned(usize),
    Return,
}

impl World {
    pub(super) fn new() -> Self {
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
        World { resolve, world, functions }
    }

    /// A component that is well, whatever it does.
    pub(super) fn guest_that_calls(&self, chance: &mut Chance) -> Vec<u8> {
        // Of few interfaces, so that one gives what another takes.
        let modules: Vec<&str> = (0..1 + chance.below(3))
            .map(|_| self.functions[chance.below(self.functions.len())].module.as_str())
            .collect();
        let near: Vec<&Function> =
            self.functions.iter().filter(|function| modules.contains(&function.module.as_str())).collect();
        let chosen: Vec<&Function> = (0..IMPORTS).map(|_| near[chance.below(near.len())]).collect();
        let mut wat = String::from("(module\n");
        for (at, function) in chosen.iter().enumerate() {
            let types = |kind: &str, types: &[WasmType]| {
                types.iter().fold(String::new(), |text, ty| format!("{text} ({kind} {})", name(*ty)))
            };
            let (params, results) = (types("param", &function.params), types("result", &function.results));
            let _ = writeln!(wat, "(import {:?} {:?} (func $f{at}{params}{results}))", function.module, function.name);
        }
        wat.push_str(BEFORE);
        for _ in 0..1 + chance.below(CALLS) {
            call(&mut wat, chance, &chosen);
        }
        wat.push_str("(i32.const 16)))");
        let mut bytes = wat::parse_str(&wat).unwrap_or_else(|error| panic!("{error}\n{wat}"));
        let encoding = [StringEncoding::UTF8, StringEncoding::UTF16, StringEncoding::CompactUTF16][chance.below(3)];
        embed_component_metadata(&mut bytes, &self.resolve, self.world, encoding).expect("the world fits");
        let encoder = ComponentEncoder::default().module(&bytes);
        encoder.and_then(|mut encoder| encoder.encode()).unwrap_or_else(|error| panic!("{error:#}\n{wat}"))
    }
}

/// What comes before the calls: a result that is `ok`, an allocator that gives what is left and begins again, memory with texts.
const BEFORE: &str = r#"
(memory (export "memory") 2)
(global $free (mut i32) (i32.const 4096))
(data (i32.const 16) "\00\00\00\00\00\04\00\00\01\00\00\00")
(data (i32.const 1024) "GET\00http://127.0.0.1:9/\00default\00key\00text/plain\00content-type\00\ff\fe\d8\00\dc\00")
(func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (if (i32.gt_u (i32.add (global.get $free) (i32.add (local.get 3) (i32.const 16))) (i32.const 131072))
        (then (global.set $free (i32.const 4096))))
    (global.set $free (i32.and (i32.add (global.get $free) (i32.const 15)) (i32.const -16)))
    (global.get $free)
    (global.set $free (i32.add (global.get $free) (local.get 3))))
(func (export "silverback:leader/job@0.1.0#run")
    (param i32 i32 i32 i32 i32 i32 i32) (param i32) (param i64) (param i64) (param i32 i32) (result i32)
    (local $k0 i32) (local $k1 i32) (local $k2 i32) (local $k3 i32)
    (local $k4 i32) (local $k5 i32) (local $k6 i32) (local $k7 i32)
"#;

fn call(wat: &mut String, chance: &mut Chance, functions: &[&Function]) {
    let at = chance.below(functions.len());
    let function = functions[at];
    let params = function.params.iter().zip(&function.uses);
    let args = params.fold(String::new(), |args, (ty, used)| format!("{args} {}", argument(*ty, *used, chance)));
    let call = format!("(call $f{at}{args})");
    // A handle that isn't there ends the guest: mostly it doesn't try.
    let handles = function.uses.iter().filter_map(|used| match used {
        Use::Handle(kept) | Use::Owned(kept) => Some(*kept),
        _ => None,
    });
    let careful = chance.below(WILD) > 0;
    let missing: Vec<usize> = handles.filter(|_| careful).collect();
    missing.iter().for_each(|kept| wat.push_str(&format!("(if (local.get $k{kept}) (then ")));
    let _ = match (function.results.first(), function.gives) {
        (None, _) => write!(wat, "{call}"),
        (Some(WasmType::I32), Some(kept)) => write!(wat, "(local.set $k{kept} {call})"),
        (Some(_), _) => write!(wat, "(drop {call})"),
    };
    for used in &function.uses {
        if let Use::Owned(kept) = used {
            let _ = write!(wat, "(local.set $k{kept} (i32.const 0))");
        }
    }
    // What came back by way of memory: behind a discriminant, mostly.
    if let (true, Some(kept)) = (function.results.is_empty(), function.gives) {
        let behind = if chance.below(4) == 0 { 0 } else { 4 };
        let _ = write!(wat, "(local.set $k{kept} (i32.load (i32.const {})))", RETURN + behind);
    }
    wat.push_str(&"))".repeat(missing.len()));
    wat.push('\n');
}

/// Where results are put, and where a text lies.
const RETURN: usize = 3072;
const TEXT: usize = 1024;

fn argument(ty: WasmType, used: Use, chance: &mut Chance) -> String {
    let integers: [i64; 10] = [0, 1, 2, 4, 16, RETURN as i64, 65_536, 131_071, -1, i64::from(i32::MIN)];
    let used = if chance.below(4 * WILD) == 0 { Use::Number } else { used };
    match (ty, used) {
        (WasmType::F32, _) => "(f32.const nan)".to_owned(),
        (WasmType::F64, _) => "(f64.const nan)".to_owned(),
        (WasmType::I64 | WasmType::PointerOrI64, _) => match chance.below(4) {
            0 => format!("(i64.const {})", [i64::MAX, i64::MIN, -1, 1 << 40][chance.below(4)]),
            _ => format!("(i64.const {})", chance.below(64)),
        },
        (_, Use::Text) => format!("(i32.const {})", TEXT + 4 * chance.below(8)),
        (_, Use::Length) => format!("(i32.const {})", chance.below(24)),
        (_, Use::Handle(kept) | Use::Owned(kept)) => format!("(local.get $k{kept})"),
        (_, Use::Return) => format!("(i32.const {RETURN})"),
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

/// Each function that the world imports, as a core module calls it, and how each of its resources is dropped.
fn functions(resolve: &Resolve, world: WorldId) -> Vec<Function> {
    let mut found = Vec::new();
    for (key, item) in &resolve.worlds[world].imports {
        let (WorldKey::Interface(_), WorldItem::Interface { id, .. }) = (key, item) else { continue };
        let module = resolve.name_world_key(key);
        let interface = &resolve.interfaces[*id];
        for function in interface.functions.values() {
            let signature = resolve.wasm_signature(AbiVariant::GuestImport, function);
            let mut uses: Vec<Use> = Vec::new();
            for param in function.params.iter().filter(|_| !signature.indirect_params) {
                uses.extend(uses_of(resolve, function, &param.ty));
            }
            if signature.retptr {
                uses.resize(signature.params.len() - 1, Use::Number);
                uses.push(Use::Return);
            }
            uses.resize(signature.params.len(), Use::Text);
            found.push(Function {
                module: module.clone(),
                name: function.name.clone(),
                gives: function.result.as_ref().and_then(|ty| handle_in(resolve, ty)),
                params: signature.params,
                results: signature.results,
                uses,
            });
        }
        for (name, ty) in &interface.types {
            if matches!(resolve.types[*ty].kind, TypeDefKind::Resource) {
                found.push(Function {
                    module: module.clone(),
                    name: format!("[resource-drop]{name}"),
                    params: vec![WasmType::I32],
                    results: Vec::new(),
                    uses: vec![Use::Owned(ty.index() % KEPT)],
                    gives: None,
                });
            }
        }
    }
    found
}

/// What the flat parameters of one of a function's are for.
fn uses_of(resolve: &Resolve, function: &wit_parser::Function, ty: &Type) -> Vec<Use> {
    let mut alone = function.clone();
    alone.params.truncate(1);
    alone.params[0].ty = *ty;
    alone.result = None;
    let flat = resolve.wasm_signature(AbiVariant::GuestImport, &alone).params;
    match (handle_in(resolve, ty), flat.as_slice()) {
        (Some(kept), [_]) if is_owned(resolve, ty) => vec![Use::Owned(kept)],
        (Some(kept), [_]) => vec![Use::Handle(kept)],
        (_, [WasmType::Pointer, WasmType::Length]) => vec![Use::Text, Use::Length],
        _ => vec![Use::Number; flat.len()],
    }
}

/// Where handles of the first resource are kept that is in this type.
fn handle_in(resolve: &Resolve, ty: &Type) -> Option<usize> {
    let Type::Id(id) = ty else { return None };
    match &resolve.types[*id].kind {
        TypeDefKind::Handle(Handle::Own(resource) | Handle::Borrow(resource)) => {
            Some(origin(resolve, *resource) % KEPT)
        }
        TypeDefKind::Type(ty) | TypeDefKind::Option(ty) | TypeDefKind::List(ty) => handle_in(resolve, ty),
        TypeDefKind::Result(result) => result.ok.as_ref().and_then(|ty| handle_in(resolve, ty)),
        TypeDefKind::Tuple(tuple) => tuple.types.iter().find_map(|ty| handle_in(resolve, ty)),
        _ => None,
    }
}

fn is_owned(resolve: &Resolve, ty: &Type) -> bool {
    matches!(ty, Type::Id(id) if matches!(resolve.types[*id].kind, TypeDefKind::Handle(Handle::Own(_))))
}

/// A resource by its first name: others use it under names of their own.
fn origin(resolve: &Resolve, id: TypeId) -> usize {
    match resolve.types[id].kind {
        TypeDefKind::Type(Type::Id(of)) => origin(resolve, of),
        _ => id.index(),
    }
}
