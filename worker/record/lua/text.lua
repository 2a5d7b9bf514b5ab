-- text: read what a content's digest stands for.
-- ARGV  3 digest
-- Returns  the text, or nothing if none is kept
-- A script, so that steps side by side are answered together.
return redis.call('HGET', TEXTS, ARGV[3])
