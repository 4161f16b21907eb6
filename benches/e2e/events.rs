//! The events: a seeded scenario as `shewhart simulate` has it.

use std::fmt::Write as _;
use std::path::Path;

use shewhart::simulate::{Generator, Scenario, write_file};

/// How many events of what.
pub(crate) struct Load {
    pub(crate) events: usize,
    pub(crate) streams: usize,
    /// Share of the outputs that are judged later.
    pub(crate) feedback: f64,
    /// Whether the n-th stream has a share of the outputs in proportion to 1/n.
    pub(crate) zipf: bool,
    /// Seconds of event time that lie between two outputs of a stream in the mean, where streams are alike.
    pub(crate) pause: f64,
}

impl Load {
    fn scenario(&self) -> Scenario {
        let mut text = "start: 2026-01-05T00:00:00Z\nagents:\n".to_owned();
        let total = self.streams as f64 * 86_400.0 / self.pause;
        let harmonic: f64 = (1..=self.streams).map(|n| 1.0 / n as f64).sum();
        let groups: Vec<(usize, f64)> = if self.zipf {
            (1..=self.streams).map(|n| (1, total / harmonic / n as f64)).collect()
        } else {
            vec![(self.streams, total / self.streams as f64)]
        };
        for (nth, (copies, per_day)) in groups.into_iter().enumerate() {
            write!(
                text,
                "  - name: agent{nth}\n    copies: {copies}\n    tasks: {{ invoices: 0.6, orders: 0.4 }}\n    \
                 version: \"2026-01-04-p118\"\n    per_day: {per_day:.3}\n    diurnal: 0.3\n    accuracy: 0.92\n    \
                 confidence: {{ r2: 0.2 }}\n    escalation: 0.06\n    errors: 0.004\n    \
                 latency_ms: {{ median: 850, sigma: 0.45 }}\n    \
                 latency: {{ llm: 0.7, retrieval: 0.15, tool: 0.1, orchestration: 0.05 }}\n    cost_usd: {{ median: 0.012, sigma: 0.3 }}\n    \
                 tokens: {{ in: {{ median: 1800, sigma: 0.4 }}, out: {{ median: 220, sigma: 0.5 }} }}\n    \
                 labels: {{ fraction: {}, delay: 2m, delay_sigma: 0.5 }}\n",
                self.feedback
            )
            .unwrap();
        }
        Scenario::parse(&text).unwrap()
    }

    /// The events, one after the other, without an end.
    pub(crate) fn generator(&self) -> Generator {
        Generator::new(&self.scenario(), 1)
    }

    /// Writes the events, a line each; how many bytes.
    pub(crate) fn write(&self, file: &Path) -> u64 {
        write_file(&self.scenario(), 1, Some(self.events as u64), file).unwrap().bytes
    }
}
