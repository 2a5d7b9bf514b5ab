"""What changes would do, and many changes at once."""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from collections import deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TYPE_CHECKING

from lockstep.producer.client.acceptance import RequestWithdrawn
from lockstep.producer.operators.hosts import presence, probe, together
from lockstep.producer.text import named
from lockstep.worker.operation.answer import Probed
from lockstep.worker.operation.errors import InvalidInput, LockstepError, NotReady, WaitTimeout
from lockstep.worker.operation.host import Host, Pause
from lockstep.worker.operation.model import Action, GroupId, HostName, OperationId, Presence, State
from lockstep.worker.operation.names import parse_group_id, parse_operation_id, show
from lockstep.worker.operation.waves import AT_ONCE, Pace
from lockstep.worker.plainyaml import parse_plain
from lockstep.worker.settings import Settings

if TYPE_CHECKING:
    from lockstep.producer.client.client import ClusterClient
    from lockstep.worker.kinds import Kind
    from lockstep.worker.operation.content import Id

CALLS = {Action.CREATE: "POST /v1/group/", Action.DELETE: "DELETE /v1/group/"}


@dataclass(frozen=True, slots=True)
class HostPlan:
    """What one host holds now, and what would be sent to it."""

    host: HostName
    holds: Presence | None
    """None if it gave no usable answer."""
    call: str | None
    """None when the host is as asked already, or when there is a problem."""
    problem: str | None
    """Why the operation would fail on this host."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What an operation would do on every host."""

    group: GroupId
    action: Action
    hosts: tuple[HostPlan, ...]
    paused: tuple[HostName, ...]
    """Hosts that are paused: it would be refused."""
    owner: OperationId | None
    """The operation that holds the group now: this one would wait for it."""

    @property
    def problems(self) -> tuple[HostPlan, ...]:
        """The hosts on which it would fail, or for which it would be refused."""
        return tuple(each for each in self.hosts if each.problem is not None)

    @property
    def as_asked(self) -> tuple[HostName, ...]:
        """The hosts that need no call."""
        return tuple(each.host for each in self.hosts if each.holds is self.action.target)


def plan(
    hosts: Sequence[Host],
    group: GroupId,
    action: Action,
    settings: Settings,
    owner: OperationId | None,
    pauses: Mapping[HostName, Pause],
) -> Plan:
    """Ask every host what it holds; a host that gives no usable answer becomes a problem, not an error."""

    def of(host: Host) -> HostPlan:
        answer, _ = probe(host, group, settings)
        held = answer.presence
        if host.name in pauses:
            return HostPlan(host.name, held, None, pauses[host.name].text)
        if held is None:
            return HostPlan(host.name, None, None, f"no usable answer: {answer.text}")
        if answer.probed is Probed.OVERSIZED and action is Action.DELETE:
            return HostPlan(host.name, held, None, "too large to be restored, so it would not be deleted")
        return HostPlan(host.name, held, None if held is action.target else CALLS[action], None)

    paused = tuple(host.name for host in hosts if host.name in pauses)
    return Plan(group, action, tuple(together(of, hosts)), paused, owner)


def require_answers(hosts: Sequence[Host], of: GroupId | tuple[Kind, Id], settings: Settings) -> None:
    """Raise NotReady, naming them, if any of the hosts gives no usable answer about a group or a thing."""

    def silence(host: Host) -> str | None:
        held, text, _ = presence(host, of, settings)
        return f"{host.name} ({text})" if held is None else None

    silent = [each for each in together(silence, hosts) if each is not None]
    if silent:
        raise NotReady(f"nothing was written, for the preflight got no usable answer from {named(silent)}")


SIDE_BY_SIDE = 8
"""Groups at the same time; each is sent to all of its hosts at once."""
LOOK_UP = 1.0
"""Seconds after which a wait looks whether the run was stopped."""
STOPS_WITHIN = 1.5
"""Seconds for which a stopped run waits for what is under way: a frozen Redis would keep it longer."""
RUN_LENGTH = 80
"""Characters of a run's id, which leaves room for the rest of its operations' ids."""
_WISHES = re.compile(r"^(present|absent)[ \t]*:", re.MULTILINE)
_COMMENT = re.compile(r"(^|\s)#.*")
"""Within a word # is a character that no group id may have, not the beginning of a comment."""
_ACTIONS = {"present": Action.CREATE, "absent": Action.DELETE}


@dataclass(frozen=True, slots=True)
class Wish:
    """One group, as it shall be."""

    action: Action
    group: GroupId


