//! What a host offers, as core modules call it: each function's parameters, what they are for, and which handles it gives.

use wit_parser::abi::{AbiVariant, WasmType};
use wit_parser::{Handle, Int, Resolve, SizeAlign, Type, TypeDefKind, TypeId, WorldId, WorldItem, WorldKey};

/// In so many places handles are kept for later calls, by their resource.
pub(super) const KEPT: usize = 32;

/// A function, as a core module calls it.
pub(super) struct Function {
    pub(super) module: String,
    pub(super) name: String,
    pub(super) params: Vec<WasmType>,
    pub(super) results: Vec<WasmType>,
    /// What each parameter is for, where it is more than a number.
    pub(super) uses: Vec<Use>,
    pub(super) gives: Option<Given>,
}

/// A handle in what a function gives.
#[derive(Default)]
pub(super) struct Given {
    /// Where it is kept.
    pub(super) kept: usize,
    /// How far it is behind the beginning.
    pub(super) behind: usize,
    /// It is there where these discriminants, so far behind the beginning, are so.
    pub(super) where_there: Vec<(usize, u8)>,
}

/// What a parameter is for.
#[derive(Clone, Copy)]
pub(super) enum Use {
    Number,
    Text,
    Length,
    Handle(usize),
    /// The same, and it is gone then.
    Owned(usize),
    Return,
}

/// Each function that the world imports, as a core module calls it, and how each of its resources is dropped.
pub(super) fn functions(resolve: &Resolve, world: WorldId) -> Vec<Function> {
    let mut found = Vec::new();
    let mut sizes = SizeAlign::default();
    sizes.fill(resolve);
    for (key, item) in &resolve.worlds[world].imports {
        let (WorldKey::Interface(_), WorldItem::Interface { id, .. }) = (key, item) else { continue };
        let module = resolve.name_world_key(key);
        let interface = &resolve.interfaces[*id];
        for function in interface.functions.values() {
            let signature = resolve.wasm_signature(AbiVariant::GuestImport, function);
            let mut uses: Vec<Use> = Vec::new();
            for param in function.params.iter().filter(|_| !signature.indirect_params) {
                uses.extend(uses_of(resolve, &sizes, function, &param.ty));
            }
            if signature.retptr {
                uses.resize(signature.params.len() - 1, Use::Number);
                uses.push(Use::Return);
            }
            uses.resize(signature.params.len(), Use::Text);
            found.push(Function {
                module: module.clone(),
                name: function.name.clone(),
                gives: function.result.as_ref().and_then(|ty| handle_in(resolve, &sizes, ty)),
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
fn uses_of(resolve: &Resolve, sizes: &SizeAlign, function: &wit_parser::Function, ty: &Type) -> Vec<Use> {
    let mut alone = function.clone();
    alone.params.truncate(1);
    alone.params[0].ty = *ty;
    alone.result = None;
    let flat = resolve.wasm_signature(AbiVariant::GuestImport, &alone).params;
    let handle = handle_in(resolve, sizes, ty).map(|given| given.kept);
    match (handle, flat.as_slice()) {
        (Some(kept), [_]) if is_owned(resolve, ty) => vec![Use::Owned(kept)],
        (Some(kept), [_]) => vec![Use::Handle(kept)],
        _ => flat.into_iter().map(use_of).collect(),
    }
}

fn use_of(ty: WasmType) -> Use {
    match ty {
        WasmType::Pointer => Use::Text,
        WasmType::Length => Use::Length,
        _ => Use::Number,
    }
}

/// The first handle in this type that lies in its own memory.
fn handle_in(resolve: &Resolve, sizes: &SizeAlign, ty: &Type) -> Option<Given> {
    let Type::Id(id) = ty else { return None };
    let payload = |ty: &Type, discriminant: u8, cases: [Option<&Type>; 2]| {
        let offset = sizes.payload_offset(Int::U8, cases).size_wasm32();
        let Given { kept, behind, where_there } = handle_in(resolve, sizes, ty)?;
        let further = where_there.into_iter().map(|(behind, is)| (behind + offset, is));
        Some(Given {
            kept,
            behind: behind + offset,
            where_there: [(0, discriminant)].into_iter().chain(further).collect(),
        })
    };
    match &resolve.types[*id].kind {
        TypeDefKind::Handle(Handle::Own(resource) | Handle::Borrow(resource)) => {
            Some(Given { kept: origin(resolve, *resource) % KEPT, ..Given::default() })
        }
        TypeDefKind::Type(ty) => handle_in(resolve, sizes, ty),
        TypeDefKind::Option(some) => payload(some, 1, [None, Some(some)]),
        TypeDefKind::Result(result) => payload(result.ok.as_ref()?, 0, [result.ok.as_ref(), result.err.as_ref()]),
        TypeDefKind::Tuple(tuple) => handle_in(resolve, sizes, tuple.types.first()?),
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
