//! The rules, as functions from sources to findings.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

use crate::source::SourceFile;

/// The modules of the host from the top floor down. Arrows go down, or along a floor.
const FLOORS: [&[&str]; 8] = [
    &["main", "cli"],
    &["daemon"],
    &["api"],
    &["candidacy", "scheduler"],
    &["runtime"],
    &["capability", "registry", "artifact", "history"],
    &["coordinator"],
    &["clock", "config", "files", "panics", "telemetry", "text", "vital"],
];

/// Where a rule is broken, and how.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    path: PathBuf,
    line: usize,
    what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path.display(), self.line, self.what)
    }
}

/// No module knows one of a floor above, and those of one floor don't know each other in a circle.
pub(crate) fn arrows(files: &[SourceFile]) -> Vec<Finding> {
    let floor = |module: &str| FLOORS.iter().position(|floor| floor.contains(&module));
    let mut findings = Vec::new();
    let mut known: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in files.iter().filter(|file| file.module() != "lib") {
        let from = file.module();
        let Some(from_floor) = floor(&from) else {
            findings.push(file.finding(1, format!("module `{from}` has no floor in the house")));
            continue;
        };
        for (line, to) in arrows_of(file) {
            match floor(&to) {
                None => findings.push(file.finding(line, format!("`crate::{to}` names no module of the house"))),
                Some(to_floor) if to_floor < from_floor => {
                    findings.push(file.finding(line, format!("`{from}` must not know `{to}`, which is above it")));
                }
                Some(_) => {}
            }
            if to != from {
                known.entry(from.clone()).or_default().insert(to);
            }
        }
        let circle = known.get(&from).into_iter().flatten().find(|to| reaches(&known, to, &from));
        if let Some(to) = circle.filter(|to| floor(to) == Some(from_floor)) {
            findings.push(file.finding(1, format!("`{from}` and `{to}` know each other")));
        }
    }
    findings
}

/// None of `names` stands outside the modules `rooms`.
pub(crate) fn only_under(files: &[SourceFile], names: &[&str], rooms: &[&str]) -> Vec<Finding> {
    let strangers = files.iter().filter(|file| !rooms.contains(&file.module().as_str()));
    let mut findings = Vec::new();
    for file in strangers {
        for (line, code) in file.code() {
            let found = names.iter().find(|name| stands_in(&code, name));
            findings.extend(found.map(|name| file.finding(line, format!("`{name}` belongs in {rooms:?} alone"))));
        }
    }
    findings
}

/// Every file can be read in one go.
pub(crate) fn not_longer_than(files: &[SourceFile], limit: usize) -> Vec<Finding> {
    let length = |file: &SourceFile| file.text.lines().count();
    let long = files.iter().filter(|file| length(file) > limit);
    long.map(|file| file.finding(limit + 1, format!("{} lines, more than {limit}", length(file)))).collect()
}

/// A manifest without dependencies; those of its tests don't count.
pub(crate) fn no_dependencies(path: &str, manifest: &str) -> Vec<Finding> {
    let mut inside = false;
    let mut findings = Vec::new();
    for (at, line) in manifest.lines().map(str::trim).enumerate() {
        if line.starts_with('[') {
            inside = line == "[dependencies]" || line.ends_with(".dependencies]") || line.starts_with("[dependencies.");
        }
        if inside && !line.is_empty() && !line.starts_with('#') && line != "[dependencies]" {
            findings.push(Finding { path: path.into(), line: at + 1, what: format!("a dependency: `{line}`") });
        }
    }
    findings
}

impl SourceFile {
    fn finding(&self, line: usize, what: String) -> Finding {
        Finding { path: self.path.clone(), line, what }
    }
}

/// The top modules that a file names, with the lines where it does.
fn arrows_of(file: &SourceFile) -> Vec<(usize, String)> {
    let mut arrows = Vec::new();
    let code = file.code();
    let joined: String = code.iter().map(|(_, line)| format!("{line}\n")).collect();
    for (at, _) in joined.match_indices("crate::").filter(|(at, _)| starts_word(&joined, *at)) {
        let line = joined[..at].matches('\n').count() + 1;
        arrows.extend(heads(&joined[at + "crate::".len()..]).into_iter().map(|head| (line, head)));
    }
    // Items of the root itself (a macro, `Error`) are no modules.
    arrows.retain(|(_, head)| head.chars().next().is_some_and(char::is_lowercase));
    arrows
}

