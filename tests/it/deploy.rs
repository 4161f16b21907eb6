//! What is shipped beside the program: the unit's exposure, alerts about the daemon, and the list of the C code inside.

#![expect(clippy::unwrap_used, reason = "a fault of a test's own may end the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::docs::{all_metrics, files, metric_names, read, root};
use crate::world::real::skipped;

/// As `systemd-analyze security` counts, in tenths: 0 is shut, 100 is open.
const EXPOSURE_MAX: &str = "20";

#[test]
fn the_unit_is_exposed_to_little() {
    let unit = root().join("deploy/shewhart.service");
    let asked = Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--no-pager", &format!("--threshold={EXPOSURE_MAX}")])
        .arg(unit)
        .output();
    let Ok(done) = asked else {
        skipped("the unit's exposure", "systemd-analyze is missing");
        return;
    };
    let told = String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned();
    if !done.status.success() && !told.contains("exposure level") {
        skipped("the unit's exposure", &format!("this systemd-analyze cannot tell it: {told}"));
        return;
    }
    assert!(done.status.success(), "{told}");
}

#[test]
fn alerts_about_the_daemon_ask_for_what_it_shows() {
    let shown = metric_names();
    let rules = read("deploy/prometheus-alerts.yaml");
    let expressions = rules.lines().filter(|line| !line.trim_start().starts_with("summary:"));
    let words = expressions.flat_map(|line| line.split(|c: char| !c.is_ascii_lowercase() && c != '_'));
    let asked: BTreeSet<&str> = words.filter(|word| word.starts_with("shewhart_")).collect();
    assert!(asked.len() > 10, "{asked:?}");
    for name in asked {
        assert!(shown.contains(name), "{name}");
    }
}

/// Runs Prometheus' own tool. Nothing where it is missing.
fn promtool(words: &[&str], input: &str) {
    let mut command = Command::new("promtool");
    command.args(words).current_dir(root()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let Ok(mut tool) = command.spawn() else {
        return skipped("what Prometheus says", "promtool is missing (Debian: prometheus)");
    };
    tool.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let done = tool.wait_with_output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&[done.stdout, done.stderr].concat()));
}

#[test]
fn prometheus_has_nothing_to_say_about_the_metrics() {
    promtool(&["check", "metrics"], &all_metrics());
}

#[test]
fn alerts_about_the_daemon_fire_when_they_should() {
    promtool(&["check", "rules", "deploy/prometheus-alerts.yaml"], "");
    promtool(&["test", "rules", "tests/read/prometheus-alerts.test.yaml"], "");
}

/// Every package of the lock file that the program is built from, with its versions.
fn locked() -> BTreeMap<String, BTreeSet<String>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in read("Cargo.lock").split("[[package]]").skip(1) {
        let field = |name: &str| {
            let line = package.lines().find_map(|line| line.strip_prefix(&format!("{name} = ")));
            line.unwrap().trim_matches('"').to_owned()
        };
        found.entry(field("name")).or_default().insert(field("version"));
    }
    found
}

#[test]
fn the_list_of_c_code_is_that_of_the_lock_file() {
    // They declare functions of an operating system and hold no code.
    const DECLARATIONS: [&str; 4] = ["core-foundation-sys", "js-sys", "linux-raw-sys", "windows-sys"];
    let list: Value = serde_json::from_str(&read("deploy/c-code.cdx.json")).unwrap();
    let locked = locked();
    let mut listed = BTreeMap::new();
    for component in list["components"].as_array().unwrap() {
        let (name, version) = (component["name"].as_str().unwrap(), component["version"].as_str().unwrap());
        let (package, of) = component["properties"][0]["value"].as_str().unwrap().split_once('@').unwrap();
        assert!(locked.get(package).is_some_and(|versions| versions.contains(of)), "{name}: no {package} {of}");
        // Where the package says the version of what it holds, it is that.
        if let Some((_, inside)) = of.split_once('+')
            && name != "cjson"
            && ["librdkafka", "openssl", "zstd"].contains(&name)
        {
            assert_eq!(inside.trim_start_matches("zstd."), version, "{name}");
        }
        listed.insert(name, version);
        assert_eq!(component["purl"], format!("pkg:generic/{name}@{version}"));
    }
    assert_eq!(listed["sqlite"], rusqlite::version());
    assert_eq!(listed["librdkafka"], rdkafka::util::get_rdkafka_version().1);
    // `openssl-sys` builds what `openssl-src` holds.
    let native = locked.keys().filter(|name| name.ends_with("-sys") && *name != "openssl-sys");
    for package in native.filter(|name| !DECLARATIONS.contains(&name.as_str())) {
        let held = list["components"].as_array().unwrap().iter().any(|component| {
            component["properties"][0]["value"].as_str().is_some_and(|value| value.starts_with(&format!("{package}@")))
        });
        assert!(held, "{package} brings C code that deploy/c-code.cdx.json does not name");
    }
}

#[test]
fn names_that_agents_choose_are_hashed_with_a_key_of_this_process() {
    // The hash of std and of IndexMap is SipHash with random keys: names made to collide collide nowhere. Faster ones
    // without a key would let a producer slow the daemon down.
    let manifest = read("Cargo.toml");
    for package in ["ahash", "fxhash", "rustc-hash", "foldhash", "fnv", "nohash"] {
        assert!(!manifest.contains(&format!("\n{package} =")), "{package}");
    }
    for path in files("src", ".rs") {
        let text = read(&path);
        for word in ["with_hasher", "BuildHasherDefault", "BuildHasher for"] {
            assert!(!text.contains(word), "{path} brings a hash of its own: {word}");
        }
    }
}
