//! The source keeps its own rules: who imports whom, how modules begin, how long files are, what is never written.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests are tests")]

use std::collections::BTreeSet;

use super::docs::{files, prose, read};

/// Lines that a file may have.
const LINES_MAX: usize = 600;

/// What a room may import besides itself.
const ROOMS: [(&str, &[&str]); 7] = [
    ("engine", &[]),
    ("replay", &["engine"]),
    ("simulate", &["engine"]),
    // The settings of Kafka and of receivers, which stand beside the code that uses them.
    ("config", &["engine", "edge::kafka", "edge::ledger", "edge::notify"]),
    ("sql", &["engine"]),
    ("edge", &["engine", "config", "sql"]),
    ("cli", &["config", "edge", "engine", "replay", "simulate", "sql"]),
];

/// Parts of the engine's machine in files of their own: they see what it sees.
const MACHINE: [&str; 3] = ["engines", "restore", "terms"];

/// What a room of the engine may import. `alert` and `rule` know a few words of each other; everything else goes down.
const ENGINE: [(&str, &[&str]); 45] = [
    ("units", &[]),
    ("words", &[]),
    ("text", &["words"]),
    ("blob", &[]),
    ("sparse", &[]),
    ("key", &[]),
    ("cause", &["units"]),
    ("around", &["cause", "units"]),
    ("rule", &["alert", "text", "units"]),
    ("alert", &["around", "rule", "units"]),
    ("bins", &[]),
    ("confidence", &["bins", "units"]),
    ("verdicts", &["confidence", "sparse", "units"]),
    ("pace", &["cause", "detect", "sparse", "units", "verdicts"]),
    ("picks", &["alert", "confidence"]),
    ("standing", &["around", "confidence", "detect", "sketch", "units", "verdicts"]),
    ("event", &["text", "units", "words"]),
    ("sketch", &["bins", "confidence", "event", "sparse", "units"]),
    ("ring", &["sketch", "units"]),
    ("window", &["ring", "sketch", "units", "verdicts"]),
    ("levels", &["baseline", "batches", "detect", "rule", "sketch", "units"]),
    ("recent", &["alert", "confidence", "units"]),
    ("batches", &["detect", "event", "rule", "sketch", "units"]),
    (
        "baseline",
        &["batches", "confidence", "detect", "event", "rule", "sketch", "sparse", "units", "vector", "verdicts"],
    ),
    ("detect", &["rule", "units"]),
    ("vector", &["detect", "event", "rule", "units"]),
    ("cases", &["detect", "sketch", "units"]),
    ("plan", &["baseline", "batches", "confidence", "detect", "rule", "sketch", "units"]),
    ("rate", &["units"]),
    ("labels", &["baseline", "batches", "confidence", "rule", "sketch", "sparse", "units", "verdicts"]),
    (
        "beside",
        &["alert", "around", "baseline", "confidence", "detect", "rule", "sketch", "standing", "units", "window"],
    ),
    (
        "chart",
        &[
            "alert",
            "baseline",
            "cause",
            "confidence",
            "detect",
            "event",
            "plan",
            "rate",
            "rule",
            "sketch",
            "units",
            "vector",
        ],
    ),
    ("charts", &["alert", "chart"]),
    ("burn", &["baseline", "chart", "detect", "rule", "units", "window"]),
    ("budget", &["units"]),
    ("watch", &["alert", "rule"]),
    (
        "memory",
        &[
            "alert",
            "around",
            "baseline",
            "charts",
            "confidence",
            "labels",
            "pace",
            "picks",
            "rate",
            "sparse",
            "units",
            "verdicts",
        ],
    ),
    ("reach", &["baseline", "burn", "chart", "detect", "plan", "rule"]),
    ("explain", &["account", "baseline", "burn", "chart", "detect", "plan", "reach", "rule", "units"]),
    ("account", &["alert", "around", "baseline", "detect", "rule", "units"]),
    (
        "stream",
        &[
            "account",
            "alert",
            "asking",
            "baseline",
            "beside",
            "budget",
            "burn",
            "cause",
            "chart",
            "confidence",
            "detect",
            "event",
            "key",
            "labels",
            "memory",
            "plan",
            "rate",
            "rule",
            "sketch",
            "sparse",
            "units",
            "verdicts",
            "watch",
            "window",
        ],
    ),
    ("threshold", &["confidence", "detect", "units"]),
    ("asking", &[]),
    ("contract", &["alert", "asking", "baseline", "chart", "event", "rule", "units"]),
    ("route", &["alert", "units"]),
];

