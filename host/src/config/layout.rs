//! Where things live in the coordinator. The only place that puts paths together.

use std::fmt::Write as _;

use thiserror::Error;

/// The longest key a job may use, in bytes. Encoded it is at most three times as long, which leaves room for the rest of
/// the path.
pub const MAX_KEY_BYTES: usize = 255;

/// Not a key.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum KeyError {
    /// No bytes at all.
    #[error("key `` is not valid: it must have 1 to {MAX_KEY_BYTES} bytes")]
    Empty,
    /// Over the limit.
    #[error("key of {0} bytes is over the limit of {MAX_KEY_BYTES} bytes")]
    TooLong(usize),
}

/// Paths below the cluster's root.
///
/// | path | what |
/// |---|---|
/// | `ROOT/cluster` | settings fixed when the cluster is made: number of groups |
/// | `ROOT/registry` | changes with every change of a job or of a tenant's settings: what hosts watch |
/// | `ROOT/hosts/NAME` | a live host (ephemeral): address, version |
/// | `ROOT/sessions/NAME:N` | a live host's further session (ephemeral), where it has more than one |
/// | `ROOT/marks/NAME` | what a host writes again and again, to see if the tree is taken back |
/// | `ROOT/tenants/NAME` | what a tenant was set: limits and weight |
/// | `ROOT/secrets/TENANT/NAME` | a secret of a tenant, sealed |
/// | `ROOT/jobs/TENANT/JOB` | a job's spec; the znode's version is the job's version |
/// | `ROOT/runs/TENANT/JOB` | a job's tick state: run in progress, ring of outcomes |
/// | `ROOT/groups/G` | the election of a group of scheduled jobs |
/// | `ROOT/elections/TENANT/JOB` | the election of a leader job that names no path of its own |
/// | `ROOT/state/TENANT/JOB/KEY` | what a job keeps |
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    root: String,
}

impl Default for Layout {
    fn default() -> Self {
        Layout::new("/silverback")
    }
}

impl Layout {
    /// Below `root`, an absolute path without a slash at its end.
    pub fn new(root: &str) -> Self {
        Layout { root: root.to_owned() }
    }

    /// The root itself.
    pub fn root(&self) -> &str {
        &self.root
    }

    /// Settings fixed when the cluster is made.
    pub fn cluster(&self) -> String {
        format!("{}/cluster", self.root)
    }

    /// The node that changes with every change of a job or of a tenant's settings.
    pub fn registry(&self) -> String {
        format!("{}/registry", self.root)
    }

    /// The directory of live hosts.
    pub fn hosts(&self) -> String {
        format!("{}/hosts", self.root)
    }

    /// A live host's node.
    pub fn host(&self, name: &str) -> String {
        format!("{}/hosts/{name}", self.root)
    }

    /// A live host's node on one of its further sessions.
    pub fn further_session(&self, name: &str, number: usize) -> String {
        format!("{}/sessions/{name}:{number}", self.root)
    }

    /// The directory of the hosts' marks. It is written too, whenever one is made.
    pub fn marks(&self) -> String {
        format!("{}/marks", self.root)
    }

    /// A host's mark.
    pub fn mark(&self, host: &str) -> String {
        format!("{}/marks/{host}", self.root)
    }

    /// The directory of what tenants were set.
    pub fn tenant_settings(&self) -> String {
        format!("{}/tenants", self.root)
    }

    /// What a tenant was set.
    pub fn tenant(&self, name: &str) -> String {
        format!("{}/tenants/{name}", self.root)
    }

    /// The directory of a tenant's secrets.
    pub fn secrets(&self, tenant: &str) -> String {
        format!("{}/secrets/{tenant}", self.root)
    }

    /// A secret.
    pub fn secret(&self, tenant: &str, name: &str) -> String {
        format!("{}/secrets/{tenant}/{name}", self.root)
    }

    /// The directory of tenants' jobs.
    pub fn tenants(&self) -> String {
        format!("{}/jobs", self.root)
    }

    /// The directory of a tenant's jobs.
    pub fn jobs(&self, tenant: &str) -> String {
        format!("{}/jobs/{tenant}", self.root)
    }

    /// A job's spec.
    pub fn job(&self, tenant: &str, job: &str) -> String {
        format!("{}/jobs/{tenant}/{job}", self.root)
    }

