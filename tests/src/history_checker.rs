//! Whether the order of effects agrees with the order of tokens: what fencing is for. Pure: it is given effects as their
//! target took them in, one after the other, and doesn't know how they got there.
//!
//! A target is whatever takes effects in one order: the state in ZooKeeper, in the order of its transactions; a server, in
//! the order of its requests. Each target is judged by itself, since nothing orders two of them against each other.

use std::collections::BTreeMap;
use std::fmt;

/// One thing that a leader function did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effect {
    /// The target that took it in.
    pub target: String,
    /// Its place among the effects of this target.
    pub order: i64,
    /// The token that its author led with.
    pub token: i64,
    /// What number it is among its author's effects: rises by one with each, in the author's own order.
    pub sequence: u64,
}

/// What is wrong with a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// An effect of an old token after one of a newer token: a deposed leader got through.
    TokenFell {
        /// The newest token's effect so far.
        newer: Effect,
        /// What came after it.
        late: Effect,
    },
    /// An effect of a token came after one that its author did later.
    SequenceFell {
        /// The one done later.
        later: Effect,
        /// What came after it.
        late: Effect,
    },
    /// Two effects at one place of one target: these are no records of an order.
    SamePlace(Effect, Effect),
}

/// What a sound history is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// How many effects there are.
    pub effects: usize,
    /// The tokens that had effects, in order.
    pub tokens: Vec<i64>,
    /// How many effects were taken in twice in a row: their author didn't get the answer, and sent them again.
    pub repeated: usize,
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Effect { target, order, token, sequence } = self;
        write!(f, "effect {sequence} of token {token} at place {order} of {target}")
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Violation::TokenFell { newer, late } => write!(f, "a deposed leader got through: {late}, after {newer}"),
            Violation::SequenceFell { later, late } => write!(f, "out of the author's order: {late}, after {later}"),
            Violation::SamePlace(one, other) => write!(f, "at the same place: {one}, and {other}"),
        }
    }
}

/// Judges a history: the effects of any number of targets, in any order.
///
/// # Errors
/// Every [`Violation`] there is.
pub fn effects_agree_with_tokens(effects: &[Effect]) -> Result<Summary, Vec<Violation>> {
    let mut targets: BTreeMap<&str, Vec<&Effect>> = BTreeMap::new();
    for effect in effects {
        targets.entry(&effect.target).or_default().push(effect);
    }
    let (mut summary, mut violations) = (Summary::default(), Vec::new());
    for history in targets.values_mut() {
        history.sort_by_key(|effect| effect.order);
        judge(history, &mut summary, &mut violations);
    }
    summary.tokens.sort_unstable();
    summary.tokens.dedup();
    if violations.is_empty() { Ok(summary) } else { Err(violations) }
}

/// Judges what one target took in, in its order.
fn judge(history: &[&Effect], summary: &mut Summary, violations: &mut Vec<Violation>) {
    // The last effect of the newest token so far: what every further one is held against.
    let mut newest: Option<&Effect> = None;
    for &effect in history {
        summary.effects += 1;
        let Some(held) = newest.replace(effect) else {
            summary.tokens.push(effect.token);
            continue;
        };
        if held.order == effect.order {
            violations.push(Violation::SamePlace(held.clone(), effect.clone()));
        }
        if effect.token < held.token {
            violations.push(Violation::TokenFell { newer: held.clone(), late: effect.clone() });
            newest = Some(held);
        } else if effect.token > held.token {
            summary.tokens.push(effect.token);
        } else if effect.sequence < held.sequence {
            violations.push(Violation::SequenceFell { later: held.clone(), late: effect.clone() });
            newest = Some(held);
        } else if effect.sequence == held.sequence {
            summary.repeated += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Effects of one target, each with its token and sequence.
    fn history(target: &str, effects: &[(i64, u64)]) -> Vec<Effect> {
        let effect = |(at, (token, sequence)): (usize, &(i64, u64))| Effect {
            target: target.to_owned(),
            order: at as i64,
            token: *token,
            sequence: *sequence,
        };
        effects.iter().enumerate().map(effect).collect()
    }

    fn violations(effects: &[(i64, u64)]) -> Vec<Violation> {
        effects_agree_with_tokens(&history("state", effects)).expect_err("this history is bad")
    }

    #[test]
    fn rising_tokens_and_sequences_are_sound() {
        let summary = effects_agree_with_tokens(&history("state", &[(10, 0), (10, 1), (20, 0), (30, 0), (30, 5)]));
        assert_eq!(summary, Ok(Summary { effects: 5, tokens: vec![10, 20, 30], repeated: 0 }));
    }

    #[test]
    fn nothing_done_is_sound() {
        assert_eq!(effects_agree_with_tokens(&[]), Ok(Summary::default()));
    }

    #[test]
    fn one_late_effect_of_an_old_token_is_caught() {
        let found = violations(&[(10, 0), (20, 0), (10, 1), (20, 1)]);
        assert!(
            matches!(found.as_slice(), [Violation::TokenFell { newer, late }] if newer.token == 20 && late.token == 10),
            "{found:?}"
        );
        assert_eq!(
            found[0].to_string(),
            "a deposed leader got through: effect 1 of token 10 at place 2 of state, \
             after effect 0 of token 20 at place 1 of state"
        );
    }

    #[test]
    fn every_late_effect_is_caught_not_just_the_first() {
        assert_eq!(violations(&[(10, 0), (20, 0), (10, 1), (10, 2), (20, 1), (10, 3)]).len(), 3);
    }

    #[test]
    fn a_sequence_that_falls_is_caught() {
        let found = violations(&[(10, 0), (10, 2), (10, 1), (10, 3)]);
        assert!(matches!(found.as_slice(), [Violation::SequenceFell { late, .. }] if late.sequence == 1), "{found:?}");
    }

    #[test]
    fn an_effect_that_is_sent_again_is_counted_and_no_fault() {
        let summary = effects_agree_with_tokens(&history("state", &[(10, 0), (10, 1), (10, 1), (10, 2)])).unwrap();
        assert_eq!((summary.effects, summary.repeated), (4, 1));
    }

    #[test]
    fn the_order_is_the_targets_not_the_one_they_are_given_in() {
        let mut effects = history("state", &[(10, 0), (10, 1), (20, 0)]);
        effects.reverse();
        assert!(effects_agree_with_tokens(&effects).is_ok());
    }

    #[test]
    fn targets_are_judged_apart() {
        let both = [history("http", &[(20, 0), (30, 0)]), history("state", &[(10, 0), (20, 1)])].concat();
        assert_eq!(effects_agree_with_tokens(&both).unwrap().tokens, [10, 20, 30]);
        let bad = [history("http", &[(20, 0), (10, 1)]), history("state", &[(10, 0), (20, 1)])].concat();
        let found = effects_agree_with_tokens(&bad).unwrap_err();
        assert!(matches!(found.as_slice(), [Violation::TokenFell { late, .. }] if late.target == "http"), "{found:?}");
    }

    #[test]
    fn two_at_one_place_are_no_order() {
        let mut effects = history("state", &[(10, 0), (10, 1)]);
        effects[1].order = 0;
        assert!(matches!(effects_agree_with_tokens(&effects).unwrap_err()[..], [Violation::SamePlace(..)]));
    }
}
