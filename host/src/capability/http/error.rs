//! Why a request failed, in the words of `wasi:http`.

use std::error::Error as _;
use std::io;

use tokio_rustls::rustls;
use wasmtime_wasi_http::Error;

use crate::capability::{Fate, Refusal};

/// The gate's refusals. `wasi:http` has no code for what leadership stands in the way of, so it is told as text.
pub(super) fn refused(refusal: Refusal) -> Error {
    Error::InternalError(Some(Fate::from(refusal).to_string()))
}

/// A request that may have reached its target, and no response. A code would say how the network failed, and leave it to each
/// guest to know which codes come before the target has seen anything, and which after.
pub(super) fn unanswered(why: &Error) -> Error {
    let why = match why {
        Error::HttpRequestBodySize(Some(bytes)) => {
            format!("its body broke off: {bytes} bytes aren't what its content-length says")
        }
        other => other.to_string(),
    };
    Error::InternalError(Some(format!("{} ({why})", Fate::Unknown)))
}

/// No address was found for a name.
pub(super) fn name(error: &io::Error) -> Error {
    Error::DnsError { rcode: Some(error.to_string()), info_code: None }
}

/// No connection.
pub(super) fn connect(error: &io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Error::ConnectionRefused,
        io::ErrorKind::TimedOut => Error::ConnectionTimeout,
        _ => Error::DestinationUnavailable,
    }
}

/// A connection, but no TLS on it.
pub(super) fn tls(error: &io::Error) -> Error {
    match error.get_ref().and_then(|inner| inner.downcast_ref()) {
        Some(rustls::Error::InvalidCertificate(_)) => Error::TlsCertificateError,
        _ => Error::TlsProtocolError,
    }
}

/// A connection, but no whole response.
pub(super) fn exchange(error: hyper::Error) -> Error {
    // The guest's body, which broke off.
    match error.source().and_then(|source| source.downcast_ref()) {
        Some(Error::HttpRequestBodySize(bytes)) => return Error::HttpRequestBodySize(*bytes),
        Some(_) => return Error::ConnectionTerminated,
        None => {}
    }
    if error.is_parse_too_large() {
        Error::HttpResponseHeaderSectionSize(None)
    } else if error.is_parse() {
        Error::HttpProtocolError
    } else if error.is_incomplete_message() {
        Error::HttpResponseIncomplete
    } else {
        match error.source().and_then(|source| source.downcast_ref::<io::Error>()).map(io::Error::kind) {
            Some(io::ErrorKind::UnexpectedEof) => Error::HttpResponseIncomplete,
            Some(_) => Error::ConnectionTerminated,
            None if error.is_closed() || error.is_canceled() => Error::ConnectionTerminated,
            None => Error::HttpProtocolError,
        }
    }
}
