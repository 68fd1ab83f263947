//! A key, and the name of its znode.

use std::fmt;

use super::error::StateError;
use crate::config::{MAX_KEY_BYTES, decode_key, encode_key};

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

    /// The path of the key's znode under `dir`.
    pub fn path(&self, dir: &str) -> String {
        let name = encode_key(&self.0).expect("a key was checked when it was made");
        format!("{dir}/{name}")
    }

    /// The key of a znode's name; None for a name that no key has.
    pub fn from_node_name(name: &str) -> Option<Self> {
        decode_key(name).map(Key)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
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
