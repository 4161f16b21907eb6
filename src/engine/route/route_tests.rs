//! Stories of the router on made-up time.

use super::super::alert::Reason;
use super::super::units::{Offset, Partition};
use super::*;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(1_780_000_000_000 + seconds * 1_000)
}

fn second(at_: Timestamp) -> i64 {
    at_.since(at(0)).as_millis() / 1_000
}

fn crossing(agent: &str, severity: &str, to: State, transition: u32) -> Box<Crossing> {
    named("A", agent, severity, to, transition)
}

fn named(alert: &str, agent: &str, severity: &str, to: State, transition: u32) -> Box<Crossing> {
    let label = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let alert_id = Id::of(&[alert.as_bytes(), agent.as_bytes()]);
    Box::new(Crossing {
        alert_id,
        id: Id::of(&[alert.as_bytes(), agent.as_bytes(), &transition.to_be_bytes()]),
        transition,
        rule: format!("g/{alert}"),
        alert: alert.to_owned(),
        labels: BTreeMap::from([label("agent", agent), label("alertname", alert), label("severity", severity)]),
        annotations: BTreeMap::new(),
        from: State::Inactive,
        to,
        reason: Reason::Signalled,
        at: at(0),
        started_at: at(0),
        position: (Partition(0), Offset(0)),
        account: None,
    })
}

fn fires(agent: &str) -> Signal {
    Signal::Crossed(crossing(agent, "critical", State::Firing, 1))
}

fn ends(agent: &str) -> Signal {
    Signal::Crossed(crossing(agent, "critical", State::Resolved, 2))
}

fn pace() -> Pace {
    Pace { wait: Span::from_secs(30), interval: Span::from_secs(300), repeat: Span::HOUR }
}

fn ops() -> Route {
    Route::to("ops", &["alertname"], pace())
}

fn matchers(texts: &[&str]) -> Vec<Matcher> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn silence(matcher: &str, from: i64, until: i64) -> Signal {
    let times = (at(from), at(until));
    Signal::Silence(Box::new(Silence::new(matchers(&[matcher]), ("ann", "a release"), times, at(from)).unwrap()))
}

fn acknowledge(agent: &str, second: i64) -> Signal {
    let ack = Ack { by: "ann".to_owned(), note: "on it".to_owned(), at: at(second) };
    Signal::Acknowledge { alert: crossing(agent, "", State::Firing, 1).alert_id, ack }
}

/// Plays signals and prints every message as `second receiver Occasion [agent:state ...] notes`, at the router's own
/// deadlines.
fn play(router: &mut Router, signals: Vec<(i64, Signal)>, until: i64) -> Vec<String> {
    let mut told = Vec::new();
    let mut messages = Vec::new();
    let mut signals = signals.into_iter().peekable();
    let mut last = Timestamp::MIN;
    loop {
        let next_signal = signals.peek().map(|(second, _)| at(*second));
        let next = [next_signal, router.deadline()].into_iter().flatten().min();
        let Some(now) = next.filter(|now| *now <= at(until)) else { return told };
        // A deadline that does not move on would be a busy loop in the daemon.
        assert!(now > last || next_signal == Some(now), "the deadline stays at {}", second(now));
        last = now;
        let signal = signals.next_if(|(second, _)| at(*second) <= now).map_or(Signal::Tick, |(_, signal)| signal);
        router.step(signal, now, &mut messages);
        router.step(Signal::Tick, now, &mut messages);
        told.extend(messages.drain(..).map(|message| line(&message, now)));
    }
}

fn line(m: &Message, now: Timestamp) -> String {
    let who: Vec<String> = m.crossings.iter().map(|c| format!("{}:{}", c.labels["agent"], c.to.as_str())).collect();
    let notes = m.notes.iter().map(|note| match note {
        Note::Acknowledged { by, of, .. } => format!(" (acknowledged by {by}, {} of {})", of.0, of.1),
        Note::Escalated { since, told } => format!(" (escalated, {told} was told at {})", second(*since)),
        Note::SilenceEnded { fired, resolved, firing, silence } => {
            format!(" (silence of {} over: {fired} fired, {resolved} ended, {firing} fire)", silence.author)
        }
        Note::SilenceLong { quiet, .. } => format!(" (long silence, {quiet} quiet)"),
        Note::Undelivered { receiver, class } => format!(" ({receiver}: {class})"),
        Note::Digest { firing, resolved, by_alert } => format!(" (in all {firing}+{resolved}: {by_alert:?})"),
    });
    format!("{} {} {:?} {}{}", second(now), m.receiver, m.occasion, who.join(" "), notes.collect::<String>())
}

