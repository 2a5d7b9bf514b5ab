"""The record of every operation: the only place that knows Redis."""
