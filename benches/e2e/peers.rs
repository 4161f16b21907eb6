//! Other tools on the same topic, each with the work that comes nearest to ours: scripts in `benches/peers`.
//!
//! They run in the environment that `python3 -m venv target/peers && target/peers/bin/pip install river bytewax quixstreams
//! confluent-kafka orjson` makes. One that is not there is left out, and that is said.

use std::path::Path;
use std::process::Command;

use super::broker::{Broker, TOPIC, daemon};
use super::events::Load;
use super::measure::{Cost, measure, run, spread};

const PEERS: [(&str, &str); 3] =
    [("River", "river_peer.py"), ("Bytewax", "bytewax_peer.py"), ("Quix Streams", "quix_peer.py")];

pub(crate) fn compare(load: &Load, rounds: usize) {
    let broker = Broker::start();
    broker.fill(load);
    println!("{} events of {} streams, {}; {rounds} rounds\n", load.events, load.streams, broker.name());
    let mut ours = Vec::new();
    let mut theirs: [Vec<Cost>; 3] = Default::default();
    for _ in 0..rounds {
        ours.push(measure(|| _ = daemon(broker.bootstrap(), load.events as u64)));
        for ((name, script), costs) in PEERS.into_iter().zip(&mut theirs) {
            match peer(script) {
                Some(mut command) => {
                    command.args([broker.bootstrap(), TOPIC, &load.events.to_string()]);
                    costs.push(measure(|| run(&mut command)));
                }
                None => println!("SKIPPED: {name}: it is not installed in target/peers"),
            }
        }
    }
    let rate = |costs: &[Cost]| spread(costs.iter().map(|cost| load.events as f64 / cost.cpu));
    println!("{:<14} {} events a second of CPU", "shewhart", rate(&ours));
    for ((name, _), costs) in PEERS.into_iter().zip(&theirs).filter(|(_, costs)| !costs.is_empty()) {
        let times = spread(costs.iter().zip(&ours).map(|(theirs, ours)| theirs.cpu / ours.cpu));
        println!("{name:<14} {} events a second of CPU; shewhart {times} x as many", rate(costs));
    }
}

/// The script in its environment; nothing where what it imports is not there.
fn peer(script: &str) -> Option<Command> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join("target/peers/bin/python");
    let module = match script {
        "quix_peer.py" => "quixstreams",
        script => script.trim_end_matches("_peer.py"),
    };
    let imports = Command::new(&python).args(["-c", &format!("import {module}")]).output();
    imports.ok().filter(|output| output.status.success())?;
    let mut command = Command::new(python);
    command.arg(root.join("benches/peers").join(script));
    Some(command)
}
