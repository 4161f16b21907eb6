//! Mails over a real mail server, aiosmtpd, read by Python's email package: neither is ours.

#![expect(clippy::unwrap_used, reason = "a fault of a test's own may end the test")]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use shewhart::edge::notify::{
    Attempt, DeliveryError, EmailSettings, FailureClass, FailureKind, Receiver, Secret, Security, deliver, render_eml,
    text,
};
use shewhart::engine::route::Message;

use super::{attempt, crossing, firing, message, resolved};
use crate::docs::root;
use crate::world::real::skipped;

const PASSWORD: &str = "correct horse";

/// A Python that has the server.
fn python() -> Option<&'static str> {
    let has_it = |python: &&str| {
        let tried = Command::new(python).args(["-c", "import aiosmtpd"]).stderr(Stdio::null()).status();
        tried.is_ok_and(|status| status.success())
    };
    let found = ["python3", "/usr/bin/python3"].into_iter().find(has_it);
    if found.is_none() {
        skipped("tests on a real mail server", "no Python with aiosmtpd (package python3-aiosmtpd)");
    }
    found
}

/// A running server. Killed by its id on drop.
struct Server {
    python: &'static str,
    child: Child,
    address: String,
    folder: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Server {
    fn start(mode: &str) -> Option<Self> {
        let python = python()?;
        let folder = tempfile::tempdir().unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("certificate.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
        fs::write(at("key.pem"), key.serialize_pem()).unwrap();
        let mut child = Command::new(python)
            .arg(script())
            .args(["serve".into(), folder.path().to_owned(), at("certificate.pem"), at("key.pem"), mode.into()])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut port = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut port).unwrap();
        Some(Self { python, child, address: format!("127.0.0.1:{}", port.trim()), folder })
    }

    fn send(&self, message: &Message, password: &str) -> Result<(), DeliveryError> {
        let secret = self.folder.path().join("password");
        fs::write(&secret, password).unwrap();
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
        let settings = EmailSettings {
            smtp: self.address.clone(),
            security: Security::Starttls,
            username: Some("watcher".to_owned()),
            password_file: Some(Secret::in_file(secret)),
            from: "shewhart <alerts@example.com>".to_owned(),
            to: vec!["Ops <ops@example.com>".to_owned()],
            ca_file: Some(self.folder.path().join("certificate.pem")),
            deadline: Duration::from_secs(20),
        };
        deliver(&Receiver::Email(settings), message, Attempt { fallback: false, ..attempt() })
    }

    /// The mails that it took, as files in the order of arrival.
    fn mails(&self) -> Vec<PathBuf> {
        let paths = (0..).map(|i| self.folder.path().join(format!("{i}.eml")));
        paths.take_while(|path| path.exists()).collect()
    }

    /// A mail as Python's email package reads it.
    fn read(&self, mail: &PathBuf) -> Value {
        let output = Command::new(self.python).arg(script()).arg("read").arg(mail).output().unwrap();
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)))
    }
}

fn script() -> PathBuf {
    root().join("tests/smtp/server.py")
}

#[test]
fn a_real_server_takes_the_mail_after_starttls_and_login() {
    let Some(server) = Server::start("starttls") else { return };
    let several = message((0..5).map(|i| crossing(&format!("agent-{i}"))).collect());
    for (at, (message, charts)) in [(firing(), 1), (resolved(), 1), (several, 3)].into_iter().enumerate() {
        assert_eq!(server.send(&message, PASSWORD), Ok(()));
        let mail = &server.mails()[at];
        let known: Value = serde_json::from_slice(&fs::read(mail.with_extension("json")).unwrap()).unwrap();
        let expected =
            json!({"from": "alerts@example.com", "to": ["ops@example.com"], "tls": true, "authenticated": true});
        assert_eq!(known, expected);
        let settings = shewhart::edge::notify::MailSettings {
            from: "shewhart <alerts@example.com>".parse().unwrap(),
            to: std::iter::once("Ops <ops@example.com>".parse().unwrap()).collect(),
        };
        // The client ends every mail with one line more.
        let sent = [render_eml(&message, &settings, attempt().now).unwrap(), b"\r\n".to_vec()].concat();
        let taken = fs::read(mail).unwrap();
        let differs = taken.iter().zip(&sent).position(|(a, b)| a != b);
        assert!(taken == sent, "{} bytes of {}, other from {differs:?} on", taken.len(), sent.len());

        let read = server.read(mail);
        assert_eq!(read["headers"]["Subject"], text::subject(&message));
        assert_eq!(read["headers"]["Auto-Submitted"], "auto-generated");
        let parts = read["parts"].as_array().unwrap();
        let kinds: Vec<_> = parts.iter().map(|part| part["type"].as_str().unwrap()).collect();
        assert_eq!(kinds[..4], ["multipart/alternative", "text/plain", "multipart/related", "text/html"]);
        assert_eq!(kinds[4..], vec!["image/png"; charts]);
        assert!(parts.iter().all(|part| part["defects"] == json!([])), "{read}");
        assert_eq!(parts[1]["text"].as_str().unwrap().replace("\r\n", "\n"), text::body(&message));
        let html = parts[3]["text"].as_str().unwrap();
        for part in &parts[4..] {
            let id = part["id"].as_str().unwrap().trim_matches(['<', '>']);
            assert!(html.contains(&format!("src=\"cid:{id}\"")), "{id}");
            assert_eq!((&part["size"], &part["start"]), (&json!([1200, 560]), &json!("iVBORw0KGgo=")));
            assert_eq!(part["disposition"], "inline");
        }
    }
}

#[test]
fn a_real_server_refuses_a_wrong_password_and_gets_no_mail() {
    let Some(server) = Server::start("starttls") else { return };
    let error = server.send(&firing(), "wrong horse").unwrap_err();
    assert_eq!((error.kind, error.class), (FailureKind::Permanent, FailureClass::AuthError), "{error}");
    assert!(!error.to_string().contains("horse"), "{error}");
    assert!(server.mails().is_empty());
}

#[test]
fn a_real_server_without_starttls_gets_no_mail() {
    let Some(server) = Server::start("plain") else { return };
    let error = server.send(&firing(), PASSWORD).unwrap_err();
    assert_eq!(error.kind, FailureKind::Retry { after: None }, "{error}");
    assert!(server.mails().is_empty());
}
