//! What a reader costs that looks through everything without a pause, in snapshots of its own.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use shewhart::edge::ledger::open_read_only;

use crate::events::{Day, START, Writer};

const DAY: Day = Day { streams: 500, outputs: 720 };
/// The morning is written first, so that there is something to look through.
const NOON: i64 = START + 43_200_000;
/// Records of a batch, as the daemon's reader hands them on.
const BATCH: usize = 5_000;
/// Full scans, the views' as well as the tables'.
const SCANS: [&str; 4] = [
    "SELECT count(*), sum(outputs), sum(length(latency_sketch)) FROM rollup_minute",
    "SELECT agent, sum(outputs), sum(correct) FROM v_hours GROUP BY agent",
    "SELECT agent, hdr_quantile(hdr_merge(latency_sketch), 0.95) FROM v_pieces GROUP BY agent",
    "SELECT max(accuracy), count(*) FROM v_accuracy",
];

/// What an afternoon's writing came to.
struct Afternoon {
    /// Events a second of wall time.
    rate: f64,
    /// The most bytes that the log grew to.
    log: u64,
    /// Full scans that were done meanwhile.
    scans: u64,
}

fn afternoon(reads: bool) -> Afternoon {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::new(folder.path());
    let path = folder.path().join("shewhart.db");
    let log = folder.path().join("shewhart.db-wal");
    let (done, scans) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let start = || {
        let (done, scans, path) = (Arc::clone(&done), Arc::clone(&scans), path.clone());
        std::thread::spawn(move || scan(&path, &done, &scans))
    };
    let (mut begun, mut events, mut pending, mut largest, mut reader) = (None, 0_u64, 0, 0, None);
    DAY.each(|at, line| {
        if begun.is_none() && at >= NOON {
            writer.commit(at);
            reader = reads.then(start);
            begun = Some(Instant::now());
        }
        writer.take(line);
        events += u64::from(begun.is_some());
        pending += 1;
        if pending == BATCH {
            pending = 0;
            writer.commit(at);
            largest = largest.max(log.metadata().map_or(0, |m| m.len()));
        }
    });
    writer.commit(START + 86_400_000);
    let rate = events as f64 / begun.unwrap().elapsed().as_secs_f64();
    done.store(true, Ordering::Relaxed);
    if let Some(reader) = reader {
        reader.join().unwrap();
    }
    Afternoon { rate, log: largest, scans: scans.load(Ordering::Relaxed) }
}

fn scan(path: &Path, done: &AtomicBool, scans: &AtomicU64) {
    let db = open_read_only(path).unwrap();
    while !done.load(Ordering::Relaxed) {
        for sql in SCANS {
            let mut statement = db.prepare_cached(sql).unwrap();
            let mut rows = statement.query([]).unwrap();
            while rows.next().unwrap().is_some() {}
            scans.fetch_add(1, Ordering::Relaxed);
        }
    }
}

pub(crate) fn run(rounds: u64) {
    let mut ratios = Vec::new();
    for round in 1..=rounds {
        // In turns, so that what else the machine does meets both alike.
        let (alone, beside) = (afternoon(false), afternoon(true));
        let ratio = beside.rate / alone.rate;
        ratios.push(ratio);
        println!(
            "round {round}: {:.0} events/s alone, {:.0} beside {} full scans: {ratio:.2}; log at most {:.1} and {:.1} MB",
            alone.rate,
            beside.rate,
            beside.scans,
            alone.log as f64 / 1e6,
            beside.log as f64 / 1e6
        );
    }
    ratios.sort_by(f64::total_cmp);
    if let (Some(low), Some(median), Some(high)) = (ratios.first(), ratios.get(ratios.len() / 2), ratios.last()) {
        println!("ratio of the rates: median {median:.2}, {low:.2} to {high:.2}, {rounds} rounds");
    }
}
