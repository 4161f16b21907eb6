//! `shewhart label-queue`: which cases people should judge next.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use rand::seq::SliceRandom as _;
use rusqlite::types::ValueRef;
use serde::Serialize;

use super::table::{plain, stream, table};
use super::{INVALID, Invalid, OK, db, print, say};
use crate::edge::clock;
use crate::edge::ledger::{CountedStream, Drawn, Pool, Requests, WaitingCase, all_streams, doubt, profile_of};
use crate::edge::notify::{Url, post_once};
use crate::engine::asking::{Candidate, Chance, chances, draw};
use crate::engine::units::Timestamp;

/// `label-queue`.
#[derive(Debug, Args)]
#[command(after_help = "Example: shewhart label-queue --db data/shewhart.db --stream invoice-triage -n 40 -o csv")]
pub struct LabelQueueArgs {
    /// The daemon's database; it may be running
    #[arg(long)]
    pub db: PathBuf,
    /// Whose cases: an agent, labels like agent=invoice-triage,task=mail, or the stream_id of `v_streams`
    #[arg(long)]
    pub stream: String,
    /// How many
    #[arg(short, default_value_t = 40, value_parser = clap::value_parser!(u16).range(1..))]
    pub n: u16,
    /// Also cases that were asked for before
    #[arg(long)]
    pub again: bool,
    /// Who asks, for the log; you, where not given
    #[arg(long)]
    pub by: Option<String>,
    /// Also post the list, as JSON, to this address
    #[arg(long)]
    pub webhook: Option<String>,
    /// Let the address be plain http
    #[arg(long, requires = "webhook")]
    pub allow_http: bool,
    /// Let the address be one that is not on the public internet
    #[arg(long, requires = "webhook")]
    pub allow_private: bool,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    pub output: QueueFormat,
}

/// How a queue is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum QueueFormat {
    /// One JSON object a line, for programs.
    #[default]
    Jsonl,
    /// For spreadsheets, RFC 4180; cells that one would run begin with '.
    Csv,
    /// For people.
    Text,
}

/// A case as those who judge it get it. What they answer as feedback echoes `agent`, `event_id` and `sampled`.
#[derive(Serialize)]
struct Line<'d> {
    agent: &'d str,
    event_id: &'d str,
    ts: String,
    confidence: f64,
    escalated: Option<bool>,
    sampled: f64,
    why: &'d str,
}

impl<'d> Line<'d> {
    fn of(drawn: &'d Drawn) -> Self {
        let case = &drawn.case;
        Self {
            agent: &case.agent,
            event_id: &case.event_id,
            ts: case.at.to_string(),
            confidence: case.confidence,
            escalated: case.escalated,
            sampled: drawn.sampled,
            why: &drawn.why,
        }
    }
}

pub(super) fn run(args: &LabelQueueArgs) -> anyhow::Result<u8> {
    drop(db::open(&args.db)?);
    let mut requests = Requests::open(&args.db)?;
    let streams = named(all_streams(requests.db())?, args)?;
    let labels = streams.first().map(|one| one.labels.clone()).unwrap_or_default();
    let doubt = doubt(requests.db(), &streams)?;
    let accuracy = accuracy_of(&requests, &streams)?;
    let from = doubt.as_ref().map_or(Timestamp::MIN, |(_, since)| *since);
    let pool = Pool { streams: &streams, from, again: args.again };
    let who = args.by.as_deref().unwrap_or_else(|| crate::config::user());
    let places = usize::from(args.n);
    let choose = |mut cases: Vec<WaitingCase>| {
        cases.shuffle(&mut rand::rng());
        let mut drawn = choose(&cases, places, &accuracy, rand::random());
        drawn.sort_by_key(|one| (one.case.at, one.case.key));
        drawn
    };
    let (drawn, ids) = requests.ask(pool, (clock::now(), who), choose)?;
    let lines: Vec<Line<'_>> = drawn.iter().map(Line::of).collect();
    print(&match args.output {
        QueueFormat::Jsonl => jsonl(&lines)?,
        QueueFormat::Csv => csv(&lines),
        QueueFormat::Text => text(&lines),
    });
    tell(&labels, doubt.as_ref(), (lines.len(), places));
    let Some(url) = args.webhook.as_ref().filter(|_| !lines.is_empty()) else { return Ok(OK) };
    let allowed = (args.allow_http, args.allow_private);
    let body = serde_json::to_vec(&lines)?;
    if let Err(error) = post_once(&Url::new(url.as_str()), allowed, &body, clock::now()) {
        requests.withdraw(&ids)?;
        say(&format!("{error}\nthe list was not taken; its cases may be asked for again"));
        return Ok(INVALID);
    }
    Ok(OK)
}

