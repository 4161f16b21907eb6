//! `shewhart simulate`: synthetic events to a file or to Kafka.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;

use super::args::SimulateArgs;
use super::{Invalid, OK, say};
use crate::edge::kafka::produce::{Outgoing, Producer, ProducerSettings};
use crate::simulate::{Generator, Scenario, write_file, write_jsonl};

pub(super) fn simulate(args: &SimulateArgs) -> anyhow::Result<u8> {
    let scenario = scenario(&args.scenario)?;
    if let Some(brokers) = &args.to_kafka {
        let sent = to_kafka(&scenario, args, brokers)?;
        say(&format!("{sent} events produced to {}", args.topic));
        return Ok(OK);
    }
    if args.out == Path::new("-") {
        match write_jsonl(&scenario, args.seed, args.events, &mut std::io::stdout().lock()) {
            Ok(_) => {}
            // `simulate | head` ends so.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {}
            Err(error) => return Err(error.into()),
        }
        return Ok(OK);
    }
    write_file(&scenario, args.seed, args.events, &args.out)
        .with_context(|| format!("cannot write {}", args.out.display()))?;
    for planted in scenario.truth() {
        say(&format!("planted: {}", serde_json::to_string(&planted)?));
    }
    Ok(OK)
}

fn scenario(name: &str) -> anyhow::Result<Scenario> {
    match name {
        "demo" => Ok(Scenario::demo()),
        "bench" => Ok(Scenario::bench()),
        path => {
            let text = std::fs::read_to_string(path).with_context(|| format!("cannot read the scenario {path}"))?;
            Scenario::parse(&text).map_err(|error| Invalid(format!("{path}: {error}")).into())
        }
    }
}

fn to_kafka(scenario: &Scenario, args: &SimulateArgs, brokers: &str) -> anyhow::Result<u64> {
    if scenario.end().is_none() && args.events.is_none() {
        return Err(Invalid("this scenario has no end: say how many --events".to_owned()).into());
    }
    let producer = Producer::new(&ProducerSettings::new(brokers))?;
    let mut sent = 0;
    let most = args.events.unwrap_or(u64::MAX);
    for event in Generator::new(scenario, args.seed).take(usize::try_from(most).unwrap_or(usize::MAX)) {
        producer.send(&Outgoing::new(&args.topic, &event.agent, event.json.as_bytes()))?;
        sent += 1;
    }
    producer.flush(Duration::from_secs(30))?;
    Ok(sent)
}
