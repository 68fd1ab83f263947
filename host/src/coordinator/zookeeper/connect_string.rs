//! ZooKeeper's connect string: `HOST:PORT,HOST:PORT,…/CHROOT`.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use thiserror::Error;

use crate::coordinator::request::check_path;
use crate::text;

/// The port of an entry that names none.
const DEFAULT_PORT: u16 = 2181;
/// Maximum number of entries. The largest ensembles have a few dozen servers, observers included.
const MAX_SERVERS: usize = 64;
/// Maximum length of a chroot, in bytes: paths below it must stay within the coordinator's limit.
const MAX_CHROOT_BYTES: usize = 255;
/// Maximum length of a host name in bytes, and of one of its labels, as in RFC 1035.
const MAX_NAME_BYTES: usize = 253;
const MAX_LABEL_BYTES: usize = 63;
/// How much of an entry an error shows, in bytes.
const SHOWN_BYTES: usize = 80;

/// A checked connect string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ConnectString {
    /// In the order given, without duplicates; at least one.
    pub(super) servers: Vec<Server>,
    /// Absolute path without a trailing slash; empty if there is none.
    pub(super) chroot: String,
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Server {
    /// A name in lower case, or an IP address without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    /// True for an IP address: there is nothing to resolve.
    pub(super) is_address: bool,
}

/// Why a connect string is refused. Names the part at fault and the remedy.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("`{part}`: {reason}")]
pub(super) struct ConnectStringError {
    part: String,
    reason: String,
}

impl ConnectStringError {
    fn new(part: &str, reason: impl Into<String>) -> Self {
        ConnectStringError { part: text::cut(part, SHOWN_BYTES), reason: reason.into() }
    }
}

impl ConnectString {
    /// Parses `text`. Ignores whitespace around entries and the chroot, slashes at the end of the chroot, and entries
    /// given twice.
    ///
    /// # Errors
    /// [`ConnectStringError`] for everything else that is not a connect string.
    pub(super) fn parse(text: &str) -> Result<Self, ConnectStringError> {
        if let Some(at) = text.find("://") {
            return Err(has_scheme(text, at));
        }
        let (hosts, chroot) = text.find('/').map_or((text, ""), |at| text.split_at(at));
        let count = hosts.split(',').count();
        if count > MAX_SERVERS {
            let reason = format!("{count} servers, more than the limit of {MAX_SERVERS}");
            return Err(ConnectStringError::new(hosts, reason));
        }
        let mut servers: Vec<Server> = Vec::new();
        for entry in hosts.split(',') {
            let server = Server::parse(entry.trim())?;
            if !servers.contains(&server) {
                servers.push(server);
            }
        }
        Ok(ConnectString { servers, chroot: parse_chroot(chroot.trim())? })
    }
}

impl fmt::Display for ConnectString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, server) in self.servers.iter().enumerate() {
            write!(f, "{}{server}", if at == 0 { "" } else { "," })?;
        }
        f.write_str(&self.chroot)
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Server { host, port, is_address: _ } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

impl Server {
    fn parse(entry: &str) -> Result<Self, ConnectStringError> {
        let refuse = |reason: String| Err(ConnectStringError::new(entry, reason));
        if entry.is_empty() {
            return refuse("an entry is empty: write HOST:PORT, and one comma between two entries".to_owned());
        }
        if let Some((_, host)) = entry.rsplit_once('@') {
            // Not the whole entry: what is before the `@` may be a password.
            let reason = "a connect string has no user: leave out what is before `@`";
            return Err(ConnectStringError::new(&format!("…@{host}"), reason));
        }
        if let Some(separator) = entry.chars().find(|c| c.is_whitespace() || matches!(c, ';' | '|')) {
            let separator = text::plain(&separator.to_string());
            return refuse(format!("separate servers by `,`, not by `{separator}`"));
        }
        if let Some(bracketed) = entry.strip_prefix('[') {
            return Server::parse_bracketed(entry, bracketed);
        }
        if entry.matches(':').count() > 1 {
            return refuse(remedy_for_ipv6(entry));
        }
        let (name, port) = entry.split_once(':').map_or((entry, None), |(name, port)| (name, Some(port)));
        check_name(entry, name)?;
        let port = port.map_or(Ok(DEFAULT_PORT), |port| parse_port(entry, name, port))?;
        let host = name.to_ascii_lowercase();
        Ok(Server { is_address: host.parse::<Ipv4Addr>().is_ok(), host, port })
    }

    /// `::1]:2181` of the entry `[::1]:2181`.
    fn parse_bracketed(entry: &str, bracketed: &str) -> Result<Self, ConnectStringError> {
        let refuse = |reason: &str| Err(ConnectStringError::new(entry, reason));
        let Some((inside, rest)) = bracketed.split_once(']') else {
            return refuse("the bracket is not closed: write `[ADDRESS]:PORT`");
        };
        let (address, zone) = inside.split_once('%').map_or((inside, None), |(address, zone)| (address, Some(zone)));
        let is_zone = |zone: &str| !zone.is_empty() && zone.bytes().all(is_name_byte);
        if address.parse::<Ipv6Addr>().is_err() || !zone.is_none_or(is_zone) {
            return refuse("brackets enclose an IPv6 address, and there is none between them: leave them out");
        }
        let port = match rest.strip_prefix(':') {
            Some(port) => parse_port(entry, &format!("[{inside}]"), port)?,
            None if rest.is_empty() => DEFAULT_PORT,
            None => return refuse("after the bracket comes `:PORT` or nothing"),
        };
        // Interfaces are case-sensitive, addresses are not.
        let host = zone.map_or(address.to_ascii_lowercase(), |zone| format!("{}%{zone}", address.to_ascii_lowercase()));
        Ok(Server { host, port, is_address: true })
    }
}

