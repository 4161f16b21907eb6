//! A long run at a steady rate with one fault after another, beside a daemon that only sees what the brokers do.

#![expect(clippy::unwrap_used, reason = "a fault of a test's own may end the test")]

use std::fmt::Write as _;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use shewhart::edge::clock;
use shewhart::edge::kafka::produce::{Outgoing, Producer, ProducerSettings};
use shewhart::simulate::{Generator, Scenario};

use crate::check;
use crate::stage::{Receivers, Stage};
use crate::trial::Trial;
use crate::world::daemon::status;
use crate::world::proxy::{Proxy, Weather};
use crate::world::state::Left;
use crate::world::workload::TOPIC;

/// How long and how fast.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Soak {
    pub(crate) length: Duration,
    /// Records a second.
    pub(crate) rate: u64,
    /// From one fault to the next.
    pub(crate) every: Duration,
}

/// Eight agents of whom one fails every other day; so many records in all are two weeks.
fn scenario(records: f64) -> Scenario {
    let per_day = (records / 14.0 / 8.0 / 1.2).max(100.0).round();
    let mut text = "start: 2026-01-05T00:00:00Z\nlength: 28d\nagents:\n".to_owned();
    for agent in 0..8 {
        write!(
            text,
            "  - name: agent{agent}\n    per_day: {per_day}\n    diurnal: 0.4\n    accuracy: 0.9\n    errors: 0.01\n    \
             latency_ms: {{ median: 850, sigma: 0.45 }}\n    labels: {{ fraction: 0.2, delay: 2h, delay_sigma: 0.5 }}\n    \
             changes:\n      - {{ at: {}d, until: {}d, errors: +20pp }}\n",
            agent + 4,
            agent + 5
        )
        .unwrap();
    }
    Scenario::parse(&text).unwrap()
}

/// Produces at a rate until it is told to stop.
fn feed(brokers: &str, seed: u64, soak: Soak, over: &Arc<AtomicBool>) -> JoinHandle<()> {
    let settings = ProducerSettings::new(brokers).with("compression.type", "gzip");
    let (over, rate) = (Arc::clone(over), soak.rate as f64);
    std::thread::spawn(move || {
        let producer = Producer::new(&settings).unwrap();
        let scenario = scenario(rate * soak.length.as_secs_f64());
        let begun = clock::instant();
        for (sent, event) in Generator::new(&scenario, seed).enumerate() {
            while begun.elapsed().as_secs_f64() * rate <= sent as f64 {
                clock::sleep(Duration::from_millis(5));
            }
            if over.load(Ordering::SeqCst) {
                break;
            }
            producer.send(&Outgoing::new(TOPIC, &event.agent, event.json.as_bytes())).unwrap();
        }
        producer.flush(Duration::from_secs(30)).unwrap();
    })
}

/// What a process took at one moment.
struct Sample {
    hours: f64,
    resident_kib: u64,
    descriptors: usize,
    threads: u64,
}

fn sample(pid: u32, begun: Instant) -> Sample {
    Sample {
        hours: begun.elapsed().as_secs_f64() / 3_600.0,
        resident_kib: status(pid, "VmRSS:").unwrap_or(0),
        descriptors: fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count),
        threads: status(pid, "Threads:").unwrap_or(0),
    }
}

/// The slope of the resident set by least squares, in MiB an hour.
fn slope(samples: &[Sample]) -> f64 {
    let n = samples.len() as f64;
    let mean = |of: &dyn Fn(&Sample) -> f64| samples.iter().map(of).sum::<f64>() / n;
    let (hours, mib) = (mean(&|s| s.hours), mean(&|s| s.resident_kib as f64 / 1_024.0));
    let both: f64 = samples.iter().map(|s| (s.hours - hours) * (s.resident_kib as f64 / 1_024.0 - mib)).sum();
    let square: f64 = samples.iter().map(|s| (s.hours - hours).powi(2)).sum();
    both / square
}

