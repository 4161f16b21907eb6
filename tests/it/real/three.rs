//! Three nodes, of which one is killed or frozen, and an election that loses records. For nights:
//! `SHEWHART_NIGHT=1 cargo test --test it -- real::three --test-threads 1`.

use super::*;
use crate::world::fleet::Fleet;
use crate::world::real::skipped;

/// Three nodes, when it is night.
fn at_night() -> Option<Broker> {
    if std::env::var_os("SHEWHART_NIGHT").is_none() {
        skipped("three Kafka nodes", "they want the machine for themselves: with SHEWHART_NIGHT=1 they have it");
        return None;
    }
    Broker::start_with(3, &[], "")
}

#[test]
fn a_leader_that_is_killed_and_one_that_freezes_cost_the_daemon_nothing() {
    let Some(mut broker) = at_night() else { return };
    broker.create_topic(TOPIC, 6);
    ends_as_in_peace(&mut broker, |broker, third| {
        if third == 1 {
            broker.signal(0, "KILL");
            clock::sleep(Duration::from_secs(10));
            broker.start_again(0);
        } else {
            broker.signal(1, "STOP");
            clock::sleep(Duration::from_secs(15));
            broker.signal(1, "CONT");
        }
        broker.wait(3);
    });
}

/// Replicas are on the first two nodes; the third is there so that somebody can be elected.
#[test]
fn an_election_that_loses_records_is_a_gap_and_no_silent_jump() {
    let Some(mut broker) = at_night() else { return };
    broker.create_topic_on(TOPIC, &[1, 2], &[("unclean.leader.election.enable", "true"), ("min.insync.replicas", "1")]);
    let place = place(broker.bootstrap(), "unclean");
    let mut daemon = place.start();
    let events = brief(SEED);
    let total = events.len();
    let producer = ProducerSettings::new(broker.bootstrap());
    let feeder = Feeder::start(vec![producer], events);
    feeder.allow(total / 2);
    place.wait("the first half", &mut daemon, |place| place.committed() == (total / 2) as u64);
    broker.signal(1, "KILL");
    feeder.allow(total / 2 + 1_000);
    place.wait("what only one node has", &mut daemon, |place| place.committed() == (total / 2 + 1_000) as u64);
    broker.signal(0, "KILL");
    broker.start_again(1);
    let gap = "SELECT count(*) FROM gaps WHERE reason = 'truncated'";
    place.wait_asking("the gap", &mut daemon, Duration::from_millis(200), |place| place.ask(gap) == Some(1));
    broker.start_again(0);
    broker.wait(3);
    // The first producer has lost records that it knew were taken, and gives up; others go on.
    let mut fleet = Fleet::new(broker.bootstrap());
    fleet.fail(&["c000".to_owned()]);
    place.wait("new records", &mut daemon, |place| {
        place.ask("SELECT count(*) FROM streams WHERE agent = 'c000'") == Some(1)
    });
    place.stop(daemon);
}
