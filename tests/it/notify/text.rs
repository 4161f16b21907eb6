//! What people read.

#![expect(clippy::unwrap_used, reason = "a fault of a test's own may end the test")]

use std::collections::BTreeMap;

use shewhart::edge::notify::{
    ALERTS_SHOWN, MailSettings, facts, html, payload, render_eml, render_fallback_eml, slack, text,
};
use shewhart::engine::alert::{Account, Crossing, Moved, Reason, State};
use shewhart::engine::around::{Differ, How, Standing, Versus};
use shewhart::engine::route::{Message, Note, Occasion, SilenceSummary, Status};
use shewhart::engine::rule::{Characteristic, Component, Measure};
use shewhart::engine::units::{Estimate, Span};

use super::{RAISED, account, attempt, crossing, firing, hostile, message, poisoned, resolved, standing};
use crate::fake_smtp::Letter;

fn mail() -> MailSettings {
    let to = vec!["Ops <ops@example.com>".parse().unwrap(), "second@example.com".parse().unwrap()];
    MailSettings { from: "shewhart <alerts@example.com>".parse().unwrap(), to: to.into_iter().collect() }
}

fn letter(message: &Message) -> Letter {
    Letter::read(&render_eml(message, &mail(), attempt().now).unwrap())
}

#[test]
fn a_firing_alert_fits_on_one_screen() {
    let told = text::body(&firing());
    insta::assert_snapshot!("firing", told);
    assert!(told.lines().count() <= 25 && told.lines().all(|l| l.chars().count() <= 78), "{told}");
    assert_eq!(text::subject(&firing()), "[FIRING] critical AccuracyDegraded: agent=invoice-triage");
}

#[test]
fn a_resolved_alert_says_why_and_after_how_long() {
    insta::assert_snapshot!("resolved", text::body(&resolved()));
    assert_eq!(text::subject(&resolved()), "[RESOLVED] critical AccuracyDegraded: agent=invoice-triage");
}

#[test]
fn what_is_over_has_no_sentences_with_gaps() {
    // A chart that called the level back has begun anew: it has no numbers left to fill in.
    let mut over = resolved();
    over.crossings[0].account = None;
    over.crossings[0].annotations.insert("summary".to_owned(), "invoice-triage: accuracy , baseline ".to_owned());
    let told = text::body(&over);
    assert!(told.contains("Over: the stream is back at its baseline.") && told.contains("Runbook"), "{told}");
    assert!(!told.contains("accuracy ,"), "{told}");
}

#[test]
fn a_long_description_leaves_room_for_what_to_do() {
    let mut long = crossing("invoice-triage");
    long.annotations.insert("description".to_owned(), "Words and words. ".repeat(60));
    long.annotations.insert("contact".to_owned(), "the desk".to_owned());
    long.account = Some(Account { provisional: true, ..account() });
    long.account.as_mut().unwrap().around.standing = None;
    let told = text::body(&message(vec![long]));
    assert!(told.lines().count() <= 25 && told.lines().all(|l| l.chars().count() <= 78), "{told}");
    for wanted in ["PROVISIONAL", "https://runbooks.example/agents/accuracy", "head of accounts payable", " …"] {
        assert!(told.contains(wanted), "{wanted}\n{told}");
    }
}

#[test]
fn several_alerts_are_told_in_blocks_and_the_rest_is_counted() {
    let mut crossings: Vec<_> = (0..23).map(|i| crossing(&format!("agent-{i}"))).collect();
    crossings[1].to = State::Resolved;
    crossings[1].reason = Reason::RuleRemoved;
    crossings[1].account = None;
    let group = message(crossings);
    let told = text::body(&group);
    assert_eq!(text::subject(&group), "[FIRING] critical AccuracyDegraded (23 alerts): team=invoices");
    insta::assert_snapshot!("several", told.lines().take(26).collect::<Vec<_>>().join("\n"));
    assert_eq!(told.matches("FIRING: AccuracyDegraded on").count(), ALERTS_SHOWN - 1);
    assert!(told.contains("\nand 3 more\n") && html::body(&group).contains("<p>and 3 more</p>"));
}

