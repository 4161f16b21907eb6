//! Several daemons in one group, each with a database of its own: whoever has a partition in the end has counted all of it.

use std::collections::BTreeSet;
use std::fs;

use super::*;

/// So many places of one group.
fn places(broker: &Broker, group: &'static str, count: usize) -> Vec<Place> {
    (0..count).map(|_| place(broker.bootstrap(), group)).collect()
}

/// Incidents by their ids.
fn alerts(place: &Place) -> BTreeSet<String> {
    place.list("SELECT id FROM alerts WHERE fired_at_ms IS NOT NULL")
}

#[test]
fn one_two_three_two_and_one_daemon_count_every_record_once_each_and_raise_the_same_alerts() {
    let Some(broker) = Broker::start() else { return };
    broker.create_topic(TOPIC, 6);
    let events = brief(SEED);
    let total = events.len();
    let feeder = Feeder::start(vec![ProducerSettings::new(broker.bootstrap())], events);
    let places = places(&broker, "shared", 3);
    let mut daemons = Vec::new();
    for (at, place) in places.iter().enumerate() {
        daemons.push(place.start());
        // Each gives up some partitions and goes on with the others.
        feeder.allow(total * (at + 1) / 5);
        for (place, daemon) in places.iter().zip(&mut daemons) {
            place.wait_ready(daemon);
        }
    }
    places[1].stop(daemons.remove(1));
    feeder.allow(total * 4 / 5);
    clock::sleep(Duration::from_secs(1));
    places[2].stop(daemons.remove(1));
    let sent = feeder.finish();
    places[0].wait_for_end(&mut daemons[0], sent);
    places[0].stop(daemons.remove(0));
    let expected = in_peace(&broker, sent);
    Left::behind(&places[0]).must_equal(&expected);
    // What the others had decided by then, with the same ids.
    let all = alerts(&places[0]);
    assert!(places.iter().all(|place| alerts(place).is_subset(&all)));
}

#[test]
fn an_owner_that_freezes_beyond_its_session_is_followed_and_does_no_harm_when_it_comes_back() {
    let Some(broker) = Broker::start() else { return };
    broker.create_topic(TOPIC, 4);
    let events = brief(SEED);
    let total = events.len();
    let feeder = Feeder::start(vec![ProducerSettings::new(broker.bootstrap())], events);
    let places = places(&broker, "frozen", 2);
    let mut daemons: Vec<Daemon> = places.iter().map(Place::start).collect();
    feeder.allow(total / 3);
    for (place, daemon) in places.iter().zip(&mut daemons) {
        place.wait_ready(daemon);
    }
    daemons[0].signal("STOP");
    feeder.allow(total * 2 / 3);
    // The other has all partitions once the session of four seconds is over, and reads those it had not from their
    // beginning.
    places[1].wait("the partitions of the one that froze", &mut daemons[1], |place| {
        place.committed() == (total * 2 / 3) as u64
    });
    daemons[0].signal("CONT");
    let sent = feeder.finish();
    clock::sleep(Duration::from_secs(2));
    places[1].stop(daemons.remove(1));
    places[0].wait_for_end(&mut daemons[0], sent);
    places[0].stop(daemons.remove(0));
    let expected = in_peace(&broker, sent);
    Left::behind(&places[0]).must_equal(&expected);
    assert!(alerts(&places[1]).is_subset(&alerts(&places[0])));
}

#[test]
fn a_member_that_comes_and_goes_all_the_time_holds_nobody_up_for_good() {
    let Some(broker) = Broker::start() else { return };
    broker.create_topic(TOPIC, 4);
    let events = brief(SEED);
    let total = events.len();
    let feeder = Feeder::start(vec![ProducerSettings::new(broker.bootstrap())], events);
    let places = places(&broker, "storm", 2);
    let mut steady = places[0].start();
    for round in 1..=8 {
        feeder.allow(total * round / 10);
        let restless = places[1].start();
        clock::sleep(Duration::from_secs(3));
        if round % 2 == 0 {
            restless.kill();
        } else {
            places[1].stop(restless);
        }
    }
    let sent = feeder.finish();
    places[0].wait_for_end(&mut steady, sent);
    places[0].stop(steady);
    let expected = in_peace(&broker, sent);
    Left::behind(&places[0]).must_equal(&expected);
}

#[test]
fn a_daemon_whose_disk_is_gone_reads_everything_again_and_decides_the_same() {
    let Some(broker) = Broker::start() else { return };
    broker.create_topic(TOPIC, 3);
    let sent = Feeder::start(vec![ProducerSettings::new(broker.bootstrap())], brief(SEED)).finish();
    let place = place(broker.bootstrap(), "lost");
    let mut daemon = place.start();
    place.wait_for_end(&mut daemon, sent);
    place.stop(daemon);
    let (before, told) = (Left::behind(&place), alerts(&place));
    fs::remove_dir_all(&place.data).unwrap();
    let mut daemon = place.start();
    place.wait_for_end(&mut daemon, sent);
    place.stop(daemon);
    Left::behind(&place).must_equal(&before);
    assert_eq!(alerts(&place), told);
    assert!(!told.is_empty());
}
