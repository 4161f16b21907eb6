//! The SQL functions. `docs/sql.md` has an example of each, and a test runs them.
//!
//! They give NULL where an argument is NULL or nothing was counted, and an error that names the function and the argument
//! where one cannot be. All are deterministic and touch nothing but their arguments, so they may stand in views, indexes
//! and generated columns. Intervals are the engine's own, so that SQL and alerts say the same numbers.

use std::marker::PhantomData;
use std::panic::{RefUnwindSafe, UnwindSafe};

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
    db.create_aggregate_function(c"hdr_merge", 1, flags, Merge::<Histogram>(PhantomData))?;
    db.create_aggregate_function(c"conf_merge", 1, flags, Merge::<ConfidenceTable>(PhantomData))?;
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

/// A sketch that others of its kind can be merged into.
trait Sketch: Sized + UnwindSafe + RefUnwindSafe {
    /// The name of the aggregate that does it.
    const MERGE: &'static str;
    fn take(call: &Call<'_, '_>) -> Result<Option<Self>>;
    fn add(&mut self, other: &Self);
    fn bytes(&self) -> Vec<u8>;
}

/// Its memory is that of the bins that can be, half a megabyte at most.
impl Sketch for Histogram {
    const MERGE: &'static str = "hdr_merge";

    fn take(call: &Call<'_, '_>) -> Result<Option<Self>> {
        call.latency()
    }

    fn add(&mut self, other: &Self) {
        self.merge(other);
    }

    fn bytes(&self) -> Vec<u8> {
        hdr::encode(self)
    }
}

/// Its memory is that of 542 places at most.
impl Sketch for ConfidenceTable {
    const MERGE: &'static str = "conf_merge";

    fn take(call: &Call<'_, '_>) -> Result<Option<Self>> {
        call.confidence()
    }

    fn add(&mut self, other: &Self) {
        self.merge(other);
    }

    fn bytes(&self) -> Vec<u8> {
        bins::encode(self)
    }
}

/// Merges sketches of a kind; nothing comes of none.
struct Merge<S>(PhantomData<fn() -> S>);

impl<S: Sketch> Aggregate<Option<S>, Option<Vec<u8>>> for Merge<S> {
    fn init(&self, _: &mut Context<'_>) -> Result<Option<S>> {
        Ok(None)
    }

    fn step(&self, call: &mut Context<'_>, merged: &mut Option<S>) -> Result<()> {
        let Some(sketch) = S::take(&Call(S::MERGE, call))? else { return Ok(()) };
        match merged {
            Some(merged) => merged.add(&sketch),
            None => *merged = Some(sketch),
        }
        Ok(())
    }

