//! Secrets that must be seen nowhere but at the receivers.

#![expect(clippy::unwrap_used, reason = "a fault of a test's own may end the test")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::daemon::Place;

/// What every secret of a test holds.
pub(crate) const CANARY: &str = "canary-7h3x";

/// Writes a file that only its owner can read, as secrets have to be.
pub(crate) fn write_secret(path: &Path, content: &str) {
    fs::write(path, content).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// The same into a file of a place. Its name.
pub(crate) fn secret(place: &Place, name: &str, content: &str) -> String {
    write_secret(&place.path().join(name), content);
    name.to_owned()
}

/// Every file of a folder, as it is.
pub(crate) fn contents(folder: &Path) -> Vec<u8> {
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).filter(|path| path.is_file());
    files.flat_map(|path| fs::read(path).unwrap()).collect()
}

/// Whether a text stands somewhere in there.
pub(crate) fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}
