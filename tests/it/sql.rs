//! The SQL functions in every client that can have them, the statements of docs/sql.md, and the verbs of `shewhart db`.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests are tests")]

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use serde_json::Value;
use shewhart::edge::ledger::Ledger;

use super::analyst::world;
use super::docs::{blocks, read, root};
use crate::world::real::skipped;

/// The Python that can load extensions on a Debian; others on the path may not.
const PYTHON: &str = "/usr/bin/python3";

fn shewhart(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_shewhart")).args(args).output().unwrap()
}

fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn refused(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn database() -> String {
    world().path.display().to_string()
}

fn asked(sql: &str) -> Vec<Value> {
    serde_json::from_str(&printed(&shewhart(&["db", "query", &database(), sql, "-o", "json"]))).unwrap()
}

/// The statements of docs/sql.md.
fn statements() -> Vec<String> {
    let blocks = blocks(&read("docs/sql.md")).into_iter();
    let found: Vec<String> = blocks.filter(|(language, _)| language == "sql").map(|(_, sql)| sql).collect();
    assert!(found.len() > 5, "{}", found.len());
    found
}

#[test]
fn the_statements_of_the_manual_have_answers() {
    for sql in statements() {
        let rows = asked(&sql);
        assert!(!rows.is_empty(), "{sql}");
        if let Some((_, expected)) = sql.split_once("-- ") {
            for pair in expected.split_whitespace() {
                let (name, number) = pair.split_once('=').unwrap();
                match rows[0][name].as_f64() {
                    Some(found) => assert!((found - number.parse::<f64>().unwrap()).abs() < 1e-12, "{name} is {found}"),
                    None => assert!(rows[0][name].is_null() && number.is_empty(), "{pair}"),
                }
            }
        }
    }
}

#[test]
fn every_function_is_in_the_manual() {
    let functions = asked(
        "SELECT DISTINCT name FROM pragma_function_list WHERE name LIKE 'hdr\\_%' ESCAPE '\\' OR name LIKE 'conf\\_%' ESCAPE '\\'
         OR name LIKE 'wilson\\_%' ESCAPE '\\'",
    );
    assert_eq!(functions.len(), 9);
    let (text, statements) = (read("docs/sql.md"), statements().concat());
    for function in functions {
        let call = format!("{}(", function["name"].as_str().unwrap());
        assert!(
            text.contains(&format!("| `{call}")) || text.contains(&format!("`, `{call}")),
            "{call} is not in the table"
        );
        assert!(statements.contains(&call), "{call} has no example");
    }
}

/// The extension, built once beside the tests' own target folder as the manual builds it, or where `SHEWHART_EXTENSION` says.
pub(crate) fn extension() -> Option<&'static Path> {
    static BUILT: OnceLock<Option<PathBuf>> = OnceLock::new();
    let build = || {
        if let Some(path) = std::env::var_os("SHEWHART_EXTENSION") {
            return Some(PathBuf::from(path));
        }
        let target = root().join("target/extension");
        let mut cargo = Command::new(env!("CARGO"));
        cargo.current_dir(root()).args([
            "rustc",
            "--locked",
            "--offline",
            "--quiet",
            "--release",
            "--lib",
            "--crate-type",
            "cdylib",
        ]);
        cargo.args(["--no-default-features", "--features", "extension", "--target-dir"]).arg(&target);
        let built = cargo.output().map_err(|error| error.to_string()).and_then(|output| {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            if output.status.success() { Ok(()) } else { Err(said) }
        });
        match built {
            Ok(()) => Some(target.join("release/libshewhart.so")),
            // What does not compile is no reason to skip.
            Err(said) if said.contains("could not compile") => panic!("{said}"),
            Err(said) => {
                skipped("the loadable extension", said.lines().next().unwrap_or("cargo failed"));
                None
            }
        }
    };
    BUILT.get_or_init(build).as_deref()
}

/// Statements with one row of one number or text, whose answers every client must give alike.
const SAME: [&str; 9] = [
    "SELECT hdr_count(hdr_merge(latency_sketch)) FROM v_pieces",
    "SELECT hdr_quantile(hdr_merge(latency_sketch), 0.5) FROM v_pieces",
    "SELECT hdr_quantile(hdr_merge(latency_sketch), 0.95) FROM v_pieces",
    "SELECT hdr_quantile(hdr_merge(latency_sketch), 0.99) FROM v_pieces WHERE agent = 'invoice-triage'",
    "SELECT hdr_above(hdr_merge(latency_sketch), 1000) FROM v_pieces",
    "SELECT conf_quantile(conf_merge(confidence_sketch), 0.1) FROM v_pieces",
    "SELECT conf_hist(conf_merge(confidence_sketch)) FROM v_pieces",
    "SELECT wilson_lo(sum(correct), sum(labelled)) FROM v_pieces",
    "SELECT wilson_hi(sum(correct), sum(labelled), 0.99) FROM v_pieces",
];

