//! Which value of a JSON document it is that can't be read: serde alone doesn't say, where structures are flattened into one.

use std::marker::PhantomData;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// How deep values are looked into.
const MAX_DEPTH: usize = 4;
/// How often a value is read to find the place: each time without another part of it, or with another in its place. A bad document
/// costs no more than so many good ones.
const MAX_READS: usize = 256;

/// Reads a value, or gives the place and the value of what can't be read, where that is one of them, and what serde says.
///
/// # Errors
/// [`Misfit`].
pub(super) fn read<T: DeserializeOwned>(value: &Value) -> Result<T, Misfit> {
    T::deserialize(value).map_err(|error| {
        let reason = error.to_string();
        let found = Trial::<T> { value, reads_left: MAX_READS, read: PhantomData }.blame(&reason);
        Misfit { found, reason }
    })
}

/// A value that can't be read.
pub(super) struct Misfit {
    /// Its place, such as `retry.count`, and itself. None where a field is missing, or none alone is to blame.
    pub(super) found: Option<(String, Value)>,
    /// What serde says.
    pub(super) reason: String,
}

/// A document that can't be read as a `T`.
struct Trial<'a, T> {
    value: &'a Value,
    reads_left: usize,
    read: PhantomData<T>,
}

impl<T: DeserializeOwned> Trial<'_, T> {
    /// The innermost value without which there is nothing to say, or something else, other than that it is missing.
    fn blame(mut self, reason: &str) -> Option<(String, Value)> {
        let mut places = Vec::new();
        inner(self.value, "", &mut places);
        if places.len() > self.reads_left {
            return None;
        }
        let mut required = Vec::new();
        for place in &places {
            let mut without = self.value.clone();
            take(&mut without, place);
            match self.read(&without)? {
                Err(said) if said == reason => {}
                Err(said) if said.contains("missing field") => required.push(place),
                Ok(()) | Err(_) => return self.named(place),
            }
        }
        for place in required {
            if self.is_read_otherwise(place)? {
                return self.named(place);
            }
        }
        None
    }

    /// A field that can't be left out is to blame where all is well with another value in its place.
    fn is_read_otherwise(&mut self, place: &str) -> Option<bool> {
        let digest = format!("sha256:{}", "0".repeat(64));
        let stand_ins = [json!(1), json!("a"), json!(digest), json!("leader"), json!(true), json!([]), json!({})];
        for stand_in in stand_ins {
            let mut other = self.value.clone();
            if let Some(there) = other.pointer_mut(place) {
                *there = stand_in;
            }
            if self.read(&other)?.is_ok() {
                return Some(true);
            }
        }
        Some(false)
    }

    /// Says what serde says of another document; None once that was asked too often.
    fn read(&mut self, other: &Value) -> Option<Result<(), String>> {
        self.reads_left = self.reads_left.checked_sub(1)?;
        Some(T::deserialize(other).map(drop).map_err(|error| error.to_string()))
    }

    fn named(&self, place: &str) -> Option<(String, Value)> {
        let name = place.split('/').skip(1).map(unescape).collect::<Vec<_>>().join(".");
        Some((name, self.value.pointer(place)?.clone()))
    }
}

/// The places of all values below one, as JSON pointers, the innermost first.
fn inner(value: &Value, at: &str, places: &mut Vec<String>) {
    let below: Vec<(String, &Value)> = match value {
        Value::Object(fields) => fields.iter().map(|(key, below)| (escape(key), below)).collect(),
        Value::Array(items) => items.iter().enumerate().map(|(at, below)| (at.to_string(), below)).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    };
    for (key, below) in below {
        let place = format!("{at}/{key}");
        if at.matches('/').count() + 1 < MAX_DEPTH {
            inner(below, &place, places);
        }
        places.push(place);
    }
}

fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

fn unescape(key: &str) -> String {
    key.replace("~1", "/").replace("~0", "~")
}

fn take(value: &mut Value, place: &str) {
    let Some((parent, key)) = place.rsplit_once('/') else { return };
    match value.pointer_mut(parent) {
        Some(Value::Object(fields)) => drop(fields.remove(&unescape(key))),
        Some(Value::Array(items)) => {
            drop(key.parse().ok().filter(|at| *at < items.len()).map(|at: usize| items.remove(at)))
        }
        Some(_) | None => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::registry::{Digest, JobSpec, PauseOrder};

    #[test]
    fn what_is_no_job_is_refused_with_field_and_value_however_deep() {
        let job = json!({
            "tenant": "acme",
            "name": "report",
            "component": Digest::of(b"").to_string(),
            "trigger": "schedule",
            "schedule": "@every 1h",
            "limits": {"memory_bytes": 1_048_576, "time_ms": 1000},
        });
        let refused = |place: &str, value: serde_json::Value| {
            let mut job = job.clone();
            let (parent, key) = place.rsplit_once('/').unwrap();
            job.pointer_mut(parent).unwrap()[key] = value;
            JobSpec::from_json(job.to_string().as_bytes()).map(drop).unwrap_err().to_string()
        };
        let all = [
            refused("/overlap", json!("forbid")),
            refused("/max_queued", json!("many")),
            refused("/retry", json!({"count": "often"})),
            refused("/limits/time_ms", json!("long")),
            refused("/component", json!(5)),
            refused("/trigger", json!("cron")),
            refused("/schedule", json!({"cron": "* * * * *"})),
            refused("/schedule", json!(["@hourly", 5])),
            refused("/config", json!({"a/b~c": 5})),
            refused("/http", json!({"allow": "https://example.com"})),
        ];
        insta::assert_snapshot!(all.join("\n"));
        // One field too many of the wrong kind among hundreds: it is not looked for without end.
        let many: serde_json::Map<String, serde_json::Value> =
            (0..300).map(|n| (format!("key-{n}"), json!(n))).collect();
        let refused = refused("/config", json!(many));
        assert_eq!(refused, "not a job: invalid type: integer `0`, expected a string");
        let pause = PauseOrder::from_json("report", b"{\"by\": 3}").unwrap_err();
        assert_eq!(
            pause.to_string(),
            "job `report`: by `3` is not valid: invalid type: integer `3`, expected a string"
        );
    }

    #[test]
    fn s10_errors_quote_fields_values_and_reasons_harmlessly_and_in_part() {
        let key = format!("\u{1b}]0;x\u{7}\u{202e}{}", "k".repeat(100));
        let long = key.repeat(1000);
        let job = |field: &str, value: serde_json::Value| {
            let mut job = json!({
                "tenant": "acme", "name": "report", "component": Digest::of(b"").to_string(), "trigger": "leader",
            });
            job[field] = value;
            JobSpec::from_json(job.to_string().as_bytes()).unwrap_err().to_string()
        };
        for refused in [
            job("config", json!({ &key: 5 })),
            job("config", json!({ &key: &long })),
            job("config", json!({ &long: "" })),
            job("secrets", json!({ &key: "token" })),
            job("http", json!({ "allow": [&long] })),
            job("on_return", json!(&long)),
            job("election", json!(&long)),
            job(&key, json!(true)),
            job("name", json!(&long)),
        ] {
            assert!(refused.len() < 1000 && !refused.contains(crate::text::is_harmful), "{refused:?}");
        }
    }
}
