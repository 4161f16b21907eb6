//! Replaces a file by another at once: whoever reads it sees the old one or the new one, whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::{Path, PathBuf};

/// Replaces the content of a file, keeping its mode and its owner. A symbolic link stays one: what it leads to is replaced.
///
/// # Errors
/// The file is as it was: it is no longer what it was `before`, or the folder cannot be written to, or the owner cannot be kept.
pub(super) fn replace(path: &Path, before: &[u8], after: &[u8]) -> io::Result<()> {
    let target = path.canonicalize()?;
    let name = target.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_string_lossy().into_owned();
    let folder = target.parent().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
    // Hidden, and with an ending that is no rule file's: a daemon that watches the folder passes over it.
    let temporary = Temporary(folder.join(format!(".{name}.{}.tmp", std::process::id())));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary.0)?;
    let old = target.metadata()?;
    file.write_all(after)?;
    let new = file.metadata()?;
    if (new.uid(), new.gid()) != (old.uid(), old.gid()) {
        fchown(&file, Some(old.uid()), Some(old.gid()))?;
    }
    // After the owner: a change of owner takes special bits away.
    file.set_permissions(old.permissions())?;
    file.sync_all()?;
    if fs::read(&target)? != before {
        return Err(io::Error::other("somebody else changed it meanwhile; look at it and try again"));
    }
    fs::rename(&temporary.0, &target)?;
    File::open(&folder)?.sync_all()
}

/// A file that is gone when its name is: after the rename there is nothing left to remove.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        if fs::remove_file(&self.0).is_err() {
            // It became the file itself, or was never made.
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_else_changed_meanwhile_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rules.yaml");
        fs::write(&path, "theirs").unwrap();
        let fault = replace(&path, b"mine before", b"mine after").unwrap_err();
        assert!(fault.to_string().contains("meanwhile"), "{fault}");
        assert_eq!(fs::read(&path).unwrap(), b"theirs");
        replace(&path, b"theirs", b"mine after").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"mine after");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_second_edit_at_the_same_time_fails_and_leaves_the_file_of_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rules.yaml");
        fs::write(&path, "old").unwrap();
        let taken = folder.path().join(format!(".rules.yaml.{}.tmp", std::process::id()));
        fs::write(&taken, "of another").unwrap();
        assert!(replace(&path, b"old", b"new").is_err());
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert!(replace(&folder.path().join("gone.yaml"), b"", b"").is_err());
    }
}