fn same() -> Vec<Value> {
    SAME.iter().map(|sql| asked(sql)[0].as_object().unwrap().values().next().unwrap().clone()).collect()
}

#[test]
fn pythons_sqlite_gives_the_same_numbers() {
    const SCRIPT: &str = r#"
import json, sqlite3, sys
db = sqlite3.connect("file:" + sys.argv[1] + "?mode=ro", uri=True)
db.enable_load_extension(True)
db.load_extension(sys.argv[2])
db.enable_load_extension(False)
print(json.dumps([db.execute(sql).fetchone()[0] for sql in json.loads(sys.argv[3])]))
for sql in ("SELECT hdr_quantile(x'00', 0.5)", "SELECT hdr_merge(1)", "SELECT wilson_lo(5, 3)"):
    try:
        print(db.execute(sql).fetchone())
    except sqlite3.OperationalError as error:
        print(error)
"#;
    let Some(extension) = extension() else { return };
    let able = "import sqlite3; sqlite3.connect(':memory:').enable_load_extension(True)";
    let able = Command::new(PYTHON).args(["-c", able]).stderr(Stdio::null()).status();
    if !able.is_ok_and(|status| status.success()) {
        skipped("the extension in Python", "/usr/bin/python3 is missing, or loads no extensions");
        return;
    }
    let statements = serde_json::to_string(&SAME).unwrap();
    let mut python = Command::new(PYTHON);
    // SQLite adds the ending itself.
    let output = python.args(["-c", SCRIPT, &database()]).arg(extension.with_extension("")).arg(statements).output();
    let text = printed(&output.unwrap());
    let mut lines = text.lines();
    let theirs: Vec<Value> = serde_json::from_str(lines.next().unwrap()).unwrap();
    assert_eq!(theirs, same());
    assert!(lines.next().unwrap().starts_with("hdr_quantile: this is no HdrHistogram"));
    assert!(lines.next().unwrap().starts_with("hdr_merge: the first argument must be a sketch"));
    assert!(lines.next().unwrap().starts_with("wilson_lo: 5 of 3 cannot be"));
}

#[test]
fn the_sqlite3_shell_gives_the_same_numbers() {
    let Some(extension) = extension() else { return };
    if !Command::new("sqlite3").arg("-version").stdout(Stdio::null()).status().is_ok_and(|status| status.success()) {
        skipped("the extension in the sqlite3 shell", "sqlite3 is missing");
        return;
    }
    for (sql, mine) in SAME.iter().zip(same()) {
        let mut shell = Command::new("sqlite3");
        shell
            .args(["-readonly", "-batch", "-json", "-cmd"])
            .arg(format!(".load {}", extension.with_extension("").display()));
        let theirs: Value = serde_json::from_str(&printed(&shell.args([&database(), *sql]).output().unwrap())).unwrap();
        let theirs = theirs[0].as_object().unwrap().values().next().unwrap().clone();
        match (theirs.as_f64(), mine.as_f64()) {
            // This shell prints fifteen digits.
            (Some(theirs), Some(mine)) => {
                assert!((theirs - mine).abs() <= mine.abs() * 1e-14, "{sql}: {theirs} {mine}");
            }
            _ => assert_eq!(theirs, mine, "{sql}"),
        }
    }
}

#[test]
fn statements_come_from_files_and_from_standard_input() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("one.sql");
    std::fs::write(&file, "-- a comment\nSELECT 1 AS one;\n").unwrap();
    let file = file.display().to_string();
    assert_eq!(printed(&shewhart(&["db", "query", &database(), "--file", &file, "-o", "csv"])), "one\r\n1\r\n");
    let mut child = Command::new(env!("CARGO_BIN_EXE_shewhart"))
        .args(["db", "query", &database(), "-", "-o", "csv"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"SELECT 2 AS two").unwrap();
    assert_eq!(printed(&child.wait_with_output().unwrap()), "two\r\n2\r\n");
    assert!(
        refused(&shewhart(&["db", "query", &database(), "--file", "/no/such.sql"]))
            .contains("cannot read /no/such.sql")
    );
    std::fs::write(folder.path().join("long.sql"), vec![b' '; 2 << 20]).unwrap();
    let long = folder.path().join("long.sql").display().to_string();
    assert!(refused(&shewhart(&["db", "query", &database(), "--file", &long])).contains("longer than a statement"));
    // Neither, both, and a watch that would never rest.
    for args in [&["x.db"][..], &["x.db", "SELECT 1", "--file", "f"], &["x.db", "SELECT 1", "--watch", "0.05"]] {
        assert_eq!(shewhart(&[&["db", "query"], args].concat()).status.code(), Some(2), "{args:?}");
    }
}

