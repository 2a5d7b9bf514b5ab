"""A host's API over HTTP, and what stands between a step and it."""
