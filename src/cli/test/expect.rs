//! What tests expect, and whether it is what was found. Both sides are written in the words of the test file.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::engine::alert::{Crossing, State};
use crate::engine::route::{Message, Occasion, Policy, Status};

/// Labels or annotations.
pub(super) type Labels = BTreeMap<String, String>;

/// The label that tests may leave out, because the check names it.
const NAME: &str = "alertname";

/// An alert that fires.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Alert {
    /// All its labels; the name may be left out.
    #[serde(default)]
    exp_labels: Labels,
    /// Those of its annotations that are looked at.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    exp_annotations: Labels,
}

/// Where an alert stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StateOf {
    #[serde(default)]
    exp_labels: Labels,
    state: Stands,
}

/// The states that last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Stands {
    Inactive,
    Pending,
    Firing,
}

/// A message to a receiver.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Notice {
    receiver: String,
    status: Status,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    occasion: Option<Occasion>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    alerts: Option<Vec<Labels>>,
}

/// Who is told of an alert with these labels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RouteOf {
    labels: Labels,
    receivers: Vec<String>,
}

fn without_name(labels: &Labels) -> Labels {
    labels.iter().filter(|(name, _)| *name != NAME).map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// The alerts that fire, in the order in which they are compared. Annotations are those that `expected` names for an alert
/// of the same labels.
pub(super) fn alerts<'c>(active: impl Iterator<Item = &'c Crossing>, expected: &[Alert]) -> Vec<Alert> {
    let firing = active.filter(|crossing| crossing.to == State::Firing);
    let mut found: Vec<Alert> = firing
        .map(|crossing| {
            let exp_labels = without_name(&crossing.labels);
            let same = expected.iter().find(|alert| without_name(&alert.exp_labels) == exp_labels);
            let named = |name: &String| same.is_some_and(|alert| alert.exp_annotations.contains_key(name));
            let annotations = crossing.annotations.iter().filter(|(name, _)| named(name));
            let exp_annotations = annotations.map(|(name, text)| (name.clone(), text.trim_end().to_owned())).collect();
            Alert { exp_labels, exp_annotations }
        })
        .collect();
    found.sort();
    found
}

/// The alerts that must fire, in the order in which they are compared.
pub(super) fn expected_alerts(expected: &[Alert]) -> Vec<Alert> {
    let mut expected: Vec<Alert> = expected
        .iter()
        .map(|alert| Alert {
            exp_labels: without_name(&alert.exp_labels),
            exp_annotations: alert
                .exp_annotations
                .iter()
                .map(|(name, text)| (name.clone(), text.trim_end().to_owned()))
                .collect(),
        })
        .collect();
    expected.sort();
    expected
}

/// Where the alerts that are asked about stand.
pub(super) fn states(active: &[&Crossing], asked: &[StateOf]) -> Vec<StateOf> {
    let stands = |labels: &Labels| {
        let found = active.iter().find(|crossing| without_name(&crossing.labels) == without_name(labels));
        match found.map(|crossing| crossing.to) {
            Some(State::Firing) => Stands::Firing,
            Some(State::Pending) => Stands::Pending,
            Some(State::Inactive | State::Resolved) | None => Stands::Inactive,
        }
    };
    asked.iter().map(|one| StateOf { exp_labels: one.exp_labels.clone(), state: stands(&one.exp_labels) }).collect()
}

/// The messages so far, each told as far as the expected one in its place looks.
pub(super) fn notices(messages: &[Message], expected: &[Notice]) -> Vec<Notice> {
    let places = expected.iter().map(Some).chain(std::iter::repeat(None));
    messages
        .iter()
        .zip(places)
        .map(|(message, place)| {
            let alerts = || message.crossings.iter().map(|crossing| crossing.labels.clone());
            let alerts: Option<Vec<Labels>> = match place {
                None => Some(alerts().collect()),
                Some(place) => place.alerts.as_ref().map(|expected| {
                    let named = expected.iter().any(|labels| labels.contains_key(NAME));
                    alerts().map(|labels| if named { labels } else { without_name(&labels) }).collect()
                }),
            };
            Notice {
                receiver: message.receiver.clone(),
                status: message.status,
                occasion: place.is_none_or(|place| place.occasion.is_some()).then_some(message.occasion),
                alerts,
            }
        })
        .collect()
}

/// Who is told of the alerts that are asked about, at first and in the order of the tree.
pub(super) fn routes(policy: &Policy, asked: &[RouteOf]) -> Vec<RouteOf> {
    let told = |labels: &Labels| policy.receivers_of(labels).into_iter().map(str::to_owned).collect();
    asked.iter().map(|one| RouteOf { labels: one.labels.clone(), receivers: told(&one.labels) }).collect()
}

/// The alerts that fire and that others which fire keep quiet, by their labels, sorted.
pub(super) fn inhibited<'c>(policy: &Policy, active: impl Iterator<Item = &'c Crossing>) -> Vec<Labels> {
    let firing: Vec<&Labels> =
        active.filter(|crossing| crossing.to == State::Firing).map(|crossing| &crossing.labels).collect();
    let quiet = policy.inhibited(&firing);
    let mut found: Vec<Labels> =
        firing.iter().zip(quiet).filter(|(_, quiet)| *quiet).map(|(l, _)| (*l).clone()).collect();
    found.sort();
    found
}
