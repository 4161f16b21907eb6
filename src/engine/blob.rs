//! States as bytes: a version, the state in postcard (floats bit by bit), a CRC-32 of both.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The version of what the states hold. A state of another version is not read.
const VERSION: u8 = 7;

/// Why bytes are not a state.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlobError {
    /// There is not even a version and a checksum.
    #[error("{0} bytes are too few")]
    Short(usize),
    /// It was written by another shewhart.
    #[error("version {0}, this shewhart reads {VERSION}")]
    Version(u8),
    /// A byte changed since.
    #[error("the checksum does not match")]
    Checksum,
    /// They are whole, and no state of this kind.
    #[error("{0}")]
    Content(String),
}

/// The bytes of a state.
pub fn encode(state: &impl Serialize) -> Vec<u8> {
    // Most states have room there.
    let mut bytes = Vec::with_capacity(1_024);
    bytes.push(VERSION);
    let mut bytes = postcard::to_extend(state, bytes).expect("states hold no type that postcard cannot write");
    let crc = crc32fast::hash(&bytes);
    bytes.extend(crc.to_le_bytes());
    bytes
}

/// The state that was written as these bytes.
///
/// # Errors
/// Why they are none.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, BlobError> {
    let (body, crc) = bytes.split_last_chunk::<4>().ok_or(BlobError::Short(bytes.len()))?;
    let (version, content) = body.split_first().ok_or(BlobError::Short(bytes.len()))?;
    if crc32fast::hash(body) != u32::from_le_bytes(*crc) {
        return Err(BlobError::Checksum);
    }
    if *version != VERSION {
        return Err(BlobError::Version(*version));
    }
    postcard::from_bytes(content).map_err(|error| BlobError::Content(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_comes_back_bit_by_bit_and_damage_is_noticed() {
        let state = (0.1_f64 + 0.2, f64::MIN_POSITIVE, -0.0_f64, "x".to_owned());
        let bytes = encode(&state);
        let back: (f64, f64, f64, String) = decode(&bytes).unwrap();
        assert_eq!((back.0.to_bits(), back.2.to_bits()), (state.0.to_bits(), state.2.to_bits()));
        for at in 0..bytes.len() {
            let mut broken = bytes.clone();
            broken[at] ^= 0x10;
            assert!(decode::<(f64, f64, f64, String)>(&broken).is_err(), "{at}");
            assert!(decode::<(f64, f64, f64, String)>(&bytes[..at]).is_err(), "{at}");
        }
    }
}