/// What stands behind the list, for people.
fn tell(labels: &BTreeMap<String, String>, doubt: Option<&(String, Timestamp)>, (found, places): (usize, usize)) {
    let name = plain(&stream(labels));
    let since = match doubt {
        Some((alert, since)) => format!("since {since}, where {} may have begun", plain(alert)),
        None => "in the last 30 days; no alert is open that verdicts would confirm or clear".to_owned(),
    };
    say(&format!("{name}: {found} cases {since}"));
    if found < places {
        say(
            "no more cases wait for a verdict there: the daemon keeps some outputs with a confidence, from its baseline on; \
             --again takes those asked for before",
        );
    }
}

/// The streams that are meant: one, on however many partitions.
fn named(all: Vec<CountedStream>, args: &LabelQueueArgs) -> anyhow::Result<Vec<CountedStream>> {
    let wanted = args.stream.as_str();
    let pairs: Option<Vec<(&str, &str)>> = wanted.split(',').map(|pair| pair.trim().split_once('=')).collect();
    let fits = |one: &CountedStream| match &pairs {
        Some(pairs) => pairs.iter().all(|(name, value)| one.labels.get(*name).is_some_and(|known| known == value)),
        None => one.id.to_string() == wanted || one.labels.get("agent").is_some_and(|agent| agent == wanted),
    };
    let found: Vec<CountedStream> = all.into_iter().filter(fits).collect();
    let mut names: Vec<String> = found.iter().map(|one| stream(&one.labels)).collect();
    names.dedup();
    match &names[..] {
        [_] => Ok(found),
        [] => {
            let what = "`shewhart status` lists what is there";
            Err(Invalid(format!("{} holds no stream `{wanted}`; {what}", args.db.display())).into())
        }
        _ => Err(Invalid(format!("`{wanted}` may be any of these:\n  {}", names.join("\n  "))).into()),
    }
}

/// How often a confidence has been right in the stream's baseline: by the calibration map where there is one, as often as all
/// where confidence said nothing; the confidence itself where the baseline has no labels.
fn accuracy_of(requests: &Requests, streams: &[CountedStream]) -> anyhow::Result<impl Fn(f64) -> f64 + use<>> {
    let mut profile = None;
    for one in streams {
        profile = profile.or(profile_of(requests.db(), one.id)?);
    }
    let known = profile.map(|profile| (profile.calibration(), profile.pane.correct.share()));
    Ok(move |confidence: f64| match &known {
        Some((Some(map), _)) => map.accuracy(confidence),
        Some((None, Some(share))) => *share,
        _ => confidence.clamp(0.0, 1.0),
    })
}

/// Draws cases, which come in random order; `start` is uniform in [0, 1).
fn choose(cases: &[WaitingCase], places: usize, accuracy: &impl Fn(f64) -> f64, start: f64) -> Vec<Drawn> {
    let candidates: Vec<Candidate> =
        cases.iter().map(|case| Candidate { share: case.share, accuracy: accuracy(case.confidence) }).collect();
    let chances = chances(&candidates, places);
    let drawn = draw(&chances, start).into_iter().filter_map(|at| {
        let (case, candidate, chance) = (cases.get(at)?, candidates.get(at)?, chances.get(at)?);
        Some(Drawn::of(case, *chance, why(candidate, *chance)))
    });
    drawn.collect()
}

