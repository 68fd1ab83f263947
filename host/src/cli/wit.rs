//! `wit`: the world, and what it stands on.

use std::fs;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use super::output::say;
use crate::files::{self, Access};

/// Our package.
const LEADER: &str = include_str!("../../../wit/leader.wit");

/// The drafts that it names.
const DRAFTS: [(&str, &str); 3] = [
    ("config.wit", include_str!("../../../wit/deps/config/package.wit")),
    ("keyvalue.wit", include_str!("../../../wit/deps/keyvalue/package.wit")),
    ("logging.wit", include_str!("../../../wit/deps/logging/package.wit")),
];

/// WASI 0.2, as the crate has it that implements it here.
const WASI: &[(&str, &str)] = &include!(concat!(env!("OUT_DIR"), "/wasi_wit.rs"));

#[derive(Debug, Args)]
pub(super) struct Wit {
    /// The folder; what else is in it stays
    #[arg(long, default_value = "wit", value_name = "DIR")]
    out: PathBuf,
}

impl Wit {
    pub(super) fn run(self) -> anyhow::Result<()> {
        write(&self.out)?;
        Ok(say(&format!("`{}` has the world `silverback:leader/leader`", self.out.display()))?)
    }
}

/// Writes all files of the world into a folder, in place of those that it wrote there before.
pub(super) fn write(folder: &std::path::Path) -> anyhow::Result<()> {
    let deps = folder.join("deps");
    fs::create_dir_all(&deps).with_context(|| format!("can't make `{}`", deps.display()))?;
    let wasi = WASI.iter().map(|(name, text)| (format!("deps/{name}"), *text));
    let drafts = DRAFTS.map(|(name, text)| (format!("deps/{name}"), text));
    let world = ("leader.wit".to_owned(), &*world());
    for (name, text) in [world].into_iter().chain(drafts).chain(wasi) {
        let file = folder.join(name);
        files::replace(&file, text.as_bytes(), Access::Usual)
            .with_context(|| format!("can't write `{}`", file.display()))?;
    }
    Ok(())
}

/// Our world, with the import that it may have and that tools know only by its version.
fn world() -> String {
    let (_, http) = WASI.iter().find(|(name, _)| *name == "http.wit").expect("http is among what is linked");
    let rest = http.lines().find_map(|line| line.strip_prefix("package wasi:http")).expect("it is a package");
    let import = format!("    import wasi:http/outgoing-handler{rest}\n\n    export job;\n");
    LEADER.replacen("\n    export job;\n", &import, 1)
}

#[cfg(test)]
mod tests {
    use wit_parser::Resolve;

    use super::*;

    #[test]
    fn what_is_written_is_a_world_that_tools_can_read() {
        let folder = tempfile::tempdir().unwrap();
        for _ in 0..2 {
            write(&folder.path().join("a/wit")).unwrap();
        }
        let mut resolve = Resolve::default();
        let (package, _) = resolve.push_dir(folder.path().join("a/wit")).unwrap();
        let world = resolve.select_world(&[package], Some("leader")).unwrap();
        let imports = resolve.worlds[world].imports.keys().map(|key| resolve.name_world_key(key));
        let imports: Vec<String> = imports.collect();
        assert!(imports.iter().any(|name| name.starts_with("wasi:http/outgoing-handler@0.2.")), "{imports:?}");
        let packages: Vec<String> = resolve.package_names.keys().map(ToString::to_string).collect();
        for wanted in ["silverback:leader@0.1.0", "wasi:cli@0.2.", "wasi:http@0.2.", "wasi:keyvalue@0.2.0-draft"] {
            assert!(packages.iter().any(|name| name.starts_with(wanted)), "{wanted}: {packages:?}");
        }
    }
}
