//! Opens a session, in rounds: each resolves the names anew and tries all addresses, and after one that failed each address
//! is asked what is wrong with it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use futures::future::join_all;
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};
use zookeeper_client::{Client, Error as ClientError};

use super::ZooKeeper;
use super::probe::{Answer, probe};
use super::resolve::{Resolved, resolve_all};
use crate::clock;
use crate::coordinator::Error;

/// How long an attempt may take until the addresses are asked what is wrong. A healthy ensemble takes milliseconds.
const ATTEMPT: Duration = Duration::from_secs(2);
/// How long an address has to say what it is.
const PROBE: Duration = Duration::from_secs(2);
/// The pause after the first round that failed; doubled after each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause.
const LAST_PAUSE: Duration = Duration::from_secs(1);
/// A round that has less time than this tells nothing new.
const SHORTEST_ROUND: Duration = Duration::from_millis(500);
/// How many addresses a report lists.
const REPORTED: usize = 16;

/// What the addresses answered when they were asked last.
type Answers = BTreeMap<SocketAddr, Answer>;

/// An open session, and the boot clock from just before the request for it can have been sent.
pub(super) struct Opened {
    pub(super) client: Client,
    pub(super) opening: Duration,
}

/// How a round failed.
enum Failed {
    /// No further one would do better.
    ForGood(Error),
    /// The library gave up.
    GaveUp,
    /// It took long, and meanwhile the addresses answered this.
    Asked(Answers),
}

/// Opens a session within `patience`.
///
/// # Errors
/// [`Error::Unavailable`] says what each address answered, [`Error::Refused`] why none will ever open a session.
pub(super) async fn open(zookeeper: &ZooKeeper, patience: Duration) -> Result<Opened, Error> {
    let clock = clock::system();
    let deadline = clock.boot() + patience;
    let remaining = || deadline.saturating_sub(clock.boot());
    let (mut answers, mut reported, mut pause) = (Answers::new(), String::new(), FIRST_PAUSE);
    loop {
        let found = resolve_all(zookeeper.resolver.as_ref(), &zookeeper.servers.servers, remaining()).await;
        let addresses: Vec<SocketAddr> =
            found.iter().flat_map(|found| found.addresses.iter().flatten()).copied().collect();
        if !addresses.is_empty() {
            let endpoints = endpoints(&found, &answers, zookeeper.gives_names);
            let opening = clock.boot();
            let left_out = left_out(&found, &answers);
            match round(zookeeper, &endpoints, &addresses, &left_out, remaining()).await {
                Ok(client) => {
                    let unused = report(&found, &answers, &left_out);
                    if !unused.is_empty() {
                        warn!(servers = %zookeeper.servers, "the session does without some servers: {unused}");
                    }
                    return Ok(Opened { client, opening });
                }
                Err(Failed::ForGood(error)) => return Err(error),
                Err(Failed::GaveUp) => answers = ask_all(&addresses, PROBE.min(remaining())).await,
                Err(Failed::Asked(told)) => answers = told,
            }
        }
        let report = report(&found, &answers, &addresses.iter().copied().collect());
        if remaining() <= pause + SHORTEST_ROUND {
            let servers = zookeeper.servers.to_string();
            return Err(Error::Unavailable { servers, patience_ms: patience.as_millis(), detail: report });
        }
        if report != reported {
            warn!(servers = %zookeeper.servers, "no session yet, trying again: {report}");
        }
        reported = report;
        sleep(pause).await;
        pause = (pause * 2).min(LAST_PAUSE);
    }
}

/// Returns the names and addresses that a session is opened with, as entries of a connect string. The library keeps them for
/// the life of the session and tries them in random order. It resolves a name anew at each reconnect, but tries only its
/// first address: so a name with several is given together with them.
///
/// The addresses that [`left_out`] returns are not among them, nor are their names.
///
/// One endpoint at least is such that the library has to resolve it, see [`unresolved`].
fn endpoints(found: &[Resolved], answers: &Answers, gives_names: bool) -> Vec<String> {
    let left_out = left_out(found, answers);
    let (mut endpoints, mut names) = (Vec::new(), false);
    for Resolved { server, addresses } in found {
        let Ok(addresses) = addresses else { continue };
        let by_name = gives_names && !server.is_address && addresses.iter().all(|address| !left_out.contains(address));
        if by_name {
            endpoints.push(server.to_string());
        }
        if !by_name || addresses.len() > 1 {
            endpoints.extend(addresses.iter().filter(|address| !left_out.contains(address)).map(SocketAddr::to_string));
        }
        names |= by_name;
    }
    if let Some(first) = endpoints.first_mut()
        && let Ok(address) = first.parse()
        && !names
    {
        *first = unresolved(address);
    }
    endpoints
}

/// Returns the addresses on which an attempt would wait in vain, if another is known to serve. The next session looks again.
fn left_out(found: &[Resolved], answers: &Answers) -> BTreeSet<SocketAddr> {
    let addresses = || found.iter().flat_map(|found| found.addresses.iter().flatten());
    if !addresses().any(|address| answers.get(address) == Some(&Answer::Serves)) {
        return BTreeSet::new();
    }
    let costs_time = |address: &&SocketAddr| answers.get(*address).is_some_and(Answer::costs_time);
    addresses().filter(costs_time).copied().collect()
}

