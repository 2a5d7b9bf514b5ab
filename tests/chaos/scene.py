"""A small run, made up for the checker's own tests: one group, two hosts, operations one second apart."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lockstep.worker.operation.model import (
    Action,
    Attempt,
    AttemptId,
    AttemptState,
    Decision,
    GroupId,
    HostName,
    Millis,
    OperationId,
    Presence,
    State,
    Status,
    Step,
)
from tests.chaos.checker import Verdict, check
from tests.chaos.evidence import Ended, Evidence
from tests.chaos.histories import Call, Effect, History
from tests.chaos.journal import Journal
from tests.chaos.lanes import Event
from tests.chaos.orders import Order, Told
from tests.chaos.watcher import Sample

GROUP = GroupId("team")
HOSTS = (HostName("a"), HostName("b"))
SEND_BY = 0.3
"""Seconds after an operation's start until which its attempts may be sent."""
LASTS = 0.9
LIMIT = 5.0


@dataclass
class Scene:
    """Builds evidence. Operation n runs from second n to second n + 0.9; the last fault ends at second 10."""

    planted: set[HostName] = field(default_factory=set)
    effects: list[Effect] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    record: dict[OperationId, Ended] = field(default_factory=dict)
    journal: Journal = field(default_factory=Journal)
    told: Told = field(default_factory=Told)
    samples: list[Sample] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    final: set[HostName] | None = None

    def operation(
        self,
        action: Action,
        decision: Decision,
        ended_at: float | None = None,
        by: str = "test",
        content: Mapping[str, str] | None = None,
    ) -> OperationId:
        """Add an operation that had an attempt on each host; with a content, as of a thing."""
        number = len(self.record) + 1
        key = OperationId(f"op{number}")
        end = number + LASTS if ended_at is None else ended_at
        done = State.COMMITTED if decision is Decision.COMMIT else State.ROLLED_BACK
        operation = Status(
            key, GROUP, action, action.value, done, decision, False, True, None, by, ms(number),
            ms(number + 60), ms(number), ms(end), 2, 2, (), (),
        )  # fmt: skip
        steps = tuple(Step(host, attempts=(attempt(f"{key}-{host}", number),)) for host in HOSTS)
        self.record[key] = Ended(operation, steps)
        if content is not None:
            self.told.asked[key] = Order(key, GROUP, action, HOSTS, "set", content)
        self.journal.decisions[key].append(decision.value)
        self.journal.locks[GROUP].append(key)
        return key

    def effect(self, key: OperationId, host: HostName, at: float, after: str) -> None:
        """Let a write of an operation change a host."""
        number = len(self.effects) + 1
        self.effects.append(Effect(host, GROUP, number, at, True, after, f"{key}-{host}", number))
        method = "POST" if after is Presence.PRESENT else "DELETE"
        self.calls.append(Call(host, number, method, GROUP, at, at, f"{key}-{host}", False, None))

    def judge(self) -> Verdict:
        """Check it. Bodies are all alike; the final state is what the histories come to."""
        planted = [Effect(host, GROUP, 0, 0.0, False, Presence.PRESENT, None, 0) for host in self.planted]
        effects = {
            (host, GROUP): tuple(each for each in (*planted, *self.effects) if each.host == host)
            for host in HOSTS
        }
        history = History(effects, tuple(self.calls))
        body: dict[str, Any] = {"groupId": GROUP}
        held = {host: history.held((host, GROUP), 1e9) for host in HOSTS}
        bodies = {
            (host, GROUP): {"fields": json.loads(text)} if text[0] == "{" else body
            for host, text in held.items()
            if (text != Presence.ABSENT if self.final is None else host in self.final)
        }
        return check(
            Evidence(
                planted={(host, GROUP): body for host in self.planted},
                final=bodies,
                history=history,
                journal=self.journal,
                record=self.record,
                told=self.told,
                samples=self.samples,
                events=self.events,
                raised=(),
                healed_at=10.0,
                settle=0.2,
            ),
            LIMIT,
        )


def ms(seconds: float) -> Millis:
    """Turn seconds into the store's time."""
    return Millis(round(seconds * 1000))


def attempt(key: str, opened: float) -> Attempt:
    """Return a closed attempt."""
    by = ms(opened + SEND_BY)
    return Attempt(AttemptId(key), False, AttemptState.APPLIED, ms(opened), by, by, True)
