//! Latency sketches as bytes: the V2 compressed format of HdrHistogram, which its libraries for Java, C, Go, Rust, Python
//! and JavaScript read.
//!
//! Big-endian: cookie `0x1c849314`, length of the rest, and a zlib stream of: cookie `0x1c849313`, length of the counts,
//! normalizing index offset 0, 3 significant digits, lowest value 1, highest value, ratio 1.0, and the counts from the
//! first bin to the last that was hit. A count is a ZigZag LEB128 number; a negative one is a run of so many empty bins.
//! Values are nanoseconds.
//!
//! Bins are HdrHistogram's own ([`latency`]), so both ways lose nothing. Ours is an encoder of its own because the sketch of a
//! minute has a handful of bins out of 38,000, and the libraries hold them all.

use std::borrow::Cow;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::{SketchError, put_number, take_number};
use crate::engine::sketch::Histogram;
use crate::engine::sketch::latency::{self, Precision};

/// What the compressed form begins with, and what is compressed. The low digit of the last byte but one is the size of a word.
const OUTER: u32 = 0x1c84_9314;
const INNER: u32 = 0x1c84_9313;
/// The part of a cookie that says how wide words are: V2 knows one width, and ignores it.
const WIDTH: u32 = 0xf0;
/// The highest value of a histogram, in nanoseconds: a day, above which no latency is taken.
const HIGHEST: u64 = 86_400_000_000_000;
/// The bins that 64-bit values can hit.
const BINS: u64 = 55 * 1_024;
/// Bytes before the counts.
const HEADER: usize = 40;
/// The most bytes that a sketch inflates to: every bin with a count of nine bytes.
const INFLATED_MAX: usize = HEADER + 9 * BINS as usize;
/// Payloads up to so many bytes are stored, not compressed: they would lose a few bytes, and take a hundred times as long.
const STORED_MAX: usize = 128;
/// What a zlib stream begins with that has no dictionary and was quickly made.
const ZLIB: [u8; 2] = [0x78, 0x01];
/// The most bytes of a stored block.
const BLOCK: usize = 0xffff;

/// Writes one histogram; who writes many keeps an [`Encoder`]. See [`Encoder::encode`].
pub fn encode(histogram: &Histogram) -> Vec<u8> {
    Encoder::default().encode(histogram)
}

/// Writes histograms. Its compressor takes 300 kB, which cost more to get than to use, so whoever writes many keeps one. What is
/// written of a histogram does not depend on what was written before.
#[derive(Debug, Default)]
pub struct Encoder {
    /// Made when the first histogram comes that is worth compressing.
    zlib: Option<Compress>,
}

impl Encoder {
    /// Writes a histogram by [`latency::bin`]. Bins that no 64-bit value can hit are left out.
    pub fn encode(&mut self, histogram: &Histogram) -> Vec<u8> {
        let payload = payload(histogram);
        let packed = self.pack(&payload);
        let mut bytes = Vec::with_capacity(8 + packed.len());
        bytes.extend(OUTER.to_be_bytes());
        bytes.extend((packed.len() as u32).to_be_bytes());
        bytes.extend(packed);
        bytes
    }

    /// A zlib stream of some bytes.
    fn pack(&mut self, payload: &[u8]) -> Vec<u8> {
        if payload.len() <= STORED_MAX {
            return store(payload);
        }
        let zlib = self.zlib.get_or_insert_with(|| Compress::new(Compression::fast(), true));
        zlib.reset();
        // Beyond what deflate makes of anything: it grows by five bytes a block.
        let mut packed = Vec::with_capacity(payload.len() + payload.len() / 1_000 + 64);
        match zlib.compress_vec(payload, &mut packed, FlushCompress::Finish) {
            Ok(Status::StreamEnd) => packed,
            _ => store(payload),
        }
    }
}

/// A histogram before compression.
fn payload(histogram: &Histogram) -> Vec<u8> {
    let all = histogram.bins();
    let mut payload = Vec::with_capacity(HEADER + 4 * all.len());
    let hit = |bin: u16, count: u32| count > 0 && u64::from(bin) < BINS;
    let bins = || all.iter().copied().filter(|(bin, count)| hit(*bin, *count));
    let highest = bins().next_back().map_or(HIGHEST, |(last, _)| {
        let (low, width) = Precision::THREE.range(last);
        if low <= HIGHEST { HIGHEST } else { low + (width - 1) }
    });
    payload.extend(INNER.to_be_bytes());
    payload.extend([0; 4]);
    payload.extend(0_u32.to_be_bytes());
    payload.extend(3_u32.to_be_bytes());
    payload.extend(1_u64.to_be_bytes());
    payload.extend(highest.to_be_bytes());
    payload.extend(1.0_f64.to_be_bytes());
    let mut next = 0;
    for (bin, count) in bins() {
        match i64::from(bin) - next {
            0 => {}
            1 => put_number(&mut payload, 0),
            empty => put_number(&mut payload, zigzag(-empty)),
        }
        put_number(&mut payload, zigzag(i64::from(count)));
        next = i64::from(bin) + 1;
    }
    let counts = (payload.len() - HEADER) as u32;
    if let Some(length) = payload.get_mut(4..8) {
        length.copy_from_slice(&counts.to_be_bytes());
    }
    payload
}

