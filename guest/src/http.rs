//! HTTP requests to the targets that the job's `[http]` table allows.
//!
//! Each goes out with the term's fencing token in the header `silverback-token` (or the one that job.toml names), which
//! the host writes: a target that remembers the highest token, and refuses lower ones, can't be written to by a deposed
//! leader. A redirect is given back like any other response.

use std::error;
use std::fmt;

use crate::host;
use crate::url::Target;

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
    /// Of a method such as `PUT`, for a URL such as `https://api.example.com/v1/orders?open`. What can't stand in its path or
    /// query is percent-encoded when it is sent.
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
        let target = self.target()?;
        host::send(self, target)
    }

    /// Checks what can be checked before anything is sent, and returns where the request goes.
    fn target(&self) -> Result<Target, Error> {
        let target = Target::of(&self.url).map_err(|why| Error::invalid_because("url", &self.url, why))?;
        let bytes = self.body.as_ref().map_or(0, Vec::len);
        for (_, value) in self.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("content-length")) {
            let value = String::from_utf8_lossy(value);
            let is_number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
            if !is_number || value.parse() != Ok(bytes) {
                let why = format!("the body has {bytes} bytes");
                return Err(Error::invalid_because("header content-length", &value, &why));
            }
        }
        Ok(target)
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
    /// The URL, the method or a header can't be sent: it isn't valid, or it is a header that only the host writes.
    Invalid {
        /// What, its value, and why if that is known.
        what: String,
    },
    /// No connection to the target, or none with TLS.
    Other(String),
}

impl Error {
    pub(crate) fn invalid(what: &str, value: &str) -> Self {
        Error::Invalid { what: format!("{what} `{value}`") }
    }

    fn invalid_because(what: &str, value: &str, why: &str) -> Self {
        Error::Invalid { what: format!("{what} `{value}` ({why})") }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(request: Request) -> String {
        request.target().unwrap_err().to_string()
    }

    #[test]
    fn w10_a_url_that_cannot_be_sent_is_refused_in_words() {
        let told = refused(Request::new("GET", "http://me:secret@h.example/"));
        assert_eq!(
            told,
            "url `http://me:secret@h.example/` (it must have no user and no password) is not valid in a request"
        );
    }

    #[test]
    fn w10_a_wrong_content_length_is_refused_before_anything_is_sent() {
        let post = |length: &str| Request::new("POST", "http://h.example").header("Content-Length", length);
        for (length, has) in
            [("2", "abc"), ("4", "abc"), ("+3", "abc"), ("3, 3", "abc"), ("", "abc"), ("x", ""), ("1", "")]
        {
            let told = refused(post(length).body(has));
            let bytes = has.len();
            assert_eq!(
                told,
                format!("header content-length `{length}` (the body has {bytes} bytes) is not valid in a request")
            );
        }
        assert!(refused(post("1")).contains("the body has 0 bytes"), "without a body");
        assert!(refused(post("3").header("content-length", "4").body("abc")).contains("`4`"), "each of them counts");
        for valid in [post("3").body("abc"), post("03").body("abc"), post("0"), post("0").body("")] {
            assert!(valid.target().is_ok(), "{valid:?}");
        }
    }
}
