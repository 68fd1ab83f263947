//! What a job asks for, what its tenant may have, and what becomes of the two.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::table::Limit;
use crate::registry::validate::SpecError;

/// What a job asks for. What it doesn't name has its default, which may be another from one release to the next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes of linear memory and tables, summed over all of the run's.
    pub memory_bytes: u64,
    /// Wall time of a run, in milliseconds. None: until the term ends (leader jobs only).
    #[serde(default)]
    pub time_ms: Option<u64>,
    /// The other limits that it names.
    #[serde(flatten)]
    pub more: MoreLimits,
}

/// Limits by name, without those of [`Limits`]. Most jobs name none, and it is a pointer's worth then.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::box_collection, reason = "a host has a hundred thousand jobs in memory, and most name none")]
pub struct MoreLimits(Option<Box<BTreeMap<Limit, u64>>>);

/// The most that a tenant's runs may have, of the limits that the operator has set for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ceilings(Option<Arc<BTreeMap<Limit, u64>>>);

/// What one run may use. None: as much as there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunLimits([Option<u64>; Limit::ALL.len()]);

impl Limits {
    /// 64 MiB, as long as the term.
    pub const LEADER: Limits = Limits { memory_bytes: 64 << 20, time_ms: None, more: MoreLimits(None) };
    /// 64 MiB, 30 s.
    pub const SCHEDULED: Limits = Limits { memory_bytes: 64 << 20, time_ms: Some(30_000), more: MoreLimits(None) };

    /// The wall time of a run.
    pub fn time(&self) -> Option<Duration> {
        self.time_ms.map(Duration::from_millis)
    }

    /// What it names of a limit.
    pub fn get(&self, limit: Limit) -> Option<u64> {
        match limit {
            Limit::MemoryBytes => Some(self.memory_bytes),
            Limit::TimeMs => self.time_ms,
            other => self.more.0.as_deref().and_then(|more| more.get(&other)).copied(),
        }
    }

    /// Names a limit.
    pub fn set(&mut self, limit: Limit, value: u64) {
        match limit {
            Limit::MemoryBytes => self.memory_bytes = value,
            Limit::TimeMs => self.time_ms = Some(value),
            other => drop(self.more.0.get_or_insert_default().insert(other, value)),
        }
    }

    /// The same, with one limit more.
    #[must_use]
    pub fn with(mut self, limit: Limit, value: u64) -> Self {
        self.set(limit, value);
        self
    }

    /// What must hold of the limits of `job` (its name).
    pub(in crate::registry) fn validate(&self, job: &str, scheduled: bool) -> Result<(), SpecError> {
        let refuse = |limit: Limit, value: &str, reason: &str| {
            Err(SpecError::invalid(job, format!("limits.{limit}"), value, reason))
        };
        if scheduled && self.time_ms.is_none() {
            return refuse(Limit::TimeMs, "none", "a scheduled run must have an end");
        }
        let named = Limit::ALL.into_iter().filter_map(|limit| Some((limit, self.get(limit)?)));
        match named.into_iter().find(|(limit, value)| !limit.bounds().contains(value)) {
            Some((limit, value)) => refuse(limit, &limit.unit().write(value), &limit.must_be()),
            None => Ok(()),
        }
    }

    /// What must hold besides where its tenant may have no more than this. What is as much as the default is not asked for: a
    /// run has less of it then.
    ///
    /// # Errors
    /// The first limit that is over its ceiling, with its value.
    pub fn check_below(&self, ceilings: &Ceilings, scheduled: bool, tenant: &str, job: &str) -> Result<(), SpecError> {
        for (limit, most) in ceilings.iter() {
            let asked = self.get(limit).filter(|value| Some(*value) != limit.default_of(scheduled));
            if let Some(value) = asked.filter(|value| *value > most) {
                let (unit, field) = (limit.unit(), format!("limits.{limit}"));
                let reason = format!("the most that tenant `{tenant}` may have is {}", unit.write(most));
                return Err(SpecError::invalid(job, field, &unit.write(value), reason));
            }
        }
        Ok(())
    }

    /// What a run of the job may use: what it asks for or else the default, and no more than its tenant may have.
    pub fn of_run(&self, scheduled: bool, ceilings: &Ceilings) -> RunLimits {
        RunLimits(Limit::ALL.map(|limit| {
            let asked = self.get(limit).or(limit.default_of(scheduled));
            if limit == Limit::Fuel && asked.is_none() {
                // Only what was compiled for it can be metered.
                return None;
            }
            asked.into_iter().chain(ceilings.get(limit)).min()
        }))
    }
}

impl Ceilings {
    /// None is set.
    pub const NONE: Ceilings = Ceilings(None);

    /// True where none is set.
    pub fn is_none(&self) -> bool {
        self.0.is_none()
    }

    /// Of one limit.
    pub fn get(&self, limit: Limit) -> Option<u64> {
        self.0.as_deref().and_then(|set| set.get(&limit)).copied()
    }

    /// All that are set.
    pub fn iter(&self) -> impl Iterator<Item = (Limit, u64)> + '_ {
        self.0.iter().flat_map(|set| set.iter()).map(|(limit, most)| (*limit, *most))
    }
}

impl FromIterator<(Limit, u64)> for Ceilings {
    fn from_iter<T: IntoIterator<Item = (Limit, u64)>>(set: T) -> Self {
        let set: BTreeMap<Limit, u64> = set.into_iter().collect();
        Ceilings((!set.is_empty()).then(|| Arc::new(set)))
    }
}

impl Serialize for Ceilings {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Ceilings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        BTreeMap::<Limit, u64>::deserialize(deserializer).map(Ceilings::from_iter)
    }
}

