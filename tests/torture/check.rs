//! What must hold after every fault, whatever it was.

#![expect(clippy::unwrap_used, reason = "a fault of a test's own may end the test")]

use std::collections::BTreeSet;
use std::fs;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::metadata::MetadataPartition;

use crate::stage::Stage;
use crate::trial::Trial;
use crate::world::copies::{Copy, copies};
use crate::world::daemon::{PATIENCE, Place};
use crate::world::secrets::{CANARY, contents, holds};
use crate::world::state::Left;
use crate::world::workload::TOPIC;

/// What a daemon may take of memory under these workloads, in KiB: the budget of production.
const RESIDENT_KIB: u64 = 512 << 10;
/// What a log holds when something went wrong that nobody meant to.
const BAD_WORDS: [&str; 5] = ["panicked", "SIGSEGV", "overflowed its stack", "the engine panic", FOREIGN];
/// A line by a library that we let speak for itself.
const FOREIGN: &str = "log.module_path";

/// No secret on a page of a running daemon.
pub(crate) fn pages(place: &Place) {
    for page in ["/metrics", "/-/ready", "/"] {
        let (_, text) = place.page(page).unwrap_or_else(|| panic!("no answer at {page}"));
        assert!(!text.contains(CANARY), "a secret at {page}");
    }
}

/// Compares what a disturbed daemon left behind with what an undisturbed one did. Neither runs.
pub(crate) fn all(stage: &Stage, oracle: &Left, sent: u64, trial: &mut Trial) {
    let place = &stage.place;
    let killers = place.list("SELECT partition || '/' || offset || ': ' || detail FROM rejects WHERE why = 'poison'");
    assert!(killers.is_empty(), "records were taken for killers: {killers:?}");
    // Reading it back looks at the integrity of the file too.
    let left = Left::behind(place);
    left.must_equal(oracle);
    left.notices_must_equal(oracle);
    assert_eq!(left.count("gaps"), 0, "gaps that nobody made");
    positions(place, stage.broker.bootstrap());
    // Each change of state is told to every receiver, not to one of them.
    for receiver in ["mail", "hook", "post"] {
        let sql = "SELECT count(DISTINCT notice) FROM outbox_alerts a JOIN outbox o ON a.message = o.id";
        let told = place.ask(&format!("{sql} WHERE receiver = '{receiver}'"));
        assert_eq!(told, Some(oracle.notices.len() as i64), "notices for {receiver}");
    }
    let extra = delivered(stage);
    quiet(place);
    assert!(stage.peak_kib < RESIDENT_KIB, "{} KiB resident", stage.peak_kib);
    let crossings = left.count("alert_events");
    assert!(crossings > 0 && !left.notices.is_empty(), "nothing happened that could have been lost");
    trial.note(format!(
        "{} interruptions, {sent} records, {crossings} crossings, {} messages, {extra} extra copies, {} MiB",
        stage.interrupted,
        place.ask("SELECT count(*) FROM outbox").unwrap(),
        stage.peak_kib >> 10
    ));
}

/// Where the partitions of the log end. A producer that was cut off sends again what it does not know to have arrived, and the
/// mock broker keeps both: there may be more than was sent.
fn ends(brokers: &str) -> Vec<(i32, i64)> {
    let client: BaseConsumer = ClientConfig::new().set("bootstrap.servers", brokers).create().unwrap();
    let metadata = client.fetch_metadata(Some(TOPIC), PATIENCE).unwrap();
    let partitions = metadata.topics().iter().flat_map(|topic| topic.partitions().iter().map(MetadataPartition::id));
    partitions.map(|partition| (partition, client.fetch_watermarks(TOPIC, partition, PATIENCE).unwrap().1)).collect()
}

/// How many records the log has had.
pub(crate) fn log_end(brokers: &str) -> u64 {
    ends(brokers).iter().map(|(_, end)| *end as u64).sum()
}

/// Every partition is counted to its end, no further.
fn positions(place: &Place, brokers: &str) {
    for (partition, end) in ends(brokers) {
        let next = place.ask(&format!("SELECT next_offset FROM partitions WHERE partition = {partition}"));
        assert_eq!(next.unwrap_or(0), end, "partition {partition}");
    }
}

/// Every message was delivered, every receiver has all of its own and nothing else, and what came more than once can be
/// explained: each interruption costs a receiver the one message that was on its way. How many came again.
pub(crate) fn delivered(stage: &Stage) -> usize {
    let place = &stage.place;
    let delivered = place.list("SELECT id FROM outbox WHERE state = 'delivered'");
    assert_eq!(delivered, place.list("SELECT id FROM outbox"), "some message is not delivered");
    let hook: Vec<Copy> = stage.hook.requests().iter().map(Copy::of_request).collect();
    let post: Vec<Copy> = stage.post.record().mails.iter().map(|mail| Copy::of_mail(mail)).collect();
    let mut extra = 0;
    for (receiver, all) in [("hook", hook), ("post", post)] {
        let ids = place.list(&format!("SELECT id FROM outbox WHERE receiver = '{receiver}'"));
        let counts = copies(&all);
        assert_eq!(counts.keys().cloned().collect::<BTreeSet<_>>(), ids, "what came at {receiver}");
        let more = all.len() - counts.len();
        assert!(more <= stage.interrupted, "{receiver}: {more} extra copies of {} interruptions", stage.interrupted);
        extra += more;
    }
    let files = fs::read_dir(place.mail()).map_or(0, |folder| {
        folder.filter(|file| file.as_ref().unwrap().file_name().to_string_lossy().ends_with(".eml")).count()
    });
    let ids = place.list("SELECT id FROM outbox WHERE receiver = 'mail'");
    assert_eq!(files, ids.len(), "files of the mail folder");
    extra
}

/// Nothing in the logs that must not be there, no secret in what was written.
pub(crate) fn quiet(place: &Place) {
    let log = place.log();
    for word in BAD_WORDS {
        let found = log.lines().find(|line| line.contains(word));
        assert!(found.is_none(), "{}", found.unwrap());
    }
    assert!(!log.contains(CANARY), "a secret in the log");
    assert!(!holds(&contents(&place.data), CANARY), "a secret in the data");
}
