//! `shewhart db`: the SQLite file.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, Statement};

use super::args::{DbArgs, DbCommand, QueryFormat};
use super::table::{table, visible};
use super::{INVALID, Invalid, OK, print, say};
use crate::edge::ledger::describe::Dictionary;
use crate::edge::ledger::{open_read_only, query, schema};

/// The most characters of a cell that a table shows.
const CELL_CHARS: usize = 100;
/// The most bytes of a blob that are shown.
const BLOB_BYTES: usize = 16;
/// Output that is kept back until the statement has ended: a reader who pages through it must not hold the snapshot,
/// because the daemon's log cannot shrink meanwhile.
const SPOOL_BYTES: usize = 64 << 20;
/// What is said to everything else.
const ONLY_READS: &str = "db query only reads: SELECT, WITH, VALUES, EXPLAIN, and pragmas that tell something. \
                          Baselines are changed by `shewhart baseline`; the rest is written by the daemon alone";

/// `db schema`.
#[derive(Debug, Args)]
pub struct SchemaArgs {
    /// How to print
    #[arg(short, long, value_enum, default_value_t = SchemaFormat::Sql)]
    output: SchemaFormat,
}

/// How tables and views are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SchemaFormat {
    /// The statements that make them, with comments.
    Sql,
    /// The reference of docs/schema.md.
    Markdown,
    /// A list of objects with their columns.
    Json,
}

pub(super) fn db(args: &DbArgs) -> anyhow::Result<u8> {
    match &args.command {
        DbCommand::Check { db } => check(db),
        DbCommand::Backup { db, to } => backup(db, to),
        DbCommand::Query { db, sql, output } => {
            let mut spool = Spool { kept: Vec::new(), out: std::io::stdout() };
            let run = run(db, sql, *output, &mut spool);
            match run.and_then(|()| Ok(spool.flush()?)) {
                // `db query ... | head` ends so.
                Err(error) if is_broken_pipe(&error) => Ok(OK),
                done => done.map(|()| OK),
            }
        }
        DbCommand::Schema(args) => print_schema(args.output),
    }
}

fn print_schema(format: SchemaFormat) -> anyhow::Result<u8> {
    let ddl = schema();
    print(&match format {
        SchemaFormat::Sql => ddl,
        SchemaFormat::Markdown => Dictionary::read(&ddl)?.markdown(),
        SchemaFormat::Json => serde_json::to_string_pretty(&Dictionary::read(&ddl)?.objects)? + "\n",
    });
    Ok(OK)
}

/// Opens a database for reading; a wrong name is told apart from a file that cannot be read.
pub(super) fn open(path: &Path) -> anyhow::Result<Connection> {
    must_exist(path)?;
    Ok(open_read_only(path)?)
}

fn must_exist(path: &Path) -> anyhow::Result<()> {
    if path.exists() {
        return Ok(());
    }
    Err(Invalid(format!("there is no database {}", path.display())).into())
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

fn check(path: &Path) -> anyhow::Result<u8> {
    must_exist(path)?;
    let findings = match open_read_only(path) {
        Ok(db) => query::check(&db).with_context(|| format!("cannot check {}", path.display()))?,
        Err(error) => vec![error.to_string()],
    };
    if findings.is_empty() {
        print(&format!("{}: whole, schema version {}\n", path.display(), crate::edge::ledger::SCHEMA_VERSION));
        return Ok(OK);
    }
    for finding in &findings {
        print(&format!("{}: {finding}\n", path.display()));
    }
    say("stop the daemon, keep this file aside, and restore the newest backup that `shewhart db check` finds whole");
    Ok(INVALID)
}

fn backup(from: &Path, to: &Path) -> anyhow::Result<u8> {
    refuse_existing(to)?;
    let source = open(from)?;
    let partial = partial_name(to);
    query::create_private(&partial).with_context(|| format!("cannot write {}", partial.display()))?;
    let done = copy_and_check(&source, &partial).and_then(|()| {
        refuse_existing(to)?;
        std::fs::rename(&partial, to).with_context(|| format!("cannot name the copy {}", to.display()))?;
        sync_folder(to)
    });
    if let Err(error) = done {
        // What is half a copy must not look like one. A file that cannot be removed still has its telling name.
        drop(std::fs::remove_file(&partial));
        return Err(error);
    }
    let bytes = to.metadata().map_or(0, |m| m.len());
    print(&format!("{}: {bytes} bytes, whole\n", to.display()));
    Ok(OK)
}

fn refuse_existing(to: &Path) -> anyhow::Result<()> {
    // A dangling link is something too: `exists` would follow it.
    if to.symlink_metadata().is_ok() {
        return Err(Invalid(format!("{} is there already; name a new file", to.display())).into());
    }
    Ok(())
}

fn partial_name(to: &Path) -> PathBuf {
    let mut name = to.as_os_str().to_owned();
    name.push(format!(".partial-{}", std::process::id()));
    PathBuf::from(name)
}

fn copy_and_check(source: &Connection, partial: &Path) -> anyhow::Result<()> {
    let bar = bar();
    query::copy(source, partial, &|done, all| {
        bar.set_length(all);
        bar.set_position(done);
    })?;
    bar.finish_and_clear();
    let findings = query::check(&open_read_only(partial)?)?;
    if let Some(first) = findings.first() {
        return Err(Invalid(format!("the copy is not whole, and so probably is the original: {first}")).into());
    }
    let file = std::fs::File::open(partial).with_context(|| format!("cannot open {}", partial.display()))?;
    file.sync_all().with_context(|| format!("cannot write {} to the disk", partial.display()))
}

fn bar() -> indicatif::ProgressBar {
    use std::io::IsTerminal as _;
    if std::io::stderr().is_terminal() { indicatif::ProgressBar::new(0) } else { indicatif::ProgressBar::hidden() }
}

/// A new name is on the disk only when its folder is.
fn sync_folder(path: &Path) -> anyhow::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let synced = std::fs::File::open(folder).and_then(|folder| folder.sync_all());
    synced.with_context(|| format!("cannot write {} to the disk", folder.display()))
}