impl RunLimits {
    /// Of one limit; None where it doesn't hold.
    pub fn get(&self, limit: Limit) -> Option<u64> {
        self.0[limit as usize]
    }

    /// The same as a size or a number of things; all there is where it doesn't hold.
    pub fn size(&self, limit: Limit) -> usize {
        self.get(limit).map_or(usize::MAX, |value| usize::try_from(value).unwrap_or(usize::MAX))
    }

    /// The same as a time.
    pub fn time(&self, limit: Limit) -> Option<Duration> {
        self.get(limit).map(Duration::from_millis)
    }
}

impl Serialize for MoreLimits {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().flat_map(|more| more.iter()))
    }
}

impl<'de> Deserialize<'de> for MoreLimits {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let more = BTreeMap::<Limit, u64>::deserialize(deserializer)?;
        Ok(MoreLimits((!more.is_empty()).then(|| Box::new(more))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Limits, serde_json::Error> {
        serde_json::from_str(json)
    }

    #[test]
    fn the_rows_stand_in_the_order_of_their_limits_and_have_names_of_their_own() {
        for (index, limit) in Limit::ALL.into_iter().enumerate() {
            assert_eq!(limit as usize, index, "{limit}");
            assert_eq!(Limit::named(limit.name()), Some(limit));
            assert_eq!(serde_json::to_value(limit).unwrap(), limit.field());
            for value in [true, false].into_iter().filter_map(|scheduled| limit.default_of(scheduled)) {
                assert!(limit.bounds().contains(&value), "{limit}");
            }
        }
    }

    #[test]
    fn what_is_not_named_has_its_default() {
        let limits = read(r#"{"memory_bytes": 1048576}"#).unwrap();
        assert_eq!(limits, Limits { memory_bytes: 1 << 20, ..Limits::LEADER });
        let run = limits.of_run(false, &Ceilings::default());
        assert_eq!((run.get(Limit::MemoryBytes), run.get(Limit::CpuMs)), (Some(1 << 20), None));
        let run = Limits::SCHEDULED.of_run(true, &Ceilings::default());
        assert_eq!((run.get(Limit::TimeMs), run.get(Limit::CpuMs)), (Some(30_000), Some(10_000)));
        assert_eq!((run.get(Limit::Fuel), run.size(Limit::Fuel)), (None, usize::MAX));
    }

    #[test]
    fn limits_survive_their_json_and_need_a_name_that_is_known() {
        let limits = Limits::SCHEDULED.with(Limit::Fuel, 7).with(Limit::Handles, 20);
        let json = serde_json::to_string(&limits).unwrap();
        assert_eq!(json, r#"{"memory_bytes":67108864,"time_ms":30000,"fuel":7,"handles":20}"#);
        assert_eq!(read(&json).unwrap(), limits);
        assert_eq!(serde_json::to_string(&Limits::LEADER).unwrap(), r#"{"memory_bytes":67108864,"time_ms":null}"#);
        let refused = read(r#"{"memory_bytes": 1048576, "colour": 3}"#).unwrap_err().to_string();
        assert!(refused.contains("`colour`") && refused.contains("`cpu_ms`"), "{refused}");
    }

    #[test]
    fn no_run_has_more_than_its_tenant() {
        let ceilings = Ceilings::from_iter([(Limit::MemoryBytes, 32 << 20), (Limit::CpuMs, 500), (Limit::Fuel, 9)]);
        let asked = Limits { memory_bytes: 16 << 20, ..Limits::SCHEDULED };
        let run = asked.of_run(true, &ceilings);
        let held = [Limit::MemoryBytes, Limit::CpuMs, Limit::Fuel].map(|limit| run.get(limit));
        assert_eq!(held, [Some(16 << 20), Some(500), None], "also of what it doesn't ask for, but for fuel");
        assert_eq!(asked.clone().with(Limit::Fuel, 20).of_run(true, &ceilings).get(Limit::Fuel), Some(9));
        assert_eq!(asked.check_below(&ceilings, true, "acme", "nightly"), Ok(()));
        assert_eq!(Limits::SCHEDULED.check_below(&ceilings, true, "acme", "nightly"), Ok(()), "64MiB by default");
        assert_eq!(Limits::SCHEDULED.of_run(true, &ceilings).get(Limit::MemoryBytes), Some(32 << 20), "and has less");
        let refused = asked.with(Limit::CpuMs, 2000).check_below(&ceilings, true, "acme", "nightly").unwrap_err();
        let why = "job `nightly`: limits.cpu `2s` is not valid: the most that tenant `acme` may have is 500ms";
        assert_eq!(refused.to_string(), why);
    }

    #[test]
    fn what_is_out_of_bounds_is_refused_with_field_and_value() {
        let refusal = |limits: Limits, scheduled| limits.validate("nightly", scheduled).unwrap_err().to_string();
        let refusals = [
            refusal(Limits::LEADER, true),
            refusal(Limits { memory_bytes: 64, ..Limits::LEADER }, false),
            refusal(Limits { memory_bytes: 1 << 30, ..Limits::LEADER }, false),
            refusal(Limits { time_ms: Some(0), ..Limits::LEADER }, false),
            refusal(Limits::SCHEDULED.with(Limit::CpuMs, 90_000_000), true),
            refusal(Limits::SCHEDULED.with(Limit::Fuel, 0), true),
            refusal(Limits::SCHEDULED.with(Limit::Handles, 10_001), true),
            refusal(Limits::SCHEDULED.with(Limit::StateBytes, 1000), true),
        ];
        insta::assert_snapshot!(refusals.join("\n"));
    }
}
