//! What a job.toml grants, and in which words it says what is wrong with a grant and what to write instead.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::origin::{NO_SCHEME, Origin, OriginError, Scheme, split};

/// What a grant names: one origin, or with `*.` before the host's name the origins of all names below it, and not its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Allowed {
    origin: Origin,
    below: bool,
}

impl Allowed {
    pub(super) fn covers(&self, origin: &Origin) -> bool {
        let is_host = match self.below {
            false => origin.host() == self.origin.host(),
            true => origin.host().strip_suffix(self.origin.host()).is_some_and(|below| below.ends_with('.')),
        };
        is_host && origin.scheme() == self.origin.scheme() && origin.port() == self.origin.port()
    }

    /// Returns the one origin that it names; None if it names those below a host.
    pub(super) fn into_origin(self) -> Option<Origin> {
        (!self.below).then_some(self.origin)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let Some((scheme, rest)) = text.split_once("://").and_then(|(name, rest)| Some((Scheme::named(name)?, rest)))
        else {
            return Err(no_scheme(text));
        };
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let (user, authority) = authority.rsplit_once('@').map_or((None, authority), |(user, rest)| (Some(user), rest));
        let allowed = Allowed::of_authority(scheme, authority)?;
        let wrong = [
            (user.is_some(), "it must have no user and no password"),
            (authority.ends_with(':'), "its port is empty"),
            (split(authority)?.0.ends_with('.'), "its host ends with a dot"),
            (!path.is_empty(), "it must end after the host or its port, because a grant is for all paths"),
        ];
        let wrong: Vec<_> = wrong.into_iter().filter_map(|(is_wrong, what)| is_wrong.then_some(what)).collect();
        match wrong.is_empty() {
            true => Ok(allowed),
            false => Err(format!("{}: write `{allowed}`", wrong.join(", and "))),
        }
    }

    fn of_authority(scheme: Scheme, authority: &str) -> Result<Self, String> {
        let (host, port) = split(authority)?;
        let (below, host) = host.strip_prefix("*.").map_or((false, host), |host| (true, host));
        if port.contains('*') {
            return Err("its port must be one number: write a grant for each port".to_owned());
        }
        if host.contains('*') {
            return Err("its wildcard must be the whole first part of a name, like `*.example.com`".to_owned());
        }
        let origin = Origin::new(scheme, host, port)?;
        let host = origin.host();
        if below && (!host.contains('.') || host.ends_with(|last: char| last.is_ascii_digit())) {
            return Err("its wildcard must stand before a name of two parts or more, like `*.example.com`".to_owned());
        }
        Ok(Allowed { origin, below })
    }
}

/// Returns what is wrong with a grant that begins with no scheme of ours, and what to write if it may be meant without any.
fn no_scheme(text: &str) -> String {
    let meant = if text.contains("//") { None } else { Some(Allowed::parse(&format!("https://{text}"))) };
    match meant {
        Some(Ok(allowed)) => format!("{NO_SCHEME}: write `{allowed}`"),
        Some(Err(reason)) if reason.contains(": write `") => format!("{NO_SCHEME}, and {reason}"),
        Some(Err(_)) | None => NO_SCHEME.to_owned(),
    }
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let below = if self.below { "*." } else { "" };
        let Allowed { origin, .. } = self;
        write!(f, "{}://{below}{}:{}", origin.scheme().name(), origin.host(), origin.port())
    }
}

impl FromStr for Allowed {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        Allowed::parse(text).map_err(|reason| OriginError::new(text, reason))
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
