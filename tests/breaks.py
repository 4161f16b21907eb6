#!/usr/bin/env python3
"""Breaks each promise of docs/operations.md on purpose, in a copy, and sees whether the test that keeps it fails.

    tests/breaks.py            all of them, two minutes and a test each
    tests/breaks.py G1 G7      these
    tests/breaks.py --check    only whether each break still fits the sources and each test is there

The copy is a worktree of HEAD under target/breaks, with a target folder of its own, or the one that BREAKS_TARGET names.
"""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent


class Break(NamedTuple):
    promise: str
    what: str
    file: str
    old: str
    new: str
    target: str
    test: str


BREAKS = [
    Break(
        "G1", "a restart begins one record too late", "src/edge/kafka/start.rs",
        "next: next.0, anchor, gap: None }\n    }\n\n    /// The plan when the marks cannot be had",
        "next: next.0 + 1, anchor, gap: None }\n    }\n\n    /// The plan when the marks cannot be had",
        "--test it", "crash::killed_ten_times_at_random_it_ends_where_an_uninterrupted_run_ends_to_the_bit",
    ),
    Break(
        "G2", "an attempt that failed counts as delivered", "src/edge/deliver.rs",
        "(after_failure(&error, due, clock::now()), Some(error))", "(Outcome::Delivered, Some(error))",
        "--test it", "faults::mails_wait_for_a_dead_server_over_a_kill_and_all_arrive_once_it_lives",
    ),
    Break(
        "G3", "what was delivered is not written down", "src/edge/ledger/outbox.rs",
        'Outcome::Delivered => ("delivered", "delivered", now, None, None)',
        'Outcome::Delivered => ("delivered", "pending", now, None, None)',
        "--test it", "delivery::steps::killed_at_every_step_of_a_webhook_nothing_is_lost_and_only_a_whole_one_comes_again",
    ),
    Break(
        "G4", "a set of rule files with faults is taken", "src/engine/rule/compile.rs",
        "rules: (!refused).then(", "rules: (!refused || true).then(",
        "--test it", "faults::a_broken_rule_file_changes_nothing_and_the_repaired_one_is_taken_up",
    ),
    Break(
        "G5", "another record than the last one counted goes unnoticed", "src/edge/kafka/cursor.rs",
        "{ Arrival::Skip } else { Arrival::Mismatch }", "{ Arrival::Skip } else { Arrival::Skip }",
        "--test it", "kafka::another_topic_of_the_same_name_is_noticed_by_its_last_record",
    ),
    Break(
        "G6", "nobody counts deaths", "src/edge/ledger/deaths.rs",
        "DEATHS_MAX: u32 = 3", "DEATHS_MAX: u32 = 3_000",
        "--test it", "poison::a_record_that_kills_the_process_is_found_and_passed_over_and_nothing_else_is_lost",
    ),
    Break(
        "G7", "there is always room for one more name", "src/engine/mod.rs",
        "self.streams.len() < self.settings.streams_max", "self.streams.len() < usize::MAX",
        "--test it", "engine::endless_names_are_counted_together_and_change_nothing_for_known_streams",
    ),
    Break(
        "G8", "receivers wait for each other", "src/edge/deliver.rs",
        "    let attempt = Attempt { fallback: due.fallback, now };",
        "    static TURN: std::sync::Mutex<()> = std::sync::Mutex::new(());\n    let _turn = TURN.lock();\n"
        "    let attempt = Attempt { fallback: due.fallback, now };",
        "--lib", "a_receiver_that_hangs_delays_no_other",
    ),
    Break(
        "G9", "a partition's next owner begins at its end", "src/edge/kafka/start.rs",
        "Start::Earliest => marks.low,", "Start::Earliest => marks.high,",
        "--test it", "kafka::every_record_counts_once_over_restarts_and_rebalances",
    ),
    Break(
        "G10", "a stop takes its time", "src/edge/core.rs",
        'tracing::info!("stopping");', 'tracing::info!("stopping");\n        clock::sleep(Duration::from_secs(15));',
        "--test it", "crash::stopped_five_times_at_random_it_ends_in_time_and_where_an_uninterrupted_run_ends",
    ),
    Break(
        "G11", "something else feeds the watchdog", "src/edge/core.rs",
        "let mut watchdog = clock::instant();",
        "let mut watchdog = clock::instant();\n        std::thread::spawn(|| loop {\n"
        "            notify_systemd(&[sd_notify::NotifyState::Watchdog]);\n"
        "            clock::sleep(Duration::from_secs(1));\n        });",
        "--test it", "stuck::the_watchdog_is_fed_by_rounds_of_the_loop_and_by_nothing_else",
    ),
    Break(
        "G12", "a producer's clock is believed", "src/engine/mod.rs",
        "|appended| appended.plus(self.settings.skew_max)", "|_| Timestamp::MAX",
        "--test it", "engine::a_time_from_the_future_moves_nothing_further_than_the_skew",
    ),
    Break(
        "G13", "a secret that is read is logged", "src/edge/notify/secret.rs",
        "        // Checked in `read`.\n", '        tracing::info!(secret = %String::from_utf8_lossy(&self.0));\n',
        "--test it", "receivers::every_kind_of_receiver_is_told_in_its_format_and_no_secret_is_shown",
    ),
    Break(
        "G14", "a name can open a tag", "src/edge/markup.rs",
        "'<' => out.push_str(\"&lt;\"),", "'<' => out.push(c),",
        "--test it", "notify::corpus::mails_are_read_back_by_another_parser",
    ),
    Break(
        "G15", "the version is written after the tables", "src/edge/ledger/migrate.rs",
        '            transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;\n            transaction.commit()\n',
        '            transaction.commit()?;\n            reach(Point::Migrating);\n'
        '            db.pragma_update(None, "user_version", SCHEMA_VERSION)\n',
        "--test it", "upgrade::killed_at_any_step_of_a_take_over_a_file_is_of_the_old_version_or_the_new_one",
    ),
    Break(
        "G16", "a backup leaves out what the streams know", "src/edge/ledger/query.rs",
        '"PRAGMA journal_mode = DELETE"', '"PRAGMA journal_mode = DELETE; DELETE FROM streams"',
        "--test it", "damage::a_backup_taken_under_load_and_restored_later_ends_where_the_other_ended_with_the_same_ids",
    ),
    Break(
        "damage", "nobody looks at checksums", "src/engine/blob.rs",
        "if crc32fast::hash(body) != u32::from_le_bytes(*crc) {", "if false && crc.is_empty() {",
        "--test it", "damage::a_stream_whose_state_is_damaged_begins_anew_and_all_others_are_exact",
    ),
    Break(
        "disk", "after an error of the disk the file stays open", "src/edge/core/mend.rs",
        "reopen |= error.is_disk_error();", "reopen |= false;",
        "--test it", "disk::a_disk_that_does_not_sync_is_waited_for_and_read_anew",
    ),
]


