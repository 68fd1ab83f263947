//! Reads a job.toml, the file a tenant writes. Flat: what the job is, then the tables `[limits]`,
//! `[http]`, `[config]` and `[secrets]`.

mod limits;
mod policies;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::duration;
use super::http::{OriginError, TokenHeaderError};
use super::term_rules::{GRACE_BOUNDS, LOCK_DELAY_BOUNDS, MAX_TERM_BOUNDS, PREFER_AFTER_BOUNDS};
use super::validate::{self, SpecError};
use super::{
    Digest, Fold, Gap, HttpGrants, JobId, JobSpec, Limits, Names, OnReturn, Pause, ScheduleSpec, TermRules, Trigger,
};

/// A valid job.toml.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobFile {
    /// Its name.
    pub id: JobId,
    /// Where the component's bytes are: the path in the file, taken from the file's own folder.
    pub component: PathBuf,
    trigger: Trigger,
    limits: Limits,
    http: HttpGrants,
    config: BTreeMap<String, String>,
    secrets: BTreeMap<String, String>,
    paused: bool,
}

impl JobFile {
    /// Reads the text of a job.toml that stands in `folder`.
    ///
    /// # Errors
    /// The first thing that is wrong, with its field and value.
    pub fn parse(text: &str, folder: &Path) -> Result<Self, SpecError> {
        let table = text.parse::<Table>().map_err(|error| SpecError::Toml { detail: in_one_line(&error, text) })?;
        let job = table.get("name").and_then(Value::as_str).unwrap_or("?").to_owned();
        let mut fields = Fields { job: &job, prefix: "", table };

        let tenant = fields.required_text("tenant", "write tenant = \"acme\"")?;
        let name = fields.required_text("name", "write name = \"nightly\"")?;
        let id = JobId::new(&tenant, &name)?;
        let component =
            fields.required_text("component", "write the path of the .wasm file, from this file's folder")?;
        let trigger = trigger(&mut fields)?;
        let paused = fields.flag("paused")?.unwrap_or(false);
        let limits = limits::limits(&mut fields, &trigger)?;
        let http = http(&mut fields, &trigger)?;
        let config = texts_by_key(&mut fields, "config", "config.")?;
        let secrets = texts_by_key(&mut fields, "secrets", "secrets.")?;
        fields.finish(trigger.name())?;

        validate::id(&id)?;
        validate::schedule(&id, &trigger)?;
        validate::job(&id, &trigger, &limits, &config)?;
        validate::secrets(&id.name, &secrets, &config)?;
        validate::http(&id.name, &http)?;
        validate::token_header(&id.name, &http)?;
        Ok(JobFile { id, component: folder.join(component), trigger, limits, http, config, secrets, paused })
    }

    /// The job, once the bytes of its component are known.
    pub fn into_spec(self, component: Digest) -> JobSpec {
        let JobFile { id, component: _, trigger, limits, http, config, secrets, paused } = self;
        let paused = paused.then(|| Box::new(Pause::by_job_toml()));
        JobSpec { id, component, trigger, limits, config, secrets, http, paused }
    }
}

fn trigger(fields: &mut Fields<'_>) -> Result<Trigger, SpecError> {
    let trigger = fields.required_text("trigger", "write trigger = \"leader\" or trigger = \"schedule\"")?;
    match trigger.as_str() {
        "leader" => {
            let on_return = match fields.text("on_return")?.as_deref() {
                None | Some("requeue") => OnReturn::Requeue,
                Some("stop") => OnReturn::Stop,
                Some(other) => return Err(fields.invalid("on_return", other, "it must be `requeue` or `stop`")),
            };
            let names = match fields.text("names")?.as_deref() {
                None | Some("kazoo") => Names::Kazoo,
                Some("curator") => Names::Curator,
                Some(other) => return Err(fields.invalid("names", other, "it must be `kazoo` or `curator`")),
            };
            let election = fields.text("election")?;
            Ok(Trigger::Leader { election, names, on_return, rules: term_rules(fields)? })
        }
        "schedule" => Ok(Trigger::Schedule { times: schedule(fields)?, policies: policies::policies(fields)?.into() }),
        other => Err(fields.invalid("trigger", other, "it must be `leader` or `schedule`")),
    }
}

