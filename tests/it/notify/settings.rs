//! Settings, secrets, the folder, the pauses.

#![expect(clippy::unwrap_used, reason = "a fault of a test's own may end the test")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use shewhart::edge::notify::{
    Attempt, EmailSettings, FailureKind, FolderSettings, Receiver, Secret, WebhookSettings, backoff, deliver,
};
use shewhart::engine::alert::Id;

use super::{attempt, firing, poisoned, resolved};
use crate::fake_smtp::Letter;

fn faults(json: &str) -> String {
    match serde_json::from_str::<EmailSettings>(json) {
        Ok(settings) => settings.validate().map_or_else(
            |faults| faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
            |()| "fine".to_owned(),
        ),
        Err(e) => e.to_string(),
    }
}

#[test]
fn mail_settings_are_judged_before_any_mail() {
    let with = |key: &str, value: &str| {
        let mut settings =
            serde_json::json!({"smtp": "mail.example.com:587", "from": "a@example.com", "to": ["b@example.com"]});
        settings[key] = serde_json::from_str(value).unwrap();
        faults(&settings.to_string())
    };
    assert_eq!(with("security", r#""tls""#), "fine");
    assert_eq!(with("smtp", r#""[::1]:25""#), "fine");
    assert_eq!(with("from", r#""Wächter <a@example.com>""#), "fine");
    for (key, value, told) in [
        ("smtp", r#""mail.example.com""#, "is not a server"),
        ("smtp", r#""mail.example.com:0""#, "is not a server"),
        ("smtp", r#""evil\r\n:25""#, "is not a server"),
        ("from", r#""a\r\nBcc: x <a@example.com>""#, "from: `a Bcc: x <a@example.com>` is not a mail address"),
        ("from", r#""a\u0000b <a@example.com>""#, "is not a mail address"),
        ("to", r#"["nobody"]"#, "to: `nobody` is not"),
        ("to", r#"["ü@example.com"]"#, "is not a mail address"),
        ("to", "[]", "at least one recipient"),
        ("username", r#""me""#, "belong together"),
        ("security", r#""plain""#, "unknown variant"),
        ("password", r#""inline""#, "unknown field"),
    ] {
        assert!(with(key, value).contains(told), "{key}: {}", with(key, value));
    }
    let clear =
        r#"{"smtp":"h:25","security":"none","username":"me","password_file":"/x","from":"a@b.c","to":["a@b.c"]}"#;
    assert!(faults(clear).contains("in clear text"), "{}", faults(clear));
}

#[test]
fn a_key_in_an_address_is_never_printed() {
    let settings: WebhookSettings =
        serde_json::from_str(r#"{"url": "https://hooks.example.com/T0/canary?key=canary"}"#).unwrap();
    let receiver = Receiver::Webhook(settings);
    assert_eq!(receiver.validate(), Ok(()));
    assert!(!format!("{receiver:?}").contains("canary"), "{receiver:?}");
}

fn file_with_mode(folder: &Path, mode: u32, content: &[u8]) -> Secret {
    let path = folder.join(format!("{mode:o}-{}", content.len()));
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    Secret::in_file(path)
}

#[test]
fn a_secret_is_a_file_that_only_we_can_read() {
    let folder = tempfile::tempdir().unwrap();
    for (mode, fine) in
        [(0o600, true), (0o400, true), (0o640, false), (0o604, false), (0o660, false), (0o644, false), (0o666, false)]
    {
        let secret = file_with_mode(folder.path(), mode, b"s3cret\r\n");
        match secret.read() {
            Ok(opened) => assert!(fine && opened.expose() == "s3cret", "{mode:o}"),
            Err(e) => assert!(!fine && e.to_string().contains(&format!("{mode:04o}")), "{mode:o}: {e}"),
        }
        assert!(!format!("{secret:?}").contains("s3cret"));
    }
    for bad in [b"\n".to_vec(), b"\xff\xfe".to_vec(), vec![b'x'; 70_000]] {
        assert!(file_with_mode(folder.path(), 0o600, &bad).read().is_err());
    }
    assert!(Secret::in_file(folder.path()).read().is_err());
    assert!(Secret::in_file(folder.path().join("none")).read().is_err());
}

#[test]
fn a_secret_is_read_at_each_use() {
    let folder = tempfile::tempdir().unwrap();
    let secret = file_with_mode(folder.path(), 0o600, b"old");
    assert_eq!(secret.read().unwrap().expose(), "old");
    fs::write(secret.path(), "new").unwrap();
    assert_eq!(secret.read().unwrap().expose(), "new");
}

#[test]
fn a_second_delivery_to_a_folder_is_not_a_second_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/mails");
    let receiver = Receiver::Folder(FolderSettings { path: path.clone() });
    for now in [attempt().now, attempt().now.plus(shewhart::engine::units::Span::DAY)] {
        deliver(&receiver, &firing(), Attempt { fallback: false, now }).unwrap();
    }
    deliver(&receiver, &resolved(), attempt()).unwrap();
    let evil = poisoned("../../etc/passwd");
    deliver(&receiver, &shewhart::engine::route::Message { id: Id(7), ..evil }, attempt()).unwrap();
    let mut names: Vec<_> =
        fs::read_dir(&path).unwrap().map(|f| f.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names.len(), 3, "{names:?}");
    assert_eq!(names[0], "20261001T140500Z-00000000000000000000000000000007.eml");
    let letter = Letter::read(&fs::read(path.join(&names[1])).unwrap());
    assert_eq!(letter.subject(), "[FIRING] critical AccuracyDegraded: agent=invoice-triage");
}

#[test]
fn a_folder_that_cannot_be_written_is_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let error = deliver(&Receiver::Folder(FolderSettings { path: file }), &firing(), attempt()).unwrap_err();
    assert_eq!(error.kind, FailureKind::Retry { after: None }, "{error}");
}

#[test]
fn pauses_double_to_five_minutes_and_spread() {
    for (attempt, longest) in [(0, 1), (1, 1), (2, 2), (3, 4), (9, 256), (10, 300), (99, 300), (u32::MAX, 300)] {
        let pauses: Vec<_> = (0..500).map(|i| backoff(attempt, Id(i))).collect();
        assert!(pauses.iter().all(|p| *p > Duration::ZERO && *p <= Duration::from_secs(longest)), "{attempt}");
        let mean = pauses.iter().sum::<Duration>().as_secs_f64() / 500.0 / longest as f64;
        assert!((0.42..0.58).contains(&mean), "{attempt}: full jitter, mean {mean}");
    }
    assert_eq!(backoff(5, Id(1)), backoff(5, Id(1)));
}
