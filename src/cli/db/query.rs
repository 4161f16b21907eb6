//! `shewhart db query`: one statement that only reads, once or again and again.

use std::io::{BufWriter, IsTerminal as _, Read as _, Seek as _, Write};
use std::path::Path;
use std::time::Duration;

use rusqlite::types::ValueRef;
use rusqlite::{ErrorCode, Statement};
use tempfile::SpooledTempFile;

use super::args::{QueryArgs, QueryFormat};
use super::cells::{json_object, markdown, shown, text_table, write_csv};
use crate::cli::{Invalid, OK};
use crate::edge::clock;
use crate::edge::ledger::query as reading;

/// Output that is kept in memory until the statement has ended; what is longer waits in a file. A reader who pages through
/// it must not hold the snapshot, because the daemon's log cannot shrink meanwhile.
const SPOOL_BYTES: usize = 64 << 20;
/// The most rows of a table, which is laid out as a whole.
const TABLE_ROWS: usize = 100_000;
/// The most bytes of a statement that is read from a file.
const SQL_BYTES: u64 = 1 << 20;
/// How long the console's own statements may take.
const OWN_TIMEOUT: Duration = Duration::from_secs(30);
/// What takes a terminal back to its upper left corner, and empties it.
const CLEAR: &str = "\u{1b}[H\u{1b}[2J";
/// What is said to everything else.
const ONLY_READS: &str = "db query only reads: SELECT, WITH, VALUES, EXPLAIN, and pragmas that tell something. \
                          Baselines are changed by `shewhart baseline`; the rest is written by the daemon alone";

/// A statement that is run.
struct Asked<'a> {
    db: &'a Path,
    sql: &'a str,
    format: QueryFormat,
    timeout: Duration,
}

