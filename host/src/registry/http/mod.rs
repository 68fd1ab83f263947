//! Where a job may send HTTP requests, and under which header its token goes with them.
//!
//! It compares names and addresses. It sends nothing, and doesn't know which address a name has.

mod addresses;

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use self::addresses::Ranges;
use super::validate;

/// The header that says whose a guest's request is. The guest can't set it, and no host's API answers who sends it: a tenant
/// that may reach this machine doesn't thereby command its hosts.
pub const TENANT_HEADER: &str = "silverback-tenant";
/// The most origins of one job.
pub const MAX_HTTP_ORIGINS: usize = 32;
/// The longest host name, as DNS has it.
const MAX_HOST_BYTES: usize = 253;
/// The longest name of the token's header, in bytes.
const MAX_HEADER_NAME_BYTES: usize = 64;

/// Headers that the host writes, or that speak to the next hop rather than to the target (RFC 9110, 7.6.1), and those
/// that another meaning is tied to.
const TAKEN_HEADERS: [&str; 18] = [
    "accept",
    "authorization",
    "connection",
    "content-length",
    "content-type",
    "cookie",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    TENANT_HEADER,
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// What a job may do over HTTP. Nothing, unless its job.toml says otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpGrants {
    /// Where requests may go; nowhere else.
    #[serde(default)]
    pub allow: Vec<Allowed>,
    /// The header that carries the fencing token in each of them.
    #[serde(default)]
    pub token_header: TokenHeader,
}

impl HttpGrants {
    /// Whether requests to `origin` are granted.
    pub fn allows(&self, origin: &Origin) -> bool {
        self.allow.iter().any(|allowed| allowed.covers(origin))
    }
}

/// How a request travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// As it is.
    Http,
    /// Under TLS.
    Https,
}

impl Scheme {
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Origin {
    scheme: Scheme,
    host: String,
    port: u16,
}

/// What a grant names: one origin, or with `*.` before the host's name the origins of all names below it, and not its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Allowed {
    origin: Origin,
    below: bool,
}

impl Allowed {
    fn covers(&self, origin: &Origin) -> bool {
        let Origin { scheme, host, port } = &self.origin;
        let is_host = match self.below {
            false => origin.host == *host,
            true => origin.host.strip_suffix(host.as_str()).is_some_and(|below| below.ends_with('.')),
        };
        is_host && origin.scheme == *scheme && origin.port == *port
    }

    fn parse(text: &str) -> Result<Self, &'static str> {
        let Some((scheme, name)) = text.split_once("://*.") else {
            return Ok(Allowed { origin: Origin::parse(text)?, below: false });
        };
        let origin = Origin::parse(&format!("{scheme}://{name}"))?;
        if !origin.host.contains('.') || origin.host.ends_with(|last: char| last.is_ascii_digit()) {
            return Err("its wildcard must stand before a name of two parts or more, like `*.example.com`");
        }
        Ok(Allowed { origin, below: true })
    }
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Origin { scheme, host, port } = &self.origin;
        let below = if self.below { "*." } else { "" };
        write!(f, "{}://{below}{host}:{port}", scheme.name())
    }
}

impl FromStr for Allowed {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        Allowed::parse(text).map_err(|reason| OriginError { value: validate::cut(text), reason })
    }
}

impl TryFrom<String> for Allowed {
    type Error = OriginError;

    fn try_from(text: String) -> Result<Self, OriginError> {
        text.parse()
    }
}

impl From<Allowed> for String {
    fn from(allowed: Allowed) -> Self {
        allowed.to_string()
    }
}

/// Text that names no origin, and why.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("origin `{value}` is not valid: {reason}")]
pub struct OriginError {
    value: String,
    pub(super) reason: &'static str,
}

impl Origin {
    /// An origin of its parts; None where `host` is neither a name, nor an IPv4 address, nor an IPv6 address in brackets.
    pub fn new(scheme: Scheme, host: &str, port: u16) -> Option<Self> {
        Some(Origin { scheme, host: canonical(host)?, port })
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

    fn parse(text: &str) -> Result<Self, &'static str> {
        let (scheme, authority) = match text.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (Scheme::Http, rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (Scheme::Https, rest),
            _ => return Err("it must begin with `http://` or `https://`"),
        };
        if authority.contains('@') {
            return Err("it must have no user and no password");
        }
        if authority.contains(['/', '?', '#']) {
            return Err("it must end after the host or its port: a grant is for all paths");
        }
        // The last colon, unless it stands in an address.
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port_number(port)?),
            _ => (authority, scheme.default_port()),
        };
        if host.is_empty() {
            return Err("it names no host");
        }
        Origin::new(scheme, host, port).ok_or(
            "its host must be a name, an IPv4 address or an IPv6 address in brackets; a `*.` may stand before a name",
        )
    }
}

