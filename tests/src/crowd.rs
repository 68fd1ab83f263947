//! Very many scheduled jobs, stored by multis of many: it is having them that is looked at, not storing them.

use anyhow::{Context, Result};
use silverback::config::Layout;
use silverback::coordinator::{Coordinator as _, CreateMode, MultiError, Op, Session, ZooKeeper, ensure_path};

use crate::cluster::Cluster;
use crate::host::ROOT;
use crate::place::guest;

/// A server that takes so much may stand still for seconds.
const SESSION_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(30);
/// As many as a directory takes.
pub const JOBS_OF_A_TENANT: usize = 1000;
/// How many jobs one multi stores.
const AT_ONCE: usize = 250;

/// Stores `JOBS_OF_A_TENANT` jobs for each of so many tenants, `tenant-0` and so on, that tick once an hour. Some of them are
/// due in any second.
///
/// # Errors
/// What the server says.
pub fn store(cluster: &mut Cluster, connect_string: &str, tenants: usize) -> Result<()> {
    // Stores the component, and makes the directories.
    cluster.apply(&job("tenant-0", "first"));
    let zookeeper = ZooKeeper::new(connect_string, SESSION_TIMEOUT)?;
    let threads = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    threads.block_on(async { store_all(zookeeper.connect(SESSION_TIMEOUT).await?.as_ref(), tenants).await })
}

/// The job.toml of one of them.
pub fn job(tenant: &str, name: &str) -> String {
    let component = guest("nothing");
    format!(
        "tenant = \"{tenant}\"\nname = \"{name}\"\ncomponent = \"{}\"\ntrigger = \"schedule\"\nschedule = \"@every 1h\"\n\
         jitter = \"59m\"\n",
        component.display()
    )
}

async fn store_all(session: &dyn Session, tenants: usize) -> Result<()> {
    let layout = Layout::new(ROOT);
    let first = session.get(&layout.job("tenant-0", "first")).await?.0;
    let first: serde_json::Value = serde_json::from_slice(&first)?;
    for tenant in 0..tenants {
        let tenant = format!("tenant-{tenant}");
        for parent in layout.parents(&tenant, "") {
            ensure_path(session, parent.trim_end_matches('/')).await?;
        }
        // The first tenant has one already.
        let numbers: Vec<usize> = (usize::from(tenant == "tenant-0")..JOBS_OF_A_TENANT).collect();
        for some in numbers.chunks(AT_ONCE) {
            let mut ops = Vec::new();
            for number in some {
                let name = format!("job-{number}");
                let mut spec = first.clone();
                (spec["tenant"], spec["name"]) = (tenant.clone().into(), name.clone().into());
                let create = |path: String, data: Vec<u8>| Op::Create { path, data, mode: CreateMode::Persistent };
                ops.push(create(layout.job(&tenant, &name), serde_json::to_vec(&spec)?));
                ops.push(create(layout.state(&tenant, &name), Vec::new()));
            }
            session.multi(ops).await.map_err(MultiError::into_error)?;
        }
    }
    // Nothing that anybody could read again alone: all is read again.
    session.set(&layout.registry(), b"", None).await?;
    Ok(())
}

/// A number that a server's `mntr` tells.
///
/// # Errors
/// Where it doesn't.
pub fn counter(mntr: &str, name: &str) -> Result<u64> {
    let value = mntr.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("`{name}` in {mntr}"))?;
    Ok(value.trim().parse()?)
}
