//! How large a day gets.

use std::time::Instant;

use rusqlite::Connection;

use crate::events::{Day, START, Writer};

/// Event time between two commits: a stream's row is rewritten with each, its rollups are not.
const EVERY: i64 = 600_000;

pub(crate) fn run(streams: u64, outputs: u64) {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::new(folder.path());
    let (begun, mut committed) = (Instant::now(), START);
    let events = Day { streams, outputs }.each(|at, line| {
        writer.take(line);
        if at - committed >= EVERY {
            committed = at;
            writer.commit(at);
        }
    });
    writer.commit(START + 86_400_000);
    drop(writer);
    let path = folder.path().join("shewhart.db");
    let bytes = path.metadata().unwrap().len() as f64;
    println!(
        "{streams} streams, {outputs} outputs a day each, one in 20 with a verdict: {events} events in {:.0} s",
        begun.elapsed().as_secs_f64()
    );
    println!(
        "file {:.1} MB: {:.1} kB a stream-day, {:.1} MB a million events",
        bytes / 1e6,
        bytes / 1e3 / streams as f64,
        bytes / events as f64
    );
    let db = Connection::open(&path).unwrap();
    let mut tables = db.prepare("SELECT name, sum(pgsize) FROM dbstat GROUP BY name ORDER BY 2 DESC LIMIT 8").unwrap();
    let tables: Vec<(String, f64)> =
        tables.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect();
    for (table, size) in tables {
        let rows: i64 = db.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap_or(0);
        println!(
            "  {table:24} {:10.1} kB a stream-day {:8} rows {:6.0} bytes a row",
            size / 1e3 / streams as f64,
            rows,
            size / (rows.max(1)) as f64
        );
    }
}
