//! From the texts of a job.toml to a schedule: what they mean, and whether finding its ticks is work of bounded length.

use jiff::civil::{Date, Time};
use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp};

use super::calendar::Calendar;
use super::cron::Cron;
use super::exclusion::{Exclusions, Openings};
use super::interval::Interval;
use super::local::{Rules, Search};
use super::plan::Plan;
use super::spread::Spread;
use super::work::{PARSE_STEPS, TooMuch, Work};
use super::{Fold, Gap, LONG_AGO, MAX_TEXTS, ScheduleError, ScheduleSpec};
use super::{once, wait, zone};
use crate::registry::JobId;

/// The longest schedule, single time or exclusion, in bytes: room for a list of all minutes and of a hundred years.
const MAX_TEXT_BYTES: usize = 1000;
/// How much of a text that is too long an error shows, in bytes.
const SHOWN_BYTES: usize = 40;
/// Why a schedule is refused whose parsing takes too long.
const TOO_COMPLEX: &str = "with the job's other schedules and its `except`, finding its ticks takes too much work: give the job \
                           fewer schedules or exclusions, or split it into several jobs";
/// Why an interval is refused whose ticks may be left out for too long.
const TOO_SPARSE: &str = "`except` leaves out all of its ticks, or so many in a row that finding the next takes too much work: write cron \
                          at fixed hours instead, like `0 9 * * *`, or leave out whole days by date";

/// What one text of `schedule` stands for.
enum Entry {
    Cron(Cron),
    Interval(Interval),
}

/// A schedule that is being put together.
pub(super) struct Parser<'a> {
    spec: &'a ScheduleSpec,
    spread: Option<Spread>,
    rules: Rules,
    zone: TimeZone,
    exclusions: Exclusions,
    openings: Openings,
    work: Work,
}

impl<'a> Parser<'a> {
    /// Reads what holds for all schedules of a job: its zone and its exclusions.
    pub(super) fn new(spec: &'a ScheduleSpec, job: Option<&JobId>) -> Result<Self, ScheduleError> {
        check_sizes(spec)?;
        let zone =
            zone::named(&spec.time_zone).map_err(|reason| ScheduleError::new("time_zone", &spec.time_zone, reason))?;
        let spread = job.map(Spread::of);
        let mut exclusions = Exclusions::parse(&spec.except, spread.as_ref())
            .map_err(|(text, reason)| ScheduleError::new("except", text, reason))?;
        let mut work = Work::up_to(PARSE_STEPS);
        let openings = exclusions.classify(&mut work).map_err(|TooMuch| {
            let value = format!("{} entries", spec.except.len());
            ScheduleError::new("except", value, TOO_COMPLEX)
        })?;
        let rules = Rules { gap: spec.gap, fold: spec.fold };
        Ok(Parser { spec, spread, rules, zone, exclusions, openings, work })
    }

    /// Reads the schedules and single times, each of which must tick at some time.
    pub(super) fn parse(mut self) -> Result<Plan, ScheduleError> {
        let spec = self.spec;
        if spec.schedule.is_empty() && spec.at.is_empty() {
            return Err(ScheduleError::new("schedule", "", "there is none, and no `at`"));
        }
        let (mut calendars, mut intervals, mut once) = (Vec::new(), Vec::new(), Vec::new());
        for text in &spec.schedule {
            let refuse = |reason: String| ScheduleError::new("schedule", text, reason);
            match Entry::parse(text.trim(), self.spread.as_ref()).map_err(refuse)? {
                Entry::Cron(cron) => add(&mut calendars, self.calendar(cron).map_err(refuse)?),
                Entry::Interval(interval) => intervals.push(self.interval(interval).map_err(refuse)?),
            }
        }
        for text in &spec.at {
            once.extend(self.once(text.trim()).map_err(|reason| ScheduleError::new("at", text, reason))?);
        }
        if !intervals.is_empty() {
            self.check_length(&intervals)?;
        }
        once.sort_unstable();
        once.dedup();
        Ok(Plan {
            calendars: calendars.into(),
            intervals: intervals.into(),
            once: once.into(),
            exclusions: (!self.exclusions.is_empty()).then(|| Box::new(self.exclusions)),
            zone: self.zone,
            is_jobs_own: self.spread.is_some_and(|spread| spread.is_used()),
        })
    }

