//! A limit that was passed, in words.

use std::error::Error;
use std::fmt;

use super::table::Limit;

/// A run asked for more than it may have of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OverLimit {
    /// Of what.
    pub limit: Limit,
    /// How much it would have had; None where whoever counts doesn't say.
    pub used: Option<u64>,
    /// How much it may have.
    pub most: u64,
}

impl fmt::Display for OverLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let OverLimit { limit, used, most } = self;
        let most = limit.unit().write(*most);
        match used {
            Some(used) => write!(f, "{limit} {} is over the limit of {most}", limit.unit().write(*used)),
            None => write!(f, "{limit}: more than the limit of {most}"),
        }
    }
}

impl Error for OverLimit {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_named_with_its_value() {
        let over = OverLimit { limit: Limit::MemoryBytes, used: Some(67_174_400), most: 64 << 20 };
        assert_eq!(over.to_string(), "memory 65600KiB is over the limit of 64MiB");
        let over = OverLimit { limit: Limit::CpuMs, used: Some(10_003), most: 10_000 };
        assert_eq!(over.to_string(), "cpu 10003ms is over the limit of 10s");
        let over = OverLimit { limit: Limit::Handles, used: None, most: 1000 };
        assert_eq!(over.to_string(), "handles: more than the limit of 1000");
    }
}