fn moved() -> Vec<Moved> {
    let of = |characteristic, level, value, deviations, share| {
        let baseline = Estimate { value, low: value, high: value };
        Moved { characteristic, level, baseline, deviations, given: 2.0 * deviations, share }
    };
    vec![
        of(Characteristic::Latency, 812.4, 640.0, 2.14, 0.6),
        of(Characteristic::Cost, 0.0119, 0.0131, -1.3, 0.4),
        of(Characteristic::Confidence, 0.89, 0.89, 0.01, 0.0),
    ]
}

#[test]
fn every_measure_has_a_sentence() {
    let measures = [
        Measure::Confidence,
        Measure::EscalationRate,
        Measure::Latency { per_mille: 950, component: Some(Component::Retrieval) },
        Measure::Cost,
        Measure::Tokens,
        Measure::Metric("score".to_owned()),
        Measure::Flag("refused".to_owned()),
        Measure::ConfidenceDistribution,
        Measure::Profile,
        Measure::Silence,
        Measure::Volume,
    ];
    let told = measures.map(|measure| {
        let bare = matches!(measure, Measure::ConfidenceDistribution | Measure::Profile | Measure::Silence);
        let moved = if measure == Measure::Profile { moved() } else { Vec::new() };
        let estimate = account().estimate.filter(|_| !bare);
        let account = Account { measure, estimate, baseline: account().baseline.filter(|_| !bare), moved, ..account() };
        let text = text::body(&message(vec![Crossing { account: Some(account), ..crossing("a") }]));
        text.lines().skip(2).take_while(|l| !l.is_empty()).collect::<Vec<_>>().join(" ")
    });
    insta::assert_snapshot!("measures", told.join("\n"));
}

#[test]
fn a_mail_threads_by_ids_that_repeat() {
    let first = letter(&firing());
    assert_eq!(first.header("Message-ID"), format!("<{}@example.com>", firing().id));
    assert_eq!((first.header("References"), first.header("In-Reply-To")), ("", ""));
    let last = letter(&resolved());
    let thread = format!("<{}@example.com>", resolved().thread);
    assert_eq!((last.header("References"), last.header("In-Reply-To")), (thread.as_str(), thread.as_str()));
    assert_eq!(last.header("Auto-Submitted"), "auto-generated");
    assert_eq!(last.header("Date"), "Thu, 01 Oct 2026 14:06:00 +0000");
    assert_eq!(render_eml(&firing(), &mail(), attempt().now), render_eml(&firing(), &mail(), attempt().now));
}

#[test]
fn a_reminder_says_so() {
    let told = text::body(&Message { occasion: Occasion::Repeat, ..firing() });
    assert!(told.contains("Reminder: nothing changed"), "{told}");
}

#[test]
fn hostile_text_changes_nothing_but_words() {
    let usual: Vec<_> = letter(&firing()).headers.into_iter().map(|(name, _)| name).collect();
    let page = letter(&firing()).parts.pop().unwrap().1;
    for text in hostile() {
        let message = poisoned(&text);
        let letter = letter(&message);
        let start: String = text.chars().take(40).collect();
        let names: Vec<_> = letter.headers.iter().map(|(name, _)| name.clone()).collect();
        assert_eq!(names, usual, "{start:?}");
        assert!(letter.longest <= 998, "{start:?}: {} bytes in a line", letter.longest);
        assert!(letter.subject().chars().count() <= 120, "{start:?}: {}", letter.subject());
        assert_eq!(letter.header("From"), "shewhart <alerts@example.com>");
        let [(plain_kind, plain), (html_kind, html)] = letter.parts.as_slice() else { panic!("{start:?}: parts") };
        assert!(plain_kind.starts_with("text/plain") && html_kind.starts_with("text/html"));
        assert!(plain.lines().count() <= 35, "{start:?}:\n{plain}");
        assert_eq!(letter.pictures.len(), 1, "{start:?}: a picture is drawn whatever the text");
        for shown in [plain, html, &letter.subject()] {
            assert!(shown.chars().all(|c| c == '\n' || !c.is_control()), "{start:?}: {shown}");
            assert!(!shown.contains(['\u{202e}', '\u{2066}', '\u{200b}']), "{start:?}");
        }
        for tag in html.split('<').skip(1).map(|rest| rest.split_once('>').unwrap().0) {
            if let Some(image) = tag.strip_prefix("img src=\"cid:chart-1.") {
                let parts: Vec<_> = image.split('"').collect();
                assert_eq!((parts.len(), parts[3], parts[7]), (8, " alt=", ""), "{start:?}: <{tag}>");
                continue;
            }
            let link = tag.strip_prefix("a href=\"https://").is_some_and(|t| t.ends_with("\" rel=\"noreferrer\""));
            assert!(link && tag.matches('"').count() == 4 || page.contains(&format!("<{tag}>")), "{start:?}: <{tag}>");
        }
        assert!(!html.contains("href=\"javascript") && html.matches("<img").count() == 1, "{start:?}");
        assert!(html.len() < 64 * 1024, "{start:?}");
        assert_eq!(plain.contains("{{7*7}}"), text.contains("{{7*7}}"), "a template stays text: {plain}");
    }
}