/// Does one thing to the daemon, the brokers or the lines, and makes it good again. `kills`: also what ends the process.
fn disturb(trial: &mut Trial, stage: &mut Stage, lines: &[Proxy; 2], kills: bool) -> &'static str {
    let pause = Duration::from_millis(trial.pick(1_000..6_000));
    let [hook, post] = lines;
    match trial.pick(if kills { 0 } else { 2 }..10) {
        0 => {
            stage.kill();
            stage.start();
            "killed"
        }
        1 => {
            stage.stop();
            stage.start();
            "stopped"
        }
        2 => {
            stage.daemon().signal("STOP");
            clock::sleep(pause);
            stage.daemon().signal("CONT");
            "frozen"
        }
        3 => {
            stage.broker.order("down");
            stage.live(pause);
            stage.broker.order("up");
            "brokers away"
        }
        4 => {
            stage.broker.signal("STOP");
            stage.live(pause);
            stage.broker.signal("CONT");
            "brokers frozen"
        }
        5 => {
            let error = trial.choose(&["not-leader", "storage", "out-of-range"]);
            stage.broker.order(&format!("fail fetch {error} {}", trial.pick(1..5)));
            "fetches refused"
        }
        6 => {
            stage.broker.order("fail heartbeat unknown-member 1");
            "forgotten by the group"
        }
        7 => {
            stage.broker.order("slow 1 400");
            stage.live(pause);
            stage.broker.order("slow 1 0");
            "brokers slow"
        }
        8 => {
            hook.turn(trial.choose(&[Weather::Closed, Weather::Reset, Weather::CutAfter(100)]));
            post.turn(trial.choose(&[Weather::Closed, Weather::HalfOpen, Weather::CutAfter(100)]));
            stage.live(pause);
            hook.turn(Weather::Fair);
            post.turn(Weather::Fair);
            "lines bad"
        }
        _ => {
            for page in ["/metrics", "/", "/api/v1/alerts", "/api/v1/rules"].repeat(20) {
                stage.place.page(page);
            }
            "pages asked for"
        }
    }
}

/// Faults that end the process come in the first quarter only: afterwards one process is looked at for the rest.
pub(crate) fn soak(trial: &mut Trial) {
    let Soak { length, every, .. } = trial.soak;
    let mut receivers = Receivers::willing();
    let lines = receivers.at.map(Proxy::before);
    receivers.at = lines.each_ref().map(Proxy::address);
    let mut stage = Stage::set_with(receivers);
    let over = Arc::new(AtomicBool::new(false));
    let calm = stage.calm();
    let mut oracle = calm.start();
    stage.start();
    // The broker forgets what lies there for long: nobody begins late.
    stage.wait_ready();
    calm.wait_ready(&mut oracle);
    let feeder = feed(stage.broker.bootstrap(), trial.seed, trial.soak, &over);
    let begun = clock::instant();
    let mut samples = Vec::new();
    let mut faults = 0;
    let mut next = every;
    while begun.elapsed() < length {
        stage.live(Duration::from_secs(1));
        stage.measure();
        if begun.elapsed() > length / 4 {
            samples.push(sample(stage.daemon().pid(), begun));
        }
        if begun.elapsed() >= next {
            next += every;
            faults += 1;
            let what = disturb(trial, &mut stage, &lines, begun.elapsed() < length / 4);
            crate::report::said(&format!("{:.0} s: {what}", begun.elapsed().as_secs_f64()));
        }
    }
    over.store(true, Ordering::SeqCst);
    feeder.join().unwrap();
    let sent = check::log_end(stage.broker.bootstrap());
    let failed: usize =
        stage.place.ask("SELECT count(*) FROM deliveries WHERE outcome <> 'delivered'").unwrap() as usize;
    stage.reach_the_end(sent);
    stage.interrupted += failed;
    calm.wait_for_end(&mut oracle, sent);
    calm.stop(oracle);
    let span = |of: &dyn Fn(&Sample) -> u64| {
        (samples.iter().map(of).min().unwrap_or(0), samples.iter().map(of).max().unwrap_or(0))
    };
    let (descriptors, threads) = (span(&|s| s.descriptors as u64), span(&|s| s.threads));
    let slope = slope(&samples);
    trial.note(format!(
        "{faults} faults in {:.0} s; after the first quarter: {slope:.2} MiB an hour, resident {:?} KiB, descriptors \
         {descriptors:?}, threads {threads:?}",
        length.as_secs_f64(),
        span(&|s| s.resident_kib)
    ));
    check::all(&stage, &Left::behind(&calm), sent, trial);
    if length >= Duration::from_hours(1) {
        assert!(slope < 1.0, "{slope:.2} MiB an hour");
        // Constant, but for what a fault holds open at the moment.
        let tenth = (samples.len() / 10).max(1);
        let mean = |of: &dyn Fn(&Sample) -> u64, part: &[Sample]| part.iter().map(of).sum::<u64>() / part.len() as u64;
        let (first, last) = (samples.split_at(tenth).0, samples.split_at(samples.len() - tenth).1);
        for of in [&(|s: &Sample| s.descriptors as u64) as &dyn Fn(&Sample) -> u64, &|s| s.threads] {
            assert!(mean(of, last) <= mean(of, first) + 2, "{descriptors:?} descriptors, {threads:?} threads");
        }
    }
}
