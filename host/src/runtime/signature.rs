//! Types in WIT: whether two are the same, and how a person reads them.
//!
//! A tenant's types come from outside: comparing goes only as deep as our own types do, and what is printed is cut.

use std::fmt::Write as _;

use wit_parser::{Function, Handle, Resolve, Type, TypeDefKind, TypeId};

/// The longest type that is printed, in bytes.
const MAX_PRINTED_BYTES: usize = 600;

/// A function in the package that defines it.
#[derive(Clone, Copy)]
pub(super) struct Signature<'a> {
    pub(super) resolve: &'a Resolve,
    pub(super) function: &'a Function,
}

/// The innermost types with names around a difference, ours first; None outside of any.
struct Difference(Option<(TypeId, TypeId)>);

impl<'a> Signature<'a> {
    /// How two functions differ: both types, ours first; None where they have the same.
    pub(super) fn difference(self, theirs: Signature<'a>) -> Option<(String, String)> {
        let Difference(within) = self.differ(theirs)?;
        let (ours_text, theirs_text) = (self.to_string(), theirs.to_string());
        match within {
            Some((a, b)) if ours_text == theirs_text => {
                Some((self.with_definition(ours_text, a), theirs.with_definition(theirs_text, b)))
            }
            _ => Some((ours_text, theirs_text)),
        }
    }

    fn differ(self, theirs: Signature<'a>) -> Option<Difference> {
        let pair = Pair { ours: self.resolve, theirs: theirs.resolve };
        let (a, b) = (self.function, theirs.function);
        if a.kind.is_async() != b.kind.is_async() {
            return Some(Difference(None));
        }
        let params = pair.all(a.params.iter().map(|param| param.ty), b.params.iter().map(|param| param.ty), None);
        params.or_else(|| pair.optional(a.result, b.result, None))
    }

    fn with_definition(self, text: String, id: TypeId) -> String {
        let mut printer = Printer { resolve: self.resolve, text };
        let name = self.resolve.types[id].name.as_deref().unwrap_or_default();
        let _ = write!(printer.text, " where {name} is ");
        printer.definition(id);
        printer.finish()
    }
}

impl std::fmt::Display for Signature<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut printer = Printer { resolve: self.resolve, text: String::new() };
        printer.function(self.function);
        f.write_str(&printer.finish())
    }
}

/// Walks two types side by side.
struct Pair<'a> {
    ours: &'a Resolve,
    theirs: &'a Resolve,
}

type Within = Option<(TypeId, TypeId)>;

impl Pair<'_> {
    fn all(
        &self,
        ours: impl ExactSizeIterator<Item = Type>,
        theirs: impl ExactSizeIterator<Item = Type>,
        within: Within,
    ) -> Option<Difference> {
        if ours.len() != theirs.len() {
            return Some(Difference(within));
        }
        ours.zip(theirs).find_map(|(a, b)| self.types(a, b, within))
    }

    fn optional(&self, ours: Option<Type>, theirs: Option<Type>, within: Within) -> Option<Difference> {
        match (ours, theirs) {
            (None, None) => None,
            (Some(a), Some(b)) => self.types(a, b, within),
            (None, Some(_)) | (Some(_), None) => Some(Difference(within)),
        }
    }

    fn types(&self, ours: Type, theirs: Type, within: Within) -> Option<Difference> {
        match (ours, theirs) {
            (Type::Id(a), Type::Id(b)) => self.defined(a, b, within),
            (a, b) => match (resolve_alias(self.ours, a), resolve_alias(self.theirs, b)) {
                (Type::Id(_), _) | (_, Type::Id(_)) => Some(Difference(within)),
                (a, b) => (a != b).then_some(Difference(within)),
            },
        }
    }

    fn defined(&self, ours: TypeId, theirs: TypeId, within: Within) -> Option<Difference> {
        let (a, b) = (&self.ours.types[ours], &self.theirs.types[theirs]);
        let within = if a.name.is_some() && b.name.is_some() { Some((ours, theirs)) } else { within };
        let differs = |yes: bool| yes.then_some(Difference(within));
        use TypeDefKind as K;
        match (&a.kind, &b.kind) {
            (K::Type(a), _) => self.types(*a, Type::Id(theirs), within),
            (_, K::Type(b)) => self.types(Type::Id(ours), *b, within),
            (K::Record(a), K::Record(b)) => {
                let names = a.fields.iter().map(|field| &field.name).ne(b.fields.iter().map(|field| &field.name));
                differs(names)
                    .or_else(|| self.all(a.fields.iter().map(|f| f.ty), b.fields.iter().map(|f| f.ty), within))
            }
            (K::Variant(a), K::Variant(b)) => {
                let names = a.cases.iter().map(|case| &case.name).ne(b.cases.iter().map(|case| &case.name));
                let payloads = || a.cases.iter().zip(&b.cases).find_map(|(a, b)| self.optional(a.ty, b.ty, within));
                differs(names).or_else(payloads)
            }
            (K::Enum(a), K::Enum(b)) => {
                differs(a.cases.iter().map(|case| &case.name).ne(b.cases.iter().map(|case| &case.name)))
            }
            (K::Flags(a), K::Flags(b)) => {
                differs(a.flags.iter().map(|flag| &flag.name).ne(b.flags.iter().map(|flag| &flag.name)))
            }
            (K::Tuple(a), K::Tuple(b)) => self.all(a.types.iter().copied(), b.types.iter().copied(), within),
            (K::Option(a), K::Option(b)) | (K::List(a), K::List(b)) => self.types(*a, *b, within),
            (K::Result(a), K::Result(b)) => {
                self.optional(a.ok, b.ok, within).or_else(|| self.optional(a.err, b.err, within))
            }
            (K::Resource, K::Resource) => differs(a.name != b.name),
            (K::Handle(Handle::Own(a)), K::Handle(Handle::Own(b)))
            | (K::Handle(Handle::Borrow(a)), K::Handle(Handle::Borrow(b))) => self.defined(*a, *b, within),
            // Two different kinds, or a kind that our world doesn't use.
            _ => Some(Difference(within)),
        }
    }
}