fn schedule(fields: &mut Fields<'_>) -> Result<ScheduleSpec, SpecError> {
    let (schedule, at) = (fields.one_or_more_texts("schedule")?, fields.one_or_more_texts("at")?);
    if schedule.is_empty() && at.is_empty() {
        let hint = "write schedule = \"*/5 * * * *\" or \"@every 10s\", or at = \"2026-12-01T09:00:00Z\"";
        return Err(SpecError::Missing { subject: validate::subject(fields.job), field: "schedule", hint });
    }
    let gap = match fields.text("gap")?.as_deref() {
        None | Some("shift") => Gap::Shift,
        Some("skip") => Gap::Skip,
        Some(other) => return Err(fields.invalid("gap", other, "it must be `shift` or `skip`")),
    };
    let fold = match fields.text("fold")?.as_deref() {
        None | Some("first") => Fold::First,
        Some("last") => Fold::Last,
        Some("both") => Fold::Both,
        Some(other) => return Err(fields.invalid("fold", other, "it must be `first`, `last` or `both`")),
    };
    let except = fields.one_or_more_texts("except")?;
    let time_zone = fields.text("time_zone")?.unwrap_or_else(|| ScheduleSpec::default().time_zone);
    let jitter_ms = fields.duration_ms("jitter", "it must be from 0s to 24h")?.unwrap_or_default();
    Ok(ScheduleSpec { schedule, at, except, time_zone, gap, fold, jitter_ms })
}

fn term_rules(fields: &mut Fields<'_>) -> Result<TermRules, SpecError> {
    Ok(TermRules {
        lock_delay_ms: fields.duration_ms("lock_delay", LOCK_DELAY_BOUNDS)?.unwrap_or_default(),
        max_term_ms: fields.duration_ms("max_term", MAX_TERM_BOUNDS)?,
        grace_ms: fields.duration_ms("grace", GRACE_BOUNDS)?,
        prefer: fields.texts("prefer")?,
        prefer_after_ms: fields.duration_ms("prefer_after", PREFER_AFTER_BOUNDS)?,
    })
}

fn http(fields: &mut Fields<'_>, trigger: &Trigger) -> Result<HttpGrants, SpecError> {
    let mut http = HttpGrants::default();
    let Some(mut table) = fields.table("http", "http.")? else { return Ok(http) };
    for origin in table.texts("allow")? {
        http.allow.push(origin.parse().map_err(|error: OriginError| table.invalid("allow", &origin, &error.reason))?);
    }
    if let Some(name) = table.text("token_header")? {
        let refuse = |error: TokenHeaderError| table.invalid("token_header", &name, error.reason);
        http.token_header = name.parse().map_err(refuse)?;
    }
    table.finish(trigger.name())?;
    Ok(http)
}

/// Where and what: `line 3, column 10: string values must be quoted`.
fn in_one_line(error: &toml::de::Error, text: &str) -> String {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    format!("line {line}, column {column}: {}", validate::cut_reason(&error.message().replace('\n', ", ")))
}

/// `30s`, `500ms`, `1h30m`, `1d`; `bounds` says what is wrong with less than none.
fn time_ms(text: &str, bounds: &'static str) -> Result<u64, &'static str> {
    let duration = duration::parse(text).map_err(|_| "it must be a duration like `30s` or `5m`")?;
    u64::try_from(duration.as_millis()).map_err(|_| bounds)
}

fn texts_by_key(
    fields: &mut Fields<'_>,
    name: &str,
    prefix: &'static str,
) -> Result<BTreeMap<String, String>, SpecError> {
    let Some(mut table) = fields.table(name, prefix)? else { return Ok(BTreeMap::new()) };
    let keys: Vec<String> = table.table.keys().cloned().collect();
    keys.into_iter().map(|key| Ok((key.clone(), table.text(&key)?.unwrap_or_default()))).collect()
}

/// A table whose keys are taken out one by one; what is left at the end is not known.
struct Fields<'a> {
    job: &'a str,
    /// Put before a key in errors.
    prefix: &'static str,
    table: Table,
}

