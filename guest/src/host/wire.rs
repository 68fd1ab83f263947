//! From a request to `wasi:http`, and back to a response.

use wasip2::http::outgoing_handler::handle;
use wasip2::http::types::{
    ErrorCode, Fields, IncomingResponse, Method, OutgoingBody, OutgoingRequest, Scheme, http_error_code,
};
use wasip2::io::streams::StreamError;

use crate::fate::Fate;
use crate::http::{Error, Request, Response};
use crate::url::{self, Target};

/// As much as `wasi:io` takes and gives in one call.
const CHUNK_BYTES: usize = 4096;

pub(crate) fn send(request: Request, target: Target) -> Result<Response, Error> {
    let Request { method, url, mut headers, body } = request;
    let has_length = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    if let Some(body) = body.as_ref().filter(|_| !has_length) {
        headers.push(("content-length".to_owned(), body.len().to_string().into_bytes()));
    }
    let outgoing = outgoing(&method, &url, &target, headers)?;
    let failed = |code: ErrorCode| told(code, &url);
    let refused = || Error::Other("the host gave no way to send a body".to_owned());
    let writing = match &body {
        Some(body) => Some((outgoing.body().map_err(|()| refused())?, body)),
        None => None,
    };
    let response = handle(outgoing, None).map_err(failed)?;
    // A body that is not taken is no failure by itself: the response says why.
    let written = writing.map_or(Ok(()), |(stream, body)| write(stream, body));
    response.subscribe().block();
    let response = response.get().and_then(Result::ok).unwrap_or(Err(ErrorCode::InternalError(None)));
    let response = response.map_err(failed)?;
    // The target has seen it, whatever follows.
    written.and_then(|()| read(&response)).map_err(|code| Error::Unknown { why: format!("{code:?}") })
}

fn outgoing(
    method: &str,
    url: &str,
    target: &Target,
    headers: Vec<(String, Vec<u8>)>,
) -> Result<OutgoingRequest, Error> {
    let fields = Fields::new();
    for (name, value) in headers {
        fields.append(&name, &value).map_err(|_| Error::invalid("header", &name))?;
    }
    let request = OutgoingRequest::new(fields);
    request.set_method(&verb(method)).map_err(|()| Error::invalid("method", method))?;
    let scheme = match target.scheme {
        url::Scheme::Http => Scheme::Http,
        url::Scheme::Https => Scheme::Https,
    };
    let set = request
        .set_scheme(Some(&scheme))
        .and_then(|()| request.set_authority(Some(&target.authority)))
        .and_then(|()| request.set_path_with_query(Some(&target.path)));
    set.map_err(|()| Error::invalid("url", url))?;
    Ok(request)
}

fn verb(method: &str) -> Method {
    match method {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "DELETE" => Method::Delete,
        "PATCH" => Method::Patch,
        "OPTIONS" => Method::Options,
        other => Method::Other(other.to_owned()),
    }
}

fn write(outgoing: OutgoingBody, body: &[u8]) -> Result<(), ErrorCode> {
    let Ok(stream) = outgoing.write() else { return Err(ErrorCode::InternalError(None)) };
    for chunk in body.chunks(CHUNK_BYTES) {
        if stream.blocking_write_and_flush(chunk).is_err() {
            // The target has answered early, or is gone.
            return Ok(());
        }
    }
    drop(stream);
    OutgoingBody::finish(outgoing, None)
}

fn read(response: &IncomingResponse) -> Result<Response, ErrorCode> {
    let (status, headers) = (response.status(), response.headers().entries());
    let Ok(incoming) = response.consume() else { return Err(ErrorCode::InternalError(None)) };
    let Ok(stream) = incoming.stream() else { return Err(ErrorCode::InternalError(None)) };
    let mut body = Vec::new();
    loop {
        match stream.blocking_read(CHUNK_BYTES as u64 * 4) {
            Ok(mut bytes) => body.append(&mut bytes),
            Err(StreamError::Closed) => return Ok(Response { status, headers, body }),
            Err(StreamError::LastOperationFailed(error)) => {
                return Err(http_error_code(&error).unwrap_or(ErrorCode::HttpResponseIncomplete));
            }
        }
    }
}

fn told(code: ErrorCode, url: &str) -> Error {
    match code {
        ErrorCode::HttpRequestDenied => Error::Denied { url: url.to_owned() },
        ErrorCode::DestinationIpProhibited => Error::Private { url: url.to_owned() },
        ErrorCode::HttpRequestBodySize(_) => Error::Invalid { what: "a body that isn't as long as it says".to_owned() },
        ErrorCode::InternalError(Some(words)) => match Fate::of(&words) {
            Some(Fate::Refused) => Error::LostLeadership,
            Some(Fate::Unproven) => Error::Unproven,
            Some(Fate::Unknown) => Error::Unknown { why: words },
            None => Error::Other(words),
        },
        other => Error::Other(format!("{other:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_host_says_of_leadership_is_told_apart() {
        let said = |words: &str| told(ErrorCode::InternalError(Some(words.to_owned())), "http://a");
        assert_eq!(said("refused: leadership is lost"), Error::LostLeadership);
        assert_eq!(said("unproven: the ensemble can't be reached"), Error::Unproven);
        let why = "unknown: no answer (connection terminated)".to_owned();
        assert_eq!(said(&why), Error::Unknown { why });
        assert_eq!(told(ErrorCode::HttpRequestDenied, "http://a"), Error::Denied { url: "http://a".to_owned() });
        assert_eq!(told(ErrorCode::DestinationIpProhibited, "http://a"), Error::Private { url: "http://a".to_owned() });
        assert_eq!(
            told(ErrorCode::ConnectionRefused, "http://a"),
            Error::Other("ErrorCode::ConnectionRefused".to_owned())
        );
    }
}
