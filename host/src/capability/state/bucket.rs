//! The state as the guest asks for it: the three interfaces of `wasi:keyvalue`.

use wasmtime::Result;
use wasmtime::component::Resource;

use super::error::StateError;
use super::key::Key;
use super::{Batch, MAX_BATCH_BYTES, MAX_BATCH_KEYS};
use crate::capability::bindings::wasi::keyvalue::{atomics, batch, store};
use crate::capability::host::Host;

/// An open bucket. There is one, the job's own state, so the handle says nothing.
pub struct Bucket(());

/// The names that the job's own state answers to.
const OWN: [&str; 2] = ["", "default"];

type Answer<T> = Result<std::result::Result<T, store::Error>>;

impl store::Host for Host {
    async fn open(&mut self, identifier: String) -> Answer<Resource<Bucket>> {
        self.meter.transfer(identifier.len())?;
        if OWN.contains(&identifier.as_str()) {
            return Ok(Ok(self.table.push(Bucket(()))?));
        }
        Ok(Err(store::Error::NoSuchStore))
    }
}

impl store::HostBucket for Host {
    async fn get(&mut self, _: Resource<Bucket>, key: String) -> Answer<Option<Vec<u8>>> {
        let stack = self.state.stack();
        answer(stack.wait(|| self.get_one(key)).await)
    }

    async fn set(&mut self, _: Resource<Bucket>, key: String, value: Vec<u8>) -> Answer<()> {
        let stack = self.state.stack();
        answer(stack.wait(|| self.write_many(vec![(key, Some(value))])).await)
    }

    async fn delete(&mut self, _: Resource<Bucket>, key: String) -> Answer<()> {
        let stack = self.state.stack();
        answer(stack.wait(|| self.write_many(vec![(key, None)])).await)
    }

    async fn exists(&mut self, _: Resource<Bucket>, key: String) -> Answer<bool> {
        self.meter.transfer(key.len())?;
        let stack = self.state.stack();
        answer(stack.wait(|| async { self.state.exists(&Key::new(key)?).await }).await)
    }

    /// All keys at once: there are at most a thousand, so a cursor is never given, and one that is handed in
    /// is past the end.
    async fn list_keys(&mut self, _: Resource<Bucket>, cursor: Option<u64>) -> Answer<store::KeyResponse> {
        if cursor.is_some() {
            return Ok(Ok(store::KeyResponse { keys: Vec::new(), cursor: None }));
        }
        let stack = self.state.stack();
        let keys = stack.wait(|| self.state.keys()).await;
        self.meter.transfer(keys.iter().flatten().map(|key| key.as_str().len()).sum())?;
        answer(keys.map(|keys| store::KeyResponse {
            keys: keys.into_iter().map(|key| key.as_str().to_owned()).collect(),
            cursor: None,
        }))
    }

    async fn drop(&mut self, bucket: Resource<Bucket>) -> Result<()> {
        self.table.delete(bucket)?;
        Ok(())
    }
}

impl atomics::Host for Host {
    async fn increment(&mut self, _: Resource<Bucket>, key: String, delta: u64) -> Answer<u64> {
        self.meter.transfer(key.len())?;
        let stack = self.state.stack();
        answer(stack.wait(|| async { self.state.increment(&Key::new(key)?, delta).await }).await)
    }
}

impl batch::Host for Host {
    async fn get_many(&mut self, _: Resource<Bucket>, keys: Vec<String>) -> Answer<Vec<Option<(String, Vec<u8>)>>> {
        let stack = self.state.stack();
        answer(stack.wait(|| self.get_all(keys)).await)
    }

    async fn set_many(&mut self, _: Resource<Bucket>, key_values: Vec<(String, Vec<u8>)>) -> Answer<()> {
        let writes = key_values.into_iter().map(|(key, value)| (key, Some(value))).collect();
        let stack = self.state.stack();
        answer(stack.wait(|| self.write_many(writes)).await)
    }

    async fn delete_many(&mut self, _: Resource<Bucket>, keys: Vec<String>) -> Answer<()> {
        let writes = keys.into_iter().map(|key| (key, None)).collect();
        let stack = self.state.stack();
        answer(stack.wait(|| self.write_many(writes)).await)
    }
}

impl Host {
    async fn get_one(&mut self, key: String) -> std::result::Result<Option<Vec<u8>>, StateError> {
        self.meter.transfer(key.len())?;
        let value = self.state.get(&Key::new(key)?).await?;
        self.meter.transfer(value.as_ref().map_or(0, Vec::len))?;
        Ok(value)
    }

