-- The analysts' views. Their names and columns are a promise: they may grow, and nothing in them is renamed or removed.
-- The comments are the documentation, as schema.sql says. Times stand twice: as text in ISO 8601 UTC (`..._at`, `hour`, `minute`, `day`) for
-- people, and as milliseconds since 1970-01-01 (`..._ms`) for arithmetic and for filters that use the tables' keys.
-- Proportions lie in [0, 1]. Only functions that every SQLite has are used; the intervals take their square root by
-- Newton's method, because SQLite has `sqrt` only where it was built with it.

-- What the file belongs to: `topic` and `group_by`. `views` is a hash of the views' text.
-- @key | text | The name.
CREATE VIEW v_meta AS SELECT key, value FROM meta;

-- The part of `alerts` that other views ask for again and again.

-- Alerts that are pending or firing now, by stream.
-- @state | `pending`, `firing` | Where it stands.
-- @started_at | text, ISO 8601 UTC | Event time at which it went pending.
-- @started_at_ms | ms since 1970-01-01 UTC | `started_at` as a number.
CREATE VIEW v_open_alerts AS
SELECT a.id AS alert_id, s.id AS stream_id, s.agent, s.task, a.alert, a.severity, a.state,
  strftime('%Y-%m-%dT%H:%M:%fZ', a.started_at_ms / 1000.0, 'unixepoch') AS started_at, a.started_at_ms
FROM alerts a
JOIN streams s ON s.partition = a.partition AND s.agent IS json_extract(a.labels, '$.agent')
  AND s.task IS json_extract(a.labels, '$.task')
  AND json_extract(s.labels, '$.version') IS json_extract(a.labels, '$.version')
WHERE a.state IN ('pending', 'firing');

-- What each stream is compared with.
-- @baseline_outputs | count, 0 or more | Outputs the baseline was learnt from.
-- @baseline_correct | count, 0 or more | Right ones among `baseline_labelled`.
CREATE VIEW v_stream_baselines AS
SELECT s.id AS stream_id, s.agent, s.task, s.baseline AS baseline_id,
  CASE WHEN s.baseline IS NULL THEN 'none' WHEN s.baseline = 'provisional' THEN 'provisional' ELSE 'promoted' END
    AS baseline_kind,
  coalesce(b.outputs, p.outputs) AS baseline_outputs, coalesce(b.labelled, p.labelled) AS baseline_labelled,
  coalesce(b.correct, p.correct) AS baseline_correct,
  CAST(coalesce(b.correct, p.correct) AS REAL) / nullif(coalesce(b.labelled, p.labelled), 0) AS baseline_accuracy,
  coalesce(b.confidence_mean, p.confidence_mean) AS baseline_confidence_mean,
  coalesce(b.latency_p95_ms, p.latency_p95_ms) AS baseline_latency_p95_ms
FROM streams s
LEFT JOIN baseline_streams b INDEXED BY baseline_streams_by_labels ON b.baseline = s.baseline AND b.labels = s.labels
LEFT JOIN provisional_baselines p ON p.stream_id = s.id AND s.baseline = 'provisional';

-- One row for each monitored stream: what it is, how much of it is labelled, how it stands now.
-- @state | `learning`, `in control`, `out of control` | `out of control`: an alert fires. `learning`: there is no baseline yet.
-- @outputs | count, 0 or more | Outputs since the stream was first seen.
-- @labelled | count, 0 or more | Labelled outputs since the stream was first seen.
-- @accuracy_n | count, 0 or more | Labelled outputs behind `accuracy`: those in days that are still kept (for ever, where the settings say nothing else).
-- @accuracy | share, 0 to 1 | Share of right ones among them.
-- @first_seen_at | text, ISO 8601 UTC | Event time of the first output.
-- @first_seen_ms | ms since 1970-01-01 UTC | `first_seen_at` as a number.
-- @last_seen_at | text, ISO 8601 UTC | Event time of the newest output.
-- @last_seen_ms | ms since 1970-01-01 UTC | `last_seen_at` as a number.
-- @pending_alerts | count, 0 or more | Alerts that wait for their `for`.
-- @firing_alerts | count, 0 or more | Alerts that fire.
-- @open_alerts | count, 0 or more | Both together.
CREATE VIEW v_streams AS
SELECT s.id AS stream_id, s.agent, s.task, s.version, s.labels, s.partition,
  CASE WHEN o.firing > 0 THEN 'out of control' WHEN s.baseline IS NULL THEN 'learning' ELSE 'in control' END AS state,
  s.outputs, s.labelled, CAST(s.labelled AS REAL) / nullif(s.outputs, 0) AS label_share,
  h.labelled AS accuracy_n, CAST(h.correct AS REAL) / nullif(h.labelled, 0) AS accuracy,
  strftime('%Y-%m-%dT%H:%M:%fZ', s.first_seen_ms / 1000.0, 'unixepoch') AS first_seen_at, s.first_seen_ms,
  strftime('%Y-%m-%dT%H:%M:%fZ', s.last_seen_ms / 1000.0, 'unixepoch') AS last_seen_at, s.last_seen_ms,
  b.baseline_id, b.baseline_kind, b.baseline_accuracy, b.baseline_labelled,
  coalesce(o.pending, 0) AS pending_alerts, coalesce(o.firing, 0) AS firing_alerts,
  coalesce(o.pending, 0) + coalesce(o.firing, 0) AS open_alerts
FROM streams s
JOIN v_stream_baselines b ON b.stream_id = s.id
LEFT JOIN (
  SELECT stream_id, count(*) FILTER (WHERE state = 'pending') AS pending,
    count(*) FILTER (WHERE state = 'firing') AS firing
  FROM v_open_alerts GROUP BY stream_id
) o ON o.stream_id = s.id
LEFT JOIN (
  SELECT stream_id, sum(labelled) AS labelled, sum(correct) AS correct FROM v_days GROUP BY stream_id
) h ON h.stream_id = s.id;

-- Accuracy by stream and hour of the output, beside the baseline. Hours without labels have no row. A late label counts in the
-- hour of its output, so a row may still change.
-- @accuracy | share, 0 to 1 | `correct / labelled`.
-- @accuracy_low | share, 0 to 1 | Lower end of Wilson's 95 % interval.
-- @accuracy_high | share, 0 to 1 | Upper end of that interval.
-- @difference | -1 to 1 | `accuracy - baseline_accuracy`.
CREATE VIEW v_accuracy AS
SELECT stream_id, agent, task, hour, hour_ms, outputs, labelled, correct,
  CAST(correct AS REAL) / labelled AS accuracy,
  max(0.0, (correct + 1.920729410347062 - 1.959963984540054 * root) / (labelled + 3.841458820694124)) AS accuracy_low,
  min(1.0, (correct + 1.920729410347062 + 1.959963984540054 * root) / (labelled + 3.841458820694124)) AS accuracy_high,
  baseline_accuracy, baseline_labelled, CAST(correct AS REAL) / labelled - baseline_accuracy AS difference
