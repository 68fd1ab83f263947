//! Whose signatures a tenant's components have to bear. Checking them is the runtime's part.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::hex;
use super::validate::cut;

/// The most keys that a tenant's components may be signed with.
pub const MAX_SIGNERS: usize = 16;

/// Who signs: an Ed25519 public key, `ed25519:` and 64 hexadecimal digits, lower case.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Signer([u8; 32]);

/// Not a signer.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("signer `{0}` is not valid: it must be `ed25519:` and 64 hexadecimal digits, lower case")]
pub struct SignerError(String);

impl Signer {
    /// The signer with this public key, as RFC 8032 writes it.
    pub fn new(key: [u8; 32]) -> Self {
        Signer(key)
    }

    /// Its public key.
    pub fn key(&self) -> &[u8; 32] {
        &self.0
    }
}

impl FromStr for Signer {
    type Err = SignerError;

    fn from_str(name: &str) -> Result<Self, SignerError> {
        let key = name.strip_prefix("ed25519:").and_then(hex::decode).and_then(|key| key.try_into().ok());
        key.map(Signer).ok_or_else(|| SignerError(cut(name)))
    }
}

impl TryFrom<String> for Signer {
    type Error = SignerError;

    fn try_from(name: String) -> Result<Self, SignerError> {
        name.parse()
    }
}

impl From<Signer> for String {
    fn from(signer: Signer) -> String {
        signer.to_string()
    }
}

impl fmt::Display for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ed25519:{}", hex::encode(&self.0))
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The signers of whom one has to have signed. None: anything is accepted. An empty list: nothing is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "Vec<Signer>", into = "Vec<Signer>")]
pub struct Signers(Option<Arc<[Signer]>>);

impl Signers {
    /// Anything is accepted.
    pub const NONE: Signers = Signers(None);

    /// Nothing is accepted: who may sign can't be told.
    pub fn nobody() -> Self {
        Signers(Some(Arc::default()))
    }

    /// Each of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = Signer> + '_ {
        self.0.iter().flat_map(|signers| signers.iter().copied())
    }

    /// True where anything is accepted.
    pub fn is_none(&self) -> bool {
        self.0.is_none()
    }

    /// True where nothing is accepted.
    pub fn is_nobody(&self) -> bool {
        self.0.as_ref().is_some_and(|signers| signers.is_empty())
    }
}

/// Each once, in the order of their keys: those that name the same are equal. Of an empty list, nobody.
impl From<Vec<Signer>> for Signers {
    fn from(mut signers: Vec<Signer>) -> Self {
        signers.sort_unstable();
        signers.dedup();
        Signers(Some(signers.into()))
    }
}

impl From<Signers> for Vec<Signer> {
    fn from(signers: Signers) -> Self {
        signers.iter().collect()
    }
}

impl fmt::Display for Signers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_nobody() {
            return f.write_str("nobody");
        }
        for (at, signer) in self.iter().enumerate() {
            write!(f, "{}{signer}", if at == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signer_is_read_as_it_is_written_and_nothing_else_is() {
        let signer = Signer::new([0xab; 32]);
        let name = format!("ed25519:{}", "ab".repeat(32));
        assert_eq!((signer.to_string(), name.parse()), (name.clone(), Ok(signer)));
        for wrong in ["", "ed25519:", &name[..70], &format!("{name}00"), &name.to_uppercase(), &name[8..]] {
            let refused = wrong.parse::<Signer>().unwrap_err().to_string();
            assert!(refused.contains(&format!("signer `{wrong}`")), "{refused}");
        }
    }

    #[test]
    fn signers_are_equal_whatever_their_order() {
        let [one, other] = [Signer::new([1; 32]), Signer::new([2; 32])];
        assert_eq!(Signers::from(vec![other, one, other]), Signers::from(vec![one, other]));
        assert_eq!(Signers::from(vec![]), Signers::nobody());
        assert!(Signers::nobody() != Signers::NONE && !Signers::nobody().is_none());
        let again: Signers = serde_json::from_str(&serde_json::to_string(&Signers::nobody()).unwrap()).unwrap();
        assert_eq!(again, Signers::nobody());
    }
}
