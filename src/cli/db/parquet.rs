//! Rows as an Apache Parquet file: every column nullable, row groups of bounded size, compressed by zstd.

use std::fs::File;
use std::sync::Arc;

use parquet::basic::{Compression, LogicalType, Repetition, Type as Physical, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::errors::{ParquetError, Result};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::Type;
use rusqlite::types::ValueRef;

use super::cells::shown;

/// A row group is written when it has so many rows, or holds so many bytes of text: that much is kept in memory.
const ROWS: usize = 65_536;
const BYTES: usize = 32 << 20;

/// What a column holds besides nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nothing, as far as is known; written as text.
    Unknown,
    /// Whole numbers, 64 bits.
    Integer,
    /// Doubles; whole numbers among them become doubles.
    Real,
    /// UTF-8; numbers among it are written out.
    Text,
    /// Bytes; text among them is its own bytes.
    Bytes,
}

impl Kind {
    /// What a column of a table was declared as.
    pub(super) fn declared(name: Option<&str>) -> Self {
        match name.map(str::to_ascii_uppercase).as_deref() {
            Some("INTEGER" | "INT") => Self::Integer,
            Some("REAL") => Self::Real,
            Some("TEXT") => Self::Text,
            Some("BLOB") => Self::Bytes,
            _ => Self::Unknown,
        }
    }

    /// What holds this value too.
    pub(super) const fn with(self, value: ValueRef<'_>) -> Self {
        let other = match value {
            ValueRef::Null => return self,
            ValueRef::Integer(_) => Self::Integer,
            ValueRef::Real(_) => Self::Real,
            ValueRef::Text(_) => Self::Text,
            ValueRef::Blob(_) => Self::Bytes,
        };
        match (self, other) {
            (Self::Unknown, other) => other,
            (Self::Bytes, _) | (_, Self::Bytes) => Self::Bytes,
            (Self::Text, _) | (_, Self::Text) => Self::Text,
            (Self::Real, _) | (_, Self::Real) => Self::Real,
            _ => Self::Integer,
        }
    }
}

/// The values of one column in a row group.
enum Values {
    Integer(Vec<i64>),
    Real(Vec<f64>),
    Bytes(Vec<ByteArray>),
}

struct Column {
    kind: Kind,
    values: Values,
    /// For each row 1 where it has a value, 0 where it has none.
    present: Vec<i16>,
}

impl Column {
    fn new(kind: Kind) -> Self {
        let values = match kind {
            Kind::Integer => Values::Integer(Vec::new()),
            Kind::Real => Values::Real(Vec::new()),
            Kind::Unknown | Kind::Text | Kind::Bytes => Values::Bytes(Vec::new()),
        };
        Self { kind, values, present: Vec::new() }
    }

    /// Takes a value that [`Kind::with`] knows of, and returns how many bytes it keeps.
    fn push(&mut self, value: ValueRef<'_>) -> usize {
        let mut kept = 8;
        let present = match (&mut self.values, value) {
            (_, ValueRef::Null) => 0,
            (Values::Integer(values), ValueRef::Integer(n)) => {
                values.push(n);
                1
            }
            (Values::Real(values), ValueRef::Integer(n)) => {
                values.push(n as f64);
                1
            }
            (Values::Real(values), ValueRef::Real(x)) => {
                values.push(x);
                1
            }
            (Values::Bytes(values), value) => {
                let bytes = match value {
                    ValueRef::Text(bytes) | ValueRef::Blob(bytes) if self.kind == Kind::Bytes => bytes.to_vec(),
                    value => shown(value).into_bytes(),
                };
                kept += bytes.len();
                values.push(bytes.into());
                1
            }
            // The database would have to change between two readings of one state.
            _ => 0,
        };
        self.present.push(present);
        kept
    }

    fn write(&mut self, out: &mut SerializedColumnWriter<'_>) -> Result<()> {
        let present = Some(self.present.as_slice());
        match &mut self.values {
            Values::Integer(values) => {
                out.typed::<Int64Type>().write_batch(values, present, None)?;
                values.clear();
            }
            Values::Real(values) => {
                out.typed::<DoubleType>().write_batch(values, present, None)?;
                values.clear();
            }
            Values::Bytes(values) => {
                out.typed::<ByteArrayType>().write_batch(values, present, None)?;
                values.clear();
            }
        }
        self.present.clear();
        Ok(())
    }
}

/// A file that rows are written to.
pub(super) struct Sheet {
    writer: SerializedFileWriter<File>,
    columns: Vec<Column>,
    /// Rows and bytes that are kept until the row group is written.
    rows: usize,
    bytes: usize,
}

