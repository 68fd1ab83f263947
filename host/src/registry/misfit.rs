//! Which value of a JSON document it is that can't be read: serde alone doesn't say, where structures are flattened into one.

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// How deep values are looked into, and how many there may be: each is tried out.
const MAX_DEPTH: usize = 4;
const MAX_PLACES: usize = 256;

/// Reads a value, or gives the place and the value of what can't be read, where that is one of them, and what serde says.
///
/// # Errors
/// [`Misfit`].
pub(super) fn read<T: DeserializeOwned>(value: &Value) -> Result<T, Misfit> {
    T::deserialize(value).map_err(|error| {
        let reason = error.to_string();
        let found = blame::<T>(value, &reason);
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

/// The innermost value without which there is nothing to say, or something else, other than that it is missing.
fn blame<T: DeserializeOwned>(value: &Value, reason: &str) -> Option<(String, Value)> {
    let mut places = Vec::new();
    inner(value, "", &mut places);
    if places.len() > MAX_PLACES {
        return None;
    }
    let is_to_blame = |place: &&String| {
        let mut without = value.clone();
        take(&mut without, place);
        T::deserialize(&without).map_or_else(|error| is_another(&error.to_string(), reason), |_| true)
    };
    let place =
        places.iter().find(is_to_blame).or_else(|| places.iter().find(|place| is_required::<T>(value, place)))?;
    let name = place.split('/').skip(1).map(unescape).collect::<Vec<_>>().join(".");
    Some((name, value.pointer(place)?.clone()))
}

fn is_another(said: &str, reason: &str) -> bool {
    said != reason && !said.contains("missing field")
}

/// A field that can't be left out is to blame where all is well with another value in its place.
fn is_required<T: DeserializeOwned>(value: &Value, place: &str) -> bool {
    let digest = format!("sha256:{}", "0".repeat(64));
    let stand_ins = [json!(1), json!("a"), json!(digest), json!("leader"), json!(true), json!([]), json!({})];
    stand_ins.into_iter().any(|stand_in| {
        let mut other = value.clone();
        if let Some(there) = other.pointer_mut(place) {
            *there = stand_in;
        }
        T::deserialize(&other).is_ok()
    })
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
