//! The questions of docs/schema.md in the programs that analysts have: each must answer as `shewhart db query` does.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests are tests")]

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use serde_json::{Value, json};

use super::questions::questions;
use super::world::world;
use crate::docs::{blocks, read, root};
use crate::sql::extension;
use crate::world::real::skipped;

/// Functions that a client has only with the extension.
const FUNCTIONS: [&str; 3] = ["hdr_", "conf_", "wilson_"];

/// Answers, or why there is none, by the name of the statement.
type Answers = BTreeMap<String, Value>;

fn needs_functions(sql: &str) -> bool {
    FUNCTIONS.iter().any(|name| sql.contains(name))
}

/// The folder of the programs that `.ci/run` installed.
fn programs(what: &str) -> Option<PathBuf> {
    let folder = root().join("target/venv/bin");
    if folder.join("python").exists() {
        return Some(folder);
    }
    skipped(what, "there is no target/venv; .ci/run makes it from tests/read/requirements.txt");
    None
}

fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn query(sql: &str) -> Value {
    let mut shewhart = Command::new(env!("CARGO_BIN_EXE_shewhart"));
    shewhart.args(["db", "query", &world().path.display().to_string(), sql, "-o", "json"]);
    serde_json::from_str(&printed(&shewhart.output().unwrap())).unwrap()
}

/// What `db query` answers to the questions.
fn ours() -> &'static Answers {
    static OURS: OnceLock<Answers> = OnceLock::new();
    OURS.get_or_init(|| questions().iter().map(|(number, sql)| (number.to_string(), query(sql))).collect())
}

fn statements() -> BTreeMap<String, String> {
    questions().into_iter().map(|(number, sql)| (number.to_string(), sql)).collect()
}

/// Asks one client everything, in one process.
fn asked(client: &str, statements: &BTreeMap<String, String>) -> Option<Answers> {
    let python = programs(client)?.join("python");
    let library = extension().map_or_else(|| "-".to_owned(), |path| path.display().to_string());
    let mut child = Command::new(python)
        .arg(root().join("tests/read/clients.py"))
        .args([client, &world().path.display().to_string(), &library])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(json!(statements).to_string().as_bytes()).unwrap();
    serde_json::from_str(&printed(&child.wait_with_output().unwrap())).unwrap()
}

/// Whether two values are the same: numbers to 1e-9, where one may be text.
fn same(theirs: &Value, ours: &Value) -> bool {
    let Some(ours) = ours.as_f64() else { return theirs == ours };
    let theirs = theirs.as_f64().or_else(|| theirs.as_str()?.parse().ok());
    theirs.is_some_and(|theirs| (theirs - ours).abs() <= 1e-9 * ours.abs().max(1.0))
}

fn compare(what: &str, theirs: &Value, ours: &Value) {
    let (Some(theirs), Some(ours)) = (theirs["rows"].as_array(), ours.as_array()) else {
        panic!("{what}: {theirs}");
    };
    assert_eq!(theirs.len(), ours.len(), "{what}");
    for (theirs, ours) in theirs.iter().zip(ours) {
        let (theirs, ours) = (theirs.as_object().unwrap(), ours.as_object().unwrap());
        assert_eq!(theirs.len(), ours.len(), "{what}");
        for (name, value) in ours {
            assert!(same(&theirs[name], value), "{what}, {name}: {} instead of {value}", theirs[name]);
        }
    }
}

/// Clients that can load the extension answer everything, and everything without it where there is none.
fn answers_alike(client: &str) {
    let mut statements = statements();
    if extension().is_none() {
        statements.retain(|_, sql| !needs_functions(sql));
    }
    let Some(theirs) = asked(client, &statements) else { return };
    for name in statements.keys() {
        compare(&format!("{client}, question {name}"), &theirs[name], &ours()[name]);
    }
}

#[test]
fn pythons_sqlite_answers_alike() {
    answers_alike("python");
}

#[test]
fn datasette_answers_alike() {
    answers_alike("datasette");
}

