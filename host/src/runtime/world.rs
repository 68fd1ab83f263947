//! The world a component must fit, read from wit/, and what a component has instead.
//!
//! Compares names and types as WIT has them, so that its words are those of whoever wrote the component. WASI 0.2 is not
//! among them: its types are known only to the crates that implement it, so linking has the last word there.

use std::sync::LazyLock;

use wit_component::DecodedWasm;
use wit_parser::{Interface, InterfaceId, PackageName, Resolve, World, WorldId, WorldItem, WorldKey};

use super::error::Misfit;
use super::signature::Signature;

const SOURCES: [(&str, &str); 4] = [
    ("wasi-config.wit", include_str!("../../../wit/deps/config/package.wit")),
    ("wasi-keyvalue.wit", include_str!("../../../wit/deps/keyvalue/package.wit")),
    ("wasi-logging.wit", include_str!("../../../wit/deps/logging/package.wit")),
    ("leader.wit", include_str!("../../../wit/leader.wit")),
];

/// The packages of WASI 0.2 that are linked: sealed, and http as far as it is granted.
const WASI_PACKAGES: [&str; 7] = ["cli", "clocks", "filesystem", "http", "io", "random", "sockets"];

static OURS: LazyLock<(Resolve, WorldId)> = LazyLock::new(|| {
    let mut resolve = Resolve::default();
    let mut package = None;
    for (name, text) in SOURCES {
        package = Some(resolve.push_source(name, text).expect("wit/ parses: bindgen read the same files"));
    }
    let packages: Vec<_> = package.into_iter().collect();
    let world = resolve.select_world(&packages, Some("leader")).expect("wit/leader.wit has the world");
    (resolve, world)
});

/// Our world, and the package it stands in.
#[cfg(test)]
pub(super) fn ours() -> &'static (Resolve, WorldId) {
    &OURS
}

/// A world and where it is defined.
#[derive(Clone, Copy)]
struct Side<'a> {
    resolve: &'a Resolve,
    world: &'a World,
}

/// How a component, as decoded, doesn't fit; empty where it does.
pub(super) fn misfits(decoded: &DecodedWasm) -> Vec<Misfit> {
    let DecodedWasm::Component(resolve, world) = decoded else {
        let detail = "it is a WIT package, which holds types and no code".to_owned();
        return vec![Misfit::Link { detail }];
    };
    let ours = Side { resolve: &OURS.0, world: &OURS.0.worlds[OURS.1] };
    let theirs = Side { resolve, world: &resolve.worlds[*world] };
    let mut misfits = exports(ours, theirs);
    misfits.extend(imports(ours, theirs));
    misfits
}

/// What our world exports must be exported.
fn exports(ours: Side<'_>, theirs: Side<'_>) -> Vec<Misfit> {
    let mut misfits = Vec::new();
    for (key, interface) in ours.interfaces(&ours.world.exports) {
        let name = ours.resolve.name_world_key(key);
        match theirs.find(&theirs.world.exports, &ours.canonical(key)) {
            None => {
                let near = theirs.near(&theirs.world.exports, ours.package_and_name(key));
                misfits.push(Misfit::MissingExport { name, wanted: None, near });
            }
            Some(found) => misfits.extend(exported_functions(&name, ours, interface, theirs, found)),
        }
    }
    misfits
}

fn exported_functions(
    name: &str,
    ours: Side<'_>,
    wanted: &Interface,
    theirs: Side<'_>,
    found: &Interface,
) -> Vec<Misfit> {
    let check = |function: &String| {
        let wanted = Signature { resolve: ours.resolve, function: &wanted.functions[function] };
        let name = format!("{name}#{function}");
        let Some(found) = found.functions.get(function) else {
            return Some(Misfit::MissingExport { name, wanted: Some(wanted.to_string()), near: None });
        };
        let (wanted, found) = wanted.difference(Signature { resolve: theirs.resolve, function: found })?;
        Some(Misfit::ExportType { name, found, wanted })
    };
    wanted.functions.keys().filter_map(check).collect()
}