fn why(candidate: &Candidate, chance: Chance) -> String {
    if chance.uncertain {
        format!("uncertain: such confidence was right {:.0} % of the time", candidate.accuracy * 100.0)
    } else {
        "drawn evenly".to_owned()
    }
}

fn jsonl(lines: &[Line<'_>]) -> anyhow::Result<String> {
    let lines: Result<Vec<String>, _> = lines.iter().map(serde_json::to_string).collect();
    Ok(lines?.into_iter().map(|line| line + "\n").collect())
}

fn csv(lines: &[Line<'_>]) -> String {
    let cell = |text: &str| db::csv_cell(ValueRef::Text(text.as_bytes()));
    let row = |line: &Line<'_>| {
        let escalated = line.escalated.map_or_else(String::new, |escalated| escalated.to_string());
        let (confidence, sampled) = (line.confidence.to_string(), line.sampled.to_string());
        let cells =
            [cell(line.agent), cell(line.event_id), line.ts.clone(), confidence, escalated, sampled, cell(line.why)];
        cells.join(",") + "\r\n"
    };
    let head = "agent,event_id,ts,confidence,escalated,sampled,why\r\n".to_owned();
    std::iter::once(head).chain(lines.iter().map(row)).collect()
}

fn text(lines: &[Line<'_>]) -> String {
    let cells = |line: &Line<'_>| {
        vec![
            line.agent.to_owned(),
            line.event_id.to_owned(),
            line.ts.clone(),
            line.confidence.to_string(),
            line.escalated.map_or("-", |escalated| if escalated { "yes" } else { "no" }).to_owned(),
            crate::engine::account::digits(line.sampled, 3),
            line.why.to_owned(),
        ]
    };
    let rows: Vec<Vec<String>> = lines.iter().map(cells).collect();
    table(&["agent", "event", "at", "confidence", "escalated", "sampled", "why"], &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(nth: usize, confidence: f64) -> WaitingCase {
        WaitingCase {
            stream: 0,
            key: nth as i64,
            at: Timestamp::from_millis(nth as i64),
            agent: "=cmd()".to_owned(),
            event_id: format!("e\u{1b}[2J,{nth}"),
            confidence,
            escalated: Some(false),
            share: 0.25,
        }
    }

    #[test]
    fn what_is_printed_as_sampled_is_the_chance_of_the_output() {
        let cases: Vec<WaitingCase> = (0..50).map(|nth| case(nth, if nth % 5 == 0 { 0.5 } else { 0.99 })).collect();
        let starts = 1_000;
        let mut times = vec![0_u32; cases.len()];
        let mut told = vec![0.0; cases.len()];
        for start in 0..starts {
            let drawn = choose(&cases, 10, &|confidence| confidence, (f64::from(start) + 0.5) / f64::from(starts));
            assert_eq!(drawn.len(), 10);
            for one in drawn {
                let nth = one.case.key as usize;
                times[nth] += 1;
                told[nth] = one.sampled;
            }
        }
        for (times, told) in times.iter().zip(&told) {
            assert!((0.25 * f64::from(*times) / f64::from(starts) - told).abs() < 1e-3, "{times} {told}");
        }
        assert!(told[0] > 2.0 * told[1]);
    }

    #[test]
    fn what_agents_write_runs_nowhere() {
        let drawn = choose(&[case(1, 0.5)], 1, &|confidence| confidence, 0.5);
        let lines: Vec<Line<'_>> = drawn.iter().map(Line::of).collect();
        let csv = csv(&lines);
        assert!(
            csv.ends_with("\r\n'=cmd(),\"e\u{1b}[2J,1\",1970-01-01T00:00:00.001Z,0.5,false,0.25,drawn evenly\r\n"),
            "{csv}"
        );
        assert!(!text(&lines).contains('\u{1b}') && !jsonl(&lines).unwrap().contains('\u{1b}'));
    }
}
