//! Cron schedules of a job, taken as one: the times that any of them names.
//!
//! They are looked through month by month. Which classes of months have a time that is named and left in is known beforehand, so
//! others are passed over without a look at the schedules, and the next one is never more than 40 years away: of two years with
//! the same calendar that follow one another, none are further apart. What is left to look at in vain are months in which excluded
//! dates, or a change of the clock, take just those times.

use jiff::civil::{Date, DateTime, Time};

use super::MAX_TEXTS;
use super::cron::{Cron, Years};
use super::exclusion::{Exclusions, Openings};
use super::local::Rules;
use super::month::{Classes, Month};
use super::work::{TooMuch, Work, each, few};

/// Cron schedules that fare alike where the clock is changed.
#[derive(Clone, Debug)]
pub(super) struct Calendar {
    /// What becomes of times that a change of the clock skips or repeats.
    pub rules: Rules,
    /// Whether they follow real time: nothing of them is missed then.
    pub real_time: bool,
    crons: Vec<Member>,
    named: Classes,
    left_in: Classes,
    /// Those of `left_in` that are so in all years.
    always: Classes,
    /// The years that those name which name years; None if none does.
    years: Option<Years>,
    /// Whether any of them names no years: it ticks in all of them.
    any_year: bool,
    /// The last year that any of them names, of those that name years; 0 if none does.
    last_year: i16,
}

/// One of them.
#[derive(Clone, Debug)]
struct Member {
    cron: Cron,
    /// The classes of months in which something that it names is left in.
    left_in: Classes,
}

impl Calendar {
    /// Returns the calendar of one cron schedule. The work is that of finding the classes of months that it is about.
    pub(super) fn of(cron: Cron, fixed: Rules, openings: &Openings, work: &mut Work) -> Result<Self, TooMuch> {
        let (mut named, mut left_in) = (Classes::NONE, Classes::NONE);
        for month in Month::classes() {
            let days = cron.days_in_class(month);
            work.spend(few(31))?;
            if days != 0 {
                named.add(month);
            }
            if (1..=31).any(|day| days >> day & 1 != 0 && cron.hours() & openings.hours(month, day) != 0) {
                left_in.add(month);
            }
        }
        let (real_time, years) = (cron.any_hour, cron.years().cloned());
        let rules = if real_time { Rules::REAL_TIME } else { fixed };
        let last_year = years.as_ref().map_or(0, Years::last);
        let always = if years.is_some() { Classes::NONE } else { left_in };
        let any_year = years.is_none();
        let crons = vec![Member { cron, left_in }];
        Ok(Calendar { rules, real_time, crons, named, left_in, always, years, any_year, last_year })
    }

    /// Takes another in, whose rules must be the same.
    pub(super) fn add(&mut self, other: Calendar) {
        self.named.add_all(other.named);
        self.left_in.add_all(other.left_in);
        self.always.add_all(other.always);
        match (&mut self.years, other.years) {
            (Some(years), Some(others)) => years.add_all(&others),
            (None, others) => self.years = others,
            (Some(_), None) => {}
        }
        self.any_year |= other.any_year;
        self.last_year = self.last_year.max(other.last_year);
        self.crons.extend(other.crons);
        self.crons.shrink_to_fit();
    }

    /// Returns the last year that any of the cron schedules names, of those that name years; 0 if none does.
    pub(super) fn last_year(&self) -> i16 {
        self.last_year
    }

    /// Returns the first local time from `from` on that is named and not left out, or None if there is none up to the month of
    /// `until`. In months of the classes `dead` it looks at those schedules alone that name years.
    pub(super) fn next_left_in(
        &self,
        from: DateTime,
        until: Date,
        dead: Classes,
        exclusions: &Exclusions,
        work: &mut Work,
    ) -> Result<Option<DateTime>, TooMuch> {
        let mut from = from;
        loop {
            let Some(behind) = exclusions.behind_dates(from) else { return Ok(None) };
            let here = Month::of(behind.date());
            let Some(month) = self.month_from(here, until, dead, work)? else { return Ok(None) };
            if month != here {
                // It may begin on an excluded date.
                from = month.begin();
                continue;
            }
            if let Some(found) = self.in_month(month, behind, dead, exclusions, work)? {
                return Ok(Some(found));
            }
            let Some(next) = month.next() else { return Ok(None) };
            from = next.begin();
        }
    }

