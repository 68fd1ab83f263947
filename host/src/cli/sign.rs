//! `sign` and `signing-key`: what a tenant's own people do before they ship a component.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, ensure};
use clap::Args;
use wasmsign2::{KeyPair, Module, SecretKey};

use super::output::say;
use super::{new_secret_file, read_file};
use crate::files::{self, Access};
use crate::registry::{Digest, Signer};
use crate::runtime::MAX_COMPONENT_BYTES;

/// What a component begins with, as other tools check it too.
const COMPONENT: [u8; 8] = *b"\0asm\x0d\0\x01\0";
/// No key is as large, in bytes.
const MAX_KEY_BYTES: u64 = 16 * 1024;

#[derive(Debug, Args)]
pub(super) struct Sign {
    /// The component
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The secret key, as `silverback signing-key` or `openssl genpkey -algorithm ed25519` writes it
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Where the signed component is written [default: in place of the unsigned one]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Sign {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let key = secret_key(&self.key)?;
        let named = || format!("`{}`", self.file.display());
        let signed = signed(&read_file(&self.file)?, &key).with_context(named)?;
        let output = self.output.as_ref().unwrap_or(&self.file);
        files::replace(output, &signed, Access::Usual)
            .with_context(|| format!("can't write `{}`", output.display()))?;
        Ok(say(&format!("signed {} as {}\nby {}", output.display(), Digest::of(&signed), signer(&key)))?)
    }
}

#[derive(Debug, Args)]
pub(super) struct SigningKey {
    /// The new file
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

impl SigningKey {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let key = KeyPair::generate().sk;
        new_secret_file(&self.file, &key.to_pem())?;
        Ok(say(&signer(&key).to_string())?)
    }
}

fn signer(key: &SecretKey) -> Signer {
    Signer::new(*key.sk.public_key())
}

/// The component with its signature, which is nothing that changes what it does.
fn signed(bytes: &[u8], key: &SecretKey) -> anyhow::Result<Vec<u8>> {
    ensure!(bytes.starts_with(&COMPONENT), "it is no component, which begins with `\\0asm` and its version");
    let broken = |error| anyhow!("it can't be signed: {error}");
    let module = Module::deserialize(&mut &*bytes).map_err(broken)?;
    let mut signed = Vec::with_capacity(bytes.len() + 256);
    key.sign(module, None).and_then(|module| module.serialize(&mut signed)).map_err(broken)?;
    ensure!(
        signed.len() <= MAX_COMPONENT_BYTES,
        "it has {} bytes when it is signed, over the limit of {MAX_COMPONENT_BYTES}",
        signed.len()
    );
    Ok(signed)
}

/// A key that only its owner can read.
fn secret_key(path: &Path) -> anyhow::Result<SecretKey> {
    let named = || format!("key: `{}`", path.display());
    let file = File::open(path).with_context(named)?;
    files::check_key_file(&file, path).context("key")?;
    let mut text = Vec::new();
    file.take(MAX_KEY_BYTES).read_to_end(&mut text).with_context(named)?;
    SecretKey::from_any(&text).map_err(|error| anyhow!("{}: it is no secret Ed25519 key: {error}", named()))
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::os::unix::fs::OpenOptionsExt as _;

    use wasmsign2::PublicKey;

    use super::*;

    fn key_file(folder: &Path, text: &str, mode: u32) -> PathBuf {
        let path = folder.join("key");
        let _ = std::fs::remove_file(&path);
        OpenOptions::new().write(true).create_new(true).mode(mode).open(&path).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    #[test]
    fn a_component_is_signed_in_its_place_and_signed_again_has_one_signature() {
        let folder = tempfile::tempdir().unwrap();
        let component = folder.path().join("component.wasm");
        let unsigned = wat::parse_str("(component)").unwrap();
        std::fs::write(&component, &unsigned).unwrap();
        let key = folder.path().join("key");
        SigningKey { file: key.clone() }.run().unwrap();
        assert!(SigningKey { file: key.clone() }.run().is_err(), "a key is never written over");
        let sign = || Sign { file: component.clone(), key: key.clone(), output: None };
        sign().run().unwrap();
        let once = std::fs::read(&component).unwrap();
        sign().run().unwrap();
        assert_eq!(std::fs::read(&component).unwrap(), once);
        assert!(once.ends_with(&unsigned[8..]) && once.len() > unsigned.len());
    }

    /// The keys are those of RFC 8410, section 10: what `openssl` writes too.
    #[test]
    fn a_key_that_others_made_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let secret = "MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC";
        let secret = format!("-----BEGIN PRIVATE KEY-----\n{secret}\n-----END PRIVATE KEY-----\n");
        let public = "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=";
        let public = format!("-----BEGIN PUBLIC KEY-----\n{public}\n-----END PUBLIC KEY-----\n");
        let key = secret_key(&key_file(folder.path(), &secret, 0o600)).unwrap();
        assert_eq!(*PublicKey::from_any(public.as_bytes()).unwrap().pk, *signer(&key).key());
    }

    #[test]
    fn what_is_no_component_or_no_safe_key_is_refused_and_nothing_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().sk;
        let refused = |path: &Path| format!("{:#}", secret_key(path).unwrap_err());
        assert!(refused(&key_file(folder.path(), &key.to_pem(), 0o640)).contains("chmod 600"));
        assert!(refused(&key_file(folder.path(), "-----BEGIN", 0o600)).contains("no secret Ed25519 key"));
        assert!(secret_key(&key_file(folder.path(), &key.to_pem(), 0o600)).is_ok());
        for wrong in [b"".as_slice(), b"\0asm\x01\0\0\0", b"\0asm\x0d\0\x01\0\x00\xff\xff\xff\xff\x0f"] {
            assert!(signed(wrong, &key).is_err(), "{wrong:?}");
        }
    }
}
