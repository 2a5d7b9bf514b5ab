"""The handle of an operation: read it, wait for it, watch it, cancel it, hold it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import aclosing, closing, contextmanager
from functools import partial

from lockstep.producer.client.acceptance import Broker
from lockstep.worker.operation.errors import (
    AbandonRefused,
    CancelRefused,
    HoldRefused,
    InvalidInput,
    RecordGone,
    StoreUnavailable,
    UnknownOperation,
    WaitTimeout,
)
from lockstep.worker.operation.model import Hold, HostName, Status, Step
from lockstep.worker.operation.names import named, parse_note, parse_timeout, show
from lockstep.worker.operation.story import Result, answered, not_held, result_of
from lockstep.worker.operation.transitions import HoldAnswer, Refusal, Request
from lockstep.worker.record.damage import unknown
from lockstep.worker.record.events import Changes, Snapshot, follow, follow_async
from lockstep.worker.record.link import Link

OnChange = Callable[[Status | None], None]
"""Called with every change while waiting, and with None when Redis stops answering."""
Done = Callable[[Status], bool]
Reading = tuple[Status | None, tuple[Step, ...], Status | None]
"""An operation, None while Redis does not answer; its hosts, and what it was, as they were read last."""


class WaitState:
    def __init__(self, done: Done, on_change: OnChange | None) -> None:
        self._done = done
        self._on_change = on_change
        self.last: Status | None = None
        self.silent = False

    def is_over(self, status: Status | None) -> bool:
        """Tell the caller what is new; return True if this is what it waits for."""
        new = not self.silent if status is None else self.silent or status != self.last
        if new and self._on_change is not None:
            self._on_change(status)
        self.silent = status is None
        self.last = status or self.last
        return status is not None and self._done(status)


class Operation:
    """One operation, known by its id. Safe to share between threads; holds nothing but its client's link.

    >>> operation = cluster.create_group("team-a")
    >>> operation.wait(timeout=30).state
    <State.COMMITTED: 'committed'>
    >>> [status.state.value for status in operation.watch()]
    ['committed']

    In asyncio: `result = await operation`, `async for status in operation.watch()`.

    What reads or writes the record raises StoreUnavailable while Redis does not answer, and RecordGone if it
    has lost the record; waiting and watching go on through a loss of Redis.
    """

    def __init__(
        self, link: Link, broker: Broker, of: Status | Request, verb: str, asks: str, existing: bool
    ) -> None:
        self._link = link
        self._broker = broker
        self._created_by = asks
        self.id, self.group = of.id, of.group
        self.action, self.verb = of.action, verb
        self.existing = existing
        """True when the operation had been accepted before it was asked for."""
        self.published = False
        """True when this call sent its tasks; otherwise an earlier call did, or the sweep does."""
        self._ended = False
        """It was seen to have ended: whatever becomes of its record, nothing of it is left to be done."""

    def __repr__(self) -> str:
        return f"<Operation {self.id}: {self.verb} {self.group}>"

    def status(self) -> Status:
        """Read the operation as it stands.

        Once it was seen to have ended, and its record was dropped with age, raises UnknownOperation.
        """
        found = self._link.store.operation(self.id)
        if found is None:
            raise self._gone()
        self._ended = found.ended
        return found

    def steps(self) -> tuple[Step, ...]:
        """Read what became of each host so far."""
        found = self._link.store.steps(self.id)
        if not found:
            raise self._gone()
        return found

    def wait(self, timeout: float | None = None, on_change: OnChange | None = None) -> Result:
        """Wait until the caller can be answered, and say what the operation came to.

        That is: it is committed (even if it is still settling), rolled back or abandoned; or it is rolling
        back and every host that answers is restored (`state` is then `rolling_back`, see `pending_hosts`).
        Raises WaitTimeout after `timeout` seconds; the operation goes on.
        """
        return self._wait(answered, timeout, on_change)

    def wait_end(self, timeout: float | None = None, on_change: OnChange | None = None) -> Result:
        """Wait as `wait` does, but until the group's lock is released: another operation can follow."""
        return self._wait(lambda status: status.ended, timeout, on_change)

    def watch(self) -> Changes:
        """Iterate over the operation as it stands and then after each change, until its lock is released.

        With `for`, or with `async for`, which does not block the event loop. Changes within some 50 ms are
        told as one.
        """
        return Changes(self._watch, self.watch_async)

    def _watch(self) -> Iterator[Status]:
        last: Status | None = None
        with self._recorded(), closing(follow(self._link, self.id, parse_timeout(None))) as changes:
            for status, _ in changes:
                if status is not None and status != last:
                    last = status
                    yield status
                    if status.ended:
                        return

    def watch_hosts(self) -> Iterator[Reading]:
        """Yield the operation with its hosts about once a second, and after every event, until its end."""
        steps: tuple[Step, ...] = ()
        known: Status | None = None
        every = follow(self._link, self.id, parse_timeout(None), hosts="always")
        with self._recorded(), closing(every) as changes:
            for status, found in changes:
                steps, known = found or steps, status or known
                yield status, steps, known
                if status is not None and status.ended:
                    return

    def cancel(self, reason: str | None = None) -> None:
        """Have it rolled back; who and why is kept in the record. Raises CancelRefused once it is decided."""
        match self._link.store.cancel(self.id, self._by(reason)):
            case Refusal.UNKNOWN:
                raise self._gone()
            case Refusal.COMMITTED:
                undo = "set or delete it" if "/" in self.group else f"{self.action.inverse} the group"
                why = f"it is committed; {undo} instead"
                raise CancelRefused(f'operation "{self.id}" cannot be cancelled: {why}')
            case Refusal.ROLLING_BACK:
                state = self.status().state.replace("_", " ")
                raise CancelRefused(f'operation "{self.id}" cannot be cancelled: it is {state} already')
        self._broker.next(self._link.store, self.id, self.group)

    def hold(self, reason: str) -> HoldAnswer:
        """Let the wave at work end, and keep the next, or the commit, from coming; return where it stands.

        Only `promote` releases it; after 7 days it is rolled back. Raises HoldRefused once it is decided or
        if it has no waves.
        """
        said = self._link.store.hold(self.id, self._created_by, parse_note("reason", reason))
        if isinstance(said, Refusal):
            raise self._not_held(said, "held")
        return said

    def promote(self, reason: str | None = None, number: int | None = None) -> Hold | None:
        """Release the hold of this number, or that is on it now; return it, None if it was released already.

        `status().rollout.hold.number` tells it: with it a promote that is asked again releases no newer hold.
        Who promoted it, when, and why is kept in the record. Neither a bake nor the gate is left out.
        Raises HoldRefused if nobody holds it, if somebody puts a newer hold on it at this moment, or once it
        is decided.
        """
        by, status = self._by(reason), self.status()
        hold = status.rollout.hold if status.rollout else None
        seen = number or (hold.number if hold else 0)
        said = self._link.store.promote(self.id, seen, by)
        if seen == 0 or said not in (None, Refusal.ALREADY):
            raise self._not_held(said or Refusal.FREE, "promoted")
        self._broker.next(self._link.store, self.id, self.group)
        return hold if said is None else None

    def _by(self, reason: str | None) -> str:
        return self._created_by + ("" if reason is None else f": {parse_note('reason', reason)}")

    def _not_held(self, said: Refusal, what: str) -> HoldRefused | RecordGone | UnknownOperation:
        if said is Refusal.UNKNOWN:
            return self._gone()
        why = not_held(said, self.status().rollout)
        return HoldRefused(f'operation "{self.id}" cannot be {what}: {why}')

    def abandon(self, host: str, reason: str) -> None:
        """Give up on a host that is still to be restored or settled; who did so, and why, is recorded.

        The host keeps whatever it holds. Raises InvalidInput for a host that is no part of the operation, and
        AbandonRefused if nothing of it is pending there.
        """
        match self._link.store.abandon(self.id, HostName(host), self._by(reason)):
            case None:
                return
            case Refusal.UNKNOWN:
                names = named([step.host for step in self.steps()])
                raise InvalidInput(f'host {show(host)} is no part of operation "{self.id}": {names} are')
            case Refusal.UNDECIDED:
                why = "it is not decided yet; cancel it to have it rolled back"
            case _:
                why = "nothing is left to restore or to settle there"
        raise AbandonRefused(f'host {show(host)} cannot be abandoned in operation "{self.id}": {why}')

    def __await__(self) -> Generator[object, None, Result]:
        """Wait as `wait` does, without blocking the event loop."""
        return self.wait_async().__await__()

    def __aiter__(self) -> AsyncIterator[Status]:
        """Watch as `watch` does, without blocking the event loop."""
        return self.watch_async()

    async def wait_async(self, timeout: float | None = None, on_change: OnChange | None = None) -> Result:
        """Wait as `wait` does, without blocking the event loop."""
        return await self._wait_async(answered, timeout, on_change)

    async def wait_end_async(self, timeout: float | None = None, on_change: OnChange | None = None) -> Result:
        """Wait as `wait_end` does, without blocking the event loop."""
        return await self._wait_async(lambda status: status.ended, timeout, on_change)

    async def watch_async(self) -> AsyncIterator[Status]:
        """Watch as `watch` does, without blocking the event loop."""
        last: Status | None = None
        try:
            async with aclosing(follow_async(self._link, self.id, parse_timeout(None))) as changes:
                async for status, _ in changes:
                    if status is not None and status != last:
                        last = status
                        yield status
                        if status.ended:
                            return
        except UnknownOperation as error:
            raise await self._link.off_loop(self._gone) from error

    def _wait(self, done: Done, timeout: float | None, on_change: OnChange | None) -> Result:
        waiting = WaitState(done, on_change)
        ends, each = parse_timeout(timeout), on_change is not None
        found = follow(self._link, self.id, ends, each, hosts="once decided")
        with self._recorded(), closing(found) as changes:
            for seen in changes:
                if waiting.is_over(seen.operation) and (result := self._result(seen)):
                    return result
        raise self._too_late(timeout, waiting)

    async def _wait_async(self, done: Done, timeout: float | None, on_change: OnChange | None) -> Result:
        waiting = WaitState(done, on_change)
        try:
            ends, each = parse_timeout(timeout), on_change is not None
            found = follow_async(self._link, self.id, ends, each, hosts="once decided")
            async with aclosing(found) as changes:
                async for seen in changes:
                    if not waiting.is_over(seen.operation):
                        continue
                    if result := await self._link.off_loop(partial(self._result, seen)):
                        return result
        except UnknownOperation as error:
            raise await self._link.off_loop(self._gone) from error
        raise self._too_late(timeout, waiting)

    def _result(self, seen: Snapshot) -> Result | None:
        """Read the steps; None if Redis, or the record, is lost at this moment, so that the wait goes on."""
        try:
            steps = seen.steps or self._link.waiting.steps(self.id)
        except StoreUnavailable:
            return None
        return result_of(seen.operation, steps) if seen.operation and steps else None

    @contextmanager
    def _recorded(self) -> Iterator[None]:
        """Tell that a record is gone from the one that never was: this handle was made from it."""
        try:
            yield
        except UnknownOperation as error:
            raise self._gone() from error

    def _gone(self) -> RecordGone | UnknownOperation:
        return unknown(self.id) if self._ended else self._link.gone(self.id, self.group, self.action)

    def _too_late(self, timeout: float | None, waiting: WaitState) -> WaitTimeout:
        state = f"is {waiting.last.state}" if waiting.last else "was accepted"
        silence = ", and Redis does not answer" if waiting.silent else ""
        text = f'operation "{self.id}" {state} after {timeout:g} s{silence}'
        return WaitTimeout(f"{text}: it goes on; ask again later")
