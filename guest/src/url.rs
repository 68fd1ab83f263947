//! A URL in the parts that a request has, as RFC 3986 reads it. What can't be sent is refused in words.

use std::net::Ipv6Addr;

/// The longest host name, as DNS has it.
const MAX_HOST_BYTES: usize = 253;
/// The longest part of a host name between two dots.
const MAX_LABEL_BYTES: usize = 63;

/// Where a request goes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) scheme: Scheme,
    /// The host in lower case, and the port if the URL names one.
    pub(crate) authority: String,
    /// The path and the query, percent-encoded; never empty.
    pub(crate) path: String,
}

/// How a request travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    Http,
    Https,
}

impl Target {
    /// Returns the parts of a URL. A fragment is not sent.
    ///
    /// # Errors
    /// What is wrong with it, in words that follow on the URL.
    pub(crate) fn of(url: &str) -> Result<Self, &'static str> {
        let url = url.split('#').next().unwrap_or_default();
        let (scheme, rest) = url.split_once("://").ok_or(NO_SCHEME)?;
        let scheme = match scheme {
            scheme if scheme.eq_ignore_ascii_case("http") => Scheme::Http,
            scheme if scheme.eq_ignore_ascii_case("https") => Scheme::Https,
            _ => return Err(NO_SCHEME),
        };
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        Ok(Target { scheme, authority: self::authority(authority)?, path: self::path(path)? })
    }
}

const NO_SCHEME: &str = "it must begin with `http://` or `https://`";

fn authority(text: &str) -> Result<String, &'static str> {
    if text.contains('@') {
        return Err("it must have no user and no password");
    }
    let (host, rest) = match text.find(']').filter(|_| text.starts_with('[')) {
        Some(end) => text.split_at(end + 1),
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let port = rest.strip_prefix(':').unwrap_or(rest);
    if port.contains(':') {
        return Err("its host must stand in brackets if it is an IPv6 address");
    }
    if port == rest && !rest.is_empty() {
        return Err("its port must stand behind a colon");
    }
    let host = self::host(host)?;
    if port.is_empty() {
        return Ok(host);
    }
    let number = port.bytes().all(|byte| byte.is_ascii_digit()).then(|| port.parse::<u16>().ok()).flatten();
    match number.filter(|number| *number != 0) {
        Some(number) => Ok(format!("{host}:{number}")),
        None => Err("its port must be from 1 to 65535"),
    }
}

fn host(text: &str) -> Result<String, &'static str> {
    if let Some(address) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        if address.contains('%') {
            return Err("its address must have no zone, which means something on one machine alone");
        }
        let address: Ipv6Addr = address.parse().map_err(|_| "what stands in brackets must be an IPv6 address")?;
        return Ok(format!("[{address}]"));
    }
    let name = decoded(text);
    let name = name.strip_suffix('.').unwrap_or(&name);
    if name.is_empty() {
        return Err("it names no host");
    }
    if !name.is_ascii() || name.contains('%') {
        return Err("its host must be in ASCII: write the punycode form of a name, `xn--…`");
    }
    match name.len() <= MAX_HOST_BYTES && name.split('.').all(is_label) {
        true => Ok(name.to_ascii_lowercase()),
        false => Err("its host must be a name, an IPv4 address or an IPv6 address in brackets"),
    }
}

fn is_label(label: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    !label.is_empty() && label.len() <= MAX_LABEL_BYTES && !label.starts_with('-') && label.bytes().all(is_plain)
}

/// Returns the host with each percent-encoded letter, digit, `-`, `.`, `_` and `~` as itself, which is the same URL.
fn decoded(text: &str) -> String {
    let mut decoded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        decoded.push_str(before);
        let byte = after.get(..2).filter(|hex| is_hex(hex.as_bytes())).and_then(|hex| u8::from_str_radix(hex, 16).ok());
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

/// Returns the path and query as they are sent: an empty path is `/`, and what can't stand there is percent-encoded, also a `%`
/// that begins no percent-encoding.
fn path(text: &str) -> Result<String, &'static str> {
    if text.bytes().any(|byte| byte.is_ascii_control()) {
        return Err("it must have no control characters; percent-encode them");
    }
    let mut path = String::with_capacity(text.len() + 1);
    if !text.starts_with('/') {
        path.push('/');
    }
    for (index, byte) in text.bytes().enumerate() {
        let is_plain = byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/?".contains(&byte);
        let encodes = byte == b'%' && text.as_bytes().get(index + 1..index + 3).is_some_and(is_hex);
        match is_plain || encodes {
            true => path.push(char::from(byte)),
            false => path.push_str(&format!("%{byte:02X}")),
        }
    }
    Ok(path)
}

fn is_hex(digits: &[u8]) -> bool {
    digits.iter().all(u8::is_ascii_hexdigit)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As an origin is written: with its port.
    fn origin(Target { scheme, authority, .. }: &Target) -> String {
        let (scheme, port) = match scheme {
            Scheme::Http => ("http", 80),
            Scheme::Https => ("https", 443),
        };
        let names_port = authority.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
        if names_port { format!("{scheme}://{authority}") } else { format!("{scheme}://{authority}:{port}") }
    }

    /// The same table as for a host's requests and grants.
    #[test]
    fn w10_a_url_is_read_as_rfc_3986_has_it() {
        let rows =
            include_str!("../../tests/urls.txt").lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        for row in rows {
            let columns: Vec<&str> = row.split('|').map(str::trim).collect();
            let [url, wanted, path, _] = columns.try_into().unwrap();
            match (wanted.strip_prefix("refused: "), Target::of(url)) {
                (None, Ok(target)) => assert_eq!((&*origin(&target), &*target.path), (wanted, path), "{url}"),
                (Some(why), Err(told)) => assert!(told.contains(why), "{url}: {told}"),
                (_, found) => panic!("{url}: {found:?}"),
            }
        }
    }

    #[test]
    fn w10_control_characters_are_refused() {
        for url in ["http://h/a\nb", "http://h/?a\r\nhost: x", "http://h/\0", "http://h\n/", "http://h/\x7f"] {
            assert!(Target::of(url).is_err(), "{url:?}");
        }
    }
}
