-- The tables of one shewhart database. Times are milliseconds since 1970-01-01 UTC; proportions lie in [0, 1].
-- Analysts read the views (views.sql), whose names and columns are a promise; the tables below may change.
--
-- The comments are the documentation: docs/schema.md and the view v_columns are made from them. The block right before a table or
-- view says what it is; its lines `@column | unit and range | sentence` describe columns, indented lines go on. Columns that
-- mean the same in many places are described once, here, with two of the signs; what a table or view says itself wins.

-- @@stream_id | integer | The stream; joins every view that has it.
-- @@agent | text | Who; empty where streams are not formed by agent.
-- @@task | text | The segment; empty where outputs name none or streams are not formed by task.
-- @@version | text | The version it runs on now (the label, where streams are formed by version).
-- @@labels | JSON | The labels that form the stream.
-- @@partition | integer | Partition of the topic.
-- @@state | `pending`, `firing`, `resolved`, `inactive` | Where it stands; `inactive` passed before it fired.
-- @@outputs | count, 0 or more | Outputs.
-- @@labelled | count, 0 or more | Outputs of which somebody said whether they were right.
-- @@label_share | share, 0 or more | `labelled / outputs`. Above 1 only where verdicts found no output and count for the agent
--   as a whole.
-- @@baseline_id | text | `name@version` of a promoted baseline, `provisional`, or empty.
-- @@baseline_kind | `promoted`, `provisional`, `none` | `provisional`: learnt from the stream's own first outputs.
-- @@baseline_accuracy | share, 0 to 1 | Accuracy of the baseline in force for the stream; empty where it has no labels.
-- @@baseline_labelled | count, 0 or more | Labelled outputs behind the baseline.
-- @@baseline_confidence_mean | share, 0 to 1 | Mean stated confidence of the baseline.
-- @@baseline_latency_p95_ms | milliseconds, 0 or more | 95th percentile of the baseline's latency.
-- @@alert_id | text, 32 hex digits | The incident; the same after a replay.
-- @@alert | text | The rule's alert name.
-- @@severity | text | The rule's severity label; `critical`, `warning` and `info` in the shipped rules.
-- @@hour | text, ISO 8601 UTC | Beginning of the hour of event time in which the outputs happened.
-- @@hour_ms | ms since 1970-01-01 UTC | `hour` as a number; filter by this one, it is the key.
-- @@minute | text, ISO 8601 UTC | Beginning of the minute of event time in which the outputs happened.
-- @@minute_ms | ms since 1970-01-01 UTC | `minute` as a number; filter by this one, it is the key.
-- @@complete | 0 or 1 | 1 once all minutes of the hour have left memory (about two hours after its beginning); percentiles
--   exist from then on.
-- @@correct | count, 0 or more, at most `labelled` | Labelled outputs that were right.
-- @@escalation_known | count, 0 or more | Outputs that said whether they were escalated.
-- @@escalated | count, 0 or more | Outputs that were escalated.
-- @@override_known | count, 0 or more | Outputs of which it is known whether a person overrode them.
-- @@overridden | count, 0 or more | Outputs that a person overrode.
-- @@status_ok | count, 0 or more | Outputs with status `ok`.
-- @@status_error | count, 0 or more | Outputs with status `error`.
-- @@status_invalid_input | count, 0 or more | Outputs with status `invalid_input`.
-- @@status_timeout | count, 0 or more | Outputs with status `timeout`.
-- @@confidence_n | count, 0 or more | Outputs that stated a confidence.
-- @@confidence_mean | share, 0 to 1 | Mean of the stated confidences.
-- @@confidence_sd | 0 to 0.71 | Standard deviation of the stated confidences (n - 1); empty below two values
--   and where the span is not complete.
-- @@latency_n | count, 0 or more | Outputs that said how long they took.
-- @@latency_mean_ms | milliseconds, 0 or more | Mean latency.
-- @@latency_p50_ms | milliseconds, 0 or more | Median latency, within 0.1 %.
-- @@latency_p95_ms | milliseconds, 0 or more | 95th percentile of latency, within 0.1 %.
-- @@latency_p99_ms | milliseconds, 0 or more | 99th percentile of latency, within 0.1 %.
-- @@latency_max_ms | milliseconds, 0 or more | Latency of the slowest output.
-- @@cost_n | count, 0 or more | Outputs that said what they cost.
-- @@cost_usd | USD, 0 or more | What those outputs cost together.
-- @@tokens | count, 0 or more | Tokens in and out of all outputs together.
-- @@confidence_sum | 0 or more | Sum of the stated confidences, each at the middle of its bin (hundredths up to 0.9,
--   thousandths up to 0.99, ten-thousandths up to 0.999, one beyond).
-- @@confidence_squares | 0 or more | Sum of the squares of the stated confidences.
-- @@confidence_escalated | count, 0 or more | Outputs with a confidence that were escalated.
-- @@paired_n | count, 0 or more | Outputs with a confidence and a verdict.
-- @@paired_right | count, 0 or more, at most `paired_n` | Outputs with a confidence and a verdict that were right.
-- @@paired_sum | 0 or more | Sum of the confidences of outputs with a verdict, as in `confidence_sum`.
-- @@paired_squares | 0 or more | Sum of the squares of those confidences.
-- @@paired_right_sum | 0 or more | Sum of the confidences of outputs that were right.
-- @@paired_escalated | count, 0 or more, at most `paired_n` | Outputs with a confidence and a verdict that were escalated.
-- @@confidence_min | share, 0 to 1 | The lowest.
-- @@confidence_max | share, 0 to 1 | The highest.
-- @@confidence_p10 | share, 0 to 1 | 10th percentile, as the middle of its bin.
-- @@confidence_p50 | share, 0 to 1 | Median, likewise.
-- @@confidence_p90 | share, 0 to 1 | 90th percentile, likewise.
-- @@confidence_p95 | share, 0 to 1 | 95th percentile, likewise.
-- @@confidence_p99 | share, 0 to 1 | 99th percentile, likewise.
-- @@latency_sd_ms | milliseconds, 0 or more | Their standard deviation (n - 1); empty below two values.
-- @@latency_min_ms | milliseconds, 0 or more | The fastest.
-- @@latency_p90_ms | milliseconds, 0 or more | 90th percentile, within 0.1 %.
-- @@cost_mean_usd | USD, 0 or more | What they cost on average.
-- @@cost_sd_usd | USD, 0 or more | Their standard deviation (n - 1); empty below two values.
-- @@cost_min_usd | USD, 0 or more | The cheapest.
-- @@cost_max_usd | USD, 0 or more | The dearest.
-- @@tokens_n | count, 0 or more | Outputs that said how many tokens went in or out.
-- @@tokens_mean | count, 0 or more | Tokens in and out of one output, on average.
-- @@tokens_sd | count, 0 or more | Their standard deviation (n - 1); empty below two values.
-- @@tokens_min | count, 0 or more | The fewest of one output.
-- @@tokens_max | count, 0 or more | The most of one output.
-- @@confidence_sketch | blob | Outputs and verdicts by confidence, for `conf_hist` and `conf_merge`; empty without confidence.
-- @@latency_sketch | blob | Histogram of latency in nanoseconds (HdrHistogram V2, compressed), for `hdr_quantile` and `hdr_merge`; empty without latency.
-- @@labels_low | share, 0 to 1 | Lower end of its 95 % interval (Wilson).
-- @@estimate | the measure's unit | The level since the change; empty for `silence`.
-- @@estimate_low | the measure's unit | Lower end of its 95 % interval.
-- @@estimate_high | the measure's unit | Upper end of that interval.
-- @@event_id | text | The output's id, as its event gave it.
-- @@at | text, ISO 8601 UTC | When, wall time.
-- @@at_ms | ms since 1970-01-01 UTC | `at` as a number.
-- @@confidence | share, 0 to 1 | Confidence that it stated.
-- @@sampled | share, above 0, at most 1 | The chance with which this output was picked: that it was kept, times that it was
--   drawn among those kept. A verdict stands for `1 / sampled` outputs.
-- @@why | text | Why it was drawn.
-- @@judged_ms | ms since 1970-01-01 UTC | When its verdict was given, event time; empty until it came.
-- @@chart | text, 32 hex digits | The chart's definition; the same in all streams that a rule watches.
-- @@measure | text | What it watches, such as `accuracy` or `latency p95`. `profile` has a second chart, T2 of single buckets,
--   drawn beside, which never alarms.
-- @@statistic | number | What is plotted: the evidence so far, in the chart's own unit.
-- @@limit_value | number | The limit it is compared with.
-- @@centre | number | The baseline's level: the share of bad outcomes (1 - accuracy), the mean (of the logarithm for cost and
--   tokens), 0 for charts of shape and profiles.
-- @@samples | count, 0 or more | Samples judged so far.
-- @@out_of_control | 0 or 1 | Whether the chart was out of control.
-- @@method | text | What the chart is, in words: `e-SR mixture`, `Laney-z CUSUM, sigma_z 1.42`, `CUSUM of bucket means` and so
--   on.
-- @@rule | text | The rule, `group/alert`.
-- @@version_before | text | The version before that.
-- @@grade | `drifting`, `degraded`, `confirmed` | How sure the chart was about the size of the change.
-- @@provisional | 0 or 1 | 1 where the baseline was the stream's own beginning.
-- @@baseline_value | the measure's unit | The level of the baseline.
-- @@baseline_low | the measure's unit | Lower end of the 95 % interval of the baseline's own sampling error.
-- @@baseline_n | count, 0 or more | Cases behind the baseline (buckets for means, blocks for volume); 0 where the rule gives a
--   fixed bound.
-- @@change | the measure's unit; for `cost`, `tokens` and `volume` a share of the baseline, -1 or more | The change from the
--   baseline to the level since, falls negative; -0.049 is 4.9 points down, 0.18 of a cost is 18 % up. Empty where `estimate`
--   is.
-- @@change_low | as `change` | Lower end of its 95 % interval, from the errors of both the estimate and the baseline.
-- @@arl0 | samples, 1 or more; 0 for `silence` | The promise behind the limit: samples between false alarms.
-- @@unit | `case`, `batch`, `bucket`, `window`, `block` | What `arl0` counts: single cases, batches of cases, means of an hour
--   or more, windows of 500 outputs, blocks of hours; empty for `silence`.
-- @@outputs_since | count, 0 or more | Outputs since `counted_from`; empty for `silence`.
-- @@labels_missing | count, 0 or more | Those of them whose verdict had not come when the alert last changed its state.
-- @@also_moved | JSON | What else moved between the baseline and that time: a list of `what`, `level`, `baseline`, `z`.
-- @@task_parts | JSON | For accuracy where a stream holds several tasks: Kitagawa's `total`, `mix`, `within`, and `tasks` with
--   the part of each.
-- @@verdict | `true`, `false`, `noise` | Something was wrong; nothing was; something had changed and did not matter. Empty
--   where none was given.
-- @@notice_id | text, 32 hex digits | The change of state; the same after a replay.
-- @@transition | 1 or more | Number of the change within the incident.
-- @@from_state | text | The state before.
-- @@to_state | text | The state after.
-- @@reason | `signalled`, `held`, `passed`, `recovered`, `rule_removed`, `rule_changed`, `baseline_replaced`, `contradicted`, `state_lost` |
--   Why.
-- @@offset | integer | Position of the record that made it.
-- @@message_id | text, 32 hex digits | The message; receivers see it as idempotency key.
-- @@receiver | text | Name of the receiver in the configuration.
-- @@group_key | text | The group of alerts that shared the message.
-- @@status | `firing`, `resolved` | Whether anything in the message still fired.
-- @@occasion | `first`, `changed`, `repeat` | Why the message went out.
-- @@attempts | count, 0 or more | Attempts so far.
-- @@fallback | 0 or 1 | 1 where a fixed text without words of agents was sent, because the full one was refused.
-- @@last_error | text | What was said at the last failed attempt.
-- @@outcome | `delivered`, `retry`, `refused`, `dead` | How it ended.
-- @@class | text | Class of the failure.
-- @@detail | text | What was said.
-- @@name | text | Its name.
-- @@source | text | What it was learnt from.
-- @@who | text | By whom.
-- @@payload | blob | The first 4 KiB of the payload; read it with `CAST(payload AS TEXT)`. It is as hostile as it came.
-- @@from_offset | integer | The first missing one.
-- @@to_offset | integer | The first one that is there again.
-- @@hash | text | Hash of the compiled set; empty where it did not compile.
-- @@accepted | 0 or 1 | Whether it took effect.
-- @@origin | text | Why it was offered: start, signal, file change, request.
-- @@rules | count, 0 or more | Rules in it.
-- @@sources | JSON | The files, `{name: text}`.
-- @@diff | text | What changed since the last accepted set, as a unified diff.
-- @@matchers | JSON | What alerts must meet, all of it: `["agent=\"invoice-triage\""]`.
-- @@author | text | Who answers for it, as they gave their name.
-- @@comment | text | Why.
-- @@made_by | text | Who made it, by the system's word: a user of the machine, or `token`.
-- @@ended_by | text | Who ended it before its time; empty where nobody did.
-- @@fired | count, 0 or more | Alerts that fired under it.
-- @@resolved | count, 0 or more | Alerts that ended under it.
-- @@owner | text | Whose it is, as they gave their name.
-- @@note | text | What they said; may be empty.
-- @@next_offset | integer | The next record to read.
-- @@value | text | The value.

