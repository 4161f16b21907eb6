//! Commands: what they get, what they may do, and that nothing is left of them.

#![expect(clippy::unwrap_used, reason = "a fault of a test's own may end the test")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use serde_json::json;
use shewhart::config::Config;
use shewhart::edge::clock;
use shewhart::edge::notify::{Attempt, DeliveryError, ExecSettings, FailureClass, FailureKind, Receiver, deliver};
use shewhart::engine::route::{Message, Note, Occasion};

use super::strict;
use super::{RAISED, attempt, crossing, firing, message};
use crate::daemon::PATIENCE;

/// A command that runs this script for a shell of its own choice.
fn script(folder: &Path, text: &str) -> Receiver {
    fs::write(folder.join("hook.sh"), text).unwrap();
    let mut settings: ExecSettings =
        serde_json::from_value(json!({"command": ["/bin/sh", "hook.sh", "$HOME", "a b"], "timeout": "30s"})).unwrap();
    settings.environment = vec![("PATH".to_owned(), "/usr/bin:/bin".to_owned()), ("LANG".to_owned(), "C".to_owned())];
    Receiver::Exec(settings).relative_to(folder)
}

fn ran(text: &str) -> Result<(), DeliveryError> {
    let folder = tempfile::tempdir().unwrap();
    deliver(&script(folder.path(), text), &firing(), attempt())
}

#[test]
fn a_command_gets_json_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let receiver =
        script(folder.path(), "cat > stdin; env | sort > env; pwd > pwd; printf '%s\\n' \"$0\" \"$@\" > args");
    let note = Note::Acknowledged { by: "ana".to_owned(), note: "on it".to_owned(), at: RAISED, of: (1, 1) };
    let noted = Message { occasion: Occasion::Acknowledged, notes: vec![note], ..firing() };
    deliver(&receiver, &noted, attempt()).unwrap();
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    let hook = strict::hook(read("stdin").as_bytes());
    assert_eq!((hook.id, hook.fallback), (firing().id.to_string(), false));
    assert_eq!(hook.occasion, "acknowledged");
    assert_eq!(hook.notes[0]["kind"], json!("acknowledged"));
    assert_eq!(hook.notes[0]["by"], json!("ana"));
    assert_eq!(hook.webhook.alerts[0].labels["agent"], "invoice-triage");
    assert_eq!(read("args"), "hook.sh\n$HOME\na b\n", "arguments as they are, no shell between");
    let env = read("env");
    let names: Vec<_> = env.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect();
    // A shell sets PWD, and some set _ and OLDPWD.
    let own = |name: &&&str| !matches!(**name, "PWD" | "_" | "OLDPWD" | "SHLVL");
    assert_eq!(names.iter().filter(own).copied().collect::<Vec<_>>(), ["LANG", "PATH"]);
    assert_eq!(Path::new(read("pwd").trim()), fs::canonicalize(folder.path()).unwrap());
}

#[test]
fn a_fallback_holds_nothing_of_an_agent() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = script(folder.path(), "cat > stdin");
    deliver(&receiver, &message(vec![crossing("canary")]), Attempt { fallback: true, ..attempt() }).unwrap();
    let stdin = fs::read(folder.path().join("stdin")).unwrap();
    assert!(!String::from_utf8_lossy(&stdin).contains("canary"));
    let hook = strict::hook(&stdin);
    assert!(hook.fallback && hook.id.ends_with("-fallback"), "{}", hook.id);
}

#[test]
fn the_exit_code_says_what_came_of_it() {
    assert_eq!(ran("exit 0"), Ok(()));
    let later = ran("echo busy >&2; exit 75").unwrap_err();
    assert_eq!((later.kind, later.class), (FailureKind::Retry { after: None }, FailureClass::Command));
    assert!(later.detail.ends_with("later: busy"), "{later}");
    for (text, told) in [
        ("exit 1", "ended with code 1"),
        ("printf 'first\\033[2J line\\nsecond' >&2; exit 3", "ended with code 3: first[2J line"),
        ("kill -9 $$", "ended by a signal"),
    ] {
        let error = ran(text).unwrap_err();
        assert_eq!((error.kind, error.class), (FailureKind::Doubtful, FailureClass::Command), "{error}");
        assert!(error.detail.ends_with(told), "{error}");
    }
}

#[test]
fn a_command_that_is_not_there_waits_for_people() {
    let folder = tempfile::tempdir().unwrap();
    let settings: ExecSettings = serde_json::from_value(json!({"command": ["./none"]})).unwrap();
    let error = deliver(&Receiver::Exec(settings).relative_to(folder.path()), &firing(), attempt()).unwrap_err();
    assert_eq!((error.kind, error.class), (FailureKind::Retry { after: None }, FailureClass::Command));
    assert!(error.detail.contains("cannot start"), "{error}");
}

#[test]
fn what_a_command_writes_or_does_not_read_stops_nothing() {
    // More than a pipe holds, both ways; and a message that nobody reads.
    assert_eq!(ran("cat > /dev/null; head -c 5000000 /dev/zero; head -c 5000000 /dev/zero >&2"), Ok(()));
    let folder = tempfile::tempdir().unwrap();
    let large = message((0..500).map(|i| crossing(&format!("agent-{i}"))).collect());
    assert_eq!(deliver(&script(folder.path(), "exit 0"), &large, attempt()), Ok(()));
}

/// Whether a process is there, a zombie included.
fn is_there(pid: &str) -> bool {
    Path::new("/proc").join(pid.trim()).exists()
}