/// What may stand in SQL that is put together, besides constants: a file, the expressions, and why no value of an event, a
/// rule or a person is among them.
const SQL: [(&str, &[&str], &str); 9] = [
    ("src/cli/console.rs", &["last", "open", "rest"], "a fixed filter and a number"),
    ("src/cli/db/export.rs", &["view.replace('\"', \"\\\"\\\"\")"], "a view's name out of the schema, quoted"),
    ("src/cli/people.rs", &["filter"], "one of two fixed filters"),
    ("src/edge/classical.rs", &["all", "bad"], "columns that the table of shares names"),
    ("src/edge/ledger/cases.rs", &["key", "table"], "names in the function that calls it"),
    (
        "src/edge/ledger/migrate.rs",
        &["key", "name.replace('\"', \"\\\"\\\"\")", "of", "table", "table(level)"],
        "the schema's names",
    ),
    (
        "src/edge/ledger/panes.rs",
        &["names.join(\", \")", "places.join(\", \")", "table", "updates.join(\", \")"],
        "names of tables and columns, and places for values",
    ),
    ("src/edge/ledger/retire.rs", &["name", "of", "spare.min(PAGES)"], "the schema's names and a number"),
    ("src/edge/ledger/windows.rs", &["table"], "the name of a table"),
];

/// What makes text a statement, and what takes one.
const SQL_WORDS: [&str; 13] = [
    "SELECT ",
    "INSERT ",
    "UPDATE ",
    "DELETE ",
    "PRAGMA ",
    "DROP ",
    "CREATE ",
    "ALTER ",
    "VACUUM",
    "ATTACH ",
    "WHERE ",
    "LIMIT ",
    "ORDER BY ",
];
const SQL_TAKERS: [&str; 8] =
    ["execute(", "execute_batch(", "prepare(", "prepare_cached(", "query(", "query_row(", "query_one(", "query_map("];

/// A file without its tests and without comments, on which none of this looks.
fn code(path: &str) -> String {
    let text = read(path);
    let own = text.split("\n#[cfg(test)]\nmod ").next().unwrap();
    let lines = own.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.fold(String::new(), |all, line| all + line + "\n")
}

/// The sources of the program that are not tests.
fn sources() -> Vec<String> {
    let is_test = |path: &String| path.ends_with("_tests.rs") || path.ends_with("testing.rs");
    files("src", ".rs").into_iter().filter(|path| !is_test(path)).collect()
}

/// The path of a module: `src/edge/kafka/mod.rs` is `edge`, `kafka`.
fn module(path: &str) -> Vec<String> {
    let path = path.trim_start_matches("src/").trim_end_matches(".rs").trim_end_matches("/mod");
    path.split('/').map(str::to_owned).collect()
}

/// Every path that the code names from the root of the crate: `crate::a::b`, and `super::b` resolved.
fn imports(path: &str) -> BTreeSet<String> {
    let code = code(path);
    let here = module(path);
    let mut found = BTreeSet::new();
    for part in code.split("crate::").skip(1) {
        found.extend(heads(part));
    }
    let mut rest = code.as_str();
    while let Some(at) = rest.find("super::") {
        let mut levels = 0;
        rest = &rest[at..];
        while let Some(next) = rest.strip_prefix("super::") {
            levels += 1;
            rest = next;
        }
        let base = here[..here.len().saturating_sub(levels)].join("::");
        found.extend(heads(rest).into_iter().map(|head| format!("{base}::{head}").trim_matches(':').to_owned()));
    }
    found
}

/// The beginnings of a path, at most two names long: of `{a::b, c}` every one.
fn heads(text: &str) -> Vec<String> {
    let Some(list) = text.strip_prefix('{') else {
        let name = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
        let first = name(text);
        let second = text[first.len()..].strip_prefix("::").map(name).unwrap_or_default();
        return vec![if second.is_empty() { first } else { format!("{first}::{second}") }];
    };
    let (mut depth, mut starts) = (0, vec![0]);
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => starts.push(at + 1),
            _ => {}
        }
    }
    starts.into_iter().flat_map(|at| heads(list[at..].trim_start())).filter(|head| !head.is_empty()).collect()
}

