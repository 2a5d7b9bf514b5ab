"""The embedded stack: everything that Lockstep needs as child processes, owned and supervised.

    with Stack(flower=True) as stack:
        client = ClusterClient(load_settings(**stack.settings))

`python -m lockstep.producer.stack` keeps one running in the foreground. Each part also works alone, such as
`with RedisServer(directory) as server`.
"""

from __future__ import annotations

from lockstep.producer.stack.child import Child, StackError
from lockstep.producer.stack.cluster import MockCluster
from lockstep.producer.stack.guard import Guard
from lockstep.producer.stack.publish import AlreadyRunning
from lockstep.producer.stack.redis_server import RedisServer
from lockstep.producer.stack.roles import Role
from lockstep.producer.stack.stack import Stack

__all__ = ["AlreadyRunning", "Child", "Guard", "MockCluster", "RedisServer", "Role", "Stack", "StackError"]
