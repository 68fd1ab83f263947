//! Who executed when, and whether ever two did at once. Pure: it is given what was seen, and reads no clock.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;

/// One thing that a leader said of itself while it executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// When, by the wall clock that all processes of the machine share.
    pub time: Timestamp,
    /// Who said it, for the message.
    pub who: String,
    /// The fencing token of its term.
    pub token: i64,
    /// What it said.
    pub mark: Mark,
}

/// What was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// The leader function began.
    Begin,
    /// It executes; the number rises by one with each.
    Alive(u64),
    /// It is about to return.
    End,
}

/// One execution of a leader function: from its first sign of life to the last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    /// Its fencing token.
    pub token: i64,
    /// Who led.
    pub who: String,
    /// Its first sighting.
    pub begin: Timestamp,
    /// Its last sighting: it executed at least until then.
    pub last: Timestamp,
    /// The highest number it was seen alive with.
    pub alive: u64,
    /// Whether it returned by itself.
    pub ended: bool,
}

/// Why what was seen can't be one leader at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// Two terms executed at the same time.
    Overlap(Box<Term>, Box<Term>),
    /// A later term has a token that isn't higher.
    TokenNotRising(Box<Term>, Box<Term>),
    /// The leader function was started more than once under one token.
    BegunTwice {
        /// The token.
        token: i64,
        /// When, and by whom.
        begins: Vec<(Timestamp, String)>,
    },
    /// A sign of life under a token that never began.
    NeverBegun(i64),
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "token {} of {} from {} to {}", self.token, self.who, self.begin, self.last)
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Violation::Overlap(one, other) => write!(f, "two at once: {one}, and {other}"),
            Violation::TokenNotRising(one, other) => write!(f, "the token doesn't rise: {one}, then {other}"),
            Violation::BegunTwice { token, begins } => write!(f, "token {token} was begun more than once: {begins:?}"),
            Violation::NeverBegun(token) => write!(f, "token {token} was alive and never begun"),
        }
    }
}

/// Puts sightings together to terms, in order of their begin.
///
/// # Errors
/// Every [`Violation`] there is.
pub fn one_leader_at_a_time(sightings: &[Sighting]) -> Result<Vec<Term>, Vec<Violation>> {
    let mut by_token: BTreeMap<i64, Vec<&Sighting>> = BTreeMap::new();
    for sighting in sightings {
        by_token.entry(sighting.token).or_default().push(sighting);
    }
    let mut violations = Vec::new();
    let mut terms: Vec<Term> = Vec::new();
    for (token, seen) in by_token {
        let begins: Vec<&Sighting> = seen.iter().copied().filter(|sighting| sighting.mark == Mark::Begin).collect();
        match begins.as_slice() {
            [] => violations.push(Violation::NeverBegun(token)),
            [_] => {}
            _ => violations.push(Violation::BegunTwice {
                token,
                begins: begins.iter().map(|begin| (begin.time, begin.who.clone())).collect(),
            }),
        }
        terms.extend(term(token, &seen));
    }
    terms.sort_by_key(|term| (term.begin, term.token));
    for (at, later) in terms.iter().enumerate() {
        for earlier in &terms[..at] {
            if later.begin <= earlier.last {
                violations.push(Violation::Overlap(Box::new(earlier.clone()), Box::new(later.clone())));
            }
        }
    }
    for pair in terms.windows(2) {
        if pair[1].token <= pair[0].token {
            violations.push(Violation::TokenNotRising(Box::new(pair[0].clone()), Box::new(pair[1].clone())));
        }
    }
    if violations.is_empty() { Ok(terms) } else { Err(violations) }
}

/// The term that these sightings of one token span; None where there are none.
fn term(token: i64, seen: &[&Sighting]) -> Option<Term> {
    let first = seen.iter().min_by_key(|sighting| sighting.time)?;
    let last = seen.iter().max_by_key(|sighting| sighting.time)?;
    let alive = |sighting: &&Sighting| match sighting.mark {
        Mark::Alive(n) => n,
        Mark::Begin | Mark::End => 0,
    };
    Some(Term {
        token,
        who: first.who.clone(),
        begin: first.time,
        last: last.time,
        alive: seen.iter().map(alive).max().unwrap_or(0),
        ended: seen.iter().any(|sighting| sighting.mark == Mark::End),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(ms: i64, who: &str, token: i64, mark: Mark) -> Sighting {
        Sighting { time: Timestamp::from_millisecond(ms).unwrap(), who: who.to_owned(), token, mark }
    }

    fn span(who: &str, token: i64, from: i64, to: i64) -> Vec<Sighting> {
        vec![seen(from, who, token, Mark::Begin), seen(to, who, token, Mark::Alive(7))]
    }

    #[track_caller]
    fn violations(sightings: &[Sighting]) -> Vec<Violation> {
        one_leader_at_a_time(sightings).expect_err("this is no order of one leader at a time")
    }

    #[test]
    fn terms_one_after_the_other_are_fine() {
        let mut sightings = span("b", 20, 110, 200);
        sightings.push(seen(210, "b", 20, Mark::End));
        sightings.extend(span("a", 10, 0, 100));
        let terms = one_leader_at_a_time(&sightings).unwrap();
        let short: Vec<_> = terms.iter().map(|term| (term.who.as_str(), term.token, term.alive, term.ended)).collect();
        assert_eq!(short, [("a", 10, 7, false), ("b", 20, 7, true)]);
    }

    #[test]
    fn nothing_seen_is_no_violation() {
        assert_eq!(one_leader_at_a_time(&[]), Ok(Vec::new()));
    }

    #[test]
    fn an_overlap_of_a_millisecond_is_caught() {
        let found = violations(&[span("a", 10, 0, 101), span("b", 20, 100, 200)].concat());
        assert!(matches!(found.as_slice(), [Violation::Overlap(a, b)] if a.who == "a" && b.who == "b"), "{found:?}");
    }

    #[test]
    fn a_term_within_another_is_caught_even_behind_a_third() {
        let found = violations(&[span("a", 10, 0, 300), span("b", 20, 100, 120), span("c", 30, 200, 220)].concat());
        assert_eq!(found.len(), 2, "{found:?}");
    }

    #[test]
    fn a_token_that_falls_is_caught() {
        let found = violations(&[span("a", 20, 0, 100), span("b", 10, 200, 300)].concat());
        assert!(matches!(found.as_slice(), [Violation::TokenNotRising(..)]), "{found:?}");
    }

    #[test]
    fn a_guest_started_twice_under_one_token_is_caught() {
        let found = violations(&[span("a", 10, 0, 100), span("a", 10, 200, 300)].concat());
        assert!(matches!(found.as_slice(), [Violation::BegunTwice { token: 10, begins }] if begins.len() == 2));
    }

    #[test]
    fn life_without_a_begin_is_caught() {
        let found = violations(&[seen(0, "a", 10, Mark::Alive(1))]);
        assert_eq!(found, [Violation::NeverBegun(10)]);
    }

    #[test]
    fn violations_name_who_and_when() {
        let found = violations(&[span("a", 10, 0, 101), span("b", 20, 100, 200)].concat());
        assert_eq!(
            found[0].to_string(),
            "two at once: token 10 of a from 1970-01-01T00:00:00Z to 1970-01-01T00:00:00.101Z, \
             and token 20 of b from 1970-01-01T00:00:00.1Z to 1970-01-01T00:00:00.2Z"
        );
    }
}
