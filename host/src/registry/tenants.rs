//! What an operator sets for a tenant, so that no tenant's jobs crowd out another's.
//!
//! The limits hold on each host by itself, for the scheduled runs of the tenant that begin there; a limit that isn't set
//! doesn't hold. This is what is asked for: the scheduler does it.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::signers::{MAX_SIGNERS, Signer, Signers};
use super::validate::{SpecError, cut, cut_reason};
use super::{Ceilings, Limit, Ranges};

/// What all tenants were set, at one moment. A tenant that isn't there has the defaults.
pub type Tenants = Arc<BTreeMap<String, TenantSettings>>;

const MAX_RUNNING: RangeInclusive<u32> = 1..=10_000;
const RUNS_PER_MINUTE: RangeInclusive<u32> = 1..=1_000_000;
const MAX_WAITING: RangeInclusive<u32> = 1..=100_000;
const WEIGHT: RangeInclusive<u32> = 1..=100;
const MAX_REQUESTS: RangeInclusive<u32> = 1..=10_000;
/// The most ranges of private addresses.
const MAX_RANGES: usize = 32;
/// The weight of a tenant that has no other.
const DEFAULT_WEIGHT: u32 = 1;

/// The settings of one tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantSettings {
    /// How many of its runs are under way at once on a host, 1 to 10 000.
    pub max_running: Option<u32>,
    /// How many of its runs a host begins in a minute, 1 to 1 000 000.
    pub runs_per_minute: Option<u32>,
    /// How many of its ticks wait on a host for their turn, 1 to 100 000. A tick beyond is skipped, with the reason.
    pub max_waiting: Option<u32>,
    /// Its share where a host is full: of two tenants with runs that wait, one with twice the weight begins twice as many.
    /// 1 to 100.
    pub weight: u32,
    /// The most that one of its runs may have.
    #[serde(default, skip_serializing_if = "Ceilings::is_none")]
    pub limits: Ceilings,
    /// The private addresses that its jobs' HTTP requests may reach, where their grants name what has one of them.
    #[serde(default, skip_serializing_if = "Ranges::is_none")]
    pub private: Ranges,
    /// How many HTTP requests its runs have under way at once on a host, 1 to 10 000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_requests: Option<u32>,
    /// Of whom one has to have signed each component that its jobs run. An empty list: nothing runs.
    #[serde(default, skip_serializing_if = "Signers::is_none")]
    pub signers: Signers,
}

impl Default for TenantSettings {
    fn default() -> Self {
        TenantSettings {
            max_running: None,
            runs_per_minute: None,
            max_waiting: None,
            weight: DEFAULT_WEIGHT,
            limits: Ceilings::NONE,
            private: Ranges::NONE,
            max_requests: None,
            signers: Signers::NONE,
        }
    }
}

impl TenantSettings {
    /// Reads the settings of `tenant` from JSON, as the API takes it and the coordinator keeps it. What is missing or null has
    /// its default.
    ///
    /// # Errors
    /// The first thing that is wrong, with its field and value.
    pub fn from_json(tenant: &str, bytes: &[u8]) -> Result<Self, SpecError> {
        let fields: Map<String, Value> = serde_json::from_slice(bytes).map_err(|error| SpecError::Settings {
            subject: format!("tenant `{}`", cut(tenant)),
            detail: cut_reason(&error),
        })?;
        let mut read = Reader { tenant, fields };
        let settings = TenantSettings {
            max_running: read.count("max_running", MAX_RUNNING)?,
            runs_per_minute: read.count("runs_per_minute", RUNS_PER_MINUTE)?,
            max_waiting: read.count("max_waiting", MAX_WAITING)?,
            weight: read.count("weight", WEIGHT)?.unwrap_or(DEFAULT_WEIGHT),
            limits: read.limits()?,
            private: read.private()?,
            max_requests: read.count("max_requests", MAX_REQUESTS)?,
            signers: read.signers()?,
        };
        read.finish()?;
        Ok(settings)
    }
}

/// What a tenant was set, or the defaults.
pub fn settings_of(tenants: &Tenants, tenant: &str) -> TenantSettings {
    tenants.get(tenant).cloned().unwrap_or_default()
}

/// A tenant's name, as part of a path.
///
/// # Errors
/// [`SpecError::Invalid`] where it can't be one.
pub fn check_tenant(name: &str) -> Result<(), SpecError> {
    crate::config::check_name(name).map_err(|reason| SpecError::of_tenant(name, "name", name, reason))
}

/// Takes one field after the other.
struct Reader<'a> {
    tenant: &'a str,
    fields: Map<String, Value>,
}

