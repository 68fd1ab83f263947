//! A job as it is stored.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use super::hex;
use super::misfit;
use super::term_rules::TermRules;
use super::validate::{self, SpecError};
use super::{HttpGrants, KeptPolicies, Limit, Limits, Pause, Schedule, ScheduleError, ScheduleSpec};

/// A job's full name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct JobId {
    /// Who ships it.
    pub tenant: String,
    /// Its name within the tenant.
    pub name: String,
}

impl JobId {
    /// A job's name from its parts.
    ///
    /// # Errors
    /// [`SpecError::Invalid`] where a part is not 1 to 63 lower-case letters, digits and `-`, the first no `-`.
    pub fn new(tenant: &str, name: &str) -> Result<Self, SpecError> {
        let id = JobId { tenant: tenant.to_owned(), name: name.to_owned() };
        validate::id(&id)?;
        Ok(id)
    }
}

impl FromStr for JobId {
    type Err = SpecError;

    /// `TENANT/JOB`, as people write it.
    fn from_str(text: &str) -> Result<Self, SpecError> {
        match text.split_once('/') {
            Some((tenant, name)) => JobId::new(tenant, name),
            None => Err(SpecError::invalid(text, "name", text, "a job is named TENANT/JOB")),
        }
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.tenant, self.name)
    }
}

/// A component's name: `sha256:` and 64 hexadecimal digits, lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest([u8; 32]);

/// Not a digest.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("digest `{0}` is not valid: it must be `sha256:` and 64 hexadecimal digits, lower case")]
pub struct DigestError(String);

impl TryFrom<String> for Digest {
    type Error = DigestError;

    fn try_from(name: String) -> Result<Self, DigestError> {
        name.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> String {
        digest.to_string()
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(name: &str) -> Result<Self, DigestError> {
        let bytes = name.strip_prefix("sha256:").and_then(hex::decode).and_then(|bytes| bytes.try_into().ok());
        bytes.map(Digest).ok_or_else(|| DigestError(validate::cut(name)))
    }
}

impl Digest {
    /// The name of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Digest(Sha256::digest(bytes).into())
    }

    /// The 64 hexadecimal digits alone, for a file name.
    pub fn hex(&self) -> String {
        hex::encode(&self.0)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

/// A component, as it is compiled.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Build {
    /// Which.
    pub digest: Digest,
    /// It counts what it executes, for a job with a limit of fuel.
    pub metered: bool,
    /// It is for terms, which last, and not for runs that come and go.
    pub lasting: bool,
}

impl From<Digest> for Build {
    fn from(digest: Digest) -> Self {
        Build { digest, metered: false, lasting: false }
    }
}

/// What a job is: a component, when it runs, and what it may use. Valid by construction once it came through
/// the registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobSpec {
    /// Its name.
    #[serde(flatten)]
    pub id: JobId,
    /// What runs.
    pub component: Digest,
    /// When it runs.
    #[serde(flatten)]
    pub trigger: Trigger,
    /// What a run may use.
    pub limits: Limits,
    /// Handed to the component through `wasi:config/store`.
    #[serde(default)]
    pub config: BTreeMap<String, String>,
    /// Secrets of its tenant, by the key of `wasi:config/store` under which a run has each.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, String>,
    /// Where it may send HTTP requests.
    #[serde(default)]
    pub http: HttpGrants,
    /// Not contended for, or not ticking, while it is paused.
    #[serde(default, with = "super::pause")]
    pub paused: Option<Box<Pause>>,
}

impl JobSpec {
    /// What runs, as it is compiled.
    pub fn build(&self) -> Build {
        Build {
            digest: self.component.clone(),
            metered: self.limits.get(Limit::Fuel).is_some(),
            lasting: matches!(self.trigger, Trigger::Leader { .. }),
        }
    }

    /// Everything that must hold before a job is stored, whoever sent it.
    ///
    /// # Errors
    /// The first thing that is wrong, with its field and value.
    pub fn validate(&self) -> Result<(), SpecError> {
        validate::id(&self.id)?;
        validate::schedule(&self.id, &self.trigger)?;
        self.validate_without_schedule()
    }