/// The same story, with the router written down and taken up again after every signal.
fn play_with_restarts(router: &Router, signals: Vec<(i64, Signal)>, until: i64) -> Vec<String> {
    let mut router = router.clone();
    let mut told = Vec::new();
    let mut times: Vec<i64> = signals.iter().map(|(second, _)| *second).collect();
    times.push(until);
    for (at, (second, signal)) in signals.into_iter().enumerate() {
        told.extend(play(&mut router, vec![(second, signal)], second.max(times[at + 1] - 1)));
        router = restarted(&router, router.policy.clone());
    }
    told.extend(play(&mut router, Vec::new(), until));
    told
}

fn restarted(router: &Router, policy: Policy) -> Router {
    let bytes = postcard::to_stdvec(&router.memory()).unwrap();
    let memory: RouterMemory = postcard::from_bytes(&bytes).unwrap();
    let newest = |(alert, wanted): (Id, Id)| {
        let known = router.alerts.get(&alert).filter(|known| known.crossing.id == wanted)?;
        Some((alert, known.crossing.clone()))
    };
    let crossings = memory.crossings().filter_map(newest).collect();
    let mut back = Router::new(policy).resume(memory, crossings, at(0));
    back.changed = router.changed;
    // What is kept up to date alert by alert is what would be found from all of them.
    let fires = |router: &Router| router.alerts.values().filter(|known| known.crossing.to == State::Firing).count();
    if fires(&back) == fires(router) && back.policy == router.policy {
        assert_eq!(back.inhibited, router.inhibited);
    }
    back
}

fn both(router: &Router, signals: &[(i64, Signal)], until: i64) -> Vec<String> {
    let told = play(&mut router.clone(), signals.to_vec(), until);
    assert_eq!(play_with_restarts(router, signals.to_vec(), until), told, "a restart changes what is told");
    told
}

#[test]
fn a_group_waits_joins_repeats_and_ends() {
    let router = Router::new(Policy::new(vec![ops()]));
    let cross = |agent, severity, to, n| Signal::Crossed(crossing(agent, severity, to, n));
    let signals = [
        (0, cross("b", "warning", State::Firing, 1)),
        (10, cross("a", "critical", State::Firing, 1)),
        (60, cross("c", "info", State::Firing, 1)),
        (4_000, cross("b", "warning", State::Resolved, 2)),
        (4_001, cross("a", "critical", State::Resolved, 2)),
        (4_002, cross("c", "info", State::Resolved, 2)),
    ];
    assert_eq!(
        both(&router, &signals, 100_000),
        [
            "30 ops First a:firing b:firing",
            "330 ops Changed a:firing b:firing c:firing",
            "3930 ops Repeat a:firing b:firing c:firing",
            "4230 ops Changed a:resolved b:resolved c:resolved",
        ]
    );
}

#[test]
fn an_alert_that_ends_within_the_wait_is_still_told() {
    let router = Router::new(Policy::new(vec![ops()]));
    let mut played = router.clone();
    assert_eq!(play(&mut played, vec![(0, fires("a")), (5, ends("a"))], 100_000), ["30 ops First a:resolved"]);
    assert!(played.alerts.is_empty() && played.groups.is_empty() && played.deadline().is_none());
}

#[test]
fn alerts_that_are_grouped_otherwise_after_a_restart_end_once_and_repeat_no_more() {
    let mut first = Router::new(Policy::new(vec![ops()]));
    play(&mut first, vec![(0, fires("a"))], 100);
    let mut second = restarted(&first, Policy::new(vec![Route::to("ops", &["agent"], pace())]));
    assert_eq!(play(&mut second, vec![(400, ends("a"))], 100_000), ["400 ops Changed a:resolved"]);
    let mut gone = restarted(&first, Policy::new(vec![Route::to("others", &["agent"], pace())]));
    assert_eq!(play(&mut gone, vec![(10, Signal::Tick)], 3_000), ["30 others First a:firing"]);
}

