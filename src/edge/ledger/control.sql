-- Classical control charts, computed from the rollups and the baseline when they are asked for: they look, they never alarm. Alerts
-- come from the charts of the rules, whose points are in `v_chart_points`. Roots are taken by Newton's method, as in views.sql;
-- run rules need none, because they compare squares.

-- The classical control charts of every stream with a baseline, by hour and by day of the output: a share against Laney's p' limits,
-- a mean against those of an X-bar chart, at three sigma for that many cases. Points of fewer than 5 cases are left out. They are
-- drawn from the newest state of the rollups and of the baseline in force, so that late labels change them.
-- @measure | `accuracy`, `escalation_rate`, `override_rate`, `error_rate`, `confidence`, `latency`, `cost` | What is plotted: shares, and the
--   means of confidence, latency (ms) and cost (USD). `error_rate` counts every status but `ok`.
-- @period | `hour`, `day` | How long a point is. Filter by it: both kinds are in the view.
-- @start | text, ISO 8601 UTC | Beginning of the point's span of event time.
-- @start_ms | ms since 1970-01-01 UTC | `start` as a number.
-- @phase | `baseline`, `monitoring` | Phase I: the span from which the stream's own baseline was learnt; Phase II: everything else.
-- @version | text | The version that ran when the span ended; empty where events name none.
-- @n | count, 5 or more | Cases of the point.
-- @value | the measure's unit | What is plotted.
-- @centre | the measure's unit | The centre line: the baseline's level.
-- @lower | the measure's unit | Lower limit; shares end at 0.
-- @upper | the measure's unit | Upper limit; shares end at 1.
-- @z | number | Distance from the centre in sigmas; beyond 3 and -3 the point is out of control.
-- @beyond | 0 or 1 | Whether the point is beyond its limits.
-- @nelson | text | Rules of Nelson that fire at it, by number: `1 5`; empty for none.
-- @western_electric | text | Rules of Western Electric that fire at it, by number; empty for none.
CREATE VIEW v_control_charts AS
WITH spans AS (
  SELECT stream_id, agent, task, 'hour' AS period, hour_ms AS start_ms, hour AS start, hour_ms + 3600000 AS end_ms, labelled, correct,
    escalation_known, escalated, override_known, overridden, status_ok,
    status_ok + status_error + status_invalid_input + status_timeout AS status_known,
    confidence_n, confidence_mean, latency_n, latency_mean_ms, cost_n, cost_mean_usd
  FROM v_hours
  UNION ALL
  SELECT stream_id, agent, task, 'day', day_ms, day, day_ms + 86400000, labelled, correct,
    escalation_known, escalated, override_known, overridden, status_ok,
    status_ok + status_error + status_invalid_input + status_timeout,
    confidence_n, confidence_mean, latency_n, latency_mean_ms, cost_n, cost_mean_usd
  FROM v_days
),
levels AS (
  SELECT s.id AS stream_id, j.key AS measure, json_extract(j.value, '$.centre') AS centre,
    json_extract(j.value, '$.within[0]') AS within_hour, json_extract(j.value, '$.within[1]') AS within_day,
    json_extract(j.value, '$.between') AS apart, p.first_ms, p.last_ms
  FROM streams s
  LEFT JOIN baseline_streams b INDEXED BY baseline_streams_by_labels ON b.baseline = s.baseline AND b.labels = s.labels
  LEFT JOIN provisional_baselines p ON p.stream_id = s.id AND s.baseline = 'provisional'
  JOIN json_each(coalesce(b.levels, p.levels)) j
),
measured AS (
  SELECT d.*, l.measure, l.centre, l.apart, CASE d.period WHEN 'hour' THEN l.within_hour ELSE l.within_day END AS within,
    CASE WHEN d.start_ms < l.last_ms AND d.end_ms > l.first_ms THEN 'baseline' ELSE 'monitoring' END AS phase,
    CASE l.measure WHEN 'accuracy' THEN labelled WHEN 'escalation_rate' THEN escalation_known
      WHEN 'override_rate' THEN override_known WHEN 'error_rate' THEN status_known WHEN 'confidence' THEN confidence_n
      WHEN 'latency' THEN latency_n WHEN 'cost' THEN cost_n END AS n,
    CASE l.measure WHEN 'accuracy' THEN CAST(correct AS REAL) / nullif(labelled, 0)
      WHEN 'escalation_rate' THEN CAST(escalated AS REAL) / nullif(escalation_known, 0)
      WHEN 'override_rate' THEN CAST(overridden AS REAL) / nullif(override_known, 0)
      WHEN 'error_rate' THEN CAST(status_known - status_ok AS REAL) / nullif(status_known, 0)
      WHEN 'confidence' THEN confidence_mean WHEN 'latency' THEN latency_mean_ms WHEN 'cost' THEN cost_mean_usd END AS value
  FROM spans d JOIN levels l ON l.stream_id = d.stream_id
),
-- `q` is z squared with the sign of z.
placed AS (
  SELECT *, within / n + apart AS variance,
    (value - centre) * abs(value - centre) / (within / n + apart) AS q
  FROM measured WHERE n >= 5
),
compared AS (
  SELECT *, sign(q) AS side, sign(q - lag(q) OVER line) AS step FROM placed
  WINDOW line AS (PARTITION BY stream_id, period, measure ORDER BY start_ms)
),
turned AS (
  SELECT *, step <> 0 AND step = -lag(step) OVER line AS turn FROM compared
  WINDOW line AS (PARTITION BY stream_id, period, measure ORDER BY start_ms)
),
judged AS (
  SELECT *,
    abs(q) > 9 AS r1,
    abs(sum(side) OVER (line ROWS 8 PRECEDING)) = 9 AS r2,
    abs(sum(step) OVER (line ROWS 4 PRECEDING)) = 5 AS r3,
    sum(turn) OVER (line ROWS 11 PRECEDING) = 12 AS r4,
    count(*) OVER (line ROWS 2 PRECEDING) = 3 AND (q > 4 AND sum(q > 4) OVER (line ROWS 2 PRECEDING) >= 2
      OR q < -4 AND sum(q < -4) OVER (line ROWS 2 PRECEDING) >= 2) AS r5,
    count(*) OVER (line ROWS 4 PRECEDING) = 5 AND (q > 1 AND sum(q > 1) OVER (line ROWS 4 PRECEDING) >= 4
      OR q < -1 AND sum(q < -1) OVER (line ROWS 4 PRECEDING) >= 4) AS r6,
    sum(abs(q) <= 1) OVER (line ROWS 14 PRECEDING) = 15 AS r7,
    sum(abs(q) > 1) OVER (line ROWS 7 PRECEDING) = 8 AND abs(sum(side) OVER (line ROWS 7 PRECEDING)) < 8 AS r8,
    abs(sum(side) OVER (line ROWS 7 PRECEDING)) = 8 AS run8
  FROM turned
  WINDOW line AS (PARTITION BY stream_id, period, measure ORDER BY start_ms)
),
rooted AS (
  SELECT *, (
    WITH RECURSIVE newton (x, i) AS (
      SELECT (1e6 + variance * 1e12) / 2e6, 0 WHERE variance > 0 UNION ALL
      SELECT (x + variance / x) / 2, i + 1 FROM newton WHERE i < 64 AND abs(x * x / variance - 1) > 1e-14
    ) SELECT min(x) FROM newton
  ) AS sigma
  FROM judged
)
SELECT r.stream_id, r.agent, r.task, r.measure, r.period, r.start, r.start_ms, r.phase,
  (SELECT v.to_version FROM versions v WHERE v.stream_id = r.stream_id AND v.at_ms < r.end_ms
    ORDER BY v.at_ms DESC, v.to_version DESC LIMIT 1) AS version,
  r.n, r.value, r.centre,
  CASE WHEN r.measure IN ('accuracy', 'escalation_rate', 'override_rate', 'error_rate', 'confidence')
    THEN max(0.0, r.centre - 3 * r.sigma) ELSE r.centre - 3 * r.sigma END AS lower,
  CASE WHEN r.measure IN ('accuracy', 'escalation_rate', 'override_rate', 'error_rate', 'confidence')
    THEN min(1.0, r.centre + 3 * r.sigma) ELSE r.centre + 3 * r.sigma END AS upper,
  (r.value - r.centre) / r.sigma AS z, r.r1 AS beyond,
  trim(iif(r1, '1 ', '') || iif(r2, '2 ', '') || iif(r3, '3 ', '') || iif(r4, '4 ', '') || iif(r5, '5 ', '') || iif(r6, '6 ', '')
    || iif(r7, '7 ', '') || iif(r8, '8', '')) AS nelson,
  trim(iif(r1, '1 ', '') || iif(r5, '2 ', '') || iif(r6, '3 ', '') || iif(run8, '4', '')) AS western_electric
