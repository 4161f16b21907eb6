-- What was counted, by {level} of event time (UTC) and stream, at the time of the output: a verdict that comes later still
-- counts in the {level} of its output. Key order: time first, so that a commit writes neighbouring pages.
-- @start_ms | ms since 1970-01-01 UTC | Beginning of the {level}.
-- @stream_id | integer | The stream.
-- @outputs | count, 0 or more | Outputs.
-- @labelled | count, 0 or more | Outputs of which somebody said whether they were right.
-- @correct | count, 0 or more, at most `labelled` | How many of them were right.
-- @escalation_known | count, 0 or more | Outputs that said whether they were escalated.
-- @escalated | count, 0 or more | How many were.
-- @override_known | count, 0 or more | Outputs of which it is known whether a person overrode them.
-- @overridden | count, 0 or more | How many were.
-- @status_ok | count, 0 or more | Outputs with status `ok`.
-- @status_error | count, 0 or more | Outputs with status `error`.
-- @status_invalid_input | count, 0 or more | Outputs with status `invalid_input`.
-- @status_timeout | count, 0 or more | Outputs with status `timeout`.
-- @confidence_n | count, 0 or more | Outputs that stated a confidence.
-- @confidence_mean | share, 0 to 1 | Their mean.
-- @confidence_sd | 0 to 0.71 | Their standard deviation (n - 1); empty below two values.
-- @confidence_min | share, 0 to 1 | The lowest.
-- @confidence_max | share, 0 to 1 | The highest.
-- @confidence_p10 | share, 0 to 1 | 10th percentile, as the middle of its bin.
-- @confidence_p50 | share, 0 to 1 | Median, likewise.
-- @confidence_p90 | share, 0 to 1 | 90th percentile, likewise.
-- @confidence_p95 | share, 0 to 1 | 95th percentile, likewise.
-- @confidence_p99 | share, 0 to 1 | 99th percentile, likewise.
-- @confidence_sum | 0 or more | Sum of the stated confidences, each at the middle of its bin.
-- @confidence_squares | 0 or more | Sum of their squares.
-- @confidence_escalated | count, 0 or more | Outputs with a confidence that were escalated.
-- @paired_n | count, 0 or more | Outputs with a confidence and a verdict.
-- @paired_right | count, 0 or more, at most `paired_n` | How many of them were right.
-- @paired_sum | 0 or more | Sum of their confidences, as in `confidence_sum`.
-- @paired_squares | 0 or more | Sum of the squares of those.
-- @paired_right_sum | 0 or more | Sum of the confidences of the right ones.
-- @paired_escalated | count, 0 or more, at most `paired_n` | How many of them were escalated.
-- @latency_n | count, 0 or more | Outputs that said how long they took.
-- @latency_mean_ms | milliseconds, 0 or more | Their mean.
-- @latency_sd_ms | milliseconds, 0 or more | Their standard deviation (n - 1); empty below two values.
-- @latency_min_ms | milliseconds, 0 or more | The fastest.
-- @latency_max_ms | milliseconds, 0 or more | The slowest.
-- @latency_p50_ms | milliseconds, 0 or more | Median, within 0.1 %.
-- @latency_p90_ms | milliseconds, 0 or more | 90th percentile, within 0.1 %.
-- @latency_p95_ms | milliseconds, 0 or more | 95th percentile, within 0.1 %.
-- @latency_p99_ms | milliseconds, 0 or more | 99th percentile, within 0.1 %.
-- @cost_n | count, 0 or more | Outputs that said what they cost.
-- @cost_mean_usd | USD, 0 or more | What they cost on average.
-- @cost_sd_usd | USD, 0 or more | Their standard deviation (n - 1); empty below two values.
-- @cost_min_usd | USD, 0 or more | The cheapest.
-- @cost_max_usd | USD, 0 or more | The dearest.
-- @tokens_n | count, 0 or more | Outputs that said how many tokens went in or out.
-- @tokens_mean | count, 0 or more | Tokens in and out of one output, on average.
-- @tokens_sd | count, 0 or more | Their standard deviation (n - 1); empty below two values.
-- @tokens_min | count, 0 or more | The fewest of one output.
-- @tokens_max | count, 0 or more | The most of one output.
-- @metrics | JSON | Custom metrics by name: `{"recall": {"n": 40, "mean": 0.8, "sd": 0.1, "min": 0.5, "max": 1.0}}`; empty where there are none.
-- @flags | JSON | Custom flags by name: `{"grounded": {"n": 40, "hits": 38}}`; empty where there are none.
-- @confidence_sketch | blob | Outputs and verdicts by confidence, for `conf_hist` and `conf_merge`; empty without confidence.
-- @latency_sketch | blob | Histogram of latency in nanoseconds (HdrHistogram V2, compressed), for `hdr_quantile` and `hdr_merge`; empty without latency.
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
