//! What SQL can ask of the database's sketches: their codecs, and the functions that read them, for the daemon's own
//! connections and for other programs (`extension.rs`).

pub mod bins;
#[cfg(feature = "extension")]
pub mod extension;
pub mod functions;
pub mod hdr;

#[cfg(all(feature = "edge", feature = "extension"))]
compile_error!(
    "`extension` uses the SQLite of the program that loads it, `edge` brings its own: build the extension with \
     --no-default-features --features extension"
);

/// Why bytes are not a sketch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SketchError {
    /// They begin with something else.
    #[error("this is no {0}: it does not begin as one")]
    Other(&'static str),
    /// They end within a number, or before the last one.
    #[error("the sketch ends too early: it was cut")]
    Cut,
    /// Something follows the last number.
    #[error("the sketch goes on behind its end")]
    Trailing,
    /// The compressed part cannot be inflated, or its checksum does not match.
    #[error("the sketch is damaged: it cannot be inflated")]
    Damaged,
    /// An HdrHistogram that is not laid out as ours.
    #[error(
        "the histogram has another layout: 3 significant digits, from 1 on, without offset or ratio, are read here"
    )]
    Layout,
    /// A bin or a place that does not exist, or one that stands twice.
    #[error("the sketch names a bin that cannot be")]
    Bin,
    /// A count that is negative or above 2^32 - 1, or more right ones than labelled ones.
    #[error("the sketch holds a count that cannot be")]
    Count,
}

/// Appends a number, seven bits a byte, lowest first (LEB128).
fn put_number(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Takes a number from the front, at most `long` bytes long; the ninth byte counts whole, as HdrHistogram has it.
fn take_number(bytes: &mut &[u8], long: u32) -> Result<u64, SketchError> {
    let mut number = 0;
    for at in 0..long {
        let (byte, rest) = bytes.split_first().ok_or(SketchError::Cut)?;
        *bytes = rest;
        if at == 8 {
            return Ok(number | u64::from(*byte) << 56);
        }
        number |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(SketchError::Count)
}
