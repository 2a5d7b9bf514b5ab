"""A TCP proxy before Redis that cuts connections and swallows what goes one way.

`python proxy.py PORT CONTROL REDIS`, three port numbers.

One line of JSON per control connection: {"do": "cut"}, {"do": "cut at brpop", "times": 1},
{"do": "swallow", "direction": "up" or "down", "on": true}, {"do": "dribble", "on": true}, {"do": "counts"}.
The answer is always the counts.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections import Counter

CHUNK = 65_536
NOTHING = (b"*-1\r\n", b"_\r\n")
"""What Redis says when a BRPOP brought no message, in either version of its protocol."""


class Link:
    """One connection of a client, and the one to Redis that belongs to it."""

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.ends = {"up": server, "down": client}
        self.popping = False
        self.starved = False
        """Something of it was swallowed, so it can never be whole again."""

    def cut(self) -> None:
        """Break both connections off."""
        for end in self.ends.values():
            end.transport.abort()


class Proxy:
    """Every link, and what is being done to them."""

    def __init__(self, redis_port: int) -> None:
        self.redis_port = redis_port
        self.links: set[Link] = set()
        self.swallowing: set[str] = set()
        self.dribbling = False
        """Everything goes on byte by byte."""
        self.cuts_at_brpop = 0
        self.counts: Counter[str] = Counter()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one client's connection until either end closes."""
        try:
            redis_reader, redis_writer = await asyncio.open_connection("127.0.0.1", self.redis_port)
        except OSError:
            writer.transport.abort()
            return
        link = Link(writer, redis_writer)
        self.links.add(link)
        try:
            async with asyncio.TaskGroup() as pumps:
                pumps.create_task(self._pump("up", reader, link))
                pumps.create_task(self._pump("down", redis_reader, link))
        finally:
            self.links.discard(link)
            link.cut()

    async def _pump(self, way: str, reader: asyncio.StreamReader, link: Link) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(CHUNK):
                if way == "up" and b"BRPOP" in chunk:
                    link.popping = True
                elif way == "down" and link.popping:
                    link.popping = False
                    if self.cuts_at_brpop and not chunk.startswith(NOTHING):
                        self.cuts_at_brpop -= 1
                        self.counts["cut at brpop"] += 1
                        break
                if way in self.swallowing:
                    link.starved = True
                    self.counts[f"swallowed {way}"] += 1
                    continue
                for piece in self._pieces(chunk):
                    link.ends[way].write(piece)
                    await link.ends[way].drain()
                    if self.dribbling:
                        await asyncio.sleep(0)
        link.cut()

    def _pieces(self, chunk: bytes) -> list[bytes]:
        if not self.dribbling:
            return [chunk]
        self.counts["dribbled"] += len(chunk)
        return [chunk[at : at + 1] for at in range(len(chunk))]

    async def command(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Obey one line of JSON."""
        said = json.loads(await reader.readline())
        match said["do"]:
            case "cut":
                self._cut(self.links)
            case "cut at brpop":
                self.cuts_at_brpop = said["times"]
            case "dribble":
                self.dribbling = said["on"]
            case "swallow" if said["on"]:
                self.swallowing.add(said["direction"])
            case "swallow":
                self.swallowing.discard(said["direction"])
                self._cut({link for link in self.links if link.starved})
        writer.write(json.dumps(self.counts).encode() + b"\n")
        await writer.drain()
        writer.close()

    def _cut(self, links: set[Link]) -> None:
        for link in list(links):
            self.counts["cut"] += 1
            link.cut()


async def main(port: int, control: int, redis_port: int) -> None:
    """Serve until killed."""
    proxy = Proxy(redis_port)
    await asyncio.start_server(proxy.serve, "127.0.0.1", port)
    await asyncio.start_server(proxy.command, "127.0.0.1", control)
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*map(int, sys.argv[1:])))