impl Reader<'_> {
    fn count(&mut self, field: &str, bounds: RangeInclusive<u32>) -> Result<Option<u32>, SpecError> {
        let value = match self.fields.remove(field) {
            None | Some(Value::Null) => return Ok(None),
            Some(value) => value,
        };
        let count = value.as_u64().and_then(|count| u32::try_from(count).ok()).filter(|count| bounds.contains(count));
        count.map(Some).ok_or_else(|| {
            let reason = format!("it must be a whole number from {} to {}", bounds.start(), bounds.end());
            SpecError::of_tenant(self.tenant, field, &value.to_string(), &reason)
        })
    }

    fn limits(&mut self) -> Result<Ceilings, SpecError> {
        let refuse = |field: &str, value: &Value, reason: &str| {
            SpecError::of_tenant(self.tenant, field, &value.to_string(), reason)
        };
        let set = match self.fields.remove("limits") {
            None | Some(Value::Null) => return Ok(Ceilings::NONE),
            Some(Value::Object(set)) => set,
            Some(other) => return Err(refuse("limits", &other, "it must be an object, by the limits' names")),
        };
        let one = |(field, value): (&String, &Value)| {
            let Some(limit) = Limit::ALL.into_iter().find(|limit| limit.field() == field) else {
                let known = Limit::ALL.map(Limit::field).join(", ");
                return Err(refuse(&format!("limits.{field}"), value, &format!("the limits are {known}")));
            };
            let most = value.as_u64().filter(|most| limit.bounds().contains(most));
            most.map(|most| (limit, most)).ok_or_else(|| {
                let bounds = limit.bounds();
                let reason = format!("it must be a whole number from {} to {}", bounds.start(), bounds.end());
                refuse(&format!("limits.{field}"), value, &reason)
            })
        };
        set.iter().map(one).collect()
    }

    fn private(&mut self) -> Result<Ranges, SpecError> {
        Ok(self.list("private", "ranges", MAX_RANGES, "a range of addresses like `10.0.0.0/8`", Ranges::read)?.into())
    }

    fn signers(&mut self) -> Result<Signers, SpecError> {
        if matches!(self.fields.get("signers"), None | Some(Value::Null)) {
            self.fields.remove("signers");
            return Ok(Signers::NONE);
        }
        let read = |text: &str| text.parse::<Signer>().ok();
        Ok(self.list("signers", "signers", MAX_SIGNERS, "`ed25519:` and 64 hexadecimal digits", read)?.into())
    }

    /// A list of what is written as text: nothing where it is missing.
    fn list<T>(
        &mut self,
        field: &str,
        things: &str,
        most: usize,
        thing: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<Vec<T>, SpecError> {
        let refuse = |value: &str, reason: &str| SpecError::of_tenant(self.tenant, field, value, reason);
        let list = match self.fields.remove(field) {
            None | Some(Value::Null) => return Ok(Vec::new()),
            Some(Value::Array(list)) if list.len() <= most => list,
            Some(Value::Array(list)) => {
                return Err(refuse(&format!("{} {things}", list.len()), &format!("the limit is {most}")));
            }
            Some(other) => return Err(refuse(&other.to_string(), &format!("it must be a list, each {thing}"))),
        };
        let one = |value: Value| {
            let found = value.as_str().and_then(&read);
            found.ok_or_else(|| refuse(&value.to_string(), &format!("it must be {thing}")))
        };
        list.into_iter().map(one).collect()
    }

    fn finish(self) -> Result<(), SpecError> {
        let known = "the settings are max_running, runs_per_minute, max_waiting, weight, limits, private, max_requests and signers";
        match self.fields.iter().next() {
            None => Ok(()),
            Some((key, value)) => Err(SpecError::of_tenant(self.tenant, key, &value.to_string(), known)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<TenantSettings, String> {
        TenantSettings::from_json("acme", json.as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_not_set_has_its_default() {
        assert_eq!(read("{}"), Ok(TenantSettings::default()));
        let some = TenantSettings { max_running: Some(10_000), weight: 100, ..TenantSettings::default() };
        assert_eq!(read(r#"{"max_running": 10000, "max_waiting": null, "weight": 100}"#), Ok(some.clone()));
        let some = TenantSettings { limits: Ceilings::from_iter([(Limit::CpuMs, 500)]), ..some };
        let some = TenantSettings { private: vec!["10.0.0.0/8".parse().unwrap()].into(), ..some };
        let some = TenantSettings { signers: vec![Signer::new([7; 32])].into(), ..some };
        assert_eq!(read(&serde_json::to_string(&some).unwrap()), Ok(some.clone()));
        let nobody = TenantSettings { signers: Signers::nobody(), ..some };
        assert_eq!(read(&serde_json::to_string(&nobody).unwrap()), Ok(nobody), "never as if there were none");
    }

    #[test]
    fn wrong_settings_are_refused_with_field_and_value() {
        let texts = [
            "",
            "[]",
            "3",
            r#"{"max_running": 0}"#,
            r#"{"max_running": 10001}"#,
            r#"{"runs_per_minute": -1}"#,
            r#"{"runs_per_minute": 1.5}"#,
            r#"{"max_waiting": "many"}"#,
            r#"{"max_waiting": 4294967297}"#,
            r#"{"weight": 101}"#,
            r#"{"weight": [1, 2, 3]}"#,
            r#"{"weight": 2, "colour": "red"}"#,
            r#"{"max_requests": 0}"#,
            r#"{"private": "10.0.0.0/8"}"#,
            r#"{"private": ["10.0.0.0/33"]}"#,
            r#"{"private": [10]}"#,
            r#"{"signers": "ed25519:00"}"#,
            r#"{"signers": ["ed25519:00"]}"#,
            r#"{"limits": 3}"#,
            r#"{"limits": {"colour": 3}}"#,
            r#"{"limits": {"memory_bytes": 3}}"#,
            r#"{"limits": {"cpu_ms": "1s"}}"#,
        ];
        let refusals: Vec<String> = texts.iter().map(|text| read(text).unwrap_err()).collect();
        insta::assert_snapshot!(refusals.join("\n"));
        assert!(check_tenant("acme").is_ok());
        let refused = check_tenant("a/b").unwrap_err().to_string();
        assert!(refused.starts_with("tenant `a/b`: name `a/b` is not valid: "), "{refused}");
    }
}