/// What the component imports must be offered.
fn imports(ours: Side<'_>, theirs: Side<'_>) -> Vec<Misfit> {
    let mut misfits = Vec::new();
    for (key, item) in &theirs.world.imports {
        let name = theirs.resolve.name_world_key(key);
        match item {
            WorldItem::Interface { id, .. } => {
                let wanted = &theirs.resolve.interfaces[*id];
                match ours.find(&ours.world.imports, &theirs.canonical(key)) {
                    Some(offered) => misfits.extend(imported_functions(&name, ours, offered, theirs, wanted)),
                    None if is_wasi(theirs.resolve, wanted) => {}
                    None => {
                        let near = ours.near(&ours.world.imports, theirs.package_and_name(key));
                        misfits.push(Misfit::UnknownImport { name, wanted: None, near });
                    }
                }
            }
            WorldItem::Function(function) => {
                let wanted = Some(Signature { resolve: theirs.resolve, function }.to_string());
                misfits.push(Misfit::UnknownImport { name, wanted, near: None });
            }
            WorldItem::Type { .. } => {}
        }
    }
    misfits
}

fn imported_functions(
    name: &str,
    ours: Side<'_>,
    offered: &Interface,
    theirs: Side<'_>,
    wanted: &Interface,
) -> Vec<Misfit> {
    let check = |(function, wanted): (&String, _)| {
        let wanted = Signature { resolve: theirs.resolve, function: wanted };
        let name = format!("{name}#{function}");
        let Some(offered) = offered.functions.get(function) else {
            return Some(Misfit::UnknownImport { name, wanted: Some(wanted.to_string()), near: None });
        };
        let (offered, wanted) = Signature { resolve: ours.resolve, function: offered }.difference(wanted)?;
        Some(Misfit::ImportType { name, wanted, offered })
    };
    wanted.functions.iter().filter_map(check).collect()
}

type Items = wit_parser::IndexMap<WorldKey, WorldItem>;

impl<'a> Side<'a> {
    fn interfaces(self, items: &'a Items) -> impl Iterator<Item = (&'a WorldKey, &'a Interface)> {
        items.iter().filter_map(move |(key, item)| match item {
            WorldItem::Interface { id, .. } => Some((key, &self.resolve.interfaces[*id])),
            WorldItem::Function(_) | WorldItem::Type { .. } => None,
        })
    }

    /// The name without the part of the version that may differ: 0.1.0 and 0.1.7 are the same, 0.1 and 0.2 are not.
    fn canonical(self, key: &WorldKey) -> String {
        self.resolve.name_canonicalized_world_key(key)
    }

    fn find(self, items: &'a Items, canonical: &str) -> Option<&'a Interface> {
        self.interfaces(items).find(|(key, _)| self.canonical(key) == canonical).map(|(_, interface)| interface)
    }

    /// The name without any version.
    fn package_and_name(self, key: &WorldKey) -> Option<(String, String, String)> {
        let WorldKey::Interface(id) = key else { return None };
        let PackageName { namespace, name, .. } = package_name(self.resolve, *id)?;
        Some((namespace.clone(), name.clone(), self.resolve.interfaces[*id].name.clone()?))
    }

    /// An interface of the same name and another version.
    fn near(self, items: &'a Items, name: Option<(String, String, String)>) -> Option<String> {
        let (key, _) = self.interfaces(items).find(|(key, _)| name.is_some() && self.package_and_name(key) == name)?;
        Some(self.resolve.name_world_key(key))
    }
}

fn package_name(resolve: &Resolve, id: InterfaceId) -> Option<&PackageName> {
    Some(&resolve.packages[resolve.interfaces[id].package?].name)
}

/// True for what wasmtime-wasi and wasmtime-wasi-http answer.
fn is_wasi(resolve: &Resolve, interface: &Interface) -> bool {
    let Some(package) = interface.package.map(|id| &resolve.packages[id].name) else { return false };
    package.namespace == "wasi"
        && WASI_PACKAGES.contains(&package.name.as_str())
        && package.version.as_ref().is_some_and(|v| v.major == 0 && v.minor == 2 && v.pre.is_empty())
}
