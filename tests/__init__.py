"""The suites, in the order `python -m tests` runs them: see `tests/__main__.py`."""
