//! Numbers of the page against the lines that went in, against other commands, and against SQL.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::analyst::{db, rows, world};
use super::{cells, page, told};

/// The agents whose records are all well formed.
const SOUND: [&str; 2] = ["invoice-triage", "address-matching"];

/// Outputs, labelled ones, right ones and latencies of an agent, counted from the lines alone.
#[derive(Default)]
struct Truth {
    outputs: usize,
    labelled: usize,
    correct: usize,
    escalated: (usize, usize),
    latencies: Vec<f64>,
}

fn truth(lines: &[String]) -> BTreeMap<String, Truth> {
    let mut found: BTreeMap<String, Truth> = BTreeMap::new();
    for event in lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        let Some(agent) = event["agent"].as_str().filter(|agent| SOUND.contains(agent)) else { continue };
        let one = found.entry(agent.to_owned()).or_default();
        if event["type"] == "output" {
            one.outputs += 1;
            one.latencies.extend(event["latency_ms"].as_f64());
            if let Some(escalated) = event["escalated"].as_bool() {
                one.escalated.0 += usize::from(escalated);
                one.escalated.1 += 1;
            }
        }
        if let Some(correct) = event["correct"].as_bool() {
            one.labelled += 1;
            one.correct += usize::from(correct);
        }
    }
    found
}

/// Wilson's 95 % interval in percent with one decimal, as people compute it by hand.
fn wilson(hits: usize, all: usize, decimals: usize) -> String {
    const Z: f64 = 1.959_963_984_540_054;
    let (p, n) = (hits as f64 / all as f64, all as f64);
    let whole = 1.0 + Z * Z / n;
    let middle = (p + Z * Z / (2.0 * n)) / whole;
    let half = Z / whole * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
    let [p, low, high] = [p, middle - half, middle + half].map(|x| format!("{:.decimals$}", 100.0 * x));
    format!("{p} % ({low} to {high})")
}

fn grouped(n: usize) -> String {
    let digits = n.to_string();
    if n < 1_000 { digits } else { format!("{},{}", &digits[..digits.len() - 3], &digits[digits.len() - 3..]) }
}

#[test]
fn counts_and_shares_are_those_of_the_events() {
    let page = page(&world().path, &[]);
    let truth = truth(&world().lines);
    let (names, outputs) = (cells(&page, "Agent"), cells(&page, "Outputs"));
    let (judged, escalated) = (cells(&page, "Judged"), cells(&page, "Escalated (95 %)"));
    for (name, one) in &truth {
        let at = names.iter().position(|found| found == name).unwrap_or_else(|| panic!("{name} in {names:?}"));
        assert_eq!(outputs[at], grouped(one.outputs));
        assert_eq!(judged[at], format!("{:.1} %", 100.0 * one.labelled as f64 / one.outputs as f64));
        assert_eq!(escalated[at], wilson(one.escalated.0, one.escalated.1, 1), "{name}");
        let evidence = format!("{} labels of {} outputs", grouped(one.labelled), grouped(one.outputs));
        assert!(page.contains(&evidence), "{evidence}");
    }
    // The labels alone, where the estimate for all outputs says something else.
    let one = &truth["address-matching"];
    let alone = format!("The labels alone say {}.", wilson(one.correct, one.labelled, 1));
    assert!(page.contains(&alone), "{alone}");
}

#[test]
fn percentiles_are_those_of_merged_histograms_and_of_the_latencies_themselves() {
    let page = page(&world().path, &["--agent", "address-matching"]);
    let shown = cells(&page, "Latency p50 / p95 / p99");
    let [only] = shown.as_slice() else { panic!("{shown:?}") };
    let mut latencies = truth(&world().lines).remove("address-matching").unwrap().latencies;
    latencies.sort_by(f64::total_cmp);
    let merged = rows(
        &db(),
        "SELECT hdr_quantile(hdr_merge(latency_sketch), 0.5) AS a, hdr_quantile(hdr_merge(latency_sketch), 0.95) AS b,
           hdr_quantile(hdr_merge(latency_sketch), 0.99) AS c FROM v_pieces WHERE agent = 'address-matching'",
    );
    for ((text, q), name) in only.split(" / ").zip([0.5, 0.95, 0.99]).zip(["a", "b", "c"]) {
        let value: f64 = text.trim_end_matches(" ms").replace(',', "").parse().unwrap();
        let exact = latencies[(q * latencies.len() as f64).ceil() as usize - 1];
        assert!((value - exact).abs() <= 0.5 + 0.002 * exact, "{q}: {value} {exact}");
        let sql = merged[0][name].as_f64().unwrap();
        assert!((value - sql).abs() <= 0.5 + 0.001 * sql, "{q}: {value} {sql}");
    }
}

