//! Scheduled jobs of the guest `chore`, which counts its runs and ends as it is told: texts of their job.toml.

use std::fmt::Write as _;

use crate::place::guest;

/// One of them.
#[derive(Clone, Debug)]
pub struct Chore {
    tenant: String,
    name: String,
    /// Lines of job.toml before its tables.
    keys: String,
    /// The tables.
    tables: String,
}

/// How the jobs of a mixture differ: keys and tables of job.toml.
const MIXTURE: [(&str, &str); 20] = [
    ("schedule = \"@every 1s\"", ""),
    ("schedule = \"@every 2s\"", "[config]\ntakes-ms = \"3000\""),
    ("schedule = \"@every 2s\"\noverlap = \"queue-one\"", "[config]\ntakes-ms = \"3000\""),
    ("schedule = \"@every 3s\"\noverlap = \"queue-all\"\nmax_queued = 4", "[config]\ntakes-ms = \"4000\""),
    ("schedule = \"@every 3s\"\noverlap = \"cancel-running\"", "[config]\ntakes-ms = \"4000\""),
    ("schedule = \"@every 2s\"\noverlap = \"allow\"\nmax_running = 3", "[config]\ntakes-ms = \"7000\""),
    ("schedule = \"@every 5s\"\ndelivery = \"at-least-once\"", ""),
    (
        "schedule = \"@every 7s\"\ndelivery = \"at-least-once\"\ncatch_up = \"all\"\noverlap = \"queue-all\"",
        "[config]\ntakes-ms = \"1000\"",
    ),
    (
        "schedule = [\"*/10 * * * * *\", \"@every 7s\"]\ntime_zone = \"America/New_York\"\ncatch_up = \"none\"\n\
         except = [\"2020-02-29\", \"* 3 * * SUN#5\"]",
        "",
    ),
    ("schedule = \"*/4 * * * * *\"\ncatch_up = \"all\"\ncatch_up_window = \"20s\"\nmax_catch_up = 3", ""),
    (
        "schedule = \"@every 10s\"",
        "[retry]\ncount = 3\nbackoff = \"500ms\"\nmax_backoff = \"2s\"\n\
         [config]\nfails = \"retryably\"\nuntil-attempt = \"3\"",
    ),
    (
        "schedule = \"@every 12s\"",
        "[retry]\ncount = 3\nbackoff = \"500ms\"\nmax_backoff = \"2s\"\n[config]\nfails = \"for-good\"",
    ),
    (
        "schedule = \"@every 15s\"",
        "[retry]\ncount = 2\nbackoff = \"300ms\"\nmax_backoff = \"1s\"\njitter = \"200ms\"\non = \"all\"\n\
         [config]\nfails = \"for-good\"",
    ),
    ("schedule = \"@every 20s\"", "[limits]\ntime = \"500ms\"\n[config]\nfails = \"spinning\""),
    ("schedule = \"H/5 * * * * *\"\njitter = \"2s\"", ""),
    ("schedule = \"@every 20s\"\njitter = \"5s\"\ndelivery = \"at-least-once\"\nstart_deadline = \"10s\"", ""),
    (
        "schedule = \"@every 8s\"\ndelivery = \"at-least-once\"\nstart_deadline = \"2s\"",
        "[config]\ntakes-ms = \"1000\"",
    ),
    (
        "schedule = \"@every 6s\"\npause_after_failures = 3",
        "[retry]\ncount = 1\nbackoff = \"200ms\"\nmax_backoff = \"200ms\"\n[config]\nfails = \"retryably\"",
    ),
    (
        "schedule = \"@every 9s\"\ndelivery = \"at-least-once\"",
        "[retry]\ncount = 2\nbackoff = \"300ms\"\nmax_backoff = \"600ms\"\non = \"all\"\n\
         [limits]\ntime = \"300ms\"\n[config]\nfails = \"spinning\"\nuntil-attempt = \"2\"",
    ),
    (
        "schedule = \"*/15 * * * * *\"\ndelivery = \"at-least-once\"\noverlap = \"allow\"\ncatch_up = \"all\"",
        "[config]\ntakes-ms = \"2000\"",
    ),
];

impl Chore {
    /// A job with these keys of job.toml, a line each; its schedule is among them.
    pub fn new(tenant: &str, name: &str, keys: &str) -> Self {
        Chore { tenant: tenant.to_owned(), name: name.to_owned(), keys: keys.to_owned(), tables: String::new() }
    }

    /// With these tables.
    #[must_use]
    pub fn with(self, tables: &str) -> Self {
        Chore { tables: tables.to_owned(), ..self }
    }

    /// Twenty jobs for each of so many tenants, of every policy: such as end well, fail, run for longer than their period,
    /// and spin.
    pub fn mixture(tenants: usize) -> Vec<Chore> {
        let of_tenant = |tenant: usize| {
            MIXTURE.iter().enumerate().map(move |(at, (keys, tables))| Chore {
                tenant: format!("tenant-{tenant}"),
                name: format!("chore-{at}"),
                keys: (*keys).to_owned(),
                tables: (*tables).to_owned(),
            })
        };
        (0..tenants).flat_map(of_tenant).collect()
    }

    /// `tenant/name`.
    pub fn id(&self) -> String {
        format!("{}/{}", self.tenant, self.name)
    }

    /// Whether it pauses itself.
    pub fn pauses(&self) -> bool {
        self.keys.contains("pause_after_failures")
    }

    /// Its job.toml.
    pub fn toml(&self) -> String {
        let mut text = format!("tenant = \"{}\"\nname = \"{}\"\n", self.tenant, self.name);
        let _ = writeln!(text, "component = \"{}\"\ntrigger = \"schedule\"", guest("chore").display());
        let _ = writeln!(text, "{}\n{}", self.keys, self.tables);
        text
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use silverback::registry::JobFile;

    use super::*;

    #[test]
    fn each_of_a_mixture_is_a_valid_job() {
        for chore in Chore::mixture(1) {
            JobFile::parse(&chore.toml(), Path::new("")).unwrap_or_else(|error| panic!("{}: {error}", chore.id()));
        }
    }
}
