//! The header that carries the fencing token: which names a job may give it.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::TENANT_HEADER;
use crate::registry::validate;

/// The longest name of the token's header, in bytes.
const MAX_NAME_BYTES: usize = 64;
/// The name where a job gives it none.
const DEFAULT_NAME: &str = "silverback-token";
/// How the names of all headers begin that hosts write beside it.
const RESERVED: &str = "silverback-";

/// Headers that the host writes, or that speak to the next hop rather than to the target (RFC 9110, 7.6.1), and those
/// that another meaning is tied to.
const TAKEN: [&str; 18] = [
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

/// Further headers that servers and proxies act upon. A name that ends with `-` stands for all that begin with it.
const ACTED_UPON: [&str; 28] = [
    "accept-",
    "access-control-",
    "age",
    "allow",
    "alt-svc",
    "cache-control",
    "content-",
    "date",
    "early-data",
    "etag",
    "forwarded",
    "from",
    "if-",
    "location",
    "max-forwards",
    "origin",
    "pragma",
    "proxy-",
    "range",
    "referer",
    "retry-after",
    "sec-",
    "server",
    "set-cookie",
    "user-agent",
    "via",
    "www-authenticate",
    "x-forwarded-",
];

/// The name of the header that carries the token, in lower case. `silverback-token` where the job names none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct TokenHeader(String);

/// Not a name for the token's header, and why.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("token header `{value}` is not valid: {reason}")]
pub struct TokenHeaderError {
    value: String,
    pub(in crate::registry) reason: &'static str,
}

impl TokenHeader {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Checks what must hold besides when a job is applied. What is stored already isn't held to it, so that a job goes on where
    /// a release reserves more names.
    ///
    /// # Errors
    /// Why the name can't be used.
    pub(in crate::registry) fn check_free(&self) -> Result<(), &'static str> {
        let name = self.as_str();
        if name.starts_with(RESERVED) && name != DEFAULT_NAME {
            return Err("names that begin with `silverback-` are the hosts' own; leave it out for `silverback-token`");
        }
        let is_taken = |taken: &&str| if taken.ends_with('-') { name.starts_with(*taken) } else { name == *taken };
        match ACTED_UPON.iter().any(is_taken) {
            true => Err("servers and proxies act upon this header; take a name of your own, like `x-fence`"),
            false => Ok(()),
        }
    }
}

/// Returns whether a target may take the two header names for one: servers that hand headers on as variables (CGI, WSGI, PHP)
/// ignore case, and write one character for all that are neither letters nor digits.
pub fn reads_like(one: &str, other: &str) -> bool {
    let read = |byte: u8| if byte.is_ascii_alphanumeric() { byte.to_ascii_lowercase() } else { b'_' };
    one.bytes().map(read).eq(other.bytes().map(read))
}

impl Default for TokenHeader {
    fn default() -> Self {
        TokenHeader(DEFAULT_NAME.to_owned())
    }
}

impl FromStr for TokenHeader {
    type Err = TokenHeaderError;

    fn from_str(text: &str) -> Result<Self, TokenHeaderError> {
        let refuse = |reason| Err(TokenHeaderError { value: validate::cut(text), reason });
        // Narrower than RFC 9110's token: what every server and every proxy passes on.
        let well_formed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if text.is_empty() || text.len() > MAX_NAME_BYTES || !text.bytes().all(well_formed) {
            return refuse("it must be 1 to 64 letters, digits and `-`");
        }
        let name = text.to_ascii_lowercase();
        if TAKEN.contains(&name.as_str()) {
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
    fn s11_a_token_header_with_another_meaning_is_refused() {
        let refused = |name: &str| match name.parse::<TokenHeader>() {
            Ok(header) => header.check_free().is_err(),
            Err(_) => true,
        };
        for name in [
            "silverback-tenant",
            "Silverback-Tenant",
            "silverback-anything",
            "silverback_token",
            "Connection",
            "keep-alive",
            "TE",
            "transfer-encoding",
            "proxy-authentication-info",
            "content-encoding",
            "X-Forwarded-For",
            "if-match",
            "sec-fetch-site",
            "via",
        ] {
            assert!(refused(name), "{name}");
        }
        for name in ["silverback-token", "Silverback-Token", "x-fence", "fencing-token", "x-my-date", "viaduct"] {
            assert!(!refused(name), "{name}");
        }
    }

    #[test]
    fn s11_case_and_separators_make_no_difference() {
        for like in ["silverback-token", "SILVERBACK_TOKEN", "silverback.token", "Silverback~Token"] {
            assert!(reads_like(like, "silverback-token"), "{like}");
        }
        for other in ["silverbacktoken", "silverback-toke", "silverback-token-", "silverback--token"] {
            assert!(!reads_like(other, "silverback-token"), "{other}");
        }
    }
}
