//! Replaces a file by another at once: whoever reads it sees the old one or the new one, whole.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, fchown};
use std::path::Path;

use tempfile::Builder;

/// Replaces the content of a file, keeping its mode and its owner. A symbolic link stays one: what it leads to is replaced.
///
/// # Errors
/// The file is as it was: it is no longer what it was `before`, or the folder cannot be written to, or the owner cannot be kept.
pub(super) fn replace(path: &Path, before: &[u8], after: &[u8]) -> io::Result<()> {
    let target = path.canonicalize()?;
    let name = target.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_string_lossy().into_owned();
    let folder = target.parent().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
    // Hidden, and with an ending that is no rule file's: a daemon that watches the folder passes over it.
    let mut file = Builder::new().prefix(&format!(".{name}.")).suffix(".tmp").tempfile_in(&folder)?;
    let old = target.metadata()?;
    file.write_all(after)?;
    let new = file.as_file().metadata()?;
    if (new.uid(), new.gid()) != (old.uid(), old.gid()) {
        fchown(file.as_file(), Some(old.uid()), Some(old.gid()))?;
    }
    // After the owner: a change of owner takes special bits away.
    file.as_file().set_permissions(old.permissions())?;
    file.as_file().sync_all()?;
    if fs::read(&target)? != before {
        return Err(io::Error::other("somebody else changed it meanwhile; look at it and try again"));
    }
    file.persist(&target).map_err(|error| error.error)?;
    File::open(&folder)?.sync_all()
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
    fn a_link_stays_one_and_what_it_leads_to_keeps_its_mode() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("rules.yaml"), folder.path().join("link.yaml"));
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        replace(&link, b"old", b"new").unwrap();
        assert!(link.is_symlink());
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o640);
        assert!(replace(&folder.path().join("gone.yaml"), b"", b"").is_err());
    }
}
