//! The verdict on all agents and on one, in sentences.

use super::Period;
use super::agents::Agent;
use super::alerts::Alerts;
use super::detail::Detail;
use super::page::Found;
use super::readiness::{Need, STAGES, reached};
use super::told::{day, many, percent, share};
use crate::edge::figures::count;
use crate::engine::around::How;
use crate::engine::detect::design::interval::wilson;
use crate::engine::units::Counts;

/// Verdicts of all agents together.
pub(super) fn labels_of(agents: &[Agent]) -> Counts {
    let mut labels = Counts::default();
    for agent in agents {
        labels.merge(agent.total.correct);
    }
    labels
}

/// The verdict in words: what there was, how good it was, what happened, who is ready for what.
pub(super) fn verdict(agents: &[Agent], found: &[Found<'_>], alerts: &Alerts, (from, to): Period) -> Vec<String> {
    if agents.is_empty() {
        return vec![format!("No output happened from {} to {}: there is nothing to say.", day(from), day(to))];
    }
    let outputs: u64 = agents.iter().map(|agent| agent.total.outputs).sum();
    let labels = labels_of(agents);
    let mut told = vec![format!(
        "From {} to {}, {} gave {} outputs, of which {} were judged.",
        day(from),
        day(to),
        many(agents.len(), "agent", "agents"),
        count(outputs),
        count(labels.n)
    )];
    told.push(if labels.n > 0 {
        format!("Of the judged ones {} were right.", share(wilson(labels, 0.95)))
    } else {
        "How accurate they were is not known.".to_owned()
    });
    let below: Vec<String> = found
        .iter()
        .filter_map(|(agent, detail, _)| {
            let (now, before) = (detail.standing.estimate.or(detail.standing.labels)?, agent.baseline());
            let before = before.share()?;
            (now.high < before).then(|| format!("{} ({:.1} points)", quoted(&agent.name), 100.0 * (before - now.value)))
        })
        .collect();
    if !below.is_empty() {
        told.push(format!("Below their baselines: {}.", listed(&below)));
    }
    let fires = |agent: &&Agent| agent.firing + agent.earlier > 0;
    let firing: Vec<String> = agents.iter().filter(fires).map(|agent| quoted(&agent.name)).collect();
    told.push(match alerts.rows.len() {
        0 if firing.is_empty() => "No alert fired.".to_owned(),
        0 => format!("No alert fired; alerts of {} fire since before.", listed(&firing)),
        n => {
            let now = if firing.is_empty() {
                "none fires now".to_owned()
            } else {
                format!("alerts of {} fire now", listed(&firing))
            };
            format!("{} fired; {now}.", many(n, "alert", "alerts"))
        }
    });
    for (stage, name) in STAGES.iter().enumerate().rev() {
        let there: Vec<String> = found
            .iter()
            .filter(|(_, _, needs)| reached(needs) == stage + 1)
            .map(|(agent, ..)| quoted(&agent.name))
            .collect();
        if !there.is_empty() {
            let up_to = if stage == 0 { format!("for the {name}") } else { format!("up to {name}") };
            told.push(format!("Every requirement {up_to} is met by {}.", listed(&there)));
        }
    }
    let none: Vec<String> =
        found.iter().filter(|(_, _, needs)| reached(needs) == 0).map(|(agent, ..)| quoted(&agent.name)).collect();
    if !none.is_empty() {
        told.push(format!("The proof of concept is not concluded for {}.", listed(&none)));
    }
    told
}

/// A name in a sentence: what agents are called must not read as a part of it.
fn quoted(name: &str) -> String {
    format!("“{}”", name.replace(['“', '”'], "\""))
}

/// Names in a sentence, at most six.
fn listed(names: &[String]) -> String {
    let more = names.len().saturating_sub(6);
    let shown: Vec<&str> = names.iter().take(6).map(String::as_str).collect();
    if more > 0 { format!("{} and {more} more", shown.join(", ")) } else { shown.join(", ") }
}

/// An agent in a few sentences.
pub(super) fn lead(agent: &Agent, detail: &Detail, needs: &[Need]) -> Vec<String> {
    let standing = &detail.standing;
    let mut told = vec![format!(
        "{} outputs in {}, of which {} were judged.",
        count(standing.outputs),
        many(agent.streams.len(), "stream", "streams"),
        count(standing.labelled)
    )];
    if let Some(now) = standing.estimate.or(standing.labels) {
        let by = match (standing.estimate, standing.how) {
            (None, _) => " among the labelled",
            (Some(_), How::LabelsOnly) => "",
            (Some(_), How::Powered { .. }) => ", from labels and the confidence of all outputs",
            (Some(_), How::Stratified) => ", from labels weighted as all outputs are",
        };
        let before = agent.baseline().share().map_or_else(
            || "there is no baseline with labels to compare it with".to_owned(),
            |before| {
                let moved = 100.0 * (now.value - before);
                let way = if moved < 0.0 { "below" } else { "above" };
                format!("{:.1} points {way} the baseline of {}", moved.abs(), percent(before, 1))
            },
        );
        told.push(format!("Accuracy is {}{by}: {before}.", share(now)));
    }
    if let Some(labels) = standing.labels.filter(|_| standing.how != How::LabelsOnly) {
        told.push(format!("The labels alone say {}.", share(labels)));
    }
    if let Some(why) = &standing.invalid {
        told.push(format!("There is no estimate for all outputs: {why}."));
    }
    told.push(match (agent.fired, agent.firing) {
        (0, _) => "No alert fired.".to_owned(),
        (n, 0) => format!("{} fired, none fires now.", many(n, "alert", "alerts")),
        (n, now) => format!(
            "{} fired, {now} of them {} now.",
            many(n, "alert", "alerts"),
            if now == 1 { "fires" } else { "fire" }
        ),
    });
    if agent.earlier > 0 {
        let fire = if agent.earlier == 1 { "fires" } else { "fire" };
        told.push(format!("{} {fire} since before.", many(agent.earlier, "alert", "alerts")));
    }
    let stage = reached(needs);
    told.push(match STAGES.get(stage) {
        None => "Every requirement of all three stages is met.".to_owned(),
        Some(name) => {
            let lacks: Vec<&str> = needs
                .iter()
                .filter(|need| need.stage == stage && !need.missing.is_empty())
                .map(|need| need.what)
                .collect();
            format!("For {name} is missing: {}.", lacks.join(", "))
        }
    });
    told
}
