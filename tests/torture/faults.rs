//! Every fault of the matrix: what it is, and what shows that nothing is lost by it.

use crate::trial::Trial;
use crate::{brokers, crash, idle, lines, load, people, process, soak};

/// One fault.
pub(crate) struct Fault {
    pub(crate) id: &'static str,
    pub(crate) what: &'static str,
    pub(crate) proof: Proof,
}

/// What shows it.
#[derive(Clone, Copy)]
pub(crate) enum Proof {
    /// Done here.
    Here(Tries),
    /// By tests: a file and names of functions in it.
    Tests(&'static [(&'static str, &'static [&'static str])]),
    /// Nothing yet, because ...
    Not(&'static str),
}

/// How often, and how.
#[derive(Clone, Copy)]
pub(crate) struct Tries {
    /// By day and at night.
    pub(crate) ci: usize,
    pub(crate) night: usize,
    /// Of one log, at most; more runs take more logs, each with a seed of its own.
    pub(crate) at_once: usize,
    pub(crate) play: fn(&mut Trial),
}

const fn here(ci: usize, night: usize, at_once: usize, play: fn(&mut Trial)) -> Proof {
    Proof::Here(Tries { ci, night, at_once, play })
}

const fn fault(id: &'static str, what: &'static str, proof: Proof) -> Fault {
    Fault { id, what, proof }
}

const fn tests(tests: &'static [(&'static str, &'static [&'static str])]) -> Proof {
    Proof::Tests(tests)
}

const fn not(why: &'static str) -> Proof {
    Proof::Not(why)
}

const MAIL: &str = "tests/it/notify/mail.rs";
const HOOK: &str = "tests/it/notify/webhook.rs";
const BROWSER: &str = "tests/it/browser.rs";
const CORPUS: &str = "tests/it/notify/corpus.rs";
const STEPS: &str = "tests/it/delivery/steps.rs";
const STORM: &str = "tests/it/delivery/storm.rs";
const KAFKA: &str = "tests/it/kafka.rs";
const FAULTS_RS: &str = "tests/it/faults.rs";
const HOSTILE_RS: &str = "tests/it/hostile.rs";
const ENGINE: &str = "tests/it/engine.rs";
const DAMAGE: &str = "tests/it/damage.rs";
const DISK: &str = "tests/it/disk.rs";
const POISON: &str = "tests/it/poison.rs";
const STUCK: &str = "tests/it/stuck.rs";
const UPGRADE: &str = "tests/it/upgrade.rs";
const GROUP: &str = "tests/it/real/group.rs";
const LOG: &str = "tests/it/real/log.rs";
const REALLY: &str = "tests/it/real/mod.rs";

