//! `tenants` and `tenant`: what tenants are set.

use std::str::FromStr;

use clap::Args;
use ipnet::IpNet;
use serde_json::Value;
use wasmsign2::PublicKey;

use super::output::{Output, say};
use super::{Server, name};
use crate::registry::{Limit, Ranges, Signer, SignerError, Signers, TenantSettings};

pub(super) const TENANTS: [&str; 6] = ["tenant", "jobs", "max_running", "runs_per_minute", "max_waiting", "weight"];

#[derive(Debug, Args)]
pub(super) struct Tenants {
    #[command(flatten)]
    server: Server,
    #[command(flatten)]
    output: Output,
}

impl Tenants {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let rows: Vec<Value> = self.server.client()?.get("/v1/tenants")?;
        Ok(self.output.print(&rows, &TENANTS)?)
    }
}

#[derive(Debug, Args)]
pub(super) struct Tenant {
    /// The tenant
    #[arg(value_name = "NAME", value_parser = name)]
    tenant: String,
    /// How many of its scheduled runs are under way at once on a host, 1 to 10000
    #[arg(long, value_name = "N")]
    max_running: Option<Setting>,
    /// How many of its scheduled runs a host begins in a minute, 1 to 1000000
    #[arg(long, value_name = "N")]
    runs_per_minute: Option<Setting>,
    /// How many of its ticks wait on a host for their turn, 1 to 100000; a tick beyond is skipped
    #[arg(long, value_name = "N")]
    max_waiting: Option<Setting>,
    /// Its share where a host is full, 1 to 100
    #[arg(long, value_name = "N")]
    weight: Option<Setting>,
    /// The most that one of its runs may have of a limit, by its name in job.toml: memory=32MiB, cpu=2s, handles=100; `none`
    /// for as much as a host allows. May be given again
    #[arg(long, value_name = "NAME=MOST")]
    limit: Vec<Ceiling>,
    /// A private address that its jobs' HTTP requests may reach, or a range of them: 10.0.0.0/8. May be given again; those that
    /// are given take the place of those that were. `none` for none
    #[arg(long, value_name = "RANGE")]
    private: Vec<Private>,
    /// How many HTTP requests its jobs have under way at once on a host, 1 to 10000 [default: 256]
    #[arg(long, value_name = "N")]
    max_requests: Option<Setting>,
    /// Whose signature its components have to bear, as `silverback signing-key` prints it, or a file with a public Ed25519 key.
    /// May be given again: one of them has to have signed. Those that are given take the place of those that were; `none`:
    /// components need no signature
    #[arg(long, value_name = "SIGNER")]
    signer: Vec<Signed>,
    #[command(flatten)]
    server: Server,
}

/// Who may sign, or nobody has to.
#[derive(Clone, Copy, Debug)]
struct Signed(Option<Signer>);

impl FromStr for Signed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "none" => Ok(Signed(None)),
            signer if signer.starts_with("ed25519:") => {
                signer.parse().map(|signer| Signed(Some(signer))).map_err(|error: SignerError| error.to_string())
            }
            file => {
                let bytes = std::fs::read(file)
                    .map_err(|error| format!("it is neither `ed25519:…` nor a file that can be read: {error}"))?;
                let key =
                    PublicKey::from_any(&bytes).map_err(|error| format!("the file has no public key: {error}"))?;
                Ok(Signed(Some(Signer::new(*key.pk))))
            }
        }
    }
}

/// A range of private addresses, or none.
#[derive(Clone, Copy, Debug)]
struct Private(Option<IpNet>);

impl FromStr for Private {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "none" => Ok(Private(None)),
            text => Ranges::read(text)
                .map(|range| Private(Some(range)))
                .ok_or("it must be an address, or a range like 10.0.0.0/8"),
        }
    }
}

/// The most of one limit; None for what a host allows.
#[derive(Clone, Copy, Debug)]
struct Ceiling(Limit, Option<u64>);

