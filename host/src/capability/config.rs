//! `wasi:config/store`: the values of the job's `[config]` table, fixed for the run.

use wasmtime::Result;

use super::bindings::wasi::config::store;
use super::host::Host;

impl store::Host for Host {
    async fn get(&mut self, key: String) -> Result<std::result::Result<Option<String>, store::Error>> {
        self.meter.transfer(key.len())?;
        let found = self.config.binary_search_by(|(name, _)| name.cmp(&key)).ok().map(|at| &self.config[at].1);
        self.meter.transfer(found.map_or(0, String::len))?;
        Ok(Ok(found.cloned()))
    }

    async fn get_all(&mut self) -> Result<std::result::Result<Vec<(String, String)>, store::Error>> {
        self.meter.transfer(self.config.iter().map(|(key, value)| key.len() + value.len()).sum())?;
        Ok(Ok(self.config.to_vec()))
    }
}