/// All of them.
pub(crate) const FAULTS: &[Fault] = &[
    fault("F01", "killed at any time", here(60, 1_000, 20, crash::killed)),
    fault("F02", "aborted with a batch that is not committed", here(20, 100, 20, crash::before_a_commit)),
    fault("F03", "aborted within a commit", here(30, 150, 15, crash::within_a_commit)),
    fault("F04", "aborted right after a commit", here(20, 100, 20, crash::after_a_commit)),
    fault("F05", "killed at a write or a sync of the database", here(6, 500, 25, process::killed_at_a_system_call)),
    fault("F06", "aborted before a message's first connection", here(20, 100, 20, crash::before_a_message)),
    fault(
        "F07",
        "killed after a message is sent, before the answer",
        tests(&[(
            STEPS,
            &[
                "killed_at_every_step_of_a_mail_nothing_is_lost_and_only_a_whole_one_comes_again",
                "killed_at_every_step_of_a_webhook_nothing_is_lost_and_only_a_whole_one_comes_again",
            ],
        )]),
    ),
    fault("F08", "aborted after a receiver said yes", here(20, 100, 20, crash::after_a_message)),
    fault("F09", "aborted when partitions are taken away", here(4, 20, 10, process::aborted_at_a_revocation)),
    fault("F10", "aborted at a checkpoint", here(10, 100, 20, process::aborted_at_the_checkpoint)),
    fault(
        "F11",
        "ended for want of memory",
        not("it takes a limit that not every machine lets a test set; a death at a record is F67"),
    ),
    fault(
        "F12",
        "a panic in the engine, a receiver's thread, a request",
        tests(&[(
            POISON,
            &[
                "panics_cost_one_record_one_attempt_and_one_request",
                "a_batch_full_of_records_that_panic_is_got_through_and_each_of_them_counts_as_a_sign_of_life",
            ],
        )]),
    ),
    fault(
        "F13",
        "started twice on one folder",
        tests(&[(
            "tests/it/crash.rs",
            &["a_second_daemon_on_the_same_data_ends_at_once_and_names_the_lock_and_the_first_goes_on"],
        )]),
    ),
    fault("F14", "stopped by every signal, twice, without brokers", here(20, 200, 20, process::stopped)),
    fault(
        "F15",
        "killed while it takes over an older file",
        tests(&[(UPGRADE, &["killed_at_any_step_of_a_take_over_a_file_is_of_the_old_version_or_the_new_one"])]),
    ),
    fault(
        "F16",
        "a state that is torn, cut, turned over, of the future",
        tests(&[(
            DAMAGE,
            &[
                "a_stream_whose_state_is_damaged_begins_anew_and_all_others_are_exact",
                "other_states_that_are_damaged_cost_themselves_or_stop_the_start_with_the_ways_out",
            ],
        )]),
    ),
    fault(
        "F17",
        "one, two, three, two, one members of a group",
        tests(&[
            (GROUP, &["one_two_three_two_and_one_daemon_count_every_record_once_each_and_raise_the_same_alerts"]),
            (KAFKA, &["every_record_counts_once_over_restarts_and_rebalances"]),
        ]),
    ),
    fault(
        "F18",
        "members come and go without a pause",
        tests(&[(GROUP, &["a_member_that_comes_and_goes_all_the_time_holds_nobody_up_for_good"])]),
    ),
    fault("F19", "frozen while another takes over", here(3, 20, 5, process::frozen)),
    fault("F20", "a batch takes longer than the group waits", here(2, 10, 5, process::held_up)),
    fault("F21", "the coordinator refuses", here(5, 25, 5, brokers::refusing_coordinator)),
    fault("F22", "two processes of one name", tests(&[(KAFKA, &["a_real_broker"])])),
    fault(
        "F23",
        "the disk of a member is gone",
        tests(&[(GROUP, &["a_daemon_whose_disk_is_gone_reads_everything_again_and_decides_the_same"])]),
    ),
    fault(
        "F24",
        "the log begins after our position",
        tests(&[(KAFKA, &["records_deleted_before_we_read_them_are_a_gap"])]),
    ),
    fault("F25", "an offset is refused while running", here(4, 20, 5, brokers::refused_offsets)),
    fault(
        "F26",
        "the log ends before our position",
        tests(&[(KAFKA, &["a_log_shorter_than_our_position_stops_where_the_policy_says_so"])]),
    ),
    fault(
        "F27",
        "another topic of the same name",
        tests(&[(KAFKA, &["another_topic_of_the_same_name_is_noticed_by_its_last_record"])]),
    ),
    fault(
        "F28",
        "a log that is empty for a moment",
        tests(&[(KAFKA, &["an_empty_log_is_believed_only_after_it_was_seen_three_times"])]),
    ),
    fault("F29", "all brokers away or frozen", here(4, 20, 5, brokers::away)),
    fault("F30", "one of three brokers away or slow", here(5, 20, 5, brokers::one_of_three)),
    fault("F31", "leaders move every two seconds", here(10, 60, 20, brokers::moving_leaders)),
    fault("F32", "fetches are refused", here(5, 40, 10, brokers::refused_fetches)),
    fault(
        "F33",
        "the line to the broker is cut, half open, narrow",
        tests(&[(REALLY, &["a_line_to_the_broker_that_is_cut_half_open_narrow_or_late_costs_the_daemon_nothing"])]),
    ),
    fault(
        "F34",
        "a batch that rotted on the broker's disk",
        tests(&[(LOG, &["a_batch_that_rotted_on_the_brokers_disk_is_a_gap_and_what_comes_after_it_is_read"])]),
    ),
    fault(
        "F35",
        "every compression",
        tests(&[(
            "tests/it/crash.rs",
            &["killed_ten_times_on_a_real_broker_with_four_codecs_it_ends_where_an_uninterrupted_run_ends"],
        )]),
    ),
    fault(
        "F36",
        "transactions that are aborted or open for long",
        tests(&[(LOG, &["records_of_aborted_transactions_never_count_and_those_of_an_open_one_wait_for_its_end"])]),
    ),
    fault(
        "F37",
        "new partitions; no topic at the start",
        tests(&[(REALLY, &["a_topic_that_comes_late_is_waited_for_and_partitions_that_are_added_are_read"])]),
    ),
    fault(
        "F38",
        "wrong passwords and certificates at the broker",
        tests(&[(
            "tests/it/real/doors.rs",
            &["only_the_right_password_and_certificate_lead_in_and_no_secret_is_shown"],
        )]),
    ),
    fault(
        "F39",
        "a full disk, then room",
        tests(&[(
            FAULTS_RS,
            &[
                "a_full_disk_stops_the_daemon_from_nothing_but_writing_and_nothing_is_lost",
                "where_not_even_the_smallest_write_has_room_the_daemon_waits_and_goes_on",
            ],
        )]),
    ),
    fault(
        "F40",
        "the disk answers with errors",
        tests(&[(
            DISK,
            &[
                "a_disk_that_does_not_sync_is_waited_for_and_read_anew",
                "a_disk_that_does_not_write_is_waited_for_and_read_anew",
                "a_disk_that_does_not_read_is_waited_for_and_read_anew",
            ],
        )]),
    ),
    fault(
        "F41",
        "a corrupt database",
        tests(&[(
            DAMAGE,
            &[
                "a_damaged_file_is_refused_with_the_ways_out_and_never_written",
                "a_damaged_log_of_the_database_costs_time_only",
                "a_damage_that_no_quick_look_finds_ends_the_daemon_where_it_meets_it_again_and_again",
            ],
        )]),
    ),
    fault(
        "F42",
        "a folder that cannot be written",
        tests(&[(DAMAGE, &["a_folder_that_cannot_be_written_is_said_at_once"])]),
    ),
    fault(
        "F43",
        "somebody reads the database, or holds it, for long",
        tests(&[
            ("src/edge/ledger/log.rs", &["a_log_that_a_reader_made_long_is_begun_anew_when_it_ends"]),
            (DISK, &["whoever_holds_the_database_for_long_is_waited_for"]),
        ]),
    ),
    fault(
        "F44",
        "a disk a hundred times slower",
        tests(&[(DISK, &["a_slow_disk_makes_larger_batches_and_nothing_else"])]),
    ),
    fault(
        "F45",
        "backups under load, and their restoration",
        tests(&[(
            DAMAGE,
            &["a_backup_taken_under_load_and_restored_later_ends_where_the_other_ended_with_the_same_ids"],
        )]),
    ),
    fault(
        "F46",
        "a mail server that says nothing",
        tests(&[(MAIL, &["a_server_that_wastes_time_gets_what_was_set_and_no_more"]), (STORM, &[OUTAGE])]),
    ),
    fault(
        "F47",
        "a late answer to one mail, a refusal of the next",
        tests(&[(MAIL, &["a_refused_mail_after_a_slow_one_counts_as_refused"])]),
    ),
    fault(
        "F48",
        "every refusal at every verb, a reply without end",
        tests(&[(MAIL, &["every_refusal_at_every_verb_is_understood", "a_long_reply_does_not_fill_memory"])]),
    ),
    fault(
        "F49",
        "STARTTLS is gone, certificates are not right",
        tests(&[(
            MAIL,
            &[
                "nothing_falls_back_to_clear_text",
                "a_password_is_sent_only_under_tls",
                "a_certificate_that_is_not_right_ends_the_attempt",
            ],
        )]),
    ),
    fault(
        "F50",
        "every status of a webhook, redirects, replies without end",
        tests(&[(
            HOOK,
            &[
                "every_status_is_understood",
                "a_receiver_may_ask_for_a_pause_of_ten_minutes_at_most",
                "a_redirect_is_not_followed",
                "replies_that_waste_time_or_memory_are_left",
            ],
        )]),
    ),
    fault(
        "F50b",
        "bad lines to receivers: late, narrow, cut, reset, half open, flipped",
        here(12, 100, 12, lines::bad),
    ),
    fault(
        "F51",
        "a receiver's name leads nowhere, or inside",
        tests(&[(HOOK, &["a_receiver_that_is_not_there_is_tried_again", "addresses_that_lead_inside_are_refused"])]),
    ),
    fault("F52", "all receivers down under many alerts", tests(&[(STORM, &[OUTAGE])])),
    fault(
        "F53",
        "an Alertmanager is away or forgets",
        tests(&[(
            "tests/it/delivery/standing.rs",
            &["an_alertmanager_that_was_away_or_lost_its_memory_is_told_what_fires"],
        )]),
    ),
    fault("F54", "a storm of alerts", tests(&[(STORM, &["a_storm_is_told_in_a_few_messages_whose_numbers_add_up"])])),
    fault(
        "F55",
        "records that are not what they should be",
        tests(&[(FAULTS_RS, &[HOSTILE]), (HOSTILE_RS, &[WHATEVER])]),
    ),
    fault(
        "F56",
        "numbers at and beyond every limit",
        tests(&[("src/engine/event/json.rs", &["arbitrary_values_never_panic"]), (HOSTILE_RS, &[WHATEVER])]),
    ),
    fault(
        "F57",
        "records that are deep, long, full of keys",
        tests(&[(HOSTILE_RS, &["records_that_are_deep_wide_or_long_are_refused_or_passed_over_in_little_memory"])]),
    ),
    fault(
        "F58",
        "a decompression bomb, as far as there is memory to inflate it",
        tests(&[(POISON, &["a_record_that_is_large_once_it_is_inflated_costs_itself_only"])]),
    ),
    fault(
        "F59",
        "names without end",
        tests(&[(ENGINE, &["endless_names_are_counted_together_and_change_nothing_for_known_streams"])]),
    ),
    fault(
        "F60",
        "keys made to collide",
        tests(&[("tests/it/deploy.rs", &["names_that_agents_choose_are_hashed_with_a_key_of_this_process"])]),
    ),
    fault(
        "F61",
        "event ids that come again",
        tests(&[(ENGINE, &["duplicates_second_verdicts_and_strangers_are_told_apart"])]),
    ),
    fault(
        "F62",
        "records out of order and late, a partition that is idle",
        tests(&[
            ("src/engine/batches.rs", &["what_comes_too_late_for_a_chart_is_not_counted"]),
            (ENGINE, &["an_agent_alone_in_its_partition_is_missed_by_the_wall_clock"]),
        ]),
    ),
    fault(
        "F63",
        "times of the future and of the past",
        tests(&[(ENGINE, &["a_time_from_the_future_moves_nothing_further_than_the_skew"]), (FAULTS_RS, &[HOSTILE])]),
    ),
    fault("F64", "the wall clock jumps by hours and days", here(8, 50, 10, load::jumping_clock)),
    fault("F65", "everything at once", here(4, 40, 10, load::overload)),
    fault(
        "F66",
        "attack strings through every output",
        tests(&[
            (
                CORPUS,
                &[
                    "webhooks_give_every_string_back",
                    "an_alertmanagers_alerts_give_every_string_back",
                    "slack_shows_every_string_as_text",
                    "pagerduty_gets_every_string_as_text",
                    "mails_are_read_back_by_another_parser",
                    "tables_for_programs_are_read_back_by_another_parser",
                ],
            ),
            (BROWSER, &["a_browser_shows_attacks_in_the_report_as_text", "a_browser_shows_attacks_in_mails_as_text"]),
        ]),
    ),
    fault(
        "F67",
        "a record that ends the process",
        tests(&[(POISON, &["a_record_that_kills_the_process_is_found_and_passed_over_and_nothing_else_is_lost"])]),
    ),
    fault("F68", "rule files that are bad in every way", here(16, 160, 16, people::bad_rules)),
    fault(
        "F69",
        "reloads without a pause",
        tests(&[(
            "tests/it/reload.rs",
            &["rules_that_are_replaced_again_and_again_judge_every_event_whole_and_cost_no_memory"],
        )]),
    ),
    fault("F70", "a rule goes while its alert is open", here(5, 25, 5, people::rule_gone)),
    fault(
        "F71",
        "no more file descriptors",
        tests(&[(STUCK, &["without_descriptors_connections_wait_and_records_are_counted"])]),
    ),
    fault(
        "F72",
        "slow and many requests",
        tests(&[(
            "tests/it/http.rs",
            &[
                "a_thousand_connections_that_hang_keep_nobody_out",
                "whoever_takes_too_long_is_left",
                "what_is_too_long_is_refused_by_its_promise_and_by_what_comes",
            ],
        )]),
    ),
    fault(
        "F73",
        "nobody reads the log",
        tests(&[(STUCK, &["a_log_that_nobody_reads_or_takes_holds_nothing_up_and_is_counted"])]),
    ),
    fault(
        "F74",
        "a file of the version before, and of a newer one",
        tests(&[(
            UPGRADE,
            &[
                "a_file_of_the_version_before_is_taken_over",
                "newer_files_and_those_from_before_the_promise_are_refused_and_left_alone",
            ],
        )]),
    ),
    fault("F75", "a database of another cluster", tests(&[(DAMAGE, &["a_database_of_another_cluster_is_refused"])])),
    fault("F76", "killed right after a yes to a person", here(8, 40, 8, people::yes_and_killed)),
    fault("L1", "a steady rate for long, one fault after another", here(1, 1, 1, soak::soak)),
    fault("L2", "nothing to do for long, then new brokers", here(1, 1, 1, idle::idle)),
];

const OUTAGE: &str = "after_an_outage_everything_arrives_the_worst_first_and_who_is_well_never_waited";
const WHATEVER: &str = "whatever_comes_nothing_panics_and_every_number_of_a_state_is_finite";
const HOSTILE: &str = "hostile_records_cost_themselves_only_and_each_is_kept_with_its_reason";
