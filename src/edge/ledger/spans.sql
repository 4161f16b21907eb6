-- Rollups as analysts see them: spans of event time of a stream, with everything that was counted in them.
--
-- An hour is whole once its last minute has left memory, and is then added to its day; until then it is the sum of its minutes,
-- without what cannot be summed. So every view here ends with the newest minute that was committed.

-- Everything counted, by stream and minute of event time, as far back as minutes are kept (14 days).
CREATE VIEW v_minutes AS
SELECT s.id AS stream_id, s.agent, s.task,
  strftime('%Y-%m-%dT%H:%M:00Z', m.start_ms / 1000, 'unixepoch') AS minute, m.start_ms AS minute_ms,
  {columns of m}
FROM rollup_minute m JOIN streams s ON s.id = m.stream_id;

-- Everything counted, by stream and hour of event time, as far back as hours are kept (400 days). The other hourly views are cuts
-- of this one.
CREATE VIEW v_hours AS
WITH RECURSIVE back (minutes) AS (SELECT 0 UNION ALL SELECT minutes + 1 FROM back WHERE minutes < 119)
SELECT s.id AS stream_id, s.agent, s.task,
  strftime('%Y-%m-%dT%H:00:00Z', h.start_ms / 1000, 'unixepoch') AS hour, h.start_ms AS hour_ms, 1 AS complete,
  {columns of h}
FROM rollup_hour h JOIN streams s ON s.id = h.stream_id
WHERE h.start_ms + 7140000 <= s.newest_pane_ms
UNION ALL
SELECT stream_id, agent, task, strftime('%Y-%m-%dT%H:00:00Z', hour_ms / 1000, 'unixepoch'), hour_ms, 0,
  {sums}
FROM (
  -- One search for each minute: the table's key begins with the time, so a range would read the rows of all streams.
  SELECT s.id AS stream_id, s.agent, s.task, s.newest_pane_ms, m.start_ms - m.start_ms % 3600000 AS hour_ms, m.*
  FROM streams s CROSS JOIN back
  CROSS JOIN rollup_minute m ON m.start_ms = s.newest_pane_ms - back.minutes * 60000 AND m.stream_id = s.id
)
WHERE hour_ms + 7140000 > newest_pane_ms
GROUP BY stream_id, hour_ms;

-- Everything counted, by stream and day of event time (UTC), for ever.
-- @day | text, ISO 8601 UTC | The day of event time in which the outputs happened.
-- @day_ms | ms since 1970-01-01 UTC | `day` as a number; filter by this one, it is the key.
-- @complete | 0 or 1 | 1 once all minutes of the day have left memory (about an hour after its end); percentiles and sketches exist
--   from then on.
CREATE VIEW v_days AS
SELECT s.id AS stream_id, s.agent, s.task,
  strftime('%Y-%m-%d', d.start_ms / 1000, 'unixepoch') AS day, d.start_ms AS day_ms, 1 AS complete,
  {columns of d}
FROM rollup_day d JOIN streams s ON s.id = d.stream_id
WHERE d.start_ms + 89940000 <= s.newest_pane_ms
UNION ALL
SELECT stream_id, agent, task, strftime('%Y-%m-%d', day_ms / 1000, 'unixepoch'), day_ms, 0,
  {sums}
FROM (
  SELECT s.id AS stream_id, s.agent, s.task, d.start_ms AS day_ms,
    {columns of d}
  FROM streams s JOIN rollup_day d ON d.stream_id = s.id
    AND d.start_ms IN (s.newest_pane_ms - s.newest_pane_ms % 86400000, s.newest_pane_ms - s.newest_pane_ms % 86400000 - 86400000)
  WHERE d.start_ms + 89940000 > s.newest_pane_ms
  UNION ALL
  SELECT stream_id, agent, task, hour_ms - hour_ms % 86400000,
    outputs, labelled, correct, escalation_known, escalated, override_known, overridden, status_ok, status_error,
    status_invalid_input, status_timeout, confidence_n, confidence_mean, confidence_sd, latency_n, latency_mean_ms,
    latency_p50_ms, latency_p95_ms, latency_p99_ms, latency_max_ms, cost_n, cost_usd, tokens, confidence_sum,
    confidence_squares, confidence_escalated, paired_n, paired_right, paired_sum, paired_squares, paired_right_sum,
    paired_escalated, confidence_min, confidence_max, confidence_p10, confidence_p50, confidence_p90, confidence_p95,
    confidence_p99, latency_sd_ms, latency_min_ms, latency_p90_ms, cost_mean_usd, cost_sd_usd, cost_min_usd,
    cost_max_usd, tokens_n, tokens_mean, tokens_sd, tokens_min, tokens_max, confidence_sketch, latency_sketch
  FROM v_hours WHERE NOT complete
)
GROUP BY stream_id, day_ms;