    fn calendar(&mut self, cron: Cron) -> Result<Calendar, String> {
        let too_complex = |TooMuch| TOO_COMPLEX.to_owned();
        let begin = beginning(&cron);
        let calendar = Calendar::of(cron.clone(), self.rules, &self.openings, &mut self.work).map_err(too_complex)?;
        let mut search = Search { zone: &self.zone, exclusions: &self.exclusions, work: &mut self.work };
        if search.in_calendar(&calendar, begin, Timestamp::MAX).map_err(too_complex)?.is_some() {
            return Ok(calendar);
        }
        let whole = Calendar::of(cron, self.rules, &Openings::ALL, &mut self.work).map_err(too_complex)?;
        let mut search = Search { zone: &self.zone, exclusions: &Exclusions::NONE, work: &mut self.work };
        let ticks = search.in_calendar(&whole, begin, Timestamp::MAX).map_err(too_complex)?.is_some();
        Err(never(ticks))
    }

    fn interval(&mut self, interval: Interval) -> Result<Interval, String> {
        let mut search = Search { zone: &self.zone, exclusions: &self.exclusions, work: &mut self.work };
        match search.in_intervals(&[interval], LONG_AGO, Timestamp::MAX) {
            Ok(Some(_)) => Ok(interval),
            Ok(None) => Err(never(interval.ticks_from(LONG_AGO))),
            Err(TooMuch) => Err(TOO_SPARSE.to_owned()),
        }
    }

    fn once(&mut self, text: &str) -> Result<Vec<Timestamp>, String> {
        let mut instants = once::parse(text, &self.zone, &self.spec.time_zone, self.rules)?;
        if instants.iter().all(|instant| *instant < LONG_AGO) {
            return Err("it is before 1970".to_owned());
        }
        let mut too_much = false;
        instants.retain(|instant| {
            let left_out = self.exclusions.have(self.zone.to_datetime(*instant), &mut self.work);
            too_much |= left_out.is_err();
            left_out == Ok(false)
        });
        match instants.as_slice() {
            _ if too_much => Err(TOO_COMPLEX.to_owned()),
            [] => Err(never(true)),
            [_, ..] => Ok(instants),
        }
    }

    /// Intervals and exclusions are the only ones whose searches may be long.
    fn check_length(&mut self, intervals: &[Interval]) -> Result<(), ScheduleError> {
        match wait::is_short(intervals, &self.zone, &self.exclusions, &self.openings, &mut self.work) {
            Ok(true) => Ok(()),
            Ok(false) | Err(TooMuch) => {
                let first = self.spec.schedule.iter().find(|text| text.trim().starts_with("@every"));
                Err(ScheduleError::new("schedule", first.map_or("@every", String::as_str), TOO_SPARSE))
            }
        }
    }
}

/// Returns from when on a schedule may tick: two days before the first year that it names, because its zone may be ahead.
fn beginning(cron: &Cron) -> Timestamp {
    let first = cron.years().and_then(|years| years.first_from(1970)).and_then(|year| Date::new(year, 1, 1).ok());
    let begin = first.and_then(|first| Offset::UTC.to_timestamp(first.to_datetime(Time::midnight())).ok());
    begin
        .and_then(|begin| begin.checked_sub(SignedDuration::from_hours(48)).ok())
        .map_or(LONG_AGO, |begin| begin.max(LONG_AGO))
}

