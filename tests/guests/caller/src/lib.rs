//! Sends HTTP requests, as its config says: one, whose answer it returns; or, with `repeat`, one after the other until it
//! should stop, each answer a line in its log.

use std::time::Duration;

use silverback_guest::http::{Error, Request};
use silverback_guest::{Grant, RunError, config, leadership};

/// Between two requests.
const PAUSE: Duration = Duration::from_millis(50);

#[silverback_guest::job]
fn call(grant: Grant) -> Result<String, RunError> {
    if config::get("repeat").is_none() {
        return Ok(told(send()));
    }
    while !leadership::should_stop() {
        log::info!("answer token={} {}", grant.token, told(send()));
        leadership::sleep(PAUSE);
    }
    Ok("stopped".to_owned())
}

/// One request: `method`, `url`, `body` and one header `NAME: VALUE` from the config.
fn send() -> Result<(u16, String), Error> {
    let text = |key| config::get(key).unwrap_or_default();
    let method = config::get("method").unwrap_or_else(|| "GET".to_owned());
    let mut request = Request::new(&method, &text("url"));
    if let Some((name, value)) = text("header").split_once(": ") {
        request = request.header(name, value);
    }
    if let Some(body) = config::get("body") {
        request = request.body(body);
    }
    let response = request.send()?;
    Ok((response.status, response.text()))
}

/// In words that a test can look for.
fn told(answer: Result<(u16, String), Error>) -> String {
    match answer {
        Ok((status, body)) => format!("status={status} body={}", body.trim()),
        Err(Error::Denied { .. }) => "denied".to_owned(),
        Err(Error::LostLeadership) => "lost".to_owned(),
        Err(Error::Unproven) => "unproven".to_owned(),
        Err(Error::Unknown { why }) => why,
        Err(Error::Invalid { what }) => format!("invalid {what}"),
        Err(Error::Private { .. }) => "private".to_owned(),
        Err(Error::Other(words)) => format!("other {words}"),
    }
}
