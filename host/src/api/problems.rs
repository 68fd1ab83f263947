//! `/v1/problems`: what keeps jobs from going on, host by host, and how it comes into the listings of jobs and contenders.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use futures::future;
use tracing::warn;

use super::{Api, ContenderRow};
use crate::registry::{About, JobId, Problem};

/// How long a host that lists jobs waits for what the others know of them.
const PATIENCE: Duration = Duration::from_secs(1);

/// What keeps jobs from going on at this host alone.
pub(super) async fn list(State(api): State<Arc<Api>>) -> Json<Vec<Problem>> {
    Json(api.cluster.problems())
}

/// The problems of all live hosts, each with the host's name, by what they are about: a cluster may have as many as jobs.
pub(super) struct ClusterProblems(BTreeMap<About, Vec<(String, Problem)>>);

impl Api {
    /// Returns the problems of all live hosts. A host that doesn't answer is logged and left out.
    pub(super) async fn problems(&self) -> ClusterProblems {
        let mut all = vec![(self.host.clone(), self.cluster.problems())];
        match self.peers.others().await {
            Ok(peers) => {
                let asked =
                    peers.iter().map(|peer| self.peers.get_within::<Vec<Problem>>(peer, "/v1/problems", PATIENCE));
                for (peer, answer) in peers.iter().zip(future::join_all(asked).await) {
                    match answer {
                        Ok(problems) => all.push((peer.host.clone(), problems)),
                        Err(error) => warn!(host = peer.host, %error, "a host can't be asked for its problems"),
                    }
                }
            }
            Err(error) => warn!(%error, "the other hosts can't be asked for their problems"),
        }
        let named = |(host, problems): (String, Vec<Problem>)| {
            problems.into_iter().map(move |problem| (host.clone(), problem)).collect::<Vec<_>>()
        };
        ClusterProblems::new(all.into_iter().flat_map(named))
    }
}

impl ClusterProblems {
    fn new(problems: impl IntoIterator<Item = (String, Problem)>) -> Self {
        let mut by_subject: BTreeMap<About, Vec<(String, Problem)>> = BTreeMap::new();
        for (host, problem) in problems {
            by_subject.entry(problem.about.clone()).or_default().push((host, problem));
        }
        ClusterProblems(by_subject)
    }

    /// Returns what is to be said of a job, None if nothing is: each problem once, with the hosts that have it. `group` is that
    /// of a scheduled job.
    pub(super) fn of(&self, job: &JobId, group: Option<u32>) -> Option<String> {
        let mut hosts_by_text: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (host, problem) in self.about(job, group) {
            hosts_by_text.entry(&problem.text).or_default().push(host);
        }
        let told = hosts_by_text.iter().map(|(text, hosts)| format!("on {}: {text}", hosts.join(", ")));
        Some(told.collect::<Vec<_>>().join("; ")).filter(|told| !told.is_empty())
    }

    /// Adds to each contender what its host says, and a row for each host that doesn't stand because of a problem.
    pub(super) fn add_to_contenders(&self, job: &JobId, group: Option<u32>, rows: &mut Vec<ContenderRow>) {
        let mut found: Vec<(&str, &Problem)> = self.about(job, group).collect();
        found.sort_by_key(|(host, _)| *host);
        for (host, problem) in found {
            let told = format!("{} (since {:.0})", problem.text, problem.since);
            match rows.iter_mut().find(|row| row.host.as_deref() == Some(host)) {
                Some(row) => {
                    let before = row.problem.take().map(|before| format!("{before}; ")).unwrap_or_default();
                    row.problem = Some(before + &told);
                }
                None => rows.push(ContenderRow {
                    identifier: host.to_owned(),
                    host: Some(host.to_owned()),
                    znode: None,
                    token: None,
                    leader: false,
                    problem: Some(told),
                }),
            }
        }
    }

    fn about(&self, job: &JobId, group: Option<u32>) -> impl Iterator<Item = (&str, &Problem)> {
        let subjects = [Some(About::Cluster), group.map(About::Group), Some(About::Job(job.clone()))];
        let found = subjects.into_iter().flatten().filter_map(|about| self.0.get(&about));
        found.flatten().map(|(host, problem)| (host.as_str(), problem))
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn job(name: &str) -> JobId {
        JobId::new("acme", name).unwrap()
    }

    fn problems() -> ClusterProblems {
        let problem = |host: &str, about, text: &str| {
            (host.to_owned(), Problem { about, since: Timestamp::UNIX_EPOCH, text: text.to_owned() })
        };
        ClusterProblems::new([
            problem("a", About::Job(job("report")), "no component"),
            problem("b", About::Job(job("report")), "no component"),
            problem("b", About::Group(7), "denied"),
            problem("c", About::Cluster, "behind"),
        ])
    }

    #[test]
    fn each_problem_is_told_once_with_the_hosts_that_have_it() {
        let told = problems().of(&job("report"), Some(7));
        assert_eq!(told.as_deref(), Some("on c: behind; on b: denied; on a, b: no component"));
        assert_eq!(problems().of(&job("other"), None).as_deref(), Some("on c: behind"));
        assert_eq!(ClusterProblems::new([]).of(&job("report"), Some(7)), None);
    }

    #[test]
    fn a_host_that_does_not_stand_has_a_row_with_its_problem() {
        let leader = ContenderRow {
            identifier: "b".to_owned(),
            host: Some("b".to_owned()),
            znode: Some("x__lock__0000000001".to_owned()),
            token: Some(9),
            leader: true,
            problem: None,
        };
        let mut rows = vec![leader];
        problems().add_to_contenders(&job("report"), Some(7), &mut rows);
        let told: Vec<_> = rows.iter().map(|row| (row.identifier.as_str(), row.znode.is_some())).collect();
        assert_eq!(told, [("b", true), ("a", false), ("c", false)]);
        let since = "(since 1970-01-01T00:00:00Z)";
        assert_eq!(rows[0].problem, Some(format!("denied {since}; no component {since}")));
    }
}
