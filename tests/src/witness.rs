//! Reads what the guest `witness` logs of its own life, as sightings of terms.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::cli::{Cli, LogRow};
use crate::cluster::{Cluster, SOON};
use crate::terms::{Mark, Sighting, Term, one_leader_at_a_time};
use crate::wait::await_value;

/// Collects what witnesses of one job said. It looks again and again, since a host that is killed takes with it what it
/// has not written yet.
pub struct Witnesses {
    job: String,
    seen: BTreeSet<(Timestamp, String, String)>,
}

impl Witnesses {
    /// Of `tenant/job`.
    pub fn of(job: &str) -> Self {
        Witnesses { job: job.to_owned(), seen: BTreeSet::new() }
    }

    /// Takes in what a host that runs can tell now of the whole cluster; nothing where it can't answer at the moment.
    pub fn look(&mut self, cluster: &mut Cluster) {
        self.look_through(&cluster.cli());
    }

    /// Takes in what one host can tell now.
    pub fn look_through(&mut self, cli: &Cli) {
        self.take(cli.logs(&self.job).unwrap_or_default());
    }

    fn take(&mut self, rows: Vec<LogRow>) {
        self.seen.extend(rows.into_iter().map(|row| (row.time, row.host, row.message)));
    }

    /// All sightings so far, in order of time.
    pub fn sightings(&self) -> Vec<Sighting> {
        self.seen.iter().filter_map(|(time, host, message)| sighting(*time, host, message)).collect()
    }

    /// The terms so far.
    ///
    /// # Panics
    /// Where they were not one leader at a time, with rising tokens.
    #[track_caller]
    pub fn terms(&self) -> Vec<Term> {
        assert_one_leader(&self.sightings())
    }

    /// Looks until the witness of `token` has said `more` numbers more than now.
    ///
    /// # Panics
    /// Where it doesn't.
    #[track_caller]
    pub fn await_life(&mut self, cluster: &mut Cluster, token: i64, more: u64) {
        self.look(cluster);
        let goal = self.alive(token) + more;
        await_value(&format!("the witness of token {token} to say {goal}"), SOON, || {
            self.look(cluster);
            let alive = self.alive(token);
            if alive >= goal { Ok(()) } else { Err(alive) }
        });
    }

    /// The highest number that the witness of `token` said, 0 where it didn't yet.
    pub fn alive(&self, token: i64) -> u64 {
        let count = |sighting: Sighting| match sighting.mark {
            Mark::Alive(n) if sighting.token == token => n,
            Mark::Alive(_) | Mark::Begin | Mark::End => 0,
        };
        self.sightings().into_iter().map(count).max().unwrap_or(0)
    }
}

/// The terms of these sightings.
///
/// # Panics
/// Where they were not one leader at a time, with rising tokens.
#[track_caller]
pub fn assert_one_leader(sightings: &[Sighting]) -> Vec<Term> {
    one_leader_at_a_time(sightings).unwrap_or_else(|violations| {
        let lines: Vec<String> = violations.iter().map(ToString::to_string).collect();
        panic!("not one leader at a time:\n{}", lines.join("\n"))
    })
}

/// `begin token=T host=H`, `alive token=T n=N`, `end token=T`; None for any other line.
fn sighting(time: Timestamp, host: &str, message: &str) -> Option<Sighting> {
    let mut words = message.split_whitespace();
    let kind = words.next()?;
    let fields: Vec<(&str, &str)> = words.filter_map(|word| word.split_once('=')).collect();
    let field = |name: &str| fields.iter().find(|(key, _)| *key == name).map(|(_, value)| *value);
    let token = field("token")?.parse().ok()?;
    let mark = match kind {
        "begin" => Mark::Begin,
        "alive" => Mark::Alive(field("n")?.parse().ok()?),
        "end" => Mark::End,
        _ => return None,
    };
    Some(Sighting { time, who: host.to_owned(), token, mark })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(message: &str) -> Option<(String, i64, Mark)> {
        sighting(Timestamp::UNIX_EPOCH, "a", message).map(|sighting| (sighting.who, sighting.token, sighting.mark))
    }

    #[test]
    fn the_lines_of_a_witness_are_read() {
        assert_eq!(read("begin token=17 host=a"), Some(("a".to_owned(), 17, Mark::Begin)));
        assert_eq!(read("alive token=17 n=3").map(|(_, _, mark)| mark), Some(Mark::Alive(3)));
        assert_eq!(read("end token=17").map(|(_, token, mark)| (token, mark)), Some((17, Mark::End)));
    }

    #[test]
    fn other_lines_are_none_of_its() {
        for line in ["", "begin", "begin token=x host=a", "alive token=17", "the term ends token=17"] {
            assert_eq!(read(line), None, "{line}");
        }
    }

    #[test]
    fn what_is_read_twice_counts_once() {
        let row = |message: &str| LogRow {
            time: Timestamp::UNIX_EPOCH,
            host: "a".to_owned(),
            stamp: 0,
            run: "t/j/term-17".to_owned(),
            attempt: 1,
            level: "info".to_owned(),
            context: String::new(),
            message: message.to_owned(),
        };
        let mut witnesses = Witnesses::of("t/j");
        for _ in 0..2 {
            witnesses.take(vec![row("begin token=17 host=a"), row("alive token=17 n=1")]);
        }
        assert_eq!(witnesses.terms().len(), 1);
        assert_eq!((witnesses.alive(17), witnesses.alive(18)), (1, 0));
    }
}
