//! What the command line says of a database is what the views say.
#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::process::{Command, Output};

use serde_json::Value;

use super::world::{db, rows, world};

fn shewhart(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_shewhart")).args(args).output().unwrap()
}

fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn the_console_says_what_the_views_say() {
    let (db, path) = (db(), world().path.display().to_string());
    let status: Value = serde_json::from_str(&printed(&shewhart(&["status", "--db", &path, "-o", "json"]))).unwrap();
    let counted = rows(
        &db,
        "SELECT count(*) AS all_of_them, count(*) FILTER (WHERE state = 'learning') AS learning,
           count(*) FILTER (WHERE state = 'in control') AS in_control,
           count(*) FILTER (WHERE state = 'out of control') AS out_of_control FROM v_streams",
    );
    assert_eq!(status["streams"]["all"], counted[0]["all_of_them"]);
    for state in ["learning", "in_control", "out_of_control"] {
        assert_eq!(status["streams"][state], counted[0][state], "{state}");
    }
    assert_eq!(status["held"], false);
    assert_eq!(status["outbox"], serde_json::json!({"pending": 1, "dead": 1}));
    assert_eq!((&status["rules"]["refused_since"], &status["baseline"]), (&1.into(), &"validation@1".into()));
    assert_eq!(status["partitions"][0]["next_offset"].as_u64(), Some(world().lines.len() as u64));
    let text = printed(&shewhart(&["status", "--db", &path]));
    assert!(text.contains("rules") && text.contains("REFUSED"), "{text}");

    let alerts: Value = serde_json::from_str(&printed(&shewhart(&["alerts", "--db", &path, "-o", "json"]))).unwrap();
    let expected = rows(&db, "SELECT alert_id FROM v_alerts ORDER BY started_at_ms DESC, alert_id");
    let ids = |list: &[Value]| list.iter().map(|row| row["alert_id"].clone()).collect::<Vec<_>>();
    assert_eq!(ids(alerts.as_array().unwrap()), ids(&expected));
    assert_eq!(printed(&shewhart(&["alerts", "--db", &path])).lines().count(), expected.len() + 1);

    assert_eq!(shewhart(&["status", "--db", "/no/such/file.db"]).status.code(), Some(1));
    let csv = printed(&shewhart(&["db", "query", &path, "SELECT agent, state FROM v_streams ORDER BY 1", "-o", "csv"]));
    assert!(csv.starts_with("agent,state\r\n") && csv.lines().count() == 5, "{csv}");
    assert_eq!(shewhart(&["db", "query", &path, "DELETE FROM alerts"]).status.code(), Some(1));
    assert!(printed(&shewhart(&["db", "check", &path])).contains("whole"));
}

/// A health check by the container asks the daemon itself: a database that can be read does not make it healthy.
#[test]
fn a_daemon_that_does_not_answer_is_not_healthy() {
    use std::io::{Read as _, Write as _};
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("shewhart.yaml");
    std::fs::copy(&world().path, folder.path().join("shewhart.db")).unwrap();
    let socket = folder.path().join("shewhart.sock");
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let data = folder.path().display().to_string();
    let text = format!(
        "kafka: {{ brokers: \"127.0.0.1:1\", topic: events, group: g }}\ndata_dir: {data}\nrules: [rules]\nhttp: {{ listen: off }}\n"
    );
    std::fs::write(&config, text).unwrap();
    let config = config.display().to_string();
    let serve = |answers: Vec<&'static str>| {
        let listener = listener.try_clone().unwrap();
        std::thread::spawn(move || {
            for answer in answers {
                let (mut client, _) = listener.accept().unwrap();
                let mut head = [0; 512];
                assert!(client.read(&mut head).unwrap() > 0);
                write!(client, "HTTP/1.1 {answer}\r\nContent-Type: text/plain\r\n\r\nwords\n").unwrap();
            }
        })
    };
    for (answers, code) in [
        (vec!["200 OK", "200 OK"], 0),
        (vec!["200 OK", "503 Service Unavailable"], 0),
        (vec!["503 Service Unavailable", "503 Service Unavailable"], 69),
    ] {
        let served = serve(answers.clone());
        let output = shewhart(&["status", "-c", &config]);
        assert_eq!(output.status.code(), Some(code), "{answers:?} {}", String::from_utf8_lossy(&output.stderr));
        served.join().unwrap();
    }
    drop(listener);
    assert_eq!(shewhart(&["status", "-c", &config]).status.code(), Some(69));
}