-- What the file belongs to, and which views it has.
-- @key | text | `topic`, `group_by`, and `views`: a hash of the views' text.
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

-- Where each partition stands: what the consumer is assigned from after a restart.
-- @anchor_offset | integer | The last record read, by whose checksum a recreated topic is known; empty after a hole.
-- @anchor_crc | integer | CRC-32 of that record's payload.
-- @position | blob | Stream time, the broker's time of the last record, and what was counted.
CREATE TABLE partitions (
  partition     INTEGER PRIMARY KEY,
  next_offset   INTEGER NOT NULL,
  anchor_offset INTEGER,
  anchor_crc    INTEGER,
  position      BLOB NOT NULL
) STRICT;

-- One row for each monitored stream of each partition; id = partition * 2^32 + the stream's index.
-- @id | integer | The stream: `stream_id` of other tables and of the views.
-- @idx | 0 or more | The stream's index within its partition.
-- @outputs | count, 0 or more | Outputs since the stream was first seen.
-- @labelled | count, 0 or more | Labelled outputs since the stream was first seen.
-- @promised | number, 0 or more | False alarms that the charts promised so far.
-- @promised_week | false alarms a week, 0 or more | False alarms that they promise a week at the present traffic.
-- @raised | count, 0 or more | Alerts that fired.
-- @first_seen_ms | ms since 1970-01-01 UTC | Event time of the first output.
-- @last_seen_ms | ms since 1970-01-01 UTC | Event time of the newest output.
-- @baseline | text | `name@version` of a promoted baseline, `provisional`, or empty.
-- @newest_pane_ms | ms since 1970-01-01 UTC | Beginning of the minute of the newest event; empty before the first.
-- @contradicted_ms | ms since 1970-01-01 UTC | Since when labels contradict confidence; empty while they do not.
-- @contradicted | text | What contradicts, in words; empty while nothing does.
-- @memory | blob | All that the engine knows of the stream beyond its panes: charts, alerts, verdicts that wait. Compressed by zstd.
CREATE TABLE streams (
  id            INTEGER PRIMARY KEY,
  partition     INTEGER NOT NULL,
  idx           INTEGER NOT NULL,
  agent         TEXT,
  task          TEXT,
  version       TEXT,
  labels        TEXT NOT NULL,
  outputs       INTEGER NOT NULL,
  labelled      INTEGER NOT NULL,
  promised      REAL NOT NULL,
  promised_week REAL NOT NULL,
  raised        INTEGER NOT NULL,
  first_seen_ms INTEGER NOT NULL,
  last_seen_ms  INTEGER NOT NULL,
  baseline      TEXT,
  newest_pane_ms INTEGER,
  contradicted_ms INTEGER,
  contradicted  TEXT,
  memory        BLOB NOT NULL
) STRICT;
CREATE INDEX streams_by_agent ON streams (agent, task);

