//! `shewhart chart`: the classical chart of a share by hours or days, drawn with letters. It looks, it never alarms.

pub mod args;
mod picture;

use self::args::{ChartArgs, Width};
use self::picture::picture;
use super::args::Format;
use super::table::stream;
use super::{Invalid, OK, db, explain, print};
use crate::edge::classical::{Chart, SHARES, Share, Window, chart, share_of};
use crate::engine::account::value;
use crate::engine::units::{Span, Timestamp};

pub(super) fn run(args: &ChartArgs) -> anyhow::Result<u8> {
    let known = || SHARES.iter().map(|share| share.measure.to_string()).collect::<Vec<_>>().join(", ");
    let share = share_of(&args.measure)
        .ok_or_else(|| Invalid(format!("there is no chart of `{}`; there is one of {}", args.measure, known())))?;
    let width = Span::HOUR.times(if args.by == Width::Hour { 1 } else { 24 });
    let window = Window { width, from: Timestamp::MIN, to: Timestamp::MAX, last: args.last };
    let connection = db::open(&args.db)?;
    let mut charts = Vec::new();
    for subject in explain::from_database(&args.db)? {
        let labels = &subject.labels;
        let fits = |name: &str, wanted: &Option<String>| wanted.is_none() || labels.get(name) == wanted.as_ref();
        if !fits("agent", &args.agent) || !fits("task", &args.task) {
            continue;
        }
        let Some(baseline) = &subject.baseline else { continue };
        charts.extend(chart(&connection, share, window, labels, (&baseline.id, &baseline.profile))?);
    }
    if charts.is_empty() {
        let what = "no stream with a baseline has such points; `shewhart status` lists what is there";
        return Err(Invalid(format!("{}: {what}", args.db.display())).into());
    }
    match args.output {
        Format::Json => print(&format!("{}\n", serde_json::to_string_pretty(&charts)?)),
        Format::Text => charts.iter().for_each(|chart| print(&text(chart, share))),
    }
    Ok(OK)
}

fn text(chart: &Chart, share: &Share) -> String {
    let told = |x: f64| value(&share.measure, x);
    let spread = if chart.sigma_z > 1.0 {
        format!("; batches of the baseline differ {:.2} times as much as chance", chart.sigma_z)
    } else {
        String::new()
    };
    let mut text = format!(
        "{} of {}: baseline {} {}, limits at three standard deviations{spread}\n\n{}\n",
        chart.measure,
        stream(&chart.stream),
        chart.baseline,
        told(chart.centre),
        picture(chart, &told),
    );
    for point in chart.points.iter().filter(|point| point.beyond || !point.western_electric.is_empty()) {
        let rules: Vec<String> = point.western_electric.iter().map(ToString::to_string).collect();
        let limits = format!("{} to {}", told(point.lower), told(point.upper));
        let rules = format!("Western Electric rule {}", rules.join(", "));
        text.extend([format!(
            "  {}  {} of {} cases, limits {limits}: {rules}\n",
            point.at,
            told(point.share),
            point.cases
        )]);
    }
    text.push('\n');
    text
}
