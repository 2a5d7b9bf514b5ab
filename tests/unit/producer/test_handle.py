"""What a handle makes of what its link reads: no Redis is asked here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from lockstep.producer.client import operation as module
from lockstep.producer.client.operation import Operation, WaitState
from lockstep.worker.operation.errors import (
    CancelRefused,
    HoldRefused,
    StoreUnavailable,
    UnknownOperation,
    WaitTimeout,
)
from lockstep.worker.operation.model import (
    Hold,
    HostName,
    Millis,
    OperationId,
    RolloutState,
    Stage,
    State,
    Status,
    Step,
)
from lockstep.worker.operation.transitions import HoldAnswer, Refusal
from lockstep.worker.record.events import Snapshot
from tests.unit.producer.samples import OPERATION

NEWER = replace(OPERATION, hosts_done=1)
ENDED = replace(OPERATION, state=State.COMMITTED, ended=True)
STEPS = (Step(HostName("node1")),)
HOLD = Hold(2, "bob", "it is slow", Millis(0), Millis(1))


def handle(of: Status = OPERATION, verb: str = "create", **store: Any) -> Any:
    """One whose store says this, and whose broker notes for whom it is to send what comes next."""
    sent: list[OperationId] = []
    broker = SimpleNamespace(next=lambda store, operation, group: sent.append(operation), sent=sent)
    named = {"operation": lambda _: of, **store}
    link = SimpleNamespace(
        store=SimpleNamespace(**named),
        gone=lambda *told: UnknownOperation(f"lost {told}"),
        waiting=SimpleNamespace(steps=lambda _: STEPS),
    )
    return Operation(cast(Any, link), cast(Any, broker), of, verb, "alice@desk", existing=True)


def test_who_waits_is_told_what_is_new_and_of_a_silence_once() -> None:
    told: list[Status | None] = []
    asked: list[Status] = []

    def done(status: Status) -> bool:
        asked.append(status)
        return status.ended

    waiting = WaitState(done, told.append)
    seen = [None, OPERATION, OPERATION, None, None, OPERATION, NEWER, ENDED]
    over = [waiting.is_over(each) for each in seen]
    assert told == [None, OPERATION, None, OPERATION, NEWER, ENDED]
    assert over == [False] * 7 + [True]
    assert asked == [each for each in seen if each is not None]
    waiting.is_over(None)
    assert (waiting.silent, waiting.last) == (True, ENDED)
    assert WaitState(done, None).is_over(ENDED)


def test_a_handle_tells_a_record_that_was_dropped_from_one_that_was_lost() -> None:
    made = handle()
    made._link.store.operation = lambda _: None
    assert not made.published
    with pytest.raises(UnknownOperation, match=r"^lost .'7f3c', 'team-a'"):
        made.status()
    ended = handle(ENDED)
    ended.status()
    ended._link.store.operation = lambda _: None
    with pytest.raises(UnknownOperation, match='"7f3c" is unknown: no operation has it'):
        ended.status()


def test_hosts_that_the_record_has_not_are_those_of_a_record_that_is_gone() -> None:
    assert handle(steps=lambda _: STEPS).steps() == STEPS
    with pytest.raises(UnknownOperation, match=r"^lost"):
        handle(steps=lambda _: ()).steps()


def following(monkeypatch: pytest.MonkeyPatch, seen: list[Snapshot]) -> list[tuple[Any, ...]]:
    """Have this seen of any operation; return where it is noted what was asked."""
    asked: list[tuple[Any, ...]] = []

    def follow(link: object, *given: object, **more: object) -> Iterator[Snapshot]:
        asked.append((*given, more))
        yield from seen

    async def follow_async(link: object, *given: object, **more: object) -> AsyncIterator[Snapshot]:
        for each in follow(link, *given, **more):
            yield each

    monkeypatch.setattr(module, "follow", follow)
    monkeypatch.setattr(module, "follow_async", follow_async)
    return asked


SILENT = Snapshot()
SEEN = [Snapshot(each) for each in (None, OPERATION, OPERATION, None, NEWER, ENDED, NEWER)]


def test_a_watch_tells_each_change_until_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    following(monkeypatch, SEEN)
    assert list(handle().watch()) == [OPERATION, NEWER, ENDED]

    async def all_of() -> list[Status]:
        return [each async for each in handle()]

    assert asyncio.run(all_of()) == [OPERATION, NEWER, ENDED]


def test_a_watch_of_hosts_keeps_what_was_read_last_through_a_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    following(monkeypatch, [SILENT, Snapshot(OPERATION, STEPS), SILENT, Snapshot(ENDED), Snapshot(NEWER)])
    assert list(handle().watch_hosts()) == [
        (None, (), None),
        (OPERATION, STEPS, OPERATION),
        (None, STEPS, OPERATION),
        (ENDED, STEPS, ENDED),
    ]


def test_each_change_is_read_for_those_alone_who_hear_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = following(monkeypatch, [SILENT, Snapshot(OPERATION), Snapshot(ENDED)])
    for hears in (None, lambda _: None):
        assert handle().wait(5, hears).state is State.COMMITTED
        made = handle()
        made._link.off_loop = off_loop
        result = asyncio.run(made.wait_end_async(5, hears))
        assert (result.state, result.hosts[0].host) == (State.COMMITTED, "node1")
    assert [each for _, _, each, _ in asked] == [False, False, True, True]


async def off_loop(call: Any) -> Any:
    return call()


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        ([], "was accepted after 5 s: it goes on"),
        ([SILENT], "was accepted after 5 s, and Redis does not answer: it goes on"),
        ([Snapshot(OPERATION)], "is applying after 5 s: it goes on"),
        ([Snapshot(OPERATION), SILENT], "is applying after 5 s, and Redis does not answer: it goes on"),
    ],
)
def test_who_waits_in_vain_is_told_what_was_seen_last(
    monkeypatch: pytest.MonkeyPatch, seen: list[Snapshot], said: str
) -> None:
    following(monkeypatch, seen)
    with pytest.raises(WaitTimeout) as late:
        handle().wait(5)
    assert str(late.value) == f'operation "7f3c" {said}; ask again later'


def test_a_result_is_of_the_hosts_seen_with_it_or_read_after_it() -> None:
    made, other = handle(), (Step(HostName("node2")),)

    def host_of(steps: tuple[Step, ...]) -> str | None:
        result = made._result(Snapshot(ENDED, steps))
        return result.hosts[0].host if result else None

    assert (host_of(other), host_of(())) == ("node2", "node1")
    assert made._result(Snapshot(None, other)) is None
    made._link.waiting.steps = lambda _: ()
    assert host_of(()) is None

    def silent(_: OperationId) -> tuple[Step, ...]:
        raise StoreUnavailable("Redis does not answer")

    made._link.waiting.steps = silent
    assert host_of(()) is None


@pytest.mark.parametrize(
    ("group", "undo"), [("team-a", "delete the group instead"), ("vhost/a", "set or delete it instead")]
)
def test_who_cancels_what_is_committed_is_told_how_to_undo_it(group: str, undo: str) -> None:
    made = handle(replace(ENDED, group=cast(Any, group)), cancel=lambda *_: Refusal.COMMITTED)
    with pytest.raises(CancelRefused, match=f"cannot be cancelled: it is committed; {undo}$"):
        made.cancel()


def test_what_is_cancelled_is_rolled_back_at_once_and_the_record_says_by_whom() -> None:
    told: list[tuple[str, str]] = []
    made = handle(cancel=lambda *given: told.append(given))
    made.cancel()
    made.cancel("no need")
    assert told == [("7f3c", "alice@desk"), ("7f3c", "alice@desk: no need")]
    assert made._broker.sent == ["7f3c"] * 2


@pytest.mark.parametrize(
    ("hold", "number", "said", "asked", "comes"),
    [
        (HOLD, None, None, 2, HOLD),
        (HOLD, 2, None, 2, HOLD),
        (replace(HOLD, number=1), None, None, 1, replace(HOLD, number=1)),
        (HOLD, 7, Refusal.ALREADY, 7, None),
        (HOLD, 7, Refusal.OTHER, 7, "hold 2 is on it, by bob since "),
        (None, 1, Refusal.ALREADY, 1, None),
        (None, None, None, 0, "nobody holds it"),
        (None, None, Refusal.ALREADY, 0, "nobody holds it"),
        (None, 3, Refusal.UNKNOWN, 3, UnknownOperation),
    ],
)
def test_a_promote_releases_the_hold_of_its_number_or_the_one_that_is_seen(
    hold: Hold | None, number: int | None, said: Refusal | None, asked: int, comes: object
) -> None:
    numbers: list[int] = []

    def promote(_: OperationId, seen: int, by: str) -> Refusal | None:
        numbers.append(seen)
        return said

    rollout = RolloutState(1, 2, Stage.WORKING, hold, None, None)
    made = handle(replace(OPERATION, rollout=rollout), promote=promote)
    if isinstance(comes, Hold | None):
        assert made.promote(number=number) == comes
    else:
        kind, told = (HoldRefused, comes) if isinstance(comes, str) else (UnknownOperation, "lost")
        with pytest.raises(kind, match=str(told)):
            made.promote(number=number)
    assert numbers == [asked]
    assert made._broker.sent == (["7f3c"] if isinstance(comes, Hold | None) else [])


@pytest.mark.parametrize(
    ("said", "refused"),
    [(HoldAnswer(1, 1, Stage.WORKING), None), (Refusal.NO_WAVES, "it has no waves; cancel it instead")],
)
def test_a_hold_tells_where_it_stands_or_why_it_is_refused(said: object, refused: str | None) -> None:
    made = handle(hold=lambda *_: said)
    if refused is None:
        assert made.hold("it is slow") is said
    else:
        with pytest.raises(HoldRefused, match=f"cannot be held: {refused}"):
            made.hold("it is slow")


def test_an_operation_without_waves_has_no_hold_to_release() -> None:
    made = handle(promote=lambda *_: Refusal.NO_WAVES)
    with pytest.raises(HoldRefused, match="cannot be promoted: "):
        made.promote()