#[test]
fn a_fallback_holds_nothing_of_an_agent() {
    for text in hostile().into_iter().filter(|t| !t.is_empty()).chain(["canary".to_owned()]) {
        let message = poisoned(&text);
        let raw = render_fallback_eml(&message, &mail(), attempt().now).unwrap();
        let clean = render_fallback_eml(&poisoned("other"), &mail(), attempt().now).unwrap();
        let letter = Letter::read(&raw);
        assert!(letter.pictures.is_empty());
        assert_eq!(letter.subject(), "[FIRING] critical invoice-agents/AccuracyDegraded (details withheld)");
        // The incident's id is computed from the agent's name; everything else is the same for every agent.
        let blank = |raw: &[u8], message: &Message| {
            Letter::read(raw).parts[0].1.replace(&message.crossings[0].alert_id.to_string(), "ID")
        };
        assert_eq!(blank(&raw, &message), blank(&clean, &poisoned("other")));
        assert!(letter.parts[0].1.contains(&message.crossings[0].alert_id.to_string()));
    }
    let mut odd = firing();
    odd.crossings[0].labels.insert("severity".to_owned(), "critical\r\nBcc: x".to_owned());
    let raw = render_fallback_eml(&odd, &mail(), attempt().now).unwrap();
    assert!(!String::from_utf8(raw).unwrap().contains("Bcc"));
}

/// The mails that people get, left in the build's folder for whoever wants to look at them.
fn keep(name: &str, message: &Message) -> Vec<u8> {
    let raw = render_eml(message, &mail(), attempt().now).unwrap();
    std::fs::write(std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("mail-{name}.eml")), &raw).unwrap();
    raw
}

#[test]
fn another_parser_reads_the_mail_with_its_charts() {
    let several = message((0..5).map(|i| crossing(&format!("agent-{i}"))).collect());
    for (name, message, pictures) in [("firing", firing(), 1), ("resolved", resolved(), 1), ("several", several, 3)] {
        let raw = keep(name, &message);
        let parsed = mailparse::parse_mail(&raw).unwrap();
        assert_eq!(parsed.ctype.mimetype, "multipart/alternative");
        let [plain, related] = parsed.subparts.as_slice() else { panic!("{name}: parts") };
        assert_eq!(
            (plain.ctype.mimetype.as_str(), related.ctype.mimetype.as_str()),
            ("text/plain", "multipart/related")
        );
        let [html, images @ ..] = related.subparts.as_slice() else { panic!("{name}: no html") };
        assert_eq!(images.len(), pictures, "{name}");
        let html = html.get_body().unwrap();
        for image in images {
            let header = |name: &str| image.headers.iter().find(|h| h.get_key_ref() == name).unwrap().get_value();
            let id = header("Content-ID").trim_matches(['<', '>']).to_owned();
            assert!(html.contains(&format!("<img src=\"cid:{id}\" width=\"600\" alt=\"Accuracy of ")), "{html}");
            let png = image.get_body_raw().unwrap();
            assert_eq!((image.ctype.mimetype.as_str(), &png[..8]), ("image/png", &b"\x89PNG\r\n\x1a\n"[..]));
            // Width and height of the header: twice what is shown.
            assert_eq!((&png[16..20], &png[20..24]), (&1_200_u32.to_be_bytes()[..], &560_u32.to_be_bytes()[..]));
            assert!(png.len() < 120_000, "{} bytes", png.len());
        }
        assert_eq!(plain.get_body().unwrap().replace("\r\n", "\n"), text::body(&message), "{name}");
    }
}

