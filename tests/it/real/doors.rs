//! Brokers behind TLS and passwords: the right ones lead in, and no wrong one is mistaken for right or shown.

use std::fs;
use std::path::{Path, PathBuf};

use super::*;
use crate::world::daemon::spent;
use crate::world::fleet::Fleet;
use crate::world::real::Door;
use crate::world::secrets::{holds, secret};

const PASSWORD: &str = "canary-of-the-right-password";
const WRONG: &str = "canary-of-a-wrong-password";

/// An authority, and what it vouches for.
struct Authority {
    key: rcgen::KeyPair,
    params: rcgen::CertificateParams,
    pem: String,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let key = rcgen::KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { key, params, pem }
    }

    /// Writes a key with its certificate, as Kafka reads both from one file.
    fn vouch(&self, folder: &Path, file: &str, name: &str, expired: bool) -> PathBuf {
        let mut params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        if expired {
            params.not_after = rcgen::date_time_ymd(2020, 1, 1);
        }
        let key = rcgen::KeyPair::generate().unwrap();
        let issuer = rcgen::Issuer::from_params(&self.params, &self.key);
        let certificate = params.signed_by(&key, &issuer).unwrap();
        let path = folder.join(file);
        fs::write(&path, key.serialize_pem() + &certificate.pem() + &self.pem).unwrap();
        path
    }
}

fn with_key(file: &Path) -> Vec<(String, String)> {
    let set = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    vec![set("ssl.keystore.type", "PEM"), set("ssl.keystore.location", &file.display().to_string())]
}

/// A daemon that comes through a door with these properties, the password in a file.
fn guest(address: &str, group: &'static str, authority: &str, password: &str) -> Place {
    let mut place = Place::new(address, TOPIC);
    place.group = group;
    fs::write(place.path().join("authority.pem"), authority).unwrap();
    let file = secret(&place, "password", password);
    let authority = place.path().join("authority.pem").display().to_string();
    place.log_filter = "trace";
    place.kafka = if password.is_empty() {
        format!("    security.protocol: ssl\n    ssl.ca.location: \"{authority}\"\n")
    } else {
        format!(
            "    security.protocol: sasl_ssl\n    ssl.ca.location: \"{authority}\"\n    sasl.mechanism: SCRAM-SHA-256\n    \
             sasl.username: shewhart\n    debug: security,broker\n  properties_files: {{ sasl.password: {file} }}\n"
        )
    };
    place
}

#[test]
fn only_the_right_password_and_certificate_lead_in_and_no_secret_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let key = |file: &str, name: &str, expired| with_key(&ours.vouch(folder.path(), file, name, expired));
    let scram = |mut properties: Vec<(String, String)>| {
        let module = "org.apache.kafka.common.security.scram.ScramLoginModule required;";
        properties.push(("scram-sha-256.sasl.jaas.config".to_owned(), module.to_owned()));
        properties.push(("sasl.enabled.mechanisms".to_owned(), "SCRAM-SHA-256".to_owned()));
        properties
    };
    let doors = [
        Door { name: "GUARDED", protocol: "SASL_SSL", properties: scram(key("good.pem", "127.0.0.1", false)) },
        Door { name: "EXPIRED", protocol: "SSL", properties: key("expired.pem", "127.0.0.1", true) },
        Door { name: "ELSEWHERE", protocol: "SSL", properties: key("elsewhere.pem", "kafka.example.com", false) },
    ];
    let user = format!("SCRAM-SHA-256=[name=shewhart,password={PASSWORD}]");
    let Some(broker) = Broker::start_with(1, &doors, &user) else { return };
    broker.create_topic(TOPIC, 2);
    let mut fleet = Fleet::new(broker.bootstrap());
    fleet.fail(&["c000".to_owned()]);

    let welcome = guest(broker.door(0), "welcome", &ours.pem, PASSWORD);
    let mut daemon = welcome.start();
    welcome.wait("all records through the guarded door", &mut daemon, |place| place.committed() == fleet.sent);
    welcome.stop(daemon);
    assert!(!holds(welcome.log().as_bytes(), PASSWORD));

    for (name, door, authority, password, word) in [
        ("wrong-password", 0, &ours.pem, WRONG, "Authentication failed"),
        ("wrong-authority", 0, &theirs.pem, PASSWORD, "certificate verify failed"),
        ("expired", 1, &ours.pem, "", "certificate verify failed"),
        ("elsewhere", 2, &ours.pem, "", "certificate verify failed"),
    ] {
        let place = guest(broker.door(door), name, authority, password);
        let mut daemon = place.start();
        says(&place, &mut daemon, "Kafka refused us");
        assert!(place.log().to_lowercase().contains(&word.to_lowercase()), "{name}: {}", place.log());
        let before = spent(daemon.pid());
        clock::sleep(Duration::from_secs(4));
        let busy = spent(daemon.pid()) - before;
        assert!(busy < 200, "{name}: {busy} hundredths of a second in four seconds of waiting");
        let (status, page) = place.page("/-/ready").expect("a page");
        assert_eq!(status, 503);
        assert!(page.contains("refused"), "{name}: {page}");
        assert_eq!(place.committed(), 0, "{name}");
        place.stop(daemon);
        assert!(!holds(place.log().as_bytes(), "canary"), "{name}");
    }
}
