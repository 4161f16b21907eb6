//! `shewhart design`: the calculator for statisticians.
//!
//! Every number comes from what the charts are designed with (`engine::detect`); known-answer cases are read and answered by
//! `engine::cases`.

pub mod args;
mod means;
mod proportion;
mod sheet;

use std::io::Read as _;
use std::path::Path;

use serde_json::{Value, json};

use super::{INVALID, Invalid, OK, print, say};
use crate::engine::cases::{answer, read};
use args::{DesignArgs, DesignCommand};

pub(super) fn design(args: &DesignArgs) -> anyhow::Result<u8> {
    if let Some(path) = &args.cases {
        return cases(path);
    }
    let Some(command) = &args.command else {
        return Err(Invalid("say what to design, or give --cases; see `shewhart design --help`".to_owned()).into());
    };
    let (sheet, format) = match command {
        DesignCommand::Cusum(args) => (proportion::cusum(args)?, args.output),
        DesignCommand::Normal(args) => (means::normal(args), args.output),
        DesignCommand::Esr(args) => (proportion::esr(args)?, args.output),
        DesignCommand::Ewma(args) => (means::ewma(args)?, args.output),
        DesignCommand::Mewma(args) => (means::mewma(args)?, args.output),
        DesignCommand::Psi(args) => (means::psi(args), args.output),
        DesignCommand::Rules(args) => (means::rules(args)?, args.output),
        DesignCommand::Baseline(args) => (proportion::baseline(args)?, args.output),
        DesignCommand::Interval(args) => (proportion::interval(args)?, args.output),
    };
    print(&sheet.render(format)?);
    Ok(OK)
}

/// Answers all cases of a file, in order; one that has no answer says why, and the others are answered all the same.
fn cases(path: &Path) -> anyhow::Result<u8> {
    let mut text = String::new();
    let whole = if path == Path::new("-") {
        std::io::stdin().lock().read_to_string(&mut text).map(|_| ())
    } else {
        std::fs::read_to_string(path).map(|found| text = found)
    };
    whole.map_err(|error| Invalid(format!("{}: {error}", path.display())))?;
    let cases = read(&text).map_err(|error| Invalid(format!("{}: {error}", path.display())))?;
    let mut failed = 0;
    let mut lines = Vec::with_capacity(cases.len());
    for case in &cases {
        let id = case.get("id").unwrap_or(&Value::Null);
        let answered = match answer(case) {
            Ok(value) => json!({"id": id, "value": value}),
            Err(error) => {
                failed += 1;
                json!({"id": id, "error": error.to_string()})
            }
        };
        lines.push(answered.to_string());
    }
    print(&format!("[\n{}\n]\n", lines.join(",\n")));
    if failed > 0 {
        say(&format!("{failed} of {} cases have no answer; see their `error`", cases.len()));
        return Ok(INVALID);
    }
    Ok(OK)
}