FROM (
  SELECT h.*, b.baseline_accuracy, b.baseline_labelled, (
    WITH RECURSIVE newton (x, i) AS (
      SELECT (1.0 + h.correct * (h.labelled - h.correct) * 1.0 / h.labelled + 0.960364705173531) / 2, 0 UNION ALL
      SELECT (x + (h.correct * (h.labelled - h.correct) * 1.0 / h.labelled + 0.960364705173531) / x) / 2, i + 1
      FROM newton
      WHERE i < 64 AND abs(x * x / (h.correct * (h.labelled - h.correct) * 1.0 / h.labelled + 0.960364705173531) - 1)
        > 1e-14
    ) SELECT min(x) FROM newton
  ) AS root
  FROM v_hours h JOIN v_stream_baselines b ON b.stream_id = h.stream_id
  WHERE h.labelled > 0
);

-- The two walls keep SQLite from writing each formula out into the next, which takes it a second; filters on the span pass them.

-- Accuracy of all outputs, by stream and hour and by stream and day (UTC), from few verdicts and all confidences, beside that
-- of the labelled outputs alone. `how` says what the estimate is made from: `powered` is PPI++ with its weight fitted, `labels`
-- verdicts alone, where confidence says nothing or where there are fewer than 30 verdicts. With `differ` the labelled outputs
-- are unlike all in mean confidence or in the share that was escalated: accuracy of the labelled is not accuracy of all then,
-- and there is no estimate here; `shewhart status` and the alerts have one, weighted by confidence and escalation.
-- [statistics.md](statistics.md#accuracy-from-few-labels) has the formulas. While labels contradict confidence, spans that
-- reach into the time since they do have no estimate either: `how` is `invalid`, and `invalid` says why. Spans without verdicts
-- have no row.
-- @period | `hour`, `day` | How long the span is. Filter by it: both kinds are in the view.
-- @start | text, ISO 8601 UTC | Beginning of the span of event time in which the outputs happened.
-- @start_ms | ms since 1970-01-01 UTC | `start` as a number.
-- @labelled | count, 1 or more | Outputs whose verdict is in.
-- @label_share | share, 0 to 1 | `labelled / outputs`.
-- @labels_accuracy | share, 0 to 1 | Accuracy of the labelled outputs alone.
-- @labels_high | share, 0 to 1 | Upper end of that interval.
-- @estimate | share, 0 to 1 | Accuracy of all outputs; empty with `differ` and `invalid`.
-- @estimate_low | share, 0 to 1 | Lower end of its 95 % interval.
-- @estimate_high | share, 0 to 1 | Upper end of that interval.
-- @how | `powered`, `labels`, `differ`, `invalid` | What the estimate is made from, or why there is none.
-- @invalid | text | What labels say against confidence, with `invalid`; else empty.
-- @lambda | 0 to 1 | The weight of confidence; 0 where it has none.
-- @effective | count, above 0 | As many labels alone would say as much.
-- @confidence_labelled | share, 0 to 1 | Mean confidence of the labelled outputs; empty where none states one.
-- @confidence_all | share, 0 to 1 | Mean confidence of all outputs.
-- @escalated_labelled | share, 0 to 1 | Share of the labelled outputs with a confidence that was escalated.
-- @escalated_all | share, 0 to 1 | Share of all outputs with a confidence that was escalated.
CREATE VIEW v_accuracy_estimates AS
WITH spans AS (
  SELECT stream_id, agent, task, 'hour' AS period, hour_ms AS start_ms, outputs, labelled, correct, confidence_n,
    confidence_sum, confidence_squares, confidence_escalated, paired_n, paired_right, paired_sum, paired_squares,
    paired_right_sum, paired_escalated
  FROM v_hours
  UNION ALL
  SELECT stream_id, agent, task, 'day', day_ms, outputs, labelled, correct, confidence_n, confidence_sum, confidence_squares,
    confidence_escalated, paired_n, paired_right, paired_sum, paired_squares, paired_right_sum, paired_escalated
  FROM v_days
),
-- Outputs without a confidence count as if they had the mean of the others.
rest AS (
  SELECT *, CAST(correct AS REAL) / labelled AS y, confidence_sum / nullif(confidence_n, 0) AS centre,
    max(labelled - paired_n, 0) AS bare_labelled, max(correct - paired_right, 0) AS bare_right,
    max(outputs - confidence_n, labelled - paired_n, 0) AS bare,
    confidence_n - paired_n AS others
  FROM spans WHERE labelled > 0
),
-- Means over the labelled (c, cc, cy) and over the free, those without a verdict.
means AS (
  SELECT *, others + bare - bare_labelled AS free,
    (paired_sum + bare_labelled * centre) / labelled AS c,
    (paired_squares + bare_labelled * centre * centre) / labelled AS cc,
    (paired_right_sum + bare_right * centre) / labelled AS cy,
    (confidence_sum - paired_sum + (bare - bare_labelled) * centre) / nullif(others + bare - bare_labelled, 0) AS free_c,
    (confidence_squares - paired_squares + (bare - bare_labelled) * centre * centre)
      / nullif(others + bare - bare_labelled, 0) AS free_cc,
    paired_sum / nullif(paired_n, 0) AS confidence_labelled,
    (confidence_sum - paired_sum) / nullif(others, 0) AS confidence_others,
    CAST(paired_escalated AS REAL) / nullif(paired_n, 0) AS escalated_labelled,
    CAST(confidence_escalated - paired_escalated AS REAL) / nullif(others, 0) AS escalated_others,
    CAST(confidence_escalated AS REAL) / nullif(confidence_n, 0) AS escalated_all,
    count(*) OVER (PARTITION BY stream_id, period, start_ms) AS wall_means
  FROM rest
),
-- The labelled are unlike all where chance shows such a difference in fewer than one of a thousand cases and it is large
-- enough to matter.
fitted AS (
  SELECT *, cy - c * y AS covariance,
    (labelled * cc + free * free_cc) / (labelled + free)
      - (labelled * c + free * free_c) * (labelled * c + free * free_c) / ((labelled + free) * (labelled + free)) AS spread,
    (labelled * c + free * free_c) / (labelled + free) AS middle,
    paired_n >= 30 AND others >= 30 AND (
      (confidence_labelled - confidence_others) * (confidence_labelled - confidence_others) > 10.82739025 * (
        max(paired_squares / paired_n - confidence_labelled * confidence_labelled, 0) / (paired_n - 1)
        + max((confidence_squares - paired_squares) / others - confidence_others * confidence_others, 0) / (others - 1)
      ) AND abs(confidence_labelled - centre) >= 0.005
      OR (escalated_labelled - escalated_others) * (escalated_labelled - escalated_others)
        > 10.82739025 * escalated_all * (1 - escalated_all) * (1.0 / paired_n + 1.0 / others)
      AND abs(escalated_labelled - escalated_all) >= 0.01
    ) AS differ
  FROM means
),
weighed AS (
  SELECT *, CASE WHEN labelled >= 30 AND NOT coalesce(differ, 0) AND free > 0 AND spread > 1e-14 * middle * middle THEN
    min(max(covariance / ((1.0 + CAST(labelled AS REAL) / free) * spread) * (labelled + free - 1) / (labelled + free), 0), 1)
    ELSE 0 END AS lambda
  FROM fitted
),
powered AS (
  SELECT *, min(max(y + lambda * (free_c - c), 0.0), 1.0) AS ppi,
    y * (1 - y) / nullif(lambda * lambda * max(free_cc - free_c * free_c, 0) / free
      + max(y * (1 - y) - 2 * lambda * covariance + lambda * lambda * (cc - c * c), 0) / labelled, 0) AS worth,
    count(*) OVER (PARTITION BY stream_id, period, start_ms) AS wall_powered
  FROM weighed
),
chosen AS (
  SELECT *, CASE WHEN labelled >= 30 AND coalesce(differ, 0) THEN 'differ' WHEN lambda > 0 AND worth > 0 THEN 'powered'
    ELSE 'labels' END AS how
  FROM powered
),
valued AS (
  SELECT *, CASE how WHEN 'differ' THEN NULL WHEN 'powered' THEN ppi ELSE y END AS value,
    CASE how WHEN 'powered' THEN worth ELSE CAST(labelled AS REAL) END AS n
  FROM chosen
),
rooted AS (
  SELECT *, (
    WITH RECURSIVE newton (x, i) AS (
      SELECT (1.0 + value * (1 - value) * n + 0.960364705173531) / 2, 0 WHERE value * (1 - value) * n + 0.960364705173531 IS NOT NULL UNION ALL
      SELECT (x + (value * (1 - value) * n + 0.960364705173531) / x) / 2, i + 1 FROM newton WHERE i < 64 AND abs(x * x / (value * (1 - value) * n + 0.960364705173531) - 1) > 1e-14
    ) SELECT min(x) FROM newton
  ) AS root,
  (
    WITH RECURSIVE newton (x, i) AS (
      SELECT (1.0 + y * (1 - y) * labelled + 0.960364705173531) / 2, 0 WHERE y * (1 - y) * labelled + 0.960364705173531 IS NOT NULL UNION ALL
      SELECT (x + (y * (1 - y) * labelled + 0.960364705173531) / x) / 2, i + 1 FROM newton WHERE i < 64 AND abs(x * x / (y * (1 - y) * labelled + 0.960364705173531) - 1) > 1e-14
    ) SELECT min(x) FROM newton
  ) AS labels_root
  FROM valued
)
SELECT r.stream_id, r.agent, r.task, r.period,
  strftime('%Y-%m-%dT%H:00:00Z', r.start_ms / 1000, 'unixepoch') AS start, r.start_ms,
  r.outputs, r.labelled, r.correct, min(CAST(r.labelled AS REAL) / max(r.outputs, r.labelled), 1.0) AS label_share,
  r.y AS labels_accuracy,
  max(0.0, (r.correct + 1.920729410347062 - 1.959963984540054 * labels_root) / (r.labelled + 3.841458820694124)) AS labels_low,
  min(1.0, (r.correct + 1.920729410347062 + 1.959963984540054 * labels_root) / (r.labelled + 3.841458820694124)) AS labels_high,
  CASE WHEN why IS NULL THEN value END AS estimate,
  CASE WHEN why IS NULL THEN
    max(0.0, (value * n + 1.920729410347062 - 1.959963984540054 * root) / (n + 3.841458820694124)) END AS estimate_low,
  CASE WHEN why IS NULL THEN
    min(1.0, (value * n + 1.920729410347062 + 1.959963984540054 * root) / (n + 3.841458820694124)) END AS estimate_high,
  CASE WHEN why IS NULL THEN how ELSE 'invalid' END AS how, why AS invalid,
  CASE WHEN why IS NULL AND how = 'powered' THEN lambda ELSE 0.0 END AS lambda,
  CASE WHEN why IS NULL THEN n ELSE CAST(r.labelled AS REAL) END AS effective,
  confidence_labelled, centre AS confidence_all, escalated_labelled, escalated_all,
  b.baseline_accuracy, b.baseline_labelled
FROM (
  SELECT r.*, CASE WHEN r.start_ms + CASE r.period WHEN 'day' THEN 86400000 ELSE 3600000 END > s.contradicted_ms
    THEN s.contradicted END AS why
  FROM rooted r JOIN streams s ON s.id = r.stream_id
) r JOIN v_stream_baselines b ON b.stream_id = r.stream_id;

-- Stated confidence by stream and hour, beside the baseline.
-- @difference | -1 to 1 | `confidence_mean - baseline_confidence_mean`.
CREATE VIEW v_confidence AS
SELECT h.stream_id, h.agent, h.task, h.hour, h.hour_ms, h.confidence_n, h.confidence_mean, h.confidence_sd,
  b.baseline_confidence_mean, h.confidence_mean - b.baseline_confidence_mean AS difference,
  h.confidence_min, h.confidence_max, h.confidence_p10, h.confidence_p50, h.confidence_p90, h.confidence_p95, h.confidence_p99
FROM v_hours h JOIN v_stream_baselines b ON b.stream_id = h.stream_id
WHERE h.confidence_n > 0;

-- Escalations and overrides by stream and hour.
-- @escalation_rate | share, 0 to 1 | `escalated / escalation_known`.
-- @escalation_rate_low | share, 0 to 1 | Lower end of Wilson's 95 % interval.
-- @escalation_rate_high | share, 0 to 1 | Upper end of that interval.
-- @override_rate | share, 0 to 1 | `overridden / override_known`.
CREATE VIEW v_escalation AS
SELECT stream_id, agent, task, hour, hour_ms, outputs, escalation_known, escalated,
  CAST(escalated AS REAL) / nullif(escalation_known, 0) AS escalation_rate,
  CASE WHEN escalation_known > 0 THEN
    max(0.0, (escalated + 1.920729410347062 - 1.959963984540054 * root) / (escalation_known + 3.841458820694124)) END
    AS escalation_rate_low,
  CASE WHEN escalation_known > 0 THEN
    min(1.0, (escalated + 1.920729410347062 + 1.959963984540054 * root) / (escalation_known + 3.841458820694124)) END
    AS escalation_rate_high,
  override_known, overridden, CAST(overridden AS REAL) / nullif(override_known, 0) AS override_rate
FROM (
  SELECT h.*, (
    WITH RECURSIVE newton (x, i) AS (
      SELECT (1.0 + h.escalated * (h.escalation_known - h.escalated) * 1.0 / h.escalation_known + 0.960364705173531) / 2, 0
      WHERE h.escalation_known > 0 UNION ALL
      SELECT (x + (h.escalated * (h.escalation_known - h.escalated) * 1.0 / h.escalation_known + 0.960364705173531) / x) / 2,
        i + 1
      FROM newton
      WHERE i < 64 AND abs(x * x
        / (h.escalated * (h.escalation_known - h.escalated) * 1.0 / h.escalation_known + 0.960364705173531) - 1) > 1e-14
    ) SELECT min(x) FROM newton
  ) AS root
  FROM v_hours h
  WHERE h.escalation_known > 0 OR h.override_known > 0
);

-- Latency by stream and hour. Percentiles come from the hour's own histogram and are empty while the hour is not complete.
-- **Never average percentiles**: the mean of hourly p95s is not the p95 of the day. That of any span is
-- `hdr_quantile(hdr_merge(latency_sketch), 0.95)` over `v_pieces`, with the functions of [sql.md](sql.md).
CREATE VIEW v_latency AS
SELECT h.stream_id, h.agent, h.task, h.hour, h.hour_ms, h.complete, h.latency_n, h.latency_mean_ms,
  h.latency_p50_ms, h.latency_p95_ms, h.latency_p99_ms, h.latency_max_ms, b.baseline_latency_p95_ms,
  h.latency_sd_ms, h.latency_min_ms, h.latency_p90_ms
FROM v_hours h JOIN v_stream_baselines b ON b.stream_id = h.stream_id
WHERE h.latency_n > 0;

-- Latency by stream and minute, for the 14 days that minutes are kept. Percentiles must not be averaged here either.
CREATE VIEW v_latency_minute AS
SELECT s.id AS stream_id, s.agent, s.task,
  strftime('%Y-%m-%dT%H:%M:00Z', m.start_ms / 1000, 'unixepoch') AS minute, m.start_ms AS minute_ms,
  m.latency_n, m.latency_mean_ms, m.latency_p50_ms, m.latency_p95_ms, m.latency_p99_ms, m.latency_max_ms,
  m.latency_sd_ms, m.latency_min_ms, m.latency_p90_ms
FROM rollup_minute m JOIN streams s ON s.id = m.stream_id
WHERE m.latency_n > 0;

-- Cost and tokens by stream and hour.
CREATE VIEW v_cost AS
SELECT stream_id, agent, task, hour, hour_ms, outputs, cost_n, cost_usd, cost_mean_usd, tokens, cost_sd_usd, cost_min_usd, cost_max_usd,
  tokens_n, tokens_mean, tokens_sd, tokens_min, tokens_max
FROM v_hours WHERE cost_n > 0 OR tokens > 0;

-- Statuses by stream and hour.
-- @status_known | count, 0 or more | Outputs that said their status.
-- @error_rate | share, 0 to 1 | Share of them that were anything but `ok`.
-- @availability | share, 0 to 1 | Share of them that were neither `error` nor `timeout`.
CREATE VIEW v_errors AS
SELECT stream_id, agent, task, hour, hour_ms, outputs,
  status_ok + status_error + status_invalid_input + status_timeout AS status_known,
  status_ok, status_error, status_invalid_input, status_timeout,
  CAST(status_error + status_invalid_input + status_timeout AS REAL)
    / (status_ok + status_error + status_invalid_input + status_timeout) AS error_rate,
  CAST(status_ok + status_invalid_input AS REAL)
    / (status_ok + status_error + status_invalid_input + status_timeout) AS availability
FROM v_hours WHERE status_ok + status_error + status_invalid_input + status_timeout > 0;

-- How much of each stream is labelled, by day of the output, and how soon the verdicts came. Verdicts are in `v_label_delays` by the
-- time of their arrival.
-- @day | text, YYYY-MM-DD | The day, UTC.
-- @day_ms | ms since 1970-01-01 UTC | Its beginning.
-- @within_hour | count, 0 or more | Verdicts that came within an hour of their output. Empty in all four columns where no verdict
--   came, or only to an older shewhart that did not keep it.
-- @within_day | count, 0 or more | Within a day, those included.
-- @within_week | count, 0 or more | Within a week, those included.
-- @came | count, 0 or more | All that came on outputs that were remembered.
-- @delay_p50_ms | milliseconds, 0 or more | The step (see `v_label_delays`) within which half of them had come.
CREATE VIEW v_labels AS
SELECT d.stream_id, d.agent, d.task, d.day, d.day_ms, d.outputs, d.labelled,
  CAST(d.labelled AS REAL) / nullif(d.outputs, 0) AS label_share, d.correct,
  a.within_hour, a.within_day, a.within_week, a.came, a.delay_p50_ms
FROM v_days d LEFT JOIN (
  SELECT stream_id, day_ms, coalesce(sum(labels) FILTER (WHERE within_ms <= 3600000), 0) AS within_hour,
    coalesce(sum(labels) FILTER (WHERE within_ms <= 86400000), 0) AS within_day,
    coalesce(sum(labels) FILTER (WHERE within_ms <= 604800000), 0) AS within_week,
    sum(labels) AS came, min(within_ms) FILTER (WHERE 2 * so_far >= of_day) AS delay_p50_ms
  FROM (
    SELECT stream_id, day_ms, within_ms, sum(labels) AS labels,
      sum(sum(labels)) OVER (PARTITION BY stream_id, day_ms ORDER BY within_ms) AS so_far,
      sum(sum(labels)) OVER (PARTITION BY stream_id, day_ms) AS of_day
    FROM label_arrivals WHERE within_ms >= 0 GROUP BY stream_id, day_ms, within_ms
  ) GROUP BY stream_id, day_ms
) a ON a.stream_id = d.stream_id AND a.day_ms = d.day_ms;

-- Cases that people were asked to judge by `shewhart label-queue`: with which chance each was picked, and whether its verdict
-- came.
-- @request_id | integer | The request.
-- @asked_at | text, ISO 8601 UTC | When it was made, wall time.
-- @asked_ms | ms since 1970-01-01 UTC | `asked_at` as a number.
-- @asked_by | text | Who asked, as they gave their name, or the user of the machine.
-- @agent | text | Whose output it is.
-- @task | text | The stream's segment; empty where streams are not formed by task.
-- @at | text, ISO 8601 UTC | Event time of the output.
-- @escalated | 0 or 1 | Whether it was handed to a person; empty where that was not said.
-- @judged_at | text, ISO 8601 UTC | When its verdict was given, event time; empty until it came.
-- @judged_ms | ms since 1970-01-01 UTC | `judged_at` as a number.
-- @correct | 0 or 1 | Whether it was right; empty until the verdict came.
CREATE VIEW v_label_requests AS
SELECT r.id AS request_id, strftime('%Y-%m-%dT%H:%M:%fZ', r.at_ms / 1000.0, 'unixepoch') AS asked_at, r.at_ms AS asked_ms,
  r.who AS asked_by, r.stream_id, r.agent, s.task, r.event_id,
  strftime('%Y-%m-%dT%H:%M:%fZ', r.case_ms / 1000.0, 'unixepoch') AS at, r.case_ms AS at_ms,
  r.confidence, r.escalated, r.sampled, r.why,
  strftime('%Y-%m-%dT%H:%M:%fZ', r.judged_ms / 1000.0, 'unixepoch') AS judged_at, r.judged_ms, r.correct
FROM label_requests r LEFT JOIN streams s ON s.id = r.stream_id;

-- Points of the control charts, one for each chart and hour with samples. `statistic` is evidence against the baseline and
-- grows; the chart is out of control where it passes `limit_value`. `centre` is the baseline's level and not in the unit of
-- `statistic`.
-- @at | text, ISO 8601 UTC | Event time of the sample.
-- @version | text | The version that ran then; empty where events name none.
-- @phase | `baseline`, `monitoring` | Phase I: within the span from which the stream's own baseline was learnt; Phase II: everything else.
CREATE VIEW v_chart_points AS
SELECT c.stream_id, s.agent, s.task, c.chart, c.measure,
  strftime('%Y-%m-%dT%H:%M:%fZ', c.at_ms / 1000.0, 'unixepoch') AS at, c.at_ms,
  c.statistic, c.limit_value, c.centre, c.samples, c.out_of_control, c.method,
  (SELECT v.to_version FROM versions v WHERE v.stream_id = c.stream_id AND v.at_ms <= c.at_ms
    ORDER BY v.at_ms DESC, v.to_version DESC LIMIT 1) AS version,
  CASE WHEN s.baseline = 'provisional' AND c.at_ms BETWEEN p.first_ms AND p.last_ms THEN 'baseline' ELSE 'monitoring' END AS phase
FROM chart_points c JOIN streams s ON s.id = c.stream_id LEFT JOIN provisional_baselines p ON p.stream_id = c.stream_id;

-- False alarms that the charts of every stream promise, beside the alerts that fired, whatever was behind those. The first is a
-- mean: while nothing is wrong, the alerts of many streams together come to at most about that many. Rules about silence
-- promise nothing and are counted among the alerts; rules that differ only in `grade` share one chart, hence one promise, and
-- may fire once each.
-- @false_alarms_promised | number, 0 or more | False alarms promised so far: the sum of 1 / `arl0` over all samples that the
--   charts took.
-- @false_alarms_promised_per_week | false alarms a week, 0 or more | What the charts promise at the present rate of samples; 0
--   while that is not known.
-- @alerts_raised | count, 0 or more | Alerts that fired.
CREATE VIEW v_promises AS
SELECT id AS stream_id, agent, task, promised AS false_alarms_promised, promised_week AS false_alarms_promised_per_week,
  raised AS alerts_raised
FROM streams;

-- Every incident, with what it rests on. Levels are in the measure's own unit: shares for rates (`latency p95`: the share of
-- outputs slower than the baseline's p95), USD for `cost`, tokens for `tokens`; for `volume` the number of outputs as a share
-- of the usual number (1 is 100 %), 0 or more.
-- @version | text | The version the stream ran on.
-- @started_at | text, ISO 8601 UTC | Event time at which the incident began.
-- @started_at_ms | ms since 1970-01-01 UTC | `started_at` as a number.
-- @fired_at | text, ISO 8601 UTC | Event time at which it fired; empty where it never did.
-- @fired_at_ms | ms since 1970-01-01 UTC | `fired_at` as a number.
-- @ended_at | text, ISO 8601 UTC | Event time at which it was over; empty while it is open.
-- @ended_at_ms | ms since 1970-01-01 UTC | `ended_at` as a number.
-- @changed_at | text, ISO 8601 UTC | When the change probably began, estimated by the chart.
-- @changed_at_ms | ms since 1970-01-01 UTC | `changed_at` as a number.
-- @changed_earliest | text, ISO 8601 UTC | Beginning of the 95 % interval of `changed_at`; empty for `silence`.
-- @changed_earliest_ms | ms since 1970-01-01 UTC | `changed_earliest` as a number.
-- @changed_latest | text, ISO 8601 UTC | End of that interval; empty for `silence`.
-- @changed_latest_ms | ms since 1970-01-01 UTC | `changed_latest` as a number.
-- @duration_ms | milliseconds, 0 or more | From `started_at` to `ended_at`; empty while it is open.
-- @measure | text | What was watched.
-- @samples | count, 0 or more | Samples (labelled outputs, outputs, hourly buckets or blocks of hours, as the measure has it)
--   behind the estimate.
-- @baseline_id | text | What it was compared with: `name@version`, `provisional`, `fixed bound` or `none`.
-- @baseline_high | the measure's unit | Upper end of that interval.
-- @difference | the measure's unit | `estimate - baseline_value`.
-- @change_high | as `change` | Upper end of that interval.
-- @statistic | number | The chart's statistic.
-- @limit_value | number | Its limit.
-- @method | text | What the chart is, in words: `e-SR mixture`, `Laney-z CUSUM, sigma_z 1.42`, `CUSUM of bucket means` and so
--   on; empty for `silence`.
-- @outputs | count, 0 or more | Outputs of the stream up to the alert.
-- @labelled | count, 0 or more | Labelled outputs of the stream up to the alert.
-- @counted_from | text, ISO 8601 UTC | From when on these two count: the pane that holds `changed_at`, at most 24 hours back.
-- @counted_from_ms | ms since 1970-01-01 UTC | `counted_from` as a number.
-- @accuracy_estimate | share, 0 to 1 | For alerts about accuracy: accuracy of all outputs since `counted_from`, from few
--   verdicts and all confidences; empty where confidence cannot be gone by.
-- @accuracy_low | share, 0 to 1 | Lower end of its 95 % interval.
-- @accuracy_high | share, 0 to 1 | Upper end of that interval.
-- @accuracy_how | `powered`, `stratified`, `labels`, `invalid` | What it is made from: verdicts and confidences (PPI++),
--   verdicts weighted by confidence and escalation, verdicts alone; or that there is none.
-- @accuracy_invalid | text | Why there is none.
-- @labels_accuracy | share, 0 to 1 | Accuracy of the labelled outputs alone, since then.
-- @labels_high | share, 0 to 1 | Upper end of that interval.
-- @labels_usual | share, 0 to 1 | Share of those outputs whose verdict would have been in if verdicts came as in the baseline.
-- @labels_differ | JSON | In what the labelled outputs are unlike all: `confidence` and `escalated`, each with `labelled` and
--   `all`; empty where they are alike.
-- @standing | JSON | All of that, as `/api/v1/alerts` has it.
-- @summary | text | What people were told in one line.
-- @labels | JSON | The stream's labels and the rule's.
-- @annotations | JSON | What people were told.
-- @acknowledged_by | text | Whose it is: who acknowledged last while it fired; empty where nobody took it on.
-- @acknowledged_at | text, ISO 8601 UTC | When that was, wall time.
-- @acknowledged_ms | ms since 1970-01-01 UTC | `acknowledged_at` as a number.
-- @verdict | `true`, `false`, `noise` | What it turned out to be, by the newest verdict; empty where none was given.
CREATE VIEW v_alerts AS
SELECT a.id AS alert_id, a.alert, a.rule, a.severity, a.state,
  (SELECT s.id FROM streams s WHERE s.partition = a.partition AND s.agent IS json_extract(a.labels, '$.agent')
    AND s.task IS json_extract(a.labels, '$.task')
    AND json_extract(s.labels, '$.version') IS json_extract(a.labels, '$.version')) AS stream_id,
  json_extract(a.labels, '$.agent') AS agent, json_extract(a.labels, '$.task') AS task, a.version, a.version_before,
  strftime('%Y-%m-%dT%H:%M:%fZ', a.started_at_ms / 1000.0, 'unixepoch') AS started_at, a.started_at_ms,
  strftime('%Y-%m-%dT%H:%M:%fZ', a.fired_at_ms / 1000.0, 'unixepoch') AS fired_at, a.fired_at_ms,
  strftime('%Y-%m-%dT%H:%M:%fZ', a.ended_at_ms / 1000.0, 'unixepoch') AS ended_at, a.ended_at_ms,
  strftime('%Y-%m-%dT%H:%M:%fZ', a.changed_at_ms / 1000.0, 'unixepoch') AS changed_at, a.changed_at_ms,
  strftime('%Y-%m-%dT%H:%M:%fZ', a.changed_earliest_ms / 1000.0, 'unixepoch') AS changed_earliest, a.changed_earliest_ms,
  strftime('%Y-%m-%dT%H:%M:%fZ', a.changed_latest_ms / 1000.0, 'unixepoch') AS changed_latest, a.changed_latest_ms,
  a.ended_at_ms - a.started_at_ms AS duration_ms,
  a.measure, a.grade, a.estimate, a.estimate_low, a.estimate_high, a.samples,
  a.baseline AS baseline_id, a.provisional, a.baseline_value, a.baseline_low, a.baseline_high, a.baseline_n,
  a.estimate - a.baseline_value AS difference, a.change, a.change_low, a.change_high,
  a.statistic, a.limit_value, a.arl0, a.unit, a.method, a.outputs, a.labelled,
  a.outputs_since, a.labels_missing,
  strftime('%Y-%m-%dT%H:%M:%fZ', a.counted_from_ms / 1000.0, 'unixepoch') AS counted_from, a.counted_from_ms,
  a.also_moved, a.task_parts,
  CASE WHEN json_extract(a.standing, '$.invalid') IS NULL THEN json_extract(a.standing, '$.estimate.value') END
    AS accuracy_estimate,
  CASE WHEN json_extract(a.standing, '$.invalid') IS NULL THEN json_extract(a.standing, '$.estimate.low') END AS accuracy_low,
  CASE WHEN json_extract(a.standing, '$.invalid') IS NULL THEN json_extract(a.standing, '$.estimate.high') END
    AS accuracy_high,
  CASE WHEN json_extract(a.standing, '$.invalid') IS NOT NULL THEN 'invalid'
    WHEN json_type(a.standing, '$.how') = 'object' THEN 'powered' WHEN json_extract(a.standing, '$.how') = 'stratified'
    THEN 'stratified' WHEN a.standing IS NOT NULL THEN 'labels' END AS accuracy_how,
  json_extract(a.standing, '$.invalid') AS accuracy_invalid,
  json_extract(a.standing, '$.labels.value') AS labels_accuracy, json_extract(a.standing, '$.labels.low') AS labels_low,
  json_extract(a.standing, '$.labels.high') AS labels_high, json_extract(a.standing, '$.usual') AS labels_usual,
  json_extract(a.standing, '$.differ') AS labels_differ, a.standing,
  json_extract(a.annotations, '$.summary') AS summary, a.labels, a.annotations, a.partition,
  k.owner AS acknowledged_by,
  strftime('%Y-%m-%dT%H:%M:%fZ', k.at_ms / 1000.0, 'unixepoch') AS acknowledged_at, k.at_ms AS acknowledged_ms,
  (SELECT j.verdict FROM acknowledgements j WHERE j.alert_id = a.id AND j.verdict IS NOT NULL ORDER BY j.id DESC LIMIT 1)
    AS verdict
FROM alerts a
LEFT JOIN acknowledgements k ON k.id = (SELECT max(id) FROM acknowledgements WHERE alert_id = a.id AND took);

-- Who took which alert on, what they said, and what it turned out to be. The newest verdict of an alert is what holds; its
-- owner is who spoke last while it fired.
-- @alert_id | text, 32 hex digits | The incident.
-- @agent | text | Who it is about.
-- @task | text | The segment.
-- @made_by | text | Who said so, by the system's word.
CREATE VIEW v_acknowledgements AS
SELECT k.alert_id, a.alert, a.rule, json_extract(a.labels, '$.agent') AS agent, json_extract(a.labels, '$.task') AS task,
  strftime('%Y-%m-%dT%H:%M:%fZ', k.at_ms / 1000.0, 'unixepoch') AS at, k.at_ms, k.owner, k.made_by, k.note, k.verdict
FROM acknowledgements k JOIN alerts a ON a.id = k.alert_id;

-- Silences, with what happened under them.
-- @silence_id | text, 32 hex digits | The silence.
-- @state | `pending`, `active`, `expired` | By the clock of whoever asks.
-- @created_at | text, ISO 8601 UTC | When it was made, wall time.
-- @created_at_ms | ms since 1970-01-01 UTC | `created_at` as a number.
-- @starts_at | text, ISO 8601 UTC | From when.
-- @starts_at_ms | ms since 1970-01-01 UTC | `starts_at` as a number.
-- @ends_at | text, ISO 8601 UTC | Until when; the moment at which it was ended where somebody did.
-- @ends_at_ms | ms since 1970-01-01 UTC | `ends_at` as a number.
CREATE VIEW v_silences AS
SELECT id AS silence_id, matchers, author, comment, made_by,
  CASE WHEN ends_at_ms <= (julianday('now') - 2440587.5) * 86400000 THEN 'expired'
    WHEN starts_at_ms > (julianday('now') - 2440587.5) * 86400000 + 1 THEN 'pending' ELSE 'active' END AS state,
  strftime('%Y-%m-%dT%H:%M:%fZ', created_at_ms / 1000.0, 'unixepoch') AS created_at, created_at_ms,
  strftime('%Y-%m-%dT%H:%M:%fZ', starts_at_ms / 1000.0, 'unixepoch') AS starts_at, starts_at_ms,
  strftime('%Y-%m-%dT%H:%M:%fZ', ends_at_ms / 1000.0, 'unixepoch') AS ends_at, ends_at_ms, ended_by, fired, resolved
FROM silences;

-- What each rule was worth so far. Alerts that nobody judged say nothing.
-- @alert | text | Its alert name.
-- @fired | count, 0 or more | Alerts that fired.
-- @judged | count, 0 or more | Alerts with a verdict.
-- @judged_true | count, 0 or more | Something was wrong.
-- @judged_false | count, 0 or more | Nothing was wrong.
-- @judged_noise | count, 0 or more | Something had changed and did not matter.
-- @precision | 0 to 1 | `judged_true / judged`; empty where none was judged.
-- @precision_low | 0 to 1 | Lower end of Wilson's 95 % interval of it.
-- @precision_high | 0 to 1 | Upper end of that interval.
CREATE VIEW v_precision AS
SELECT rule, alert, fired, judged, judged_true, judged_false, judged_noise,
  CAST(judged_true AS REAL) / nullif(judged, 0) AS precision,
  CASE WHEN judged > 0 THEN
    max(0.0, (judged_true + 1.920729410347062 - 1.959963984540054 * root) / (judged + 3.841458820694124)) END
    AS precision_low,
  CASE WHEN judged > 0 THEN
    min(1.0, (judged_true + 1.920729410347062 + 1.959963984540054 * root) / (judged + 3.841458820694124)) END
    AS precision_high
FROM (
  SELECT p.*, (
    WITH RECURSIVE newton (x, i) AS (
      SELECT (1.0 + p.judged_true * (p.judged - p.judged_true) * 1.0 / p.judged + 0.960364705173531) / 2, 0
      WHERE p.judged > 0 UNION ALL
      SELECT (x + (p.judged_true * (p.judged - p.judged_true) * 1.0 / p.judged + 0.960364705173531) / x) / 2, i + 1
      FROM newton
      WHERE i < 64 AND abs(x * x / (p.judged_true * (p.judged - p.judged_true) * 1.0 / p.judged + 0.960364705173531) - 1)
        > 1e-14
    ) SELECT min(x) FROM newton
  ) AS root
  FROM (
    SELECT rule, max(alert) AS alert, count(*) FILTER (WHERE fired_at_ms IS NOT NULL) AS fired,
      count(verdict) AS judged, count(*) FILTER (WHERE verdict = 'true') AS judged_true,
      count(*) FILTER (WHERE verdict = 'false') AS judged_false, count(*) FILTER (WHERE verdict = 'noise') AS judged_noise
    FROM v_alerts GROUP BY rule
  ) p
);

-- Every change of state of every incident, with the estimate at that moment.
-- @at | text, ISO 8601 UTC | Event time of the change.
-- @estimate | the measure's unit | The level since the change began, as known then.
-- @samples | count, 0 or more | Samples behind it.
CREATE VIEW v_alert_events AS
SELECT e.id AS notice_id, e.alert_id, a.alert, a.severity, json_extract(a.labels, '$.agent') AS agent,
  json_extract(a.labels, '$.task') AS task, e.transition, e.from_state, e.to_state, e.reason,
  strftime('%Y-%m-%dT%H:%M:%fZ', e.at_ms / 1000.0, 'unixepoch') AS at, e.at_ms,
  json_extract(e.crossing, '$.account.estimate.value') AS estimate,
  json_extract(e.crossing, '$.account.estimate.low') AS estimate_low,
  json_extract(e.crossing, '$.account.estimate.high') AS estimate_high,
  json_extract(e.crossing, '$.account.samples') AS samples, e.partition, e.offset
FROM alert_events e JOIN alerts a ON a.id = e.alert_id;

-- What was told to whom: one row for each change of state in each message, with how the message fared. A message that tells of
-- no alert, as that a silence is long, has one row without one. Times here are wall time.
-- @told_state | `firing`, `resolved` | What was said of the alert.
-- @decided_at | text, ISO 8601 UTC | When the message was decided and written down.
-- @decided_at_ms | ms since 1970-01-01 UTC | `decided_at` as a number.
-- @delivery_state | `pending`, `delivered`, `dead` | `dead`: given up, see `last_error`.
-- @delivered_at | text, ISO 8601 UTC | When the receiver took it; empty before.
-- @delivered_at_ms | ms since 1970-01-01 UTC | `delivered_at` as a number.
-- @next_attempt_at | text, ISO 8601 UTC | When it is tried next; only while pending.
CREATE VIEW v_notices AS
SELECT m.id AS message_id, n.notice AS notice_id, n.alert_id, a.alert, a.severity,
  json_extract(a.labels, '$.agent') AS agent, json_extract(a.labels, '$.task') AS task, e.to_state AS told_state,
  m.receiver, m.group_key, m.status, m.occasion,
  strftime('%Y-%m-%dT%H:%M:%fZ', m.created_at_ms / 1000.0, 'unixepoch') AS decided_at, m.created_at_ms AS decided_at_ms,
  m.state AS delivery_state, m.attempts,
  CASE m.state WHEN 'delivered' THEN strftime('%Y-%m-%dT%H:%M:%fZ', m.done_at_ms / 1000.0, 'unixepoch') END
    AS delivered_at,
  CASE m.state WHEN 'delivered' THEN m.done_at_ms END AS delivered_at_ms,
  CASE m.state WHEN 'pending' THEN strftime('%Y-%m-%dT%H:%M:%fZ', m.next_at_ms / 1000.0, 'unixepoch') END
    AS next_attempt_at,
  m.fallback, m.last_error
FROM outbox m LEFT JOIN outbox_alerts n ON n.message = m.id
LEFT JOIN alerts a ON a.id = n.alert_id LEFT JOIN alert_events e ON e.id = n.notice;

-- Every attempt to deliver a message. Times are wall time.
-- @attempt | 1 or more | Number of the attempt.
-- @at | text, ISO 8601 UTC | When.
CREATE VIEW v_deliveries AS
SELECT d.message AS message_id, m.receiver, d.attempt,
  strftime('%Y-%m-%dT%H:%M:%fZ', d.at_ms / 1000.0, 'unixepoch') AS at, d.at_ms, d.outcome, d.class, d.detail
FROM deliveries d JOIN outbox m ON m.id = d.message;

-- Every baseline, with who put it in force last, when and why.
-- @baseline_id | text | `name@version`.
-- @version | 1 or more | Its version.
-- @state | `learnt`, `promoted`, `retired` | At most one is promoted: it is in force.
-- @learnt_at | text, ISO 8601 UTC | When, wall time.
-- @learnt_at_ms | ms since 1970-01-01 UTC | `learnt_at` as a number.
-- @streams | count, 0 or more | Streams it knows.
-- @outputs | count, 0 or more | Outputs behind it.
-- @labelled | count, 0 or more | Labelled outputs behind it.
-- @accuracy | share, 0 to 1 | Accuracy over all its streams.
-- @promoted_at | text, ISO 8601 UTC | When it was last put in force.
-- @promoted_at_ms | ms since 1970-01-01 UTC | `promoted_at` as a number.
-- @promoted_by | text | By whom.
-- @promoted_why | text | The reason given.
CREATE VIEW v_baselines AS
SELECT b.id AS baseline_id, b.name, b.version, b.state, b.source,
  strftime('%Y-%m-%dT%H:%M:%fZ', b.learnt_at_ms / 1000.0, 'unixepoch') AS learnt_at, b.learnt_at_ms,
  (SELECT count(*) FROM baseline_streams s WHERE s.baseline = b.id) AS streams,
  (SELECT sum(outputs) FROM baseline_streams s WHERE s.baseline = b.id) AS outputs,
  (SELECT sum(labelled) FROM baseline_streams s WHERE s.baseline = b.id) AS labelled,
  (SELECT CAST(sum(correct) AS REAL) / nullif(sum(labelled), 0) FROM baseline_streams s WHERE s.baseline = b.id)
    AS accuracy,
  strftime('%Y-%m-%dT%H:%M:%fZ', e.at_ms / 1000.0, 'unixepoch') AS promoted_at, e.at_ms AS promoted_at_ms,
  e.who AS promoted_by, e.why AS promoted_why
FROM baselines b
LEFT JOIN baseline_events e ON e.id = (
  SELECT max(id) FROM baseline_events WHERE baseline = b.id AND action = 'promoted'
);

-- Everything that was done with baselines: the audit trail.
-- @baseline_id | text | `name@version`.
-- @action | `learnt`, `promoted`, `retired` | What.
-- @why | text | The reason given.
CREATE VIEW v_baseline_events AS
SELECT baseline AS baseline_id, action, strftime('%Y-%m-%dT%H:%M:%fZ', at_ms / 1000.0, 'unixepoch') AS at, at_ms, who, why
FROM baseline_events;

-- The versions each stream ran on. A change within an hour of the one before is noted when that hour is over, because two that run side by side
-- would change with every output.
-- @version | text | The version.
-- @version_before | text | The one before; empty for the first.
-- @since_at | text, ISO 8601 UTC | Event time of its first output.
-- @since_ms | ms since 1970-01-01 UTC | `since_at` as a number.
-- @until_at | text, ISO 8601 UTC | Event time of the first output of the next one; empty for the newest.
-- @until_ms | ms since 1970-01-01 UTC | `until_at` as a number.
CREATE VIEW v_versions AS
SELECT v.stream_id, s.agent, s.task, v.to_version AS version, v.from_version AS version_before,
  strftime('%Y-%m-%dT%H:%M:%fZ', v.at_ms / 1000.0, 'unixepoch') AS since_at, v.at_ms AS since_ms,
  strftime('%Y-%m-%dT%H:%M:%fZ', (lead(v.at_ms) OVER later) / 1000.0, 'unixepoch') AS until_at,
  lead(v.at_ms) OVER later AS until_ms
FROM versions v JOIN streams s ON s.id = v.stream_id
WINDOW later AS (PARTITION BY v.stream_id ORDER BY v.at_ms, v.to_version);

-- Records that were not counted: the newest 10,000.
-- @offset | integer | Position in the partition.
-- @why | `empty`, `too_large`, `malformed`, `missing`, `out_of_range`, `time`, `duplicate`, `relabelled`, `poison` | Class of the fault.
-- @detail | text | What was wrong.
-- @payload_bytes | 0 to 4096 | Bytes of the payload that are kept.
CREATE VIEW v_rejects AS
SELECT partition, offset, strftime('%Y-%m-%dT%H:%M:%fZ', at_ms / 1000.0, 'unixepoch') AS at, at_ms, why, detail,
  length(payload) AS payload_bytes, payload
FROM rejects;

-- Holes in the log: records that were gone before they could be read.
-- @records | integer | How many are missing; negative where the topic was made anew.
-- @reason | text | Why.
-- @at | text, ISO 8601 UTC | When it was found, wall time.
CREATE VIEW v_gaps AS
SELECT partition, from_offset, to_offset, to_offset - from_offset AS records,
  reason, strftime('%Y-%m-%dT%H:%M:%fZ', at_ms / 1000.0, 'unixepoch') AS at, at_ms
FROM gaps;

-- Every rule set that was offered, accepted or refused.
-- @rule_set_id | integer | Order of arrival.
-- @in_force | 0 or 1 | Whether it is the last accepted one.
-- @diagnostics | text | What was found in it.
-- @who | text | Who asked for it (a user of the machine, `token`), or who owns the files that changed.
CREATE VIEW v_rule_sets AS
SELECT id AS rule_set_id, hash, strftime('%Y-%m-%dT%H:%M:%fZ', at_ms / 1000.0, 'unixepoch') AS at, at_ms, accepted,
  id IS (SELECT max(id) FROM rule_sets WHERE accepted) AS in_force, origin, rules, diagnostics, sources, who, diff
FROM rule_sets;

-- Where each partition stands.
-- @anchor_offset | integer | The last record read, by whose checksum a recreated topic is known.
CREATE VIEW v_partitions AS SELECT partition, next_offset, anchor_offset FROM partitions;

-- What every column of every table and view is: this list. Rows without `column_name` describe the table or view itself.
-- @position | 1 or more | The column's place in its table or view; 0 for the row of the table or view itself.
-- @object | text | Name of the table or view.
-- @kind | `table`, `view` | What it is. Views are a promise, tables may change.
-- @column_name | text | Name of the column.
-- @unit | text | Its unit and range.
-- @description | text | What it is.
CREATE VIEW v_columns AS
SELECT json_extract(value, '$[0]') AS object, json_extract(value, '$[1]') AS kind, json_extract(value, '$[2]') AS position,
  json_extract(value, '$[3]') AS column_name, json_extract(value, '$[4]') AS unit, json_extract(value, '$[5]') AS description
FROM json_each('[]');
