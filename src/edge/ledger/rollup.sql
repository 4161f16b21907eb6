-- What was counted, by {level} of event time (UTC) and stream, at the time of the output: a verdict that comes later still
-- counts in the {level} of its output. Key order: time first, so that a commit writes neighbouring pages.
-- @start_ms | ms since 1970-01-01 UTC | Beginning of the {level}.
-- @metrics | JSON | Custom metrics by name: `{"recall": {"n": 40, "mean": 0.8, "sd": 0.1, "min": 0.5, "max": 1.0}}`; empty where there are none.
-- @flags | JSON | Custom flags by name: `{"grounded": {"n": 40, "hits": 38}}`; empty where there are none.
-- @rest | blob | What the daemon needs besides, to go on bit by bit where it was.
CREATE TABLE rollup_{level} (
  start_ms INTEGER NOT NULL, stream_id INTEGER NOT NULL,
  outputs INTEGER NOT NULL, labelled INTEGER NOT NULL, correct INTEGER NOT NULL,
  escalation_known INTEGER NOT NULL, escalated INTEGER NOT NULL,
  override_known INTEGER NOT NULL, overridden INTEGER NOT NULL,
  status_ok INTEGER NOT NULL, status_error INTEGER NOT NULL,
  status_invalid_input INTEGER NOT NULL, status_timeout INTEGER NOT NULL,
  confidence_n INTEGER NOT NULL, confidence_mean REAL, confidence_sd REAL, confidence_min REAL, confidence_max REAL,
  confidence_p10 REAL, confidence_p50 REAL, confidence_p90 REAL, confidence_p95 REAL, confidence_p99 REAL,
  confidence_sum REAL NOT NULL, confidence_squares REAL NOT NULL, confidence_escalated INTEGER NOT NULL,
  paired_n INTEGER NOT NULL, paired_right INTEGER NOT NULL, paired_sum REAL NOT NULL, paired_squares REAL NOT NULL,
  paired_right_sum REAL NOT NULL, paired_escalated INTEGER NOT NULL,
  latency_n INTEGER NOT NULL, latency_mean_ms REAL, latency_sd_ms REAL, latency_min_ms REAL, latency_max_ms REAL,
  latency_p50_ms REAL, latency_p90_ms REAL, latency_p95_ms REAL, latency_p99_ms REAL,
  cost_n INTEGER NOT NULL, cost_mean_usd REAL, cost_sd_usd REAL, cost_min_usd REAL, cost_max_usd REAL,
  tokens_n INTEGER NOT NULL, tokens_mean REAL, tokens_sd REAL, tokens_min REAL, tokens_max REAL,
  metrics TEXT, flags TEXT, confidence_sketch BLOB, latency_sketch BLOB, rest BLOB NOT NULL,
  PRIMARY KEY (start_ms, stream_id)
) STRICT, WITHOUT ROWID;