/// Runs one statement that only reads, and writes its rows.
pub(super) fn run(path: &Path, sql: &str, format: QueryFormat, out: &mut dyn Write) -> anyhow::Result<()> {
    let mut db = open(path)?;
    query::only_read(&mut db)?;
    let mut statement = db.prepare(sql).map_err(|error| explain(&error, sql))?;
    if statement.column_count() == 0 {
        return Err(Invalid(ONLY_READS.to_owned()).into());
    }
    let names = unique(&statement);
    match format {
        QueryFormat::Table | QueryFormat::Markdown => {
            let rows = each_row(&mut statement, sql, |row| Ok(row.iter().map(|v| shown(*v)).collect::<Vec<_>>()))?;
            let text = if format == QueryFormat::Table { text_table(&names, rows) } else { markdown(&names, &rows) };
            out.write_all(text.as_bytes())?;
        }
        QueryFormat::Csv => {
            write_csv(out, names.iter().map(|name| ValueRef::Text(name.as_bytes())))?;
            each_row(&mut statement, sql, |row| Ok(write_csv(out, row.iter().copied())?))?;
        }
        QueryFormat::Json => {
            let mut lead = "[";
            each_row(&mut statement, sql, |row| {
                write!(out, "{lead}\n  {}", json_object(&names, row))?;
                lead = ",";
                Ok(())
            })?;
            out.write_all(if lead == "[" { b"[]\n" } else { b"\n]\n" })?;
        }
    }
    Ok(())
}