pub(super) fn query(args: &QueryArgs) -> anyhow::Result<u8> {
    let sql = statement(args)?;
    let asked = Asked { db: &args.db, sql: &sql, format: args.output, timeout: args.timeout };
    let done = match args.watch {
        None => print_rows(&asked, ""),
        Some(every) => watch(&asked, every),
    };
    match done {
        // `db query ... | head` ends so.
        Err(error) if is_broken_pipe(&error) => Ok(OK),
        done => done.map(|()| OK),
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

/// The statement, wherever it stands.
fn statement(args: &QueryArgs) -> anyhow::Result<String> {
    match (&args.sql, &args.file) {
        (Some(sql), _) if sql != "-" => Ok(sql.clone()),
        (_, Some(path)) => {
            let name = path.display().to_string();
            let file = std::fs::File::open(path).map_err(|error| Invalid(format!("cannot read {name}: {error}")))?;
            read_statement(&name, file)
        }
        _ => read_statement("standard input", std::io::stdin().lock()),
    }
}

fn read_statement(name: &str, from: impl std::io::Read) -> anyhow::Result<String> {
    let mut sql = String::new();
    let read = from.take(SQL_BYTES + 1).read_to_string(&mut sql);
    let bytes = read.map_err(|error| Invalid(format!("cannot read a statement from {name}: {error}")))?;
    if bytes as u64 > SQL_BYTES {
        return Err(Invalid(format!("{name} is longer than a statement may be, {SQL_BYTES} bytes")).into());
    }
    Ok(sql)
}

/// Runs a statement again and again, each time on the newest state, until somebody interrupts it or nobody reads any more.
fn watch(asked: &Asked<'_>, every: Duration) -> anyhow::Result<()> {
    let terminal = std::io::stdout().is_terminal();
    loop {
        let title = format!("{CLEAR}every {} s; now {}\n\n", every.as_secs_f64(), clock::now());
        print_rows(asked, if terminal { &title } else { "" })?;
        clock::sleep(every);
    }
}

/// Runs a statement and prints its rows when it has ended.
fn print_rows(asked: &Asked<'_>, title: &str) -> anyhow::Result<()> {
    let mut spool = BufWriter::new(SpooledTempFile::new(SPOOL_BYTES));
    run(asked, &mut spool)?;
    let mut spool = spool.into_inner().map_err(std::io::IntoInnerError::into_error)?;
    spool.rewind()?;
    let mut out = std::io::stdout().lock();
    out.write_all(title.as_bytes())?;
    std::io::copy(&mut spool, &mut out)?;
    Ok(out.flush()?)
}

/// Writes the rows of one of the console's own statements as JSON.
pub(in crate::cli) fn json(db: &Path, sql: &str, out: &mut dyn Write) -> anyhow::Result<()> {
    run(&Asked { db, sql, format: QueryFormat::Json, timeout: OWN_TIMEOUT }, out)
}

/// Runs one statement that only reads, and writes its rows.
fn run(asked: &Asked<'_>, out: &mut dyn Write) -> anyhow::Result<()> {
    let sql = asked.sql;
    let mut db = super::open(asked.db)?;
    reading::only_read(&mut db)?;
    reading::cut_after(&mut db, asked.timeout)?;
    let mut statement = db.prepare(sql).map_err(|error| asked.explain(&error))?;
    if statement.column_count() == 0 {
        return Err(Invalid(ONLY_READS.to_owned()).into());
    }
    let names = unique(&statement);
    match asked.format {
        QueryFormat::Table | QueryFormat::Markdown => {
            let mut rows = Vec::new();
            each_row(&mut statement, asked, |row| {
                if rows.len() >= TABLE_ROWS {
                    let more = format!("more than {TABLE_ROWS} rows: write them with -o csv or -o json, or LIMIT them");
                    return Err(Invalid(more).into());
                }
                rows.push(row.iter().map(|v| shown(*v)).collect::<Vec<_>>());
                Ok(())
            })?;
            let text =
                if asked.format == QueryFormat::Table { text_table(&names, rows) } else { markdown(&names, &rows) };
            out.write_all(text.as_bytes())?;
        }
        QueryFormat::Csv => {
            write_csv(out, names.iter().map(|name| ValueRef::Text(name.as_bytes())))?;
            each_row(&mut statement, asked, |row| Ok(write_csv(out, row.iter().copied())?))?;
        }
        QueryFormat::Json => {
            let mut lead = "[";
            each_row(&mut statement, asked, |row| {
                write!(out, "{lead}\n  {}", json_object(&names, row))?;
                lead = ",";
                Ok(())
            })?;
            out.write_all(if lead == "[" { b"[]\n" } else { b"\n]\n" })?;
        }
    }
    Ok(())
}

fn each_row(
    statement: &mut Statement<'_>,
    asked: &Asked<'_>,
    mut each: impl FnMut(&[ValueRef<'_>]) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let columns = statement.column_count();
    let mut rows = statement.query([]).map_err(|error| asked.explain(&error))?;
    while let Some(row) = rows.next().map_err(|error| asked.explain(&error))? {
        let values: Result<Vec<ValueRef<'_>>, _> = (0..columns).map(|at| row.get_ref(at)).collect();
        each(&values?)?;
    }
    Ok(())
}

impl Asked<'_> {
    /// SQLite's words with the place in the statement, and what to do.
    fn explain(&self, error: &rusqlite::Error) -> anyhow::Error {
        let said = match error {
            rusqlite::Error::MultipleStatement => "more than one statement: db query runs one at a time".to_owned(),
            rusqlite::Error::SqlInputError { msg, offset, .. } => {
                let hint = if msg.starts_with("no such table") || msg.starts_with("no such column") {
                    "\n`shewhart db schema` prints all tables and views; docs/schema.md explains them"
                } else if msg.starts_with("no such function") || msg.starts_with("wrong number of arguments") {
                    "\ndocs/sql.md has all functions"
                } else {
                    ""
                };
                format!("{msg}\n{}{hint}", pointed(self.sql, *offset))
            }
            error => match error.sqlite_error_code() {
                Some(ErrorCode::AuthorizationForStatementDenied | ErrorCode::ReadOnly) => ONLY_READS.to_owned(),
                Some(ErrorCode::OperationInterrupted) => format!(
                    "the statement was cut after {} s: while it runs, the daemon's log cannot shrink; ask for less, allow more \
                     with --timeout, or ask a copy (`shewhart db backup`)",
                    self.timeout.as_secs_f64()
                ),
                _ => error.to_string(),
            },
        };
        Invalid(said).into()
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
pub(super) fn unique(statement: &Statement<'_>) -> Vec<String> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::db::csv_cell;

    fn asked(sql: &str, format: QueryFormat) -> Result<String, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shewhart.db");
        drop(crate::edge::ledger::Ledger::create(&path).unwrap());
        let mut out = Vec::new();
        let done = run(&Asked { db: &path, sql, format, timeout: OWN_TIMEOUT }, &mut out);
        done.map(|()| String::from_utf8(out).unwrap()).map_err(|error| error.to_string())
    }

    const ODD: &str =
        "SELECT '=1+1' AS a, -1 AS b, 'x,\"y\"' AS c, NULL AS d, '' AS e, x'00ff' AS f, 0.5 AS g, 'p|q' AS h";

    #[test]
    fn csv_follows_the_standard_and_runs_nothing() {
        let csv = asked(ODD, QueryFormat::Csv).unwrap();
        assert_eq!(csv, "a,b,c,d,e,f,g,h\r\n'=1+1,-1,\"x,\"\"y\"\"\",,\"\",x'00ff' (2 bytes),0.5,p|q\r\n");
        for start in ["=", "+", "-", "@", "\t", "\r", "\n", "＝"] {
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
        let image = asked("SELECT '![x](http://h/i.png)' AS x", QueryFormat::Markdown).unwrap();
        assert!(image.ends_with("| !\\[x\\](http://h/i.png) |\n"), "{image}");
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
}
