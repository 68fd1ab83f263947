//! `new`: a project to begin a job with.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use clap::{Args, ValueEnum};

use super::output::say;
use super::wit;
use crate::config::check_name;

const JOB: &str = include_str!("../../templates/job.toml");

#[derive(Debug, Args)]
pub(super) struct New {
    /// The job's name, and the new folder's: lower-case letters, digits and `-`, from a letter on
    #[arg(value_name = "NAME", value_parser = name)]
    name: String,
    /// What it is written in
    #[arg(long, value_enum, value_name = "LANGUAGE")]
    language: Language,
    /// Whose job it is
    #[arg(long, default_value = "acme", value_name = "NAME")]
    tenant: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Language {
    /// With the SDK
    Rust,
    /// With componentize-js
    Js,
    /// With componentize-py
    Python,
}

/// A project's files, and what job.toml says of it.
struct Template {
    files: &'static [(&'static str, &'static str)],
    component: &'static str,
    memory: &'static str,
    /// The world is written beside them: its tools read it.
    reads_wit: bool,
}

impl Language {
    fn template(self) -> Template {
        match self {
            Language::Rust => Template {
                files: &[
                    ("Cargo.toml", include_str!("../../templates/rust/Cargo.toml.txt")),
                    ("src/lib.rs", include_str!("../../templates/rust/src/lib.rs")),
                    ("README.md", include_str!("../../templates/rust/README.md")),
                    (".gitignore", "/target\n"),
                ],
                component: "target/wasm32-wasip2/release/{{crate}}.wasm",
                memory: "16MiB",
                reads_wit: false,
            },
            Language::Js => Template {
                files: &[
                    ("package.json", include_str!("../../templates/js/package.json")),
                    ("job.js", include_str!("../../templates/js/job.js")),
                    ("README.md", include_str!("../../templates/js/README.md")),
                    (".gitignore", "/node_modules\n/*.wasm\n"),
                ],
                component: "{{name}}.wasm",
                memory: "32MiB",
                reads_wit: true,
            },
            Language::Python => Template {
                files: &[
                    ("requirements.txt", include_str!("../../templates/python/requirements.txt")),
                    ("job.py", include_str!("../../templates/python/job.py")),
                    ("README.md", include_str!("../../templates/python/README.md")),
                    (".gitignore", "__pycache__\n/*.wasm\n"),
                ],
                component: "{{name}}.wasm",
                memory: "32MiB",
                reads_wit: true,
            },
        }
    }
}

impl New {
    pub(super) fn run(self) -> anyhow::Result<()> {
        check_name(&self.tenant)
            .map_err(|reason| anyhow::anyhow!("tenant `{}` is not valid: {reason}", self.tenant))?;
        let folder = PathBuf::from(&self.name);
        self.write(&folder)?;
        Ok(say(&format!(
            "`{}` is a job in {}: its README.md says how to build and run it",
            self.name,
            self.language()
        ))?)
    }

    /// Writes the project. It is made aside, so that there is all of it or nothing.
    fn write(&self, folder: &Path) -> anyhow::Result<()> {
        ensure!(!folder.exists(), "`{}` is there already: name another", folder.display());
        let beside = folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let named = || format!("can't make `{}`", folder.display());
        // With the mode that the user's umask leaves.
        let mut builder = tempfile::Builder::new();
        let aside = builder.prefix(".new-").permissions(Permissions::from_mode(0o777)).tempdir_in(beside);
        let aside = aside.with_context(named)?;
        self.fill(aside.path()).with_context(named)?;
        // A folder that came meanwhile is in the way, unless it is empty.
        fs::rename(aside.path(), folder).with_context(named)?;
        let _renamed = aside.keep();
        Ok(())
    }

    fn fill(&self, folder: &Path) -> anyhow::Result<()> {
        let template = self.language.template();
        for (name, text) in template.files.iter().copied().chain([("job.toml", JOB)]) {
            let file = folder.join(name);
            let named = || format!("can't write `{name}`");
            fs::create_dir_all(file.parent().unwrap_or(folder)).with_context(named)?;
            fs::write(&file, self.filled_in(text, &template)).with_context(named)?;
        }
        if template.reads_wit {
            wit::write(&folder.join("wit"))?;
        }
        Ok(())
    }

    fn filled_in(&self, text: &str, template: &Template) -> String {
        text.replace("{{component}}", template.component)
            .replace("{{memory}}", template.memory)
            .replace("{{name}}", &self.name)
            .replace("{{crate}}", &self.name.replace('-', "_"))
            .replace("{{tenant}}", &self.tenant)
            .replace("{{sdk}}", &sdk())
    }

    fn language(&self) -> String {
        self.language.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

/// The SDK as Cargo.toml names it: the one beside the source that this command was built from, where that is still there, and
/// the published one of this version elsewhere.
fn sdk() -> String {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest");
    match beside.canonicalize() {
        Ok(path) => format!("{{ path = {:?} }}", path.display().to_string()),
        Err(_) => format!("{:?}", env!("CARGO_PKG_VERSION")),
    }
}

/// What is a job's name, a folder's, and a package's in every language.
fn name(text: &str) -> Result<String, String> {
    check_name(text)?;
    match text.starts_with(|first: char| first.is_ascii_lowercase()) {
        true => Ok(text.to_owned()),
        false => Err("it must begin with a letter, as a package's name does".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::JobFile;

    #[test]
    fn every_language_has_a_project_whose_files_are_filled_in() {
        let root = tempfile::tempdir().unwrap();
        for language in Language::value_variants() {
            let name = format!("{language:?}-job").to_lowercase();
            let new = New { name: name.clone(), language: *language, tenant: "acme".to_owned() };
            let folder = root.path().join(&name);
            new.write(&folder).unwrap();
            let job = fs::read_to_string(folder.join("job.toml")).unwrap();
            let job = JobFile::parse(&job, &folder).unwrap();
            assert_eq!(job.id.to_string(), format!("acme/{name}"));
            for (file, _) in language.template().files {
                let text = fs::read_to_string(folder.join(file)).unwrap();
                assert!(!text.contains("{{"), "{file}: {text}");
            }
            assert_eq!(folder.join("wit/leader.wit").exists(), language.template().reads_wit);
            let again = new.write(&folder).unwrap_err().to_string();
            assert!(again.ends_with("is there already: name another"), "{again}");
        }
    }

    #[test]
    fn a_name_is_one_everywhere() {
        assert_eq!(name("nightly-2"), Ok("nightly-2".to_owned()));
        for wrong in ["", "Nightly", "2nd", "a_b", "a/b", "-a", "ä"] {
            assert!(name(wrong).is_err(), "{wrong}");
        }
    }
}