impl<'a> Fields<'a> {
    fn text(&mut self, key: &str) -> Result<Option<String>, SpecError> {
        match self.table.remove(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(self.wrong_type(key, "a string", &other)),
        }
    }

    /// A list of strings; empty where there is none.
    fn texts(&mut self, key: &str) -> Result<Vec<String>, SpecError> {
        const WANTED: &str = "a list of strings";
        let list = match self.table.remove(key) {
            None => return Ok(Vec::new()),
            Some(Value::Array(list)) => list,
            Some(other) => return Err(self.wrong_type(key, WANTED, &other)),
        };
        let text = |value| match value {
            Value::String(text) => Ok(text),
            other => Err(self.wrong_type(key, WANTED, &other)),
        };
        list.into_iter().map(text).collect()
    }

    /// A string, or a list of them; empty where there is none.
    fn one_or_more_texts(&mut self, key: &str) -> Result<Vec<String>, SpecError> {
        match self.table.get(key) {
            Some(Value::Array(_)) | None => self.texts(key),
            Some(_) => Ok(self.text(key)?.into_iter().collect()),
        }
    }

    fn required_text(&mut self, key: &'static str, hint: &'static str) -> Result<String, SpecError> {
        self.text(key)?.ok_or_else(|| SpecError::Missing { subject: validate::subject(self.job), field: key, hint })
    }

    fn duration_ms(&mut self, key: &str, bounds: &'static str) -> Result<Option<u64>, SpecError> {
        let Some(text) = self.text(key)? else { return Ok(None) };
        time_ms(&text, bounds).map(Some).map_err(|reason| self.invalid(key, &text, reason))
    }

    fn flag(&mut self, key: &str) -> Result<Option<bool>, SpecError> {
        match self.table.remove(key) {
            None => Ok(None),
            Some(Value::Boolean(flag)) => Ok(Some(flag)),
            Some(other) => Err(self.wrong_type(key, "true or false", &other)),
        }
    }

