//! The hosts' keys, and what they seal. Each secret is sealed for its own place: moved to another tenant or name, it opens no more.
//!
//! AES-256-GCM with a random nonce of 96 bits (NIST SP 800-38D, 8.2.2): a key seals some four thousand million secrets before two
//! nonces are likelier to be the same than one in four thousand million.

use std::fmt;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::super::hex;

/// Bytes of a key.
const KEY_BYTES: usize = 32;
/// Tells keys apart without telling of them: see BLAKE3's key derivation.
const ID_CONTEXT: &str = "silverback 2026-11 name of a key for secrets";

/// Why a file gives no keys.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum VaultError {
    /// A line is none.
    #[error("line {line} is no key: it must be 64 hexadecimal digits, as `silverback secret key` prints them")]
    Line {
        /// From 1.
        line: usize,
    },
    /// No line has one.
    #[error("it has no key: `silverback secret key` prints one")]
    Empty,
}

/// Why what is sealed can't be opened.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum OpenError {
    /// By another key.
    #[error("it is sealed under key `{key}`, which is not among those of this host")]
    NoKey {
        /// The key's name.
        key: String,
    },
    /// Not by the key that it names, or for another place.
    #[error("what is stored of it is damaged")]
    Damaged,
}

/// A secret as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sealed {
    /// The name of the key.
    pub key: String,
    nonce: String,
    text: String,
}

/// The keys of the hosts of a cluster, the same on all of them. The first seals; the others are there for what was sealed before
/// it was added.
pub struct Vault(Vec<Key>);

struct Key {
    name: String,
    aead: LessSafeKey,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|key| &key.name)).finish()
    }
}

impl Vault {
    /// A new key, as a line of a file of them.
    ///
    /// # Panics
    /// Where the machine has no randomness.
    pub fn new_key() -> String {
        hex::encode(&random::<KEY_BYTES>())
    }

    /// Reads a file of keys: one a line, the one that seals first; empty lines and those that begin with `#` don't count.
    ///
    /// # Errors
    /// [`VaultError`]; nothing of a wrong line is told, which may be a key all but one letter.
    pub fn read(text: &str) -> Result<Self, VaultError> {
        let lines = text.lines().map(str::trim).zip(1..);
        let keys = lines.filter(|(text, _)| !text.is_empty() && !text.starts_with('#'));
        let keys = keys.map(|(text, line)| Key::read(text).ok_or(VaultError::Line { line }));
        match keys.collect::<Result<Vec<_>, _>>()? {
            keys if keys.is_empty() => Err(VaultError::Empty),
            keys => Ok(Vault(keys)),
        }
    }

    /// Seals the secret `name` of `tenant`.
    ///
    /// # Panics
    /// Where the machine has no randomness.
    pub fn seal(&self, tenant: &str, name: &str, secret: &str) -> Sealed {
        let [Key { name: key, aead }, ..] = &self.0[..] else { unreachable!("a vault has a key") };
        let nonce = random::<NONCE_LEN>();
        let mut text = secret.as_bytes().to_vec();
        aead.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), place(tenant, name), &mut text)
            .expect("a secret is far below what can be sealed");
        Sealed { key: key.clone(), nonce: hex::encode(&nonce), text: hex::encode(&text) }
    }

    /// Opens it again.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(&self, tenant: &str, name: &str, sealed: &Sealed) -> Result<String, OpenError> {
        let key = self.0.iter().find(|key| key.name == sealed.key);
        let key = key.ok_or_else(|| OpenError::NoKey { key: sealed.key.chars().take(KEY_BYTES).collect() })?;
        let nonce = hex::decode(&sealed.nonce).and_then(|nonce| <[u8; NONCE_LEN]>::try_from(nonce).ok());
        let (Some(nonce), Some(mut text)) = (nonce, hex::decode(&sealed.text)) else { return Err(OpenError::Damaged) };
        let opened = key.aead.open_in_place(Nonce::assume_unique_for_key(nonce), place(tenant, name), &mut text);
        let opened = opened.map_err(|_| OpenError::Damaged)?;
        std::str::from_utf8(opened).map(str::to_owned).map_err(|_| OpenError::Damaged)
    }
}

impl Key {
    fn read(line: &str) -> Option<Self> {
        let key = <[u8; KEY_BYTES]>::try_from(hex::decode(line)?).ok()?;
        let name = hex::encode(&blake3::derive_key(ID_CONTEXT, &key)[..4]);
        Some(Key { name, aead: LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key).ok()?) })
    }
}

/// Neither tenant nor name can have the sign between them.
fn place(tenant: &str, name: &str) -> Aad<String> {
    Aad::from(format!("{tenant}/{name}"))
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the machine has randomness");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_opens_in_its_place_and_nowhere_else() {
        let (old, new) = (Vault::new_key(), Vault::new_key());
        let vault = Vault::read(&format!("# since spring\n\n{old}\n")).unwrap();
        let sealed = vault.seal("acme", "token", "s3cret");
        assert_ne!(sealed, vault.seal("acme", "token", "s3cret"), "no two are alike");
        assert!(!serde_json::to_string(&sealed).unwrap().contains("s3cret"));
        assert_eq!(vault.open("acme", "token", &sealed).as_deref(), Ok("s3cret"));
        assert_eq!(vault.open("rogue", "token", &sealed), Err(OpenError::Damaged));
        assert_eq!(vault.open("acme", "other", &sealed), Err(OpenError::Damaged));
        let another = if sealed.text.starts_with('0') { "1" } else { "0" };
        let tampered = Sealed { text: format!("{another}{}", &sealed.text[1..]), ..sealed.clone() };
        assert_eq!(vault.open("acme", "token", &tampered), Err(OpenError::Damaged));
        for nonce in ["", "00", "zz"] {
            let tampered = Sealed { nonce: nonce.to_owned(), ..sealed.clone() };
            assert_eq!(vault.open("acme", "token", &tampered), Err(OpenError::Damaged));
        }

        let rotated = Vault::read(&format!("{new}\n{old}\n")).unwrap();
        assert_eq!(rotated.open("acme", "token", &sealed).as_deref(), Ok("s3cret"));
        let by_the_new = rotated.seal("acme", "token", "s3cret");
        assert_eq!(vault.open("acme", "token", &by_the_new), Err(OpenError::NoKey { key: by_the_new.key.clone() }));
    }

    #[test]
    fn a_file_without_keys_is_refused_and_nothing_of_it_is_told() {
        let key = Vault::new_key();
        assert_eq!(Vault::read("# none\n").unwrap_err(), VaultError::Empty);
        for wrong in [&key[1..], &key.to_uppercase().replace(char::is_numeric, "A"), "key"] {
            let error = Vault::read(&format!("{key}\n{wrong}")).unwrap_err();
            assert_eq!(error, VaultError::Line { line: 2 });
        }
        assert!(!format!("{:?}", Vault::read(&key).unwrap()).contains(&key[..8]));
    }
}
