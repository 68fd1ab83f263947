//! What the registry's own node says: the names of what was changed last, the newest first, with a `-` before the name of what
//! was deleted. Its version counts the changes, so a host that missed a few of them reads just these again, and one that
//! missed many reads everything.
//!
//! What is named without a `-` and is not there was deleted by hand: so a host that has it in memory keeps it. The same holds for
//! everything that is missing when it reads everything, if the first line says that nothing was deleted in order since.

use std::collections::BTreeMap;
use std::str::FromStr;

use super::JobId;
use super::tenants::check_tenant;

/// How many changes it tells of.
pub(super) const KEPT: usize = 32;
/// Begins the first line, which ends with the count of deletions.
const DELETIONS: &str = "deletions=";

/// Something that was changed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Changed {
    /// A job.
    Job(JobId),
    /// What a tenant of this name was set.
    Tenant(String),
}

/// How something was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChangeKind {
    /// It was written.
    Written,
    /// It was deleted in order.
    Deleted,
}

impl Changed {
    /// `TENANT/JOB`, or the name of a tenant. None for what is neither: another program's hand.
    fn parse(name: &str) -> Option<Self> {
        if name.contains('/') {
            return JobId::from_str(name).ok().map(Changed::Job);
        }
        check_tenant(name).ok().map(|()| Changed::Tenant(name.to_owned()))
    }
}

/// Returns the value after a change of what is called `name`.
pub(super) fn after(value: &[u8], name: &str, kind: ChangeKind) -> Vec<u8> {
    let deletions = deletions(value).unwrap_or(0) + u64::from(kind == ChangeKind::Deleted);
    let sign = if kind == ChangeKind::Deleted { "-" } else { "" };
    let mut text = format!("{DELETIONS}{deletions}\n{sign}{name}");
    for line in lines(std::str::from_utf8(value).unwrap_or_default()).take(KEPT - 1) {
        text.push('\n');
        text.push_str(line);
    }
    text.into_bytes()
}

/// Returns how often something was deleted in order since the node was made; None if the value doesn't tell, as that of a node
/// that was just made.
pub(super) fn deletions(value: &[u8]) -> Option<u64> {
    std::str::from_utf8(value).ok()?.lines().next()?.strip_prefix(DELETIONS)?.parse().ok()
}

/// Returns the lines that name what was changed.
fn lines(value: &str) -> impl Iterator<Item = &str> {
    value.lines().filter(|line| !line.starts_with(DELETIONS))
}

/// Returns what the last `count` changes were of, and whether a deletion was among the changes of each. None if the value doesn't
/// tell of so many.
pub(super) fn last(value: &[u8], count: usize) -> Option<BTreeMap<Changed, ChangeKind>> {
    let lines: Vec<&str> = lines(std::str::from_utf8(value).ok()?).take(count).collect();
    if lines.len() < count {
        return None;
    }
    let mut changes = BTreeMap::new();
    for line in lines {
        let deleted = line.strip_prefix('-');
        let change = changes.entry(Changed::parse(deleted.unwrap_or(line))?).or_insert(ChangeKind::Written);
        if deleted.is_some() {
            *change = ChangeKind::Deleted;
        }
    }
    Some(changes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_changes_are_told_and_no_more_than_are_kept() {
        let mut value = Vec::new();
        for number in 0..100 {
            value = after(&value, &format!("acme/job-{number}"), ChangeKind::Written);
        }
        let job =
            |number: usize| (Changed::Job(JobId::new("acme", &format!("job-{number}")).unwrap()), ChangeKind::Written);
        assert_eq!(last(&value, 2), Some(BTreeMap::from([job(99), job(98)])));
        assert_eq!(last(&value, KEPT).map(|changed| changed.len()), Some(KEPT));
        assert_eq!(last(&value, KEPT + 1), None);
        assert!(value.len() < 1024, "{}", value.len());
    }

    #[test]
    fn a_deletion_is_told_also_if_the_same_was_written_before_or_since() {
        let changes = [ChangeKind::Written, ChangeKind::Deleted, ChangeKind::Written];
        let value = changes.iter().fold(Vec::new(), |value, change| after(&value, "acme/job", *change));
        assert_eq!(value, b"deletions=1\nacme/job\n-acme/job\nacme/job");
        assert_eq!((deletions(&value), deletions(b"acme/job"), deletions(b"")), (Some(1), None, None));
        let told = |count| last(&value, count).unwrap().into_values().collect::<Vec<_>>();
        assert_eq!(
            (told(1), told(2), told(3)),
            (vec![ChangeKind::Written], vec![ChangeKind::Deleted], vec![ChangeKind::Deleted])
        );
    }

    #[test]
    fn a_value_of_one_name_is_a_value_too_and_others_hands_are_seen() {
        let tenant = BTreeMap::from([(Changed::Tenant("acme".to_owned()), ChangeKind::Written)]);
        assert_eq!(last(b"acme", 1), Some(tenant));
        assert_eq!(last(b"acme", 2), None);
        assert_eq!(last(&after(b"acme", "acme/job", ChangeKind::Deleted), 2).map(|changed| changed.len()), Some(2));
        for value in [&b"not a name"[..], b"\xff", b"", b"-", b"--acme"] {
            assert_eq!(last(value, 1), None);
        }
    }
}