def check():
    faults = []
    files = [*ROOT.glob("tests/it/**/*.rs"), *ROOT.glob("src/**/*.rs")]
    sources = "".join(file.read_text() for file in files)
    for one in BREAKS:
        found = (ROOT / one.file).read_text().count(one.old)
        if found != 1:
            faults.append(f"{one.promise}: {one.file} has {found} times: {one.old}")
        name = one.test.rsplit("::", 1)[-1]
        if f"fn {name}(" not in sources:
            faults.append(f"{one.promise}: there is no test {name}")
    return faults


def attempt(one, copy, target):
    """What the test said of the break: whether it failed as a test, and how."""
    place = copy / one.file
    whole = place.read_text()
    place.write_text(whole.replace(one.old, one.new))
    try:
        environment = {**os.environ, "CARGO_TARGET_DIR": str(target)}
        words = ["cargo", "test", "--locked", *one.target.split(), "--", one.test]
        run = subprocess.run(words, cwd=copy, env=environment, capture_output=True, text=True)
    finally:
        place.write_text(whole)
    said = run.stdout + run.stderr
    if "could not compile" in said:
        return False, "does not compile:\n" + said[-2000:]
    result = re.search(r"test result: (\w+)\. (\d+) passed; (\d+) failed", said)
    if not result:
        return False, "no result:\n" + said[-2000:]
    if result[1] == "ok":
        return False, f"NOT NOTICED: {result[2]} passed"
    panic = re.search(r"panicked at [^\n]*\n([^\n]*)", said)
    return True, panic[1][:160] if panic else "failed"


def main():
    faults = check()
    for fault in faults:
        print(fault)
    if faults or sys.argv[1:] == ["--check"]:
        return 1 if faults else 0
    wanted = sys.argv[1:] or [one.promise for one in BREAKS]
    unknown = set(wanted) - {one.promise for one in BREAKS}
    if unknown:
        print(f"nothing breaks {', '.join(sorted(unknown))}")
        return 1
    copy = ROOT / "target/breaks"
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()
    if copy.exists():
        subprocess.run(["git", "checkout", "--quiet", "--force", "--detach", head], cwd=copy, check=True)
    else:
        subprocess.run(["git", "worktree", "add", "--detach", copy, head], cwd=ROOT, check=True)
    target = Path(os.environ.get("BREAKS_TARGET", ROOT / "target/breaks-target"))
    bad = 0
    for one in BREAKS:
        if one.promise not in wanted:
            continue
        noticed, how = attempt(one, copy, target)
        bad += not noticed
        print(f"{one.promise}: {one.what}: {'noticed' if noticed else 'NOT NOTICED'} by {one.test}\n    {how}", flush=True)
    print(f"{bad} not noticed")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