#[test]
fn a_statement_that_does_not_end_is_cut() {
    const ENDLESS: &str = "WITH RECURSIVE c (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c";
    let said = refused(&shewhart(&["db", "query", &database(), ENDLESS, "--timeout", "0.2"]));
    assert!(said.contains("cut after 0.2 s") && said.contains("--timeout"), "{said}");
}

#[test]
fn a_table_has_an_end_and_other_formats_have_none() {
    const MANY: &str = "WITH RECURSIVE c (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT 100001) SELECT x FROM c";
    assert!(refused(&shewhart(&["db", "query", &database(), MANY])).contains("more than 100000 rows"));
    assert_eq!(printed(&shewhart(&["db", "query", &database(), MANY, "-o", "csv"])).lines().count(), 100_002);
}

/// Each run of a watch sees what was written before it, and the watch ends when nobody reads it.
#[test]
fn a_watch_sees_what_is_written_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shewhart.db");
    drop(Ledger::create(&path).unwrap());
    let mut child = Command::new(env!("CARGO_BIN_EXE_shewhart"))
        .args(["db", "query", &path.display().to_string(), "SELECT count(*) AS n FROM meta WHERE key = 'seen'"])
        .args(["-o", "csv", "--watch", "0.1"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = child.stdout.take().unwrap();
    let mut next = || {
        let mut bytes = [0; 6];
        out.read_exact(&mut bytes).unwrap();
        bytes
    };
    assert_eq!(next(), *b"n\r\n0\r\n");
    let db = rusqlite::Connection::open(&path).unwrap();
    db.execute("INSERT INTO meta (key, value) VALUES ('seen', '')", []).unwrap();
    while next() != *b"n\r\n1\r\n" {}
    drop(out);
    assert!(child.wait().unwrap().success());
}

#[test]
fn vacuum_gives_back_what_is_not_used_and_waits_for_no_daemon() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shewhart.db");
    let name = path.display().to_string();
    let daemon = Ledger::create(&path).unwrap();
    assert!(refused(&shewhart(&["db", "vacuum", &name])).contains("another shewhart has"));
    drop(daemon);
    let db = rusqlite::Connection::open(&path).unwrap();
    db.execute_batch(
        "PRAGMA auto_vacuum = NONE; VACUUM; CREATE TABLE filling AS WITH RECURSIVE c (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c
         LIMIT 2000) SELECT randomblob(1000) FROM c; DROP TABLE filling;",
    )
    .unwrap();
    drop(db);
    let before = path.metadata().unwrap().len();
    let said = printed(&shewhart(&["db", "vacuum", &name]));
    let after = path.metadata().unwrap().len();
    assert_eq!(said, format!("{name}: {before} bytes before, {after} bytes after\n"));
    assert!(before > 2_000_000 && after < before - 1_900_000, "{said}");
    let db = rusqlite::Connection::open(&path).unwrap();
    assert_eq!(db.query_row("PRAGMA auto_vacuum", [], |row| row.get::<_, i64>(0)).unwrap(), 2);
    assert!(printed(&shewhart(&["db", "check", &name])).contains("whole"));
    assert!(refused(&shewhart(&["db", "vacuum", "/no/such.db"])).contains("there is no database"));
    let other = folder.path().join("other.db");
    rusqlite::Connection::open(&other).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
    assert!(
        refused(&shewhart(&["db", "vacuum", &other.display().to_string()])).contains("holds no tables of shewhart")
    );
    assert!(!Path::new("/no/such.db").exists());
}

