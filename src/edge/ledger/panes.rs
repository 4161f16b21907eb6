//! Panes as rows of the three rollups, and back bit by bit: counts, sums and percentiles in columns, histograms as sketches,
//! what no column holds in `rest`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use rusqlite::types::Value;
use rusqlite::{CachedStatement, Connection, OptionalExtension as _, Row, Transaction, params};
use serde::{Deserialize, Serialize};

use super::blob::{decode, encode};
use super::rows::json;
use crate::engine::confidence::ConfidenceTable;
use crate::engine::sketch::{Histogram, Moments, Pane};
use crate::engine::sparse::Sparse;
use crate::engine::standing::table_sums;
use crate::engine::units::{Counts, Timestamp};
use crate::engine::window::{Change, Changes, Level};
use crate::sql::{bins, hdr};

/// The table of a level.
pub(super) const fn table(level: Level) -> &'static str {
    match level {
        Level::Minute => "rollup_minute",
        Level::Hour => "rollup_hour",
        Level::Day => "rollup_day",
    }
}

/// A statement for each level.
struct Statements([String; 3]);

impl Statements {
    fn new(text: impl Fn(&str) -> String) -> Self {
        Self([Level::Minute, Level::Hour, Level::Day].map(|level| text(table(level))))
    }

    fn of(&self, level: Level) -> &str {
        let Self([minute, hour, day]) = self;
        match level {
            Level::Minute => minute,
            Level::Hour => hour,
            Level::Day => day,
        }
    }
}

static INSERT: LazyLock<Statements> = LazyLock::new(|| {
    let mut names = Vec::new();
    columns(&Pane::default(), &mut hdr::Encoder::default(), |name, _| names.push(name));
    let places: Vec<String> = (0..names.len()).map(|at| format!("?{}", at + 3)).collect();
    let updates: Vec<String> = names.iter().map(|name| format!("{name} = excluded.{name}")).collect();
    Statements::new(|table| {
        format!(
            "INSERT INTO {table} (start_ms, stream_id, {}) VALUES (?1, ?2, {})
             ON CONFLICT (start_ms, stream_id) DO UPDATE SET {}",
            names.join(", "),
            places.join(", "),
            updates.join(", ")
        )
    })
});

static SELECT: LazyLock<Statements> = LazyLock::new(|| {
    Statements::new(|table| format!("SELECT {PANE} FROM {table} WHERE start_ms = ?1 AND stream_id = ?2"))
});

/// What [`read`] needs of a row.
pub(super) const PANE: &str =
    "outputs, labelled, correct, escalation_known, escalated, override_known, overridden, status_ok,
  status_error, status_invalid_input, status_timeout, confidence_n, confidence_mean, confidence_min, confidence_max,
  latency_n, latency_mean_ms, latency_min_ms, latency_max_ms, cost_n, cost_mean_usd, cost_min_usd, cost_max_usd,
  tokens_n, tokens_mean, tokens_min, tokens_max, confidence_sketch, latency_sketch, rest";

/// What of a pane stands in no column of its own. Sums of squared distances are kept themselves: a standard deviation does not
/// give them back to the last bit.
#[derive(Default, Serialize, Deserialize)]
struct Rest {
    /// Of confidence, latency, cost and tokens.
    squares: [f64; 4],
    metrics: Sparse<BTreeMap<String, Moments>>,
    flags: Sparse<BTreeMap<String, Counts>>,
    tasks: Sparse<BTreeMap<String, Counts>>,
}

