//! Mail servers that are slow, that refuse, that lie.

#![expect(clippy::unwrap_used, reason = "a fault of a test's own may end the test")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use shewhart::edge::clock;
use shewhart::edge::notify::{
    Attempt, DeliveryError, EmailSettings, FailureClass, FailureKind, Receiver, Secret, Security, deliver,
};
use shewhart::engine::route::Message;

use super::{attempt, firing, hostile, poisoned};
use crate::fake_smtp::{Act, FakeSmtp, Letter, Mode, Proof, Script, base64_decode};

const RETRY: FailureKind = FailureKind::Retry { after: None };

fn settings(server: &FakeSmtp, security: Security) -> EmailSettings {
    EmailSettings {
        smtp: server.server(),
        security,
        username: None,
        password_file: None,
        from: "shewhart <alerts@example.com>".to_owned(),
        to: vec!["ops@example.com".to_owned()],
        ca_file: None,
        deadline: Duration::from_mins(1),
    }
}

fn send(settings: &EmailSettings) -> Result<(), DeliveryError> {
    deliver(&Receiver::Email(settings.clone()), &plain(), attempt())
}

/// The example without a chart: what the server does is not about what the mail holds.
fn plain() -> Message {
    let mut message = firing();
    message.crossings.iter_mut().flat_map(|c| &mut c.account).for_each(|account| account.around.course = None);
    message
}