-- When verdicts came, by hour of event time, and on outputs of which day and age: the second clock of labels.
-- @hour_ms | ms since 1970-01-01 UTC | Beginning of the hour in which they came.
-- @stream_id | integer | The stream.
-- @day_ms | ms since 1970-01-01 UTC | Beginning of the day (UTC) of their outputs; of the verdicts, where the outputs are not remembered.
-- @within_ms | milliseconds, 0 or more, or -1 | How old the outputs were at most: one of 15 steps from 0 to 365 days, 730 days for all later ones, -1 where the outputs are not remembered.
-- @labels | count, 1 or more | Verdicts.
-- @correct | count, 0 or more, at most `labels` | How many said that the output was right.
CREATE TABLE label_arrivals (
  hour_ms INTEGER NOT NULL, stream_id INTEGER NOT NULL, day_ms INTEGER NOT NULL, within_ms INTEGER NOT NULL,
  labels INTEGER NOT NULL, correct INTEGER NOT NULL, PRIMARY KEY (hour_ms, stream_id, day_ms, within_ms)
) STRICT, WITHOUT ROWID;
CREATE INDEX label_arrivals_by_day ON label_arrivals (stream_id, day_ms);

-- The memory that joins feedback to outputs, as the list of its changes.
-- @seq | 1 or more | Order of the changes within the partition.
-- @inserts | count, 0 or more | Outputs that were remembered up to here, from the beginning.
-- @ops | blob | The changes.
CREATE TABLE recent_ops (
  partition INTEGER NOT NULL, seq INTEGER NOT NULL, inserts INTEGER NOT NULL, ops BLOB NOT NULL,
  PRIMARY KEY (partition, seq)
) STRICT, WITHOUT ROWID;

