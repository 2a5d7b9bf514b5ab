"""What programs do with the client, one after the other in one process; prints what came of it as JSON."""

import asyncio
import json
import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import redis

from lockstep import ClusterClient, GroupBusy, UnknownOperation, load_settings

told: dict[str, object] = {}
settings = load_settings()
url = os.environ["LOCKSTEP_REDIS_URL"]

with ClusterClient() as cluster:
    operation = cluster.create_group("scripted")
    result = operation.wait(timeout=60)
    told["a script"] = result.state
    told["its result, pickled"] = pickle.loads(pickle.dumps(result)) == result
    told["its status, pickled"] = pickle.loads(pickle.dumps(operation.status())).state
    told["an error, pickled"] = str(pickle.loads(pickle.dumps(GroupBusy("held"))))

    if (child := os.fork()) == 0:
        os._exit(0 if cluster.create_group("of-a-child").wait(timeout=60).committed else 1)
    told["the parent of a fork"] = cluster.create_group("of-a-parent").wait(timeout=60).state
    told["its child"] = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    with ThreadPoolExecutor(4) as pool:
        ended = pool.map(lambda each: cluster.create_group(f"thread-{each}").wait(timeout=60), range(8))
        told["threads"] = [each.state for each in ended]

    other = url.replace(urlsplit(url).path, "/1")
    with ClusterClient(load_settings(redis_url=other)) as second:
        there = second.create_group("elsewhere")
        here = cluster.create_group("elsewhere").wait(timeout=60)
        told["in the other database"] = there.status().state
        told["in this one"] = here.state
        waiting = [redis.from_url(each).llen("lockstep:celery:operations") for each in (url, other)]
        told["messages wait"] = waiting
        for asked, unknown in ((cluster, there.id), (second, here.operation_id)):
            try:
                asked.operation(unknown).status()
                told["strangers"] = "known"
            except UnknownOperation:
                told.setdefault("strangers", "unknown")


async def cell() -> None:
    """What a notebook does in a cell: its loop runs already."""
    with ClusterClient() as cluster:
        told["awaited"] = (await cluster.create_group("of-a-cell")).state
        told["waited for in a loop that runs"] = cluster.delete_group("of-a-cell").wait(timeout=60).state


asyncio.run(cell())
print(json.dumps(told))
