//! What became of an effect that leadership stood in the way of, told in one form by every import, as wit/leader.wit
//! promises: a text that begins with the fate's word, a colon and a blank. What follows is for people.

use thiserror::Error;

use super::gate::Refusal;

/// Three ways not to come to pass. Guests compare the first word.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Fate {
    /// The term is over. Nothing was done, nor will be.
    #[error("refused: leadership is lost")]
    Refused,
    /// The connection did not come back in time. Nothing was done; it may be tried again while the term stands.
    #[error("unproven: the ensemble can't be reached, so whether this host leads is not known")]
    Unproven,
    /// It was sent, and its answer is missing.
    #[error("unknown: no answer says whether it was done")]
    Unknown,
}

impl From<Refusal> for Fate {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Over => Fate::Refused,
            Refusal::Unproven => Fate::Unproven,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_begins_with_the_word_that_the_world_names() {
        let wit = include_str!("../../../wit/leader.wit");
        for (fate, word) in [(Fate::Refused, "refused: "), (Fate::Unproven, "unproven: "), (Fate::Unknown, "unknown: ")]
        {
            assert!(fate.to_string().starts_with(word), "{fate}");
            assert!(wit.contains(&format!("`{word}`")), "wit/leader.wit doesn't name `{word}`");
        }
    }
}