-- Baselines: sets of profiles, one for each stream, with everything that was done with them.
-- @id | text | `name@version`.
-- @version | 1 or more | Its version.
-- @learnt_at_ms | ms since 1970-01-01 UTC | When it was learnt, wall time.
-- @state | `learnt`, `promoted`, `retired` | At most one is promoted: it is in force.
CREATE TABLE baselines (
  id TEXT PRIMARY KEY, name TEXT NOT NULL, version INTEGER NOT NULL, source TEXT NOT NULL,
  learnt_at_ms INTEGER NOT NULL, state TEXT NOT NULL CHECK (state IN ('learnt', 'promoted', 'retired')),
  UNIQUE (name, version)
) STRICT, WITHOUT ROWID;

-- What a baseline knows of each stream.
-- @baseline | text | The baseline, `name@version`.
-- @stream_key | text | The stream's identity: names and values of its labels, joined.
-- @labels | JSON | The labels that form the stream; views find its baseline by them.
-- @outputs | count, 0 or more | Outputs the profile was learnt from.
-- @labelled | count, 0 or more | Labelled outputs behind it.
-- @correct | count, 0 or more, at most `labelled` | Right ones among them.
-- @first_ms | ms since 1970-01-01 UTC | Event time of its first output.
-- @last_ms | ms since 1970-01-01 UTC | Event time of its last output.
-- @confidence_mean | share, 0 to 1 | Mean stated confidence; empty where none was stated.
-- @latency_p95_ms | milliseconds, 0 or more | 95th percentile of latency; empty where none was said.
-- @profile | blob | The profile: histograms, batches, moments.
-- @levels | JSON | Centre and variances of each measure, for `v_control_charts`.
CREATE TABLE baseline_streams (
  baseline TEXT NOT NULL REFERENCES baselines (id), stream_key TEXT NOT NULL, labels TEXT NOT NULL,
  outputs INTEGER NOT NULL, labelled INTEGER NOT NULL, correct INTEGER NOT NULL,
  first_ms INTEGER, last_ms INTEGER, confidence_mean REAL, latency_p95_ms REAL, profile BLOB NOT NULL,
  levels TEXT NOT NULL DEFAULT '{}',
  PRIMARY KEY (baseline, stream_key)
) STRICT, WITHOUT ROWID;
-- How the views find a stream's baseline.
CREATE INDEX baseline_streams_by_labels ON baseline_streams (baseline, labels);

