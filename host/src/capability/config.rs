//! `wasi:config/store`: the values of the job's `[config]` table, fixed for the run.

use wasmtime::Result;

use super::bindings::wasi::config::store;
use super::host::Host;

impl store::Host for Host {
    async fn get(&mut self, key: String) -> Result<std::result::Result<Option<String>, store::Error>> {
        self.meter.take(key.len())?;
        Ok(Ok(self.config.get(&key).cloned()))
    }

    async fn get_all(&mut self) -> Result<std::result::Result<Vec<(String, String)>, store::Error>> {
        Ok(Ok(self.config.iter().map(|(key, value)| (key.clone(), value.clone())).collect()))
    }
}
