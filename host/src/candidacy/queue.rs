//! The queue of an election, as kazoo's `contenders()` shows it.

use std::sync::Arc;

use silverback_election::{Contender, in_order};

use crate::capability::Contenders;
use crate::coordinator::{Error, Session, Stat};

/// One that stands in an election, whichever library it came by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueEntry {
    /// Its node's name.
    pub znode: String,
    /// What it wrote into its node; bytes that are no UTF-8 are replaced.
    pub identifier: String,
    /// Its node's czxid: the token of its term, if it leads.
    pub token: i64,
}

/// The queue, the leader first; empty where the path does not exist.
///
/// Contenders that go while they are read are left out, so the answer is a queue that stood at some moment of the call
/// but for what left during it.
///
/// # Errors
/// Those of the session.
pub async fn contenders(session: &dyn Session, election: &str) -> Result<Vec<QueueEntry>, Error> {
    let children = match session.list(election).await {
        Ok(children) => children,
        Err(Error::NoNode { .. }) => return Ok(Vec::new()),
        Err(other) => return Err(other),
    };
    let queue = in_order(&children);
    let reads = queue.iter().map(|contender| read(session, election, contender));
    let entries = futures::future::try_join_all(reads).await?;
    Ok(entries.into_iter().flatten().collect())
}

/// One contender; None where it is gone.
pub(super) async fn read(
    session: &dyn Session,
    election: &str,
    contender: &Contender,
) -> Result<Option<QueueEntry>, Error> {
    match session.get(&child(election, contender.name())).await {
        Ok((data, stat)) => Ok(Some(entry(contender, &data, stat))),
        Err(Error::NoNode { .. }) => Ok(None),
        Err(other) => Err(other),
    }
}

fn entry(contender: &Contender, data: &[u8], stat: Stat) -> QueueEntry {
    QueueEntry {
        znode: contender.name().to_owned(),
        identifier: String::from_utf8_lossy(data).into_owned(),
        token: stat.czxid,
    }
}

/// The queue as a guest asks for it.
pub fn for_guests(session: Arc<dyn Session>, election: String) -> Contenders {
    Arc::new(move || {
        let (session, election) = (session.clone(), election.clone());
        Box::pin(async move {
            let queue = contenders(session.as_ref(), &election).await?;
            Ok(queue.into_iter().enumerate().map(|(at, entry)| (entry.identifier, at == 0)).collect())
        })
    })
}

/// The path of a child of the election.
pub(super) fn child(election: &str, name: &str) -> String {
    format!("{election}/{name}")
}
