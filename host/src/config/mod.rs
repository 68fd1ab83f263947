//! What an operator sets, what a host says of itself, and where things live in the coordinator. It knows names and
//! numbers, and opens nothing.

mod bytes;
mod host;
mod layout;
mod up;

pub use bytes::{BytesText, parse_bytes};
pub use host::HostInfo;
pub use layout::{KeyError, Layout, MAX_KEY_BYTES, decode_key, encode_key};
pub use up::{DurationText, UpSettings};

/// The longest name of a tenant, job or host, in bytes.
pub const MAX_NAME_BYTES: usize = 63;

/// Whether `name` may name a tenant, a job or a host: such names become parts of paths, so their letters are few.
///
/// # Errors
/// The rule, as a sentence.
pub fn check_name(name: &str) -> Result<(), &'static str> {
    let letters = name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
    if (1..=MAX_NAME_BYTES).contains(&name.len()) && letters && !name.starts_with('-') {
        Ok(())
    } else {
        Err("it must be 1 to 63 lower-case letters, digits and `-`, the first no `-`")
    }
}