/// The columns of a pane with their values, one after the other.
fn columns(pane: &Pane, encoder: &mut hdr::Encoder, mut take: impl FnMut(&'static str, Value)) {
    let whole = |n: u64| Value::Integer(n as i64);
    let real = |x: Option<f64>| x.map_or(Value::Null, Value::Real);
    let [ok, error, invalid, timeout] = pane.status;
    let (table, [outputs, paired]) = (&pane.by_confidence, pane.by_confidence.escalated());
    let sums = table_sums(table);
    let confidence = |q| real(table.quantile(q));
    let latency = |q| real(pane.latency_quantile_ms(q));
    let [of_confidence, of_latency, of_cost, of_tokens] =
        [pane.confidence, pane.latency_ms, pane.cost_usd, pane.tokens].map(|of| {
            let seen = |x: f64| real((of.n > 0).then_some(x));
            [whole(of.n), seen(of.mean), real(of.sd()), seen(of.min), seen(of.max)]
        });
    let rest = Rest {
        squares: [pane.confidence.m2, pane.latency_ms.m2, pane.cost_usd.m2, pane.tokens.m2],
        metrics: pane.metrics.clone(),
        flags: pane.flags.clone(),
        tasks: pane.tasks.clone(),
    };
    let single = [
        ("outputs", whole(pane.outputs)),
        ("labelled", whole(pane.correct.n)),
        ("correct", whole(pane.correct.hits)),
        ("escalation_known", whole(pane.escalated.n)),
        ("escalated", whole(pane.escalated.hits)),
        ("override_known", whole(pane.overridden.n)),
        ("overridden", whole(pane.overridden.hits)),
        ("status_ok", whole(ok)),
        ("status_error", whole(error)),
        ("status_invalid_input", whole(invalid)),
        ("status_timeout", whole(timeout)),
        ("confidence_p10", confidence(0.10)),
        ("confidence_p50", confidence(0.50)),
        ("confidence_p90", confidence(0.90)),
        ("confidence_p95", confidence(0.95)),
        ("confidence_p99", confidence(0.99)),
        ("confidence_sum", Value::Real(sums.c + sums.free_c)),
        ("confidence_squares", Value::Real(sums.cc + sums.free_cc)),
        ("confidence_escalated", whole(outputs.hits)),
        ("paired_n", whole(sums.labelled)),
        ("paired_right", whole(sums.right)),
        ("paired_sum", Value::Real(sums.c)),
        ("paired_squares", Value::Real(sums.cc)),
        ("paired_right_sum", Value::Real(sums.cy)),
        ("paired_escalated", whole(paired.hits)),
        ("latency_p50_ms", latency(0.50)),
        ("latency_p90_ms", latency(0.90)),
        ("latency_p95_ms", latency(0.95)),
        ("latency_p99_ms", latency(0.99)),
        ("metrics", shown(&pane.metrics, metric)),
        ("flags", shown(&pane.flags, flag)),
        ("confidence_sketch", sketch(table.is_empty(), || bins::encode(table))),
        ("latency_sketch", sketch(pane.latency_bins.n() == 0, || encoder.encode(&pane.latency_bins))),
        ("rest", Value::Blob(encode(&rest))),
    ];
    for (name, value) in single {
        take(name, value);
    }
    let names = ["confidence_n", "confidence_mean", "confidence_sd", "confidence_min", "confidence_max"];
    names.into_iter().zip(of_confidence).for_each(|(name, value)| take(name, value));
    let names = ["latency_n", "latency_mean_ms", "latency_sd_ms", "latency_min_ms", "latency_max_ms"];
    names.into_iter().zip(of_latency).for_each(|(name, value)| take(name, value));
    let names = ["cost_n", "cost_mean_usd", "cost_sd_usd", "cost_min_usd", "cost_max_usd"];
    names.into_iter().zip(of_cost).for_each(|(name, value)| take(name, value));
    let names = ["tokens_n", "tokens_mean", "tokens_sd", "tokens_min", "tokens_max"];
    names.into_iter().zip(of_tokens).for_each(|(name, value)| take(name, value));
}

fn sketch(is_empty: bool, bytes: impl FnOnce() -> Vec<u8>) -> Value {
    if is_empty { Value::Null } else { Value::Blob(bytes()) }
}

/// A map as a JSON object; nothing where it is empty.
fn shown<T>(map: &BTreeMap<String, T>, show: impl Fn(&T) -> serde_json::Value) -> Value {
    if map.is_empty() {
        return Value::Null;
    }
    let object: BTreeMap<&str, serde_json::Value> =
        map.iter().map(|(name, value)| (name.as_str(), show(value))).collect();
    Value::Text(json(&object))
}

fn metric(of: &Moments) -> serde_json::Value {
    serde_json::json!({ "n": of.n, "mean": of.mean, "sd": of.sd(), "min": of.min, "max": of.max })
}

fn flag(of: &Counts) -> serde_json::Value {
    serde_json::json!({ "n": of.n, "hits": of.hits })
}

/// A pane from the columns [`PANE`], the first of which is the row's first.
pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Pane> {
    let count = |at: usize| row.get::<_, i64>(at).map(|n| n.max(0) as u64);
    let counts =
        |all: usize, hits: usize| -> rusqlite::Result<Counts> { Ok(Counts { n: count(all)?, hits: count(hits)? }) };
    let rest: Rest = blob(row, 29)?.as_deref().map_or(Ok(Rest::default()), |bytes| decode(bytes).map_err(broken))?;
    let [of_confidence, of_latency, of_cost, of_tokens] = rest.squares;
    let moments = |at: usize, m2: f64| -> rusqlite::Result<Moments> {
        let real = |at: usize| row.get::<_, Option<f64>>(at).map(Option::unwrap_or_default);
        Ok(Moments { n: count(at)?, mean: real(at + 1)?, m2, min: real(at + 2)?, max: real(at + 3)? })
    };
    let table = blob(row, 27)?.map_or(Ok(ConfidenceTable::default()), |bytes| bins::decode(&bytes).map_err(broken))?;
    let latency = blob(row, 28)?.map_or(Ok(Histogram::default()), |bytes| hdr::decode(&bytes).map_err(broken))?;
    Ok(Pane {
        outputs: count(0)?,
        correct: counts(1, 2)?,
        escalated: counts(3, 4)?,
        overridden: counts(5, 6)?,
        status: [count(7)?, count(8)?, count(9)?, count(10)?],
        confidence: moments(11, of_confidence)?,
        by_confidence: table,
        latency_ms: moments(15, of_latency)?,
        latency_bins: latency,
        cost_usd: moments(19, of_cost)?,
        tokens: moments(23, of_tokens)?,
        metrics: rest.metrics,
        flags: rest.flags,
        tasks: rest.tasks,
    })
}

fn blob(row: &Row<'_>, at: usize) -> rusqlite::Result<Option<Vec<u8>>> {
    row.get(at)
}

fn broken(error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Blob, Box::new(error))
}

