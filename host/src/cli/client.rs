//! A blocking client of a host's API.

use std::io;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use serde::Serialize;
use serde::de::DeserializeOwned;
use ureq::http::{Response, StatusCode};
use ureq::{Agent, Body};

use crate::api::{ErrorBody, MAX_COMPONENT_BYTES};

/// How long a host may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a host may take for an answer: it may have to compile a component, or to stop a guest.
const ANSWER: Duration = Duration::from_secs(120);
/// The largest answer, in bytes.
const MAX_ANSWER_BYTES: u64 = MAX_COMPONENT_BYTES as u64;

pub(super) struct Client {
    agent: Agent,
    server: String,
}

impl Client {
    pub(super) fn new(server: &str) -> anyhow::Result<Self> {
        let server = server.trim_end_matches('/');
        if !server.starts_with("http://") {
            bail!("server `{server}` is not valid: it must be like http://127.0.0.1:7070");
        }
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(CONNECT))
            .timeout_global(Some(ANSWER))
            // A host is on loopback, where no proxy has a say.
            .proxy(None)
            .build();
        Ok(Client { agent: agent.into(), server: server.to_owned() })
    }

    pub(super) fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        self.read(self.agent.get(self.url(path)).call())
    }

    pub(super) fn get_bytes(&self, path: &str) -> anyhow::Result<Vec<u8>> {
        self.bytes(self.agent.get(self.url(path)).call())
    }

    /// Whether the host has what the path names.
    pub(super) fn has(&self, path: &str) -> anyhow::Result<bool> {
        let response = self.agent.head(self.url(path)).call().map_err(|error| self.unreachable(error))?;
        Ok(response.status().is_success())
    }

    pub(super) fn put<T: DeserializeOwned>(&self, path: &str, body: &[u8]) -> anyhow::Result<T> {
        self.read(self.agent.put(self.url(path)).send(body))
    }

    pub(super) fn put_json<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> anyhow::Result<T> {
        self.put(path, &serde_json::to_vec(body)?)
    }

    pub(super) fn put_bytes(&self, path: &str, body: &[u8]) -> anyhow::Result<()> {
        self.bytes(self.agent.put(self.url(path)).send(body)).map(drop)
    }

    pub(super) fn post<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        self.read(self.agent.post(self.url(path)).send_empty())
    }

    pub(super) fn post_json<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> anyhow::Result<T> {
        self.read(self.agent.post(self.url(path)).send(&serde_json::to_vec(body)?[..]))
    }

    pub(super) fn delete(&self, path: &str) -> anyhow::Result<()> {
        self.bytes(self.agent.delete(self.url(path)).call()).map(drop)
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.server)
    }

    fn read<T: DeserializeOwned>(&self, answer: Result<Response<Body>, ureq::Error>) -> anyhow::Result<T> {
        let bytes = self.bytes(answer)?;
        serde_json::from_slice(&bytes).with_context(|| format!("{} answered what is not expected", self.server))
    }

    /// The answer's body, or the server's own sentence as error.
    fn bytes(&self, answer: Result<Response<Body>, ureq::Error>) -> anyhow::Result<Vec<u8>> {
        let mut response = answer.map_err(|error| self.unreachable(error))?;
        let status = response.status();
        let body = response.body_mut().with_config().limit(MAX_ANSWER_BYTES).read_to_vec();
        let body = body.map_err(|error| self.unreachable(error))?;
        if status.is_success() { Ok(body) } else { Err(self.refused(status, &body)) }
    }

    fn refused(&self, status: StatusCode, body: &[u8]) -> anyhow::Error {
        match serde_json::from_slice::<ErrorBody>(body) {
            Ok(body) => anyhow!(body.error),
            Err(_) => anyhow!("{} answered {status}: is it a silverback host?", self.server),
        }
    }

    fn unreachable(&self, error: ureq::Error) -> anyhow::Error {
        let server = &self.server;
        match &error {
            ureq::Error::Io(cause) if cause.kind() == io::ErrorKind::ConnectionRefused => {
                anyhow!("no host answers at {server}: start one with `silverback up`, or name another with --server")
            }
            ureq::Error::ConnectionFailed | ureq::Error::HostNotFound => {
                anyhow!("no host answers at {server}: name another with --server")
            }
            _ => anyhow!("{server} can't be asked: {error}"),
        }
    }
}