impl FromStr for Ceiling {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, most) = text.split_once('=').ok_or("it must be NAME=MOST")?;
        let known = || format!("the limits are {}", Limit::ALL.map(Limit::name).join(", "));
        let limit = Limit::named(name).ok_or_else(known)?;
        let most = if most == "none" { None } else { Some(limit.read(most)?) };
        Ok(Ceiling(limit, most))
    }
}

/// What a setting is to be.
#[derive(Clone, Copy, Debug)]
enum Setting {
    /// `none`: its default.
    Default,
    Number(u32),
}

impl FromStr for Setting {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "none" => Ok(Setting::Default),
            number => number.parse().map(Setting::Number).map_err(|_| "it must be a whole number, or `none`"),
        }
    }
}

impl Tenant {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let (client, path) = (self.server.client()?, format!("/v1/tenants/{}", self.tenant));
        let mut settings: TenantSettings = client.get(&path)?;
        if let Some(changed) = self.changed(&settings) {
            settings = client.put_json(&path, &changed)?;
        }
        Ok(say(&told(&self.tenant, &settings))?)
    }

    /// What it was set, with what is given here; None where nothing is.
    fn changed(&self, was: &TenantSettings) -> Option<TenantSettings> {
        let new = |given: Option<Setting>, was| match given {
            None => was,
            Some(Setting::Default) => None,
            Some(Setting::Number(number)) => Some(number),
        };
        let given = [self.max_running, self.runs_per_minute, self.max_waiting, self.weight, self.max_requests];
        let lists_given = !self.limit.is_empty() || !self.private.is_empty() || !self.signer.is_empty();
        let is_given = given.iter().any(Option::is_some) || lists_given;
        let limits =
            || was.limits.iter().filter(|(limit, _)| self.limit.iter().all(|Ceiling(given, _)| given != limit));
        let given_limits = || self.limit.iter().filter_map(|Ceiling(limit, most)| Some((*limit, (*most)?)));
        is_given.then(|| TenantSettings {
            max_running: new(self.max_running, was.max_running),
            runs_per_minute: new(self.runs_per_minute, was.runs_per_minute),
            max_waiting: new(self.max_waiting, was.max_waiting),
            weight: new(self.weight, Some(was.weight)).unwrap_or(TenantSettings::default().weight),
            limits: limits().chain(given_limits()).collect(),
            private: match self.private.is_empty() {
                true => was.private.clone(),
                false => self.private.iter().filter_map(|Private(range)| *range).collect::<Vec<_>>().into(),
            },
            max_requests: new(self.max_requests, was.max_requests),
            signers: self.signers().unwrap_or_else(|| was.signers.clone()),
        })
    }
}

impl Tenant {
    /// None where none were given.
    fn signers(&self) -> Option<Signers> {
        let given: Vec<Signer> = self.signer.iter().filter_map(|Signed(signer)| *signer).collect();
        match (self.signer.is_empty(), given.is_empty()) {
            (true, _) => None,
            (false, true) => Some(Signers::NONE),
            (false, false) => Some(given.into()),
        }
    }
}

fn told(tenant: &str, settings: &TenantSettings) -> String {
    let TenantSettings { max_running, runs_per_minute, max_waiting, weight, limits, private, max_requests, signers } =
        settings;
    let shown = |limit: &Option<u32>| limit.map_or("none".to_owned(), |limit| limit.to_string());
    let limits: String = limits.iter().map(|(limit, most)| format!(", {limit} {}", limit.unit().write(most))).collect();
    let requests = max_requests.map_or_else(String::new, |most| format!(", max-requests {most}"));
    let private: String = private.iter().map(|range| format!(", private {range}")).collect();
    let signers = if signers.is_none() { String::new() } else { format!(", signers: {signers}") };
    format!(
        "tenant {tenant}: max-running {}, runs-per-minute {}, max-waiting {}, weight {weight}{requests}{limits}{private}{signers}",
        shown(max_running),
        shown(runs_per_minute),
        shown(max_waiting)
    )
}