fn silence() -> SilenceSummary {
    SilenceSummary {
        id: "5e0f".to_owned(),
        author: "maria".to_owned(),
        comment: "migration of the ledger".to_owned(),
        matchers: vec!["agent=\"invoice-triage\"".to_owned()],
        starts_at: RAISED.minus(Span::DAY.times(9)),
        ends_at: RAISED.plus(Span::DAY.times(5)),
    }
}

#[test]
fn what_no_alert_says_is_told_at_the_top() {
    let by_alert = [("AccuracyDegraded".to_owned(), 40), ("CostRising".to_owned(), 17)].into();
    let acknowledged =
        |note: &str| Note::Acknowledged { by: "jo".to_owned(), note: note.to_owned(), at: RAISED, of: (1, 1) };
    let none = || message(Vec::new());
    let cases = [
        (Occasion::Acknowledged, firing(), acknowledged("rolling back")),
        (Occasion::Acknowledged, firing(), acknowledged("")),
        (Occasion::Escalated, firing(), Note::Escalated { since: RAISED, told: "accounts".to_owned() }),
        (Occasion::SilenceEnded, firing(), Note::SilenceEnded { silence: silence(), fired: 3, resolved: 2, firing: 1 }),
        (Occasion::SilenceEnded, none(), Note::SilenceEnded { silence: silence(), fired: 0, resolved: 0, firing: 0 }),
        (Occasion::SilenceLong, none(), Note::SilenceLong { silence: silence(), quiet: 1 }),
        (
            Occasion::First,
            firing(),
            Note::Undelivered { receiver: "pager".to_owned(), class: "client_error".to_owned() },
        ),
        (
            Occasion::Changed,
            message((0..3).map(|i| crossing(&format!("a{i}"))).collect()),
            Note::Digest { firing: 55, resolved: 2, by_alert },
        ),
    ];
    let told = cases.map(|(occasion, message, note)| {
        let message = Message { occasion, status: Status::Firing, notes: vec![note], ..message };
        keep(&format!("{occasion:?}"), &message);
        let body = text::body(&message);
        let top: Vec<_> = body.lines().take_while(|line| !line.is_empty()).collect();
        assert!(html::body(&message).contains("<p class=\"note\">"));
        let more = body.lines().find(|line| line.starts_with("and ")).unwrap_or_default();
        format!("{}\n{}\n{more}", text::subject(&message), top.join("\n"))
    });
    insta::assert_snapshot!("notes", told.join("\n\n"));
}

#[test]
fn people_who_acknowledge_cannot_break_a_subject() {
    for text in hostile() {
        let note = Note::Acknowledged { by: text.clone(), note: text.clone(), at: RAISED, of: (1, 2) };
        let message = Message { occasion: Occasion::Acknowledged, notes: vec![note], ..firing() };
        let letter = letter(&message);
        assert!(letter.subject().starts_with("[ACKNOWLEDGED by") && letter.subject().chars().count() <= 120);
        assert!(
            letter.longest <= 998
                && letter.parts[0].1.lines().all(|l| l.chars().count() <= 78 || l.contains("https://"))
        );
    }
}

#[test]
fn facts_come_in_the_order_of_questions() {
    let told = facts(&crossing("invoice-triage"));
    let names: Vec<_> = told.iter().map(|(name, _)| *name).collect();
    let expected = [
        "told",
        "since",
        "rests_on",
        "all_outputs",
        "meaning",
        "how_sure",
        "also_moved",
        "version",
        "tasks",
        "false_alarm",
        "baseline",
    ];
    assert_eq!(names, expected);
    assert!(told.iter().all(|(_, text)| !text.is_empty() && !text.contains('\n')));
    // A change older than the panes is not counted whole, and a release long before it is not called near.
    let mut old = crossing("invoice-triage");
    old.account.as_mut().unwrap().changed_at = Some(RAISED.minus(Span::DAY.times(3)));
    old.account.as_mut().unwrap().changed_between = None;
    let told = facts(&old);
    assert!(told[2].1.starts_with("2,480 of 3,310 outputs of the last 24 h labelled, 74.9 %"), "{}", told[2].1);
    old.account.as_mut().unwrap().around.versions[2].at = RAISED.minus(Span::DAY.times(8));
    assert_eq!(facts(&old)[7].1, "2.4.1 after 2.4.0, since 5 d before the change");
}

