//! The least that anybody has to do with the same bytes.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use serde::Deserialize;

/// An event as a program would have it that needs all its fields; texts stay where they are.
#[derive(Deserialize)]
struct Parsed<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    event_id: &'a str,
    agent: &'a str,
    ts: &'a str,
    version: Option<&'a str>,
    task: Option<&'a str>,
    status: Option<&'a str>,
    confidence: Option<f64>,
    latency_ms: Option<f64>,
    latency: Option<Parts>,
    tokens_in: Option<u64>,
    tokens_out: Option<u64>,
    cost_usd: Option<f64>,
    escalated: Option<bool>,
    correct: Option<bool>,
}

#[derive(Deserialize)]
struct Parts {
    llm: Option<f64>,
    retrieval: Option<f64>,
    tool: Option<f64>,
    orchestration: Option<f64>,
}

impl Parsed<'_> {
    /// Something that depends on every field, so that none is left out.
    fn weight(&self) -> f64 {
        let text = |text: Option<&str>| text.map_or(0, str::len);
        let texts = self.kind.len() + self.event_id.len() + self.agent.len() + self.ts.len();
        let more = text(self.version) + text(self.task) + text(self.status);
        let parts = self.latency.as_ref().map(|of| [of.llm, of.retrieval, of.tool, of.orchestration]);
        let numbers = [self.confidence, self.latency_ms, self.cost_usd];
        let tokens = self.tokens_in.unwrap_or(0) + self.tokens_out.unwrap_or(0);
        let truths = usize::from(self.escalated == Some(true)) + usize::from(self.correct == Some(true));
        let sum: f64 = parts.iter().flatten().chain(&numbers).flatten().sum();
        sum + tokens as f64 + (texts + more + truths) as f64
    }
}

pub(crate) fn is_part(name: &str) -> bool {
    matches!(name, "read" | "read and parse")
}

/// Does the part; a number that depends on all that it read.
pub(crate) fn run(part: &str, file: &Path) -> f64 {
    let mut reader = BufReader::with_capacity(1 << 16, File::open(file).unwrap());
    let mut line = Vec::new();
    let mut sum = 0.0;
    while reader.read_until(b'\n', &mut line).unwrap() > 0 {
        sum += match part {
            "read" => line.len() as f64,
            _ => serde_json::from_slice::<Parsed<'_>>(&line).unwrap().weight(),
        };
        line.clear();
    }
    sum
}