/// Whether a path lies in one of these rooms.
fn is_in(path: &str, rooms: &[&str]) -> bool {
    rooms.iter().any(|room| path == *room || path.starts_with(&format!("{room}::")))
}

#[test]
fn rooms_import_only_what_they_may() {
    for path in sources() {
        let room = module(&path).swap_remove(0);
        let Some((_, allowed)) = ROOMS.iter().find(|(name, _)| *name == room) else {
            assert!(matches!(room.as_str(), "lib" | "main"), "{path} is in no room");
            continue;
        };
        for import in imports(&path) {
            let known = ROOMS.iter().any(|(name, _)| is_in(&import, &[*name]));
            assert!(!known || is_in(&import, &[&room]) || is_in(&import, allowed), "{path} imports {import}");
        }
    }
}

#[test]
fn the_engine_imports_downward() {
    let mut seen = 0;
    for path in sources().iter().filter(|path| path.starts_with("src/engine/")) {
        let here = module(path);
        let Some(own) = here.get(1).filter(|own| !MACHINE.contains(&own.as_str())) else { continue };
        let (_, allowed) =
            ENGINE.iter().find(|(name, _)| name == own).unwrap_or_else(|| panic!("{path} is in no room"));
        for import in imports(path) {
            let Some(rest) = import.strip_prefix("engine::") else { continue };
            let is_room = ENGINE.iter().any(|(name, _)| is_in(rest, &[*name]));
            assert!(is_room, "{path} imports {import} from the engine itself");
            assert!(is_in(rest, &[own]) || is_in(rest, allowed), "{path} imports {import}");
            seen += 1;
        }
    }
    assert!(seen > 50, "{seen}");
    let top = code("src/engine/mod.rs");
    assert!(!top.contains("route::"), "the engine does not know the router");
}

#[test]
fn the_table_above_is_needed_as_it_is() {
    for (room, allowed) in ENGINE {
        let mut used = BTreeSet::new();
        for path in sources().iter().filter(|path| module(path).starts_with(&["engine".to_owned(), room.to_owned()])) {
            used.extend(imports(path));
        }
        for one in allowed {
            assert!(
                used.iter().any(|import| is_in(import, &[&format!("engine::{one}")])),
                "{room} no longer needs {one}"
            );
        }
    }
}

#[test]
fn every_module_says_what_it_is() {
    for path in files("src", ".rs").into_iter().chain(files("tests", ".rs")).chain(files("benches", ".rs")) {
        if path != "src/main.rs" {
            assert!(read(&path).starts_with("//! "), "{path}");
        }
    }
}

#[test]
fn files_are_short() {
    for path in files("src", ".rs") {
        let lines = read(&path).lines().count();
        assert!(lines <= LINES_MAX, "{path} has {lines} lines; at most {LINES_MAX}");
    }
}

#[test]
fn nothing_unwraps_outside_tests() {
    for path in sources() {
        let calls = code(&path).matches(concat!(".unwrap", "()")).count();
        assert_eq!(calls, 0, "{path}");
    }
}

/// SQLite calls the extension by C's conventions. The daemon is built without it, and then the compiler takes no exception.
#[test]
fn one_file_is_unsafe() {
    let lint = concat!("unsafe", "_code");
    assert!(read("Cargo.toml").contains(&format!("{lint} = \"deny\"")));
    let forbidden = format!("#![cfg_attr(not(feature = \"extension\"), forbid({lint}))]\n");
    assert!(read("src/lib.rs").contains(&forbidden) && read("src/main.rs").contains(&format!("#![forbid({lint})]\n")));
    let known = ["src/lib.rs", "src/main.rs", "src/sql/extension.rs"];
    for path in files("src", ".rs").into_iter().chain(files("tests", ".rs")).chain(files("benches", ".rs")) {
        assert_eq!(read(&path).contains(lint), known.contains(&path.as_str()), "{path}");
    }
}

