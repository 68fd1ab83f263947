//! Sizes as people write them.

use std::fmt;
use std::str::FromStr;

/// `64MiB`, `512KiB`, `1GiB`.
///
/// # Errors
/// How it must be written.
pub fn parse_bytes(text: &str) -> Result<u64, &'static str> {
    const WANTED: &str = "it must be a whole number of `KiB` or `MiB`, like `64MiB`";
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let number: u64 = digits.parse().map_err(|_| WANTED)?;
    let shift = match text[digits.len()..].trim() {
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        _ => return Err(WANTED),
    };
    number.checked_mul(1 << shift).ok_or("it is too large")
}

/// A size on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BytesText(pub u64);

impl fmt::Display for BytesText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}MiB", self.0 >> 20)
    }
}

impl FromStr for BytesText {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        parse_bytes(text).map(BytesText).map_err(str::to_owned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_a_whole_number_with_a_unit() {
        assert_eq!(("512KiB".parse(), parse_bytes("2 GiB")), (Ok(BytesText(512 << 10)), Ok(2 << 30)));
        for text in ["", "64", "MiB", "1.5GiB", "64 MB", "-1MiB"] {
            assert!(text.parse::<BytesText>().is_err(), "{text}");
        }
    }
}
