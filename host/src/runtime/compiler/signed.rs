//! Whether a component bears a signature that is accepted.
//!
//! The signature is the component's first section, named `signature`, over all that follows: the format of the
//! WebAssembly tool conventions, which `wasmsign2` and others write. Nothing of the component itself is parsed to check it. A
//! length in the signature may claim what it likes, so a host has a child do this.

use wasmsign2::{PublicKey, PublicKeySet, WSError};

use crate::registry::{Signer, Signers};
use crate::runtime::error::AdmissionError;

/// Whether one of `signers` signed these bytes. There is at least one.
pub(super) fn check(bytes: &[u8], signers: &Signers) -> Result<(), AdmissionError> {
    let keys = signers.iter().filter_map(|signer| key(&signer)).collect();
    match PublicKeySet::new(keys).verify(&mut &*bytes, None) {
        Ok(_) => Ok(()),
        Err(WSError::NoSignatures) => Err(unsigned("it bears no signature", signers)),
        Err(WSError::VerificationFailed) => {
            Err(unsigned("what it bears is no signature of these bytes by one of them", signers))
        }
        Err(error) => Err(unsigned(&format!("its signature can't be read: {error}"), signers)),
    }
}

pub(super) fn unsigned(detail: &str, signers: &Signers) -> AdmissionError {
    AdmissionError::Unsigned { signers: signers.clone(), detail: detail.to_owned() }
}

/// None where the library finds it no key: then nothing is signed with it.
fn key(signer: &Signer) -> Option<PublicKey> {
    // The first byte says that what follows is an Ed25519 public key.
    let bytes: Vec<u8> = [1].into_iter().chain(*signer.key()).collect();
    PublicKey::from_bytes(&bytes).ok()
}

#[cfg(test)]
mod tests {
    use sha2::{Digest as _, Sha256};
    use wasmsign2::{KeyPair, Module};

    use super::*;
    use crate::runtime::tests::{OK, guest};

    fn signer(pair: &KeyPair) -> Signer {
        Signer::new(*pair.pk.pk)
    }

    fn signed(bytes: &[u8], pair: &KeyPair) -> Vec<u8> {
        let module = Module::deserialize(&mut &*bytes).unwrap();
        let mut signed = Vec::new();
        pair.sk.sign(module, None).unwrap().serialize(&mut signed).unwrap();
        signed
    }

    /// A custom section before all others.
    fn before(bytes: &[u8], name: &str, payload: &[u8]) -> Vec<u8> {
        let size = 1 + name.len() + payload.len();
        let section = [&[0, size as u8, name.len() as u8], name.as_bytes(), payload].concat();
        [&bytes[..8], &section, &bytes[8..]].concat()
    }

    #[test]
    fn one_of_the_signers_has_to_have_signed_all_of_it() {
        let (ours, theirs) = (KeyPair::generate(), KeyPair::generate());
        let component = guest(OK);
        let by_us = signed(&component, &ours);
        let one = Signers::from(vec![signer(&ours)]);
        let both = Signers::from(vec![signer(&theirs), signer(&ours)]);
        assert_eq!(check(&by_us, &one), Ok(()));
        assert_eq!(check(&by_us, &both), Ok(()));
        assert_eq!(check(&signed(&by_us, &theirs), &both), Ok(()), "the new signature takes the place of ours");

        let mut changed = by_us.clone();
        *changed.last_mut().unwrap() ^= 1;
        let appended = [by_us.as_slice(), b"\0\x02\x01x"].concat();
        let twice = [by_us.as_slice(), &by_us[8..]].concat();
        let hidden = before(&by_us, "other", b"");
        let refused = [
            (&component, "no signature"),
            (&signed(&component, &theirs), "no signature of these bytes by one of them"),
            (&changed, "no signature of these bytes by one of them"),
            (&appended, "no signature of these bytes by one of them"),
            (&twice, "no signature of these bytes by one of them"),
            (&hidden, "no signature"),
            (&by_us[..by_us.len() / 2].to_vec(), "no signature of these bytes by one of them"),
            (&Vec::new(), "can't be read"),
        ];
        for (bytes, why) in refused {
            let error = check(bytes, &one).unwrap_err();
            assert!(matches!(error, AdmissionError::Unsigned { .. }), "{error}");
            let text = error.to_string();
            assert!(text.contains(why) && text.contains(&signer(&ours).to_string()), "{why}: {text}");
        }
    }

    /// Everybody can sign for the neutral element of the curve: it is nobody's key.
    #[test]
    fn a_weak_key_accepts_nothing() {
        let mut neutral = [0; 32];
        neutral[0] = 1;
        let weak = Signers::from(vec![Signer::new(neutral), Signer::new([0; 32]), Signer::new([0xff; 32])]);
        let component = guest(OK);
        let by_anybody = before(&component, "signature", &forged(&component[8..]));
        assert!(matches!(check(&by_anybody, &weak), Err(AdmissionError::Unsigned { .. })));
    }

    /// A signature section for this, with an R of the neutral element and an S of zero.
    fn forged(signed: &[u8]) -> Vec<u8> {
        let mut signature = [0; 64];
        signature[0] = 1;
        // No key id, Ed25519, 64 bytes.
        let signature = [&[0, 1, 64], &signature[..]].concat();
        // One hash, one signature.
        let set = [&[1], &Sha256::digest(signed)[..], &[1, signature.len() as u8], &signature].concat();
        [&[1, 1, 1, 1, set.len() as u8], &set[..]].concat()
    }

    #[test]
    fn a_signature_that_claims_gigabytes_is_refused() {
        let huge = b"\xff\xff\xff\xff\x0f";
        let claims = [huge.to_vec(), [&[1, 1, 1], &huge[..]].concat(), [&[1, 1, 1, 1], &huge[..]].concat()];
        let signers = Signers::from(vec![Signer::new([7; 32])]);
        for claim in claims {
            let bytes = before(&guest(OK), "signature", &claim);
            assert!(matches!(check(&bytes, &signers), Err(AdmissionError::Unsigned { .. })), "{claim:?}");
        }
    }
}
