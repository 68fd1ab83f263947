//! What a child said before it ended, kept to its end and made fit to be shown.

use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::text;

/// How much of what a child says is kept, in bytes: the last of it. A verdict is no longer.
pub(super) const MAX_KEPT_BYTES: usize = 64 * 1024;
/// How much of it is shown to the user, in bytes.
const MAX_SHOWN_BYTES: usize = 2 * 1024;
/// How much is read at once, in bytes.
const READ_BYTES: usize = 8 * 1024;

/// Reads to the end of what a child says, however much it is, and returns the last of it.
pub(super) async fn read(mut said: impl AsyncRead + Unpin) -> String {
    let (mut kept, mut buffer) = (Vec::new(), vec![0; READ_BYTES]);
    // What can't be read was not said.
    while let Ok(read @ 1..) = said.read(&mut buffer).await {
        kept.extend_from_slice(&buffer[..read]);
        let beyond = kept.len().saturating_sub(MAX_KEPT_BYTES);
        kept.drain(..beyond);
    }
    String::from_utf8_lossy(&kept).into_owned()
}

/// Returns what a child that failed said last, in one line without control characters: its panic if it panicked, without the
/// backtrace, or else its last lines.
pub(super) fn told(said: &str) -> String {
    match panic_of(said) {
        Some((place, message)) => format!("it panicked at {place}: {}", shown(message.lines())),
        None => {
            let lines: Vec<_> = said.lines().filter(|line| !line.trim().is_empty()).collect();
            shown(lines[lines.len().saturating_sub(3)..].iter().copied())
        }
    }
}

/// Returns file and line of the last panic, and its message. Rust writes
/// `thread 'main' (7) panicked at src/main.rs:1:2:`, the message on the lines that follow, and a note.
fn panic_of(said: &str) -> Option<(&str, &str)> {
    const MARK: &str = "panicked at ";
    let behind = &said[said.rfind(MARK)? + MARK.len()..];
    let (place, rest) = behind.split_once('\n').unwrap_or((behind, ""));
    let end = ["note: run with", "stack backtrace:"].iter().filter_map(|mark| rest.find(mark)).min();
    let message = &rest[..end.unwrap_or(rest.len())];
    let place = place.trim_end().trim_end_matches(':');
    Some((place.rsplit('/').next().unwrap_or(place), message))
}

fn shown<'a>(lines: impl Iterator<Item = &'a str>) -> String {
    let line = lines.map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
    text::cut(&line, MAX_SHOWN_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn w4_a_panic_is_told_whole_and_without_its_backtrace() {
        let said = "warning: something\n\nthread 'main' (4711) panicked at /build/fact-1.0/src/adapt.rs:248:14:\n\
            invalid adapter module generated: multiple memories\n(at offset 0x1d)\n\
            note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace\n";
        let words =
            "it panicked at adapt.rs:248:14: invalid adapter module generated: multiple memories (at offset 0x1d)";
        assert_eq!(told(said), words);
        assert_eq!(told(&said.replace("note:", "stack backtrace:\n   0: main\nnote:")), words);
        let twice = format!("{said}thread 'main' panicked at a.rs:1:2:\nagain\n");
        assert_eq!(told(&twice), "it panicked at a.rs:1:2: again", "the last one counts");
        assert_eq!(told("thread 'main' panicked at a.rs:1:2:"), "it panicked at a.rs:1:2: ");
    }

    #[test]
    fn w4_other_last_words_are_told_in_one_line() {
        assert_eq!(told(""), "");
        assert_eq!(told("one\ntwo\n\nthree\n  four  \n"), "two three four");
        let overflow = "\nthread 'main' has overflowed its stack\nfatal runtime error: stack overflow, aborting\n";
        assert_eq!(
            told(overflow),
            "thread 'main' has overflowed its stack fatal runtime error: stack overflow, aborting"
        );
        assert_eq!(told("\x1b[31mred\x07"), "\u{fffd}[31mred\u{fffd}");
        let long = told(&"ä".repeat(5_000));
        assert_eq!(long, format!("{}… (10000 bytes)", "ä".repeat(MAX_SHOWN_BYTES / 2)));
        assert_eq!(told("\u{202e}evil"), "\u{fffd}evil");
    }

    #[tokio::test]
    async fn w4_the_end_of_what_a_child_says_is_kept() {
        let mut said = b"begin\n".to_vec();
        said.resize(1 << 20, b'x');
        said.extend_from_slice(b"\nend");
        let kept = read(&said[..]).await;
        assert!(kept.len() == MAX_KEPT_BYTES && kept.ends_with("x\nend"));
        assert_eq!(read(&b"all of it"[..]).await, "all of it");
    }
}