    /// Everything of [`Self::validate`] but whether its schedule can be kept, which is the only part that may take a while.
    ///
    /// # Errors
    /// As [`Self::validate`].
    pub(super) fn validate_without_schedule(&self) -> Result<(), SpecError> {
        validate::job(&self.id, &self.trigger, &self.limits, &self.config)?;
        validate::secrets(&self.id.name, &self.secrets, &self.config)?;
        validate::http(&self.id.name, &self.http)?;
        self.paused.as_ref().map_or(Ok(()), |pause| pause.validate(&self.id.name))
    }

    /// Returns the job's schedule; None for a job without one. It takes little memory if other jobs that tick alike are in use.
    ///
    /// # Errors
    /// Why it doesn't tick: what is stored is refused by this version of the program, or somebody else wrote it.
    pub fn schedule(&self) -> Option<Result<Schedule, ScheduleError>> {
        match &self.trigger {
            Trigger::Leader { .. } => None,
            Trigger::Schedule { times, .. } => Some(Schedule::shared(times, &self.id)),
        }
    }

    /// What must hold besides when a job is stored at `now`, though it may cease to hold while it is stored: its schedule has
    /// ticks to come, and its jitter fits between them.
    ///
    /// # Errors
    /// What doesn't, with its field and value.
    pub fn validate_at(&self, now: Timestamp) -> Result<(), SpecError> {
        validate::schedule_at(&self.id, &self.trigger, now)
    }

    /// Reads a job from the API's JSON and validates it. Unlike a plain deserialization it refuses keys that mean nothing
    /// for this trigger, so that a misspelt one doesn't pass in silence.
    ///
    /// # Errors
    /// [`SpecError::Json`] for what is no job, [`SpecError::UnknownKey`] for a key too many, else as [`Self::validate`].
    pub fn from_json(bytes: &[u8]) -> Result<Self, SpecError> {
        let value: serde_json::Value = serde_json::from_slice(bytes).map_err(SpecError::json)?;
        let spec: JobSpec = misfit::read(&value).map_err(|misfit| SpecError::misfit(&value, misfit))?;
        spec.validate()?;
        validate::token_header(&spec.id.name, &spec.http)?;
        let mut known = serde_json::to_value(&spec).map_err(SpecError::json)?;
        if spec.secrets.is_empty() {
            // Then it isn't written, so that hosts of before can read it; it may be said all the same.
            known["secrets"] = serde_json::json!({});
        }
        match validate::unknown_key(&value, &known) {
            Some(key) => Err(SpecError::unknown(&spec.id.name, key, spec.trigger.name())),
            None => Ok(spec),
        }
    }
}

/// When a job runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "trigger", rename_all = "snake_case")]
pub enum Trigger {
    /// Once for each term of leadership.
    Leader {
        /// The election's path; None for the job's own under the cluster's root.
        #[serde(default)]
        election: Option<String>,
        /// Whose form our contenders' names have.
        #[serde(default)]
        names: Names,
        /// What follows when the function returns while the host still leads.
        #[serde(default)]
        on_return: OnReturn,
        /// When a term begins and ends.
        #[serde(flatten)]
        rules: TermRules,
    },
    /// Once for each tick.
    Schedule {
        /// When it ticks.
        #[serde(flatten)]
        times: ScheduleSpec,
        /// What becomes of ticks that overlap, were missed or failed.
        #[serde(flatten)]
        policies: KeptPolicies,
    },
}

impl Trigger {
    /// `leader` or `schedule`.
    pub fn name(&self) -> &'static str {
        match self {
            Trigger::Leader { .. } => "leader",
            Trigger::Schedule { .. } => "schedule",
        }
    }
}

/// Whose form the names of our contenders have: kazoo and Curator each know their own. Curator takes any other name for one
/// that stands behind its own, so both would lead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Names {
    /// kazoo's.
    #[default]
    Kazoo,
    /// Curator's, which kazoo programs count too where they have `-lock-` among their `extra_lock_patterns`.
    Curator,
}

/// What follows when a leader function returns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnReturn {
    /// Give leadership up and stand again at the end of the queue, after a back-off if it failed.
    #[default]
    Requeue,
    /// Give leadership up and stand no more on this host until the job changes.
    Stop,
}
