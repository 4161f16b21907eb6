//! What a reader costs that looks through everything without a pause, in snapshots of its own.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use shewhart::edge::ledger::open_read_only;

use crate::events::{Day, START, Writer};

const DAY: Day = Day { streams: 200, outputs: 360 };
/// Records of a batch, as the daemon's reader hands them on.
const BATCH: usize = 5_000;
/// Full scans, the views' as well as the tables'.
const SCANS: [&str; 4] = [
    "SELECT count(*), sum(outputs), sum(length(latency_sketch)) FROM rollup_minute",
    "SELECT agent, sum(outputs), sum(correct) FROM v_hours GROUP BY agent",
    "SELECT agent, hdr_quantile(hdr_merge(latency_sketch), 0.95) FROM v_pieces GROUP BY agent",
    "SELECT max(accuracy), count(*) FROM v_accuracy",
];

/// Events a second of wall time, the most that the log grew to, and the scans that were done meanwhile.
fn rate(reads: bool) -> (f64, u64, u64) {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::new(folder.path());
    writer.commit(START);
    let path = folder.path().join("shewhart.db");
    let log = folder.path().join("shewhart.db-wal");
    let (done, scans) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let reader = reads.then(|| {
        let (done, scans, path) = (Arc::clone(&done), Arc::clone(&scans), path.clone());
        std::thread::spawn(move || scan(&path, &done, &scans))
    });
    let (begun, mut pending, mut largest) = (Instant::now(), 0, 0);
    let events = DAY.each(|at, line| {
        writer.take(line);
        pending += 1;
        if pending == BATCH {
            pending = 0;
            writer.commit(at);
            largest = largest.max(log.metadata().map_or(0, |m| m.len()));
        }
    });
    writer.commit(START + 86_400_000);
    let rate = events as f64 / begun.elapsed().as_secs_f64();
    done.store(true, Ordering::Relaxed);
    if let Some(reader) = reader {
        reader.join().unwrap();
    }
    (rate, largest, scans.load(Ordering::Relaxed))
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
        let (alone, log_alone, _) = rate(false);
        let (beside, log_beside, scans) = rate(true);
        ratios.push(beside / alone);
        println!(
            "round {round}: {alone:.0} events/s alone, {beside:.0} beside {scans} full scans: {:.2}; log at most {:.1} and {:.1} MB",
            beside / alone,
            log_alone as f64 / 1e6,
            log_beside as f64 / 1e6
        );
    }
    ratios.sort_by(f64::total_cmp);
    if let (Some(low), Some(median), Some(high)) = (ratios.first(), ratios.get(ratios.len() / 2), ratios.last()) {
        println!("ratio of the rates: median {median:.2}, {low:.2} to {high:.2}, {rounds} rounds");
    }
}
