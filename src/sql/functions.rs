//! The SQL functions. `docs/sql.md` has an example of each, and a test runs them.
//!
//! They give NULL where an argument is NULL or nothing was counted, and an error that names the function and the argument
//! where one cannot be. All are deterministic and touch nothing but their arguments, so they may stand in views, indexes
//! and generated columns. Intervals are the engine's own, so that SQL and alerts say the same numbers.

use rusqlite::functions::{Aggregate, Context, FunctionFlags};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Error, Result};

use super::{SketchError, bins, hdr};
use crate::engine::confidence::{ConfidenceTable, Place, edges};
use crate::engine::detect::design::interval::wilson;
use crate::engine::sketch::{Histogram, latency};
use crate::engine::units::{Counts, Estimate};

/// The level of an interval whose level is not said.
const LEVEL: f64 = 0.95;
/// The lowest and the highest level of an interval.
const LEVELS: (f64, f64) = (0.5, 0.999_999);
/// What marks a text as JSON for SQLite's own functions.
const JSON: std::ffi::c_uint = 74;

/// Why a call has no answer.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("{function}: the {nth} argument must be {expected}, not {found}")]
    Kind { function: &'static str, nth: &'static str, expected: &'static str, found: String },
    #[error("{function}: {source}")]
    Sketch { function: &'static str, source: SketchError },
    #[error("{function}: q must lie between 0 and 1, {found} does not; the 95th percentile is 0.95")]
    Quantile { function: &'static str, found: f64 },
    #[error("{function}: the level must lie between {} and {}, {found} does not; 95 % is 0.95", LEVELS.0, LEVELS.1)]
    Level { function: &'static str, found: f64 },
    #[error("{function}: {k} of {n} cannot be: k must lie between 0 and n")]
    Share { function: &'static str, k: i64, n: i64 },
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        Self::UserFunctionError(Box::new(fault))
    }
}

/// Adds the functions to a connection.
///
/// # Errors
/// What SQLite says.
pub fn add(db: &Connection) -> Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_INNOCUOUS;
    db.create_scalar_function(c"hdr_quantile", 2, flags, |call| {
        let call = Call("hdr_quantile", call);
        let (Some(sketch), Some(q)) = (call.latency()?, call.quantile()?) else { return Ok(None) };
        Ok(hdr::quantile_ms(&sketch, q))
    })?;
    db.create_scalar_function(c"hdr_count", 1, flags, |call| {
        Ok(Call("hdr_count", call).latency()?.map(|sketch| integer(sketch.n())))
    })?;
    db.create_scalar_function(c"hdr_above", 2, flags, |call| {
        let call = Call("hdr_above", call);
        let (Some(sketch), Some(ms)) = (call.latency()?, call.number(1, "second")?) else { return Ok(None) };
        let above = if ms < 0.0 { sketch.n() } else { sketch.above(latency::bin((ms * 1e6).round() as u64)) };
        Ok(Some(integer(above)))
    })?;
    db.create_scalar_function(c"conf_quantile", 2, flags, |call| {
        let call = Call("conf_quantile", call);
        let (Some(table), Some(q)) = (call.confidence()?, call.quantile()?) else { return Ok(None) };
        Ok(table.quantile(q))
    })?;
    db.create_scalar_function(c"conf_hist", 1, flags | FunctionFlags::SQLITE_RESULT_SUBTYPE, |call| {
        let table = Call("conf_hist", call).confidence()?;
        Ok((table.map(|table| histogram_json(&table)), Some(JSON)))
    })?;
    db.create_aggregate_function(c"hdr_merge", 1, flags, MergeLatency)?;
    db.create_aggregate_function(c"conf_merge", 1, flags, MergeConfidence)?;
    for arguments in [2, 3] {
        db.create_scalar_function(c"wilson_lo", arguments, flags, |call| {
            Ok(Call("wilson_lo", call).interval()?.map(|interval| interval.low))
        })?;
        db.create_scalar_function(c"wilson_hi", arguments, flags, |call| {
            Ok(Call("wilson_hi", call).interval()?.map(|interval| interval.high))
        })?;
    }
    Ok(())
}

/// A call of one of the functions.
struct Call<'c, 'v>(&'static str, &'c mut Context<'v>);

impl Call<'_, '_> {
    fn value(&self, at: usize) -> Option<ValueRef<'_>> {
        // A context panics where SQLite gave fewer arguments than were declared.
        let value = if at < self.1.len() { self.1.get_raw(at) } else { ValueRef::Null };
        (value != ValueRef::Null).then_some(value)
    }

    fn sketch<T>(&self, read: impl Fn(&[u8]) -> std::result::Result<T, SketchError>) -> Result<Option<T>> {
        let function = self.0;
        match self.value(0) {
            None => Ok(None),
            Some(ValueRef::Blob(bytes)) => match read(bytes) {
                Ok(sketch) => Ok(Some(sketch)),
                Err(source) => Err(Fault::Sketch { function, source }.into()),
            },
            Some(other) => Err(self.wrong_kind("first", "a sketch, which is a blob", other)),
        }
    }

    fn latency(&self) -> Result<Option<Histogram>> {
        self.sketch(hdr::decode)
    }

    fn confidence(&self) -> Result<Option<ConfidenceTable>> {
        self.sketch(bins::decode)
    }

    fn number(&self, at: usize, nth: &'static str) -> Result<Option<f64>> {
        match self.value(at) {
            None => Ok(None),
            Some(ValueRef::Integer(n)) => Ok(Some(n as f64)),
            Some(ValueRef::Real(x)) => Ok(Some(x)),
            Some(other) => Err(self.wrong_kind(nth, "a number", other)),
        }
    }

    fn quantile(&self) -> Result<Option<f64>> {
        let q = self.number(1, "second")?;
        match q {
            Some(found) if !(0.0..=1.0).contains(&found) => Err(Fault::Quantile { function: self.0, found }.into()),
            q => Ok(q),
        }
    }

    fn count(&self, at: usize, nth: &'static str) -> Result<Option<i64>> {
        match self.value(at) {
            None => Ok(None),
            Some(ValueRef::Integer(n)) => Ok(Some(n)),
            // What `total()` gives; doubles count exactly up to 2^53.
            Some(ValueRef::Real(x)) if x.fract() == 0.0 && x.abs() < 9e15 => Ok(Some(x as i64)),
            Some(other) => Err(self.wrong_kind(nth, "a whole number", other)),
        }
    }

    fn interval(&self) -> Result<Option<Estimate>> {
        let function = self.0;
        let (Some(k), Some(n)) = (self.count(0, "first")?, self.count(1, "second")?) else { return Ok(None) };
        let level = if self.1.len() > 2 { self.number(2, "third")? } else { Some(LEVEL) };
        let Some(level) = level else { return Ok(None) };
        if !(LEVELS.0..=LEVELS.1).contains(&level) {
            return Err(Fault::Level { function, found: level }.into());
        }
        match (u64::try_from(k), u64::try_from(n)) {
            (Ok(0), Ok(0)) => Ok(None),
            (Ok(hits), Ok(n)) if hits <= n => Ok(Some(wilson(Counts { hits, n }, level))),
            _ => Err(Fault::Share { function, k, n }.into()),
        }
    }

    fn wrong_kind(&self, nth: &'static str, expected: &'static str, found: ValueRef<'_>) -> Error {
        let found = match found {
            ValueRef::Null => "NULL".to_owned(),
            ValueRef::Integer(n) => n.to_string(),
            ValueRef::Real(x) => x.to_string(),
            ValueRef::Text(_) => "text".to_owned(),
            ValueRef::Blob(_) => "a blob".to_owned(),
        };
        Fault::Kind { function: self.0, nth, expected, found }.into()
    }
}

fn integer(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// The places of a table as a JSON array, from the lowest confidence to the highest, those handed to a person apart.
fn histogram_json(table: &ConfidenceTable) -> String {
    let object = |(place, cell): &(Place, crate::engine::confidence::Cell)| {
        let (low, high) = place.bin().map(edges).unwrap_or_default();
        format!(
            r#"{{"low":{low},"high":{high},"escalated":{},"outputs":{},"labelled":{},"right":{}}}"#,
            place.escalated(),
            cell.outputs,
            cell.labelled,
            cell.right
        )
    };
    let objects: Vec<String> = table.cells().iter().map(object).collect();
    format!("[{}]", objects.join(","))
}

/// Merges sketches of latency; its memory is that of the bins that can be, half a megabyte at most.
struct MergeLatency;

impl Aggregate<Option<Histogram>, Option<Vec<u8>>> for MergeLatency {
    fn init(&self, _: &mut Context<'_>) -> Result<Option<Histogram>> {
        Ok(None)
    }

    fn step(&self, call: &mut Context<'_>, merged: &mut Option<Histogram>) -> Result<()> {
        let Some(sketch) = Call("hdr_merge", call).latency()? else { return Ok(()) };
        match merged {
            Some(merged) => merged.merge(&sketch),
            None => *merged = Some(sketch),
        }
        Ok(())
    }

    fn finalize(&self, _: &mut Context<'_>, merged: Option<Option<Histogram>>) -> Result<Option<Vec<u8>>> {
        Ok(merged.flatten().map(|merged| hdr::encode(&merged)))
    }
}

/// Merges tables of confidence; its memory is that of 542 places at most.
struct MergeConfidence;

impl Aggregate<Option<ConfidenceTable>, Option<Vec<u8>>> for MergeConfidence {
    fn init(&self, _: &mut Context<'_>) -> Result<Option<ConfidenceTable>> {
        Ok(None)
    }

    fn step(&self, call: &mut Context<'_>, merged: &mut Option<ConfidenceTable>) -> Result<()> {
        let Some(table) = Call("conf_merge", call).confidence()? else { return Ok(()) };
        match merged {
            Some(merged) => merged.merge(&table),
            None => *merged = Some(table),
        }
        Ok(())
    }

    fn finalize(&self, _: &mut Context<'_>, merged: Option<Option<ConfidenceTable>>) -> Result<Option<Vec<u8>>> {
        Ok(merged.flatten().map(|merged| bins::encode(&merged)))
    }
}
