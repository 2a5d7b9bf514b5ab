"""`python -m benchmarks.driver PEER SOCKET HOSTS`: the process of a candidate's producer.

It is a process of its own so that its CPU and memory are the candidate's alone. It obeys one caller, who
sends a JSON object a line; times are measured here, next to the calls.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.peers import module
from benchmarks.peers.peer import Producer
from benchmarks.processes import resident_mb

Answer = dict[str, Any]


class Driver:
    """Obeys orders with one producer, or with several where many ask at once."""

    def __init__(self, open_producer: Callable[[], Producer[object]], hosts: Sequence[str]) -> None:
        self._open = open_producer
        self._producer = open_producer()
        self._hosts = hosts

    def job(self, group: str, hosts: int) -> Answer:
        """Do one job to its end."""
        begun = time.monotonic()
        job = self._producer.publish(group, self._hosts[:hosts])
        published = time.monotonic()
        committed = self._producer.finish(job)
        ended = time.monotonic()
        return {
            "published": published - begun,
            "seconds": ended - begun,
            "ended": ended,
            "committed": committed,
        }

    def publish(self, group: str, hosts: int) -> Answer:
        """Hand a job over and forget it; tell how long that took, and what this process then holds."""
        begun = time.monotonic()
        self._producer.publish(group, self._hosts[:hosts])
        return {"published": time.monotonic() - begun, "resident_mb": resident_mb([os.getpid()])}

    def many(self, group: str, hosts: int, jobs: int, clients: int) -> Answer:
        """Have so many jobs in flight at once, from so many clients; wait for the end of all."""

        def ask(client: Producer[object], number: int) -> bool:
            names = [f"{group}-{job}" for job in range(number, jobs, clients)]
            handed = [client.publish(name, self._hosts[:hosts]) for name in names]
            return min(client.finish(job) for job in handed)

        producers = [self._open() for _ in range(clients)]
        begun = time.monotonic()
        with ThreadPoolExecutor(clients) as pool:
            committed = all(pool.map(ask, producers, range(clients)))
        seconds = time.monotonic() - begun
        for producer in producers:
            producer.close()
        return {"seconds": seconds, "committed": committed}

    def obey(self, order: Answer) -> Answer:
        """Do what an order names in `do`, with the rest of it as arguments."""
        known: dict[str, Callable[..., Answer]] = {
            "job": self.job,
            "publish": self.publish,
            "many": self.many,
        }
        return known[order.pop("do")](**order)

    def close(self) -> None:
        """Close the producer."""
        self._producer.close()


def main() -> None:
    """Serve one caller until it hangs up."""
    name, path, hosts = sys.argv[1:]
    with socket.socket(socket.AF_UNIX) as listener:
        driver = Driver(module(name).open_producer, json.loads(Path(hosts).read_text()))
        listener.bind(path)
        listener.listen(1)
        connection, _ = listener.accept()
    with connection, connection.makefile("rw") as stream:
        for line in stream:
            try:
                said = driver.obey(json.loads(line))
            except Exception as error:  # noqa: BLE001 - told to whoever measures, who stops
                said = {"error": f"{type(error).__name__}: {error}"}
            stream.write(json.dumps(said) + "\n")
            stream.flush()
    driver.close()


if __name__ == "__main__":
    main()