#[test]
fn duckdb_answers_alike() {
    const DUCK: &str = "SELECT agent, sum(correct::BIGINT)::DOUBLE / sum(labelled::BIGINT) AS accuracy,
        max(latency_p95_ms::DOUBLE) AS worst, date_trunc('day', max(hour::TIMESTAMPTZ)) IS NULL AS undated
      FROM sqlite_query('shewhart', 'SELECT * FROM v_hours') WHERE labelled::BIGINT > 0 GROUP BY agent ORDER BY agent";
    const LITE: &str = "SELECT agent, 1.0 * sum(correct) / sum(labelled) AS accuracy, max(latency_p95_ms) AS worst,
        max(hour) IS NULL AS undated FROM v_hours WHERE labelled > 0 GROUP BY agent ORDER BY agent";
    let mut statements = statements();
    statements.insert("its own dialect".to_owned(), DUCK.to_owned());
    // Every view, whatever it is made of, must do with the SQLite that DuckDB has: 3.38.1.
    let views = query("SELECT DISTINCT object FROM v_columns WHERE kind = 'view'");
    let count = |row: &Value| format!("SELECT '{0}' AS view, count(*) AS n FROM {0}", row["object"].as_str().unwrap());
    let counts: Vec<String> = views.as_array().unwrap().iter().map(count).collect();
    let counts = counts.join(" UNION ALL ");
    statements.insert("every view".to_owned(), counts.clone());
    let Some(theirs) = asked("duckdb", &statements) else { return };
    for (name, sql) in &questions() {
        let (name, theirs) = (name.to_string(), &theirs[&name.to_string()]);
        if needs_functions(sql) {
            assert!(theirs["error"].as_str().is_some_and(|text| text.contains("no such function")), "{name}: {theirs}");
        } else {
            compare(&format!("duckdb, question {name}"), theirs, &ours()[&name]);
        }
    }
    let mut own = theirs["its own dialect"].clone();
    for row in own["rows"].as_array_mut().unwrap() {
        row["undated"] = i64::from(row["undated"] == true).into();
    }
    compare("duckdb's own dialect", &own, &query(LITE));
    compare("duckdb, every view", &theirs["every view"], &query(&counts));
}

/// The lines of the document that open the file, run as they stand.
#[test]
fn the_lines_that_open_the_file_work() {
    let Some(folder) = programs("the lines that open the file") else { return };
    let document = read("docs/schema.md");
    let section = document.split("\n## Opening it safely\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let program = PathBuf::from(env!("CARGO_BIN_EXE_shewhart"));
    let inherited = std::env::var_os("PATH").unwrap_or_default();
    let path = [program.parent().unwrap().as_os_str(), folder.as_os_str(), &inherited].join(":".as_ref());
    let mut seen = 0;
    for (language, text) in blocks(section) {
        let mut text = text.replace("/var/lib/shewhart/shewhart.db", &world().path.display().to_string());
        if text.contains("libshewhart") {
            let Some(library) = extension() else { continue };
            text = text.replace("/usr/local/lib/libshewhart", &library.with_extension("").display().to_string());
        }
        // The wheel brings what DuckDB would load from the network.
        let scanner = "import duckdb_extension_sqlite_scanner as s; db.execute(f\"LOAD '{s.__path__[0]}/extensions/v{duckdb.__version__}/sqlite_scanner.duckdb_extension'\")";
        text = text.replace("db.execute(\"INSTALL sqlite; LOAD sqlite\")", scanner);
        if text.starts_with("datasette ") {
            // One page, then it ends.
            text = text.trim_end().to_owned() + " --get '/shewhart/v_streams.json?_shape=objects'";
        }
        let shell = if language == "python" { ("python", "-c") } else { ("sh", "-c") };
        let output = Command::new(shell.0).args([shell.1, &text]).env("PATH", &path).output().unwrap();
        let said = printed(&output);
        assert!(said.contains("address-matching") && said.contains("invoice-triage"), "{text}\n{said}");
        seen += 1;
    }
    assert!(seen == 6 || extension().is_none(), "{seen}");
}

/// Datasette's own pages of views, as the document says.
#[test]
fn datasettes_pages_of_views_need_their_bytes_left_out() {
    let Some(folder) = programs("datasette's pages") else { return };
    let document = read("docs/schema.md");
    let page = document.split('`').find(|text| text.starts_with("/shewhart/v_hours?")).unwrap();
    let found = |page: &str| {
        let mut datasette = Command::new(folder.join("datasette"));
        datasette.arg(&world().path).args(["--setting", "sql_time_limit_ms", "30000", "--get", page]);
        datasette.output().unwrap().status.success()
    };
    assert!(found(page));
    assert!(!found("/shewhart/v_hours"), "the document need not say so any more");
}