#[test]
fn repeats_have_ids_of_their_own_and_the_thread_of_the_first() {
    let mut router = Router::new(Policy::new(vec![ops()]));
    let mut messages = Vec::new();
    router.step(fires("a"), at(0), &mut messages);
    for now in [30, 3_630, 7_230] {
        router.step(Signal::Tick, at(now), &mut messages);
    }
    let ids: BTreeSet<Id> = messages.iter().map(|m| m.id).collect();
    assert_eq!((messages.len(), ids.len()), (3, 3));
    assert!(messages.iter().all(|m| m.thread == messages[0].id));
}

#[test]
fn routes_tell_each_their_own() {
    let pager = Route { matchers: matchers(&["severity=critical"]), ..Route::to("pager", &["agent"], pace()) };
    let router = Router::new(Policy::new(vec![Route { routes: vec![pager], ..ops() }]));
    let warning = Signal::Crossed(crossing("b", "warning", State::Firing, 1));
    let told = both(&router, &[(0, fires("a")), (1, warning), (2, ends("a"))], 1_000);
    assert_eq!(told, ["30 pager First a:resolved", "31 ops First b:firing"]);
}

#[test]
fn an_inhibited_alert_is_told_when_its_source_ends_and_not_at_all_when_it_ends_first() {
    let mut policy = Policy::new(vec![Route::to("ops", &["alertname"], pace())]);
    policy.inhibitions = vec![Inhibition {
        source: matchers(&["alertname=Down"]),
        target: matchers(&["alertname=A"]),
        equal: vec!["agent".to_owned()],
    }];
    let down = |to, n| Signal::Crossed(named("Down", "a", "critical", to, n));
    let router = Router::new(policy);
    let signals = [(0, down(State::Firing, 1)), (0, fires("a")), (1_000, down(State::Resolved, 2)), (2_000, ends("a"))];
    assert_eq!(
        both(&router, &signals, 3_000),
        [
            "30 ops First a:firing",
            "1000 ops Changed a:resolved",
            "1050 ops First a:firing",
            "2000 ops Changed a:resolved"
        ]
    );
    let signals = [(0, down(State::Firing, 1)), (0, fires("a")), (500, ends("a")), (1_000, down(State::Resolved, 2))];
    assert_eq!(both(&router, &signals, 3_000), ["30 ops First a:firing", "1000 ops Changed a:resolved"]);
}

#[test]
fn a_silence_tells_at_its_end_what_happened_under_it() {
    let router = Router::new(Policy::new(vec![ops()]));
    let signals = [(0, silence("agent=~\"a|b\"", 0, 1_000)), (10, fires("a")), (20, fires("b")), (300, ends("b"))];
    assert_eq!(
        both(&router, &signals, 1_500),
        ["1000 ops SilenceEnded a:firing b:resolved (silence of ann over: 2 fired, 1 ended, 1 fire)"]
    );
    let quiet = [(0, silence("agent=zzz", 0, 1_000)), (10, fires("a"))];
    assert_eq!(both(&router, &quiet, 1_500), ["40 ops First a:firing"]);
}

#[test]
fn who_was_told_that_it_fires_is_told_that_it_is_over_in_spite_of_a_silence() {
    let router = Router::new(Policy::new(vec![ops()]));
    let signals = [(0, fires("a")), (60, silence("agent=a", 60, 50_000)), (9_000, ends("a"))];
    assert_eq!(both(&router, &signals, 60_000), ["30 ops First a:firing", "9000 ops Changed a:resolved"]);
    // A silence that ends while the alert fires lets the reminders go on.
    let signals = [(0, fires("a")), (60, silence("agent=a", 60, 9_000))];
    assert_eq!(
        both(&router, &signals, 9_100),
        ["30 ops First a:firing", "9000 ops SilenceEnded a:firing (silence of ann over: 0 fired, 0 ended, 1 fire)",]
    );
}

