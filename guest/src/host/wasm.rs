//! Inside a host.

use super::{Change, Contender, Level, StoreError, Wake, wire};
use crate::bindings::silverback::leader::leadership;
use crate::bindings::wasi::config::store as config;
use crate::bindings::wasi::keyvalue::{atomics, store};
use crate::bindings::wasi::logging::logging;
use crate::http::{Error, Request, Response};
use crate::url::Target;

pub(crate) fn is_there() -> bool {
    true
}

pub(crate) fn config(key: &str) -> Option<String> {
    // Silverback's hosts have the whole table at hand, so this call doesn't fail there.
    config::get(key).ok().flatten()
}

pub(crate) fn get(key: &str) -> Result<Option<Vec<u8>>, StoreError> {
    bucket()?.get(key)
}

pub(crate) fn set(key: &str, value: &[u8]) -> Result<(), StoreError> {
    bucket()?.set(key, value)
}

pub(crate) fn delete(key: &str) -> Result<(), StoreError> {
    bucket()?.delete(key)
}

pub(crate) fn keys() -> Result<Vec<String>, StoreError> {
    let bucket = bucket()?;
    let mut page = bucket.list_keys(None)?;
    let mut keys = std::mem::take(&mut page.keys);
    while let Some(cursor) = page.cursor {
        page = bucket.list_keys(Some(cursor))?;
        keys.append(&mut page.keys);
    }
    Ok(keys)
}

pub(crate) fn increment(key: &str, delta: u64) -> Result<u64, StoreError> {
    atomics::increment(&bucket()?, key, delta)
}

/// The job's own state.
fn bucket() -> Result<store::Bucket, StoreError> {
    store::open("default")
}

pub(crate) fn wait_for_change(key: &str, seen: Option<u64>, timeout_ms: u64) -> Result<Change, String> {
    leadership::wait_for_change(key, seen, timeout_ms)
}

pub(crate) fn is_leader() -> bool {
    leadership::is_leader()
}

pub(crate) fn token() -> u64 {
    leadership::token()
}

pub(crate) fn remaining_ms() -> u64 {
    leadership::remaining_ms()
}

pub(crate) fn should_stop() -> bool {
    leadership::should_stop()
}

pub(crate) fn sleep(timeout_ms: u64) -> Wake {
    leadership::sleep(timeout_ms)
}

pub(crate) fn contenders() -> Result<Vec<Contender>, String> {
    leadership::contenders()
}

pub(crate) fn log(level: Level, context: &str, message: &str) {
    logging::log(level, context, message);
}

pub(crate) fn send(request: Request, target: Target) -> Result<Response, Error> {
    wire::send(request, target)
}
