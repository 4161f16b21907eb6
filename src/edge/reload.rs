//! Rule files: read them, notice when they change.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::clock;
use crate::engine::alert::Id;
use crate::engine::rule::{Diagnostic, MAX_BYTES, Source};

/// How often files are looked at. Contents are compared, not times: editors, mounted volumes and symlink swaps all keep
/// their own ideas of a modification time.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Reads rule files, and every `.yaml` and `.yml` of folders, in the order of their names.
///
/// # Errors
/// A diagnostic for every path that cannot be read.
pub fn read(paths: &[PathBuf]) -> Result<Vec<Source>, Vec<Diagnostic>> {
    let mut sources = Vec::new();
    let mut faults = Vec::new();
    for path in paths {
        match files(path) {
            Ok(files) => {
                for file in files {
                    match read_file(&file) {
                        Ok(source) => sources.push(source),
                        Err(fault) => faults.push(fault),
                    }
                }
            }
            Err(error) => faults.push(Diagnostic::of_file(
                &path.display().to_string(),
                &error.to_string(),
                "give a rule file, or a folder of .yaml files, that this user may read",
            )),
        }
    }
    if faults.is_empty() { Ok(sources) } else { Err(faults) }
}

fn files(path: &Path) -> std::io::Result<Vec<PathBuf>> {
    if !path.metadata()?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in path.read_dir()? {
        let file = entry?.path();
        let is_yaml = file.extension().is_some_and(|e| e == "yaml" || e == "yml");
        let is_hidden = file.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if is_yaml && !is_hidden && file.is_file() {
            files.push(file);
        }
    }
    files.sort_unstable();
    Ok(files)
}

fn read_file(path: &Path) -> Result<Source, Diagnostic> {
    use std::io::Read as _;
    let name = path.display().to_string();
    let fault = |message: &str, help: &str| Diagnostic::of_file(&name, message, help);
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|e| fault(&e.to_string(), "make the file readable"))?;
    // One byte more than is allowed, so that the compiler says that it is too much; never a whole huge file.
    let most = MAX_BYTES as u64 + 1;
    file.take(most).read_to_end(&mut bytes).map_err(|e| fault(&e.to_string(), "make the file readable"))?;
    let text = String::from_utf8(bytes).map_err(|e| fault(&format!("not UTF-8: {e}"), "save the file as UTF-8"))?;
    Ok(Source { name, text })
}

/// What the files say now, as one id: of what could be read, and of the faults.
fn fingerprint(found: &Result<Vec<Source>, Vec<Diagnostic>>) -> Id {
    let parts: Vec<String> = match found {
        Ok(sources) => sources.iter().flat_map(|s| [s.name.clone(), s.text.clone()]).collect(),
        Err(faults) => faults.iter().map(ToString::to_string).collect(),
    };
    Id::of(&parts.iter().map(String::as_bytes).collect::<Vec<_>>())
}

/// Looks at the files until `changed` says that nobody listens any more.
pub fn watch(paths: &[PathBuf], mut changed: impl FnMut() -> bool) {
    let mut known = fingerprint(&read(paths));
    loop {
        clock::sleep(LOOK_EVERY);
        let now = fingerprint(&read(paths));
        // A file that is being written changes again at once: it is offered when it has stood still for one look.
        if now != known {
            clock::sleep(Duration::from_millis(200));
            let settled = fingerprint(&read(paths));
            if settled != now {
                continue;
            }
            known = now;
            if !changed() {
                return;
            }
        }
    }
}
