//! A record by `serde_json` alone.

use serde::Deserialize;

/// An event as a program would have it that needs all its fields; texts stay where they are.
#[derive(Deserialize)]
pub(crate) struct Parsed<'a> {
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
    pub(crate) fn weight(&self) -> f64 {
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
