//! The cluster's own nodes, made by whichever host comes first.

use anyhow::Context;
use serde_json::Value;

use crate::config::Layout;
use crate::coordinator::{CreateMode, Error, Session, ensure_path, repeat};
use crate::registry::DEFAULT_GROUPS;

/// Makes the cluster's own nodes where they are missing, and gives the number of groups it was made with. All of it may be
/// done twice, so it is repeated where a reply was lost.
pub(super) async fn found_cluster(session: &dyn Session, layout: &Layout) -> anyhow::Result<u32> {
    let path = layout.cluster();
    let value = repeat(session, || try_found(session, layout)).await?;
    groups(&value).with_context(|| format!("cluster: node `{path}` can't be read"))
}

async fn try_found(session: &dyn Session, layout: &Layout) -> Result<Vec<u8>, Error> {
    for path in [layout.root().to_owned(), layout.hosts(), layout.tenants()] {
        ensure_path(session, &path).await?;
    }
    let path = layout.cluster();
    let value = serde_json::json!({ "groups": DEFAULT_GROUPS }).to_string();
    match session.create(&path, value.as_bytes(), CreateMode::Persistent).await {
        Ok(_) | Err(Error::NodeExists { .. }) => {}
        Err(other) => return Err(other),
    }
    Ok(session.get(&path).await?.0)
}

fn groups(value: &[u8]) -> anyhow::Result<u32> {
    let value: Value = serde_json::from_slice(value)?;
    let groups = value.get("groups").and_then(Value::as_u64).and_then(|groups| u32::try_from(groups).ok());
    groups.filter(|groups| *groups > 0).context("`groups` is not a number from 1")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock;
    use crate::coordinator::{Coordinator, Embedded};

    const PATIENCE: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn a_cluster_is_founded_whatever_replies_are_lost_and_keeps_its_groups() {
        for lost in 0..6 {
            let embedded = Embedded::in_memory(clock::system(), Duration::from_secs(6));
            let (session, other) =
                (embedded.connect(PATIENCE).await.unwrap(), embedded.connect(PATIENCE).await.unwrap());
            let layout = Layout::new("/zoo");
            embedded.lose_replies(session.id(), lost).await.unwrap();
            assert_eq!(found_cluster(session.as_ref(), &layout).await.unwrap(), DEFAULT_GROUPS, "{lost} lost");
            other.set(&layout.cluster(), b"{\"groups\": 7}", None).await.unwrap();
            assert_eq!(found_cluster(session.as_ref(), &layout).await.unwrap(), 7);
        }
    }
}