#[test]
fn what_is_due_under_a_silence_is_due_when_it_is_over() {
    let boss = Escalation { after: Span::from_secs(900), receivers: vec!["boss".to_owned()] };
    let router = Router::new(Policy::new(vec![Route { escalation: Some(boss), ..ops() }]));
    let told = both(&router, &[(0, fires("a")), (600, silence("agent=a", 600, 1_800))], 3_000);
    let late = told.iter().find(|line| line.contains(" boss ")).unwrap();
    let second: i64 = late.split(' ').next().unwrap().parse().unwrap();
    assert!((1_800..=1_860).contains(&second) && late.contains("Escalated a:firing"), "{told:#?}");
    // Whoever takes an alert on under a silence is heard all the same.
    let told =
        both(&router, &[(0, fires("a")), (600, silence("agent=a", 600, 50_000)), (700, acknowledge("a", 700))], 3_000);
    assert_eq!(told, ["30 ops First a:firing", "700 ops Acknowledged a:firing (acknowledged by ann, 1 of 1)"]);
    // A silence that never began has nothing to say.
    let later = silence("agent=a", 5_000, 9_000);
    let Signal::Silence(made) = &later else { unreachable!() };
    let end = Signal::EndSilence { id: made.id, by: "bob".to_owned() };
    assert_eq!(both(&router, &[(0, later.clone()), (10, fires("a")), (11, end)], 100), ["40 ops First a:firing"]);
}

#[test]
fn a_clock_that_is_set_back_keeps_nobody_waiting() {
    let mut router = Router::new(Policy::new(vec![ops()]));
    play(&mut router, vec![(1_000_000, fires("a"))], 1_000_100);
    let mut messages = Vec::new();
    router.step(Signal::Tick, at(100), &mut messages);
    router.step(fires("b"), at(101), &mut messages);
    while let Some(due) = router.deadline().filter(|due| *due <= at(500)) {
        router.step(Signal::Tick, due, &mut messages);
    }
    assert!(messages.iter().any(|m| m.crossings.iter().any(|c| c.labels["agent"] == "b")), "{messages:#?}");
}

#[test]
fn a_silence_that_is_ended_early_ends_and_a_long_one_is_remembered() {
    let router = Router::new(Policy::new(vec![ops()]));
    let long = silence("agent=a", 0, 30 * 86_400);
    let Signal::Silence(made) = &long else { unreachable!() };
    let end = Signal::EndSilence { id: made.id, by: "bob".to_owned() };
    let signals = [(0, long.clone()), (10, fires("a")), (15 * 86_400, end)];
    assert_eq!(
        both(&router, &signals, 15 * 86_400 + 60),
        [
            "604800 ops SilenceLong  (long silence, 1 quiet)",
            "1209600 ops SilenceLong  (long silence, 1 quiet)",
            "1296000 ops SilenceEnded a:firing (silence of ann over: 1 fired, 0 ended, 1 fire)",
        ]
    );
}

#[test]
fn an_acknowledged_alert_is_not_repeated_and_not_escalated() {
    let boss = Escalation { after: Span::from_secs(900), receivers: vec!["boss".to_owned()] };
    let router = Router::new(Policy::new(vec![Route { escalation: Some(boss), ..ops() }]));
    let told = both(&router, &[(0, fires("a")), (100, acknowledge("a", 100)), (9_000, ends("a"))], 10_000);
    assert_eq!(
        told,
        [
            "30 ops First a:firing",
            "100 ops Acknowledged a:firing (acknowledged by ann, 1 of 1)",
            "9000 ops Changed a:resolved"
        ]
    );
    let told = both(&router, &[(0, fires("a")), (2_000, acknowledge("a", 2_000)), (9_000, ends("a"))], 10_000);
    assert_eq!(
        told,
        [
            "30 ops First a:firing",
            "930 boss Escalated a:firing (escalated, ops was told at 30)",
            "2000 boss Acknowledged a:firing (acknowledged by ann, 1 of 1)",
            "2000 ops Acknowledged a:firing (acknowledged by ann, 1 of 1)",
            "9000 boss Changed a:resolved",
            "9000 ops Changed a:resolved"
        ]
    );
}