fn export(to: &Path, more: &[&str]) -> Output {
    let to = to.display().to_string();
    shewhart(&[&["db", "export", &database(), "--to", &to][..], more].concat())
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn all_views_are_exported_with_every_row() {
    let folder = tempfile::tempdir().unwrap();
    let views = asked("SELECT name FROM sqlite_schema WHERE type = 'view' ORDER BY name");
    for (format, ending) in [("parquet", "parquet"), ("csv", "csv")] {
        let to = folder.path().join(format).join("deep");
        let said = printed(&export(&to, &["--all", "-o", format]));
        assert_eq!(said.lines().count(), views.len());
        for view in &views {
            let view = view["name"].as_str().unwrap();
            let rows = asked(&format!("SELECT count(*) AS n FROM {view}"))[0]["n"].as_u64().unwrap();
            assert!(said.contains(&format!("/{view}.{ending}: {rows} rows, ")), "{view} has {rows} rows\n{said}");
        }
        assert_eq!(names(&to).len(), views.len(), "{:?}", names(&to));
    }
    let csv = std::fs::read_to_string(folder.path().join("csv/deep/v_streams.csv")).unwrap();
    assert_eq!(csv, printed(&shewhart(&["db", "query", &database(), "SELECT * FROM v_streams", "-o", "csv"])));
}

#[test]
fn exports_overwrite_nothing_and_leave_nothing_half() {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path();
    std::fs::write(to.join("v_versions.parquet"), "mine").unwrap();
    let said = refused(&export(to, &["--view", "v_streams", "--view", "v_versions"]));
    assert!(said.contains("v_versions.parquet is there already"), "{said}");
    assert_eq!(
        (names(to), std::fs::read_to_string(to.join("v_versions.parquet")).unwrap()),
        (vec!["v_versions.parquet".to_owned()], "mine".to_owned())
    );
    assert!(refused(&export(to, &["--view", "streams"])).contains("there is no view streams; there are v_"));
    assert!(refused(&export(&to.join("v_versions.parquet"), &["--all"])).contains("cannot make the folder"));
    // One view named twice is one file.
    assert_eq!(printed(&export(to, &["--view", "v_streams", "--view", "v_streams"])).lines().count(), 1);
    for args in [&[][..], &["--all", "--view", "v_streams"], &["--all", "-o", "xlsx"]] {
        assert_eq!(export(to, args).status.code(), Some(2), "{args:?}");
    }
}

/// Where a daemon has the file, nobody may read it for ever; what was written of the export is taken away.
#[test]
fn an_export_that_does_not_end_is_cut_where_a_daemon_runs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shewhart.db");
    let daemon = Ledger::create(&path).unwrap();
    let db = rusqlite::Connection::open(&path).unwrap();
    db.execute_batch(
        "CREATE VIEW v_endless AS WITH RECURSIVE c (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x FROM c",
    )
    .unwrap();
    for format in ["parquet", "csv"] {
        let to = folder.path().join("export");
        let args = ["db", "export", &path.display().to_string(), "--view", "v_meta", "--view", "v_endless", "--to"];
        let mut export = Command::new(env!("CARGO_BIN_EXE_shewhart"));
        let said = refused(&export.args(args).arg(&to).args(["--timeout", "0.2", "-o", format]).output().unwrap());
        assert!(said.contains("cut after 0.2 s, at v_endless") && said.contains("shewhart db backup"), "{said}");
        assert_eq!(names(&to), Vec::<String>::new());
    }
    drop(daemon);
}

/// What Arrow's own reader finds in our Parquet files is what is in the database.
#[test]
fn arrow_reads_what_was_exported() {
    const SCRIPT: &str = r#"
import json, sqlite3, sys, pyarrow.parquet as parquet
db = sqlite3.connect("file:" + sys.argv[1] + "?mode=ro", uri=True)
for view in sys.argv[3:]:
    table = parquet.read_table(f"{sys.argv[2]}/{view}.parquet")
    rows = db.execute(f"SELECT * FROM {view}")
    names = [name for name, *_ in rows.description]
    assert table.column_names == names, (view, table.column_names, names)
    for mine, row in zip(table.to_pylist(), rows, strict=True):
        for (name, value), expected in zip(mine.items(), row):
            assert value == expected, (view, name, value, expected)
    print(view, {str(field.type) for field in table.schema})
"#;
    const VIEWS: [&str; 7] = ["v_streams", "v_alerts", "v_accuracy", "v_latency", "v_pieces", "v_notices", "v_rejects"];
    let usable = |python: &PathBuf| {
        let tried = Command::new(python).args(["-c", "import pyarrow.parquet"]).stderr(Stdio::null()).status();
        tried.is_ok_and(|status| status.success())
    };
    // `.ci/run` installs it there.
    let installed = root().join("target/venv/bin/python");
    let Some(python) = [installed, "python3".into(), PYTHON.into()].into_iter().find(usable) else {
        skipped("Parquet files read by Arrow", "no Python with pyarrow");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let views: Vec<&str> = VIEWS.iter().flat_map(|view| ["--view", view]).collect();
    printed(&export(folder.path(), &views));
    let output =
        Command::new(python).args(["-c", SCRIPT, &database()]).arg(folder.path()).args(VIEWS).output().unwrap();
    let said = printed(&output);
    assert_eq!(said.lines().count(), VIEWS.len(), "{said}");
    assert!(
        said.contains("binary") && said.contains("int64") && said.contains("double") && said.contains("string"),
        "{said}"
    );
}