    fn table(&mut self, key: &str, prefix: &'static str) -> Result<Option<Fields<'a>>, SpecError> {
        match self.table.remove(key) {
            None => Ok(None),
            Some(Value::Table(table)) => Ok(Some(Fields { job: self.job, prefix, table })),
            Some(other) => Err(self.wrong_type(key, "a table", &other)),
        }
    }

    fn finish(self, trigger: &'static str) -> Result<(), SpecError> {
        match self.table.keys().next() {
            None => Ok(()),
            Some(key) => Err(SpecError::unknown(self.job, format!("{}{key}", self.prefix), trigger)),
        }
    }

    fn invalid(&self, key: &str, value: &str, reason: &str) -> SpecError {
        SpecError::invalid(self.job, format!("{}{key}", self.prefix), value, reason)
    }

    fn wrong_type(&self, key: &str, wanted: &'static str, found: &Value) -> SpecError {
        SpecError::WrongType {
            subject: validate::subject(self.job),
            field: validate::cut(&format!("{}{key}", self.prefix)),
            wanted,
            found: found.type_str(),
            value: validate::cut(&found.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::KeptPolicies;

    const LEADER: &str = "tenant = 'acme'\nname = 'publisher'\ncomponent = 'p.wasm'\ntrigger = 'leader'\n";
    const SCHEDULE: &str =
        "tenant = 'acme'\nname = 'nightly'\ncomponent = 'n.wasm'\ntrigger = 'schedule'\nschedule = '0 3 * * *'\n";

    fn parse(text: &str) -> Result<JobSpec, SpecError> {
        let file = JobFile::parse(text, Path::new("jobs"))?;
        Ok(file.into_spec(Digest::of(b"component")))
    }

    #[test]
    fn the_shortest_files_get_the_defaults() {
        let leader = parse(LEADER).unwrap();
        assert_eq!(
            leader.trigger,
            Trigger::Leader {
                election: None,
                names: Names::Kazoo,
                on_return: OnReturn::Requeue,
                rules: TermRules::default()
            }
        );
        assert_eq!(leader.limits, Limits::LEADER);
        let scheduled = parse(SCHEDULE).unwrap();
        assert_eq!(
            scheduled.trigger,
            Trigger::Schedule { times: ScheduleSpec::new("0 3 * * *"), policies: KeptPolicies::default() }
        );
        assert_eq!(scheduled.limits, Limits::SCHEDULED);
        assert_eq!(scheduled.paused, None);
    }

    #[test]
    fn a_full_file_is_read_whole() {
        let spec = parse(&format!(
            "{LEADER}election = '/electionpath'\nnames = 'curator'\non_return = 'stop'\npaused = true\n\
             lock_delay = '15s'\nmax_term = '6h'\ngrace = '500ms'\nprefer = ['b', 'a-1']\nprefer_after = '2m'\n\
             [limits]\nmemory = '32MiB'\ntime = '1h30m'\n[config]\ngreeting = 'hello'\n\
             [http]\nallow = ['https://api.example.com', 'http://127.0.0.1:8080']\ntoken_header = 'X-Fence'\n"
        ))
        .unwrap();
        let election = Some("/electionpath".to_owned());
        let rules = TermRules {
            lock_delay_ms: 15_000,
            max_term_ms: Some(21_600_000),
            grace_ms: Some(500),
            prefer: ["b", "a-1"].map(str::to_owned).to_vec(),
            prefer_after_ms: Some(120_000),
        };
        assert_eq!(spec.trigger, Trigger::Leader { election, names: Names::Curator, on_return: OnReturn::Stop, rules });
        assert_eq!(spec.limits, Limits { memory_bytes: 32 << 20, time_ms: Some(5_400_000), ..Limits::LEADER });
        assert_eq!(spec.config["greeting"], "hello");
        let allowed: Vec<String> = spec.http.allow.iter().map(ToString::to_string).collect();
        assert_eq!(allowed, ["https://api.example.com:443", "http://127.0.0.1:8080"]);
        assert_eq!(spec.http.token_header.as_str(), "x-fence");
        assert_eq!(spec.paused, Some(Box::new(Pause::by_job_toml())));
    }

    #[test]
    fn a_full_schedule_is_read_whole() {
        let spec = parse(&format!(
            "{}schedule = ['H 3 * * *', '@every 1h']\nat = '2026-12-01T09:00:00'\nexcept = ['2026-12-24..2026-12-26']\n\
             time_zone = 'Europe/Berlin'\ngap = 'skip'\nfold = 'both'\njitter = '5m'\n",
            SCHEDULE.replace("schedule = '0 3 * * *'\n", "")
        ))
        .unwrap();
        let times = ScheduleSpec {
            schedule: vec!["H 3 * * *".to_owned(), "@every 1h".to_owned()],
            at: vec!["2026-12-01T09:00:00".to_owned()],
            except: vec!["2026-12-24..2026-12-26".to_owned()],
            time_zone: "Europe/Berlin".to_owned(),
            gap: Gap::Skip,
            fold: Fold::Both,
            jitter_ms: 300_000,
        };
        assert_eq!(spec.trigger, Trigger::Schedule { times, policies: KeptPolicies::default() });
        let json = serde_json::to_vec(&spec).unwrap();
        assert_eq!(JobSpec::from_json(&json).unwrap(), spec);
    }

    #[test]
    fn a_schedule_that_was_stored_before_there_could_be_several_is_read() {
        let mut stored = serde_json::to_value(parse(SCHEDULE).unwrap()).unwrap();
        for newer in ["at", "except", "gap", "fold", "jitter_ms"] {
            assert!(stored.as_object_mut().unwrap().remove(newer).is_some(), "{newer}");
        }
        assert_eq!(stored["schedule"], "0 3 * * *", "and one alone can be read by a host of before");
        assert_eq!(JobSpec::from_json(stored.to_string().as_bytes()).unwrap(), parse(SCHEDULE).unwrap());
    }

    #[test]
    fn the_component_is_found_from_the_files_own_folder() {
        assert_eq!(JobFile::parse(LEADER, Path::new("jobs")).unwrap().component, Path::new("jobs/p.wasm"));
    }

    #[test]
    fn a_spec_survives_json_and_json_is_held_to_the_same_rules() {
        let granted = format!("{LEADER}[http]\nallow = ['https://api.example.com']");
        let told = format!("{LEADER}[secrets]\ntoken = 'payments'");
        for text in [LEADER, SCHEDULE, &granted, &told] {
            let spec = parse(text).unwrap();
            let json = serde_json::to_vec(&spec).unwrap();
            assert_eq!(JobSpec::from_json(&json).unwrap(), spec);
        }
        let mut none = serde_json::to_value(parse(LEADER).unwrap()).unwrap();
        assert_eq!(none.get("secrets"), None, "a host of before can read it");
        none["secrets"] = serde_json::json!({});
        assert_eq!(JobSpec::from_json(none.to_string().as_bytes()).unwrap(), parse(LEADER).unwrap());
        let mut value = serde_json::to_value(parse(LEADER).unwrap()).unwrap();
        value["schedule"] = "0 3 * * *".into();
        value["component"] = "sha256:00".into();
        let no_digest = JobSpec::from_json(value.to_string().as_bytes()).unwrap_err();
        value["component"] = Digest::of(b"").to_string().into();
        let unknown = JobSpec::from_json(value.to_string().as_bytes()).unwrap_err();
        value["lock_delay_ms"] = 600_001.into();
        let lock_delay = JobSpec::from_json(value.to_string().as_bytes()).unwrap_err();
        value["name"] = "a/b".into();
        let name = JobSpec::from_json(value.to_string().as_bytes()).unwrap_err();
        insta::assert_snapshot!(format!("{no_digest}\n{unknown}\n{lock_delay}\n{name}"));
    }

    #[test]
    fn every_refusal_names_the_field_and_the_value() {
        let long = "n".repeat(300);
        let files = [
            "tenant = 'acme'".to_owned(),
            "tenant = ".to_owned(),
            LEADER.replace("acme", "Acme"),
            LEADER.replace("publisher", "a/b"),
            LEADER.replace("publisher", "-a"),
            LEADER.replace("publisher", ""),
            LEADER.replace("publisher", &long),
            LEADER.replace("'leader'", "'follower'"),
            LEADER.replace("'p.wasm'", "7"),
            format!("{LEADER}schedule = '* * * * *'"),
            format!("{LEADER}colour = 'red'"),
            format!("{LEADER}paused = 'yes'"),
            format!("{LEADER}on_return = 'retry'"),
            format!("{LEADER}lock_delay = 3"),
            format!("{LEADER}lock_delay = 'soon'"),
            format!("{LEADER}lock_delay = '-1s'"),
            format!("{LEADER}lock_delay = '11m'"),
            format!("{LEADER}max_term = '1s'"),
            format!("{LEADER}max_term = '0s'"),
            format!("{LEADER}max_term = '721h'"),
            format!("{LEADER}grace = '61m'"),
            format!("{LEADER}lock_delay = '10s'\nmax_term = '10s'"),
            format!("{LEADER}prefer = 'a'"),
            format!("{LEADER}prefer = ['a', 1]"),
            format!("{LEADER}prefer = ['a', 'Host B']"),
            format!("{LEADER}prefer = ['a', 'b', 'a']"),
            format!("{LEADER}prefer = [{}]", "'a', ".repeat(17)),
            format!("{LEADER}prefer = ['a']\nprefer_after = '999ms'"),
            format!("{LEADER}prefer = ['a']\nprefer_after = '25h'"),
            format!("{LEADER}prefer = []\nprefer_after = '5s'"),
            format!("{LEADER}election = 'electionpath'"),
            format!("{LEADER}election = '/'"),
            format!("{LEADER}names = 'zookeeper'"),
            format!("{LEADER}election = '/a//b'"),
            format!("{LEADER}election = '/a/'"),
            format!("{LEADER}election = '/a/../b'"),
            format!("{LEADER}election = '/zookeeper/quota'"),
            format!("{LEADER}limits = 3"),
            format!("{LEADER}[limits]\nmemory = 64"),
            format!("{LEADER}[limits]\nmemory = '64MB'"),
            format!("{LEADER}[limits]\nmemory = '512KiB'"),
            format!("{LEADER}[limits]\nmemory = '1GiB'"),
            format!("{LEADER}[limits]\nmemory = '99999999999999GiB'"),
            format!("{LEADER}[limits]\ntime = 'soon'"),
            format!("{LEADER}[limits]\ntime = '0s'"),
            format!("{LEADER}[limits]\ntime = '-1s'"),
            format!("{LEADER}[limits]\ntime = '25h'"),
            format!("{LEADER}[limits]\ncpu = '1'"),
            format!("{LEADER}http = 'all'"),
            format!("{LEADER}[http]\nallow = 'http://a'"),
            format!("{LEADER}[http]\nallow = ['http://a', 3]"),
            format!("{LEADER}[http]\ndeny = ['http://a']"),
            format!("{LEADER}[http]\nallow = ['a.example']"),
            format!("{LEADER}[http]\nallow = ['ftp://a.example']"),
            format!("{LEADER}[http]\nallow = ['http://']"),
            format!("{LEADER}[http]\nallow = ['http://:80']"),
            format!("{LEADER}[http]\nallow = ['http://me:secret@a.example']"),
            format!("{LEADER}[http]\nallow = ['http://a.example/']"),
            format!("{LEADER}[http]\nallow = ['http://a.example?x']"),
            format!("{LEADER}[http]\nallow = ['http://*.example']"),
            format!("{LEADER}[http]\nallow = ['http://a..example']"),
            format!("{LEADER}[http]\nallow = ['http://::1']"),
            format!("{LEADER}[http]\nallow = ['http://[::g]']"),
            format!("{LEADER}[http]\nallow = ['http://a.example:0']"),
            format!("{LEADER}[http]\nallow = ['http://a.example:65536']"),
            format!("{LEADER}[http]\nallow = ['http://a.example:']"),
            format!("{LEADER}[http]\nallow = [{}]", "'http://a.example', ".repeat(33)),
            format!("{LEADER}[http]\ntoken_header = ''"),
            format!("{LEADER}[http]\ntoken_header = 'my token'"),
            format!("{LEADER}[http]\ntoken_header = 'Host'"),
            format!("{LEADER}[http]\ntoken_header = 'transfer-encoding'"),
            format!("{LEADER}[config]\nretries = 3"),
            format!("{LEADER}[secrets]\ntoken = 3"),
            format!("{LEADER}[secrets]\ntoken = '../payments'"),
            format!("{LEADER}[config]\ntoken = ''\n[secrets]\ntoken = 'payments'"),
            format!("{LEADER}[config]\nbig = '{}'", "x".repeat(9000)),
            SCHEDULE.replace("schedule = '0 3 * * *'", ""),
            SCHEDULE.replace("0 3", "61 3"),
            SCHEDULE.replace("0 3 * * *", "0 0 31 2 *"),
            format!("{SCHEDULE}time_zone = 'Mars/Olympus'"),
            SCHEDULE.replace("'0 3 * * *'", "[]"),
            SCHEDULE.replace("'0 3 * * *'", "['0 3 * * *', 3]"),
            SCHEDULE.replace("'0 3 * * *'", "7"),
            SCHEDULE.replace("'0 3 * * *'", "['0 3 * * *', '0 0 31 2 *']"),
            format!("{SCHEDULE}at = 2026-12-01T09:00:00"),
            format!("{SCHEDULE}at = 'tomorrow'"),
            format!("{SCHEDULE}except = ['* 3 * * *']"),
            format!("{SCHEDULE}gap = 'jump'"),
            format!("{SCHEDULE}fold = 'none'"),
            format!("{SCHEDULE}jitter = '-1s'"),
            format!("{SCHEDULE}jitter = '25h'"),
            format!("{SCHEDULE}election = '/e'"),
            format!("{SCHEDULE}lock_delay = '1s'"),
            format!("{SCHEDULE}prefer = ['a']"),
        ];
        let refusals: Vec<String> = files.iter().map(|text| parse(text).unwrap_err().to_string()).collect();
        insta::assert_snapshot!(refusals.join("\n"));
    }
}