-- Everything counted, in pieces that do not overlap and that all have their sketches: hours, and minutes where the hour is not
-- whole yet. Percentiles of any span are those of its merged sketches:
-- `hdr_quantile(hdr_merge(latency_sketch), 0.95)`.
-- @period | `hour`, `minute` | How long the piece is.
-- @start | text, ISO 8601 UTC | Beginning of the piece of event time in which the outputs happened.
-- @start_ms | ms since 1970-01-01 UTC | `start` as a number; filter by this one, it is the key.
CREATE VIEW v_pieces AS
WITH RECURSIVE back (minutes) AS (SELECT 0 UNION ALL SELECT minutes + 1 FROM back WHERE minutes < 119)
SELECT s.id AS stream_id, s.agent, s.task, 'hour' AS period,
  strftime('%Y-%m-%dT%H:%M:00Z', h.start_ms / 1000, 'unixepoch') AS start, h.start_ms,
  {columns of h}
FROM rollup_hour h JOIN streams s ON s.id = h.stream_id
WHERE h.start_ms + 7140000 <= s.newest_pane_ms
UNION ALL
SELECT s.id, s.agent, s.task, 'minute', strftime('%Y-%m-%dT%H:%M:00Z', m.start_ms / 1000, 'unixepoch'), m.start_ms,
  {columns of m}
FROM streams s CROSS JOIN back
CROSS JOIN rollup_minute m ON m.start_ms = s.newest_pane_ms - back.minutes * 60000 AND m.stream_id = s.id
WHERE m.start_ms - m.start_ms % 3600000 + 7140000 > s.newest_pane_ms;

-- Custom metrics by stream and hour, whole hours only.
-- @metric | text | Its name, as the events gave it.
-- @n | count, 1 or more | Outputs that had it.
-- @mean | the metric's unit | Its mean.
-- @sd | the metric's unit, 0 or more | Its standard deviation (n - 1); empty below two values.
-- @min | the metric's unit | The smallest.
-- @max | the metric's unit | The largest.
CREATE VIEW v_metrics AS
SELECT s.id AS stream_id, s.agent, s.task, strftime('%Y-%m-%dT%H:00:00Z', h.start_ms / 1000, 'unixepoch') AS hour,
  h.start_ms AS hour_ms, j.key AS metric, json_extract(j.value, '$.n') AS n, json_extract(j.value, '$.mean') AS mean,
  json_extract(j.value, '$.sd') AS sd, json_extract(j.value, '$.min') AS min, json_extract(j.value, '$.max') AS max
FROM rollup_hour h JOIN streams s ON s.id = h.stream_id JOIN json_each(h.metrics) j
WHERE h.metrics IS NOT NULL AND h.start_ms + 7140000 <= s.newest_pane_ms;

-- Custom flags by stream and hour, whole hours only.
-- @flag | text | Its name, as the events gave it.
-- @n | count, 1 or more | Outputs that had it.
-- @hits | count, 0 or more, at most `n` | Those on which it was set.
-- @share | share, 0 to 1 | `hits / n`.
CREATE VIEW v_flags AS
SELECT s.id AS stream_id, s.agent, s.task, strftime('%Y-%m-%dT%H:00:00Z', h.start_ms / 1000, 'unixepoch') AS hour,
  h.start_ms AS hour_ms, j.key AS flag, json_extract(j.value, '$.n') AS n, json_extract(j.value, '$.hits') AS hits,
  CAST(json_extract(j.value, '$.hits') AS REAL) / json_extract(j.value, '$.n') AS share
FROM rollup_hour h JOIN streams s ON s.id = h.stream_id JOIN json_each(h.flags) j
WHERE h.flags IS NOT NULL AND h.start_ms + 7140000 <= s.newest_pane_ms;

-- When verdicts came, by hour of event time, on outputs of which day, and how old those were: the second clock of labels. A file
-- that an older shewhart made knows this only from when it was taken over.
-- @arrived | text, ISO 8601 UTC | Beginning of the hour of event time in which the verdicts came.
-- @arrived_ms | ms since 1970-01-01 UTC | `arrived` as a number; filter by this one, it is the key.
-- @day | text, ISO 8601 UTC | The day of the outputs; of the verdicts, where the outputs are not remembered.
-- @day_ms | ms since 1970-01-01 UTC | `day` as a number.
-- @within_ms | milliseconds, 0 or more | How old the outputs were at most: 0 (the verdict came with the output), 15 minutes, 1, 3, 6, 12 hours, 1, 3, 7,
--   14, 30, 45, 90, 180, 365 days, and 730 days for all later ones; empty where the outputs are not remembered.
-- @labels | count, 1 or more | Verdicts.
-- @correct | count, 0 or more, at most `labels` | How many of them said that the output was right.
CREATE VIEW v_label_delays AS
SELECT l.stream_id, s.agent, s.task, strftime('%Y-%m-%dT%H:00:00Z', l.hour_ms / 1000, 'unixepoch') AS arrived,
  l.hour_ms AS arrived_ms, strftime('%Y-%m-%d', l.day_ms / 1000, 'unixepoch') AS day, l.day_ms,
  nullif(l.within_ms, -1) AS within_ms, l.labels, l.correct
FROM label_arrivals l JOIN streams s ON s.id = l.stream_id;
