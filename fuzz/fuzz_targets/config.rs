//! Text as a configuration: it is loaded, or its faults are told. Nothing of a file that it names may show.
#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use shewhart::config::Config;

/// A folder of this process, in which the secret that a configuration may name is.
static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = std::env::temp_dir().join(format!("shewhart-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join("secret"), "canary-7h3x").expect("a secret");
    folder
});

fuzz_target!(|text: &str| {
    let path = FOLDER.join("shewhart.yaml");
    std::fs::write(&path, text).expect("the folder is there");
    for told in [
        Config::load(&path).map_or_else(|error| error.to_string(), |config| format!("{config:?}")),
        Config::load_policy(&path).map_or_else(|error| error.to_string(), |policy| format!("{policy:?}")),
    ] {
        assert!(text.contains("canary-7h3x") || !told.contains("canary-7h3x"), "{told}");
    }
});
