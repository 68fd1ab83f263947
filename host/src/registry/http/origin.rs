//! Scheme, host and port: what a request is compared by.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::Allowed;
use super::host_name::canonical;
use crate::registry::validate;

/// What is wrong with a URL of no scheme, or of another one.
pub(super) const NO_SCHEME: &str = "it must begin with `http://` or `https://`";

/// How a request travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// As it is.
    Http,
    /// Under TLS.
    Https,
}

impl Scheme {
    /// The scheme of this name, in any case.
    pub(super) fn named(name: &str) -> Option<Self> {
        [Scheme::Http, Scheme::Https].into_iter().find(|scheme| name.eq_ignore_ascii_case(scheme.name()))
    }

    /// `http` or `https`.
    pub fn name(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }

    /// The port where none is named.
    pub fn default_port(self) -> u16 {
        match self {
            Scheme::Http => 80,
            Scheme::Https => 443,
        }
    }
}

/// A scheme, a host and a port: what a grant names and a request is compared with. Written with its port, the host in
/// lower case: `https://api.example.com:443`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    scheme: Scheme,
    host: String,
    port: u16,
}

impl Origin {
    /// Returns the origin that a request of this scheme and authority goes to, as RFC 3986 reads them: an empty port is the
    /// scheme's own, and a dot behind the host's name changes nothing.
    ///
    /// # Errors
    /// What is wrong with them, in words that follow on the URL.
    pub fn of_request(scheme: &str, authority: &str) -> Result<Self, String> {
        let scheme = Scheme::named(scheme).ok_or(NO_SCHEME)?;
        if authority.contains('@') {
            return Err("it must have no user and no password".to_owned());
        }
        let (host, port) = split(authority)?;
        Origin::new(scheme, host, port)
    }

    /// Returns the origin of a host and, if it isn't empty, a port.
    pub(super) fn new(scheme: Scheme, host: &str, port: &str) -> Result<Self, String> {
        let host = canonical(host)?;
        let port = if port.is_empty() { scheme.default_port() } else { number(port)? };
        Ok(Origin { scheme, host, port })
    }

    /// How it travels.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The host's name or address; IPv6 in brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Never 0.
    pub fn port(&self) -> u16 {
        self.port
    }
}

/// Splits an authority without userinfo into its host, IPv6 in brackets, and its port, which may be empty.
///
/// # Errors
/// What is wrong where it can't be split.
pub(super) fn split(authority: &str) -> Result<(&str, &str), String> {
    let (host, rest) = match authority.find(']').filter(|_| authority.starts_with('[')) {
        Some(end) => authority.split_at(end + 1),
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    match rest.strip_prefix(':').unwrap_or(rest) {
        port if port.contains(':') => Err("its host must stand in brackets if it is an IPv6 address".to_owned()),
        "" => Ok((host, "")),
        port if rest.starts_with(':') => Ok((host, port)),
        _ => Err("its port must stand behind a colon".to_owned()),
    }
}

fn number(port: &str) -> Result<u16, String> {
    let digits = Some(port).filter(|port| port.bytes().all(|byte| byte.is_ascii_digit()));
    let number = digits.and_then(|port| port.parse().ok()).filter(|port| *port != 0);
    number.ok_or_else(|| "its port must be from 1 to 65535".to_owned())
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}", self.scheme.name(), self.host, self.port)
    }
}

/// Text that names no origin, and why.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("origin `{value}` is not valid: {reason}")]
pub struct OriginError {
    value: String,
    pub(in crate::registry) reason: String,
}

impl OriginError {
    pub(super) fn new(text: &str, reason: String) -> Self {
        OriginError { value: validate::cut(text), reason }
    }
}

impl FromStr for Origin {
    type Err = OriginError;

    /// Reads an origin as a grant is written, without a wildcard.
    fn from_str(text: &str) -> Result<Self, OriginError> {
        let allowed: Allowed = text.parse()?;
        allowed.into_origin().ok_or_else(|| OriginError::new(text, "it must have no wildcard".to_owned()))
    }
}
