//! The sequences on which `benches/river.py` lets other detectors run, and what our charts did on them.
//!
//! A sequence is a file of the characters 0 and 1, a label each, 1 for a wrong output: `control` is in control
//! throughout; in `drop_2` and `drop_5` follow each other sequences of 5,000 labels in control and 25,000 after the
//! drop. `ours.json` holds false alarms in control, delays, and nanoseconds per label of whole charts. A chart that
//! alarms before the drop begins anew.

use std::fs;
use std::hint::black_box;
use std::io::Error;
use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};
use shewhart::engine::detect::{Alarm, DesignCache, ProportionChart, ProportionDesign};

use super::charts::{AT, DELTA};
use super::study::{SEED, Xorshift};

const P0: f64 = 0.08;
const ARL0: f64 = 20_000.0;
const CONTROL: usize = 1_000_000;
const SEQUENCES: usize = 200;
const BEFORE: usize = 5_000;
const AFTER: usize = 25_000;
const DROPS: [(&str, f64); 2] = [("drop_2", 0.02), ("drop_5", 0.05)];

/// Writes the files.
pub(crate) fn write(folder: &Path) -> Result<(), Error> {
    fs::create_dir_all(folder)?;
    let mut random = Xorshift::new(SEED);
    let control: Vec<bool> = (0..CONTROL).map(|_| random.hit(P0)).collect();
    save(&folder.join("control"), &control)?;
    let drops = DROPS.map(|(name, drop)| {
        let rates = std::iter::repeat_n(P0, BEFORE).chain(std::iter::repeat_n(P0 + drop, AFTER));
        let labels: Vec<bool> = (0..SEQUENCES).flat_map(|_| rates.clone()).map(|p| random.hit(p)).collect();
        (name, labels)
    });
    for (name, labels) in &drops {
        save(&folder.join(name), labels)?;
    }
    let mut cache = DesignCache::new();
    let charts = [("mixture (default)", Alarm::Mixture), ("Bernoulli CUSUM", Alarm::Cusum)];
    let charts = charts.map(|(name, alarm)| {
        let design = ProportionDesign { alarm, ..ProportionDesign::fixed(P0, DELTA, ARL0) };
        let fresh = ProportionChart::new(&design, &mut cache);
        let (alarms, nanos) = in_control(&fresh, &control);
        let delays = drops.iter().map(|(name, labels)| ((*name).to_owned(), delays(&fresh, labels)));
        json!({ "name": name, "alarms": alarms, "nanos": nanos, "delays": delays.collect::<Value>() })
    });
    let about = json!({ "seed": SEED, "p0": P0, "arl0": ARL0, "before": BEFORE, "after": AFTER, "charts": charts });
    fs::write(folder.join("ours.json"), serde_json::to_string_pretty(&about)?)
}

fn save(path: &Path, labels: &[bool]) -> Result<(), Error> {
    fs::write(path, labels.iter().map(|wrong| b'0' + u8::from(*wrong)).collect::<Vec<u8>>())
}

/// False alarms, and nanoseconds per label.
fn in_control(fresh: &ProportionChart, labels: &[bool]) -> (u32, f64) {
    let (mut alarms, started) = (0, Instant::now());
    // As `river.py` does: once per promise from the start.
    for stretch in labels.chunks(ARL0 as usize) {
        let mut chart = fresh.clone();
        for wrong in stretch {
            chart.update(black_box(*wrong), AT);
            if chart.grade().is_some() {
                alarms += 1;
                chart = fresh.clone();
            }
        }
    }
    (alarms, started.elapsed().as_secs_f64() * 1e9 / labels.len() as f64)
}

/// Labels from the drop to the alarm in every sequence.
fn delays(fresh: &ProportionChart, labels: &[bool]) -> Vec<usize> {
    let delay = |labels: &[bool]| {
        let mut chart = fresh.clone();
        for (n, wrong) in (0..).zip(labels) {
            chart.update(*wrong, AT);
            if chart.grade().is_some() && n >= BEFORE {
                return n + 1 - BEFORE;
            }
            if chart.grade().is_some() {
                chart = fresh.clone();
            }
        }
        AFTER
    };
    labels.chunks(BEFORE + AFTER).map(delay).collect()
}
