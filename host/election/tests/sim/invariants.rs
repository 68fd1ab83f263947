//! What must hold, whatever happens: each a function, named after what it says.

use silverback_election::{Action, State};

use crate::host::Host;
use crate::mutations::Mutation;
use crate::setting::Time;
use crate::term::Gate;
use crate::world::World;

/// An invariant that did not hold.
#[derive(Clone, Debug)]
pub(crate) struct Broken {
    pub(crate) invariant: &'static str,
    pub(crate) detail: String,
}

fn broken<T>(invariant: &'static str, detail: String) -> Result<T, Broken> {
    Err(Broken { invariant, detail })
}

/// Those that are looked at after every event.
pub(crate) fn at_any_time(world: &World) -> Result<(), Broken> {
    one_live_gate(world)?;
    stopped_before_another_can_lead(world)?;
    a_live_gate_is_first_in_the_queue(world)?;
    an_evicted_guest_is_stopped(world)
}

/// Those that hold again once faults have been over for a while.
pub(crate) fn at_the_end(world: &World) -> Result<(), Broken> {
    no_orphan(world)?;
    someone_leads(world)
}

/// Whose contenders nobody else deleted: who does that lets another lead at once, and the fence alone stands between them.
fn untouched(world: &World) -> impl Iterator<Item = (usize, &Host)> {
    world
        .hosts
        .iter()
        .enumerate()
        .filter(|(_, host)| host.term.as_ref().is_some_and(|term| world.ensemble.was_taken(&term.contender).is_none()))
}

// ---- at any time ----

/// At most one host has a guest that may execute.
fn one_live_gate(world: &World) -> Result<(), Broken> {
    let live = || untouched(world).filter(|(_, host)| host.has_live_gate(world.now));
    if live().count() > 1 {
        let hosts: Vec<usize> = live().map(|(host, _)| host).collect();
        return broken("one_live_gate", format!("gates are live at hosts {hosts:?}"));
    }
    Ok(())
}

/// As long as a guest executes, in a process that runs, its contender stands: so nobody behind it leads.
fn stopped_before_another_can_lead(world: &World) -> Result<(), Broken> {
    for (host, it) in untouched(world).filter(|(_, host)| host.executes()) {
        if let Some(term) = it.term.as_ref().filter(|term| world.ensemble.node(&term.contender).is_none()) {
            let detail = format!("host {host} executes under {}, which is gone", term.contender);
            return broken("stopped_before_another_can_lead", detail);
        }
    }
    Ok(())
}

/// Whichever library those ahead of it came by.
fn a_live_gate_is_first_in_the_queue(world: &World) -> Result<(), Broken> {
    for (host, it) in untouched(world).filter(|(_, host)| host.has_live_gate(world.now)) {
        let first = world.ensemble.first.as_ref();
        if it.term.as_ref().map(|term| &term.contender) != first.map(|node| &node.name) {
            let detail = format!("host {host} leads, {:?} is first", first.map(|node| &node.name));
            return broken("a_live_gate_is_first_in_the_queue", detail);
        }
    }
    Ok(())
}

/// A guest whose contender somebody deleted is stopped as soon as its host can be told, which takes two questions and
/// their answers at the most.
fn an_evicted_guest_is_stopped(world: &World) -> Result<(), Broken> {
    let bound: Time = 3 * world.setting.timeout();
    for (host, it) in world.hosts.iter().enumerate().filter(|(_, host)| host.executes() && host.is_connected()) {
        let taken = it.term.as_ref().and_then(|term| world.ensemble.was_taken(&term.contender));
        if taken.is_some_and(|at| world.now > at.max(it.undisturbed_since) + bound) {
            return broken("an_evicted_guest_is_stopped", format!("host {host} executes on"));
        }
    }
    Ok(())
}

// ---- when something is done ----

