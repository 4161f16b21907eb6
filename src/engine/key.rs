//! What tells one stream from another.

use std::collections::BTreeMap;

/// The identity of a stream: its labels as `name␟value`, joined by a separator that cleaned text cannot hold.
pub fn key_of(labels: &BTreeMap<String, String>) -> String {
    let mut key = String::new();
    // In the order of `Group`, which is the alphabet's too.
    write_key(&mut key, labels.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    key
}

/// Writes the same into `key`, in place of what it held: labels must come in the order of their names.
pub(super) fn write_key<'l>(key: &mut String, labels: impl Iterator<Item = (&'l str, &'l str)>) {
    key.clear();
    for (name, value) in labels {
        if !key.is_empty() {
            key.push('\u{1e}');
        }
        key.push_str(name);
        key.push('\u{1f}');
        key.push_str(value);
    }
}