fn scripted(pairs: &[(&'static str, Act)]) -> Vec<Script> {
    vec![pairs.iter().cloned().collect()]
}

/// Settings with a login and the server's certificate, in files that live as long as the folder.
fn with_login(server: &FakeSmtp, security: Security, folder: &tempfile::TempDir) -> EmailSettings {
    let password = folder.path().join("password");
    fs::write(&password, "canary-password\n").unwrap();
    fs::set_permissions(&password, fs::Permissions::from_mode(0o600)).unwrap();
    let ca = folder.path().join("ca.pem");
    fs::write(&ca, &server.certificate).unwrap();
    EmailSettings {
        username: Some("watcher".to_owned()),
        password_file: Some(Secret::in_file(password)),
        ca_file: Some(ca),
        ..settings(server, security)
    }
}

#[test]
fn a_mail_arrives_as_it_was_rendered() {
    let server = FakeSmtp::start(Mode::Plain, vec![]);
    let two = EmailSettings {
        to: vec!["Ops <ops@example.com>".to_owned(), "second@example.com".to_owned()],
        ..settings(&server, Security::None)
    };
    assert_eq!(send(&two), Ok(()));
    let record = server.record();
    assert_eq!((record.mails.len(), record.connections), (1, 1));
    let letter = Letter::read(&record.mails[0]);
    assert_eq!(letter.header("To"), "Ops <ops@example.com>, second@example.com");
    let verbs: Vec<_> = record.commands.iter().map(|(_, line)| &line[..4]).collect();
    assert_eq!(verbs, ["EHLO", "MAIL", "RCPT", "RCPT", "DATA", "QUIT"]);
}

#[test]
fn hostile_text_stays_one_mail() {
    for text in hostile() {
        let server = FakeSmtp::start(Mode::Plain, vec![]);
        let receiver = Receiver::Email(settings(&server, Security::None));
        assert_eq!(deliver(&receiver, &poisoned(&text), attempt()), Ok(()));
        let record = server.record();
        assert_eq!((record.mails.len(), record.commands.len()), (1, 5), "{:?}", record.commands);
        assert_eq!(Letter::read(&record.mails[0]).parts.len(), 2);
    }
}

#[test]
fn a_password_is_sent_only_under_tls() {
    let folder = tempfile::tempdir().unwrap();
    for (mode, security) in [(Mode::Starttls, Security::Starttls), (Mode::Tls, Security::Tls)] {
        let server = FakeSmtp::start(mode, vec![]);
        assert_eq!(send(&with_login(&server, security, &folder)), Ok(()), "{mode:?}");
        let record = server.record();
        assert_eq!(record.mails.len(), 1);
        let auth = record.commands.iter().find(|(_, line)| line.starts_with("AUTH")).unwrap();
        assert!(auth.0, "under TLS");
        let login = base64_decode(auth.1.strip_prefix("AUTH PLAIN ").unwrap());
        assert_eq!(String::from_utf8(login).unwrap(), "\0watcher\0canary-password");
    }
}

#[test]
fn nothing_falls_back_to_clear_text() {
    let folder = tempfile::tempdir().unwrap();
    let plain = FakeSmtp::start(Mode::Plain, vec![]);
    for security in [Security::Starttls, Security::Tls, Security::None] {
        let settings = EmailSettings { deadline: Duration::from_secs(1), ..with_login(&plain, security, &folder) };
        let error = send(&settings).unwrap_err();
        assert!(!error.to_string().contains("canary"), "{error}");
    }
    let record = plain.record();
    assert!(record.mails.is_empty());
    assert!(record.commands.iter().all(|(_, line)| ["EHLO", "QUIT"].iter().any(|v| line.starts_with(v))), "{record:?}");
}

#[test]
fn a_certificate_that_is_not_right_ends_the_attempt() {
    let folder = tempfile::tempdir().unwrap();
    for proof in [Proof::WrongName, Proof::Expired, Proof::Good] {
        for (mode, security) in [(Mode::Starttls, Security::Starttls), (Mode::Tls, Security::Tls)] {
            let server = FakeSmtp::start_with(mode, vec![], proof);
            let mut settings = with_login(&server, security, &folder);
            if proof == Proof::Good {
                // Good, but signed by nobody we know.
                settings.ca_file = None;
            }
            let error = send(&settings).unwrap_err();
            assert_eq!((error.kind, error.class), (RETRY, FailureClass::Tls), "{proof:?} {mode:?} {error}");
            let record = server.record();
            assert!(record.commands.iter().all(|(_, line)| !line.starts_with("AUTH")), "{record:?}");
        }
    }
}

#[test]
fn replies_slipped_in_before_tls_are_noticed() {
    let folder = tempfile::tempdir().unwrap();
    for slipped in [
        "220 go\r\n250 AUTH PLAIN",
        "220 go\r\n250 AUTH PLAIN\r\n235 in\r\n250 a\r\n250 b\r\n354 c\r\n250 sent",
        "220 go\r\n250 AUTH PLAIN\r\n235 in",
    ] {
        let server = FakeSmtp::start(Mode::Starttls, scripted(&[("STARTTLS", Act::Say(slipped))]));
        let error = send(&with_login(&server, Security::Starttls, &folder)).unwrap_err();
        assert_eq!(error.kind, RETRY, "{slipped:?} {error}");
        assert!(server.record().mails.is_empty(), "{slipped:?}");
    }
}

#[test]
fn every_refusal_at_every_verb_is_understood() {
    let folder = tempfile::tempdir().unwrap();
    let codes = [
        ("421 try later", RETRY, FailureClass::ServerError),
        ("450 busy", RETRY, FailureClass::ServerError),
        ("451 4.3.0 canary", RETRY, FailureClass::ServerError),
        ("550 5.7.1 canary", FailureKind::Permanent, FailureClass::ClientError),
        ("552 too big", FailureKind::Permanent, FailureClass::ClientError),
        ("554 no", FailureKind::Permanent, FailureClass::ClientError),
        ("535 5.7.8 who", FailureKind::Permanent, FailureClass::AuthError),
        ("boo", RETRY, FailureClass::ServerError),
        ("999 what", RETRY, FailureClass::ServerError),
    ];
    for verb in ["CONNECT", "EHLO", "AUTH", "MAIL", "RCPT", "DATA", "BODY"] {
        for (reply, kind, class) in codes {
            let server = FakeSmtp::start(Mode::Tls, scripted(&[(verb, Act::Say(reply))]));
            let error = send(&with_login(&server, Security::Tls, &folder)).unwrap_err();
            let class = if verb == "AUTH" && reply.starts_with('5') { FailureClass::AuthError } else { class };
            assert_eq!((error.kind, error.class), (kind, class), "{verb} {reply}: {error}");
            assert!(!error.to_string().contains("canary"), "{error}");
            let hint = error.to_string().contains("password_file");
            assert_eq!(hint, class == FailureClass::AuthError, "{verb} {reply}: {error}");
        }
        let server = FakeSmtp::start(Mode::Tls, scripted(&[(verb, Act::Cut)]));
        let error = send(&with_login(&server, Security::Tls, &folder)).unwrap_err();
        assert_eq!(error.kind, RETRY, "{verb} cut: {error}");
    }
}

#[test]
fn only_the_one_right_code_is_a_yes() {
    for (verb, reply) in
        [("BODY", "354 go"), ("BODY", "251 will forward"), ("BODY", "220 hi"), ("DATA", "250 ok"), ("MAIL", "354 go")]
    {
        let server = FakeSmtp::start(Mode::Plain, scripted(&[(verb, Act::Say(reply))]));
        let error = send(&settings(&server, Security::None)).unwrap_err();
        assert_eq!((error.kind, error.class), (RETRY, FailureClass::ServerError), "{verb} {reply}: {error}");
    }
}

#[test]
fn a_refused_mail_after_a_slow_one_counts_as_refused() {
    let slow = scripted(&[("BODY", Act::Silence)]);
    let refusing = scripted(&[("BODY", Act::Say("550 5.7.1 no"))]);
    let server = FakeSmtp::start(Mode::Plain, [slow, refusing].concat());
    let settings = EmailSettings { deadline: Duration::from_millis(300), ..settings(&server, Security::None) };
    let first = send(&settings).unwrap_err();
    assert_eq!((first.kind, first.class), (RETRY, FailureClass::Timeout), "{first}");
    let second = send(&EmailSettings { deadline: Duration::from_mins(1), ..settings }).unwrap_err();
    assert_eq!((second.kind, second.class), (FailureKind::Permanent, FailureClass::ClientError), "{second}");
    assert_eq!(server.record().connections, 2);
}

#[test]
fn a_server_that_wastes_time_gets_what_was_set_and_no_more() {
    let verbs = ["CONNECT", "EHLO", "MAIL", "DATA", "BODY"];
    std::thread::scope(|scope| {
        for (verb, act) in verbs.into_iter().flat_map(|verb| [(verb, Act::Silence), (verb, Act::Drip)]) {
            scope.spawn(move || {
                let server = FakeSmtp::start(Mode::Plain, scripted(&[(verb, act.clone())]));
                wasted(&settings(&server, Security::None), &format!("{act:?} {verb}"));
            });
        }
        scope.spawn(|| {
            let server = FakeSmtp::start(Mode::Plain, scripted(&[("CONNECT", Act::Silence)]));
            wasted(&settings(&server, Security::Tls), "no TLS handshake");
        });
    });
}

fn wasted(settings: &EmailSettings, case: &str) {
    let start = clock::instant();
    let error = send(&EmailSettings { deadline: Duration::from_millis(200), ..settings.clone() }).unwrap_err();
    assert_eq!((error.kind, error.class), (RETRY, FailureClass::Timeout), "{case}: {error}");
    // None of these servers ends by itself, and an attempt that is not told how long it may take takes 30 s.
    assert!(start.elapsed() < Duration::from_secs(20), "{case}: {:?}", start.elapsed());
}

#[test]
fn a_server_that_hangs_takes_nothing_from_another() {
    let hanging = FakeSmtp::start(Mode::Plain, scripted(&[("EHLO", Act::Drip)]));
    // Longer than any pause between two drops, which would end a conversation and make room for another.
    let settings = EmailSettings { deadline: Duration::from_secs(3), ..settings(&hanging, Security::None) };
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| {
                let error = send(&settings).unwrap_err();
                assert_eq!(error.class, FailureClass::Timeout, "{error}");
            });
        }
    });
    assert!(hanging.record().connections <= 8, "conversations with one server are bounded");
    let fine = FakeSmtp::start(Mode::Plain, vec![]);
    assert_eq!(send(&EmailSettings { smtp: fine.server(), deadline: Duration::from_mins(1), ..settings }), Ok(()));
}

