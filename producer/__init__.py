"""Lockstep for those who ask: the client, the handle of an operation, and the `lockstep` command."""
