//! Picks the writes that concern scheduled jobs out of the transaction logs, and leaves out what was logged and never
//! committed.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use silverback::config::Layout;
use silverback::registry::JobId;

use crate::txn_log::{Deed, Transaction, Write};

/// The key under which the tests' guests count their runs.
const COUNT: &str = "count";

/// What one transaction did to one job.
pub(super) struct Committed<'a> {
    pub(super) job: JobId,
    pub(super) time: Timestamp,
    pub(super) deeds: Deeds<'a>,
}

#[derive(Default)]
pub(super) struct Deeds<'a> {
    /// The job was stored.
    pub(super) spec: Option<&'a [u8]>,
    /// Its run state was written.
    pub(super) state: Option<&'a [u8]>,
    /// Its count was written.
    pub(super) count: Option<u64>,
}

/// What a node is to a job.
enum Part {
    Spec,
    State,
    Count,
}

/// In the order of the commits; of a batch, in the order within it.
pub(super) fn of_jobs<'a>(layout: &Layout, transactions: &'a [Transaction]) -> Vec<Committed<'a>> {
    let all: Vec<(&Transaction, &Write, JobId, Part)> = transactions
        .iter()
        .flat_map(|transaction| writes(transaction).iter().map(move |write| (transaction, write)))
        .filter_map(|(transaction, write)| {
            part_of(layout, &write.path).map(|(job, part)| (transaction, write, job, part))
        })
        .collect();
    let never = never_committed(all.iter().map(|(transaction, write, ..)| (transaction.zxid, *write)));
    let mut committed: Vec<Committed<'a>> = Vec::new();
    let mut last = 0;
    let mut batch: BTreeMap<JobId, usize> = BTreeMap::new();
    for (transaction, write, job, part) in all {
        if never.contains(&transaction.zxid) {
            continue;
        }
        if transaction.zxid != last {
            batch.clear();
            last = transaction.zxid;
        }
        let at = *batch.entry(job.clone()).or_insert_with(|| {
            let time = Timestamp::from_millisecond(transaction.time_ms).expect("servers live in our days");
            committed.push(Committed { job, time, deeds: Deeds::default() });
            committed.len() - 1
        });
        let deeds = &mut committed[at].deeds;
        match part {
            Part::Spec => deeds.spec = Some(&write.value),
            Part::State => deeds.state = Some(&write.value),
            Part::Count => deeds.count = std::str::from_utf8(&write.value).ok().and_then(|text| text.parse().ok()),
        }
    }
    committed
}

fn writes(transaction: &Transaction) -> &[Write] {
    match &transaction.deed {
        Deed::Wrote(writes) => writes,
        Deed::Refused | Deed::SessionClosed | Deed::Other => &[],
    }
}

fn part_of(layout: &Layout, path: &str) -> Option<(JobId, Part)> {
    let rest = path.strip_prefix(layout.root())?;
    let mut names = rest.split('/').skip(1);
    let (kind, tenant, name, key) = (names.next()?, names.next()?, names.next()?, names.next());
    let part = match (kind, key) {
        ("jobs", None) => Part::Spec,
        ("runs", None) => Part::State,
        ("state", Some(COUNT)) => Part::Count,
        _ => return None,
    };
    Some((JobId::new(tenant, name).ok()?, part))
}

/// A leader that dies may have logged what nobody else did. Then a later leader writes the same version of a node again.
///
/// # Panics
/// Where a version of a node is in no log: what was made of it would not be the whole.
fn never_committed<'a>(writes: impl Iterator<Item = (i64, &'a Write)>) -> BTreeSet<i64> {
    let (mut never, mut versions) = (BTreeSet::new(), BTreeMap::<&str, Vec<(i32, i64)>>::new());
    for (zxid, write) in writes {
        let versions = versions.entry(&write.path).or_default();
        while let Some((_, false_one)) = versions.pop_if(|(version, _)| *version >= write.version) {
            never.insert(false_one);
        }
        // A run state is made with its job, empty: that write may be nobody's whom the log is of.
        let made_before = if write.version == 1 { 0 } else { -1 };
        let before = versions.last().map_or(made_before, |(version, _)| *version);
        assert_eq!(write.version, before + 1, "a version of {} is in no log", write.path);
        versions.push((write.version, zxid));
    }
    never
}
