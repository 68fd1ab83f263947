//! Durations as job.toml has them.

use jiff::{SignedDuration, Span, SpanRelativeTo};
use thiserror::Error;

/// Why a text is no duration.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub(super) enum DurationError {
    /// It is not written like one.
    #[error("it is not written like a duration")]
    Form,
    /// It has months or years.
    #[error("months and years have no fixed length")]
    Calendar,
}

/// Reads `500ms`, `1h30m`, `2d`. A day (`d`) has 24 hours, whatever the clock on the wall does, and a week (`w`) seven days.
///
/// # Errors
/// [`DurationError`].
pub(super) fn parse(text: &str) -> Result<SignedDuration, DurationError> {
    if let Ok(duration) = text.parse::<SignedDuration>() {
        return Ok(duration);
    }
    let span: Span = text.parse().map_err(|_| DurationError::Form)?;
    if span.get_months() != 0 || span.get_years() != 0 {
        return Err(DurationError::Calendar);
    }
    span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| DurationError::Form)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_has_24_hours() {
        for (text, hours) in [("1d", 24), ("2d12h", 60), ("1w", 168), ("36h", 36), ("-1d", -24), ("P1D", 24)] {
            assert_eq!(parse(text), Ok(SignedDuration::from_hours(hours)), "{text}");
        }
        for text in ["1mo", "1y", "1y 2d"] {
            assert_eq!(parse(text), Err(DurationError::Calendar), "{text}");
        }
        for text in ["", "1", "d", "soon", "1 fortnight", "99999999999d"] {
            assert_eq!(parse(text), Err(DurationError::Form), "{text}");
        }
    }
}
