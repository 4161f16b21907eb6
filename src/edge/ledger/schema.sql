-- The tables of one shewhart database. Times are milliseconds since 1970-01-01 UTC; proportions lie in [0, 1].
-- Analysts read the views (views.sql), whose names and columns are a promise; the tables below may change.

CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

-- Where each partition stands: what the consumer is assigned from after a restart.
CREATE TABLE partitions (
  partition     INTEGER PRIMARY KEY,
  next_offset   INTEGER NOT NULL,
  anchor_offset INTEGER,
  anchor_crc    INTEGER,
  position      BLOB NOT NULL
) STRICT;

-- One row for each monitored stream of each partition; id = partition * 2^32 + the stream's index.
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
  -- False alarms that the charts promised so far, and promise a week at the present traffic; alerts that fired.
  promised      REAL NOT NULL,
  promised_week REAL NOT NULL,
  raised        INTEGER NOT NULL,
  first_seen_ms INTEGER NOT NULL,
  last_seen_ms  INTEGER NOT NULL,
  baseline      TEXT,
  newest_pane_ms INTEGER,
  -- Since when labels contradict confidence, and in words; nothing while they do not.
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

-- The memory that joins feedback to outputs, as the list of its changes.
CREATE TABLE recent_ops (
  partition INTEGER NOT NULL, seq INTEGER NOT NULL, inserts INTEGER NOT NULL, ops BLOB NOT NULL,
  PRIMARY KEY (partition, seq)
) STRICT, WITHOUT ROWID;

-- Baselines: sets of profiles, one for each stream, with everything that was done with them.
CREATE TABLE baselines (
  id TEXT PRIMARY KEY, name TEXT NOT NULL, version INTEGER NOT NULL, source TEXT NOT NULL,
  learnt_at_ms INTEGER NOT NULL, state TEXT NOT NULL CHECK (state IN ('learnt', 'promoted', 'retired')),
  UNIQUE (name, version)
) STRICT, WITHOUT ROWID;

CREATE TABLE baseline_streams (
  baseline TEXT NOT NULL REFERENCES baselines (id), stream_key TEXT NOT NULL, labels TEXT NOT NULL,
  outputs INTEGER NOT NULL, labelled INTEGER NOT NULL, correct INTEGER NOT NULL,
  first_ms INTEGER, last_ms INTEGER, confidence_mean REAL, latency_p95_ms REAL, profile BLOB NOT NULL,
  levels TEXT NOT NULL DEFAULT '{}',
  PRIMARY KEY (baseline, stream_key)
) STRICT, WITHOUT ROWID;
-- How the views find a stream's baseline.
CREATE INDEX baseline_streams_by_labels ON baseline_streams (baseline, labels);

CREATE TABLE baseline_events (
  id INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, baseline TEXT NOT NULL, action TEXT NOT NULL,
  who TEXT NOT NULL, why TEXT NOT NULL
) STRICT;

-- What streams without a promoted baseline learnt from their own first outputs.
CREATE TABLE provisional_baselines (
  stream_id INTEGER PRIMARY KEY, outputs INTEGER NOT NULL, labelled INTEGER NOT NULL, correct INTEGER NOT NULL,
  first_ms INTEGER, last_ms INTEGER, confidence_mean REAL, latency_p95_ms REAL, profile BLOB NOT NULL,
  levels TEXT NOT NULL DEFAULT '{}'
) STRICT;

-- Every rule set that was offered: accepted or refused, with its text and what was found in it.
CREATE TABLE rule_sets (
  id INTEGER PRIMARY KEY, hash TEXT, at_ms INTEGER NOT NULL, accepted INTEGER NOT NULL, origin TEXT NOT NULL,
  -- Who changed the files or asked for it; what changed since the last accepted set, as a unified diff.
  who TEXT NOT NULL, diff TEXT NOT NULL, rules INTEGER NOT NULL, diagnostics TEXT NOT NULL, sources TEXT NOT NULL, compiled BLOB
) STRICT;

-- Alerts, as they stand, and every change of their state.
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

