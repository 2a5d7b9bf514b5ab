"""Create groups at once, and follow one, without blocking the event loop: `python many_at_once.py a b c`."""

import asyncio
import sys

from lockstep import ClusterClient


async def main(groups: list[str]) -> None:
    """Enqueue all of them, wait for all, then delete the first and show how that goes on."""
    with ClusterClient() as cluster:
        # Enqueuing takes a few round trips to Redis: a thread does it. Waiting blocks nothing.
        asked = [asyncio.to_thread(cluster.create_group, group) for group in groups]
        operations = await asyncio.gather(*asked)
        for group, result in zip(groups, await asyncio.gather(*operations), strict=True):
            print(f"{group}: {result.state}")

        operation = await asyncio.to_thread(cluster.delete_group, groups[0])
        async for status in operation.watch():
            print(f"{groups[0]} is being deleted: {status.state}")


asyncio.run(main(sys.argv[1:] or ["team-a", "team-b"]))
