//! HTTP requests to the targets that the job's `[http]` table allows.
//!
//! Each goes out with the term's fencing token in the header `silverback-token` (or the one that job.toml names), which
//! the host writes: a target that remembers the highest token, and refuses lower ones, can't be written to by a deposed
//! leader. A redirect is given back like any other response.

use std::error;
use std::fmt;

use crate::host;

/// Asks for a resource.
///
/// # Errors
/// As [`Request::send`].
pub fn get(url: &str) -> Result<Response, Error> {
    Request::new("GET", url).send()
}

/// Sends a body to a resource.
///
/// # Errors
/// As [`Request::send`].
pub fn post(url: &str, body: impl Into<Vec<u8>>) -> Result<Response, Error> {
    Request::new("POST", url).body(body).send()
}

/// A request that isn't sent yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub(crate) method: String,
    pub(crate) url: String,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) body: Option<Vec<u8>>,
}

impl Request {
    /// Of a method such as `PUT`, for an URL such as `https://api.example.com/v1/orders?open`.
    pub fn new(method: &str, url: &str) -> Self {
        Request { method: method.to_owned(), url: url.to_owned(), headers: Vec::new(), body: None }
    }

    /// With one more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// With a body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// Its URL, as it was given.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Sends it, and reads the whole response into memory.
    ///
    /// # Errors
    /// [`Error`]. But for [`Error::Unknown`], the target has seen nothing. A response of any status is no error.
    pub fn send(self) -> Result<Response, Error> {
        host::send(self)
    }
}

/// What a target answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// Such as 200.
    pub status: u16,
    /// Names are in lower case.
    pub headers: Vec<(String, Vec<u8>)>,
    /// All of it.
    pub body: Vec<u8>,
}

impl Response {
    /// The first header of this name, where it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(found, _)| found.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(value).ok()
    }

    /// The body as text; what is no UTF-8 is replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Why there is no response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The job's `[http]` table doesn't allow this target.
    Denied {
        /// The target.
        url: String,
    },
    /// It leads to a private address, which the operator hasn't let the job's tenant reach.
    Private {
        /// The target.
        url: String,
    },
    /// This host no longer leads. Nothing was sent.
    LostLeadership,
    /// The host can't reach the ensemble, so whether it leads is not known. Nothing was sent; trying again may help for as
    /// long as the term goes on.
    Unproven,
    /// It was sent, and there is no whole response: no answer says whether the target has done it. Trying again is safe where
    /// doing it twice is.
    Unknown {
        /// What the host said.
        why: String,
    },
    /// No URL, method or header that could be sent; the host's own headers are none.
    Invalid {
        /// What, and its value.
        what: String,
    },
    /// No connection to the target, or none with TLS.
    Other(String),
}

impl Error {
    pub(crate) fn invalid(what: &str, value: &str) -> Self {
        Error::Invalid { what: format!("{what} `{value}`") }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Denied { url } => write!(f, "request to `{url}` is denied: the job's http.allow doesn't name it"),
            Error::Private { url } => {
                write!(
                    f,
                    "request to `{url}` is denied: its address is private, and was not granted to the job's tenant"
                )
            }
            Error::LostLeadership => f.write_str("leadership is lost"),
            Error::Unproven => f.write_str("the ensemble can't be reached, so whether this host leads is not known"),
            Error::Unknown { why } => write!(f, "request has no whole response: {why}"),
            Error::Invalid { what } => write!(f, "{what} is not valid in a request"),
            Error::Other(words) => write!(f, "request failed: {words}"),
        }
    }
}

impl error::Error for Error {}

/// An URL in the parts that a request has.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Target<'a> {
    pub(crate) scheme: &'a str,
    pub(crate) authority: &'a str,
    pub(crate) path: &'a str,
}

impl<'a> Target<'a> {
    /// The parts of an URL; a fragment is not sent.
    pub(crate) fn of(url: &'a str) -> Option<Self> {
        let (scheme, rest) = url.split('#').next()?.split_once("://")?;
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let path = if path.is_empty() { "/" } else { path };
        (!scheme.is_empty() && !authority.is_empty()).then_some(Target { scheme, authority, path })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_url_is_parted_as_a_request_has_it() {
        let parts = |url| Target::of(url).map(|Target { scheme, authority, path }| (scheme, authority, path));
        assert_eq!(parts("https://a.example"), Some(("https", "a.example", "/")));
        assert_eq!(parts("http://a:8080/b/c?d=e#f"), Some(("http", "a:8080", "/b/c?d=e")));
        assert_eq!(parts("http://[::1]:80?q"), Some(("http", "[::1]:80", "?q")));
        for none in ["", "a.example", "http://", "://a", "http:///path"] {
            assert_eq!(parts(none), None, "{none}");
        }
    }
}
