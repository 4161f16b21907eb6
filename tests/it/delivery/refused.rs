//! Receivers that refuse for good, that refuse agents' text only, and that ask to be left alone.

use std::fs;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use shewhart::edge::mock::MockBroker;

use super::{Copy, Fleet, agents, body, count, email, place, wait_decided, wait_empty, webhook};
use crate::fake_http::{FakeHttp, Reply};
use crate::fake_smtp::{Act, FakeSmtp, Letter, Mode, Script};
use crate::workload::TOPIC;

/// Who could not be told, by a webhook's body.
fn instead(told: &Value) -> Option<String> {
    told.pointer("/commonAnnotations/message_notes")?.as_str()?.split(' ').next().map(ToOwned::to_owned)
}

fn head(status: &str) -> Reply {
    Reply::Head(format!("HTTP/1.1 {status}"))
}

#[test]
fn what_is_refused_for_good_is_a_dead_letter_that_people_see_and_other_receivers_have_it() {
    let broker = MockBroker::start(TOPIC, 1).unwrap();
    let mail = FakeSmtp::start(Mode::Plain, vec![Script::from([("BODY", Act::Say("554 5.7.1 no"))])]);
    let refusing = FakeHttp::start(head("422 Unprocessable"));
    // Takes nothing with agents' text in it: every second request is without.
    let strict = FakeHttp::start_script(vec![head("400 Bad Request"), head("200 OK")]);
    let well = FakeHttp::start(head("200 OK"));
    let place = place(
        &broker,
        &format!(
            "receivers:\n{}{}{}{}route: {{ receiver: [mail, refusing, strict, well], group_wait: 0s, group_interval: 0s }}\n\
             dead_letters: well\n",
            email("mail", mail.addr()),
            webhook("refusing", refusing.addr()),
            webhook("strict", strict.addr()),
            webhook("well", well.addr()),
        ),
    );
    let agents = agents('c', 1);
    Fleet::new(broker.bootstrap()).fail(&agents);
    let mut daemon = place.start();
    // Its own, and the two that others refused.
    wait_decided(&place, &mut daemon, "well", 3);
    wait_empty(&place, &mut daemon);
    let states = |receiver: &str| (count(&place, receiver, "delivered"), count(&place, receiver, "dead"));
    assert_eq!((states("mail"), states("refusing")), ((0, 1), (0, 1)));
    assert_eq!((states("strict"), states("well")), ((1, 0), (3, 0)));

    // Once with agents' text and once without, and then no more.
    let attempts = |receiver: &str| {
        let sql = format!(
            "SELECT count(*) FROM deliveries d JOIN outbox o ON d.message = o.id WHERE o.receiver = '{receiver}'"
        );
        place.ask(&sql).unwrap()
    };
    assert_eq!((attempts("mail"), attempts("refusing"), attempts("strict"), attempts("well")), (2, 2, 2, 3));
    let named = |text: &str| agents.iter().any(|agent| text.contains(agent.as_str()));
    let mails: Vec<bool> = mail.record().mails.iter().map(|mail| named(&format!("{:?}", Letter::read(mail)))).collect();
    assert_eq!(mails, [true, false]);
    for server in [&refusing, &strict] {
        let sent: Vec<Copy> = server.requests().iter().map(Copy::of_request).collect();
        assert_eq!(sent.iter().map(|copy| named(&copy.content)).collect::<Vec<_>>(), [true, false]);
        // Another body has another key: who remembers keys must not take it for the refused one.
        let [whole, plain] = sent.as_slice() else { panic!("{sent:?}") };
        assert_eq!(plain.id, format!("{}-fallback", whole.id));
    }
    let told: Vec<_> = well.requests().iter().map(body).collect();
    assert!(told.iter().all(|told| told["alerts"][0]["labels"]["agent"] == agents.first().unwrap().as_str()));
    let mut instead: Vec<_> = told.iter().map(instead).collect();
    instead.sort();
    assert_eq!(instead, [None, Some("mail".to_owned()), Some("refusing".to_owned())]);

    // People see it.
    let dead = |receiver: &str| place.metric(&format!("shewhart_outbox_dead{{receiver=\"{receiver}\"}}"));
    place.wait("the board", &mut daemon, |_| dead("refusing") == Some(1.0));
    assert_eq!((dead("mail"), dead("strict"), dead("well")), (Some(1.0), Some(0.0), Some(0.0)));
    let failed = |kind: &str| {
        place.metric(&format!("shewhart_notifications_failed_total{{integration=\"{kind}\",reason=\"client_error\"}}"))
    };
    assert_eq!((failed("email"), failed("webhook")), (Some(2.0), Some(3.0)));
    let printed = Command::new(env!("CARGO_BIN_EXE_shewhart"))
        .args(["alerts", "--db", &place.database().display().to_string()])
        .output()
        .unwrap();
    // Beside the table, which goes to the other stream.
    let text = String::from_utf8(printed.stderr).unwrap();
    let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("UNDELIVERED to ")).collect();
    for (receiver, why) in [("mail", "554"), ("refusing", "422")] {
        assert!(lines.iter().any(|line| line.contains(receiver) && line.contains(why)), "{receiver}: {text}");
    }
    assert_eq!(lines.len(), 2, "{text}");

    // A restart brings none of them back.
    place.stop(daemon);
    let mut daemon = place.start();
    place.wait_ready(&mut daemon);
    place.stop(daemon);
    assert_eq!((refusing.requests().len(), mail.record().mails.len()), (2, 2));
    assert!(fs::read_to_string(place.path().join("log")).unwrap().contains("a message was given up"));
}

#[test]
fn a_receiver_that_wants_less_is_left_alone_with_all_its_messages_as_long_as_it_asks_and_others_are_not() {
    const SHORT: Duration = Duration::from_secs(2);
    /// Longer than this test can take.
    const LONG: Duration = Duration::from_mins(9);
    let broker = MockBroker::start(TOPIC, 1).unwrap();
    let wants_less = |pause: Duration| {
        let answer = format!("429 Too Many Requests\r\nRetry-After: {}", pause.as_secs());
        FakeHttp::start_script(vec![head(&answer), head("200 OK")])
    };
    let (busy, hurried, well) = (wants_less(LONG), wants_less(SHORT), FakeHttp::start(head("200 OK")));
    let place = place(
        &broker,
        &format!(
            "receivers:\n{}{}{}route: {{ receiver: [busy, hurried, well], group_wait: 0s, group_interval: 0s }}\n",
            webhook("busy", busy.addr()),
            webhook("hurried", hurried.addr()),
            webhook("well", well.addr())
        ),
    );
    Fleet::new(broker.bootstrap()).fail(&agents('c', 5));
    let mut daemon = place.start();
    wait_decided(&place, &mut daemon, "busy", 5);
    for receiver in ["well", "hurried"] {
        place.wait("all the others to know all", &mut daemon, |place| count(place, receiver, "delivered") == 5);
    }
    place.stop(daemon);
    assert_eq!((count(&place, "busy", "pending"), count(&place, "busy", "delivered")), (5, 0));
    assert_eq!(busy.requests().len(), 1, "four of the five were never tried, and wait all the same");
    let requests = hurried.requests();
    let times: Vec<_> = requests.iter().map(|request| request.at).collect();
    let [first, second, ..] = times.as_slice() else { panic!("{requests:?}") };
    // The pause is kept in whole milliseconds.
    let waited = second.duration_since(*first) + Duration::from_millis(1);
    assert!(requests.len() == 6 && waited >= SHORT, "{waited:?} before {} more requests", requests.len() - 1);
}