fn wait_until_gone(pid: &str) {
    let end = clock::instant() + PATIENCE;
    while is_there(pid) {
        assert!(clock::instant() < end, "process {pid} is still there");
        clock::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_command_that_takes_too_long_is_ended_with_all_that_it_started() {
    let folder = tempfile::tempdir().unwrap();
    let Receiver::Exec(settings) =
        script(folder.path(), "trap '' TERM HUP INT; echo $$ > own; sleep 1000 & echo $! > child; cat; wait")
    else {
        unreachable!()
    };
    let receiver = Receiver::Exec(ExecSettings { timeout: "1s".parse().unwrap(), ..settings });
    let error = deliver(&receiver, &firing(), attempt()).unwrap_err();
    assert_eq!((error.kind, error.class), (FailureKind::Doubtful, FailureClass::Timeout), "{error}");
    let pid = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    assert!(!is_there(&pid("own")), "reaped");
    // Its child is not ours to reap; whoever is init does that.
    wait_until_gone_or_zombie(&pid("child"));
}

/// A process of which only its entry is left until init looks at it counts as gone.
fn wait_until_gone_or_zombie(pid: &str) {
    let stat = Path::new("/proc").join(pid.trim()).join("stat");
    if fs::read_to_string(stat).is_ok_and(|stat| stat.contains(") Z ")) {
        return;
    }
    wait_until_gone(pid);
}

#[test]
fn what_a_command_leaves_behind_is_ended_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = script(folder.path(), "sleep 1000 & echo $! > child; exit 0");
    assert_eq!(deliver(&receiver, &firing(), attempt()), Ok(()));
    wait_until_gone_or_zombie(&fs::read_to_string(folder.path().join("child")).unwrap());
}

fn load(text: &str) -> Result<Config, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shewhart.yaml");
    fs::write(&path, format!("kafka: {{ brokers: \"a:1\", topic: t, group: g }}\nrules: [rules]\n{text}")).unwrap();
    Config::load(&path).map_err(|error| error.to_string())
}

#[test]
fn commands_are_off_until_the_configuration_says_otherwise() {
    let receiver = "receivers: [ { name: hook, exec: { command: [./hook, --now] } } ]\nroute: { receiver: hook }\n";
    let refused = load(receiver).unwrap_err();
    assert!(refused.contains("`hook`: exec: commands are off; set allow_exec: true"), "{refused}");
    let refused = load(&format!("allow_exec: false\n{receiver}")).unwrap_err();
    assert!(refused.contains("commands are off"), "{refused}");
    let config = load(&format!("allow_exec: true\n{receiver}")).unwrap();
    let Some((_, Receiver::Exec(exec))) = config.receivers.first() else { panic!("{:?}", config.receivers) };
    assert!(exec.command[0].ends_with("/./hook") && exec.command[0].starts_with('/'), "{:?}", exec.command);
    assert_eq!(exec.command[1], "--now");
    assert!(exec.environment.iter().all(|(name, _)| matches!(name.as_str(), "PATH" | "HOME" | "LANG")));
    for (exec, told) in [
        ("{ command: [] }", "command: is empty"),
        ("{ command: \"rm -rf\" }", "sequence"),
        ("{ command: [x], timeout: 0s }", "out of bounds"),
        ("{ command: [x], timeout: 1h }", "out of bounds"),
        ("{ command: [x], timeout: soon }", "timeout"),
        ("{ command: [x], env: {} }", "unknown field"),
    ] {
        let text =
            format!("allow_exec: true\nreceivers: [ {{ name: hook, exec: {exec} }} ]\nroute: {{ receiver: hook }}\n");
        let refused = load(&text).expect_err(exec);
        assert!(refused.contains(told), "{exec}: {refused}");
    }
    let two = "receivers: [ { name: x, folder: { path: p }, slack: { url_file: u } } ]\nroute: { receiver: x }\n";
    assert!(load(two).unwrap_err().contains("exactly one of"), "{}", load(two).unwrap_err());
}

#[test]
fn the_rollback_hook_of_the_manual_asks_once_an_incident() {
    if !Path::new("/usr/bin/python3").exists() {
        crate::world::real::skipped("the rollback hook of the manual", "/usr/bin/python3 is missing");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let manual = crate::docs::read("docs/operations.md");
    let hook = manual.split("```python\n").nth(1).unwrap().split("```").next().unwrap();
    let hook = hook.replace("/var/lib/shewhart/rollbacks", &at("done"));
    fs::write(at("rollback.py"), hook.replace("/usr/local/bin/request-rollback", &at("request"))).unwrap();
    let request = |code: u8| {
        fs::write(at("request"), format!("#!/bin/sh\nprintf '%s\\n' \"$@\" >> '{}'\nexit {code}\n", at("asked")))
            .unwrap();
        fs::set_permissions(at("request"), fs::Permissions::from_mode(0o755)).unwrap();
    };
    let mut settings: ExecSettings =
        serde_json::from_value(json!({"command": ["/usr/bin/python3", "rollback.py"]})).unwrap();
    settings.environment = vec![("PATH".to_owned(), "/usr/bin:/bin".to_owned())];
    let receiver = Receiver::Exec(settings).relative_to(folder.path());
    request(1);
    let error = deliver(&receiver, &firing(), attempt()).unwrap_err();
    assert!(error.detail.ends_with("later: request-rollback ended with code 1"), "{error}");
    request(0);
    let odd = "-rf; $(reboot)";
    for _ in 0..2 {
        deliver(&receiver, &message(vec![crossing("invoice-triage"), crossing(odd)]), attempt()).unwrap();
    }
    deliver(&receiver, &super::resolved(), attempt()).unwrap();
    let asked = fs::read_to_string(at("asked")).unwrap();
    assert_eq!(asked, format!("--\ninvoice-triage\n--\ninvoice-triage\n--\n{odd}\n"));
}
