//! The calculator: what it prints is what textbooks and other programs say, and wrong questions get an answer too.
#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use clap::CommandFactory as _;
use serde_json::{Value, json};
use shewhart::cli::Cli;

/// Runs the program; what goes to its standard input is closed at its end.
fn shewhart(args: &[&str], input: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shewhart"));
    let pipes = command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = pipes.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn said(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn found(args: &[&str]) -> Value {
    let output = shewhart(&[&["design"], args, &["-o", "json"]].concat(), "");
    assert!(output.status.success(), "{args:?}: {}", said(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The number of a row whose first column has this name.
fn number(sheet: &Value, (key, name): (&str, &str), column: &str) -> f64 {
    let rows = sheet["rows"].as_array().unwrap();
    rows.iter().find(|row| row[key] == name).unwrap()[column].as_f64().unwrap()
}

fn close(found: f64, wanted: f64, tolerance: f64) {
    assert!((found / wanted - 1.0).abs() <= tolerance, "found {found}, wanted {wanted}");
}

#[test]
fn the_examples_of_the_help_work_as_they_stand() {
    let mut command = Cli::command();
    let design = command.find_subcommand_mut("design").unwrap();
    let verbs: Vec<_> = design.get_subcommands().map(|verb| verb.get_after_help().map(ToString::to_string)).collect();
    assert_eq!(verbs.len(), 9);
    for help in verbs {
        let help = help.expect("every verb has an example");
        let example = help.strip_prefix("Example: shewhart ").unwrap();
        let words: Vec<&str> = example.split(' ').collect();
        let output = shewhart(&words, "");
        assert!(output.status.success(), "{example}: {}", said(&output.stderr));
        let (text, told) = (said(&output.stdout), said(&output.stderr));
        assert!(text.lines().count() > 3 && told.is_empty(), "{example}: {text}{told}");
        assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
        let json = shewhart(&[&words[..], &["-o", "json"]].concat(), "");
        assert!(serde_json::from_slice::<Value>(&json.stdout).unwrap().is_object());
    }
}

#[test]
fn a_cusum_of_errors_has_its_published_run_lengths() {
    let sheet = found(&["cusum", "--p0", "8%", "--drop", "2pp", "--arl0", "20000"]);
    close(sheet["h"].as_f64().unwrap(), 3.869_091, 2e-4);
    close(sheet["h_start"].as_f64().unwrap(), 3.869_516_080_223_668, 1e-9);
    // The lattice of 2^-20 nats moves run lengths by less than 0.1 %.
    assert!(sheet["arl0"].as_f64().unwrap() >= 20_000.0);
    close(number(&sheet, ("drop", "2pp"), "zero_state"), 1_175.681_573_653_654_1, 1e-3);
    close(number(&sheet, ("drop", "2pp"), "head_start"), 746.0, 2e-3);
    close(number(&sheet, ("drop", "10pp"), "steady_state"), 143.0, 5e-3);
}

#[test]
fn charts_of_means_have_the_limits_of_textbooks() {
    let cusum = found(&["normal", "--shift", "1sd", "--arl0", "465.4435", "--sides", "two"]);
    close(cusum["h"].as_f64().unwrap(), 5.0, 1e-6);
    close(number(&cusum, ("shift", "1sd"), "zero_state"), 10.375_97, 1e-6);
    let ewma = found(&["ewma", "--lambda", "0.1", "--arl0", "499.5796"]);
    close(ewma["width"].as_f64().unwrap(), 2.814, 1e-6);
    let mewma = found(&["mewma", "--characteristics", "2", "--arl0", "200"]);
    close(mewma["h"].as_f64().unwrap(), 8.64, 2e-3);
    let rules = found(&["rules", "--set", "western-electric"]);
    close(number(&rules, ("shift", "0sd"), "zero_state"), 91.750_773_128, 1e-9);
}

#[test]
fn a_small_baseline_costs_what_was_worked_out() {
    let sheet = found(&["baseline", "--errors", "160", "--n0", "2000", "--drop", "2pp", "--arl0", "20000"]);
    close(sheet["p0_star"].as_f64().unwrap(), 0.084_481_700_118_797_28, 1e-9);
    close(sheet["h"].as_f64().unwrap(), 3.833_590_3, 2e-4);
    close(sheet["price"].as_f64().unwrap(), 1_723.557 / 1_175.682, 2e-3);
    assert_eq!(sheet["n0_needed"], 1_656);
    let clean = found(&["baseline", "--errors", "0", "--n0", "100", "--drop", "2pp", "--arl0", "500"]);
    assert!(clean["p0_star"].as_f64().unwrap() > 0.01);
    let interval = found(&["interval", "--hits", "40", "--n", "500"]);
    close(number(&interval, ("method", "Wilson"), "low"), 0.059_298_129_409_852_59, 1e-9);
    close(number(&interval, ("method", "Clopper-Pearson"), "high"), 0.107_345_464_356_349_98, 1e-9);
}

#[test]
fn wrong_questions_are_told_what_to_ask_instead() {
    for (args, code, wanted) in [
        (&["cusum", "--p0", "0.08", "--drop", "2", "--arl0", "20000"][..], 2, "a drop is written in points: 2pp"),
        (&["cusum", "--p0", "1.2", "--drop", "2pp", "--arl0", "20000"], 2, "above 0 and below 1"),
        (&["cusum", "--p0", "0.08", "--drop", "2pp", "--arl0", "nan"], 2, "does not begin with a number"),
        (&["cusum", "--p0", "0.99", "--drop", "2pp", "--arl0", "20000"], 1, "choose a drop below 1.0pp"),
        (&["normal", "--shift", "2pp", "--arl0", "500"], 2, "in standard deviations: 2sd"),
        (&["ewma", "--lambda", "2", "--arl0", "500"], 2, "a weight lies between"),
        (
            &["ewma", "--lambda", "0.1", "--arl0", "500", "--limits", "time-varying", "--sides", "one"],
            1,
            "leave out --sides one",
        ),
        (&["rules", "--set", "western-electric", "--rules", "5"], 1, "its rules are 1 to 4"),
        (&["mewma", "--characteristics", "4", "--arl0", "200", "--baseline", "4"], 1, "give more"),
        (&["baseline", "--errors", "9", "--n0", "9", "--drop", "2pp", "--arl0", "500"], 1, "every label is an error"),
        (&["baseline", "--errors", "9", "--n0", "0", "--drop", "2pp", "--arl0", "500"], 1, "at least one case"),
        (&["interval", "--hits", "4", "--n", "3"], 1, "give at most 3"),
        (&["--cases", "no-such-file.json"], 1, "no-such-file.json: "),
        (&["--cases", "cases.json", "interval", "--hits", "1", "--n", "3"], 2, "Usage"),
        (&[], 2, "Usage"),
    ] {
        let output = shewhart(&[&["design"], args].concat(), "");
        let text = said(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {text}");
        assert!(text.contains(wanted) && output.stdout.is_empty(), "{args:?}: {text}");
    }
}

#[test]
fn a_case_without_an_answer_does_not_keep_the_others_from_theirs() {
    let cases = json!({"meta": 1, "cases": [
        {"id": "a", "family": "normal_quantile", "params": {"p": 0.975}, "quantity": "ppf", "value": 3, "note": "ignored"},
        {"id": "b", "family": "astrology", "params": {}, "quantity": "ppf"},
        {"id": 3, "family": "interval", "quantity": "interval", "params": {"x": 5, "n": 4, "confidence": 0.9, "method": "wilson"}},
        {"id": "d", "family": "binomial", "params": {"n": 500, "p": 0.08, "q": 0.001}, "quantity": "ppf"},
        5,
    ]});
    let output = shewhart(&["design", "--cases", "-"], &cases.to_string());
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output.stderr).contains("3 of 5 cases have no answer"));
    let answers: Value = serde_json::from_slice(&output.stdout).unwrap();
    close(answers[0]["value"].as_f64().unwrap(), 1.959_963_984_540_054, 1e-12);
    assert!(answers[1]["error"].as_str().unwrap().contains("no family is called `astrology`"));
    assert_eq!((&answers[2]["id"], &answers[3]), (&json!(3), &json!({"id": "d", "value": 23})));
    assert_eq!(answers[4]["id"], Value::Null);
    for text in ["", "{}", "nonsense"] {
        let output = shewhart(&["design", "--cases", "-"], text);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(said(&output.stderr).starts_with("shewhart: -: "), "{}", said(&output.stderr));
    }
}

/// All of them are compared number by number beside the charts; here it is the program that is asked.
#[test]
fn every_case_of_the_reference_is_answered() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/reference/reference_arl.json");
    let Ok(text) = std::fs::read_to_string(path) else {
        println!("skipped: {path} is absent");
        return;
    };
    let file: Value = serde_json::from_str(&text).unwrap();
    let output = shewhart(&["design", "--cases", path], "");
    assert!(output.status.success(), "{}", said(&output.stderr));
    let answers: Value = serde_json::from_slice(&output.stdout).unwrap();
    let (cases, answers) = (file["cases"].as_array().unwrap(), answers.as_array().unwrap());
    assert_eq!(answers.len(), cases.len());
    for (case, answer) in cases.iter().zip(answers) {
        assert_eq!(answer["id"], case["id"]);
        // The one whose reference value is off by 1.1e-5; see the unit test.
        if let (Some(found), Some(wanted)) = (answer["value"].as_f64(), case["value"].as_f64()) {
            let tolerance = case["rel_tol"].as_f64().unwrap().max(2e-5);
            assert!((found - wanted).abs() <= tolerance * wanted.abs() + 1e-12, "{}: {found}, {wanted}", case["id"]);
        }
    }
}
