//! Bytes as sketches, and as arguments of the SQL functions that read them, alone and among those of real rows. As latency
//! sketches they come twice: as they are, and as the counts in a frame that is right, which no mutation would find.
#![no_main]

use std::io::Write as _;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use libfuzzer_sys::fuzz_target;
use rusqlite::Connection;
use rusqlite::types::Value;
use shewhart::sql::{bins, functions, hdr};

/// Sketches of a database's rows. Before each stand the 24 bytes of an input's numbers.
const ROWS: [(&[u8], &[u8]); 3] = [
    (include_bytes!("../seeds/sketches/minute.latency"), include_bytes!("../seeds/sketches/minute.confidence")),
    (include_bytes!("../seeds/sketches/hour.latency"), include_bytes!("../seeds/sketches/hour.confidence")),
    (include_bytes!("../seeds/sketches/day.latency"), include_bytes!("../seeds/sketches/day.confidence")),
];
const NUMBERS: usize = 24;

const CALLS: [&str; 15] = [
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
    "(SELECT hdr_quantile(hdr_merge(s), ?2) FROM (SELECT latency AS s FROM rows UNION ALL SELECT ?1))",
    "(SELECT hdr_above(hdr_merge(s), ?2) FROM (SELECT ?1 AS s UNION ALL SELECT latency FROM rows))",
    "(SELECT conf_quantile(conf_merge(s), ?2) FROM (SELECT confidence AS s FROM rows UNION ALL SELECT ?1))",
    "(SELECT conf_hist(conf_merge(s)) FROM (SELECT ?1 AS s UNION ALL SELECT confidence FROM rows))",
    "(SELECT wilson_hi(hdr_above(latency, ?2), hdr_count(latency), ?4) FROM rows)",
];

thread_local! {
    static DB: Connection = {
        let db = Connection::open_in_memory().expect("a database in memory");
        functions::add(&db).expect("the functions");
        db.execute("CREATE TABLE rows (latency BLOB, confidence BLOB)", []).expect("a table");
        for row in ROWS {
            let row = (row.0.get(NUMBERS..), row.1.get(NUMBERS..));
            db.execute("INSERT INTO rows VALUES (?1, ?2)", row).expect("a row");
        }
        db
    };
}

/// A latency sketch whose counts are these bytes.
fn framed(counts: &[u8]) -> Vec<u8> {
    let length = u32::try_from(counts.len()).expect("inputs are short").to_be_bytes();
    let head = [&0x1c84_9313_u32.to_be_bytes()[..], &length, &[0, 0, 0, 0, 0, 0, 0, 3], &1_u64.to_be_bytes()];
    let tail = [&86_400_000_000_000_u64.to_be_bytes()[..], &1.0_f64.to_be_bytes(), counts];
    let mut packed = ZlibEncoder::new(Vec::new(), Compression::none());
    packed.write_all(&head.concat()).and_then(|()| packed.write_all(&tail.concat())).expect("memory takes all");
    let packed = packed.finish().expect("memory takes all");
    let length = u32::try_from(packed.len()).expect("inputs are short").to_be_bytes();
    [&0x1c84_9314_u32.to_be_bytes()[..], &length, &packed].concat()
}

fn check(bytes: &[u8], real: f64, whole: i64, level: f64) {
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
}

fuzz_target!(|input: (f64, i64, f64, &[u8])| {
    let (real, whole, level, bytes) = input;
    for bytes in [bytes, &framed(bytes)] {
        check(bytes, real, whole, level);
    }
});
