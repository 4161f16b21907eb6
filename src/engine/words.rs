//! Eight bytes at a time, as one number.

/// Bytes that are looked at together, as one number whose lowest byte is the first.
pub(super) const WORD: usize = size_of::<u64>();

/// A one in each byte, and the highest bit of each.
const ONES: u64 = u64::from_le_bytes([1; WORD]);
const HIGH: u64 = u64::from_le_bytes([0x80; WORD]);

/// The first bytes; where there are not so many, zeros stand behind them.
pub(super) fn word(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or_else(|| last_word(bytes), |word| u64::from_le_bytes(*word))
}

#[cold]
fn last_word(bytes: &[u8]) -> u64 {
    let mut word = [0; WORD];
    word.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    u64::from_le_bytes(word)
}

/// The highest bit of each byte of a word below `bound`, up to 0x80 (Mycroft 1987). What is found behind the first one may be wrong;
/// the first one is not.
const fn below(word: u64, bound: u8) -> u64 {
    word.wrapping_sub(ONES * bound as u64) & !word & HIGH
}

/// How many bytes stand before the first quote, backslash or control character.
pub(super) fn plain(bytes: &[u8]) -> usize {
    let equal = |word: u64, byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    let mut rest = bytes;
    loop {
        let word = word(rest);
        let ends = below(word, b' ') | equal(word, b'"') | equal(word, b'\\');
        let before = (ends.trailing_zeros() / 8) as usize;
        match rest.get(WORD..) {
            Some(behind) if before == WORD => rest = behind,
            _ => return bytes.len() - rest.len() + before,
        }
    }
}

/// Whether all bytes are characters of ASCII that can be seen, or spaces.
pub(super) fn is_visible_ascii(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks();
    // Only bytes from 0x7f on have their highest bit here or there, or carry into the next one.
    let outside = |word: u64| ((word | word.wrapping_add(ONES)) & HIGH) | below(word, b' ');
    words.iter().all(|word| outside(u64::from_le_bytes(*word)) == 0)
        && rest.iter().all(|byte| (b' '..0x7f).contains(byte))
}

/// How many digits a word begins with, and the number that they are: sums of neighbours, then of pairs, then of fours, each in one
/// multiplication (Lemire, "Quickly parsing eight digits", 2018).
pub(super) fn leading_digits(word: u64) -> (usize, u64) {
    // A digit is its value now, and anything else is larger.
    let values = word ^ (ONES * u64::from(b'0'));
    let others = (values.wrapping_add(ONES * (0x80 - 10)) | values) & HIGH;
    let digits = (others.trailing_zeros() / 8) as usize;
    // Zeros before the digits instead of what stands behind them.
    let values = values.checked_shl(8 * (WORD - digits) as u32).unwrap_or(0);
    let pairs = values.wrapping_mul(10).wrapping_add(values >> 8);
    let [first, second] = [pairs, pairs >> 16].map(|pairs| pairs & 0x0000_00ff_0000_00ff);
    let sum = first.wrapping_mul((1_000_000 << 32) + 100).wrapping_add(second.wrapping_mul((10_000 << 32) + 1));
    (digits, sum >> 32)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn plain_bytes_are_counted_one_by_one(
            clean in proptest::collection::vec((0x20..=255_u8).prop_filter("no end", |byte| !matches!(byte, b'"' | b'\\')), 0..40),
            rest in proptest::collection::vec(prop_oneof![0..=255_u8, Just(b'\\'), Just(b'"')], 0..20),
        ) {
            let bytes = [clean, rest].concat();
            let ends = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
            prop_assert_eq!(plain(&bytes), bytes.iter().position(ends).unwrap_or(bytes.len()));
        }

        #[test]
        fn plain_bytes_are_looked_at_one_by_one(plain in proptest::collection::vec(0x20..0x7f_u8, 0..40), other in any::<u8>(), at in any::<proptest::sample::Index>()) {
            prop_assert!(is_visible_ascii(&plain));
            let mut bytes = plain;
            bytes.push(b' ');
            let at = at.index(bytes.len());
            bytes[at] = other;
            prop_assert_eq!(is_visible_ascii(&bytes), (0x20..0x7f).contains(&other));
        }
    }
}
