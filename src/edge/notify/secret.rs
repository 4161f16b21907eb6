//! A secret is a file, read at each use, so that it can be changed without a restart and is nowhere else.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// Longest secret read, in bytes.
const LIMIT: u64 = 64 * 1024;

/// Where a secret lies. Printing it shows the path, never the content.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(PathBuf);

impl Secret {
    /// The same file, its path taken from a folder where it is relative.
    pub fn relative_to(&mut self, base: &Path) {
        self.0 = base.join(&self.0);
    }
}

/// Why a secret cannot be used. Shows the path, never the content.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// The file is not there, or not for us to read.
    #[error("cannot read the secret file {0}: {1}")]
    Unreadable(PathBuf, std::io::ErrorKind),
    /// It is a directory, a pipe or a device.
    #[error("the secret file {0} is not a regular file")]
    NotAFile(PathBuf),
    /// Other users can read or change it.
    #[error("other users can read the secret file {0} (mode {1:04o}); run chmod 600 on it")]
    Open(PathBuf, u32),
    /// It holds nothing.
    #[error("the secret file {0} is empty")]
    Empty(PathBuf),
    /// It is not text.
    #[error("the secret file {0} is longer than 64 KiB or is not UTF-8 text")]
    NotText(PathBuf),
}

/// The content of a secret. It has no `Debug`, `Display` or `Serialize`, and is overwritten when dropped.
///
/// ```compile_fail,E0277
/// fn printed(secret: &shewhart::edge::notify::Opened) -> String {
///     format!("{secret:?}")
/// }
/// ```
/// ```compile_fail,E0277
/// fn printed(secret: &shewhart::edge::notify::Opened) -> String {
///     format!("{secret}")
/// }
/// ```
/// ```compile_fail,E0277
/// fn printed(secret: &shewhart::edge::notify::Opened) -> String {
///     serde_json::to_string(secret).unwrap()
/// }
/// ```
pub struct Opened(Vec<u8>);

impl Opened {
    /// The secret itself. What is made from it must not be printed either.
    pub fn expose(&self) -> &str {
        // Checked in `read`.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.0.fill(0);
        // Keeps the compiler from leaving out the writes to memory that is about to be freed.
        std::hint::black_box(&self.0);
    }
}

impl Secret {
    /// The secret in this file.
    pub fn in_file(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Reads the secret, without the line end that editors add.
    pub fn read(&self) -> Result<Opened, SecretError> {
        let unreadable = |e: &std::io::Error| SecretError::Unreadable(self.0.clone(), e.kind());
        // A pipe would block on opening; so look before, and again at what was opened.
        if !std::fs::metadata(&self.0).map_err(|e| unreadable(&e))?.is_file() {
            return Err(SecretError::NotAFile(self.0.clone()));
        }
        let file = File::open(&self.0).map_err(|e| unreadable(&e))?;
        let meta = file.metadata().map_err(|e| unreadable(&e))?;
        let mode = meta.mode() & 0o777;
        if mode & 0o077 != 0 && !is_systemd_credential(&meta) {
            return Err(SecretError::Open(self.0.clone(), mode));
        }
        // The room for the whole file at once: growing would leave copies behind.
        let mut content = Opened(Vec::with_capacity(meta.len().min(LIMIT) as usize + 2));
        file.take(LIMIT + 1).read_to_end(&mut content.0).map_err(|e| unreadable(&e))?;
        if content.0.len() as u64 > LIMIT || std::str::from_utf8(&content.0).is_err() {
            return Err(SecretError::NotText(self.0.clone()));
        }
        while matches!(content.0.last(), Some(b'\n' | b'\r')) {
            content.0.pop();
        }
        if content.0.is_empty() { Err(SecretError::Empty(self.0.clone())) } else { Ok(content) }
    }
}

/// systemd hands a credential to an ordinary user by an access list, which shows as mode 0440 of root's own group.
fn is_systemd_credential(meta: &std::fs::Metadata) -> bool {
    meta.mode() & 0o777 == 0o440 && meta.uid() == 0 && meta.gid() == 0
}