@dataclass(frozen=True, slots=True)
class WishResult:
    """What became of a wish."""

    wish: Wish
    operation: OperationId
    state: State | None
    """None if the operation could not be started, or is not known to have been."""
    reason: str | None


def parse_wishes(text: str) -> tuple[Wish, ...]:
    """Read group ids, one a line, or YAML with `present` and `absent`. Raises InvalidInput."""
    pairs = _from_yaml(text) if _WISHES.search(text) else _from_lines(text)
    wishes: dict[GroupId, Wish] = {}
    for action, value in pairs:
        group = parse_group_id(value)
        if wishes.setdefault(group, Wish(action, group)).action is not action:
            raise InvalidInput(f"group {show(group)} shall be both present and absent: choose one")
    if not wishes:
        raise InvalidInput("there are no groups: give ids, one a line, or lists `present:` and `absent:`")
    return tuple(wishes.values())


def parse_run(value: str) -> str:
    """Return a run's id; raise InvalidInput naming the rule it breaks."""
    if len(value) > RUN_LENGTH:
        raise InvalidInput(f"run {show(value)} is too long: at most {RUN_LENGTH} characters")
    return parse_operation_id(value)


def operation_id(run: str, wish: Wish, hosts: Sequence[HostName]) -> OperationId:
    """Return the id that a wish has in a run: the same for the same action, group and hosts."""
    kept = json.dumps([wish.action, wish.group, sorted(hosts)])
    return OperationId(f"{run}-{hashlib.sha256(kept.encode()).hexdigest()[:16]}")


def apply(
    client: ClusterClient,
    run: str,
    wishes: Sequence[Wish],
    hosts: Sequence[HostName],
    at_once: int = SIDE_BY_SIDE,
    pace: Pace = AT_ONCE,
) -> Generator[WishResult]:
    """Fulfil the wishes, so many at a time, and yield each as it is done; closing it starts no more.

    What a run of the same id has started is not started again: its outcome is told. Closing takes
    `STOPS_WITHIN` seconds at most; a request that is on its way to Redis then may still be accepted.
    """
    stopped = threading.Event()
    left = deque(wishes)
    told: SimpleQueue[WishResult | BaseException] = SimpleQueue()

    def fulfil(wish: Wish) -> WishResult | None:
        key = operation_id(run, wish, hosts)
        try:
            operation = client._start(wish.action, wish.group, hosts, key, stopped=stopped.is_set, pace=pace)
            while not stopped.is_set():
                try:
                    result = operation.wait(LOOK_UP)
                except WaitTimeout:
                    continue
                return WishResult(wish, key, result.state, result.reason)
        except LockstepError as error:
            return WishResult(wish, key, None, str(error))
        except RequestWithdrawn:
            pass
        return None

    def work() -> None:
        while not stopped.is_set() and left:
            try:
                wish = left.popleft()
            except IndexError:
                return  # another thread was faster
            try:
                if (came := fulfil(wish)) is not None:
                    told.put(came)
            except BaseException as error:  # noqa: BLE001 - whoever iterates gets it
                told.put(error)

    # No pool: a process would wait for its threads before it ends, however long Redis keeps them.
    threads = [threading.Thread(target=work, name=f"lockstep-{n}", daemon=True) for n in range(at_once)]
    try:
        for thread in threads[: len(wishes)]:
            thread.start()
        for _ in wishes:
            came = told.get()
            if isinstance(came, BaseException):
                raise came
            yield came
    finally:
        stopped.set()
        ends = time.monotonic() + STOPS_WITHIN
        for thread in threads[: len(wishes)]:
            if thread.is_alive():
                thread.join(max(0.0, ends - time.monotonic()))


def _from_lines(text: str) -> Iterator[tuple[Action, object]]:
    for line in text.splitlines():
        if group := _COMMENT.sub("", line).strip():
            yield Action.CREATE, group


def _from_yaml(text: str) -> Iterator[tuple[Action, object]]:
    document = parse_plain("the list of groups", text)
    if not isinstance(document, dict):
        raise InvalidInput("the groups are no mapping: give lists `present:` and `absent:`")
    for key, groups in document.items():
        if key not in _ACTIONS:
            raise InvalidInput(f"the groups have the unknown key {show(key)}; known: present, absent")
        if not isinstance(groups or [], list):
            raise InvalidInput(f"{key} is no list: give `- ` and a group id on each line")
        for group in groups or []:
            yield _ACTIONS[key], group
