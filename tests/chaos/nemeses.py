"""What is done to processes, connections and messages. Each nemesis heals what it broke before it returns."""

from __future__ import annotations

import os
import random
import resource
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from lockstep.producer.stack.child import Child
from lockstep.producer.stack.ports import LOOPBACK
from lockstep.worker.celery.messages import publish, publish_conclude
from lockstep.worker.operation.transitions import Claim, Phase
from tests.chaos.children import Node
from tests.chaos.names import ELSEWHERE
from tests.chaos.on_workers import MEMORY_GROUPS, RECOVERY, Workers
from tests.chaos.orders import LIMITED, Told, at_the_limited
from tests.chaos.rig import Rig
from tests.chaos.weather import Weather
from tests.waits import eventually
from tests.wrong_clock import library

TWICE = 8
"""Operations whose messages are published once more at a time."""

HOUR, JUMP = 3600.0, 600.0
"""Seconds by which a clock is wrong, and by which it jumps, at most."""
JUMPS = 4

Nemesis = Callable[[], str]
"""Does its harm, and says to what; empty if it found nothing to harm, and then it does not count."""


class Nemeses:
    """Everything that can be done to a rig, by lanes that run beside each other."""

    def __init__(
        self, rig: Rig, weather: Weather, told: Told, dice: random.Random, pause: Callable[[float], object]
    ) -> None:
        self._rig, self._weather, self._told, self._dice, self._pause = rig, weather, told, dice, pause
        self._times = rig.plan.times

    def lanes(self) -> dict[str, Mapping[str, Nemesis]]:
        """Return the nemeses of each lane by name; those of one lane never overlap."""
        hosts: dict[str, Nemesis] = {
            "host down past the deadline": self.host_down,
            "host frozen": lambda: self.freeze(self._node(), self._times.host_frozen),
            **({} if self._rig.plan.before else {"line at a limited host": self.line_up}),
        }
        for kind in self._weather.silences:
            hosts[kind] = lambda kind=kind: self.silence(kind)  # type: ignore[misc]
        if self._rig.names.within:
            hosts["names unknown"] = lambda: self.mislead(None)
            hosts["names lead elsewhere"] = lambda: self.mislead(ELSEWHERE)
        clocks: dict[str, Nemesis] = {"clock wrong": self.wrong_clock, "clock jumps": self.jump_clock}
        return {
            **({"clocks": clocks} if self._rig.clocks else {}),
            "workers": Workers(self._rig, self._dice, self._pause).nemeses(),
            "redis": self._redis(),
            "hosts": hosts,
            "messages": {"published twice": self.twice},
        }

    def _redis(self) -> Mapping[str, Nemesis]:
        if (others := self._rig.failovers) is not None:
            return others.nemeses(self._rig.lock, self._dice, lambda: self._pause(self._times.redis_down))
        return {
            "Redis killed": self.kill_redis,
            "Redis frozen": lambda: self.freeze(self._rig.redis, self._times.redis_frozen),
            "connections cut": self.cut,
            "cut at a BRPOP reply": self.cut_at_brpop,
            "requests swallowed": lambda: self.swallow("up"),
            "replies swallowed": lambda: self.swallow("down"),
            "one byte at a time": self.dribble,
            "disk full": self.fill_disk,
            "torn tail": self.tear_tail,
        }

    def _node(self) -> Node:
        return self._dice.choice(list(self._rig.nodes.values()))

    def kill_redis(self) -> str:
        with self._rig.lock:
            self._rig.redis.kill()
        self._start(self._rig.redis, self._times.redis_down)
        return "restarted from its file"

    def _start(self, child: Child, after: float) -> None:
        self._pause(after)
        with self._rig.lock:
            child.start(RECOVERY)

    def freeze(self, child: Child, seconds: float) -> str:
        os.killpg(child.pid, signal.SIGSTOP)
        self._pause(seconds)
        os.killpg(child.pid, signal.SIGCONT)
        return f"{child.name} for {seconds:g} s"

    def fill_disk(self) -> str:
        """No file of Redis may grow. With `appendfsync always` it ends rather than acknowledge."""
        journal = self._journal()
        with self._rig.lock:
            limits = (journal.stat().st_size, resource.RLIM_INFINITY)
            resource.prlimit(self._rig.redis.pid, resource.RLIMIT_FSIZE, limits)
        eventually(lambda: not self._rig.redis.running, "Redis ends, for its disk is full", RECOVERY)
        self._start(self._rig.redis, self._times.redis_down)
        return "Redis ended, and was restarted with room"

    def tear_tail(self) -> str:
        """The machine stops in the middle of a write that nobody was told of."""
        with self._rig.lock:
            self._rig.redis.kill()
            with self._journal().open("ab") as file:
                file.write(b"*3\r\n$3\r\nSET\r\n$40\r\nlockstep:")
        self._start(self._rig.redis, self._times.redis_down)
        return "restarted from a file whose last command is half there"

    def _journal(self) -> Path:
        found = self._rig.redis.directory.glob("appendonlydir/*.incr.aof")
        return max(found, key=lambda path: path.stat().st_mtime)

    def dribble(self) -> str:
        before = self._rig.proxy.order("dribble", on=True).get("dribbled", 0)
        self._pause(self._times.swallowed)
        return some(self._rig.proxy.order("dribble", on=False).get("dribbled", 0) - before, "bytes")

    def cut(self) -> str:
        before = self._rig.proxy.order("counts").get("cut", 0)
        after = self._rig.proxy.order("cut").get("cut", 0)
        return some(after - before, "connections")

    def cut_at_brpop(self) -> str:
        proxy = self._rig.proxy
        before = proxy.order("cut at brpop", times=2).get("cut at brpop", 0)
        eventually(
            lambda: proxy.order("counts").get("cut at brpop", 0) >= before + 2, "two messages lost", RECOVERY
        )
        return "2 messages lost"

    def swallow(self, direction: str) -> str:
        before = self._rig.proxy.order("swallow", direction=direction, on=True)
        self._pause(self._times.swallowed)
        after = self._rig.proxy.order("swallow", direction=direction, on=False)
        key = f"swallowed {direction}"
        return some(after.get(key, 0) - before.get(key, 0), "pieces")

    def host_down(self) -> str:
        node = self._node()
        with self._rig.lock:
            node.kill()
        self._start(node, self._times.host_down)
        self._weather.usual(node)
        return node.name

    def line_up(self) -> str:
        """Several operations change the limited host at once."""
        held = self._rig.nodes[LIMITED].admin.groups(LIMITED)
        begun = eventually(
            lambda: self._rig.begin(at_the_limited(self._dice, held), self._times.deadline),
            "an operation at the limited host is accepted",
            RECOVERY,
        )
        for order in begun:
            self._told.accept(order)
        return f"{len(begun)} operations"

    def silence(self, kind: str) -> str:
        node = self._node()
        self._weather.silence(node, kind)
        self._pause(self._times.silence)
        struck = self._weather.struck(node)
        self._weather.usual(node)
        return node.name if struck or not self._weather.silences[kind] else ""

    def mislead(self, address: str | None) -> str:
        """No worker finds a host by its name any more; connections that stand go on."""
        self._rig.names.lead(address)
        self._pause(self._times.silence)
        self._rig.names.lead(LOOPBACK)
        return address or "nowhere"

    def wrong_clock(self) -> str:
        """Every clock is wrong by another hour, some ahead and some behind."""
        apart = {name: self._dice.uniform(-HOUR, HOUR) for name in self._rig.clocks}
        for name, clock in self._rig.clocks.items():
            clock.set(apart[name])
        self._pause(self._times.silence)
        self._right_clocks()
        return ", ".join(f"{name} {seconds:+.0f} s" for name, seconds in apart.items())

    def jump_clock(self) -> str:
        """One clock jumps back and forth, as one that two masters set."""
        name, clock = self._dice.choice(list(self._rig.clocks.items()))
        for _ in range(JUMPS):
            clock.set(self._dice.uniform(-JUMP, JUMP))
            self._pause(self._times.silence / JUMPS)
        self._right_clocks()
        return name

    def _right_clocks(self) -> None:
        for clock in self._rig.clocks.values():
            clock.set(0)

    def twice(self) -> str:
        rig, published = self._rig, 0
        for order in self._told.newest(TWICE):
            with suppress(Exception):  # Redis may be away; what could not be sent is not twice there
                for phase in (Phase.FORWARD, Phase.ROLLBACK):
                    claim = Claim(phase, order.group, order.action, order.hosts)
                    publish(rig.app, order.operation, claim)
                publish_conclude(rig.app, order.operation, order.group)
                published += 1
        return some(published, "operations")


def some(count: int, what: str) -> str:
    """Say how many; nothing for none."""
    return f"{count} {what}" if count else ""


def absent(rig: Rig) -> Iterator[str]:
    """Name what cannot be broken on this machine."""
    if not rig.names.within:
        yield "names (not root)"
    if library() is None:
        yield "clocks (no libfaketime)"
    if not os.access(MEMORY_GROUPS, os.W_OK):
        yield "memory (no cgroup v1 that can be written to)"