-- Everything that was done with baselines: the audit trail.
-- @id | integer | Order of the events.
-- @at_ms | ms since 1970-01-01 UTC | When, wall time.
-- @baseline | text | The baseline, `name@version`.
-- @action | `learnt`, `promoted`, `retired` | What was done.
-- @why | text | The reason given.
CREATE TABLE baseline_events (
  id INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, baseline TEXT NOT NULL, action TEXT NOT NULL,
  who TEXT NOT NULL, why TEXT NOT NULL
) STRICT;

-- What streams without a promoted baseline learnt from their own first outputs.
-- @outputs | count, 0 or more | Outputs the profile was learnt from.
-- @labelled | count, 0 or more | Labelled outputs behind it.
-- @correct | count, 0 or more, at most `labelled` | Right ones among them.
-- @first_ms | ms since 1970-01-01 UTC | Event time of its first output.
-- @last_ms | ms since 1970-01-01 UTC | Event time of its last output.
-- @confidence_mean | share, 0 to 1 | Mean stated confidence; empty where none was stated.
-- @latency_p95_ms | milliseconds, 0 or more | 95th percentile of latency; empty where none was said.
-- @profile | blob | The profile: histograms, batches, moments.
-- @levels | JSON | Centre and variances of each measure, for `v_control_charts`.
CREATE TABLE provisional_baselines (
  stream_id INTEGER PRIMARY KEY, outputs INTEGER NOT NULL, labelled INTEGER NOT NULL, correct INTEGER NOT NULL,
  first_ms INTEGER, last_ms INTEGER, confidence_mean REAL, latency_p95_ms REAL, profile BLOB NOT NULL,
  levels TEXT NOT NULL DEFAULT '{}'
) STRICT;

-- Every rule set that was offered, accepted or refused, with its text and what was found in it, and the one in
-- force; the newest 10,000.
-- @id | integer | Order of arrival.
-- @at_ms | ms since 1970-01-01 UTC | When, wall time.
-- @who | text | Who asked for it (a user of the machine, `token`), or who owns the files that changed.
-- @diagnostics | text | What was found in it, one line each.
-- @compiled | blob | The compiled set; empty where it did not compile.
CREATE TABLE rule_sets (
  id INTEGER PRIMARY KEY, hash TEXT, at_ms INTEGER NOT NULL, accepted INTEGER NOT NULL, origin TEXT NOT NULL,
  who TEXT NOT NULL, diff TEXT NOT NULL, rules INTEGER NOT NULL, diagnostics TEXT NOT NULL, sources TEXT NOT NULL, compiled BLOB
) STRICT;

