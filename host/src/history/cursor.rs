//! Up to where a reader has read a job's log: a stamp for each host, since hosts share no order.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// Not a cursor.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("cursor `{0}` is not valid: it must be one that an earlier reply gave")]
pub struct CursorError(String);

/// As text: `a:1700000000000000000,b:17…,*:17…`, where `*` is for the hosts not named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    hosts: BTreeMap<String, u64>,
    others: u64,
}

impl Cursor {
    /// Before every line of every host stamped later than `others`.
    pub fn from_stamp(others: u64) -> Self {
        Cursor { hosts: BTreeMap::new(), others }
    }

    /// The stamp up to which `host` was read.
    pub fn of(&self, host: &str) -> u64 {
        self.hosts.get(host).copied().unwrap_or(self.others)
    }

    /// Moves on behind a line.
    pub fn read(&mut self, host: &str, stamp: u64) {
        let read = self.hosts.entry(host.to_owned()).or_default();
        *read = stamp.max(*read);
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (host, stamp) in &self.hosts {
            write!(f, "{host}:{stamp},")?;
        }
        write!(f, "*:{}", self.others)
    }
}

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let refuse = || CursorError(text.chars().take(80).collect());
        let mut cursor = Cursor::default();
        for part in text.split(',') {
            let (host, stamp) = part.split_once(':').ok_or_else(refuse)?;
            let stamp = stamp.parse().map_err(|_| refuse())?;
            match host {
                "*" => cursor.others = stamp,
                host if crate::config::check_name(host).is_ok() => cursor.read(host, stamp),
                _ => return Err(refuse()),
            }
        }
        Ok(cursor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_survives_its_text() {
        let mut cursor = Cursor::from_stamp(7);
        cursor.read("a", 12);
        cursor.read("a", 11);
        cursor.read("b-2", u64::MAX);
        assert_eq!((cursor.of("a"), cursor.of("c")), (12, 7));
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
    }

    #[test]
    fn what_is_no_cursor_is_refused() {
        for text in ["", "a", "a:", "a:-1", "a:1,", "A:1", "a:99999999999999999999"] {
            assert!(text.parse::<Cursor>().is_err(), "{text}");
        }
    }
}
