"""The embedded stack: everything that Lockstep needs as child processes, owned and supervised.

    with Stack(flower=True) as stack:
        client = ClusterClient(load_settings(**stack.settings))

`python -m producer.stack` keeps one running in the foreground. Each part also works alone, such as
`with RedisServer(directory) as server`.
"""

from __future__ import annotations

from producer.stack.child import Child, StackError
from producer.stack.cluster import MockCluster
from producer.stack.guard import Guard
from producer.stack.publish import AlreadyRunning
from producer.stack.redis_server import RedisServer
from producer.stack.roles import Role
from producer.stack.stack import Stack

__all__ = ["AlreadyRunning", "Child", "Guard", "MockCluster", "RedisServer", "Role", "Stack", "StackError"]