#[test]
fn a_long_reply_does_not_fill_memory() {
    for bytes in [2_000, 10_000_000] {
        let server = FakeSmtp::start(Mode::Plain, scripted(&[("MAIL", Act::Flood(bytes))]));
        let error = send(&settings(&server, Security::None)).unwrap_err();
        assert_eq!(error.kind, RETRY, "{error}");
        assert!(error.detail.len() < 400);
    }
}

#[test]
fn one_dead_mailbox_does_not_keep_an_alert_from_the_others() {
    let to = vec!["gone@example.com".to_owned(), "ops@example.com".to_owned(), "full@example.com".to_owned()];
    let refusals = [("RCPT gone@example.com", Act::Say("550 gone")), ("RCPT full@example.com", Act::Say("452 full"))];
    let server = FakeSmtp::start(Mode::Plain, scripted(&refusals));
    assert_eq!(send(&EmailSettings { to: to.clone(), ..settings(&server, Security::None) }), Ok(()));
    assert_eq!(server.record().mails.len(), 1);
    let both = vec![to[0].clone(), to[2].clone()];
    let error = send(&EmailSettings { to: both, ..settings(&server, Security::None) }).unwrap_err();
    assert_eq!(error.kind, RETRY, "one of them may work later: {error}");
    let error = send(&EmailSettings { to: vec![to[0].clone()], ..settings(&server, Security::None) }).unwrap_err();
    assert_eq!(error.kind, FailureKind::Permanent, "{error}");
}

#[test]
fn a_server_that_is_not_there_is_tried_again() {
    let server = FakeSmtp::start(Mode::Plain, vec![]);
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    for smtp in [gone, "no-such-host.invalid:25".to_owned()] {
        let error = send(&EmailSettings { smtp, ..settings(&server, Security::None) }).unwrap_err();
        assert_eq!((error.kind, error.class), (RETRY, FailureClass::Connect), "{error}");
    }
}

#[test]
fn a_fallback_is_sent_without_text_from_agents() {
    let server = FakeSmtp::start(Mode::Plain, vec![]);
    let receiver = Receiver::Email(settings(&server, Security::None));
    deliver(&receiver, &poisoned("canary"), Attempt { fallback: true, ..attempt() }).unwrap();
    let record = server.record();
    let mail = String::from_utf8(record.mails[0].clone()).unwrap();
    assert!(!mail.contains("canary") && mail.contains("details withheld"), "{mail}");
}
