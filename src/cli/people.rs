//! `shewhart ack` and `shewhart silence`: what people do about alerts.

use rusqlite::Row;
use serde_json::Value;

use super::args::{AckArgs, Format, SilenceArgs, SilenceCommand, Told};
use super::daemon::{database, request};
use super::table::{plain, table};
use super::{Invalid, OK, print};
use crate::edge::clock;
use crate::edge::ledger::Verdict;
use crate::edge::{NewAck, NewSilence};
use crate::engine::route::Matcher;
use crate::engine::units::{Span, Timestamp};

pub(super) fn ack(args: &AckArgs) -> anyhow::Result<u8> {
    let verdict = args.verdict.map(|told| match told {
        Told::True => Verdict::True,
        Told::False => Verdict::False,
        Told::Noise => Verdict::Noise,
    });
    // Where no name is given, the daemon takes the user's, by the system's word.
    let owner = args.by.clone().unwrap_or_default();
    let new = NewAck { alerts: args.alerts.clone(), owner, note: args.note.clone(), verdict };
    let data = request(&args.place, "POST", "/api/v1/alerts/ack", &new)?;
    if args.output == Format::Json {
        print(&format!("{}\n", serde_json::to_string_pretty(&data)?));
        return Ok(OK);
    }
    let owner = if new.owner.is_empty() { "yours" } else { &new.owner };
    let judged = verdict.map_or(String::new(), |verdict| format!(", judged {}", verdict.as_str()));
    for alert in data.get("alerts").and_then(Value::as_array).into_iter().flatten() {
        let text = |key| alert.get(key).and_then(Value::as_str).unwrap_or_default();
        print(&format!("{}\n", plain(&format!("{} {}: {owner}{judged}", text("id"), text("alert")))));
    }
    Ok(OK)
}

pub(super) fn silence(args: &SilenceArgs) -> anyhow::Result<u8> {
    match &args.command {
        SilenceCommand::Add { place, matchers, last, until, from, comment, author, output } => {
            for matcher in matchers {
                matcher.parse::<Matcher>().map_err(|error| Invalid(error.to_string()))?;
            }
            let now = clock::now();
            let starts = from.as_deref().map(time).transpose()?;
            let ends_at = match (last, until) {
                (Some(span), _) => starts.unwrap_or(now).plus(self::span(span)?),
                (None, Some(until)) => time(until)?,
                (None, None) => return Err(Invalid("say when it ends: --for 2h, or --until TIME".to_owned()).into()),
            };
            let new = NewSilence {
                matchers: matchers.clone(),
                author: author.clone().unwrap_or_default(),
                comment: comment.clone(),
                starts_at: starts.map(|at| at.to_string()),
                ends_at: ends_at.to_string(),
            };
            let data = request(place, "POST", "/api/v1/silences", &new)?;
            let text = format!("{} until {ends_at}\n", id(&data));
            show(&data, *output, &text)
        }
        SilenceCommand::Expire { place, id: which, output } => {
            let hex = !which.is_empty() && which.bytes().all(|b| b.is_ascii_hexdigit());
            if !hex {
                return Err(
                    Invalid(format!("`{which}` is not the id of a silence; `shewhart silence list` has them")).into()
                );
            }
            let data = request(place, "DELETE", &format!("/api/v1/silences/{which}"), &Value::Null)?;
            let text = format!("{} is over\n", id(&data));
            show(&data, *output, &text)
        }
        SilenceCommand::List { place, all, output } => {
            let db = super::db::open(&database(place)?)?;
            let filter = if *all { "" } else { "WHERE state <> 'expired'" };
            let select = format!("SELECT * FROM v_silences {filter} ORDER BY ends_at_ms, silence_id");
            if *output == Format::Json {
                let mut text = Vec::new();
                super::db::json(&database(place)?, &select, &mut text)?;
                print(&String::from_utf8_lossy(&text));
                return Ok(OK);
            }
            let rows: Vec<Vec<String>> = db.prepare(&select)?.query_map([], cells)?.collect::<rusqlite::Result<_>>()?;
            if rows.is_empty() {
                print("no silences\n");
            } else {
                print(&table(&["id", "state", "matchers", "ends at", "fired", "author", "comment"], &rows));
            }
            Ok(OK)
        }
    }
}

fn cells(row: &Row<'_>) -> rusqlite::Result<Vec<String>> {
    let text = |name: &str| row.get::<_, String>(name);
    let matchers: Vec<String> = serde_json::from_str(&text("matchers")?).unwrap_or_default();
    Ok(vec![
        text("silence_id")?.chars().take(8).collect(),
        text("state")?,
        matchers.join(" "),
        text("ends_at")?,
        row.get::<_, i64>("fired")?.to_string(),
        text("author")?,
        text("comment")?,
    ])
}

fn id(data: &Value) -> &str {
    data.get("silenceID").and_then(Value::as_str).unwrap_or_default()
}

fn show(data: &Value, output: Format, text: &str) -> anyhow::Result<u8> {
    match output {
        Format::Json => print(&format!("{}\n", serde_json::to_string_pretty(data)?)),
        Format::Text => print(text),
    }
    Ok(OK)
}

fn span(text: &str) -> anyhow::Result<Span> {
    text.parse().map_err(|error| Invalid(format!("--for: {error}")).into())
}

fn time(text: &str) -> anyhow::Result<Timestamp> {
    let told = |error| Invalid(format!("`{text}` is not a time ({error}); write it like 2026-11-26T09:00:00Z"));
    Ok(text.parse().map_err(told)?)
}
