-- The analysts' views: names and columns are a promise. Times are text in UTC, proportions lie in [0, 1].
CREATE VIEW v_meta AS SELECT key, value FROM meta;
