//! The results of tests: for people, as JSON, as JUnit XML.

use std::collections::BTreeSet;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use serde::Serialize;
use serde_json::Value;
use similar::TextDiff;

/// Something that was not as a test expects.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Failure {
    /// The line of the check in the test's file.
    pub(super) line: u64,
    /// The alert, where the check is about one.
    pub(super) alertname: String,
    /// The check's time; nothing where it is about no time.
    pub(super) eval_time: Option<String>,
    /// The key whose value is not so.
    pub(super) what: &'static str,
    /// What was expected.
    pub(super) expected: Value,
    /// What was found.
    pub(super) found: Value,
}

/// A test that was run.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Done {
    pub(super) file: String,
    pub(super) line: u64,
    pub(super) name: String,
    pub(super) failures: Vec<Failure>,
    /// Events that the engine did not count.
    pub(super) rejected: u64,
}

/// The rules that tests made fire.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Coverage {
    rules: usize,
    fired: usize,
    never_fired: Vec<String>,
}

impl Coverage {
    pub(super) fn of(rules: &BTreeSet<String>, fired: &BTreeSet<String>) -> Self {
        let never_fired: Vec<String> = rules.difference(fired).cloned().collect();
        Self { rules: rules.len(), fired: rules.len() - never_fired.len(), never_fired }
    }

    fn line(&self) -> String {
        let fired = format!("{} rules, {} fired in a test", self.rules, self.fired);
        match self.never_fired.as_slice() {
            [] => fired,
            never => format!("{fired}; never fired: {}", never.join(", ")),
        }
    }
}

/// Everything that was run.
#[derive(Debug, Default)]
pub(super) struct Results {
    pub(super) done: Vec<Done>,
    pub(super) coverage: Coverage,
}

/// A value as YAML, which is what test files are written in.
fn yaml(value: &Value) -> String {
    serde_saphyr::to_string(value).unwrap_or_else(|error| format!("{value} ({error})"))
}

impl Failure {
    /// `AccuracyDegraded at 14h: exp_alerts`.
    fn title(&self) -> String {
        let name = Some(self.alertname.as_str()).filter(|name| !name.is_empty());
        let at = self.eval_time.as_ref().map(|at| format!("at {at}"));
        let place: Vec<&str> = name.into_iter().chain(at.as_deref()).collect();
        let place = if place.is_empty() { String::new() } else { format!("{}: ", place.join(" ")) };
        format!("{place}{} not as expected", self.what)
    }

    fn diff(&self) -> String {
        let (expected, found) = (yaml(&self.expected), yaml(&self.found));
        let diff = TextDiff::from_lines(&expected, &found);
        diff.unified_diff().context_radius(3).header("expected", "found").to_string()
    }
}

impl Results {
    pub(super) fn failed(&self) -> usize {
        self.done.iter().filter(|test| !test.failures.is_empty()).count()
    }

    pub(super) fn text(&self, diff: bool) -> String {
        let mut out = Vec::new();
        let indent = |text: &str| text.lines().map(|line| format!("      {line}\n")).collect::<Vec<_>>();
        for Done { file, line, name, failures, rejected } in &self.done {
            let word = if failures.is_empty() { "ok    " } else { "FAILED" };
            out.push(format!("{word}  {file}:{line}: {name}\n"));
            if *rejected > 0 {
                out.push(format!(
                    "    {rejected} events were not counted: malformed, known already, or out of range\n"
                ));
            }
            for failure in failures {
                out.push(format!("    {file}:{}: {}\n", failure.line, failure.title()));
                if diff {
                    out.extend(indent(&failure.diff()));
                } else {
                    out.push(format!("      expected: {}\n      found:    {}\n", failure.expected, failure.found));
                }
            }
        }
        let (all, failed) = (self.done.len(), self.failed());
        let tests = if all == 1 { "1 test".to_owned() } else { format!("{all} tests") };
        out.push(match failed {
            0 => format!("\n{tests}, all ok\n"),
            n => format!("\n{tests}, {n} failed\n"),
        });
        out.push(format!("{}\n", self.coverage.line()));
        out.concat()
    }

    pub(super) fn json(&self) -> Value {
        let each = |test: &Done| {
            serde_json::json!({
                "file": test.file, "line": test.line, "name": test.name,
                "ok": test.failures.is_empty(), "failures": test.failures, "rejected": test.rejected,
            })
        };
        serde_json::json!({
            "tests": self.done.iter().map(each).collect::<Vec<_>>(), "failed": self.failed(), "coverage": self.coverage,
        })
    }

    /// JUnit XML: a suite for every file, a case for every test.
    pub(super) fn junit(&self) -> Result<String, quick_junit::SerializeError> {
        let mut report = Report::new("shewhart test");
        for tests in self.done.chunk_by(|a, b| a.file == b.file) {
            let Some(first) = tests.first() else { continue };
            let mut suite = TestSuite::new(first.file.as_str());
            suite.add_test_cases(tests.iter().map(|test| {
                let status = if test.failures.is_empty() {
                    TestCaseStatus::success()
                } else {
                    let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
                    let titles: Vec<String> = test.failures.iter().map(Failure::title).collect();
                    let place = |f: &Failure| format!("{}:{}: {}\n{}", test.file, f.line, f.title(), f.diff());
                    status.set_message(titles.join("; "));
                    status.set_description(test.failures.iter().map(place).collect::<Vec<_>>().join("\n"));
                    status
                };
                let mut case = TestCase::new(test.name.as_str(), status);
                case.set_classname(test.file.as_str());
                case
            }));
            report.add_test_suite(suite);
        }
        report.to_string()
    }
}