impl Entry {
    fn parse(text: &str, spread: Option<&Spread>) -> Result<Self, String> {
        zone::refuse_prefix(text)?;
        let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        let text = match (word, rest.trim()) {
            ("@every", interval) => return Interval::parse(interval).map(Entry::Interval),
            ("@yearly" | "@annually", "") => "0 0 1 1 *",
            ("@monthly", "") => "0 0 1 * *",
            ("@weekly", "") => "0 0 * * 0",
            ("@daily" | "@midnight", "") => "0 0 * * *",
            ("@hourly", "") => "0 * * * *",
            (name, _) if name.starts_with('@') => return Err(unknown_word(name)),
            _ => text,
        };
        Cron::parse(text, spread).map(Entry::Cron)
    }
}

/// What to write instead of a word with `@` that isn't known.
fn unknown_word(name: &str) -> String {
    match name.strip_prefix("@every") {
        Some(interval) => return format!("`@every` and its duration are two words: write `@every {interval}`"),
        None if matches!(name, "@reboot" | "@start" | "@startup") => {
            return format!(
                "no tick stands for the start of a machine: `{name}` is not known. What is to run whenever somebody leads is a job \
                 with trigger = \"leader\""
            );
        }
        None if matches!(name, "@at" | "@once") => {
            return format!("`{name}` is not known: a single time is written as at = \"2026-12-01T09:00:00Z\"");
        }
        None => {}
    }
    "of the words with `@` only `@every DURATION`, `@hourly`, `@daily`, `@midnight`, `@weekly`, `@monthly`, `@yearly` and \
     `@annually` are known"
        .to_owned()
}

/// Why there is no tick, where there would be some if nothing was left out, or not even then.
fn never(ticks: bool) -> String {
    let reason = if ticks { "`except` leaves out all of its ticks" } else { "it never ticks" };
    reason.to_owned()
}

/// Adds a calendar to the one whose rules are the same.
fn add(calendars: &mut Vec<Calendar>, calendar: Calendar) {
    match calendars.iter_mut().find(|known| known.real_time == calendar.real_time) {
        Some(known) => known.add(calendar),
        None => calendars.push(calendar),
    }
}

fn check_sizes(spec: &ScheduleSpec) -> Result<(), ScheduleError> {
    for (field, texts) in [("schedule", &spec.schedule), ("at", &spec.at), ("except", &spec.except)] {
        if texts.len() > MAX_TEXTS {
            let value = format!("{} entries", texts.len());
            return Err(ScheduleError::new(field, value, format!("the limit is {MAX_TEXTS}")));
        }
        if let Some(text) = texts.iter().find(|text| text.len() > MAX_TEXT_BYTES) {
            let shown = &text[..text.floor_char_boundary(SHOWN_BYTES)];
            let reason = format!("it has {} bytes, and the limit is {MAX_TEXT_BYTES}", text.len());
            return Err(ScheduleError::new(field, format!("{shown}…"), reason));
        }
    }
    Ok(())
}

impl Plan {
    /// Rules that apply to nothing are a mistake.
    pub(super) fn check_rules(&self, spec: &ScheduleSpec) -> Result<(), ScheduleError> {
        let has_fixed = !self.once.is_empty() || self.calendars.iter().any(|calendar| !calendar.real_time);
        let reason = "all of the job's schedules follow real time; it is for fixed hours";
        match (spec.gap, spec.fold) {
            _ if has_fixed => Ok(()),
            (Gap::Skip, _) => Err(ScheduleError::new("gap", "skip", reason)),
            (Gap::Shift, Fold::Last) => Err(ScheduleError::new("fold", "last", reason)),
            (Gap::Shift, Fold::Both) => Err(ScheduleError::new("fold", "both", reason)),
            (Gap::Shift, Fold::First) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b3_a_schedule_of_a_far_year_is_not_searched_from_1970_on() {
        let begin = |text: &str| beginning(&Cron::parse(text, None).unwrap()).to_string();
        assert_eq!(begin("0 0 12 31 12 ? 2199,2150"), "2149-12-30T00:00:00Z");
        assert_eq!([begin("0 0 12 31 12 ? 1970"), begin("0 12 * * *")], [LONG_AGO.to_string(), LONG_AGO.to_string()]);
    }
}
