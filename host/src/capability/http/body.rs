//! The two bodies of a request, each held to what bounds it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::HeaderMap;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::CONTENT_LENGTH;
use tokio::time::{Sleep, sleep};
use wasmtime_wasi_http::{Error, WasiBody};

use super::{Outlet, Room, error, remove_forbidden};
use crate::capability::Meter;

type Polled = Poll<Option<Result<Frame<Bytes>, Error>>>;

/// What a part of a body takes, in bytes.
fn size(frame: &Frame<Bytes>) -> usize {
    let trailers = frame.trailers_ref().map_or(0, headers_bytes);
    frame.data_ref().map_or(0, Bytes::len) + trailers
}

/// What headers take, in bytes.
pub(super) fn headers_bytes(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum()
}

/// What the guest sends. It breaks off, and never just ends, if the run or its term is over, if it is more than the run may
/// send, or if it isn't as long as its content-length says: half a body must not pass for a whole one.
pub(super) struct Guarded {
    body: WasiBody,
    outlet: Arc<Outlet>,
    /// What the request's content-length says, in bytes.
    declared: Option<u64>,
    /// How much of it the guest gave, in bytes.
    given: u64,
}

impl Guarded {
    /// Guards the body of a request with these headers.
    pub(super) fn new(body: WasiBody, headers: &HeaderMap, outlet: Arc<Outlet>) -> Self {
        let declared = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        Guarded { body, outlet, declared, given: 0 }
    }

    /// Returns the body's next part as it may be sent.
    fn checked(&mut self, part: Option<Result<Frame<Bytes>, Error>>) -> Option<Result<Frame<Bytes>, Error>> {
        let declared = self.declared;
        match part {
            Some(Ok(mut frame)) => {
                self.given += frame.data_ref().map_or(0, |data| data.len() as u64);
                if declared.is_some_and(|declared| self.given > declared) {
                    return Some(Err(Error::HttpRequestBodySize(Some(self.given))));
                }
                if let Some(trailers) = frame.trailers_mut() {
                    remove_forbidden(&self.outlet.token_header, trailers);
                }
                let passes = self.outlet.meter.transfer(size(&frame)).is_ok();
                Some(if passes { Ok(frame) } else { Err(Error::ConnectionTerminated) })
            }
            Some(Err(_)) | None if declared.is_some_and(|declared| self.given < declared) => {
                Some(Err(Error::HttpRequestBodySize(Some(self.given))))
            }
            Some(Err(_)) | None => part,
        }
    }
}

impl Body for Guarded {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Polled {
        let polled = Pin::new(&mut self.body).poll_frame(context).map(|part| self.checked(part));
        if self.outlet.is_over() {
            return Poll::Ready(Some(Err(Error::ConnectionTerminated)));
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// What the target answers, for as long as the request may take. It gives its room back when it is dropped.
pub(super) struct Answer {
    body: Incoming,
    silence: Duration,
    until_silence: Pin<Box<Sleep>>,
    until_end: Pin<Box<Sleep>>,
    meter: Arc<Meter>,
    _room: Room,
}

impl Answer {
    /// A body that may be silent for `silence` at most, and must be at its end when `until_end` is.
    pub(super) fn new(
        body: Incoming,
        silence: Duration,
        until_end: Pin<Box<Sleep>>,
        meter: Arc<Meter>,
        room: Room,
    ) -> Self {
        Answer { body, silence, until_silence: Box::pin(sleep(silence)), until_end, meter, _room: room }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Polled {
        if self.until_end.as_mut().poll(context).is_ready() {
            return Poll::Ready(Some(Err(Error::HttpResponseTimeout)));
        }
        match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) if self.meter.transfer(size(&frame)).is_err() => {
                Poll::Ready(Some(Err(Error::ConnectionTerminated)))
            }
            Poll::Ready(frame) => {
                self.until_silence = Box::pin(sleep(self.silence));
                Poll::Ready(frame.map(|frame| frame.map_err(error::exchange)))
            }
            Poll::Pending if self.until_silence.as_mut().poll(context).is_ready() => {
                Poll::Ready(Some(Err(Error::ConnectionReadTimeout)))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