/// Returns the address in a form that the system's resolver knows and Rust's parser does not: the last number of an IPv4
/// address in hexadecimal, an IPv6 address with the scope that means none.
///
/// While it reconnects, the library looks at its deadline only if something in an attempt takes time. If each attempt fails
/// at once (no route to any server, no free descriptor), it goes on for ever past the deadline without returning to the
/// executor, so that its thread is lost. Resolving takes time.
fn unresolved(address: SocketAddr) -> String {
    match address {
        SocketAddr::V4(address) => {
            let [a, b, c, d] = address.ip().octets();
            format!("{a}.{b}.{c}.{d:#x}:{}", address.port())
        }
        SocketAddr::V6(address) => format!("[{}%{}]:{}", address.ip(), address.scope_id(), address.port()),
    }
}

/// Makes one attempt with all `endpoints`, which belong to the addresses that are not `left_out`. If the attempt takes longer than
/// [`ATTEMPT`], probes all addresses while the attempt continues.
async fn round(
    zookeeper: &ZooKeeper,
    endpoints: &[String],
    addresses: &[SocketAddr],
    left_out: &BTreeSet<SocketAddr>,
    patience: Duration,
) -> Result<Client, Failed> {
    let clock = clock::system();
    let began = clock.boot();
    let mut attempt = pin!(attempt(zookeeper, endpoints));
    if let Ok(ended) = timeout(ATTEMPT.min(patience * 3 / 4), &mut attempt).await {
        return ended;
    }
    let answers = tokio::select! {
        biased;
        ended = &mut attempt => return ended,
        answers = ask_all(addresses, PROBE.min(patience / 4)) => answers,
    };
    let costs_time = |address: &SocketAddr| !left_out.contains(address) && answers[address].costs_time();
    if answers.values().any(|answer| *answer == Answer::Serves) && !addresses.iter().any(costs_time) {
        // The ensemble is slow, as when it has just lost a server, and a new attempt would not be faster.
        let rest = patience.saturating_sub(clock.boot().saturating_sub(began));
        if let Ok(ended) = timeout(rest, attempt).await {
            return ended;
        }
    }
    Err(Failed::Asked(answers))
}

async fn attempt(zookeeper: &ZooKeeper, endpoints: &[String]) -> Result<Client, Failed> {
    let chroot = &zookeeper.servers.chroot;
    // Eagerly: each endpoint is tried once, since the next round has the names resolved anew.
    let connector = Client::connector().with_session_timeout(zookeeper.session_timeout).with_fail_eagerly();
    let client = connector.connect(&format!("{}{chroot}", endpoints.join(","))).await.map_err(|error| match error {
        ClientError::BadArguments(_) => refused(zookeeper, &error.to_string()),
        ClientError::AuthFailed | ClientError::NoAuth => refused(
            zookeeper,
            "authentication refused: they let only authenticated clients in, and a host does not authenticate itself",
        ),
        error => {
            debug!(%error, "the client library gave up");
            Failed::GaveUp
        }
    })?;
    if chroot.is_empty() {
        return Ok(client);
    }
    match client.check_stat("/").await {
        Ok(Some(_)) => Ok(client),
        Ok(None) => {
            let why = format!("the chroot `{chroot}` does not exist: create it, or leave it out and use --root");
            Err(refused(zookeeper, &why))
        }
        Err(error) => {
            debug!(%error, "the chroot was not looked up");
            Err(Failed::GaveUp)
        }
    }
}

fn refused(zookeeper: &ZooKeeper, why: &str) -> Failed {
    Failed::ForGood(Error::Refused { detail: format!("servers `{}`: {why}", zookeeper.servers) })
}

async fn ask_all(addresses: &[SocketAddr], patience: Duration) -> Answers {
    let ask = async |address: &SocketAddr| (*address, probe(*address, patience).await);
    join_all(addresses.iter().map(ask)).await.into_iter().collect()
}

/// Returns a message that names each server without an address and each address in `which`, with its error or answer.
fn report(found: &[Resolved], answers: &Answers, which: &BTreeSet<SocketAddr>) -> String {
    let mut lines = Vec::new();
    for Resolved { server, addresses } in found {
        match addresses {
            Err(reason) => lines.push(format!("{server}: {reason}")),
            Ok(addresses) => lines.extend(addresses.iter().filter(|address| which.contains(address)).map(|address| {
                let answer = answers.get(address).map_or_else(|| "not asked".to_owned(), Answer::describe);
                if server.is_address {
                    format!("{server}: {answer}")
                } else {
                    format!("{server} ({address}): {answer}")
                }
            })),
        }
    }
    let more = lines.len().saturating_sub(REPORTED);
    lines.truncate(REPORTED);
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    lines.join("; ")
}

#[cfg(test)]
mod tests;
