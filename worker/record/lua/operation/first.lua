-- first: tell whether something about an operation, such as counting its end, is done for the first time.
-- ARGV  3 what
-- Returns  1 for the first time; 0 if it was done before, or the operation is unknown
-- Kept in the record itself, so that it goes when the record goes.
return op and redis.call('HSETNX', OP, 'did:' .. ARGV[3], '1') or 0
