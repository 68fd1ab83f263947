//! Whether a job may be stored. Every way in (a job.toml, the API's JSON) ends here, and every refusal names the job, the
//! field and the value.

use std::collections::BTreeMap;
use std::fmt::Display;

use jiff::Timestamp;
use serde_json::Value;
use thiserror::Error;

use super::misfit::Misfit;
use super::{HttpGrants, JobId, Limits, MAX_HTTP_ORIGINS, Policies, Schedule, ScheduleError, ScheduleSpec, Trigger};
use crate::text;

/// The longest election path, in bytes: room below the coordinator's limit for the contender's own name.
const MAX_ELECTION_BYTES: usize = 512;
const MAX_CONFIG_ENTRIES: usize = 100;
const MAX_CONFIG_KEY_BYTES: usize = 128;
const MAX_CONFIG_VALUE_BYTES: usize = 8 * 1024;
const MAX_CONFIG_BYTES: usize = 64 * 1024;
/// How many secrets a run is told at the most.
const MAX_JOB_SECRETS: usize = 16;
/// How much of a wrong value, or of a field's name, an error shows, in bytes.
const SHOWN_BYTES: usize = 80;
/// How much of a reason an error shows, in bytes. Some quote what they are about.
const REASON_BYTES: usize = 500;

/// Why a job, or what a tenant is set, is refused.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum SpecError {
    /// A value that can't be.
    #[error("{subject}: {field} `{value}` is not valid: {reason}")]
    Invalid {
        /// ``job `nightly` ``.
        subject: String,
        /// The field's name.
        field: String,
        /// Its value, cut.
        value: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A field that must be there.
    #[error("{subject}: {field} is missing: {hint}")]
    Missing {
        /// ``job `nightly` ``.
        subject: String,
        /// The field's name.
        field: &'static str,
        /// What to write.
        hint: &'static str,
    },
    /// A value of the wrong type.
    #[error("{subject}: {field} must be {wanted}, not the {found} `{value}`")]
    WrongType {
        /// ``job `nightly` ``.
        subject: String,
        /// The field's name.
        field: String,
        /// The type it should have.
        wanted: &'static str,
        /// The type it has.
        found: &'static str,
        /// Its value, cut.
        value: String,
    },
    /// A key that means nothing here.
    #[error("{subject}: key `{key}` is not known for trigger `{trigger}`")]
    UnknownKey {
        /// ``job `nightly` ``.
        subject: String,
        /// The key, with the table it stands in.
        key: String,
        /// The job's trigger.
        trigger: &'static str,
    },
    /// Text that is no TOML.
    #[error("not valid TOML: {detail}")]
    Toml {
        /// Line, column and cause.
        detail: String,
    },
    /// JSON that is no settings.
    #[error("{subject}: not settings: {detail}")]
    Settings {
        /// ``tenant `acme` ``.
        subject: String,
        /// What serde said.
        detail: String,
    },
    /// JSON that is no job.
    #[error("not a job: {detail}")]
    Json {
        /// What serde said.
        detail: String,
    },
}

impl SpecError {
    /// A value of `job` (its name) that can't be.
    pub(super) fn invalid(job: &str, field: impl Into<String>, value: &str, reason: impl Display) -> Self {
        let (subject, field) = (subject(job), cut(&field.into()));
        SpecError::Invalid { subject, field, value: cut(value), reason: cut_reason(&reason) }
    }

    /// Something of a tenant's that can't be.
    pub(super) fn of_tenant(tenant: &str, field: &str, value: &str, reason: &str) -> Self {
        let subject = format!("tenant `{}`", cut(tenant));
        SpecError::Invalid { subject, field: cut(field), value: cut(value), reason: cut_reason(&reason) }
    }

    pub(super) fn unknown(job: &str, key: impl AsRef<str>, trigger: &'static str) -> Self {
        SpecError::UnknownKey { subject: subject(job), key: cut(key.as_ref()), trigger }
    }