/// Whether reading a pane failed on what it holds, and not on the file.
pub(super) const fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(error, rusqlite::Error::FromSqlConversionFailure(..) | rusqlite::Error::InvalidColumnType(..))
}

/// The pane of a stream that begins then, where there is one.
pub(super) fn find(db: &Connection, level: Level, start: Timestamp, stream: i64) -> rusqlite::Result<Option<Pane>> {
    db.prepare_cached(SELECT.of(level))?.query_row(params![start.as_millis(), stream], read).optional()
}

/// Writes panes of one transaction, many at a time in the order of their keys: rows that come in order fill the pages of a file
/// one after the other. Keeps its statements.
pub(super) struct PaneWriter<'t> {
    db: &'t Connection,
    encoder: &'t mut hdr::Encoder,
    inserts: [Option<CachedStatement<'t>>; 3],
    /// Panes that could not be read, so that nothing was added to them.
    pub(super) damaged: u64,
}

impl<'t> PaneWriter<'t> {
    pub(super) fn new(transaction: &'t Transaction<'_>, encoder: &'t mut hdr::Encoder) -> Self {
        Self { db: transaction, encoder, inserts: [None, None, None], damaged: 0 }
    }

    /// Writes what changed of windows: the panes that replace their rows, and then what is added to rows.
    pub(super) fn write_all<'c>(
        &mut self,
        changes: impl Iterator<Item = (i64, &'c Changes)> + Clone,
    ) -> rusqlite::Result<()> {
        let each = |(stream, list): (i64, &'c [Change])| list.iter().map(move |change| (stream, change));
        let mut whole: Vec<_> = changes.clone().flat_map(|(stream, of)| each((stream, &of.whole))).collect();
        // Changes of one row keep their order.
        whole.sort_by_key(|(stream, change)| (change.level, change.start, *stream));
        whole.into_iter().try_for_each(|(stream, change)| self.write(stream, change))?;
        let mut late = changes.flat_map(|(stream, of)| each((stream, &of.late)));
        late.try_for_each(|(stream, change)| self.add(stream, change))
    }

    /// Writes a pane in place of its row.
    pub(super) fn write(&mut self, stream: i64, change: &Change) -> rusqlite::Result<()> {
        let [minute, hour, day] = &mut self.inserts;
        let place = match change.level {
            Level::Minute => minute,
            Level::Hour => hour,
            Level::Day => day,
        };
        let insert = match place {
            Some(known) => known,
            None => place.insert(self.db.prepare_cached(INSERT.of(change.level))?),
        };
        insert.raw_bind_parameter(1, change.start.as_millis())?;
        insert.raw_bind_parameter(2, stream)?;
        let (mut at, mut bound) = (2, Ok(()));
        columns(&change.pane, self.encoder, |_, value| {
            at += 1;
            if bound.is_ok() {
                bound = insert.raw_bind_parameter(at, value);
            }
        });
        bound?;
        insert.raw_execute().map(drop)
    }

    /// Adds to the row of a pane that is not in memory. One that cannot be read stays as it is: what it counted is not written
    /// over, and what comes late for it is left out.
    pub(super) fn add(&mut self, stream: i64, change: &Change) -> rusqlite::Result<()> {
        match find(self.db, change.level, change.start, stream) {
            Ok(Some(mut pane)) => {
                pane.merge(&change.pane);
                self.write(stream, &Change { pane, ..*change })
            }
            Ok(None) => self.write(stream, change),
            Err(error) if is_damage(&error) => {
                tracing::error!(stream, start = %change.start, %error, "a pane cannot be read; what came late for it is left out");
                self.damaged += 1;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Identity, Ledger};
    use super::*;
    use crate::engine::confidence::Place;
    use crate::engine::sketch::latency;
    use crate::engine::units::Span;

    fn pane(of: u64) -> Pane {
        let mut pane = Pane::default();
        for n in 0..of {
            let x = (n as f64 + 0.3) / (of as f64 + 1.0);
            pane.outputs += 1;
            pane.confidence.add(x);
            pane.by_confidence.output(Place::of(Some(x), Some(n % 3 == 0)));
            pane.label((Some(n % 4 > 0), Some(n % 5 == 0)), Place::of(Some(x), Some(n % 3 == 0)), Some("t"));
            pane.latency_ms.add(x * 100.0);
            pane.latency_bins.add(latency::bin((x * 1e8) as u64), 1);
            pane.cost_usd.add(x / 7.0);
            pane.tokens.add(n as f64 * 3.0);
            pane.escalated.add(n % 3 == 0);
            pane.metrics.entry("recall \"at\" 5".to_owned()).or_default().add(x.sqrt());
            pane.flags.entry("grounded".to_owned()).or_default().add(n % 2 == 0);
            pane.status[(n % 4) as usize] += 1;
        }
        pane
    }

    #[test]
    fn panes_come_back_bit_by_bit_and_are_added_to() {
        let folder = tempfile::tempdir().unwrap();
        let identity = Identity { topic: "t".to_owned(), group_by: "agent".to_owned() };
        let mut ledger = Ledger::open(folder.path(), &identity).unwrap();
        let start = Timestamp::from_millis(1_790_863_500_000).floor(Span::DAY);
        let transaction = ledger.db.transaction().unwrap();
        let mut encoder = hdr::Encoder::default();
        let mut panes = PaneWriter::new(&transaction, &mut encoder);
        for level in [Level::Minute, Level::Hour, Level::Day] {
            for (stream, of) in [0, 1, 2, 1_000].into_iter().enumerate() {
                let (stream, change) = (stream as i64, Change { level, start, pane: pane(of) });
                assert_eq!(find(&transaction, level, start, stream).unwrap(), None);
                panes.add(stream, &change).unwrap();
                assert_eq!(find(&transaction, level, start, stream).unwrap().as_ref(), Some(&change.pane));
                panes.add(stream, &change).unwrap();
                let mut both = change.pane.clone();
                both.merge(&change.pane);
                assert_eq!(find(&transaction, level, start, stream).unwrap(), Some(both));
            }
        }
    }

    #[test]
    fn what_comes_late_for_a_damaged_pane_is_told_and_the_pane_is_not_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let identity = Identity { topic: "t".to_owned(), group_by: "agent".to_owned() };
        let mut ledger = Ledger::open(folder.path(), &identity).unwrap();
        let change = Change { level: Level::Hour, start: Timestamp::from_millis(0), pane: pane(10) };
        let transaction = ledger.db.transaction().unwrap();
        let mut encoder = hdr::Encoder::default();
        let mut panes = PaneWriter::new(&transaction, &mut encoder);
        panes.write(1, &change).unwrap();
        for column in ["latency_sketch", "confidence_sketch", "rest"] {
            transaction.execute(&format!("UPDATE rollup_hour SET {column} = x'01ff'"), []).unwrap();
            let row = "SELECT hex(latency_sketch) || hex(confidence_sketch) || hex(rest) FROM rollup_hour";
            let bytes = |db: &Connection| db.query_row(row, [], |row| row.get::<_, String>(0)).unwrap();
            let before = bytes(&transaction);
            panes.damaged = 0;
            panes.add(1, &change).unwrap();
            assert_eq!((panes.damaged, bytes(&transaction)), (1, before), "{column}");
            panes.write(1, &change).unwrap();
        }
    }
}