fn port_number(text: &str) -> Result<u16, &'static str> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let port = digits.then(|| text.parse().ok()).flatten().filter(|port| *port != 0);
    port.ok_or("its port must be from 1 to 65535")
}

/// The one way a host is written here, so that two that are the same compare as the same.
fn canonical(host: &str) -> Option<String> {
    if let Some(address) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return address.parse::<Ipv6Addr>().ok().map(|address| format!("[{address}]"));
    }
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    (host.len() <= MAX_HOST_BYTES && host.split('.').all(label)).then(|| host.to_ascii_lowercase())
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}", self.scheme.name(), self.host, self.port)
    }
}

impl FromStr for Origin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        Origin::parse(text).map_err(|reason| OriginError { value: validate::cut(text), reason })
    }
}

impl TryFrom<String> for Origin {
    type Error = OriginError;

    fn try_from(text: String) -> Result<Self, OriginError> {
        text.parse()
    }
}

impl From<Origin> for String {
    fn from(origin: Origin) -> Self {
        origin.to_string()
    }
}

/// The name of the header that carries the token, in lower case. `silverback-token` where the job names none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct TokenHeader(String);

/// Not a name for the token's header, and why.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("token header `{value}` is not valid: {reason}")]
pub struct TokenHeaderError {
    value: String,
    pub(super) reason: &'static str,
}

impl TokenHeader {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for TokenHeader {
    fn default() -> Self {
        TokenHeader("silverback-token".to_owned())
    }
}

impl FromStr for TokenHeader {
    type Err = TokenHeaderError;

    fn from_str(text: &str) -> Result<Self, TokenHeaderError> {
        let refuse = |reason| Err(TokenHeaderError { value: validate::cut(text), reason });
        // Narrower than RFC 9110's token: what every server and every proxy passes on.
        let well_formed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if text.is_empty() || text.len() > MAX_HEADER_NAME_BYTES || !text.bytes().all(well_formed) {
            return refuse("it must be 1 to 64 letters, digits and `-`");
        }
        let name = text.to_ascii_lowercase();
        if TAKEN_HEADERS.contains(&name.as_str()) {
            return refuse("this header has another meaning");
        }
        Ok(TokenHeader(name))
    }
}

impl TryFrom<String> for TokenHeader {
    type Error = TokenHeaderError;

    fn try_from(text: String) -> Result<Self, TokenHeaderError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_written_in_one_way() {
        for (text, written) in [
            ("https://api.example.com", "https://api.example.com:443"),
            ("HTTP://API.Example.com", "http://api.example.com:80"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("http://[::1]", "http://[::1]:80"),
            ("https://[2001:DB8:0:0::1]:8443", "https://[2001:db8::1]:8443"),
        ] {
            assert_eq!(text.parse::<Origin>().unwrap().to_string(), written);
        }
    }

    #[test]
    fn scheme_host_and_port_all_count() {
        let grants = HttpGrants { allow: vec!["https://a.example".parse().unwrap()], ..HttpGrants::default() };
        let allows = |text: &str| grants.allows(&text.parse().unwrap());
        assert!(allows("https://a.example:443") && allows("https://A.EXAMPLE"));
        for other in ["http://a.example:443", "https://b.a.example", "https://a.example:8443", "https://a.exampl"] {
            assert!(!allows(other), "{other}");
        }
        assert!(!HttpGrants::default().allows(&"https://a.example".parse().unwrap()), "nothing is granted by default");
    }

    #[test]
    fn a_wildcard_is_for_the_names_below_and_for_nothing_else() {
        let grants = HttpGrants { allow: vec!["https://*.Example.com:8443".parse().unwrap()], ..HttpGrants::default() };
        assert_eq!(grants.allow[0].to_string(), "https://*.example.com:8443");
        let allows = |text: &str| grants.allows(&text.parse().unwrap());
        assert!(allows("https://a.example.com:8443") && allows("https://b.a.example.com:8443"));
        for other in [
            "https://example.com:8443",
            "https://badexample.com:8443",
            "https://a.example.com",
            "http://a.example.com:8443",
        ] {
            assert!(!allows(other), "{other}");
        }
        let refused = |text: &str| text.parse::<Allowed>().unwrap_err().reason;
        for text in ["https://*.com", "https://*.0.0.1", "https://*.10.0.0.1"] {
            assert!(refused(text).starts_with("its wildcard must stand before"), "{text}");
        }
        for text in ["https://*", "https://a.*.com", "https://*.*.com", "https://*example.com"] {
            assert!(refused(text).starts_with("its host must be a name"), "{text}");
        }
    }
}