-- Alerts, as they stand. What it rests on is that of the newest change of state that had
-- evidence; all of it is empty before.
-- @id | text, 32 hex digits | The incident; the same after a replay.
-- @labels | JSON | The stream's labels and the rule's.
-- @annotations | JSON | What people were told when it fired.
-- @started_at_ms | ms since 1970-01-01 UTC | Event time at which the incident began.
-- @fired_at_ms | ms since 1970-01-01 UTC | Event time at which it fired; empty where it never did.
-- @ended_at_ms | ms since 1970-01-01 UTC | Event time at which it was over; empty while it is open.
-- @measure | text | What was watched.
-- @changed_at_ms | ms since 1970-01-01 UTC | When the change probably began, estimated by the chart.
-- @changed_earliest_ms | ms since 1970-01-01 UTC | Beginning of the 95 % interval of that; empty for `silence`.
-- @changed_latest_ms | ms since 1970-01-01 UTC | End of that interval; empty for `silence`.
-- @change_high | as `change` | Upper end of that interval.
-- @baseline | text | What it was compared with: `name@version`, `provisional`, `fixed bound` or `none`.
-- @baseline_high | the measure's unit | Upper end of that interval.
-- @statistic | number | The chart's statistic.
-- @limit_value | number | Its limit.
-- @method | text | What the chart is, in words: `e-SR mixture`, `Laney-z CUSUM, sigma_z 1.42`, `CUSUM of bucket means` and so
--   on; empty for `silence`.
-- @samples | count, 0 or more | Samples (labelled outputs, outputs, hourly buckets or blocks of hours, as the measure has it)
--   behind the estimate.
-- @outputs | count, 0 or more | Outputs of the stream up to the alert.
-- @labelled | count, 0 or more | Labelled outputs of the stream up to the alert.
-- @version | text | The version the stream ran on.
-- @counted_from_ms | ms since 1970-01-01 UTC | From when on `outputs_since` and `labels_missing` count.
-- @standing | JSON | For alerts about accuracy: accuracy of all outputs and of the labelled ones since then, with how it was
--   made.
CREATE TABLE alerts (
  id TEXT PRIMARY KEY, rule TEXT NOT NULL, alert TEXT NOT NULL, severity TEXT NOT NULL, partition INTEGER NOT NULL,
  labels TEXT NOT NULL, annotations TEXT NOT NULL, state TEXT NOT NULL,
  started_at_ms INTEGER NOT NULL, fired_at_ms INTEGER, ended_at_ms INTEGER,
  measure TEXT, grade TEXT, changed_at_ms INTEGER, changed_earliest_ms INTEGER, changed_latest_ms INTEGER,
  estimate REAL, estimate_low REAL, estimate_high REAL,
  change REAL, change_low REAL, change_high REAL,
  baseline TEXT, provisional INTEGER, baseline_value REAL, baseline_low REAL, baseline_high REAL, baseline_n INTEGER,
  statistic REAL, limit_value REAL, arl0 REAL, unit TEXT, method TEXT, samples INTEGER, outputs INTEGER, labelled INTEGER,
  version TEXT, version_before TEXT,
  outputs_since INTEGER, labels_missing INTEGER, counted_from_ms INTEGER, also_moved TEXT, task_parts TEXT,
  standing TEXT
) STRICT, WITHOUT ROWID;

-- Open alerts are few among all that ever were.
CREATE INDEX alerts_open ON alerts (state) WHERE state IN ('pending', 'firing');
CREATE INDEX alerts_over ON alerts (coalesce(ended_at_ms, started_at_ms)) WHERE state NOT IN ('pending', 'firing');

