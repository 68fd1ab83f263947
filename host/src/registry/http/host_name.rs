//! The one way a host is written here, so that two that are the same compare as the same (RFC 3986, 3.2.2).

use std::net::Ipv6Addr;

/// The longest host name, as DNS has it.
const MAX_HOST_BYTES: usize = 253;
/// The longest part of a host name between two dots.
const MAX_LABEL_BYTES: usize = 63;

/// Returns the canonical form of the host in a URL: in lower case, without percent-encoding, without the dot that may stand
/// behind the last part of a name.
///
/// # Errors
/// What is wrong with it, and where it is known what to write instead.
pub(super) fn canonical(host: &str) -> Result<String, String> {
    if let Some(address) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return address_of(address);
    }
    let name = decoded(host);
    let name = name.strip_suffix('.').unwrap_or(&name);
    if name.is_empty() {
        return Err("it names no host".to_owned());
    }
    if !name.is_ascii() || name.contains('%') {
        return Err(not_ascii(name));
    }
    match name.len() <= MAX_HOST_BYTES && name.split('.').all(is_label) {
        true => Ok(name.to_ascii_lowercase()),
        false => Err("its host must be a name, an IPv4 address or an IPv6 address in brackets".to_owned()),
    }
}

/// Returns the text with each percent-encoded letter, digit, `-`, `.`, `_` and `~` as itself, which is the same URL (RFC 3986,
/// 6.2.2.2).
pub fn decoded(text: &str) -> String {
    let mut decoded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        decoded.push_str(before);
        let byte = after.get(..2).filter(|hex| hex.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let byte = byte.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match byte.map(char::from).filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '~')) {
            Some(character) => {
                decoded.push(character);
                rest = &after[2..];
            }
            None => {
                decoded.push('%');
                rest = after;
            }
        }
    }
    decoded + rest
}

fn address_of(address: &str) -> Result<String, String> {
    if address.contains('%') {
        return Err("its address must have no zone, which means something on one machine alone".to_owned());
    }
    match address.parse::<Ipv6Addr>() {
        Ok(address) => Ok(format!("[{address}]")),
        Err(_) => Err("what stands in brackets must be an IPv6 address".to_owned()),
    }
}

/// Returns what is wrong with a name of other letters than ASCII's, or with percent-encoded ones.
fn not_ascii(name: &str) -> String {
    let bytes = percent_decoded(name);
    let ascii = String::from_utf8(bytes).ok().and_then(|name| idna::domain_to_ascii(&name).ok());
    match ascii.filter(|ascii| ascii.split('.').all(is_label)) {
        Some(ascii) => format!("its host must be in ASCII, in the punycode form: write `{ascii}`"),
        None => "its host must be in ASCII: letters, digits, `-`, `_` and dots".to_owned(),
    }
}

/// Returns the bytes of a text whose percent-encoded ones are decoded.
fn percent_decoded(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let hex = after.get(..2).filter(|_| first == b'%').and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    bytes
}

fn is_label(label: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    !label.is_empty() && label.len() <= MAX_LABEL_BYTES && !label.starts_with('-') && label.bytes().all(is_plain)
}