    /// Of a job as JSON.
    pub(super) fn misfit(job: &Value, misfit: Misfit) -> Self {
        let name = job.get("name").and_then(Value::as_str).unwrap_or("?");
        Self::misfit_of(name, misfit)
    }

    /// Of a job (its name), or something that concerns it.
    pub(super) fn misfit_of(name: &str, Misfit { found, reason }: Misfit) -> Self {
        match found {
            Some((field, Value::String(value))) => SpecError::invalid(name, field, &value, reason),
            Some((field, value)) => SpecError::invalid(name, field, &value.to_string(), reason),
            None => SpecError::Json { detail: cut_reason(&reason) },
        }
    }

    pub(super) fn json(error: serde_json::Error) -> Self {
        SpecError::Json { detail: cut_reason(&error) }
    }
}

/// ``job `nightly` ``, the way every error begins.
pub(super) fn subject(job: &str) -> String {
    format!("job `{}`", cut(job))
}

/// As much of a wrong value as an error shows, on one line.
pub(super) fn cut(value: &str) -> String {
    text::cut(value, SHOWN_BYTES)
}

/// As much of a reason as an error shows, on one line.
pub(super) fn cut_reason(reason: &impl Display) -> String {
    text::cut(&reason.to_string(), REASON_BYTES)
}

/// The first key of `given`, however deep, that `known` doesn't have.
pub(super) fn unknown_key(given: &Value, known: &Value) -> Option<String> {
    let (Value::Object(given), Value::Object(known)) = (given, known) else { return None };
    given.iter().find_map(|(key, inner)| match known.get(key) {
        None => Some(key.clone()),
        Some(known) => unknown_key(inner, known).map(|below| format!("{key}.{below}")),
    })
}

/// Everything that must hold of a job, but for [`schedule`].
pub(super) fn job(
    id: &JobId,
    trigger: &Trigger,
    limits: &Limits,
    config: &BTreeMap<String, String>,
) -> Result<(), SpecError> {
    self::id(id)?;
    match trigger {
        Trigger::Leader { election, names: _, on_return: _, rules } => {
            election.as_deref().map_or(Ok(()), |path| self::election(&id.name, path))?;
            rules.validate(&id.name)?;
        }
        Trigger::Schedule { times: _, policies } => {
            Policies::parse(policies, &id.name)?;
        }
    }
    limits.validate(&id.name, matches!(trigger, Trigger::Schedule { .. }))?;
    self::config(&id.name, config)
}

/// Tenant and name of a job.
pub(super) fn id(id: &JobId) -> Result<(), SpecError> {
    for (field, value) in [("tenant", &id.tenant), ("name", &id.name)] {
        if let Err(reason) = crate::config::check_name(value) {
            return Err(SpecError::invalid(&id.name, field, value, reason));
        }
    }
    Ok(())
}

fn election(job: &str, path: &str) -> Result<(), SpecError> {
    let refuse = |reason: &str| Err(SpecError::invalid(job, "election", path, reason));
    if !path.starts_with('/') {
        return refuse("it must begin with `/`");
    }
    if path == "/" {
        return refuse("contenders can't stand under the root itself");
    }
    if path.len() > MAX_ELECTION_BYTES {
        return refuse(&format!("it has {} bytes, more than the limit of {MAX_ELECTION_BYTES}", path.len()));
    }
    if path.chars().any(|c| c.is_control() || matches!(c, '\u{fff0}'..='\u{ffff}' | '\u{f000}'..='\u{f8ff}')) {
        return refuse("it has a character that ZooKeeper doesn't take");
    }
    for segment in path[1..].split('/') {
        match segment {
            "" => return refuse("it has an empty segment"),
            "." | ".." => return refuse("`.` and `..` are no segments of a path"),
            _ => {}
        }
    }
    if path == "/zookeeper" || path.starts_with("/zookeeper/") {
        return refuse("`/zookeeper` is ZooKeeper's own");
    }
    Ok(())
}