/// What an alias of a plain type stands for.
fn resolve_alias(resolve: &Resolve, mut ty: Type) -> Type {
    while let Type::Id(id) = ty
        && let TypeDefKind::Type(next) = resolve.types[id].kind
    {
        ty = next;
    }
    ty
}

/// Writes types as WIT does, named ones by name.
struct Printer<'a> {
    resolve: &'a Resolve,
    text: String,
}

impl Printer<'_> {
    fn finish(mut self) -> String {
        if self.text.len() > MAX_PRINTED_BYTES {
            self.text.truncate(self.text.floor_char_boundary(MAX_PRINTED_BYTES));
            self.text.push('…');
        }
        self.text
    }

    fn is_full(&self) -> bool {
        self.text.len() > MAX_PRINTED_BYTES
    }

    fn function(&mut self, function: &Function) {
        self.text.push_str(if function.kind.is_async() { "async func(" } else { "func(" });
        self.separated(&function.params, |printer, param| {
            let _ = write!(printer.text, "{}: ", param.name);
            printer.ty(param.ty);
        });
        self.text.push(')');
        if let Some(result) = function.result {
            self.text.push_str(" -> ");
            self.ty(result);
        }
    }

    fn separated<T>(&mut self, items: &[T], print: impl Fn(&mut Self, &T)) {
        for (at, item) in items.iter().enumerate() {
            if self.is_full() {
                return;
            }
            self.text.push_str(if at > 0 { ", " } else { "" });
            print(self, item);
        }
    }

    fn ty(&mut self, ty: Type) {
        let plain = match ty {
            Type::Bool => "bool",
            Type::U8 => "u8",
            Type::U16 => "u16",
            Type::U32 => "u32",
            Type::U64 => "u64",
            Type::S8 => "s8",
            Type::S16 => "s16",
            Type::S32 => "s32",
            Type::S64 => "s64",
            Type::F32 => "f32",
            Type::F64 => "f64",
            Type::Char => "char",
            Type::String => "string",
            Type::ErrorContext => "error-context",
            Type::Id(id) => {
                return match &self.resolve.types[id].name {
                    Some(name) => self.text.push_str(name),
                    None => self.definition(id),
                };
            }
        };
        self.text.push_str(plain);
    }

    fn definition(&mut self, id: TypeId) {
        if self.is_full() {
            return;
        }
        let resolve = self.resolve;
        match &resolve.types[id].kind {
            TypeDefKind::Type(ty) => self.ty(*ty),
            TypeDefKind::Record(record) => self.braced("record", &record.fields, |printer, field| {
                let _ = write!(printer.text, "{}: ", field.name);
                printer.ty(field.ty);
            }),
            TypeDefKind::Variant(variant) => self.braced("variant", &variant.cases, |printer, case| {
                printer.text.push_str(&case.name);
                if let Some(ty) = case.ty {
                    printer.applied("", &[Some(ty)], '(', ')');
                }
            }),
            TypeDefKind::Enum(cases) => {
                self.braced("enum", &cases.cases, |printer, case| printer.text.push_str(&case.name));
            }
            TypeDefKind::Flags(flags) => {
                self.braced("flags", &flags.flags, |printer, flag| printer.text.push_str(&flag.name));
            }
            TypeDefKind::Tuple(tuple) => {
                let types: Vec<_> = tuple.types.iter().copied().map(Some).collect();
                self.applied("tuple", &types, '<', '>');
            }
            TypeDefKind::Option(ty) => self.applied("option", &[Some(*ty)], '<', '>'),
            TypeDefKind::List(ty) => self.applied("list", &[Some(*ty)], '<', '>'),
            TypeDefKind::Result(result) => match (result.ok, result.err) {
                (None, None) => self.text.push_str("result"),
                (ok, None) => self.applied("result", &[ok], '<', '>'),
                (ok, err) => self.applied("result", &[ok, err], '<', '>'),
            },
            TypeDefKind::Handle(Handle::Own(id)) => self.ty(Type::Id(*id)),
            TypeDefKind::Handle(Handle::Borrow(id)) => self.applied("borrow", &[Some(Type::Id(*id))], '<', '>'),
            TypeDefKind::FixedLengthList(ty, _) => self.applied("list", &[Some(*ty)], '<', '>'),
            TypeDefKind::Map(key, value) => self.applied("map", &[Some(*key), Some(*value)], '<', '>'),
            TypeDefKind::Future(ty) => self.applied("future", &[*ty], '<', '>'),
            TypeDefKind::Stream(ty) => self.applied("stream", &[*ty], '<', '>'),
            TypeDefKind::Resource | TypeDefKind::Unknown => self.text.push_str(resolve.types[id].kind.as_str()),
        }
    }

    fn braced<T>(&mut self, keyword: &str, items: &[T], print: impl Fn(&mut Self, &T)) {
        let _ = write!(self.text, "{keyword} {{ ");
        self.separated(items, print);
        self.text.push_str(" }");
    }

    fn applied(&mut self, name: &str, types: &[Option<Type>], open: char, close: char) {
        self.text.push_str(name);
        self.text.push(open);
        self.separated(types, |printer, ty| match ty {
            Some(ty) => printer.ty(*ty),
            None => printer.text.push('_'),
        });
        self.text.push(close);
    }
}