    /// A job's tick state.
    pub fn run_state(&self, tenant: &str, job: &str) -> String {
        format!("{}/runs/{tenant}/{job}", self.root)
    }

    /// The election of a group.
    pub fn group(&self, group: u32) -> String {
        format!("{}/groups/{group:04}", self.root)
    }

    /// The election of a leader job that names no path.
    pub fn election(&self, tenant: &str, job: &str) -> String {
        format!("{}/elections/{tenant}/{job}", self.root)
    }

    /// The directory of what a job keeps.
    pub fn state(&self, tenant: &str, job: &str) -> String {
        format!("{}/state/{tenant}/{job}", self.root)
    }

    /// A key of what a job keeps.
    ///
    /// # Errors
    /// [`KeyError`] for an empty or too long key.
    pub fn state_key(&self, tenant: &str, job: &str, key: &str) -> Result<String, KeyError> {
        Ok(format!("{}/{}", self.state(tenant, job), encode_key(key)?))
    }

    /// The directory of the tenants' directories of tick states.
    pub fn all_runs(&self) -> String {
        format!("{}/runs", self.root)
    }

    /// The directory of a tenant's tick states.
    pub fn runs(&self, tenant: &str) -> String {
        format!("{}/runs/{tenant}", self.root)
    }

    /// The directories that a job needs above its nodes, created when it is first applied.
    pub fn parents(&self, tenant: &str, job: &str) -> [String; 3] {
        [self.jobs(tenant), self.runs(tenant), self.state(tenant, job)]
    }

    /// The directories that every cluster has below its root, whichever tenants and jobs there are.
    pub fn directories(&self) -> [String; 10] {
        ["hosts", "sessions", "marks", "tenants", "secrets", "jobs", "runs", "groups", "elections", "state"]
            .map(|name| format!("{}/{name}", self.root))
    }
}

/// A key as the name of a node: letters, digits, `-`, `_` and `.` stand for themselves, but for a `.` at the beginning
/// (`.` and `..` are no names); every other byte is `%XX`.
///
/// # Errors
/// [`KeyError`] for an empty or too long key.
pub fn encode_key(key: &str) -> Result<String, KeyError> {
    match key.len() {
        0 => return Err(KeyError::Empty),
        1..=MAX_KEY_BYTES => {}
        length => return Err(KeyError::TooLong(length)),
    }
    let mut name = String::with_capacity(key.len());
    for (at, byte) in key.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => name.push(char::from(byte)),
            b'.' if at > 0 => name.push('.'),
            other => {
                let _ = write!(name, "%{other:02X}");
            }
        }
    }
    Ok(name)
}

/// The key that a node's name stands for; None where [`encode_key`] gives no such name.
pub fn decode_key(name: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        if first == b'%' {
            let digits = std::str::from_utf8(after.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &after[2..];
        } else {
            bytes.push(first);
            rest = after;
        }
    }
    let key = String::from_utf8(bytes).ok()?;
    (encode_key(&key).as_deref() == Ok(name)).then_some(key)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_zookeeper_refuses_is_encoded() {
        let names = [("a.b-c_9", "a.b-c_9"), (".", "%2E"), ("..", "%2E."), ("a/b", "a%2Fb"), ("ü%", "%C3%BC%25")];
        for (key, name) in names {
            assert_eq!(encode_key(key).as_deref(), Ok(name));
        }
        assert_eq!(encode_key(""), Err(KeyError::Empty));
        assert_eq!(encode_key(&"k".repeat(256)), Err(KeyError::TooLong(256)));
    }

    #[test]
    fn only_names_of_our_making_are_decoded() {
        for name in ["", "a b", "%2f", "%zz", "%", "%41", "%+1", "%FF"] {
            assert_eq!(decode_key(name), None, "{name}");
        }
    }

    proptest! {
        #[test]
        fn every_key_comes_back(key in "\\PC{1,60}") {
            prop_assume!(key.len() <= MAX_KEY_BYTES);
            let name = encode_key(&key).unwrap();
            prop_assert!(!name.contains('/') && name.is_ascii());
            prop_assert_eq!(decode_key(&name), Some(key));
        }
    }
}
