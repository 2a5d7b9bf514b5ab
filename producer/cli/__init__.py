"""The `lockstep` command. docs/cli.md has its exit codes and the fields of --json."""

from lockstep.producer.cli.app import main

__all__ = ["main"]