#[test]
fn control_charts_are_those_of_the_chart_command() {
    let path = world().path.to_str().unwrap();
    let page = page(&world().path, &[]);
    let mut compared = 0;
    for measure in ["accuracy", "escalation_rate"] {
        let charts = told(&["chart", "--db", path, "--measure", measure, "-o", "json"]);
        for chart in charts.as_array().unwrap() {
            let points = chart["points"].as_array().unwrap();
            let beyond = points.iter().filter(|point| point["beyond"] == true).count();
            let agent = chart["stream"]["agent"].as_str().unwrap();
            let name = chart["stream"]["task"].as_str().map_or(agent.to_owned(), |task| format!("{agent}, {task}"));
            let measure = measure.replace('_', " ");
            let title = format!("{}{} of {name}: control chart", measure[..1].to_uppercase(), &measure[1..]);
            let Some(figure) = page.split("<figure").find(|part| part.contains(&format!("<figcaption>{title}"))) else {
                continue;
            };
            let legend = format!("{} points of a day each", points.len());
            assert!(figure.contains(&legend), "{title}: {legend}");
            assert!(figure.contains(&format!("{beyond} outside (red)")), "{title}: {beyond}");
            let centre = format!("{:.1} %", 100.0 * chart["centre"].as_f64().unwrap());
            assert!(figure.contains(&centre), "{title}: {centre}");
            // Twice: the wide and the narrow picture; two discs a point, three where it has few cases.
            let narrow = figure.split("class=\"narrow\"").nth(1).unwrap();
            assert!(narrow.matches("<circle").count() >= 2 * points.len(), "{title}");
            compared += 1;
        }
    }
    assert!(compared >= 5, "{compared}");
}

#[test]
fn alerts_are_all_there_with_their_verdicts_and_delays() {
    let page = page(&world().path, &[]);
    let fired =
        rows(&db(), "SELECT alert, fired_at_ms, changed_at_ms, verdict FROM v_alerts WHERE fired_at_ms IS NOT NULL");
    assert!(fired.len() > 3, "{fired:?}");
    assert_eq!(cells(&page, "#").len(), fired.len());
    assert_eq!(cells(&page, "Verdict").iter().filter(|verdict| *verdict == "true").count(), 1);
    let delays: Vec<f64> = fired
        .iter()
        .filter_map(|alert| Some(alert["fired_at_ms"].as_f64()? - alert["changed_at_ms"].as_f64()?))
        .collect();
    let (n, minutes) = (delays.len(), (delays.iter().sum::<f64>() / delays.len() as f64 / 60_000.0) as i64);
    let mean = match (minutes / 1_440, minutes / 60 % 24, minutes % 60) {
        (0, hours, 0) => format!("{hours} h"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, 0, _) => format!("{days} d"),
        (days, hours, _) => format!("{days} d {hours} h"),
    };
    let said = format!("from the likeliest beginning of the change to the alert: {mean} over {n} alerts");
    assert!(page.contains(&said), "{said}\n{}", page.split("Mean time").nth(1).unwrap());
    let precision = cells(&page, "Precision (95 %)");
    assert_eq!(precision.iter().filter(|cell| cell.starts_with("100.0")).count(), 1, "{precision:?}");
}

#[test]
fn a_period_counts_its_own_hours_only() {
    let whole = page(&world().path, &[]);
    let part = page(&world().path, &["--from", "2026-01-06T00:00:00Z", "--to", "2026-01-08T00:00:00Z"]);
    let counted = rows(
        &db(),
        "SELECT sum(outputs) AS n FROM v_hours WHERE agent = 'address-matching'
           AND hour >= '2026-01-06T00:00:00Z' AND hour < '2026-01-08T00:00:00Z'",
    );
    let at = cells(&part, "Agent").iter().position(|name| name == "address-matching").unwrap();
    assert_eq!(cells(&part, "Outputs")[at], grouped(counted[0]["n"].as_u64().unwrap() as usize));
    assert!(part.contains("2026-01-06 to 2026-01-08") && !whole.contains("2026-01-06 to 2026-01-08"));
    // Two days are told by the hour.
    assert!(part.contains("hour of the output, UTC") && !whole.contains("hour of the output, UTC"));
}
