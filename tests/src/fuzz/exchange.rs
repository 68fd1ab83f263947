//! A request of HTTP as a guest sends it, call by call.

/// What the first of a world's texts is, and what those behind it are.
const AUTHORITY: usize = 0;
pub(super) const PATH: usize = 1;

/// One call.
pub(super) struct Step {
    pub(super) interface: &'static str,
    pub(super) name: &'static str,
    /// Its first arguments. What stands in the place of a handle counts for nothing.
    pub(super) numbers: &'static [i64],
    /// Which of the world's texts it says.
    pub(super) text: Option<usize>,
    /// The guest returns [`ANSWERED`] where this call gave what it is for.
    pub(super) tells: bool,
}

/// What a guest returns that has read a part of an answer.
pub(super) const ANSWERED: u8 = b'!';

const TYPES: &str = "wasi:http/types@";
const STREAMS: &str = "wasi:io/streams@";

const fn step(interface: &'static str, name: &'static str) -> Step {
    Step { interface, name, numbers: &[], text: None, tells: false }
}

/// Of a whole one.
pub(super) static EXCHANGE: [Step; 20] = [
    step(TYPES, "[constructor]fields"),
    step(TYPES, "[constructor]outgoing-request"),
    Step { numbers: &[0, 1, 0], ..step(TYPES, "[method]outgoing-request.set-scheme") },
    Step { numbers: &[0, 1], text: Some(AUTHORITY), ..step(TYPES, "[method]outgoing-request.set-authority") },
    Step { numbers: &[0, 1], text: Some(PATH), ..step(TYPES, "[method]outgoing-request.set-path-with-query") },
    step(TYPES, "[method]outgoing-request.body"),
    step("wasi:http/outgoing-handler@", "handle"),
    step(TYPES, "[method]outgoing-body.write"),
    step(STREAMS, "[method]output-stream.blocking-write-and-flush"),
    step(STREAMS, "[resource-drop]output-stream"),
    step(TYPES, "[static]outgoing-body.finish"),
    step(TYPES, "[method]future-incoming-response.subscribe"),
    step("wasi:io/poll@", "[method]pollable.block"),
    step(TYPES, "[method]future-incoming-response.get"),
    step(TYPES, "[method]incoming-response.consume"),
    step(TYPES, "[method]incoming-body.stream"),
    Step { numbers: &[0, 4096], tells: true, ..step(STREAMS, "[method]input-stream.blocking-read") },
    Step { numbers: &[0, 4096], ..step(STREAMS, "[method]input-stream.blocking-read") },
    step(STREAMS, "[resource-drop]input-stream"),
    step(TYPES, "[static]incoming-body.finish"),
];