/// The arguments of every call of a macro: what stands between its brackets.
fn calls<'a>(code: &'a str, name: &str) -> Vec<(&'a str, &'a str)> {
    let starts = code.match_indices(name).map(|(at, name)| (at, at + name.len()));
    starts
        .map(|(at, from)| {
            let mut depth = 1;
            let end = code[from..].find(|c| {
                depth += i32::from(c == '(') - i32::from(c == ')');
                depth == 0
            });
            (code[..at].trim_end(), &code[from..from + end.unwrap()])
        })
        .collect()
}

/// What a format string inserts: names in braces, and the arguments behind it.
fn inserted(arguments: &str) -> BTreeSet<String> {
    let (_, text) = arguments.split_once('"').unwrap();
    let end = text.match_indices('"').map(|(at, _)| at).find(|at| !text[..*at].ends_with('\\')).unwrap();
    let (text, rest) = text.split_at(end);
    let text = text.replace("{{", "").replace("}}", "");
    let named = text.split('{').skip(1).filter_map(|part| part.split('}').next()).map(str::to_owned);
    // Commas between the arguments, not within them.
    let mut depth = 0;
    let mut quoted = false;
    let listed = rest.trim_start_matches('"').split(|c| {
        quoted ^= c == '"';
        depth += i32::from(c == '(') - i32::from(c == ')');
        c == ',' && depth == 0 && !quoted
    });
    named.chain(listed.map(|argument| argument.trim().to_owned())).filter(|name| !name.is_empty()).collect()
}

/// Values are bound. Where SQL is put together, it is of names of our own.
#[test]
fn no_value_stands_in_sql() {
    let mut found = BTreeSet::new();
    for path in sources() {
        let code = code(&path);
        for (before, arguments) in
            ["format!(", "write!(", "writeln!(", "format_args!("].iter().flat_map(|name| calls(&code, name))
        {
            let is_taken = SQL_TAKERS.iter().any(|taker| before.trim_end_matches('&').ends_with(taker));
            if is_taken || SQL_WORDS.iter().any(|word| arguments.contains(word)) {
                found.extend(inserted(arguments).into_iter().map(|name| (path.clone(), name)));
            }
        }
    }
    found.retain(|(_, name)| name.contains(|c: char| c.is_ascii_lowercase()));
    let known =
        SQL.iter().flat_map(|(path, names, _)| names.iter().map(|name| ((*path).to_owned(), (*name).to_owned())));
    assert_eq!(found, known.collect());
}

/// What is marked as safe in the report is its style and its pictures, which `markup::escape` has been through.
#[test]
fn pages_are_escaped_throughout() {
    let mut marked = BTreeSet::new();
    for path in files("src", ".html").into_iter().chain(sources()) {
        let text = read(&path);
        let marks = text.match_indices("|safe").filter_map(|(at, _)| text[..at].rsplit("{{ ").next());
        marked.extend(marks.map(|name| format!("{path} {name}")));
        for word in [concat!("inner", "HTML"), concat!("from_safe", "_string")] {
            assert!(!text.contains(word), "{path} holds {word}");
        }
    }
    let page = "src/edge/report/page.html";
    assert_eq!(
        marked.into_iter().collect::<Vec<_>>(),
        ["one.narrow", "one.wide", "style"].map(|n| format!("{page} {n}"))
    );
}

#[test]
fn nothing_is_left_undone() {
    const BANNED: [&str; 6] = [
        concat!("todo", "!("),
        concat!("unimplemented", "!("),
        concat!("FIX", "ME"),
        concat!("XX", "X:"),
        concat!("dbg", "!("),
        concat!("#[ig", "nore"),
    ];
    for path in files("src", ".rs").into_iter().chain(files("tests", ".rs")).chain(files("benches", ".rs")) {
        let text = read(&path);
        for word in BANNED {
            assert!(!text.contains(word), "{path} holds {word}");
        }
    }
}

#[test]
fn every_document_has_one_title() {
    for path in files(".", ".md") {
        let titles = prose(&read(&path)).lines().filter(|line| line.starts_with("# ")).count();
        assert_eq!(titles, 1, "{path}");
    }
}

#[test]
fn the_map_is_short() {
    let lines = read("ARCHITECTURE.md").lines().count();
    assert!(lines <= 200, "{lines}");
}