#[test]
fn a_new_alert_beside_an_acknowledged_one_is_told_and_escalated() {
    let boss = Escalation { after: Span::from_secs(900), receivers: vec!["boss".to_owned()] };
    let router = Router::new(Policy::new(vec![Route { escalation: Some(boss), ..ops() }]));
    let told = both(&router, &[(0, fires("a")), (100, acknowledge("a", 100)), (500, fires("b"))], 2_000);
    assert_eq!(
        told,
        [
            "30 ops First a:firing",
            "100 ops Acknowledged a:firing (acknowledged by ann, 1 of 1)",
            "500 ops Changed b:firing a:firing",
            "1400 boss Escalated b:firing (escalated, ops was told at 500)",
        ]
    );
}

#[test]
fn a_mute_interval_holds_back_until_it_is_over() {
    let mut policy = Policy::new(vec![Route { mute: vec!["night".to_owned()], ..ops() }]);
    // 2026-05-28 20:26:40 is second 0; the night begins at 21:00 and ends at 22:00.
    let times = vec![RawTimes { start_time: "21:00".to_owned(), end_time: "22:00".to_owned() }];
    let night = Interval::new(&RawInterval { times, ..RawInterval::default() }).unwrap();
    policy.intervals.insert("night".to_owned(), vec![night]);
    let router = Router::new(policy.clone());
    let signals = [(0, fires("a")), (2_500, ends("a")), (2_600, fires("b"))];
    let told = play(&mut router.clone(), signals.to_vec(), 6_000);
    assert_eq!(told[0], "30 ops First a:firing");
    let (second, rest) = told[1].split_once(' ').unwrap();
    assert!((5_600..=5_660).contains(&second.parse::<i64>().unwrap()), "{told:?}");
    assert_eq!((rest, told.len()), ("ops Changed b:firing a:resolved", 2));
    policy.intervals.clear();
    policy.add_root(Route { active: vec!["night".to_owned()], ..Route::to("never", &[], pace()) });
    assert_eq!(play(&mut Router::new(policy), vec![(0, fires("a"))], 100), ["30 ops First a:firing"]);
}

#[test]
fn a_storm_becomes_one_message_a_minute_and_ends_as_one() {
    let route = Route::to("ops", &["agent"], Pace { wait: Span::ZERO, ..pace() });
    let mut policy = Policy::new(vec![route]);
    policy.digest_over = 3;
    let router = Router::new(policy);
    let agents: Vec<String> = (0..1_000).map(|n| format!("a{n:03}")).collect();
    let mut signals: Vec<(i64, Signal)> = agents.iter().map(|agent| (0, fires(agent))).collect();
    signals.extend(agents.iter().map(|agent| (1_000, ends(agent))));
    let mut played = router.clone();
    let told = play(&mut played, signals, 5_000);
    assert_eq!(told.len(), 8, "{told:#?}");
    // Three one by one, then the rest together when the minute is over.
    assert!(told[..3].iter().all(|line| line.starts_with("0 ops First a00")), "{told:#?}");
    assert!(told[3].starts_with("60 ops First ") && told[3].ends_with("(in all 997+0: {\"A\": 997})"), "{}", told[3]);
    assert!(told[4..7].iter().all(|line| line.starts_with("1000 ops Changed a00")), "{told:#?}");
    assert!(
        told[7].starts_with("1060 ops Changed ") && told[7].ends_with("(in all 0+997: {\"A\": 997})"),
        "{}",
        told[7]
    );
    assert!(played.groups.is_empty() && played.alerts.is_empty(), "{} groups", played.groups.len());
}