FROM rooted r;

-- Every time that a chart of a rule was out of control, from the first point beyond its limit to the first one within it again, whether or
-- not an alert came of it: alerts wait for their `for`, and need the grade that the rule asks for. Points are hourly, so a signal may
-- have begun up to an hour before.
-- @signalled_at | text, ISO 8601 UTC | Event time of the first point beyond the limit.
-- @signalled_at_ms | ms since 1970-01-01 UTC | `signalled_at` as a number.
-- @ended_at | text, ISO 8601 UTC | Event time of the first point within the limit again; empty while it lasts.
-- @ended_at_ms | ms since 1970-01-01 UTC | `ended_at` as a number.
-- @points | count, 1 or more | Points beyond the limit.
-- @statistic | number | What was plotted at the first of them.
-- @statistic_max | number | The most that was plotted meanwhile.
-- @samples | count, 0 or more | Samples judged by the first of them.
CREATE VIEW v_signals AS
WITH marked AS (
  SELECT *, lag(out_of_control, 1, 0) OVER line AS before,
    min(CASE WHEN NOT out_of_control THEN at_ms END) OVER (line ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING) AS next_within
  FROM chart_points WINDOW line AS (PARTITION BY stream_id, chart ORDER BY at_ms)
),
runs AS (
  SELECT *, sum(out_of_control AND NOT before) OVER (PARTITION BY stream_id, chart ORDER BY at_ms) AS run FROM marked
)
SELECT r.stream_id, s.agent, s.task, r.chart, r.measure,
  strftime('%Y-%m-%dT%H:%M:%fZ', min(r.at_ms) / 1000.0, 'unixepoch') AS signalled_at, min(r.at_ms) AS signalled_at_ms,
  strftime('%Y-%m-%dT%H:%M:%fZ', max(r.next_within) / 1000.0, 'unixepoch') AS ended_at, max(r.next_within) AS ended_at_ms,
  count(*) AS points, max(CASE WHEN NOT r.before THEN r.statistic END) AS statistic, max(r.statistic) AS statistic_max,
  max(CASE WHEN NOT r.before THEN r.limit_value END) AS limit_value, max(CASE WHEN NOT r.before THEN r.samples END) AS samples,
  max(r.method) AS method
FROM runs r JOIN streams s ON s.id = r.stream_id
WHERE r.out_of_control GROUP BY r.stream_id, r.chart, r.run;
