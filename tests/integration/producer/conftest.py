"""What the tests of the client in one process have, these have too."""

from tests.contract.producer.conftest import (
    cluster,
    environment,
    hand,
    lockstep,
    nodes,
    operation,
    own_redis,
    pushed_only,
    settings,
    shared_redis,
    threads,
)

__all__ = [
    "cluster",
    "environment",
    "hand",
    "lockstep",
    "nodes",
    "operation",
    "own_redis",
    "pushed_only",
    "settings",
    "shared_redis",
    "threads",
]