    /// Returns the first month from `month` on that may have a time that is left in.
    fn month_from(
        &self,
        mut month: Month,
        until: Date,
        dead: Classes,
        work: &mut Work,
    ) -> Result<Option<Month>, TooMuch> {
        let always = self.always.without(dead);
        while !month.is_after(until) && self.left_in != Classes::NONE {
            let is_named = self.names(month.year);
            // What names other years has nothing in this one.
            let classes = if is_named { self.left_in } else { always };
            if classes.have(month) {
                return Ok(Some(month));
            }
            let next = if is_named || always != Classes::NONE {
                month.next()
            } else {
                self.years.as_ref().and_then(|years| years.first_from(month.year)).and_then(Month::january)
            };
            // Four months are about a step.
            work.spend(u32::from(month.number.is_multiple_of(4)))?;
            let Some(next) = next else { return Ok(None) };
            month = next;
        }
        Ok(None)
    }

    /// Returns whether any of those that name years names this one.
    fn names(&self, year: i16) -> bool {
        self.years.as_ref().is_some_and(|years| years.have(year))
    }

    /// Returns the first time from `from` on in a month that is named and left in.
    fn in_month(
        &self,
        month: Month,
        from: DateTime,
        dead: Classes,
        exclusions: &Exclusions,
        work: &mut Work,
    ) -> Result<Option<DateTime>, TooMuch> {
        work.spend(few(self.crons.len()))?;
        let mut days = [0; MAX_TEXTS];
        let mut any = 0;
        for (days, member) in days.iter_mut().zip(&self.crons) {
            if member.left_in.have(month) && member.is_alive(month, dead) {
                work.spend(1)?;
                *days = member.cron.days_in(month);
                any |= *days;
            }
        }
        let first = u32::from(from.day().unsigned_abs());
        any &= u32::MAX << first;
        any &= !exclusions.dates_in(month);
        if any == 0 {
            return Ok(None);
        }
        let opening = exclusions.in_month(month, work)?;
        while any != 0 {
            let day = any.trailing_zeros();
            any &= any - 1;
            work.spend(few(self.crons.len() + exclusions.crons()))?;
            let left_in = opening.hours(day);
            let from = if day == first { from.time() } else { Time::midnight() };
            let on_day = self.crons.iter().zip(days).filter(|(_, days)| days >> day & 1 != 0);
            let times = on_day.filter_map(|(member, _)| member.cron.time_from(from, member.cron.hours() & left_in));
            if let Some(time) = times.min() {
                return Ok(Some(month.date(day).to_datetime(time)));
            }
        }
        Ok(None)
    }

    /// Returns the first local time in `from..behind` that is named, whether it is left out or not. It looks at each day, so the
    /// span must be a short one. In months of the classes `dead` it looks at those schedules alone that name years.
    pub(super) fn named_in(
        &self,
        from: DateTime,
        behind: DateTime,
        dead: Classes,
        work: &mut Work,
    ) -> Result<Option<DateTime>, TooMuch> {
        let mut from = from;
        while from < behind {
            let month = Month::of(from.date());
            work.spend(1)?;
            if self.named.have(month) && (self.any_year || self.names(month.year)) {
                let alive = self.crons.iter().filter(|member| member.is_alive(month, dead));
                work.spend(few(self.crons.len()) + each(alive.clone().count()))?;
                let on_day = alive.filter(|member| member.cron.days_in(month) >> from.day() & 1 != 0);
                let times = on_day.filter_map(|member| member.cron.time_from(from.time(), member.cron.hours()));
                if let Some(time) = times.min() {
                    return Ok(Some(from.date().to_datetime(time)).filter(|found| *found < behind));
                }
            }
            let Ok(next) = from.date().tomorrow() else { return Ok(None) };
            from = next.at(0, 0, 0, 0);
        }
        Ok(None)
    }
}

