//! Rust sources as the rules read them: without comments, string literals and unit tests.

use std::fs;
use std::path::{Path, PathBuf};

/// One Rust file.
pub(crate) struct SourceFile {
    /// Relative to the folder that was read.
    pub(crate) path: PathBuf,
    /// As it stands.
    pub(crate) text: String,
}

impl SourceFile {
    /// The top module that it belongs to: `coordinator` of `coordinator/mod.rs`, `clock` of `clock.rs`.
    pub(crate) fn module(&self) -> String {
        let top = self.path.components().next().expect("a file has a name");
        top.as_os_str().to_string_lossy().trim_end_matches(".rs").to_owned()
    }

    /// Its lines with their numbers from 1, without comments, literals and unit tests.
    pub(crate) fn code(&self) -> Vec<(usize, String)> {
        if self.path.components().any(|part| part.as_os_str() == "tests" || part.as_os_str() == "tests.rs") {
            return Vec::new();
        }
        let bare = without_comments_and_literals(&self.text);
        let lines: Vec<&str> = bare.lines().collect();
        let is_tests = |pair: &[&str]| pair[0].trim() == "#[cfg(test)]" && pair[1].trim().starts_with("mod ");
        let end = lines.windows(2).position(is_tests).unwrap_or(lines.len());
        lines[..end].iter().enumerate().map(|(at, line)| (at + 1, (*line).to_owned())).collect()
    }
}

/// All Rust files below `dir`, in order of their paths; build outputs and hidden folders are passed over.
pub(crate) fn rust_files(dir: &Path) -> Vec<SourceFile> {
    let mut files = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(next) = dirs.pop() {
        for entry in fs::read_dir(&next).unwrap_or_else(|error| panic!("{}: {error}", next.display())) {
            let path = entry.expect("the entries of a folder can be read").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() {
                if name != "target" && name != "node_modules" && !name.starts_with('.') {
                    dirs.push(path);
                }
            } else if name.ends_with(".rs") {
                let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                let path = path.strip_prefix(dir).expect("it was found below").to_owned();
                files.push(SourceFile { path, text });
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

/// `text` with comments and the insides of literals left out; line breaks stay.
fn without_comments_and_literals(text: &str) -> String {
    let mut bare = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let skipped = skip(rest);
        if skipped == 0 {
            bare.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            bare.extend(rest[..skipped].chars().filter(|c| *c == '\n'));
            rest = &rest[skipped..];
        }
    }
    bare
}

/// How many bytes of a comment or literal `rest` begins with; 0 where it begins with neither.
fn skip(rest: &str) -> usize {
    let until = |from: usize, end: &str| rest[from..].find(end).map_or(rest.len(), |at| from + at + end.len());
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return until(2, "*/");
    }
    if let Some(literal) = rest.strip_prefix('"') {
        let mut escaped = false;
        let end = literal.find(|c| {
            let ends = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        });
        return end.map_or(rest.len(), |at| at + 2);
    }
    if let Some(raw) = rest.strip_prefix('r') {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if raw[hashes..].starts_with('"') {
            return until(hashes + 2, &format!("\"{}", "#".repeat(hashes)));
        }
    }
    // A quote as a character would seem to open a string.
    ["'\"'", "'\\\"'"].iter().find(|literal| rest.starts_with(**literal)).map_or(0, |literal| literal.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code_of(text: &str) -> Vec<String> {
        let file = SourceFile { path: "cli/mod.rs".into(), text: text.to_owned() };
        file.code().into_iter().map(|(_, line)| line.trim().to_owned()).filter(|line| !line.is_empty()).collect()
    }

    #[test]
    fn comments_literals_and_tests_are_left_out() {
        let text = concat!(
            "//! not this\n",
            "let a = \"nor \\\" this\"; // nor this\n",
            "let b = r#\"nor \" this\"#;\n",
            "let c = '\"'; /* nor\nthis */ let d = 1;\n",
            "#[cfg(test)]\nmod tests { nor_this() }\n"
        );
        assert_eq!(code_of(text), ["let a = ;", "let b = ;", "let c = ;", "let d = 1;"]);
    }

    #[test]
    fn line_numbers_stay() {
        let file = SourceFile { path: "a.rs".into(), text: "/* one\ntwo */\nthree".to_owned() };
        assert_eq!(file.code().last(), Some(&(3, "three".to_owned())));
    }

    #[test]
    fn a_file_of_tests_has_no_code() {
        let file = SourceFile { path: "history/tests.rs".into(), text: "Instant::now()".to_owned() };
        assert!(file.code().is_empty());
    }

    #[test]
    fn the_module_is_the_first_part_of_the_path() {
        for (path, module) in [("clock.rs", "clock"), ("coordinator/tree.rs", "coordinator")] {
            assert_eq!(SourceFile { path: path.into(), text: String::new() }.module(), module);
        }
    }
}
