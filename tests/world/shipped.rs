//! The shipped rules, also for programs that have the engine and nothing else.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use shewhart::engine::rule::{RuleSet, Source, compile};

pub(crate) fn shipped() -> Arc<RuleSet> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("rules");
    let files = std::fs::read_dir(folder).expect("rules").map(|entry| entry.expect("a file").path());
    let mut paths: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|ext| ext == "yaml")).collect();
    paths.sort();
    let read = |path: &PathBuf| Source {
        name: path.display().to_string(),
        text: std::fs::read_to_string(path).expect("a rule file"),
    };
    Arc::new(compile(&paths.iter().map(read).collect::<Vec<_>>()).rules.expect("the shipped rules compile"))
}
