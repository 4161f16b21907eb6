//! Bytes as sketches, and as arguments of the SQL functions that read them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rusqlite::Connection;
use rusqlite::types::Value;
use shewhart::sql::{bins, functions, hdr};

const CALLS: [&str; 10] = [
    "hdr_quantile(?1, ?2)",
    "hdr_count(?1)",
    "hdr_above(?1, ?2)",
    "conf_quantile(?1, ?2)",
    "conf_hist(?1)",
    "hdr_merge(?1)",
    "conf_merge(?1)",
    "wilson_lo(?3, ?2)",
    "wilson_hi(?3, ?2, ?4)",
    "wilson_lo(?2, ?3, ?4)",
];

thread_local! {
    static DB: Connection = {
        let db = Connection::open_in_memory().expect("a database in memory");
        functions::add(&db).expect("the functions");
        db
    };
}

fuzz_target!(|input: (&[u8], f64, i64, f64)| {
    let (bytes, real, whole, level) = input;
    if let Ok(histogram) = hdr::decode(bytes) {
        assert_eq!(hdr::decode(&hdr::encode(&histogram)).as_ref(), Ok(&histogram));
    }
    if let Ok(table) = bins::decode(bytes) {
        assert_eq!(bins::decode(&bins::encode(&table)).as_ref(), Ok(&table));
    }
    DB.with(|db| {
        for call in CALLS {
            let mut select = db.prepare_cached(&format!("SELECT {call}")).expect("the function is there");
            let arguments = [Value::Blob(bytes.to_vec()), Value::Real(real), Value::Integer(whole), Value::Real(level)];
            for (at, argument) in arguments.iter().take(select.parameter_count()).enumerate() {
                select.raw_bind_parameter(at + 1, argument).expect("it is declared");
            }
            let mut rows = select.raw_query();
            // A refusal is as good as a value.
            while let Ok(Some(row)) = rows.next() {
                if let Ok(Value::Real(number)) = row.get::<_, Value>(0) {
                    assert!(number.is_finite(), "{call}: {number}");
                }
            }
        }
    });
});