    fn finalize(&self, _: &mut Context<'_>, merged: Option<Option<S>>) -> Result<Option<Vec<u8>>> {
        Ok(merged.flatten().as_ref().map(S::bytes))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rusqlite::types::{FromSql, Value};
    use rusqlite::{ToSql, params};

    use super::*;
    use crate::engine::confidence::Cell;

    fn db() -> Connection {
        let db = Connection::open_in_memory().unwrap();
        add(&db).unwrap();
        db
    }

    fn ask<T: FromSql>(sql: &str, params: &[&dyn ToSql]) -> std::result::Result<T, String> {
        db().query_row(sql, params, |row| row.get(0)).map_err(|error| error.to_string())
    }

    fn latencies(ms: &[f64]) -> Histogram {
        let mut histogram = Histogram::default();
        for ms in ms {
            histogram.add(latency::bin((ms * 1e6) as u64), 1);
        }
        histogram
    }

    fn confidences(cells: &[(u16, bool, [u32; 3])]) -> ConfidenceTable {
        let mut table = ConfidenceTable::default();
        for (bin, escalated, [outputs, labelled, right]) in cells {
            table.add(Place::at(*bin, *escalated), Cell { outputs: *outputs, labelled: *labelled, right: *right });
        }
        table
    }

    #[test]
    fn latency_is_the_engines() {
        let histogram = latencies(&(1..=1_000).map(f64::from).collect::<Vec<_>>());
        let sketch = hdr::encode(&histogram);
        for q in [0.0, 0.001, 0.5, 0.95, 0.999, 1.0] {
            let found: f64 = ask("SELECT hdr_quantile(?1, ?2)", params![sketch, q]).unwrap();
            assert_eq!(Some(found), histogram.quantile_bin(q).map(latency::middle_ms), "{q}");
            assert!((found / (q * 1_000.0).max(1.0) - 1.0).abs() <= 1.0 / 2_000.0, "{q}: {found}");
        }
        for (ms, expected) in
            [(-1.0, 1_000), (0.0, 1_000), (0.5, 1_000), (500.2, 500), (1_000.2, 0), (f64::MAX, 0), (f64::INFINITY, 0)]
        {
            assert_eq!(ask("SELECT hdr_above(?1, ?2)", params![sketch, ms]), Ok(expected), "{ms}");
        }
        assert_eq!(ask("SELECT hdr_above(?1, 2000)", params![sketch]), Ok(0));
        assert_eq!(ask("SELECT hdr_count(?1)", params![sketch]), Ok(1_000));
    }

    #[test]
    fn merging_is_the_engines_whatever_the_order() {
        let (a, b) = (latencies(&[1.0, 2.0, 900.0]), latencies(&[2.0, 5_000.0]));
        let mut both = a.clone();
        both.merge(&b);
        let (a, b) = (hdr::encode(&a), hdr::encode(&b));
        for (x, y) in [(&a, &b), (&b, &a)] {
            let merged = ask("SELECT hdr_merge(column1) FROM (VALUES (?1), (NULL), (?2))", params![x, y]);
            assert_eq!(merged, Ok(hdr::encode(&both)));
        }
        let (c, d) =
            (confidences(&[(3, true, [9, 4, 2]), (270, false, [5, 5, 5])]), confidences(&[(3, true, [1, 1, 0])]));
        let mut table = c.clone();
        table.merge(&d);
        let merged = ask(
            "SELECT conf_merge(column1) FROM (VALUES (?1), (NULL), (?2))",
            params![bins::encode(&c), bins::encode(&d)],
        );
        assert_eq!(merged, Ok(bins::encode(&table)));
        for none in [
            "SELECT hdr_merge(NULL)",
            "SELECT conf_merge(NULL)",
            "SELECT hdr_merge(1) WHERE 0",
            "SELECT conf_merge(1) WHERE 0",
        ] {
            assert_eq!(ask(none, &[]), Ok(Value::Null), "{none}");
        }
        // Empty ones are something.
        let empty = hdr::encode(&Histogram::default());
        assert_eq!(ask("SELECT hdr_count(hdr_merge(?1))", params![empty]), Ok(0));
        assert_eq!(ask("SELECT hdr_quantile(?1, 0.5)", params![empty]), Ok(Value::Null));
    }

    #[test]
    fn confidence_is_json_that_adds_up() {
        let table = confidences(&[(90, false, [10, 4, 3]), (90, true, [2, 1, 0]), (270, false, [8, 8, 8])]);
        let sketch = bins::encode(&table);
        let text: String = ask("SELECT conf_hist(?1)", params![sketch]).unwrap();
        assert_eq!(
            text,
            r#"[{"low":0.9,"high":0.901,"escalated":false,"outputs":10,"labelled":4,"right":3},{"low":0.9,"high":0.901,"escalated":true,"outputs":2,"labelled":1,"right":0},{"low":0.999,"high":1,"escalated":false,"outputs":8,"labelled":8,"right":8}]"#
        );
        let sum = "SELECT sum(json_extract(b.value, '$.outputs')) FROM json_each(conf_hist(?1)) b";
        assert_eq!(ask(sum, params![sketch]), Ok(20));
        // It is JSON for SQLite, not text in JSON.
        let kind = "SELECT json_type(json_object('h', conf_hist(?1)), '$.h')";
        assert_eq!(ask(kind, params![sketch]), Ok("array".to_owned()));
        for (q, expected) in [(0.0, 0.9005), (0.6, 0.9005), (0.61, 0.9995), (1.0, 0.9995)] {
            let found: f64 = ask("SELECT conf_quantile(?1, ?2)", params![sketch, q]).unwrap();
            assert!((found - expected).abs() < 1e-12, "{q}: {found}");
        }
        let empty = bins::encode(&ConfidenceTable::default());
        assert_eq!(ask("SELECT conf_hist(?1)", params![empty]), Ok("[]".to_owned()));
        assert_eq!(ask("SELECT conf_quantile(?1, 0.5)", params![empty]), Ok(Value::Null));
    }

    #[test]
    fn intervals_are_the_engines() {
        for (k, n) in [(0, 50), (46, 50), (50, 50), (1, 1), (900_000, 1_000_000), (0, i64::MAX), (i64::MAX, i64::MAX)] {
            let expected = wilson(Counts { hits: k as u64, n: n as u64 }, 0.95);
            assert_eq!(ask("SELECT wilson_lo(?1, ?2)", params![k, n]), Ok(expected.low), "{k} of {n}");
            assert_eq!(ask("SELECT wilson_hi(?1, ?2)", params![k, n]), Ok(expected.high), "{k} of {n}");
            let wide = wilson(Counts { hits: k as u64, n: n as u64 }, 0.99);
            assert_eq!(ask("SELECT wilson_hi(?1, ?2, 0.99)", params![k, n]), Ok(wide.high), "{k} of {n}");
        }
        assert_eq!(ask("SELECT wilson_lo(46.0, 50.0) = wilson_lo(46, 50)", &[]), Ok(1));
        for none in [
            "wilson_lo(0, 0)",
            "wilson_hi(NULL, 5)",
            "wilson_hi(5, NULL)",
            "wilson_lo(1, 5, NULL)",
            "wilson_lo(0, 0, 0.9)",
        ] {
            assert_eq!(ask(&format!("SELECT {none}"), &[]), Ok(Value::Null), "{none}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_said() {
        let sketch = hdr::encode(&latencies(&[1.0]));
        for (call, expected) in [
            ("hdr_quantile(?1, 95)", "hdr_quantile: q must lie between 0 and 1, 95 does not"),
            ("hdr_quantile(?1, -1e-9)", "hdr_quantile: q must lie between 0 and 1"),
            ("hdr_quantile(?1, 9e999)", "hdr_quantile: q must lie between 0 and 1, inf does not"),
            ("hdr_quantile(?1, '0.5')", "hdr_quantile: the second argument must be a number, not text"),
            (
                "hdr_quantile('abc', 0.5)",
                "hdr_quantile: the first argument must be a sketch, which is a blob, not text",
            ),
            ("hdr_quantile(x'', 0.5)", "hdr_quantile: this is no HdrHistogram"),
            ("hdr_count(zeroblob(1000000))", "hdr_count: this is no HdrHistogram"),
            ("hdr_count(substr(?1, 1, 30))", "hdr_count: the sketch ends too early"),
            ("hdr_above(?1, x'00')", "hdr_above: the second argument must be a number, not a blob"),
            ("hdr_merge(7)", "hdr_merge: the first argument must be a sketch, which is a blob, not 7"),
            ("hdr_merge(x'01')", "hdr_merge: this is no HdrHistogram"),
            ("conf_merge(?1)", "conf_merge: this is no table of confidence"),
            ("conf_quantile(?1, 0.5)", "conf_quantile: this is no table of confidence"),
            ("conf_hist(x'0102')", "conf_hist: the sketch ends too early"),
            ("wilson_lo(5, 3)", "wilson_lo: 5 of 3 cannot be"),
            ("wilson_hi(-1, 3)", "wilson_hi: -1 of 3 cannot be"),
            ("wilson_hi(0, -3)", "wilson_hi: 0 of -3 cannot be"),
            ("wilson_lo(5.5, 7)", "wilson_lo: the first argument must be a whole number, not 5.5"),
            ("wilson_lo(1, 9e999)", "wilson_lo: the second argument must be a whole number, not inf"),
            ("wilson_lo(1, 2, 95)", "wilson_lo: the level must lie between 0.5 and 0.999999, 95 does not"),
            ("wilson_lo(1, 2, '0.9')", "wilson_lo: the third argument must be a number, not text"),
        ] {
            let sql = if call.contains("?1") { format!("SELECT {call}") } else { format!("SELECT {call}, ?1") };
            let error = ask::<Value>(&sql, params![sketch]).unwrap_err();
            assert!(error.starts_with(expected), "{call}: {error}");
        }
        assert_eq!(
            ask("SELECT hdr_quantile(NULL, 95)", &[]).map(|value: Value| value),
            Err("hdr_quantile: q must lie between 0 and 1, 95 does not; the 95th percentile is 0.95".to_owned())
        );
        // What is no number is NULL for SQLite.
        assert_eq!(ask("SELECT hdr_quantile(?1, ?2)", params![sketch, f64::NAN]), Ok(Value::Null));
    }

    #[test]
    fn they_may_stand_where_the_schema_is_not_trusted() {
        let db = db();
        db.execute_batch(
            "PRAGMA trusted_schema = OFF; CREATE TABLE t (k INTEGER, n INTEGER, sketch BLOB, lo REAL AS (wilson_lo(k, n)));
             CREATE INDEX by_p95 ON t (hdr_quantile(sketch, 0.95));
             CREATE VIEW v AS SELECT lo, hdr_count(sketch) AS seen FROM t;",
        )
        .unwrap();
        db.execute("INSERT INTO t (k, n, sketch) VALUES (46, 50, ?1)", [hdr::encode(&latencies(&[3.0]))]).unwrap();
        let found: (f64, i64) =
            db.query_row("SELECT lo, seen FROM v", [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        assert_eq!(found, (wilson(Counts { hits: 46, n: 50 }, 0.95).low, 1));
    }

    proptest! {
        #[test]
        fn whatever_the_arguments_are_nothing_panics(
            blob in proptest::collection::vec(any::<u8>(), 0..120), begin in 0..3_usize, x in any::<f64>(), k in any::<i64>(), n in any::<i64>(),
        ) {
            let begin = [&[][..], &[0x1c, 0x84, 0x93, 0x14], &[1]][begin];
            let blob = [begin, &blob].concat();
            let db = db();
            for sql in [
                "hdr_quantile(?1, ?2)", "hdr_count(?1)", "hdr_above(?1, ?2)", "hdr_merge(?1)", "conf_quantile(?1, ?2)", "conf_hist(?1)",
                "conf_merge(?1)", "wilson_lo(?3, ?4, ?2)", "wilson_hi(?3, ?4)", "wilson_lo(?2, ?3)",
            ] {
                let sql = format!("SELECT {sql}, ?1, ?2, ?3, ?4");
                let answer: Result<Value> = db.query_row(&sql, params![blob, x, k, n], |row| row.get(0));
                if let Err(error) = answer {
                    let said = error.to_string();
                    prop_assert!(["hdr_", "conf_", "wilson_"].iter().any(|head| said.starts_with(head)), "{}: {}", sql, said);
                }
            }
        }
    }
}