    async fn get_all(&mut self, keys: Vec<String>) -> std::result::Result<Vec<Option<(String, Vec<u8>)>>, StateError> {
        self.meter.transfer(keys.iter().map(String::len).sum())?;
        within_batch(keys.len())?;
        let mut found = Vec::with_capacity(keys.len());
        let mut bytes = 0;
        for key in keys {
            let value = self.state.get(&Key::new(key.clone())?).await?;
            self.meter.transfer(value.as_ref().map_or(0, Vec::len))?;
            bytes += value.as_ref().map_or(0, Vec::len);
            if bytes > MAX_BATCH_BYTES {
                return Err(StateError::over("bytes of values asked for at once", None, bytes, MAX_BATCH_BYTES));
            }
            found.push(value.map(|value| (key, value)));
        }
        Ok(found)
    }

    async fn write_many(&mut self, writes: Vec<(String, Option<Vec<u8>>)>) -> std::result::Result<(), StateError> {
        self.meter.transfer(writes.iter().map(|(key, value)| key.len() + value.as_ref().map_or(0, Vec::len)).sum())?;
        within_batch(writes.len())?;
        let batch: Batch = writes
            .into_iter()
            .map(|(key, value)| Ok((Key::new(key)?, value)))
            .collect::<std::result::Result<_, StateError>>()?;
        if batch.is_empty() { Ok(()) } else { self.state.write(batch).await }
    }
}

fn within_batch(keys: usize) -> std::result::Result<(), StateError> {
    if keys > MAX_BATCH_KEYS {
        return Err(StateError::over("number of keys in one batch", None, keys, MAX_BATCH_KEYS));
    }
    Ok(())
}

/// An error of ours is an answer to the guest, never a trap; but who goes over what it may use is ended.
fn answer<T>(result: std::result::Result<T, StateError>) -> Answer<T> {
    match result {
        Err(StateError::Over(over)) => Err(over.into()),
        other => Ok(other.map_err(store::Error::from)),
    }
}

#[cfg(test)]
mod tests {
    use super::batch::Host as _;
    use super::store::{Host as _, HostBucket as _};
    use super::*;
    use crate::capability::fakes::{CONTENDER, host};
    use crate::capability::state::StateMode;

    fn other(words: &str) -> store::Error {
        store::Error::Other(words.to_owned())
    }

    #[tokio::test]
    async fn only_the_jobs_own_state_can_be_opened() {
        let (mut host, ..) = host(StateMode::Immediate);
        assert!(host.open(String::new()).await.unwrap().is_ok());
        assert!(host.open("default".to_owned()).await.unwrap().is_ok());
        let foreign = host.open("/state/other/job".to_owned()).await.unwrap();
        assert!(matches!(foreign, Err(store::Error::NoSuchStore)));
    }

    #[tokio::test]
    async fn errors_are_answers_and_a_lost_term_is_told_as_refused() {
        let (mut host, _, session) = host(StateMode::Immediate);
        let bucket = || Resource::new_own(0);
        let error = host.set(bucket(), String::new(), vec![1]).await.unwrap().unwrap_err();
        assert_eq!(error.to_string(), other("key is empty, a key has 1 to 255 bytes").to_string());
        session.remove(CONTENDER);
        let error = host.set(bucket(), "k".to_owned(), vec![1]).await.unwrap().unwrap_err();
        assert_eq!(error.to_string(), other("refused: leadership is lost").to_string());
    }

    #[tokio::test]
    async fn a_batch_is_bounded_in_keys_and_in_bytes() {
        let (mut host, ..) = host(StateMode::Immediate);
        let bucket = || Resource::new_own(0);
        let keys: Vec<String> = (0..=MAX_BATCH_KEYS).map(|n| n.to_string()).collect();
        let error = host.delete_many(bucket(), keys.clone()).await.unwrap().unwrap_err();
        assert_eq!(error.to_string(), other("number of keys in one batch 101 is over the limit of 100").to_string());
        host.set(bucket(), "big".to_owned(), vec![0; MAX_BATCH_BYTES / 4]).await.unwrap().unwrap();
        let five = vec!["big".to_owned(); 5];
        let error = host.get_many(bucket(), five).await.unwrap().unwrap_err();
        assert!(error.to_string().contains("bytes of values asked for at once"), "{error}");
    }
}