-- Every change of state of every alert.
-- @id | text, 32 hex digits | The change of state; the same after a replay.
-- @at_ms | ms since 1970-01-01 UTC | Event time of the change.
-- @crossing | JSON | All that was known of it, with the evidence.
CREATE TABLE alert_events (
  id TEXT PRIMARY KEY, alert_id TEXT NOT NULL REFERENCES alerts (id), transition INTEGER NOT NULL,
  from_state TEXT NOT NULL, to_state TEXT NOT NULL, reason TEXT NOT NULL, at_ms INTEGER NOT NULL,
  partition INTEGER NOT NULL, offset INTEGER NOT NULL, crossing TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX alert_events_by_alert ON alert_events (alert_id, transition);

-- The outbox: one row for each message to one receiver. Written with the state that decided
-- it, marked when it is out.
-- @id | text, 32 hex digits | The message; receivers see it as idempotency key.
-- @created_at_ms | ms since 1970-01-01 UTC | When the message was decided and written down, wall time.
-- @state | `pending`, `delivered`, `dead` | `dead`: given up, see `last_error`.
-- @next_at_ms | ms since 1970-01-01 UTC | When it is tried next; without meaning once it is settled.
-- @done_at_ms | ms since 1970-01-01 UTC | When it was settled: delivered or given up; empty before.
-- @message | JSON | The message.
CREATE TABLE outbox (
  id TEXT PRIMARY KEY, receiver TEXT NOT NULL, group_key TEXT NOT NULL, status TEXT NOT NULL, occasion TEXT NOT NULL,
  created_at_ms INTEGER NOT NULL, state TEXT NOT NULL CHECK (state IN ('pending', 'delivered', 'dead')),
  attempts INTEGER NOT NULL, fallback INTEGER NOT NULL, next_at_ms INTEGER NOT NULL, done_at_ms INTEGER,
  last_error TEXT, message TEXT NOT NULL
) STRICT, WITHOUT ROWID;
-- Delivered messages are many, and nobody asks for them on the daemon's way.
CREATE INDEX outbox_pending ON outbox (receiver, group_key, created_at_ms, id) WHERE state = 'pending';
-- What is old is deleted a little at a time.
CREATE INDEX outbox_settled ON outbox (done_at_ms) WHERE state <> 'pending';
CREATE INDEX outbox_open ON outbox (receiver, state) WHERE state IN ('pending', 'dead');

-- Which changes of state a message tells.
-- @message | text, 32 hex digits | The message.
-- @notice | text, 32 hex digits | The change of state: `id` of `alert_events`.
CREATE TABLE outbox_alerts (
  message TEXT NOT NULL REFERENCES outbox (id), notice TEXT NOT NULL, alert_id TEXT NOT NULL,
  PRIMARY KEY (message, notice)
) STRICT, WITHOUT ROWID;
CREATE INDEX outbox_alerts_by_alert ON outbox_alerts (alert_id);

-- Every attempt to deliver a message; goes with its message.
-- @id | integer | Order of the attempts.
-- @message | text, 32 hex digits | The message.
-- @attempt | 1 or more | Its number for this message.
-- @at_ms | ms since 1970-01-01 UTC | When, wall time.
CREATE TABLE deliveries (
  id INTEGER PRIMARY KEY, message TEXT NOT NULL REFERENCES outbox (id), attempt INTEGER NOT NULL, at_ms INTEGER NOT NULL,
  outcome TEXT NOT NULL, class TEXT, detail TEXT
) STRICT;
CREATE INDEX deliveries_by_message ON deliveries (message, attempt);

-- Silences that people made, with what happened under them.
-- @id | text, 32 hex digits | The silence.
-- @created_at_ms | ms since 1970-01-01 UTC | When it was made, wall time.
-- @starts_at_ms | ms since 1970-01-01 UTC | From when.
-- @ends_at_ms | ms since 1970-01-01 UTC | Until when; the moment at which it was ended where somebody did.
CREATE TABLE silences (
  id TEXT PRIMARY KEY, matchers TEXT NOT NULL, author TEXT NOT NULL, comment TEXT NOT NULL, made_by TEXT NOT NULL,
  created_at_ms INTEGER NOT NULL, starts_at_ms INTEGER NOT NULL, ends_at_ms INTEGER NOT NULL, ended_by TEXT,
  fired INTEGER NOT NULL, resolved INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Who took which alert on and what it turned out to be; goes with its alert.
-- @id | integer | Order of arrival.
-- @alert_id | text, 32 hex digits | The incident.
-- @at_ms | ms since 1970-01-01 UTC | When, wall time.
-- @made_by | text | Who said so, by the system's word.
-- @took | 0 or 1 | Whether the alert fired then: only so does it get an owner.
CREATE TABLE acknowledgements (
  id INTEGER PRIMARY KEY, alert_id TEXT NOT NULL REFERENCES alerts (id), at_ms INTEGER NOT NULL,
  owner TEXT NOT NULL, made_by TEXT NOT NULL, note TEXT NOT NULL,
  verdict TEXT CHECK (verdict IN ('true', 'false', 'noise')),
  took INTEGER NOT NULL
) STRICT;
CREATE INDEX acknowledgements_by_alert ON acknowledgements (alert_id, id);

-- Records that were not counted: the newest 10,000.
-- @offset | integer | Position in the partition.
-- @at_ms | ms since 1970-01-01 UTC | When, wall time.
-- @why | `empty`, `too_large`, `malformed`, `missing`, `out_of_range`, `time`, `duplicate`, `relabelled`, `poison` | Class of the fault.
-- @detail | text | What was wrong.
CREATE TABLE rejects (
  partition INTEGER NOT NULL, offset INTEGER NOT NULL, at_ms INTEGER NOT NULL, why TEXT NOT NULL, detail TEXT NOT NULL,
  payload BLOB NOT NULL, PRIMARY KEY (partition, offset)
) STRICT, WITHOUT ROWID;

-- Records that were being handled when the process died, as far as that is known, until they are read. On one that three
-- processes died no fourth is let.
-- @offset | integer | Position in the partition.
-- @deaths | 1 or more | Processes that died on it.
CREATE TABLE inflight (
  partition INTEGER NOT NULL, offset INTEGER NOT NULL, deaths INTEGER NOT NULL, PRIMARY KEY (partition, offset)
) STRICT, WITHOUT ROWID;

-- Holes in the log.
-- @id | integer | Order in which they were found.
-- @reason | text | Why.
-- @at_ms | ms since 1970-01-01 UTC | When it was found, wall time.
CREATE TABLE gaps (
  id INTEGER PRIMARY KEY, partition INTEGER NOT NULL, from_offset INTEGER NOT NULL, to_offset INTEGER NOT NULL,
  reason TEXT NOT NULL, at_ms INTEGER NOT NULL
) STRICT;

-- Versions that streams ran on: a new one opens a new phase.
-- @at_ms | ms since 1970-01-01 UTC | Event time of the first output of the new version.
-- @from_version | text | The version before; empty for the first.
-- @to_version | text | The new version.
CREATE TABLE versions (
  stream_id INTEGER NOT NULL, at_ms INTEGER NOT NULL, from_version TEXT, to_version TEXT NOT NULL,
  PRIMARY KEY (stream_id, at_ms, to_version)
) STRICT, WITHOUT ROWID;

-- Points of control charts: what was plotted and against what, once an hour; 400 days.
-- @at_ms | ms since 1970-01-01 UTC | Event time of the sample.
CREATE TABLE chart_points (
  at_ms INTEGER NOT NULL, stream_id INTEGER NOT NULL, chart TEXT NOT NULL, measure TEXT NOT NULL,
  statistic REAL NOT NULL, limit_value REAL NOT NULL, centre REAL NOT NULL, samples INTEGER NOT NULL,
  out_of_control INTEGER NOT NULL, method TEXT NOT NULL, PRIMARY KEY (at_ms, stream_id, chart)
) STRICT, WITHOUT ROWID;

-- Outputs that verdicts can be asked on: a share of them, the newest 4,096 of a stream, 30 days.
-- @at_ms | ms since 1970-01-01 UTC | Event time of the output.
-- @key | integer | Half of the hash of agent and event id.
-- @agent | text | Whose output it is.
-- @escalated | 0 or 1 | Whether it was handed to a person; empty where that was not said.
-- @share | share, above 0, at most 1 | The chance with which it was kept.
-- @correct | 0 or 1 | Whether it was right; empty until the verdict came.
CREATE TABLE cases (
  stream_id INTEGER NOT NULL, at_ms INTEGER NOT NULL, key INTEGER NOT NULL, agent TEXT NOT NULL, event_id TEXT NOT NULL,
  confidence REAL NOT NULL, escalated INTEGER, share REAL NOT NULL, judged_ms INTEGER, correct INTEGER,
  PRIMARY KEY (stream_id, at_ms, key)
) STRICT, WITHOUT ROWID;

-- What was asked of people, and whether the verdict came.
-- @id | integer | The request.
-- @at_ms | ms since 1970-01-01 UTC | When it was made, wall time.
-- @who | text | Who asked, as they gave their name, or the user of the machine.
-- @case_ms | ms since 1970-01-01 UTC | Event time of the output.
-- @key | integer | The output's `key` in `cases`.
-- @agent | text | Whose output it is.
-- @escalated | 0 or 1 | Whether it was handed to a person; empty where that was not said.
-- @correct | 0 or 1 | Whether it was right; empty until the verdict came.
CREATE TABLE label_requests (
  id INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, who TEXT NOT NULL, stream_id INTEGER NOT NULL, case_ms INTEGER NOT NULL,
  key INTEGER NOT NULL, agent TEXT NOT NULL, event_id TEXT NOT NULL, confidence REAL NOT NULL, escalated INTEGER,
  sampled REAL NOT NULL, why TEXT NOT NULL, judged_ms INTEGER, correct INTEGER
) STRICT;
CREATE INDEX label_requests_by_case ON label_requests (stream_id, case_ms, key);
CREATE INDEX label_requests_by_time ON label_requests (at_ms);

-- Open groups of alerts: what was told to whom and what is due. One row.
-- @id | 1 | Always 1.
-- @state | blob | The router's memory.
CREATE TABLE router (id INTEGER PRIMARY KEY CHECK (id = 1), state BLOB NOT NULL) STRICT;
