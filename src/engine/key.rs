//! What tells one stream from another.

use std::collections::BTreeMap;

/// The identity of a stream: its labels as `name␟value`, joined by a separator that cleaned text cannot hold.
pub fn key_of(labels: &BTreeMap<String, String>) -> String {
    let mut key = String::new();
    // In the order of `Group`, which is the alphabet's too.
    write_key(&mut key, labels.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    key
}

/// The labels that a key was made of, in its order.
pub fn labels_of(key: &str) -> impl Iterator<Item = (&str, &str)> {
    key.split('\u{1e}').filter_map(|pair| pair.split_once('\u{1f}'))
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::text::clean;
    use super::*;

    proptest! {
        #[test]
        fn labels_are_found_again_in_their_key(values in proptest::collection::btree_map("agent|task|version", ".{0,12}", 0..4)) {
            let labels: BTreeMap<String, String> =
                values.into_iter().map(|(name, value)| (name, clean(&value).into_owned())).collect();
            let found = labels_of(&key_of(&labels)).map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            prop_assert_eq!(labels, found);
        }
    }
}