/// A token is greater than every one that was led on before.
pub(crate) fn tokens_rise(world: &mut World, host: usize) {
    let it = &world.hosts[host];
    let Some(term) = &it.term else { return };
    let (token, live) = (term.token, it.has_live_gate(world.now));
    if !live || world.ensemble.was_taken(&term.contender).is_some() {
        return;
    }
    if token <= world.highest_token {
        let highest = world.highest_token;
        fail(world, "tokens_rise", format!("host {host} is granted {token} after {highest}"));
    }
    world.highest_token = world.highest_token.max(token);
}

/// A guest's write that the ensemble accepts is that of whoever leads at that moment.
pub(crate) fn no_accepted_write_is_old(world: &mut World, token: i64) {
    let first = world.ensemble.first.as_ref().map(|first| first.czxid);
    // Where tokens are no czxids by intention, they can't be compared with one.
    if first != Some(token) && !world.setting.has(Mutation::TokenFromNumber) {
        fail(world, "no_accepted_write_is_old", format!("a write with {token}, while {first:?} leads"));
    }
}

/// No write is sent between the news that the connection is down and the contender seen again.
pub(crate) fn what_passes_the_gate_is_proven(world: &mut World, host: usize) {
    if world.hosts[host].term.as_ref().is_some_and(|term| !term.proven) {
        fail(world, "what_passes_the_gate_is_proven", format!("host {host} has not seen its contender again"));
    }
}

/// The guest is confirmed to have stopped.
pub(crate) fn stopped_before_its_contender_is_deleted(world: &mut World, host: usize) {
    if world.hosts[host].term.is_some() {
        fail(world, "stopped_before_its_contender_is_deleted", format!("host {host} has a guest"));
    }
}

/// The one before is answered.
pub(crate) fn one_write_at_a_time(world: &mut World, host: usize) {
    let write = world.hosts[host].driver.as_ref().and_then(|driver| driver.write.clone());
    if let Some(write) = write {
        fail(world, "one_write_at_a_time", format!("host {host} still waits for {write:?}"));
    }
}

/// A machine that has said that it is done says nothing more.
pub(crate) fn nothing_follows_the_end(world: &mut World, host: usize, action: &Action) {
    if world.hosts[host].driver.as_ref().is_some_and(|driver| driver.finished) {
        fail(world, "nothing_follows_the_end", format!("host {host} does {action:?}"));
    }
}

/// A machine is done only after its guest is.
pub(crate) fn the_end_comes_after_the_guests(world: &mut World, host: usize) {
    if world.hosts[host].term.is_some() {
        fail(world, "the_end_comes_after_the_guests", format!("host {host} has a guest"));
    }
}

fn fail(world: &mut World, invariant: &'static str, detail: String) {
    world.broken.get_or_insert(Broken { invariant, detail });
}

// ---- at the end ----

/// Every contender that is left is one that a host stands with.
fn no_orphan(world: &World) -> Result<(), Broken> {
    let stands_with = |host: &Host, name: &str| {
        host.driver.as_ref().is_some_and(|driver| match driver.machine.state() {
            State::Listing { me }
            | State::Waiting { me, .. }
            | State::Leading { me, .. }
            | State::Stopping { me: Some(me), .. }
            | State::Releasing { me, .. } => me.name() == name,
            State::Joining { prefix, .. } | State::Looking { prefix, .. } => name.starts_with(prefix.as_str()),
            State::Idle | State::Stopping { me: None, .. } | State::Resting | State::Dying | State::Gone => false,
        })
    };
    match world.ensemble.committed.iter().find(|node| !world.hosts.iter().any(|host| stands_with(host, &node.name))) {
        Some(orphan) => broken("no_orphan", format!("{orphan:?} is nobody's")),
        None => Ok(()),
    }
}

/// With an open gate.
fn someone_leads(world: &World) -> Result<(), Broken> {
    let leads =
        |host: &Host| host.has_live_gate(world.now) && host.term.as_ref().is_some_and(|term| term.gate == Gate::Open);
    if world.hosts.iter().any(leads) {
        return Ok(());
    }
    let states: Vec<Option<&State>> =
        world.hosts.iter().map(|host| host.driver.as_ref().map(|driver| driver.machine.state())).collect();
    broken("someone_leads", format!("nobody leads: {states:?}"))
}
