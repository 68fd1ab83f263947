//! What became of an effect that leadership stood in the way of, as the host tells it in every import: wit/leader.wit says how.

/// Three ways not to come to pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// This host no longer leads; nothing was done.
    Refused,
    /// Nobody knows whether it leads; nothing was done.
    Unproven,
    /// Nobody knows whether it was done.
    Unknown,
}

impl Fate {
    /// What the text of an error says; None where it is about something else.
    pub(crate) fn of(words: &str) -> Option<Self> {
        match words.split_once(": ")?.0 {
            "refused" => Some(Fate::Refused),
            "unproven" => Some(Fate::Unproven),
            "unknown" => Some(Fate::Unknown),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_word_says_it() {
        assert_eq!(Fate::of("refused: leadership is lost"), Some(Fate::Refused));
        assert_eq!(Fate::of("unproven: the ensemble can't be reached"), Some(Fate::Unproven));
        assert_eq!(Fate::of("unknown: no answer (connection terminated)"), Some(Fate::Unknown));
        for other in ["", "unknown", "unknown key: x", "the ensemble says no: refused: x"] {
            assert_eq!(Fate::of(other), None, "{other}");
        }
    }
}