/// What must hold of a job's schedule, where it has one.
pub(super) fn schedule(id: &JobId, trigger: &Trigger) -> Result<(), SpecError> {
    match trigger {
        Trigger::Leader { .. } => Ok(()),
        Trigger::Schedule { times, policies: _ } => parsed(id, times).map(drop),
    }
}

fn parsed(id: &JobId, times: &ScheduleSpec) -> Result<Schedule, SpecError> {
    Schedule::parse(times, Some(id)).map_err(|error| schedule_error(id, error))
}

/// What must hold of a schedule that is stored at `now`.
pub(super) fn schedule_at(id: &JobId, trigger: &Trigger, now: Timestamp) -> Result<(), SpecError> {
    match trigger {
        Trigger::Leader { .. } => Ok(()),
        Trigger::Schedule { times, policies: _ } => {
            parsed(id, times)?.check_at(times, now).map_err(|error| schedule_error(id, error))
        }
    }
}

fn schedule_error(id: &JobId, error: ScheduleError) -> SpecError {
    SpecError::invalid(&id.name, error.field, &error.value, error.reason)
}

fn config(job: &str, config: &BTreeMap<String, String>) -> Result<(), SpecError> {
    let refuse = |field: String, value: &str, reason: String| Err(SpecError::invalid(job, field, value, reason));
    if config.len() > MAX_CONFIG_ENTRIES {
        let value = format!("{} entries", config.len());
        return refuse("config".to_owned(), &value, format!("the limit is {MAX_CONFIG_ENTRIES}"));
    }
    let mut total = 0;
    for (key, value) in config {
        if key.is_empty() || key.len() > MAX_CONFIG_KEY_BYTES {
            return refuse("config key".to_owned(), key, format!("it must have 1 to {MAX_CONFIG_KEY_BYTES} bytes"));
        }
        if value.len() > MAX_CONFIG_VALUE_BYTES {
            return refuse(format!("config.{key}"), value, format!("the limit is {MAX_CONFIG_VALUE_BYTES} bytes"));
        }
        total += key.len() + value.len();
    }
    if total > MAX_CONFIG_BYTES {
        let value = format!("{total} bytes");
        return refuse("config".to_owned(), &value, format!("the limit is {MAX_CONFIG_BYTES} bytes"));
    }
    Ok(())
}

/// What must hold of a job's secrets; whether its tenant has them is not looked at here.
pub(super) fn secrets(
    job: &str,
    secrets: &BTreeMap<String, String>,
    config: &BTreeMap<String, String>,
) -> Result<(), SpecError> {
    if secrets.len() > MAX_JOB_SECRETS {
        let value = format!("{} entries", secrets.len());
        return Err(SpecError::invalid(job, "secrets", &value, format!("the limit is {MAX_JOB_SECRETS}")));
    }
    for (key, name) in secrets {
        let refuse = |reason: &str| Err(SpecError::invalid(job, format!("secrets.{key}"), name, reason));
        if key.is_empty() || key.len() > MAX_CONFIG_KEY_BYTES {
            return refuse(&format!("its key must have 1 to {MAX_CONFIG_KEY_BYTES} bytes"));
        }
        if config.contains_key(key) {
            return refuse("its key stands under [config] too");
        }
        if let Err(reason) = crate::config::check_name(name) {
            return refuse(reason);
        }
    }
    Ok(())
}

/// Checks what must hold of the token's header when a job is applied, but not of what is stored.
///
/// # Errors
/// The header, and why it can't be used.
pub(super) fn token_header(job: &str, http: &HttpGrants) -> Result<(), SpecError> {
    let name = &http.token_header;
    name.check_free().map_err(|reason| SpecError::invalid(job, "http.token_header", name.as_str(), reason))
}

/// What must hold of all grants for HTTP together; each is valid by construction.
pub(super) fn http(job: &str, http: &HttpGrants) -> Result<(), SpecError> {
    if http.allow.len() > MAX_HTTP_ORIGINS {
        let value = format!("{} origins", http.allow.len());
        return Err(SpecError::invalid(job, "http.allow", &value, format!("the limit is {MAX_HTTP_ORIGINS}")));
    }
    Ok(())
}
