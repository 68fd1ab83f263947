//! Makes text harmless that others wrote: tenants, guests, other hosts, whoever writes to ZooKeeper.
//!
//! Such text may hold sequences that drive a terminal, break a line into two, or change the order in which it is read.
//! Everything that shows it to a person or stores it for one goes through here.

use std::fmt::Write as _;

/// Behind a text whose end was cut off.
const CUT: char = '…';

/// Whether a person who reads `c` might be deceived by it: controls (C0, DEL, C1), line and paragraph separators, marks
/// that change the direction of text, and characters that are never visible.
pub fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
        )
}

/// Returns `text` for a terminal, on one line: tabs become spaces, harmful characters are escaped like `\u{1b}`.
pub fn plain(text: &str) -> String {
    escaped(&text.replace('\t', " "), |_| false)
}

/// As [`plain`], but keeps lines and tabs. For text whose lines are ours.
pub fn plain_lines(text: &str) -> String {
    escaped(text, is_layout)
}

/// As [`plain_lines`], with all lines but the first indented, so that no line of others can pass for a message of ours.
pub fn plain_message(text: &str) -> String {
    plain_lines(text.trim_end_matches('\n')).replace('\n', "\n  ")
}

/// Returns JSON of the same meaning in which every harmful character within a string is escaped as `\uXXXX`.
pub fn plain_json(json: &str) -> String {
    let mut plain = String::with_capacity(json.len());
    for c in json.chars() {
        // Line ends are layout: within a string they are escaped already.
        if is_harmful(c) && c != '\n' {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(plain, "\\u{unit:04x}");
            }
        } else {
            plain.push(c);
        }
    }
    plain
}

/// Returns at most `limit` bytes of `text`, with harmful characters but tabs replaced by U+FFFD.
pub fn clean(text: &str, limit: usize) -> String {
    replaced(&text[..text.floor_char_boundary(limit)], |c| c == '\t')
}

/// As [`clean`], but keeps lines too.
pub fn clean_lines(text: &str, limit: usize) -> String {
    replaced(&text[..text.floor_char_boundary(limit)], is_layout)
}

/// Returns `text` on one line for an error message: harmful characters are replaced by U+FFFD, and what is over `limit`
/// bytes is replaced by the length of the whole.
pub fn cut(text: &str, limit: usize) -> String {
    let shown = replaced(&text[..text.floor_char_boundary(limit)], |_| false);
    if text.len() <= limit { shown } else { format!("{shown}{CUT} ({} bytes)", text.len()) }
}

fn is_layout(c: char) -> bool {
    matches!(c, '\n' | '\t')
}

fn replaced(text: &str, keep: fn(char) -> bool) -> String {
    text.chars().map(|c| if is_harmful(c) && !keep(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

fn escaped(text: &str, keep: fn(char) -> bool) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if is_harmful(c) && !keep(c) {
            escaped.extend(c.escape_default());
        } else {
            escaped.push(c);
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What each output makes of a text: table or error, log or stored line, value in an error.
    const NASTY: [(&str, &str, &str); 12] = [
        ("a\u{1b}]0;t\u{7}b", "a\\u{1b}]0;t\\u{7}b", "a\u{fffd}]0;t\u{fffd}b"),
        ("a\u{9b}31mb", "a\\u{9b}31mb", "a\u{fffd}31mb"),
        ("a\u{7f}b", "a\\u{7f}b", "a\u{fffd}b"),
        ("a\u{8}\0b", "a\\u{8}\\u{0}b", "a\u{fffd}\u{fffd}b"),
        ("a\u{202e}b", "a\\u{202e}b", "a\u{fffd}b"),
        ("a\u{2066}b\u{2069}", "a\\u{2066}b\\u{2069}", "a\u{fffd}b\u{fffd}"),
        ("a\u{200f}\u{61c}b", "a\\u{200f}\\u{61c}b", "a\u{fffd}\u{fffd}b"),
        ("a\u{2028}b\u{2029}c", "a\\u{2028}b\\u{2029}c", "a\u{fffd}b\u{fffd}c"),
        ("a\u{feff}\u{e0041}b", "a\\u{feff}\\u{e0041}b", "a\u{fffd}\u{fffd}b"),
        ("a\r\nb", "a\\r\\nb", "a\u{fffd}\u{fffd}b"),
        ("größe 名前 🦍 a\u{200d}b", "größe 名前 🦍 a\u{200d}b", "größe 名前 🦍 a\u{200d}b"),
        ("", "", ""),
    ];

    #[test]
    fn s10_every_kind_of_output_makes_nasty_text_harmless() {
        for (text, for_terminals, stored) in NASTY {
            assert_eq!(plain(text), for_terminals);
            assert_eq!(clean(text, usize::MAX), stored);
            assert_eq!(cut(text, usize::MAX), stored);
            for harmless in [plain(text), clean(text, 100), cut(text, 100)] {
                assert!(!harmless.contains(is_harmful), "{harmless:?}");
            }
        }
        for (made, expected) in [
            (plain("a\t\nb"), "a \\nb"),
            (plain_lines("a\t\nb\rc"), "a\t\nb\\rc"),
            (clean("a\t\nb", 9), "a\t\u{fffd}b"),
            (clean_lines("a\t\nb\r", 9), "a\t\nb\u{fffd}"),
            (cut("a\t\nb", 9), "a\u{fffd}\u{fffd}b"),
        ] {
            assert_eq!(made, expected);
        }
    }

    #[test]
    fn s10_json_keeps_its_meaning_and_has_nothing_harmful() {
        for (text, _, _) in NASTY {
            let value = serde_json::json!({ text: [text] });
            for json in [value.to_string(), format!("{value:#}")] {
                let harmless = plain_json(&json);
                assert!(!harmless.contains(|c| is_harmful(c) && c != '\n'), "{harmless:?}");
                assert_eq!(serde_json::from_str::<serde_json::Value>(&harmless).unwrap(), value);
            }
        }
    }

    #[test]
    fn s10_no_line_of_an_error_passes_for_another_message() {
        let forged = plain_message("no such\nsilverback: all is well\u{1b}[2J\n");
        assert_eq!(forged, "no such\n  silverback: all is well\\u{1b}[2J");
        assert_eq!(plain_message("one\rtwo"), "one\\rtwo");
    }

    #[test]
    fn s10_a_cut_text_says_how_long_it_was() {
        assert_eq!(cut(&"é".repeat(50), 9), "éééé… (100 bytes)");
        assert_eq!(clean(&"é".repeat(50), 9), "éééé");
        assert_eq!(cut("123456789", 9), "123456789");
    }
}