impl Sheet {
    /// Begins a file with columns of these names and kinds.
    pub(super) fn new(file: File, name: &str, names: &[String], kinds: &[Kind]) -> Result<Self> {
        let mut fields = Vec::new();
        for (name, kind) in names.iter().zip(kinds) {
            let (physical, logical) = match kind {
                Kind::Integer => (Physical::INT64, None),
                Kind::Real => (Physical::DOUBLE, None),
                Kind::Unknown | Kind::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
                Kind::Bytes => (Physical::BYTE_ARRAY, None),
            };
            let field = Type::primitive_type_builder(name, physical)
                .with_repetition(Repetition::OPTIONAL)
                .with_logical_type(logical)
                .build()?;
            fields.push(Arc::new(field));
        }
        let schema = Type::group_type_builder(name).with_fields(fields).build()?;
        let properties = WriterProperties::builder()
            .set_created_by(concat!("shewhart ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
            .build();
        let writer = SerializedFileWriter::new(file, Arc::new(schema), Arc::new(properties))?;
        Ok(Self { writer, columns: kinds.iter().copied().map(Column::new).collect(), rows: 0, bytes: 0 })
    }

    /// Adds a row.
    pub(super) fn push(&mut self, row: &[ValueRef<'_>]) -> Result<()> {
        for (column, value) in self.columns.iter_mut().zip(row) {
            self.bytes += column.push(*value);
        }
        self.rows += 1;
        if self.rows >= ROWS || self.bytes >= BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        if self.rows == 0 {
            return Ok(());
        }
        let mut group = self.writer.next_row_group()?;
        for column in &mut self.columns {
            let mut out =
                group.next_column()?.ok_or_else(|| ParquetError::General("a column has no writer".to_owned()))?;
            column.write(&mut out)?;
            out.close()?;
        }
        group.close()?;
        (self.rows, self.bytes) = (0, 0);
        Ok(())
    }

    /// Writes what is left, and the end of the file.
    pub(super) fn finish(mut self) -> Result<File> {
        self.flush()?;
        self.writer.into_inner()
    }
}

#[cfg(test)]
mod tests {
    use parquet::basic::Type as Physical;
    use parquet::file::reader::{FileReader as _, SerializedFileReader};
    use parquet::record::Field;

    use super::*;

    #[test]
    fn kinds_hold_everything_that_was_seen() {
        let seen = |values: &[ValueRef<'_>]| values.iter().fold(Kind::Unknown, |kind, value| kind.with(*value));
        let (null, whole, real) = (ValueRef::Null, ValueRef::Integer(1), ValueRef::Real(0.5));
        let (text, blob) = (ValueRef::Text(b"x"), ValueRef::Blob(b"x"));
        for (values, kind) in [
            (&[null, null][..], Kind::Unknown),
            (&[null, whole], Kind::Integer),
            (&[whole, real], Kind::Real),
            (&[real, text, whole], Kind::Text),
            (&[text, blob], Kind::Bytes),
        ] {
            assert_eq!(seen(values), kind, "{values:?}");
            assert_eq!(seen(&values.iter().rev().copied().collect::<Vec<_>>()), kind, "{values:?}");
        }
        // What was declared stays, where all that is in it fits.
        assert_eq!(Kind::declared(Some("real")).with(whole), Kind::Real);
        assert_eq!(Kind::declared(Some("TEXT")).with(null), Kind::Text);
        assert_eq!(Kind::declared(None), Kind::Unknown);
    }

    #[test]
    fn rows_come_back_in_groups_of_bounded_size() {
        let rows = ROWS + 1;
        let names = ["n", "x", "t", "b", "none"].map(str::to_owned);
        let kinds = [Kind::Integer, Kind::Real, Kind::Text, Kind::Bytes, Kind::Unknown];
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.parquet");
        let mut sheet = Sheet::new(File::create(&path).unwrap(), "rows", &names, &kinds).unwrap();
        for at in 0..rows {
            let even = at % 2 == 0;
            let n = if even { ValueRef::Integer(at as i64) } else { ValueRef::Null };
            let x = if even { ValueRef::Integer(1) } else { ValueRef::Real(0.5) };
            let t = if even { ValueRef::Text("grün".as_bytes()) } else { ValueRef::Integer(7) };
            let b = if even { ValueRef::Blob(&[0, 255]) } else { ValueRef::Text(b"x") };
            sheet.push(&[n, x, t, b, ValueRef::Null]).unwrap();
        }
        drop(sheet.finish().unwrap());
        let reader = SerializedFileReader::new(File::open(&path).unwrap()).unwrap();
        assert_eq!((reader.num_row_groups(), reader.metadata().file_metadata().num_rows()), (2, rows as i64));
        let physical = |at: usize| reader.metadata().file_metadata().schema_descr().column(at).physical_type();
        assert_eq!(
            [0, 1, 2, 3].map(physical),
            [Physical::INT64, Physical::DOUBLE, Physical::BYTE_ARRAY, Physical::BYTE_ARRAY]
        );
        for (at, row) in reader.get_row_iter(None).unwrap().enumerate() {
            let fields: Vec<Field> = row.unwrap().get_column_iter().map(|(_, field)| field.clone()).collect();
            let bytes = |bytes: &[u8]| Field::Bytes(bytes.to_vec().into());
            let expected = if at % 2 == 0 {
                vec![
                    Field::Long(at as i64),
                    Field::Double(1.0),
                    Field::Str("grün".to_owned()),
                    bytes(&[0, 255]),
                    Field::Null,
                ]
            } else {
                vec![Field::Null, Field::Double(0.5), Field::Str("7".to_owned()), bytes(b"x"), Field::Null]
            };
            assert_eq!(fields, expected, "{at}");
        }
    }

    #[test]
    fn long_text_makes_small_groups_and_no_rows_make_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.parquet");
        let names = ["t".to_owned()];
        let long = vec![b'x'; BYTES / 4 + 1];
        for (rows, groups) in [(0, 0), (3, 1), (9, 3)] {
            let mut sheet = Sheet::new(File::create(&path).unwrap(), "rows", &names, &[Kind::Text]).unwrap();
            for _ in 0..rows {
                sheet.push(&[ValueRef::Text(&long)]).unwrap();
            }
            drop(sheet.finish().unwrap());
            let reader = SerializedFileReader::new(File::open(&path).unwrap()).unwrap();
            assert_eq!(reader.num_row_groups(), groups, "{rows} rows");
        }
    }
}