fn each_row<T>(
    statement: &mut Statement<'_>,
    sql: &str,
    mut each: impl FnMut(&[ValueRef<'_>]) -> anyhow::Result<T>,
) -> anyhow::Result<Vec<T>> {
    let columns = statement.column_count();
    let mut rows = statement.query([]).map_err(|error| explain(&error, sql))?;
    let mut results = Vec::new();
    while let Some(row) = rows.next().map_err(|error| explain(&error, sql))? {
        let values: Result<Vec<ValueRef<'_>>, _> = (0..columns).map(|at| row.get_ref(at)).collect();
        results.push(each(&values?)?);
    }
    Ok(results)
}

/// SQLite's words with the place in the statement, and what to do.
fn explain(error: &rusqlite::Error, sql: &str) -> anyhow::Error {
    match error {
        rusqlite::Error::MultipleStatement => {
            Invalid("more than one statement: db query runs one at a time".to_owned()).into()
        }
        rusqlite::Error::SqlInputError { msg, offset, .. } => {
            let hint = if msg.starts_with("no such table") || msg.starts_with("no such column") {
                "\n`shewhart db schema` prints all tables and views; docs/schema.md explains them"
            } else {
                ""
            };
            Invalid(format!("{msg}\n{}{hint}", pointed(sql, *offset))).into()
        }
        error
            if matches!(
                error.sqlite_error_code(),
                Some(ErrorCode::AuthorizationForStatementDenied | ErrorCode::ReadOnly)
            ) =>
        {
            Invalid(ONLY_READS.to_owned()).into()
        }
        error => Invalid(error.to_string()).into(),
    }
}

/// The line of the statement that holds the byte `offset`, with a mark below it.
fn pointed(sql: &str, offset: i32) -> String {
    let Some((before, after)) = usize::try_from(offset).ok().and_then(|at| sql.split_at_checked(at)) else {
        return format!("  {sql}");
    };
    let start = before.rsplit('\n').next().unwrap_or_default();
    let end = after.split('\n').next().unwrap_or_default();
    format!("  {start}{end}\n  {}^", " ".repeat(start.chars().count()))
}

/// The names of the columns; a name that stands twice gets a number, so that no value hides another.
fn unique(statement: &Statement<'_>) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for name in statement.column_names() {
        let mut candidate = name.to_owned();
        let mut n = 1;
        while names.contains(&candidate) {
            n += 1;
            candidate = format!("{name}_{n}");
        }
        names.push(candidate);
    }
    names
}

/// A value as people read it.
fn shown(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => String::new(),
        ValueRef::Integer(n) => n.to_string(),
        ValueRef::Real(x) => real(x),
        ValueRef::Text(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        ValueRef::Blob(bytes) => blob(bytes),
    }
}

/// The shortest text that reads back as the same number.
fn real(x: f64) -> String {
    if x.is_infinite() {
        // As SQLite itself writes what no JSON number can be.
        return if x > 0.0 { "9e999" } else { "-9e999" }.to_owned();
    }
    if x != 0.0 && !(1e-5..1e15).contains(&x.abs()) { format!("{x:e}") } else { format!("{x:?}") }
}

fn blob(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = "x'".to_owned();
    for byte in bytes.iter().take(BLOB_BYTES) {
        if write!(text, "{byte:02x}").is_err() {
            // Text in memory takes every write.
        }
    }
    let more = if bytes.len() > BLOB_BYTES { "..." } else { "" };
    format!("{text}{more}' ({} bytes)", bytes.len())
}

/// A table for a terminal: one line for each row, nothing in it that the terminal would obey.
fn text_table(names: &[String], rows: Vec<Vec<String>>) -> String {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let rows: Vec<Vec<String>> = rows.into_iter().map(|row| row.iter().map(|cell| one_line(cell)).collect()).collect();
    table(&names, &rows)
}

fn one_line(cell: &str) -> String {
    let mut line: String = cell.chars().take(CELL_CHARS).flat_map(visible).collect();
    if cell.chars().nth(CELL_CHARS).is_some() {
        line.push('…');
    }
    line
}

fn markdown(names: &[String], rows: &[Vec<String>]) -> String {
    let line = |cells: &[String]| {
        let cells: Vec<String> = cells
            .iter()
            .map(|cell| {
                let escaped = cell.replace('\\', "\\\\").replace('|', "\\|").replace('&', "&amp;").replace('<', "&lt;");
                escaped.chars().flat_map(visible).collect()
            })
            .collect();
        format!("| {} |\n", cells.join(" | "))
    };
    let rule = format!("|{}\n", " --- |".repeat(names.len()));
    let body: String = rows.iter().map(|row| line(row)).collect();
    format!("{}{rule}{body}", line(names))
}

/// One line of RFC 4180.
fn write_csv<'v>(out: &mut dyn Write, values: impl Iterator<Item = ValueRef<'v>>) -> std::io::Result<()> {
    let cells: Vec<String> = values.map(csv_cell).collect();
    write!(out, "{}\r\n", cells.join(","))
}

/// A cell of CSV. Text that a spreadsheet would take for a formula is led by an apostrophe; numbers are numbers and stay
/// as they are, or no negative one could be computed with. Empty text is quoted, so that it is not nothing.
pub(super) fn csv_cell(value: ValueRef<'_>) -> String {
    let mut cell = shown(value);
    if !matches!(value, ValueRef::Text(_)) {
        return cell;
    }
    if cell.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        cell.insert(0, '\'');
    }
    if cell.is_empty() || cell.contains(['"', ',', '\r', '\n']) {
        return format!("\"{}\"", cell.replace('"', "\"\""));
    }
    cell
}

