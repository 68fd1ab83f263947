//! Why a job rests: who paused it, when, and a note for whoever finds it so.

use jiff::Timestamp;
use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use super::misfit;
use super::validate::{SpecError, cut};

/// The longest note, in bytes.
pub const MAX_NOTE_BYTES: usize = 200;
/// The longest name of who paused a job, in bytes.
pub const MAX_BY_BYTES: usize = 64;
/// Who paused a job where nobody said who.
const NOBODY: &str = "unknown";
/// Who paused a job whose job.toml says that it rests.
const JOB_TOML: &str = "job.toml";

/// A pause. It lasts until the job is resumed, or stored without it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pause {
    /// Who paused it, as they call themselves.
    pub by: String,
    /// When. None where the job was stored as one that rests, with no word of since when.
    #[serde(default)]
    pub at: Option<Timestamp>,
    /// Why, for people; may be empty.
    #[serde(default)]
    pub note: String,
}

impl Pause {
    /// What a job.toml with `paused = true` asks for.
    pub(super) fn by_job_toml() -> Self {
        Pause { by: JOB_TOML.to_owned(), at: None, note: String::new() }
    }

    /// What a mere `true` asks for: the first form of a stored pause.
    fn by_nobody() -> Self {
        Pause { by: NOBODY.to_owned(), at: None, note: String::new() }
    }

    /// Whether it says only that the job rests. A job that rests already then keeps the pause that it has.
    pub(super) fn is_bare(&self) -> bool {
        self.at.is_none() && self.note.is_empty()
    }

    /// What must hold of the pause of `job` (its name).
    ///
    /// # Errors
    /// The first field that is too long or has control characters, with its value.
    pub(super) fn validate(&self, job: &str) -> Result<(), SpecError> {
        for (field, value, limit) in [("pause.by", &self.by, MAX_BY_BYTES), ("pause.note", &self.note, MAX_NOTE_BYTES)]
        {
            let refuse = |reason: String| Err(SpecError::invalid(job, field, value, reason));
            if value.len() > limit {
                return refuse(format!("it has {} bytes, more than the limit of {limit}", value.len()));
            }
            if value.contains(char::is_control) {
                return refuse("it has a control character".to_owned());
            }
        }
        if self.by.is_empty() {
            return Err(SpecError::invalid(job, "pause.by", "", "it must say who"));
        }
        Ok(())
    }
}

/// Who pauses a job, and why: what the API is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PauseOrder {
    /// Who.
    #[serde(default = "nobody")]
    pub by: String,
    /// Why.
    #[serde(default)]
    pub note: String,
}

fn nobody() -> String {
    NOBODY.to_owned()
}

impl Default for PauseOrder {
    fn default() -> Self {
        PauseOrder { by: nobody(), note: String::new() }
    }
}

impl PauseOrder {
    /// Reads an order for `job` (its name) from the API's JSON; no bytes are one by nobody.
    ///
    /// # Errors
    /// What is wrong, with its field and value.
    pub fn from_json(job: &str, bytes: &[u8]) -> Result<Self, SpecError> {
        if bytes.is_empty() {
            return Ok(PauseOrder::default());
        }
        let value: Value = serde_json::from_slice(bytes).map_err(SpecError::json)?;
        misfit::read(&value).map_err(|misfit| SpecError::misfit_of(job, misfit))
    }

    /// The pause of `job` (its name) from `now` on.
    ///
    /// # Errors
    /// Where who or why can't be stored.
    pub fn at(self, now: Timestamp, job: &str) -> Result<Pause, SpecError> {
        let pause = Pause { by: self.by, at: Some(now), note: self.note };
        pause.validate(job)?;
        Ok(pause)
    }
}

// ---- as it is stored: `false`, or a record. `true` was the first form. ----

pub(super) fn serialize<S: Serializer>(pause: &Option<Box<Pause>>, serializer: S) -> Result<S::Ok, S::Error> {
    match pause {
        None => false.serialize(serializer),
        Some(pause) => pause.serialize(serializer),
    }
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Box<Pause>>, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Null | Value::Bool(false) => Ok(None),
        Value::Bool(true) => Ok(Some(Box::new(Pause::by_nobody()))),
        record @ Value::Object(_) => Pause::deserialize(record)
            .map(|pause| Some(Box::new(pause)))
            .map_err(|error| D::Error::custom(format!("field `paused`: {error}"))),
        other @ (Value::Number(_) | Value::String(_) | Value::Array(_)) => {
            let other = cut(&other.to_string());
            Err(D::Error::custom(format!("field `paused` must be true, false, or say who and why, not `{other}`")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Stored {
        #[serde(default, with = "super")]
        paused: Option<Box<Pause>>,
    }

    fn read(json: &str) -> Result<Option<Box<Pause>>, String> {
        serde_json::from_str::<Stored>(json).map(|stored| stored.paused).map_err(|error| error.to_string())
    }

    #[test]
    fn a_pause_of_the_first_form_is_still_read() {
        assert_eq!(read("{}"), Ok(None));
        assert_eq!(read(r#"{"paused": false}"#), Ok(None));
        assert_eq!(read(r#"{"paused": true}"#), Ok(Some(Box::new(Pause::by_nobody()))));
    }

    #[test]
    fn a_pause_comes_back_as_it_was_stored() {
        let now = "2026-01-01T00:00:00.5Z".parse().unwrap();
        let pause = PauseOrder { by: "ada".to_owned(), note: "the table moves".to_owned() }.at(now, "nightly").unwrap();
        for paused in [None, Some(Box::new(pause))] {
            let json = serde_json::to_string(&Stored { paused: paused.clone() }).unwrap();
            assert_eq!(read(&json), Ok(paused), "{json}");
        }
        assert_eq!(serde_json::to_string(&Stored { paused: None }).unwrap(), r#"{"paused":false}"#);
    }

    #[test]
    fn what_is_no_pause_is_refused_with_the_field() {
        for json in [r#"{"paused": "yes"}"#, r#"{"paused": {"note": "x"}}"#, r#"{"paused": {"by": "a", "colour": 1}}"#]
        {
            assert!(read(json).is_err_and(|error| error.contains("field `paused`")), "{json}");
        }
    }

    #[test]
    fn who_and_why_are_bounded_and_plain() {
        let refused = |by: &str, note: &str| {
            let order = PauseOrder { by: by.to_owned(), note: note.to_owned() };
            order.at(Timestamp::UNIX_EPOCH, "nightly").map(drop).map_err(|error| error.to_string())
        };
        assert_eq!(refused(&"b".repeat(MAX_BY_BYTES), &"n".repeat(MAX_NOTE_BYTES)), Ok(()));
        let errors = [
            refused("", ""),
            refused(&"b".repeat(MAX_BY_BYTES + 1), ""),
            refused("ada\n", ""),
            refused("ada", &"ü".repeat(MAX_NOTE_BYTES / 2 + 1)),
            refused("ada", "a\u{1b}[2Jb"),
        ];
        let errors: Vec<String> = errors.into_iter().map(Result::unwrap_err).collect();
        insta::assert_snapshot!(errors.join("\n"));
    }
}
