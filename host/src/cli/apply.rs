//! `apply`: job.toml files in, jobs stored. All files are read and found valid before anything is sent, and all components are
//! stored before the first job.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Context, bail, ensure};
use clap::Args;

use super::output::{complain, say};
use super::pause::Change;
use super::{Server, client::Client, read_file};
use crate::api::{MAX_COMPONENT_BYTES, StoredComponent};
use crate::clock;
use crate::registry::{Applied, Change as Done, Digest, JobFile, JobId, JobSpec};

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

/// How many jobs are sent at once: a host's answer waits for the disks of the ensemble, which sync for many as fast as for one.
const AT_ONCE: usize = 8;

impl Apply {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let (mut files, mut components) = (BTreeMap::<JobId, &Path>::new(), BTreeMap::new());
        let mut jobs = Vec::new();
        for file in &self.files {
            let Ready { spec, component } = read(file)?;
            if let Some(other) = files.insert(spec.id.clone(), file) {
                bail!("job `{}` is in `{}` and in `{}`", spec.id, other.display(), file.display());
            }
            components.entry(spec.component.clone()).or_insert(component);
            jobs.push(spec);
        }
        let client = self.server.client()?;
        for spec in &jobs {
            check(&client, spec)?;
        }
        for (digest, component) in components {
            have(&client, &digest, &component)?;
        }
        for some in jobs.chunks(AT_ONCE) {
            self.store(&client, some)?;
        }
        Ok(())
    }

    /// Stores some jobs at once. What is refused is told after those that are stored, the first last.
    fn store(&self, client: &Client, some: &[JobSpec]) -> anyhow::Result<()> {
        let put = &|spec: &JobSpec| client.put_json(&self.change.of(&format!("/v1/jobs/{}", spec.id)), spec);
        let answers: Vec<anyhow::Result<Applied>> = thread::scope(|scope| {
            let under_way: Vec<_> = some.iter().map(|spec| scope.spawn(move || put(spec))).collect();
            under_way.into_iter().map(|answer| answer.join().expect("asking doesn't panic")).collect()
        });
        let mut refused = Ok(());
        for (spec, answer) in some.iter().zip(answers) {
            match answer {
                Ok(Applied { version, change }) => {
                    let remark = match change {
                        Done::Created | Done::Updated => "",
                        Done::Unchanged => " (unchanged)",
                    };
                    say(&format!("applied {}, version {version}{remark}", spec.id))?;
                }
                Err(error) if refused.is_ok() => refused = Err(error),
                Err(error) => complain(&error),
            }
        }
        refused
    }
}

/// A valid job, and its component.
pub(super) struct Ready {
    pub(super) spec: JobSpec,
    pub(super) component: Component,
}

/// A component as it was read, for the first job that names it.
pub(super) struct Component {
    job: String,
    tenant: String,
    pub(super) file: PathBuf,
    pub(super) bytes: Vec<u8>,
}

/// A job as its job.toml has it, with its component.
pub(super) fn read(file: &Path) -> anyhow::Result<Ready> {
    let named = || format!("`{}`", file.display());
    let text = String::from_utf8(read_file(file)?).with_context(named)?;
    let job = JobFile::parse(&text, file.parent().unwrap_or(Path::new(""))).with_context(named)?;
    let bytes = read_file(&job.component).with_context(|| format!("job `{}`: component", job.id.name))?;
    ensure!(
        bytes.len() <= MAX_COMPONENT_BYTES,
        "job `{}`: component `{}` has {} bytes, over the limit of {MAX_COMPONENT_BYTES}",
        job.id.name,
        job.component.display(),
        bytes.len()
    );
    let digest = Digest::of(&bytes);
    let JobId { tenant, name } = job.id.clone();
    let component = Component { job: name, tenant, file: job.component.clone(), bytes };
    Ok(Ready { spec: job.into_spec(digest), component })
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

/// Stores a component where it isn't stored.
fn have(client: &Client, digest: &Digest, component: &Component) -> anyhow::Result<()> {
    if !client.has(&format!("/v1/components/{digest}"))? {
        let Component { job, tenant, file, bytes } = component;
        let refused = || format!("job `{job}`: component `{}`", file.display());
        let stored: StoredComponent =
            client.put(&format!("/v1/components?tenant={tenant}"), bytes).with_context(refused)?;
        ensure!(stored.digest == *digest, "the component arrived as `{}`, not as `{digest}`", stored.digest);
    }
    Ok(())
}
