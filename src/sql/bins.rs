//! Confidence sketches as bytes: outputs, labelled ones and right ones by bin of confidence and by whether they were handed
//! to a person.
//!
//! A version byte (1), then numbers of seven bits a byte, lowest first, the highest bit saying that another byte follows
//! (LEB128): how many places, and for each place, in ascending order, its number, outputs, labelled, right. The number is
//! the bin times two, plus one where the outputs were handed to a person. Bins 0 to 89 are hundredths of confidence, 90 to
//! 179 thousandths from 0.9 on, 180 to 269 ten-thousandths from 0.99 on, and 270 is all from 0.999 on.
//!
//! In Python:
//!
//! ```python
//! def read(blob):
//!     at, numbers = 1, []
//!     while at < len(blob):
//!         number = shift = 0
//!         while True:
//!             byte, at = blob[at], at + 1
//!             number |= (byte & 127) << shift
//!             shift += 7
//!             if byte < 128: break
//!         numbers.append(number)
//!     return [tuple(numbers[i:i + 4]) for i in range(1, len(numbers), 4)]
//! ```

use super::{SketchError, put_number, take_number};
use crate::engine::confidence::{BINS, Cell, ConfidenceTable, Place};

const VERSION: u8 = 1;

/// Writes a table.
pub fn encode(table: &ConfidenceTable) -> Vec<u8> {
    let cells = table.cells();
    let mut bytes = Vec::with_capacity(2 + 5 * cells.len());
    bytes.push(VERSION);
    put_number(&mut bytes, cells.len() as u64);
    for (place, cell) in cells {
        let number = place.bin().map_or(u16::MAX, |bin| bin * 2 + u16::from(place.escalated()));
        put_number(&mut bytes, u64::from(number));
        for count in [cell.outputs, cell.labelled, cell.right] {
            put_number(&mut bytes, u64::from(count));
        }
    }
    bytes
}

/// Reads a table.
///
/// # Errors
/// What is wrong with the bytes.
pub fn decode(bytes: &[u8]) -> Result<ConfidenceTable, SketchError> {
    let mut table = ConfidenceTable::default();
    let Some((&VERSION, mut rest)) = bytes.split_first() else {
        return Err(SketchError::Other("table of confidence of version 1"));
    };
    let rest = &mut rest;
    let places = number(rest)?;
    let mut least = 0;
    for _ in 0..places {
        let number_of_place = number(rest)?;
        if number_of_place < least || number_of_place >= 2 * u32::from(BINS) {
            return Err(SketchError::Bin);
        }
        least = number_of_place + 1;
        let cell = Cell { outputs: number(rest)?, labelled: number(rest)?, right: number(rest)? };
        if cell.right > cell.labelled {
            return Err(SketchError::Count);
        }
        table.add(Place::at((number_of_place / 2) as u16, number_of_place % 2 == 1), cell);
    }
    if rest.is_empty() { Ok(table) } else { Err(SketchError::Trailing) }
}

fn number(bytes: &mut &[u8]) -> Result<u32, SketchError> {
    u32::try_from(take_number(bytes, 5)?).ok().ok_or(SketchError::Count)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_bytes_are_those_of_the_description() {
        let mut table = ConfidenceTable::default();
        table.add(Place::at(270, true), Cell { outputs: 300, labelled: 2, right: 1 });
        table.add(Place::at(0, false), Cell { outputs: 1, labelled: 0, right: 0 });
        let bytes = encode(&table);
        assert_eq!(bytes, [1, 2, 0, 1, 0, 0, 0x9d, 0x04, 0xac, 0x02, 2, 1]);
        assert_eq!(decode(&bytes), Ok(table));
        assert_eq!(encode(&ConfidenceTable::default()), [1, 0]);
        assert_eq!(decode(&[1, 0]), Ok(ConfidenceTable::default()));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let other = Err(SketchError::Other("table of confidence of version 1"));
        for (bytes, expected) in [
            (&[][..], other.clone()),
            (&[2, 0], other),
            (&[1], Err(SketchError::Cut)),
            (&[1, 1, 0, 5, 1], Err(SketchError::Cut)),
            (&[1, 0, 0], Err(SketchError::Trailing)),
            // A number of places that would fill any memory.
            (&[1, 0xff, 0xff, 0xff, 0xff, 0x0f], Err(SketchError::Cut)),
            (&[1, 0xff, 0xff, 0xff, 0xff, 0x1f], Err(SketchError::Count)),
            (&[1, 1, 0x80, 0x80, 0x80, 0x80, 0x80, 0], Err(SketchError::Count)),
            (&[1, 1, 0xff, 0xff, 0x03, 1, 0, 0], Err(SketchError::Bin)),
            (&[1, 2, 4, 1, 0, 0, 4, 1, 0, 0], Err(SketchError::Bin)),
            (&[1, 1, 4, 5, 1, 2], Err(SketchError::Count)),
        ] {
            assert_eq!(decode(bytes), expected, "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn tables_come_back(cells in proptest::collection::vec((0..BINS, any::<bool>(), any::<u32>(), any::<u32>(), 0.0..=1.0_f64), 0..80)) {
            let mut table = ConfidenceTable::default();
            for (bin, escalated, outputs, labelled, share) in cells {
                let (labelled, right) = (labelled >> 8, (f64::from(labelled >> 8) * share) as u32);
                table.add(Place::at(bin, escalated), Cell { outputs: outputs >> 8, labelled, right });
            }
            prop_assert_eq!(decode(&encode(&table)), Ok(table));
        }

        #[test]
        fn whatever_the_bytes_are_nothing_panics(mut bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            bytes.insert(0, VERSION);
            if let Ok(table) = decode(&bytes) {
                prop_assert_eq!(decode(&encode(&table)), Ok(table));
            }
        }
    }
}
