//! States of streams, compressed: most of one is zeros and what stands there twice, and each is written as often as its stream
//! changes.
//!
//! A state that another shewhart wrote as it is is read as it is: its first byte is a version, and no version is that of a frame.

use std::borrow::Cow;

use serde::de::DeserializeOwned;
use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::get_frame_content_size;

use super::blob;

/// How a frame of zstd begins (RFC 8878).
const FRAME: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Repetitions only: what is left is numbers, and codes for their bytes took half of the time for a hundredth of the size.
const LEVEL: i32 = -1;

/// The most bytes of a state: far beyond what the largest takes, for a damaged frame may ask for any number.
const BYTES_MAX: usize = 64 << 20;

/// Writes states. Its memory takes longer to get than to use, so whoever writes many keeps one.
#[derive(Default)]
pub(super) struct Packer(Option<Compressor<'static>>);

impl Packer {
    /// The bytes of a state compressed: as they are where they are more than is read, or where there is no memory to compress them.
    pub(super) fn pack<'s>(&mut self, plain: &'s [u8]) -> Cow<'s, [u8]> {
        if plain.len() > BYTES_MAX {
            return plain.into();
        }
        if self.0.is_none() {
            self.0 = compressor().ok();
        }
        let packed = self.0.as_mut().and_then(|compressor| compressor.compress(plain).ok());
        packed.map_or(plain.into(), Cow::from)
    }
}

fn compressor() -> std::io::Result<Compressor<'static>> {
    let mut compressor = Compressor::new(LEVEL)?;
    // States have a checksum of their own.
    compressor.include_checksum(false)?;
    compressor.include_dictid(false)?;
    Ok(compressor)
}

impl std::fmt::Debug for Packer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Packer")
    }
}

/// Reads states, compressed or not. Keeps what that takes.
#[derive(Default)]
pub(super) struct Unpacker {
    frames: Option<Decompressor<'static>>,
    plain: Vec<u8>,
}

impl Unpacker {
    /// The state that was written as these bytes.
    pub(super) fn decode<T: DeserializeOwned>(&mut self, bytes: &[u8]) -> Result<T, blob::BlobError> {
        if !bytes.starts_with(&FRAME) {
            return blob::decode(bytes);
        }
        let content = |error: std::io::Error| blob::BlobError::Content(error.to_string());
        let length = get_frame_content_size(bytes).ok().flatten().and_then(|length| usize::try_from(length).ok());
        let Some(length) = length.filter(|length| *length <= BYTES_MAX) else {
            return Err(blob::BlobError::Content("a frame that does not say how long its state is".to_owned()));
        };
        let frames = match &mut self.frames {
            Some(known) => known,
            None => self.frames.insert(Decompressor::new().map_err(content)?),
        };
        self.plain.clear();
        self.plain.reserve(length);
        frames.decompress_to_buffer(bytes, &mut self.plain).map_err(content)?;
        blob::decode(&self.plain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, blob::BlobError> {
        Unpacker::default().decode(bytes)
    }

    #[test]
    fn a_state_comes_back_compressed_or_not_and_damage_is_noticed() {
        let state: Vec<f64> = (0..300).map(|n| f64::from(n % 7) / 3.0).collect();
        let mut packer = Packer::default();
        let plain = blob::encode(&state);
        let bytes = packer.pack(&plain).into_owned();
        // Whatever was written before.
        packer.pack(&blob::encode(&vec![0.7_f64; 5_000]));
        assert_eq!(packer.pack(&plain), bytes);
        assert!(bytes.len() < plain.len() / 4 && bytes.starts_with(&FRAME));
        assert_eq!(decode::<Vec<f64>>(&bytes).unwrap(), state);
        assert_eq!(decode::<Vec<f64>>(&blob::encode(&state)).unwrap(), state);
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x40;
            // A bit that a frame does not need may change; what comes out is right or nothing.
            assert!(
                decode::<Vec<f64>>(&damaged).is_ok_and(|read| read == state) || decode::<Vec<f64>>(&damaged).is_err()
            );
        }
        assert!(decode::<Vec<f64>>(&bytes[..9]).is_err());
    }
}