CREATE TABLE alert_events (
  id TEXT PRIMARY KEY, alert_id TEXT NOT NULL REFERENCES alerts (id), transition INTEGER NOT NULL,
  from_state TEXT NOT NULL, to_state TEXT NOT NULL, reason TEXT NOT NULL, at_ms INTEGER NOT NULL,
  partition INTEGER NOT NULL, offset INTEGER NOT NULL, crossing TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX alert_events_by_alert ON alert_events (alert_id, transition);

-- The outbox: one row for each message to one receiver. Written with the state that decided it, marked when it is out.
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

CREATE TABLE outbox_alerts (
  message TEXT NOT NULL REFERENCES outbox (id), notice TEXT NOT NULL, alert_id TEXT NOT NULL,
  PRIMARY KEY (message, notice)
) STRICT, WITHOUT ROWID;
CREATE INDEX outbox_alerts_by_alert ON outbox_alerts (alert_id);

CREATE TABLE deliveries (
  id INTEGER PRIMARY KEY, message TEXT NOT NULL REFERENCES outbox (id), attempt INTEGER NOT NULL, at_ms INTEGER NOT NULL,
  outcome TEXT NOT NULL, class TEXT, detail TEXT
) STRICT;
CREATE INDEX deliveries_by_message ON deliveries (message, attempt);

-- What people did: silences, and who took which alert on and what it turned out to be.
CREATE TABLE silences (
  id TEXT PRIMARY KEY, matchers TEXT NOT NULL, author TEXT NOT NULL, comment TEXT NOT NULL, made_by TEXT NOT NULL,
  created_at_ms INTEGER NOT NULL, starts_at_ms INTEGER NOT NULL, ends_at_ms INTEGER NOT NULL, ended_by TEXT,
  fired INTEGER NOT NULL, resolved INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE acknowledgements (
  id INTEGER PRIMARY KEY, alert_id TEXT NOT NULL REFERENCES alerts (id), at_ms INTEGER NOT NULL,
  owner TEXT NOT NULL, made_by TEXT NOT NULL, note TEXT NOT NULL,
  verdict TEXT CHECK (verdict IN ('true', 'false', 'noise')),
  -- Whether the alert fired then: only so does it get an owner.
  took INTEGER NOT NULL
) STRICT;
CREATE INDEX acknowledgements_by_alert ON acknowledgements (alert_id, id);

-- Records that were not counted: the newest 10,000.
CREATE TABLE rejects (
  partition INTEGER NOT NULL, offset INTEGER NOT NULL, at_ms INTEGER NOT NULL, why TEXT NOT NULL, detail TEXT NOT NULL,
  payload BLOB NOT NULL, PRIMARY KEY (partition, offset)
) STRICT, WITHOUT ROWID;

-- Holes in the log.
CREATE TABLE gaps (
  id INTEGER PRIMARY KEY, partition INTEGER NOT NULL, from_offset INTEGER NOT NULL, to_offset INTEGER NOT NULL,
  reason TEXT NOT NULL, at_ms INTEGER NOT NULL
) STRICT;

-- Versions that streams ran on: a new one opens a new phase.
CREATE TABLE versions (
  stream_id INTEGER NOT NULL, at_ms INTEGER NOT NULL, from_version TEXT, to_version TEXT NOT NULL,
  PRIMARY KEY (stream_id, at_ms, to_version)
) STRICT, WITHOUT ROWID;

-- Points of control charts: what was plotted and against what, once an hour.
CREATE TABLE chart_points (
  at_ms INTEGER NOT NULL, stream_id INTEGER NOT NULL, chart TEXT NOT NULL, measure TEXT NOT NULL,
  statistic REAL NOT NULL, limit_value REAL NOT NULL, centre REAL NOT NULL, samples INTEGER NOT NULL,
  out_of_control INTEGER NOT NULL, method TEXT NOT NULL, PRIMARY KEY (at_ms, stream_id, chart)
) STRICT, WITHOUT ROWID;

-- Outputs that verdicts can be asked on: a share of them, the newest 4,096 of a stream.
CREATE TABLE cases (
  stream_id INTEGER NOT NULL, at_ms INTEGER NOT NULL, key INTEGER NOT NULL, agent TEXT NOT NULL, event_id TEXT NOT NULL,
  confidence REAL NOT NULL, escalated INTEGER, share REAL NOT NULL, judged_ms INTEGER, correct INTEGER,
  PRIMARY KEY (stream_id, at_ms, key)
) STRICT, WITHOUT ROWID;

-- What was asked of people, and whether the verdict came.
CREATE TABLE label_requests (
  id INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, who TEXT NOT NULL, stream_id INTEGER NOT NULL, case_ms INTEGER NOT NULL,
  key INTEGER NOT NULL, agent TEXT NOT NULL, event_id TEXT NOT NULL, confidence REAL NOT NULL, escalated INTEGER,
  sampled REAL NOT NULL, why TEXT NOT NULL, judged_ms INTEGER, correct INTEGER
) STRICT;
CREATE INDEX label_requests_by_case ON label_requests (stream_id, case_ms, key);
CREATE INDEX label_requests_by_time ON label_requests (at_ms);

CREATE TABLE router (id INTEGER PRIMARY KEY CHECK (id = 1), state BLOB NOT NULL) STRICT;
