//! Simulated records into files: one JSON object a line, plain or compressed.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use flate2::write::GzEncoder;
use serde::Serialize;

use super::generator::{Generator, Kind};
use super::scenario::{Planted, Scenario};
use crate::engine::units::Timestamp;

/// What was written.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Summary {
    /// All records.
    pub events: u64,
    /// Outputs among them.
    pub outputs: u64,
    /// Verdicts among them.
    pub feedback: u64,
    /// Malformed records among them.
    pub malformed: u64,
    /// Bytes before compression, newlines included.
    pub bytes: u64,
    /// Event time of the first record.
    #[serde(skip)]
    pub first: Option<Timestamp>,
    /// Event time of the last record.
    #[serde(skip)]
    pub last: Option<Timestamp>,
    /// The planted changes of the scenario that had begun by the last record.
    pub truth: Vec<Planted>,
}

/// Writes the first `events` records of a scenario, or all of one that has a length.
pub fn write_jsonl(scenario: &Scenario, seed: u64, events: Option<u64>, out: &mut impl Write) -> io::Result<Summary> {
    if events.is_none() && scenario.length.is_none() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "the scenario has no `length` and would never end; say how many events to write",
        ));
    }
    let mut summary = Summary::default();
    let mut generator = Generator::new(scenario, seed);
    let wanted = usize::try_from(events.unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
    for event in generator.by_ref().take(wanted) {
        out.write_all(event.json.as_bytes())?;
        out.write_all(b"\n")?;
        summary.events += 1;
        summary.bytes += event.json.len() as u64 + 1;
        match event.kind {
            Kind::Output => summary.outputs += 1,
            Kind::Feedback => summary.feedback += 1,
            Kind::Malformed => summary.malformed += 1,
        }
        summary.first = summary.first.or(Some(event.ts));
        summary.last = Some(event.ts);
    }
    summary.truth = generator.truth().iter().filter(|one| Some(one.from) <= summary.last).cloned().collect();
    Ok(summary)
}

/// Writes to a file; its name says how: `.gz` and `.zst` compress, anything else is plain.
pub fn write_file(scenario: &Scenario, seed: u64, events: Option<u64>, path: &Path) -> io::Result<Summary> {
    let mut file = BufWriter::new(File::create(path)?);
    let summary = match path.extension().and_then(|ending| ending.to_str()) {
        Some("gz") => {
            let mut encoder = GzEncoder::new(file, flate2::Compression::default());
            let summary = write_jsonl(scenario, seed, events, &mut encoder)?;
            file = encoder.finish()?;
            summary
        }
        Some("zst") => {
            let mut encoder = zstd::Encoder::new(file, zstd::DEFAULT_COMPRESSION_LEVEL)?;
            let summary = write_jsonl(scenario, seed, events, &mut encoder)?;
            file = encoder.finish()?;
            summary
        }
        _ => write_jsonl(scenario, seed, events, &mut file)?,
    };
    file.flush()?;
    Ok(summary)
}