fn json_object(names: &[String], values: &[ValueRef<'_>]) -> String {
    let pairs: Vec<String> =
        names.iter().zip(values).map(|(name, value)| format!("{}: {}", quoted(name), json_value(*value))).collect();
    format!("{{{}}}", pairs.join(", "))
}

fn json_value(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "null".to_owned(),
        ValueRef::Integer(_) | ValueRef::Real(_) => shown(value),
        ValueRef::Text(_) | ValueRef::Blob(_) => quoted(&shown(value)),
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Keeps output back until its end, up to a size.
struct Spool<W> {
    kept: Vec<u8>,
    out: W,
}

impl<W: Write> Write for Spool<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.kept.extend_from_slice(bytes);
        if self.kept.len() > SPOOL_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.out.write_all(&self.kept)?;
        self.kept.clear();
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(sql: &str, format: QueryFormat) -> Result<String, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shewhart.db");
        drop(crate::edge::ledger::Ledger::create(&path).unwrap());
        let mut out = Vec::new();
        let done = run(&path, sql, format, &mut out);
        done.map(|()| String::from_utf8(out).unwrap()).map_err(|error| error.to_string())
    }

    const ODD: &str =
        "SELECT '=1+1' AS a, -1 AS b, 'x,\"y\"' AS c, NULL AS d, '' AS e, x'00ff' AS f, 0.5 AS g, 'p|q' AS h";

    #[test]
    fn csv_follows_the_standard_and_runs_nothing() {
        let csv = asked(ODD, QueryFormat::Csv).unwrap();
        assert_eq!(csv, "a,b,c,d,e,f,g,h\r\n'=1+1,-1,\"x,\"\"y\"\"\",,\"\",x'00ff' (2 bytes),0.5,p|q\r\n");
        for start in ["=", "+", "-", "@", "\t", "\r"] {
            assert_eq!(
                csv_cell(ValueRef::Text(format!("{start}cmd").as_bytes())).trim_start_matches('"').chars().next(),
                Some('\'')
            );
        }
        assert_eq!(csv_cell(ValueRef::Real(-0.25)), "-0.25");
    }

    #[test]
    fn other_formats_hold_the_same() {
        let json: serde_json::Value = serde_json::from_str(&asked(ODD, QueryFormat::Json).unwrap()).unwrap();
        assert_eq!(json[0]["a"], "=1+1");
        assert_eq!(json[0]["d"], serde_json::Value::Null);
        assert_eq!(asked("SELECT 1 AS x WHERE 0", QueryFormat::Json).unwrap(), "[]\n");
        assert!(asked(ODD, QueryFormat::Markdown).unwrap().ends_with("| p\\|q |\n"));
        let table = asked("SELECT 'a' || char(27) || '[2J' || char(10) AS x, 2 AS x", QueryFormat::Table).unwrap();
        assert_eq!(table, "x             x_2\na\\u{1b}[2J\\n  2\n");
    }

    #[test]
    fn only_one_statement_and_only_reading() {
        let refused = [
            "DELETE FROM alerts",
            "INSERT INTO meta VALUES ('a', 'b')",
            "CREATE TEMP TABLE t (x)",
            "PRAGMA query_only = OFF",
            "PRAGMA journal_mode = DELETE",
            "VACUUM INTO 'copy.db'",
            "ATTACH 'other.db' AS other",
            "BEGIN IMMEDIATE",
        ];
        for sql in refused {
            let error = asked(sql, QueryFormat::Table).unwrap_err();
            assert!(error.starts_with("db query only reads"), "{sql}: {error}");
        }
        assert!(!Path::new("copy.db").exists() && !Path::new("other.db").exists());
        assert!(asked("-- nothing", QueryFormat::Table).unwrap_err().contains("empty"));
        assert!(asked("SELECT 1; SELECT 2", QueryFormat::Table).unwrap_err().starts_with("more than one"));
        for sql in ["PRAGMA user_version", "PRAGMA table_info(alerts)", "EXPLAIN QUERY PLAN SELECT * FROM v_accuracy"] {
            asked(sql, QueryFormat::Table).unwrap();
        }
    }

    #[test]
    fn a_fault_is_pointed_at() {
        let error = asked("SELECT agent,\n  oops\nFROM v_streams", QueryFormat::Table).unwrap_err();
        assert!(error.starts_with("no such column: oops\n    oops\n    ^\n"), "{error}");
    }

    #[test]
    fn a_copy_is_whole_and_never_overwrites() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("shewhart.db"), folder.path().join("copy.db"));
        let writing = crate::edge::ledger::Ledger::create(&from).unwrap();
        assert_eq!(backup(&from, &to).unwrap(), OK);
        assert!(backup(&from, &to).unwrap_err().to_string().contains("is there already"));
        assert_eq!(query::is_held(&from), Some(true));
        drop(writing);
        assert_eq!(query::is_held(&from), Some(false));
        assert_eq!(check(&to).unwrap(), OK);
        let names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert!(!names.iter().any(|name| name.to_string_lossy().contains("partial")), "{names:?}");
        std::fs::write(&to, "not a database at all, but long enough to be looked at as one ....").unwrap();
        assert_eq!(check(&to).unwrap(), INVALID);
    }
}
