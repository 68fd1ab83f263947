//! `apply`: job.toml files in, jobs stored. All files are read and found valid before anything is sent.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use clap::Args;

use super::output::say;
use super::pause::Change;
use super::{Server, client::Client, read_file};
use crate::api::{MAX_COMPONENT_BYTES, StoredComponent};
use crate::clock;
use crate::registry::{Applied, Change as Done, Digest, JobFile, JobSpec};

#[derive(Debug, Args)]
pub(super) struct Apply {
    /// job.toml files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    change: Change,
    #[command(flatten)]
    server: Server,
}

impl Apply {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let jobs = self.files.iter().map(|file| read(file)).collect::<anyhow::Result<Vec<_>>>()?;
        let client = self.server.client()?;
        for Ready { spec, .. } in &jobs {
            check(&client, spec)?;
        }
        for Ready { spec, file, component } in jobs {
            have(&client, &spec, &file, &component)?;
            let path = self.change.of(&format!("/v1/jobs/{}", spec.id));
            let Applied { version, change } = client.put_json(&path, &spec)?;
            let remark = match change {
                Done::Created | Done::Updated => "",
                Done::Unchanged => " (unchanged)",
            };
            say(&format!("applied {}, version {version}{remark}", spec.id))?;
        }
        Ok(())
    }
}

/// A valid job, with its component's file and bytes.
struct Ready {
    spec: JobSpec,
    file: PathBuf,
    component: Vec<u8>,
}

fn read(file: &Path) -> anyhow::Result<Ready> {
    let named = || format!("`{}`", file.display());
    let text = String::from_utf8(read_file(file)?).with_context(named)?;
    let job = JobFile::parse(&text, file.parent().unwrap_or(Path::new(""))).with_context(named)?;
    let component = read_file(&job.component).with_context(|| format!("job `{}`: component", job.id.name))?;
    ensure!(
        component.len() <= MAX_COMPONENT_BYTES,
        "job `{}`: component `{}` has {} bytes, over the limit of {MAX_COMPONENT_BYTES}",
        job.id.name,
        job.component.display(),
        component.len()
    );
    let digest = Digest::of(&component);
    let file = job.component.clone();
    Ok(Ready { spec: job.into_spec(digest), file, component })
}

/// What a host would refuse too, but only when it has stored other jobs, or the component. What is stored already may have
/// come to its end.
fn check(client: &Client, spec: &JobSpec) -> anyhow::Result<()> {
    if let Err(refused) = spec.validate_at(clock::system().wall()) {
        let stored = client.get::<JobSpec>(&format!("/v1/jobs/{}", spec.id));
        ensure!(stored.is_ok_and(|stored| stored.trigger == spec.trigger), refused);
    }
    Ok(())
}

/// Stores the job's component where it isn't stored.
fn have(client: &Client, spec: &JobSpec, file: &Path, component: &[u8]) -> anyhow::Result<()> {
    let digest = &spec.component;
    if !client.has(&format!("/v1/components/{digest}"))? {
        let refused = || format!("job `{}`: component `{}`", spec.id.name, file.display());
        let stored: StoredComponent = client.put("/v1/components", component).with_context(refused)?;
        ensure!(stored.digest == *digest, "the component arrived as `{}`, not as `{digest}`", stored.digest);
    }
    Ok(())
}
