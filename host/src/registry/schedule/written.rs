//! A schedule as it is written and stored.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// When a job ticks, as its tenant says it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduleSpec {
    /// Cron, `@every` or a name like `@daily`; one or several.
    #[serde(default, serialize_with = "one_or_more", deserialize_with = "one_or_several")]
    pub schedule: Vec<String>,
    /// Single times, like `2026-12-01T09:00:00[Europe/Berlin]`.
    #[serde(default, serialize_with = "one_or_more", deserialize_with = "one_or_several")]
    pub at: Vec<String>,
    /// Dates, ranges of dates and cron schedules of whole hours, within which no tick comes.
    #[serde(default)]
    pub except: Vec<String>,
    /// An IANA name.
    #[serde(default = "utc")]
    pub time_zone: String,
    /// What becomes of a time that the zone's clock skips.
    #[serde(default)]
    pub gap: Gap,
    /// What becomes of a time that the zone's clock shows twice.
    #[serde(default)]
    pub fold: Fold,
    /// A tick's run begins within so many milliseconds of it, always at the same distance for the same job.
    #[serde(default)]
    pub jitter_ms: u64,
}

impl ScheduleSpec {
    /// One schedule in UTC, and the defaults.
    pub fn new(schedule: &str) -> Self {
        ScheduleSpec { schedule: vec![schedule.to_owned()], ..ScheduleSpec::default() }
    }
}

impl Default for ScheduleSpec {
    fn default() -> Self {
        ScheduleSpec {
            schedule: Vec::new(),
            at: Vec::new(),
            except: Vec::new(),
            time_zone: utc(),
            gap: Gap::default(),
            fold: Fold::default(),
            jitter_ms: 0,
        }
    }
}

/// What becomes of a time that the zone's clock skips.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gap {
    /// It comes as much later as the clock was put forward.
    #[default]
    Shift,
    /// It doesn't come that day.
    Skip,
}

/// What becomes of a time that the zone's clock shows twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fold {
    /// It comes the first time.
    #[default]
    First,
    /// It comes the second time.
    Last,
    /// It comes twice.
    Both,
}

fn utc() -> String {
    "UTC".to_owned()
}

/// One text alone stands for itself, as it did before there could be several.
fn one_or_more<S: Serializer>(texts: &Vec<String>, serializer: S) -> Result<S::Ok, S::Error> {
    match texts.as_slice() {
        [one] => one.serialize(serializer),
        others => others.serialize(serializer),
    }
}

fn one_or_several<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "a string or a list of strings")]
    enum Texts {
        One(String),
        Several(Vec<String>),
    }
    Ok(match Texts::deserialize(deserializer)? {
        Texts::One(text) => vec![text],
        Texts::Several(texts) => texts,
    })
}
