//! Rule files that a test changes under a running daemon.

#![expect(clippy::unwrap_used, reason = "a fault of a test's own may end the test")]

use std::fs;
use std::path::{Path, PathBuf};

use super::daemon::Place;

/// A copy of the shipped rules that a test may change.
pub(crate) fn own_rules(place: &mut Place) -> PathBuf {
    let rules = place.path().join("rules");
    fs::create_dir(&rules).unwrap();
    for file in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("rules")).unwrap() {
        let file = file.unwrap();
        // Beside the rules lie their tests.
        if file.path().is_file() {
            fs::copy(file.path(), rules.join(file.file_name())).unwrap();
        }
    }
    place.rules = format!("[ {} ]", rules.display());
    rules
}

/// One rule file instead of the shipped ones.
pub(crate) fn one_file(place: &mut Place, text: &str) {
    let rules = place.path().join("rules.yaml");
    fs::write(&rules, text).unwrap();
    place.rules = format!("[ {} ]", rules.display());
}

/// Replaces a rule file in one step, as configuration tools do.
pub(crate) fn swap(rules: &Path, text: &str) {
    let new = rules.join(".new");
    fs::write(&new, text).unwrap();
    fs::rename(new, rules.join("accuracy.yaml")).unwrap();
}