/// Reads a histogram of our layout, whoever wrote it.
///
/// # Errors
/// What is wrong with the bytes. Whatever they are, at most half a megabyte is inflated.
pub fn decode(bytes: &[u8]) -> Result<Histogram, SketchError> {
    let mut histogram = Histogram::default();
    each_bin(bytes, |bin, count| histogram.add(bin, count))?;
    Ok(histogram)
}

/// Reads a histogram bin by bin, in ascending order. What was told before an error is not to be used.
///
/// # Errors
/// As [`decode`].
pub fn each_bin(mut bytes: &[u8], mut each: impl FnMut(u16, u32)) -> Result<(), SketchError> {
    const WHAT: &str = "HdrHistogram in the V2 compressed format";
    if take(&mut bytes).map(u32::from_be_bytes).is_none_or(|cookie| cookie & !WIDTH != OUTER & !WIDTH) {
        return Err(SketchError::Other(WHAT));
    }
    let length = take(&mut bytes).map(u32::from_be_bytes).ok_or(SketchError::Cut)?;
    let packed = whole(bytes, length)?;
    let payload =
        stored(packed).map_or_else(|| inflate(packed).map(Cow::Owned), |payload| Ok(Cow::Borrowed(payload)))?;
    let mut counts = counts(&payload)?;
    let mut bin = 0;
    while !counts.is_empty() {
        let number = unzigzag(take_number(&mut counts, 9)?);
        if number < 0 {
            bin = u64::checked_add(bin, number.unsigned_abs()).filter(|bin| *bin <= BINS).ok_or(SketchError::Bin)?;
            continue;
        }
        if bin >= BINS {
            return Err(SketchError::Bin);
        }
        let count = u32::try_from(number).ok().ok_or(SketchError::Count)?;
        if count > 0 {
            each(bin as u16, count);
        }
        bin += 1;
    }
    Ok(())
}

/// The counts of an inflated sketch whose header says that its layout is ours.
fn counts(mut payload: &[u8]) -> Result<&[u8], SketchError> {
    let bytes = &mut payload;
    let cookie = take(bytes).map(u32::from_be_bytes).ok_or(SketchError::Cut)?;
    if cookie & !WIDTH != INNER & !WIDTH {
        return Err(SketchError::Other("HdrHistogram in the V2 format"));
    }
    let length = take(bytes).map(u32::from_be_bytes).ok_or(SketchError::Cut)?;
    let offset = take(bytes).map(u32::from_be_bytes).ok_or(SketchError::Cut)?;
    let digits = take(bytes).map(u32::from_be_bytes).ok_or(SketchError::Cut)?;
    let lowest = take(bytes).map(u64::from_be_bytes).ok_or(SketchError::Cut)?;
    let _highest: [u8; 8] = take(bytes).ok_or(SketchError::Cut)?;
    let ratio = take(bytes).map(f64::from_be_bytes).ok_or(SketchError::Cut)?;
    if (offset, digits, lowest) != (0, 3, 1) || ratio != 1.0 {
        return Err(SketchError::Layout);
    }
    whole(payload, length)
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*first)
}

fn whole(bytes: &[u8], length: u32) -> Result<&[u8], SketchError> {
    match bytes.len().cmp(&(length as usize)) {
        std::cmp::Ordering::Less => Err(SketchError::Cut),
        std::cmp::Ordering::Equal => Ok(bytes),
        std::cmp::Ordering::Greater => Err(SketchError::Trailing),
    }
}

const fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)) as u64
}

