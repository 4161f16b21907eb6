//! `shewhart rules`: lists, and edits that change one value and nothing else.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use shewhart::engine::rule::edit::{get, set};
use shewhart::engine::rule::{Rule, Source, compile};

use super::{files, source};

fn run(args: &[&str]) -> (i32, String, String) {
    let run = Command::new(env!("CARGO_BIN_EXE_shewhart")).arg("rules").args(args).output().expect("started");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (run.status.code().expect("ended by itself"), text(run.stdout), text(run.stderr))
}

fn shipped(folder: &Path, name: &str) -> PathBuf {
    let path = folder.join(name);
    fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("rules").join(name), &path).expect("copied");
    path
}

#[test]
fn a_value_is_set_at_once_and_the_rest_of_the_file_stays() {
    let folder = tempfile::tempdir().expect("a folder");
    let real = shipped(folder.path(), "accuracy.yaml");
    fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).expect("set");
    let link = folder.path().join("linked.yaml");
    symlink("accuracy.yaml", &link).expect("linked");
    let (before, inode) = (fs::read_to_string(&real).expect("there"), fs::metadata(&real).expect("there").ino());
    let path = link.to_str().expect("UTF-8");

    let (code, dry, _) = run(&["set", path, "AccuracyDegraded", "detect.drop=3pp", "--dry-run"]);
    assert_eq!((code, fs::read_to_string(&real).expect("there")), (0, before.clone()), "only shown");
    assert!(dry.contains("-          drop: 2pp\n+          drop: 3pp\n"), "{dry}");

    let (code, told, err) = run(&["set", path, "AccuracyDegraded", "detect.drop=3pp", "for=10m"]);
    assert_eq!(code, 0, "{err}");
    assert!(told.contains("+          drop: 3pp") && told.contains("-          drop: 2pp"), "{told}");
    let after = fs::read_to_string(&real).expect("there");
    let other = |text: &str| {
        text.lines()
            .filter(|line| !line.contains("drop:") && !line.contains("for:"))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(other(&after), other(&before));
    assert!(link.is_symlink(), "the link stays one");
    let now = fs::metadata(&real).expect("there");
    assert_eq!(now.permissions().mode() & 0o7777, 0o640);
    assert_ne!(now.ino(), inode, "another file took its place");
    let left: Vec<_> = fs::read_dir(folder.path()).expect("there").map(|e| e.expect("readable").file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

#[test]
fn an_edit_that_would_not_compile_is_explained_and_not_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = shipped(folder.path(), "accuracy.yaml");
    let before = fs::read(&path).expect("there");
    let name = path.to_str().expect("UTF-8");
    for (assignment, said) in [
        ("detect.drop=2", "has no unit"),
        ("detect.dorp=2pp", "did you mean `drop`"),
        ("detect.target=92%", "both `drop` and `target`"),
        ("annotations.summary={{ agent", "annotation"),
        ("labels.agent=x", "set by the engine"),
        ("detect=x", "detect.NAME"),
        ("for=soon", "`for` is a duration"),
    ] {
        let (code, out, err) = run(&["set", name, "AccuracyDegraded", assignment]);
        assert_eq!((code, out.as_str()), (1, ""), "{assignment}: {err}");
        assert!(err.contains(said), "{assignment}: {err}");
        assert_eq!(fs::read(&path).expect("there"), before, "{assignment}");
    }
    assert_eq!(run(&["set", name, "AccuracyDegraded", "drop"]).0, 2, "no assignment");
    let (code, _, err) = run(&["set", name, "Accuracy", "for=5m"]);
    assert!(code == 1 && err.contains("`accuracy/AccuracyDegraded`"), "{err}");
}

#[test]
fn rules_are_switched_off_and_on_and_listed() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = shipped(folder.path(), "latency.yaml");
    let name = path.to_str().expect("UTF-8");
    let before = fs::read_to_string(&path).expect("there");
    assert_eq!(run(&["enable", name, "LatencyP95Exceeded"]).0, 0);
    assert_eq!(fs::read_to_string(&path).expect("there"), before, "it is in force already");
    assert_eq!(run(&["disable", name, "LatencyP95Exceeded"]).0, 0);
    let off = fs::read_to_string(&path).expect("there");
    assert_eq!(off.lines().count(), before.lines().count() + 1);
    let check = Command::new(env!("CARGO_BIN_EXE_shewhart")).arg("check").arg(&path).output().expect("started");
    assert_eq!(String::from_utf8_lossy(&check.stdout), "1 rules are good, 1 disabled, 0 warnings\n");
    let (code, listed, _) = run(&["list", name, "-o", "json"]);
    let listed: serde_json::Value = serde_json::from_str(&listed).expect("JSON");
    let of = |key: &str| listed.as_array().expect("a list").iter().map(|row| row[key].to_string()).collect::<Vec<_>>();
    assert_eq!((code, of("enabled")), (0, vec!["false".to_owned(), "true".to_owned()]));
    assert_eq!(of("bound"), ["\"rise 5pp\"", "\"rise 1pp\""]);
    assert_eq!(of("promise"), ["\"1 per 1y\"", "\"1 per 1y\""]);
    assert_eq!(run(&["enable", name, "LatencyP95Exceeded"]).0, 0);
    let on = fs::read_to_string(&path).expect("there");
    assert_eq!(on, off.replace("enabled: false", "enabled: true"));
}

/// The rules of a file, the one of that id last, so that the others can be compared.
fn parted(source: &Source, id: &str) -> (Vec<Rule>, Option<Rule>) {
    let rules = compile(std::slice::from_ref(source)).rules.expect("right").rules;
    let (own, others): (Vec<Rule>, Vec<Rule>) = rules.into_iter().partition(|rule| rule.id == id);
    (others, own.into_iter().next())
}

#[test]
fn in_every_good_file_an_edit_changes_just_that_rule_and_can_be_taken_back() {
    let (mut inserted, mut replaced) = (0, 0);
    for path in files("rules", ".yaml").into_iter().chain(files("fixtures/rules", ".good.yaml")) {
        for dos in [false, true] {
            let mut before = source(&path);
            if dos {
                before.text = before.text.replace('\n', "\r\n");
            }
            let Some(set_of) = compile(std::slice::from_ref(&before)).rules else { panic!("{}", path.display()) };
            for rule in set_of.rules {
                let written = get(&before, &rule.id, "keep_firing_for").expect("found");
                let text = set(&before, &rule.id, "keep_firing_for", "7h").expect("set");
                let after = Source { text, ..before.clone() };
                let ((others, own), (others_now, own_now)) = (parted(&before, &rule.id), parted(&after, &rule.id));
                assert_eq!(others, others_now, "{}", path.display());
                assert_ne!(own, own_now, "{}", path.display());
                if let Some(written) = written {
                    assert_eq!(set(&after, &rule.id, "keep_firing_for", &written).expect("set back"), before.text);
                    replaced += 1;
                } else {
                    // Without what was put in, it is the file that it was.
                    let at = after.text.bytes().zip(before.text.bytes()).take_while(|(a, b)| a == b).count();
                    assert!(after.text.ends_with(&before.text[at..]), "{}", path.display());
                    inserted += 1;
                }
            }
        }
    }
    assert!(inserted > 20 && replaced > 5, "{inserted} inserted, {replaced} replaced");
}
