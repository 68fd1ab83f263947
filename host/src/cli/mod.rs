//! The command line: one file a command, and the only place that prints. All but `up`, `next --schedule` and what a job's author
//! does at home (`new`, `wit`, `check`, `run`, `dev`) talk to a host's API.

mod apply;
mod check;
mod client;
mod cluster;
mod delete;
mod dev;
mod drain;
mod evict;
mod lead;
mod list;
mod logs;
mod new;
mod next;
mod output;
mod pause;
mod run;
mod secret;
mod server_url;
mod sign;
mod state;
mod tenant;
mod up;
mod wit;

use std::io;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};

use crate::config::check_name;
use crate::files::{self, Access};
use crate::registry::{JobId, Signer};
use crate::runtime::{self, CompileLimits};
use crate::text::{is_harmful, plain_lines};
use client::Client;

/// Leader election whose leader function is a sandboxed WebAssembly component
#[derive(Debug, Parser)]
#[command(name = "silverback", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a host until it is told to stop
    Up(up::Up),
    /// Store jobs from their job.toml files
    Apply(apply::Apply),
    /// List jobs
    Jobs(list::Jobs),
    /// List live hosts
    Hosts(list::Hosts),
    /// List who stands in a job's election, the leader first
    Contenders(list::Contenders),
    /// List a job's runs, newest first
    Runs(list::Runs),
    /// List the coming ticks of a job, or of a schedule without a host
    Next(next::Next),
    /// What a host has its children do
    #[command(hide = true)]
    CompileComponent {
        cpu_seconds: u64,
        memory_bytes: u64,
        #[arg(long)]
        metered: bool,
    },
    /// The same, of a signature
    #[command(hide = true)]
    VerifyComponent {
        cpu_seconds: u64,
        memory_bytes: u64,
        #[arg(required = true)]
        signers: Vec<Signer>,
    },
    /// Show what a job's runs said
    Logs(logs::Logs),
    /// Make the leader of a job's election give up leadership
    ///
    /// A scheduled job is led together with the others of its group: that takes --group, and stops the runs of all of them.
    Resign(lead::Resign),
    /// Remove a contender that hangs from a job's election
    ///
    /// Nothing is asked of the contender, and whoever stands next leads at once. A host that lives stops its guest when it sees
    /// that, a moment later perhaps than another's starts: what it still writes is refused, and a job's lock_delay holds the
    /// next one back. Then it stands again at the end of the queue. A scheduled job is led together with the others of its
    /// group: that takes --group, and stops the runs of all of them.
    Evict(evict::Evict),
    /// Make a host hand over all that it leads, and stand for nothing
    ///
    /// Guests are asked to stop first. The host goes on answering, and stands again after `undrain`, or when it is started
    /// again.
    Drain(drain::Drain),
    /// Let a drained host stand again
    Undrain(drain::Undrain),
    /// What concerns the cluster as a whole
    Cluster(cluster::Cluster),
    /// Run a scheduled job now
    Trigger(lead::Trigger),
    /// Run the ticks of a span that is past, one after another beside the schedule
    ///
    /// The tick that a run is told is the nominal time. At most 1000 ticks at once; a change of the job ends it.
    Backfill(lead::Backfill),
    /// Let a scheduled job tick from a time on whose ticks count as decided
    ///
    /// Each tick is decided once, in order, and a job remembers up to when. If the clock of a host was ahead for a while, that is a
    /// time yet to come, and nothing runs before it: `jobs` says so. From the time given here on, which is now unless --to says
    /// otherwise, ticks count as undecided again, also those that have run already.
    SetCursor(lead::SetCursor),
    /// Let a job rest
    Pause(pause::Pause),
    /// Let a paused job go on
    Resume(pause::Resume),
    /// List tenants that have jobs or were set something
    Tenants(tenant::Tenants),
    /// Set a tenant's limits and weight, or show them
    ///
    /// What is not given stays as it is; `none` sets the default. The limits hold on each host by itself, for the tenant's
    /// scheduled runs there; a tick beyond --max-waiting is skipped, with the reason. Where a host is full, of two tenants with
    /// runs that wait the one with twice the weight begins twice as many.
    Tenant(tenant::Tenant),
    /// Set, list and delete the secrets of a tenant
    ///
    /// A job.toml names those that its runs have under [secrets], as in token = "payments". They are kept encrypted, under a key
    /// that only hosts have.
    Secret(secret::Secret),
    /// Delete a job and what it keeps
    Delete(delete::Delete),
    /// Read and write what a job keeps
    State(state::State),
    /// Check whether a component fits, without a host
    Check(check::Check),
    /// Sign a component
    ///
    /// The signature becomes the component's first section, and takes the place of one that is there. A tenant whose signers are
    /// set (`silverback tenant`) runs no component that none of them signed.
    Sign(sign::Sign),
    /// Make a key to sign components with
    ///
    /// Writes the secret key, which is for whoever signs, and prints the signer, which is for `silverback tenant --signer`.
    /// What `openssl genpkey -algorithm ed25519` writes is such a key too.
    SigningKey(sign::SigningKey),
    /// Run a job.toml's component once, on the spot: nothing is asked of a host, and nothing is kept
    ///
    /// It has the limits, grants, capabilities and config that it would have on a host that sets its tenant nothing, and a state of
    /// its own that is empty but for --state. Tells what it says, how it ends, what it uses and what it leaves in its state. Exits with 1 where the run
    /// doesn't succeed.
    Run(run::Run),
    /// The same as `run`, again at each change of the job.toml or the component
    Dev(dev::Dev),
    /// Begin a job: a project that builds and runs
    New(new::New),
    /// Write the world that a component is made for into a folder, with all it needs, for any language's tools
    Wit(wit::Wit),
}

