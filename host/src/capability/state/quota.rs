//! How many keys a job's state has, and how many bytes, held to what its runs may have.
//!
//! It looks at the state only where a write may go over, and then once a run. Runs of a job beside each other don't see what
//! the other is about to write, and may go over together by what each had left.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::stream::{self, StreamExt, TryStreamExt};

use super::error::StateError;
use super::key::Key;
use super::{Batch, MAX_STATE_VALUE_BYTES, asked, committed_keys, read};
use crate::capability::meter::Meter;
use crate::coordinator::Session;
use crate::registry::Limit;

/// How many values are read at once to know their sizes.
const AT_ONCE: usize = 16;

/// What one run knows of its job's state.
#[derive(Default)]
pub(super) struct Quota(Known);

#[derive(Default)]
enum Known {
    /// Nothing yet.
    #[default]
    Nothing,
    /// There are no more keys than this.
    AtMost(usize),
    /// Each key with the length of its value.
    All(BTreeMap<Key, usize>),
}

/// What is known once a batch is written.
pub(super) struct Then(Option<Known>);

impl Quota {
    /// Makes sure that the job's state stays within its keys and bytes with this batch, besides what the run has `written` and
    /// nobody else sees yet.
    pub(super) async fn hold(
        &mut self,
        session: &Arc<dyn Session>,
        dir: &str,
        meter: &Meter,
        batch: &Batch,
        written: Option<&Batch>,
    ) -> Result<Then, StateError> {
        let puts = batch.values().flatten().count();
        let (most_keys, most_bytes) = (meter.limits().size(Limit::StateKeys), meter.limits().size(Limit::StateBytes));
        if let Known::Nothing = self.0 {
            if puts == 0 {
                return Ok(Then(None));
            }
            let stat = asked(session, || session.stat(dir)).await?;
            let there = stat.map_or(0, |stat| stat.num_children.unsigned_abs() as usize);
            self.0 = Known::AtMost(there + written.map_or(0, Batch::len));
        }
        if let Known::AtMost(keys) = self.0 {
            let keys = keys + puts;
            if keys <= most_keys && keys.saturating_mul(MAX_STATE_VALUE_BYTES) <= most_bytes {
                return Ok(Then(Some(Known::AtMost(keys))));
            }
            let mut sizes = sizes(session, dir).await?;
            written.into_iter().for_each(|written| apply(&mut sizes, written));
            self.0 = Known::All(sizes);
        }
        let Known::All(sizes) = &self.0 else { return Ok(Then(None)) };
        let mut after = sizes.clone();
        apply(&mut after, batch);
        if puts > 0 {
            meter.hold(Limit::StateKeys, after.len() as u64)?;
            meter.hold(Limit::StateBytes, after.values().sum::<usize>() as u64)?;
        }
        Ok(Then(Some(Known::All(after))))
    }

    /// The batch was written.
    pub(super) fn written(&mut self, then: Then) {
        if let Some(known) = then.0 {
            self.0 = known;
        }
    }

    /// A batch may have been written.
    pub(super) fn forget(&mut self) {
        self.0 = Known::Nothing;
    }
}

fn apply(sizes: &mut BTreeMap<Key, usize>, batch: &Batch) {
    for (key, value) in batch {
        match value {
            Some(value) => drop(sizes.insert(key.clone(), value.len())),
            None => drop(sizes.remove(key)),
        }
    }
}

async fn sizes(session: &Arc<dyn Session>, dir: &str) -> Result<BTreeMap<Key, usize>, StateError> {
    let size = async |key: Key| {
        let found = read(session, &key.path(dir)).await?;
        Ok::<_, StateError>(found.map(|(value, _)| (key, value.len())))
    };
    let keys = committed_keys(session, dir).await?;
    let sizes: Vec<Option<(Key, usize)>> = stream::iter(keys).map(size).buffered(AT_ONCE).try_collect().await?;
    Ok(sizes.into_iter().flatten().collect())
}
