"""The embedded stack: everything that Lockstep needs as child processes, owned and supervised.

    with Stack(flower=True) as stack:
        client = ClusterClient(load_settings(**stack.settings))

`python -m lockstep.producer.stack` keeps one running in the foreground. Each part also works alone, such as
`with RedisServer(directory) as server`.
"""

from lockstep.producer.discovery import AlreadyRunning, StackError
from lockstep.producer.stack.child import Child
from lockstep.producer.stack.guard import Guard
from lockstep.producer.stack.processes import MockCluster, RedisServer, Role
from lockstep.producer.stack.stack import Stack

__all__ = ["AlreadyRunning", "Child", "Guard", "MockCluster", "RedisServer", "Role", "Stack", "StackError"]