/// Which host answers.
#[derive(Debug, Args)]
struct Server {
    /// The host to talk to; any one answers for the whole cluster
    #[arg(
        long,
        env = "SILVERBACK_SERVER",
        hide_env_values = true,
        default_value = "http://127.0.0.1:7070",
        value_name = "URL"
    )]
    server: String,
}

impl Server {
    fn client(&self) -> anyhow::Result<Client> {
        Client::new(&self.server)
    }
}

/// Which job.
#[derive(Debug, Args)]
struct Named {
    /// The job
    #[arg(value_name = "TENANT/JOB")]
    job: JobId,
}

/// Parses the command line, runs the command and gives the exit code: 0 done, 1 failed, 2 not understood.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return not_understood(&error),
    };
    match run(cli) {
        Ok(code) => code,
        Err(error) if reader_is_gone(&error) => ExitCode::SUCCESS,
        Err(error) => {
            output::complain(&error);
            ExitCode::FAILURE
        }
    }
}

/// Prints help, a version, or what is wrong with an argument. The latter shows the argument, which a script may have from
/// others: one that could drive the terminal is escaped, at the price of the colours.
fn not_understood(error: &clap::Error) -> ExitCode {
    let harmless = std::env::args_os().all(|argument| !argument.to_string_lossy().contains(is_harmful));
    if harmless || !error.use_stderr() {
        error.exit();
    }
    eprintln!("{}", plain_lines(error.to_string().trim_end()));
    ExitCode::from(2)
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let done = match cli.command {
        Command::CompileComponent { cpu_seconds, memory_bytes, metered } => {
            return Ok(runtime::compile_for_parent(CompileLimits { cpu_seconds, memory_bytes }, metered));
        }
        Command::VerifyComponent { cpu_seconds, memory_bytes, signers } => {
            return Ok(runtime::verify_for_parent(CompileLimits { cpu_seconds, memory_bytes }, signers));
        }
        Command::Up(up) => up.run(),
        Command::Apply(apply) => apply.run(),
        Command::Jobs(jobs) => jobs.run(),
        Command::Hosts(hosts) => hosts.run(),
        Command::Contenders(contenders) => contenders.run(),
        Command::Runs(runs) => runs.run(),
        Command::Next(next) => next.run(),
        Command::Logs(logs) => logs.run(),
        Command::Resign(resign) => resign.run(),
        Command::Evict(evict) => evict.run(),
        Command::Drain(drain) => drain.run(),
        Command::Undrain(undrain) => undrain.run(),
        Command::Cluster(cluster) => cluster.run(),
        Command::Trigger(trigger) => trigger.run(),
        Command::Backfill(backfill) => backfill.run(),
        Command::SetCursor(cursor) => cursor.run(),
        Command::Pause(pause) => pause.run(),
        Command::Resume(resume) => resume.run(),
        Command::Tenants(tenants) => tenants.run(),
        Command::Tenant(tenant) => tenant.run(),
        Command::Secret(secret) => secret.run(),
        Command::Delete(delete) => delete.run(),
        Command::State(state) => state.run(),
        Command::Check(check) => check.run(),
        Command::Sign(sign) => sign.run(),
        Command::SigningKey(key) => key.run(),
        Command::Run(run) => return run.run(),
        Command::Dev(dev) => dev.run(),
        Command::New(new) => new.run(),
        Command::Wit(wit) => wit.run(),
    };
    done.map(|()| ExitCode::SUCCESS)
}

/// `silverback logs … | head` is no failure.
fn reader_is_gone(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// The name of a tenant, a secret or a host.
fn name(text: &str) -> Result<String, String> {
    check_name(text).map_err(str::to_owned)?;
    Ok(text.to_owned())
}

/// A file's bytes, with its name in the error.
fn read_file(path: &std::path::Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("can't read `{}`", path.display()))
}

/// Writes a new file that nobody else may read. A file that is there is never replaced.
fn new_secret_file(path: &std::path::Path, text: &str) -> anyhow::Result<()> {
    let made = files::create(path, text.as_bytes(), Access::Private);
    made.with_context(|| format!("can't make `{}`", path.display()))
}

#[cfg(test)]
mod tests;
