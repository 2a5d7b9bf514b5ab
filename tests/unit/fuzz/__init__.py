"""Everything that outsiders give, made up by hypothesis: no traceback, no write, no hang."""