#[test]
fn a_receiver_that_keeps_alerts_is_told_changes_at_once_and_keeps_them_a_while() {
    let mut policy = Policy::new(vec![ops()]);
    policy.level.insert("ops".to_owned());
    let router = Router::new(policy);
    let told = both(&router, &[(0, fires("a")), (10, fires("b")), (20, ends("a"))], 100_000);
    assert_eq!(told, ["1 ops First a:firing", "11 ops Changed b:firing", "21 ops Changed a:resolved"]);
    let mut played = router.clone();
    play(&mut played, vec![(0, fires("a")), (10, fires("b")), (20, ends("a"))], 900);
    let standing = |router: &Router| -> Vec<String> {
        let names = router.standing("ops").into_iter().map(|c| format!("{}:{}", c.labels["agent"], c.to.as_str()));
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    };
    assert_eq!(standing(&played), ["a:resolved", "b:firing"]);
    play(&mut played, Vec::new(), 1_000);
    assert_eq!(standing(&played), ["b:firing"]);
    assert!(played.standing("others").is_empty());
}

#[test]
fn nothing_is_told_twice_and_everything_in_the_end() {
    // Random stories: whatever silences, acknowledgements and restarts do, every alert that fired without being held back
    // for ever is told, and every receiver that was told of it is told once that it is over.
    for seed in 0..200_u64 {
        let mut x = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut draw = |n: u64| {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            x % n
        };
        let boss = Escalation { after: Span::from_secs(900), receivers: vec!["boss".to_owned()] };
        let pager =
            Route { matchers: matchers(&["agent=~\"a.*\""]), go_on: true, ..Route::to("pager", &["agent"], pace()) };
        let log = Route::to("log", &[], pace());
        let mut policy = Policy::new(vec![Route { escalation: Some(boss), routes: vec![pager, log], ..ops() }]);
        // Every other story is short of room for messages: there, alerts may be told in numbers only.
        policy.digest_over = if seed % 2 == 0 { 1_000 } else { 4 };
        let mut router = Router::new(policy);
        let mut open: BTreeMap<String, String> = BTreeMap::new();
        let mut told: BTreeMap<(String, String), Vec<State>> = BTreeMap::new();
        let mut now = 0;
        for step in 0..80 {
            now += draw(400) as i64;
            let agent = format!("{}{}", if draw(2) == 0 { "a" } else { "b" }, draw(10));
            let signal = match draw(6) {
                0 => silence(&format!("agent=~\"{agent}.*\""), now, now + 1 + draw(2_000) as i64),
                1 => acknowledge(open.get(&agent).map_or("nobody", String::as_str), now),
                _ => open.remove(&agent).map_or_else(
                    || {
                        // Every incident has an id of its own.
                        let incident = format!("{agent}-{step}");
                        open.insert(agent.clone(), incident.clone());
                        fires(&incident)
                    },
                    |incident| ends(&incident),
                ),
            };
            let mut messages = Vec::new();
            router.step(signal, at(now), &mut messages);
            while let Some(due) = router.deadline().filter(|due| *due <= at(now + 200)) {
                router.step(Signal::Tick, due.max(at(now)), &mut messages);
            }
            now += 200;
            if draw(5) == 0 {
                router = restarted(&router, router.policy.clone());
            }
            note(&messages, &mut told);
        }
        for (_, agent) in std::mem::take(&mut open) {
            let mut messages = Vec::new();
            router.step(ends(&agent), at(now), &mut messages);
            note(&messages, &mut told);
        }
        let mut messages = Vec::new();
        while let Some(due) = router.deadline() {
            router.step(Signal::Tick, due.max(at(now)), &mut messages);
        }
        note(&messages, &mut told);
        assert!(router.alerts.is_empty() && router.groups.is_empty(), "seed {seed}: something is left");
        for (who, states) in told.into_iter().filter(|_| seed % 2 == 0) {
            let ends = states.iter().filter(|state| **state == State::Resolved).count();
            let last = states.last().copied();
            assert_eq!(last, Some(State::Resolved), "seed {seed}: {who:?} was not told the end: {states:?}");
            assert_eq!(ends, 1, "seed {seed}: {who:?} was told {ends} times that it is over: {states:?}");
        }
    }
}

fn note(messages: &[Message], told: &mut BTreeMap<(String, String), Vec<State>>) {
    for message in messages {
        for crossing in &message.crossings {
            let who = (message.receiver.clone(), crossing.labels["agent"].clone());
            told.entry(who).or_default().push(crossing.to);
        }
    }
}