/// The facts of the example with another standing, by their names.
fn told_of(standing: Option<Standing>) -> BTreeMap<&'static str, String> {
    let mut crossing = crossing("invoice-triage");
    crossing.account.as_mut().unwrap().around.standing = standing;
    facts(&crossing).into_iter().collect()
}

#[test]
fn the_accuracy_of_all_outputs_stands_beside_that_of_the_labelled() {
    let told = told_of(Some(standing()));
    assert_eq!(told["rests_on"], "2,480 of 3,310 outputs since then labelled, 74.9 % (usual 73.1 %)");
    assert_eq!(told["all_outputs"], "89.3 % (88.1 to 90.5); labels alone 89.1 % (87.8 to 90.3)");
    assert!(!told.contains_key("labels_differ"));
    // Verdicts that came too late to be judged.
    let late = told_of(Some(Standing { outputs: 8_120, labelled: 4_120, usual: None, ..standing() }));
    assert_eq!(late["rests_on"], "2,480 labelled events; 4,120 of 8,120 outputs since then labelled, 50.7 %");
    // Where confidence adds nothing, the alert's own estimate says it all.
    let alone = Standing { how: How::LabelsOnly, estimate: standing().labels, ..standing() };
    assert!(!told_of(Some(alone)).contains_key("all_outputs"));
    // An alert from before there was any of it.
    let old = told_of(None);
    assert_eq!(old["rests_on"], "2,480 labelled events; 830 of 3,310 outputs still unlabelled");
    assert!(!old.contains_key("all_outputs"));
}

#[test]
fn picked_labels_are_named_with_the_number_to_go_by() {
    let differ = Differ { confidence: Some(Versus { labelled: 0.812, all: 0.904 }), escalated: None };
    let picked = Standing { how: How::Stratified, effective: 1_104.0, differ: Some(differ), ..standing() };
    let told = told_of(Some(picked.clone()));
    assert!(told["all_outputs"].contains("(88.1 to 90.5), labels weighted to match, worth 1,104;"));
    assert_eq!(
        told["labels_differ"],
        "unlike all outputs: mean confidence 81.2 % against 90.4 %; go by the number for all outputs, not by labels alone"
    );
    let told = told_of(Some(picked.without_estimate("confidence and verdicts disagree".to_owned())));
    assert!(told["labels_differ"].ends_with("; accuracy of all may be another than theirs"));
}

/// Whatever carries a message: what is invalid is a reason there, and no number.
#[test]
fn an_invalid_estimate_is_a_number_nowhere() {
    const WHY: &str = "labels contradict confidence since 08:00";
    let mut one = crossing("invoice-triage");
    let account = one.account.as_mut().unwrap();
    // Even where a number was left standing.
    account.around.standing = Some(Standing { invalid: Some(WHY.to_owned()), ..standing() });
    let context = account.context();
    assert_eq!(context["accuracy_invalid"], WHY);
    let mut seen = context.into_values().collect::<Vec<_>>();
    let message = message(vec![one]);
    let bodies = [
        text::body(&message),
        html::body(&message),
        String::from_utf8(payload::body(&message, false).unwrap()).unwrap(),
        slack::body(&message, attempt()).to_string(),
    ];
    for body in bodies {
        let body = body.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(body.contains(&format!("no estimate: {WHY}; labels alone 89.1 % (87.8 to 90.3)")), "{body}");
        seen.push(body);
    }
    for told in seen {
        assert!(!told.contains("89.3") && !told.contains("88.1") && !told.contains("90.5"), "{told}");
    }
}