impl Member {
    fn is_alive(&self, month: Month, dead: Classes) -> bool {
        !dead.have(month) || self.cron.years().is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use croner::Cron as Croner;
    use proptest::prelude::*;

    use super::super::work::SEARCH_STEPS;
    use super::super::{Fold, Gap};
    use super::*;

    fn number(least: u16, most: u16) -> impl Strategy<Value = String> {
        (least..=most).prop_map(|value| value.to_string())
    }

    fn field(least: u16, most: u16) -> impl Strategy<Value = String> {
        let range = (least..=most, least..=most).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b)));
        let stepped = (least..=most, 1..most - least).prop_map(move |(a, step)| format!("{a}-{most}/{step}"));
        let list = (number(least, most), number(least, most)).prop_map(|(a, b)| format!("{a},{b}"));
        prop_oneof![
            4 => Just("*".to_owned()),
            2 => number(least, most),
            1 => range,
            1 => stepped,
            1 => list,
            1 => (1..most - least).prop_map(|step| format!("*/{step}")),
        ]
    }

    fn day() -> impl Strategy<Value = String> {
        let near = (1..=31).prop_map(|day| format!("{day}W"));
        prop_oneof![4 => field(1, 31), 1 => near, 1 => Just("L".to_owned()), 1 => Just("LW".to_owned())]
    }

    fn weekday() -> impl Strategy<Value = String> {
        let kth = (0..=7, 1..=5).prop_map(|(day, k)| format!("{day}#{k}"));
        let last = (0..=7).prop_map(|day| format!("{day}L"));
        let name = prop::sample::select(vec!["SUN", "MON-FRI", "sat", "+FRI", "FRI-SUN", "?"]).prop_map(str::to_owned);
        prop_oneof![4 => field(0, 6), 1 => kth, 1 => last, 1 => name]
    }

    /// The same for croner, which doesn't count `*/n` as a star: a day must fit both fields.
    fn for_croner(day: &str, weekday: &str) -> String {
        let star = day.starts_with("*/") || weekday.starts_with("*/");
        let any = |field: &str| matches!(field, "*" | "?");
        if star && !any(day) && !any(weekday) {
            format!("+{}", weekday.trim_start_matches('+'))
        } else {
            weekday.to_owned()
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        /// croner is another's reading of the same language.
        #[test]
        fn it_names_the_times_that_croner_names(
            time in (field(0, 59), field(0, 59), field(0, 23)),
            days in (day(), field(1, 12), weekday()),
            year in prop_oneof![2 => Just("*".to_owned()), 1 => number(2020, 2040)],
            start in 946_684_800i64..2_208_988_800,
        ) {
            let text = format!("{} {} {} {} {} {} {year}", time.0, time.1, time.2, days.0, days.1, days.2);
            let weekday = for_croner(&days.0, &days.2);
            let theirs = format!("{} {} {} {} {} {weekday} {year}", time.0, time.1, time.2, days.0, days.1);
            let mut work = Work::up_to(SEARCH_STEPS);
            let rules = Rules { gap: Gap::Skip, fold: Fold::First };
            let cron = Cron::parse(&text, None).unwrap();
            let openings = Exclusions::NONE.clone().classify(&mut work).unwrap();
            let ours = Calendar::of(cron, rules, &openings, &mut work).unwrap();
            let theirs = Croner::from_str(&theirs).unwrap();
            let mut from = jiff::tz::Offset::UTC.to_datetime(jiff::Timestamp::from_second(start).unwrap());
            for _ in 0..4 {
                let theirs = theirs.find_next_occurrence(&from, true).ok().filter(|found| found.year() < 2400);
                let ours = ours.next_left_in(from, Date::MAX, Classes::NONE, &Exclusions::NONE, &mut work).unwrap();
                prop_assert_eq!(ours, theirs, "{} from {}", text, from);
                let Some(found) = ours else { break };
                from = found + jiff::SignedDuration::from_secs(1);
            }
        }
    }
}
