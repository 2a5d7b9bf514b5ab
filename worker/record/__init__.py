"""The record of every operation, on Redis: the only place that knows how it is kept."""