/// The error for a connect string with a `://` at `at`.
fn has_scheme(text: &str, at: usize) -> ConnectStringError {
    let start = text[..at].rfind(',').map_or(0, |comma| comma + 1);
    let scheme = text[start..at + 3].trim_start();
    let rest = text[at + 3..].split(',').next().unwrap_or_default().trim_end();
    // What is before an `@` may be a password.
    let shown = rest.rsplit_once('@').map_or(format!("{scheme}{rest}"), |(_, host)| format!("{scheme}…@{host}"));
    let reason = format!("a connect string has no scheme: leave out `{}`", text::cut(scheme, SHOWN_BYTES));
    ConnectStringError::new(&shown, reason)
}

/// What to write instead of an entry with more than one colon and no brackets.
fn remedy_for_ipv6(entry: &str) -> String {
    let with_port = entry.rsplit_once(':').filter(|(address, port)| {
        address.parse::<Ipv6Addr>().is_ok() && port.parse::<u16>().is_ok_and(|port| port >= 1024)
    });
    match with_port {
        Some((address, port)) => format!("an IPv6 address goes into brackets: write `[{address}]:{port}`"),
        None if entry.parse::<Ipv6Addr>().is_ok() => {
            format!("an IPv6 address goes into brackets: write `[{entry}]:{DEFAULT_PORT}`")
        }
        None => "it is not HOST:PORT: separate servers by `,`, and put an IPv6 address into brackets".to_owned(),
    }
}

fn parse_port(entry: &str, host: &str, port: &str) -> Result<u16, ConnectStringError> {
    let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    match port.parse::<u16>() {
        Ok(number) if digits && number != 0 => Ok(number),
        _ if port.is_empty() => {
            let reason = format!("the port is missing after `:`: write `{}`", text::cut(&format!("{host}:2181"), 80));
            Err(ConnectStringError::new(entry, reason))
        }
        _ => {
            let port = text::cut(port, SHOWN_BYTES);
            Err(ConnectStringError::new(entry, format!("port `{port}` is not a number from 1 to 65535")))
        }
    }
}

/// Names in private networks may have underscores, whatever the standards say. A dot at the end marks an absolute name.
fn check_name(entry: &str, name: &str) -> Result<(), ConnectStringError> {
    let refuse = |reason: String| Err(ConnectStringError::new(entry, reason));
    if name.is_empty() {
        return refuse("the host is missing before `:`: write HOST:PORT".to_owned());
    }
    if let Some(wrong) = name.chars().find(|c| !c.is_ascii() || !is_name_byte(*c as u8)) {
        let remedy = if wrong.is_ascii() { "" } else { "; give an internationalized name in its `xn--` form" };
        return refuse(format!("host names have no `{}`{remedy}", text::plain(&wrong.to_string())));
    }
    let labels: Vec<&str> = name.strip_suffix('.').unwrap_or(name).split('.').collect();
    let is_label = |label: &&str| !label.is_empty() && label.len() <= MAX_LABEL_BYTES;
    if name.len() > MAX_NAME_BYTES || !labels.iter().all(is_label) {
        let limits = format!("a name has at most {MAX_NAME_BYTES} bytes, and 1 to {MAX_LABEL_BYTES} between two dots");
        return refuse(limits);
    }
    let is_number = |label: &&str| label.bytes().all(|byte| byte.is_ascii_digit());
    if labels.len() == 4 && labels.iter().all(is_number) && name.parse::<Ipv4Addr>().is_err() {
        return refuse("an IPv4 address has four numbers from 0 to 255, without leading zeros".to_owned());
    }
    Ok(())
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')
}

/// Returns the chroot without slashes at its end. `chroot` is empty or begins with a slash.
fn parse_chroot(chroot: &str) -> Result<String, ConnectStringError> {
    let refuse = |reason: String| Err(ConnectStringError::new(chroot, reason));
    if chroot.contains(',') {
        return refuse("the chroot comes once, after the last server: `HOST:PORT,HOST:PORT/CHROOT`".to_owned());
    }
    let path = chroot.trim_end_matches('/');
    if path.is_empty() {
        return Ok(String::new());
    }
    if path.len() > MAX_CHROOT_BYTES {
        return refuse(format!("a chroot has at most {MAX_CHROOT_BYTES} bytes, and this one has {}", path.len()));
    }
    if path.contains(char::is_whitespace) {
        return refuse("the chroot has a space in it".to_owned());
    }
    if let Err(crate::coordinator::Error::InvalidPath { reason, .. }) = check_path(path) {
        return refuse(format!("the chroot is not a path: {reason}"));
    }
    if path == "/zookeeper" || path.starts_with("/zookeeper/") {
        return refuse("`/zookeeper` is ZooKeeper's own: use another chroot".to_owned());
    }
    Ok(path.to_owned())
}

#[cfg(test)]
mod tests;
