//! Who somebody is, by the system's word.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// The name of a user; `uid 1000` where the system's own list does not have him.
pub(super) fn name(uid: u32) -> String {
    let list = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let named = list.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    });
    named.unwrap_or_else(|| format!("uid {uid}"))
}

/// Who owns a file, where that can be seen.
pub(super) fn owner(path: &Path) -> Option<String> {
    path.metadata().ok().map(|meta| name(meta.uid()))
}
