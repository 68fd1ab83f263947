//! A key, and the name of its znode.

use std::fmt::{self, Write as _};

use super::MAX_KEY_BYTES;
use super::error::StateError;

/// A key of a job's state: 1 to 255 bytes of UTF-8.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(String);

impl Key {
    /// Checks a key as the guest wrote it.
    ///
    /// # Errors
    /// [`StateError::EmptyKey`], [`StateError::Limit`].
    pub fn new(key: String) -> Result<Self, StateError> {
        match key.len() {
            0 => Err(StateError::EmptyKey),
            1..=MAX_KEY_BYTES => Ok(Key(key)),
            size => Err(StateError::over("key bytes", None, size, MAX_KEY_BYTES)),
        }
    }

    /// The key as the guest wrote it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path of the key's znode under `dir`. ASCII letters, digits, `-`, `_` and `.` stand for themselves, other bytes
    /// (and a dot at the beginning: `.` and `..` are no names) as `%` and two hexadecimal digits.
    pub fn path(&self, dir: &str) -> String {
        let mut path = format!("{dir}/");
        for (at, byte) in self.0.bytes().enumerate() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => path.push(byte.into()),
                b'.' if at > 0 => path.push('.'),
                other => {
                    let _ = write!(path, "%{other:02X}");
                }
            }
        }
        path
    }

    /// The key of a znode's name; None for a name that no key has.
    pub fn from_node_name(name: &str) -> Option<Self> {
        let mut bytes = Vec::with_capacity(name.len());
        let mut rest = name.bytes();
        while let Some(byte) = rest.next() {
            bytes.push(match byte {
                b'%' => 16 * hex(rest.next()?)? + hex(rest.next()?)?,
                plain => plain,
            });
        }
        Key::new(String::from_utf8(bytes).ok()?).ok()
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|digit| digit as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_one_name_and_comes_back() {
        for key in ["a", ".", "..", "a/b", "ключ", "a%2Fb", "with space", "\u{0}", "zookeeper", &"/".repeat(255)] {
            let key = Key::new(key.to_owned()).unwrap();
            let path = key.path("/s/t/j");
            let name = path.strip_prefix("/s/t/j/").unwrap();
            assert!(!name.contains('/') && name != "." && name != "..", "`{name}`");
            assert_eq!(Key::from_node_name(name), Some(key));
        }
    }

    #[test]
    fn keys_outside_the_bounds_are_refused_with_the_bound() {
        assert_eq!(Key::new(String::new()).unwrap_err().to_string(), "key is empty, a key has 1 to 255 bytes");
        assert_eq!(Key::new("k".repeat(256)).unwrap_err().to_string(), "key bytes 256 is over the limit of 255");
    }
}