const fn unzigzag(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

/// A zlib stream that holds some bytes as they are. A stored block holds 64 kB; longer payloads are several.
fn store(payload: &[u8]) -> Vec<u8> {
    let mut packed = Vec::with_capacity(payload.len() + 11);
    packed.extend(ZLIB);
    let blocks = payload.len().div_ceil(BLOCK).max(1);
    let mut chunks = payload.chunks(BLOCK);
    for at in 1..=blocks {
        let chunk = chunks.next().unwrap_or_default();
        let length = chunk.len() as u16;
        packed.push(u8::from(at == blocks));
        packed.extend(length.to_le_bytes());
        packed.extend((!length).to_le_bytes());
        packed.extend(chunk);
    }
    packed.extend(adler2::adler32_slice(payload).to_be_bytes());
    packed
}

/// What [`store`] made one block of: the same as inflating gives, for a tenth of the time.
fn stored(packed: &[u8]) -> Option<&[u8]> {
    let mut rest = packed.strip_prefix(&ZLIB)?.strip_prefix(&[1])?;
    let length = u16::from_le_bytes(take(&mut rest)?);
    let complement = u16::from_le_bytes(take(&mut rest)?);
    let (payload, sum) = rest.split_last_chunk()?;
    let same = usize::from(length) == payload.len() && length == !complement;
    (same && adler2::adler32_slice(payload) == u32::from_be_bytes(*sum)).then_some(payload)
}

fn inflate(packed: &[u8]) -> Result<Vec<u8>, SketchError> {
    let mut zlib = Decompress::new(true);
    let mut payload = Vec::with_capacity((4 * packed.len()).clamp(256, INFLATED_MAX));
    loop {
        let rest = packed.get(zlib.total_in() as usize..).unwrap_or_default();
        let before = (zlib.total_in(), payload.len());
        match zlib.decompress_vec(rest, &mut payload, FlushDecompress::None) {
            Ok(Status::StreamEnd) if zlib.total_in() as usize == packed.len() => return Ok(payload),
            Ok(Status::StreamEnd) => return Err(SketchError::Trailing),
            Err(_) => return Err(SketchError::Damaged),
            Ok(_) if payload.len() >= INFLATED_MAX => return Err(SketchError::Count),
            Ok(_) if payload.len() == payload.capacity() => {
                payload.reserve_exact(payload.len().min(INFLATED_MAX - payload.len()));
            }
            Ok(_) if (zlib.total_in(), payload.len()) == before => return Err(SketchError::Cut),
            Ok(_) => {}
        }
    }
}

/// The q-quantile in milliseconds, within 0.05 % (nearest rank, middle of its bin); nothing where there are no values.
pub fn quantile_ms(histogram: &Histogram, q: f64) -> Option<f64> {
    histogram.quantile_bin(q).map(latency::middle_ms)
}

#[cfg(test)]
mod tests {
    use hdrhistogram::serialization::{Deserializer, Serializer as _, V2DeflateSerializer};
    use proptest::prelude::*;

    use super::*;

    type Reference = hdrhistogram::Histogram<u64>;

    fn ours(values: &[(u64, u32)]) -> Histogram {
        let mut histogram = Histogram::default();
        for (value, count) in values {
            histogram.add(latency::bin(*value), *count);
        }
        histogram
    }

    fn theirs(values: &[(u64, u32)]) -> Reference {
        let mut histogram = Reference::new_with_bounds(1, HIGHEST, 3).unwrap();
        for (value, count) in values {
            histogram.record_n(*value, u64::from(*count)).unwrap();
        }
        histogram
    }

    fn written(histogram: &Reference) -> Vec<u8> {
        let mut bytes = Vec::new();
        V2DeflateSerializer::new().serialize(histogram, &mut bytes).unwrap();
        bytes
    }

    /// A sketch around any inflated bytes.
    fn around(payload: &[u8]) -> Vec<u8> {
        let packed = Encoder::default().pack(payload);
        [&OUTER.to_be_bytes()[..], &(packed.len() as u32).to_be_bytes(), &packed].concat()
    }

    fn inflated(bytes: &[u8]) -> Vec<u8> {
        stored(&bytes[8..]).map_or_else(|| inflate(&bytes[8..]).unwrap(), <[u8]>::to_vec)
    }

    proptest! {
        #[test]
        fn the_crate_reads_ours_and_we_read_the_crates(
            values in proptest::collection::vec((prop_oneof![0..5_000_u64, 0..90_000_000_u64, 0..=HIGHEST], 1..1_000_000_u32), 1..300),
        ) {
            let (mine, other) = (ours(&values), theirs(&values));
            let bytes = encode(&mine);
            // One that has written something else before writes the same.
            let mut used = Encoder::default();
            used.encode(&ours(&(0..99).map(|i| (i * 7_919, 3)).collect::<Vec<_>>()));
            prop_assert_eq!(&used.encode(&mine), &bytes);
            prop_assert_eq!(&decode(&bytes).unwrap(), &mine);
            let read: Reference = Deserializer::new().deserialize(&mut &bytes[..]).unwrap();
            prop_assert_eq!(&read, &other);
            prop_assert_eq!(decode(&written(&other)).unwrap(), mine);
            // Not only the same meaning: the same bytes before compression, up to the highest value.
            prop_assert_eq!(inflated(&bytes), inflated(&written(&other)));
        }

        #[test]
        fn whatever_the_bytes_are_nothing_panics(mut bytes in proptest::collection::vec(any::<u8>(), 0..400), framed in 0..4) {
            if framed > 0 {
                let inner = [&INNER.to_be_bytes()[..], &(bytes.len() as u32).to_be_bytes(), &inflated(&encode(&ours(&[])))[8..], &bytes].concat();
                bytes = around(if framed == 1 { &bytes } else { &inner });
            }
            drop(decode(&bytes));
        }

        #[test]
        fn damage_is_noticed_or_harmless(at in 0..80_usize, bit in 0..8_u32) {
            let histogram = ours(&[(1_000, 3), (900_000_000, 7), (2_000_000_000, 70_000)]);
            let mut bytes = encode(&histogram);
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            // The width of words in the cookie, and the padding of a stored block, mean nothing.
            prop_assert!(decode(&bytes).map_or(true, |read| read == histogram), "{}", at);
        }
    }

    #[test]
    fn an_empty_histogram_is_written_and_read_by_all() {
        let bytes = encode(&Histogram::default());
        assert_eq!(decode(&bytes).unwrap(), Histogram::default());
        let read: Reference = Deserializer::new().deserialize(&mut &bytes[..]).unwrap();
        assert_eq!((read.len(), read.low(), read.high(), read.sigfig()), (0, 1, HIGHEST, 3));
        assert_eq!((quantile_ms(&Histogram::default(), 0.5), bytes.len()), (None, 59));
    }

    #[test]
    fn what_is_stored_is_what_inflating_gives() {
        for length in [0, 1, 70_000, 200_000] {
            let payload: Vec<u8> = (0..length).map(|i: u32| i.wrapping_mul(i) as u8).collect();
            assert_eq!(inflate(&store(&payload)).unwrap(), payload, "{length}");
            assert_eq!(stored(&store(&payload)).is_some(), length < 70_000);
        }
    }

    #[test]
    fn the_highest_bins_come_back() {
        for value in [HIGHEST, u64::from(u32::MAX) << 30, u64::MAX] {
            let histogram = ours(&[(0, 1), (value, u32::MAX)]);
            assert_eq!(decode(&encode(&histogram)).unwrap(), histogram, "{value}");
        }
        let mut beyond = ours(&[(5, 1)]);
        beyond.add(u16::MAX, 9);
        assert_eq!(decode(&encode(&beyond)).unwrap(), ours(&[(5, 1)]));
    }

    #[test]
    fn bombs_cost_little_and_are_refused() {
        let good = encode(&ours(&[(1_000_000, 5)]));
        let head = |length: usize| {
            let mut head = inflated(&good)[..HEADER].to_vec();
            head[4..8].copy_from_slice(&(length as u32).to_be_bytes());
            head
        };
        let of = |numbers: &[u64]| {
            let mut counts = Vec::new();
            for number in numbers {
                put_number(&mut counts, *number);
            }
            decode(&around(&[head(counts.len()), counts].concat()))
        };
        // 64 MiB of nothing: deflate makes a thousandth of it.
        let zeros = vec![0; 64 << 20];
        let bomb = {
            let mut packed = Vec::with_capacity(1 << 20);
            Compress::new(Compression::best(), true).compress_vec(&zeros, &mut packed, FlushCompress::Finish).unwrap();
            [&OUTER.to_be_bytes()[..], &(packed.len() as u32).to_be_bytes(), &packed].concat()
        };
        assert!(bomb.len() < 100_000);
        assert_eq!(decode(&bomb), Err(SketchError::Count));
        // Runs of empty bins that wrap around, and counts that are too large.
        assert_eq!(of(&[zigzag(-60_000)]), Err(SketchError::Bin));
        assert_eq!(of(&[zigzag(-56_320), zigzag(1)]), Err(SketchError::Bin));
        assert_eq!(of(&[zigzag(-50_000), zigzag(-50_000)]), Err(SketchError::Bin));
        assert_eq!(of(&[zigzag(1 << 32)]), Err(SketchError::Count));
        assert_eq!(decode(&around(&[head(9), vec![0xff; 9]].concat())), Err(SketchError::Bin));
        assert_eq!(decode(&around(&[head(2), vec![0x80, 0x80]].concat())), Err(SketchError::Cut));
        // Lengths that lie.
        assert_eq!(decode(&around(&head(7))), Err(SketchError::Cut));
        assert_eq!(decode(&around(&[head(0), vec![2]].concat())), Err(SketchError::Trailing));
        for cut in 0..good.len() {
            assert!(decode(&good[..cut]).is_err(), "{cut}");
        }
        assert_eq!(decode(&[&good[..], &[0]].concat()), Err(SketchError::Trailing));
        // Other layouts: two digits, another lowest value, a ratio.
        for (at, byte) in [(15, 2), (23, 2), (32, 0), (11, 1)] {
            let mut other = head(0);
            other[at] = byte;
            assert_eq!(decode(&around(&other)), Err(SketchError::Layout), "{at}");
        }
    }
}