/// The first names of a path, or of each path of a group: `a` of `a::b`, and `a`, `c` of `{a::b, c::{d, e}}`.
fn heads(path: &str) -> Vec<String> {
    let name = |text: &str| -> String { text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect() };
    let Some(group) = path.strip_prefix('{') else { return vec![name(path)] };
    let mut heads = Vec::new();
    let (mut depth, mut start) = (0, 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                heads.push(name(group[start..at].trim_start()));
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    heads.retain(|head| !head.is_empty());
    heads
}

/// True where `name` stands in `code`, not as the tail of a longer word.
fn stands_in(code: &str, name: &str) -> bool {
    code.match_indices(name).any(|(at, _)| starts_word(code, at))
}

fn starts_word(text: &str, at: usize) -> bool {
    !text[..at].chars().next_back().is_some_and(|before| before.is_alphanumeric() || before == '_' || before == '$')
}

/// True where a walk along `known` from `from` comes to `to`.
fn reaches(known: &BTreeMap<String, BTreeSet<String>>, from: &str, to: &str) -> bool {
    let mut seen = BTreeSet::new();
    let mut open = vec![from];
    while let Some(next) = open.pop() {
        if next == to {
            return true;
        }
        if seen.insert(next) {
            open.extend(known.get(next).into_iter().flatten().map(String::as_str));
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> SourceFile {
        SourceFile { path: path.into(), text: text.to_owned() }
    }

    fn lines(findings: &[Finding]) -> Vec<String> {
        findings.iter().map(Finding::to_string).collect()
    }

    #[test]
    fn an_arrow_up_is_found() {
        let text = "use crate::clock::Clock;\nuse crate::candidacy::Term;\n";
        let found = lines(&arrows(&[file("coordinator/tree.rs", text)]));
        assert_eq!(found, ["coordinator/tree.rs:2: `coordinator` must not know `candidacy`, which is above it"]);
    }

    #[test]
    fn an_arrow_up_in_a_group_or_an_expression_is_found() {
        let group = file("history/mod.rs", "use crate::{\n    clock::{Clock, system},\n    api::Route,\n};\n");
        let expression = file("clock.rs", "fn now() { crate::history::now() }\n");
        assert_eq!(arrows(&[group]).len(), 1);
        assert_eq!(arrows(&[expression]).len(), 1);
    }

    #[test]
    fn arrows_down_and_along_are_fine() {
        let down = file("candidacy/mod.rs", "use crate::{runtime::Run, coordinator::{Error, Session}, clock};\n");
        let along = file("capability/log.rs", "use crate::history::LogSink;\npub(crate) struct Log;\n");
        assert!(arrows(&[down, along]).is_empty());
    }

    #[test]
    fn a_circle_on_one_floor_is_found() {
        let there = file("capability/log.rs", "use crate::history::LogSink;");
        let back = file("history/mod.rs", "use crate::capability::Gate;");
        let found = lines(&arrows(&[there, back]));
        assert_eq!(found, ["history/mod.rs:1: `history` and `capability` know each other"]);
    }

    #[test]
    fn a_module_without_a_floor_is_found() {
        assert_eq!(arrows(&[file("utils.rs", "")]).len(), 1);
    }

    #[test]
    fn a_name_outside_its_room_is_found() {
        let stranger = file("api/runs.rs", "fn age() {\n    std::time::Instant::now();\n}\n");
        let found = lines(&only_under(&[stranger], &["Instant::now"], &["clock"]));
        assert_eq!(found, ["api/runs.rs:2: `Instant::now` belongs in [\"clock\"] alone"]);
        let eprint = file("daemon.rs", "eprintln!(\"ready\");");
        assert_eq!(only_under(&[eprint], &["println!", "eprintln!"], &["cli"]).len(), 1);
    }

    #[test]
    fn a_name_in_its_room_a_comment_or_a_longer_word_is_fine() {
        let inside = file("clock.rs", "Instant::now()");
        let spoken = file("api/mod.rs", "// Instant::now is not for us\nMyInstant::now()");
        assert!(only_under(&[inside, spoken], &["Instant::now"], &["clock"]).is_empty());
    }

    #[test]
    fn a_long_file_is_found() {
        let files = [file("a.rs", &"\n".repeat(500)), file("b.rs", &"\n".repeat(501))];
        assert_eq!(lines(&not_longer_than(&files, 500)), ["b.rs:501: 501 lines, more than 500"]);
    }

    #[test]
    fn a_dependency_is_found() {
        for manifest in [
            "[dependencies]\ntokio = \"1\"",
            "[target.'cfg(unix)'.dependencies]\ntokio = \"1\"",
            "[dependencies.tokio]",
        ] {
            assert!(!no_dependencies("Cargo.toml", manifest).is_empty(), "{manifest}");
        }
        let manifest = "[dependencies]\n# none\n\n[dev-dependencies]\nproptest.workspace = true\n[lints]\n";
        assert!(no_dependencies("Cargo.toml", manifest).is_empty());
    }
}
