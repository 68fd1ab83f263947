//! What the registry's own node says: the names of what was changed last, the newest first. Its version counts the changes,
//! so a host that missed a few of them reads just these again, and one that missed many reads everything.

use std::str::FromStr;

use super::JobId;
use super::tenants::check_tenant;

/// How many changes it tells of.
const KEPT: usize = 32;

/// Something that was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Changed {
    /// A job.
    Job(JobId),
    /// What a tenant of this name was set.
    Tenant(String),
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

/// The value after a change of what is called `name`.
pub(super) fn after(value: &[u8], name: &str) -> Vec<u8> {
    let before = std::str::from_utf8(value).unwrap_or_default();
    let names = std::iter::once(name).chain(before.lines().take(KEPT - 1));
    names.collect::<Vec<_>>().join("\n").into_bytes()
}

/// The last `count` changes; None where the value doesn't tell of so many.
pub(super) fn last(value: &[u8], count: usize) -> Option<Vec<Changed>> {
    let names: Vec<&str> = std::str::from_utf8(value).ok()?.lines().take(count).collect();
    if names.len() < count {
        return None;
    }
    names.into_iter().map(Changed::parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_changes_are_told_the_newest_first_and_no_more_than_are_kept() {
        let mut value = Vec::new();
        for number in 0..100 {
            value = after(&value, &format!("acme/job-{number}"));
        }
        let job = |number: usize| Changed::Job(JobId::new("acme", &format!("job-{number}")).unwrap());
        assert_eq!(last(&value, 2), Some(vec![job(99), job(98)]));
        assert_eq!(last(&value, KEPT).map(|changed| changed.len()), Some(KEPT));
        assert_eq!(last(&value, KEPT + 1), None);
        assert!(value.len() < 1024, "{}", value.len());
    }

    #[test]
    fn a_value_of_one_name_is_a_value_too_and_others_hands_are_seen() {
        assert_eq!(last(b"acme", 1), Some(vec![Changed::Tenant("acme".to_owned())]));
        assert_eq!(last(b"acme", 2), None);
        assert_eq!(last(&after(b"acme", "acme/job"), 2).map(|changed| changed.len()), Some(2));
        for value in [&b"not a name"[..], b"\xff", b""] {
            assert_eq!(last(value, 1), None);
        }
    }
}
