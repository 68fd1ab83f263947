//! Texts of job.toml for the guests of the tests.

use std::fmt::Write as _;
use std::time::Duration;

use crate::place::guest;

/// The guest `witness` as leader job `acme/witness`; `more` are further lines of its own.
pub fn leading_witness(more: &str) -> String {
    job("acme", "witness", "witness", &format!("trigger = \"leader\"\n{more}"))
}

/// The guest `witness` as leader job `acme/witness`, which says every `beat` that it is alive.
pub fn quick_witness(beat: Duration) -> String {
    leading_witness(&format!("[config]\nbeat-ms = \"{}\"\n", beat.as_millis()))
}

/// The guest `scribe` as leader job `acme/scribe`.
pub fn scribe() -> String {
    job("acme", "scribe", "scribe", "trigger = \"leader\"\n")
}

/// The same, which also sends each number to a target at `origin`, with `more` lines of the table `http`.
pub fn sending_scribe(origin: &str, more: &str) -> String {
    let tables = format!("[http]\nallow = [\"{origin}\"]\n{more}[config]\nurl = \"{origin}/entry\"\n");
    job("acme", "scribe", "scribe", &format!("trigger = \"leader\"\n{tables}"))
}

/// The guest `witness` as job `acme/ticker` on a schedule.
pub fn ticking_witness(schedule: &str) -> String {
    job("acme", "ticker", "witness", &format!("trigger = \"schedule\"\nschedule = \"{schedule}\"\n"))
}

/// The guest `witness` as job `acme/NAME`, every second.
pub fn ticking(name: &str) -> String {
    job("acme", name, "witness", "trigger = \"schedule\"\nschedule = \"@every 1s\"\n")
}

/// The guest `misbehave` as a job of tenant `rogue`, named as it behaves, that runs when it is triggered; `limits` are
/// lines of that table.
pub fn misbehaving(behave: &str, limits: &str) -> String {
    let trigger = "trigger = \"schedule\"\nschedule = \"0 0 1 1 *\"\n";
    let tables = format!("[limits]\n{limits}\n[config]\nbehave = \"{behave}\"\n");
    job("rogue", behave, "misbehave", &format!("{trigger}{tables}"))
}

/// The guest `misbehave` as leader job `rogue/NAME`.
pub fn misbehaving_leader(name: &str, behave: &str) -> String {
    job("rogue", name, "misbehave", &format!("trigger = \"leader\"\n[config]\nbehave = \"{behave}\"\n"))
}

/// The guest `baton` as leader job `acme/NAME`.
pub fn baton(name: &str) -> String {
    job("acme", name, "baton", "trigger = \"leader\"\n")
}

/// The guest `caller` as job `acme/NAME` that runs when it is triggered, with one origin granted unless it is empty;
/// `config` are lines of that table.
pub fn calling(name: &str, allow: &str, config: &str) -> String {
    let trigger = "trigger = \"schedule\"\nschedule = \"0 0 1 1 *\"\n";
    job("acme", name, "caller", &format!("{trigger}{}[config]\n{config}", granting(allow)))
}

/// The guest `caller` as leader job `acme/NAME` that sends one request after the other, otherwise as [`calling`].
pub fn calling_leader(name: &str, allow: &str, config: &str) -> String {
    job(
        "acme",
        name,
        "caller",
        &format!("trigger = \"leader\"\n{}[config]\nrepeat = \"yes\"\n{config}", granting(allow)),
    )
}

fn granting(origin: &str) -> String {
    if origin.is_empty() { String::new() } else { format!("[http]\nallow = [\"{origin}\"]\n") }
}

/// A job of `tenant` that runs the guest of this name.
fn job(tenant: &str, name: &str, component: &str, rest: &str) -> String {
    let mut text = format!("tenant = \"{tenant}\"\nname = \"{name}\"\n");
    let _ = writeln!(text, "component = \"{}\"", guest(component).display());
    text + rest
}
