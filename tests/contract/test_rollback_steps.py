"""What a run of a step comes to after the decision, by what its host shows and says."""

from __future__ import annotations

import pytest

from lockstep.worker.operation.answer import LookAnswer, LookVerdict
from lockstep.worker.operation.content import Effect, WriteAnswer
from lockstep.worker.operation.errors import ReasonKind
from lockstep.worker.operation.host import MaySend
from lockstep.worker.operation.model import Action, AttemptId, GroupId, OperationId, Presence, Seen
from lockstep.worker.steps.apply import ELSEWHERE, NO_RECORD, NOT_IN_INVENTORY, Next, StepResult, effect_of
from lockstep.worker.steps.rollback import NOTHING_TO_UNDO, RESTORED, SETTLED, raised_later, rollback, settle
from tests.contract.bench import LIMITS, MemoryBench, context
from tests.contract.driver import GROUP, PRESENT, A, B, C, Driver
from tests.groups_alone import GroupsAlone

APPLIED, CONTESTED = WriteAnswer(Effect.APPLIED, "201"), WriteAnswer(Effect.CONTESTED, "409")
LATE = WriteAnswer(Effect.APPLIED, "201", shows_after=5.0)


class Host(GroupsAlone):
    """Shows one thing after the other, the last for ever, and says of each write what it is told to."""

    fingerprint = "url-of-a"

    def __init__(self, *shown: Presence | None, says: tuple[WriteAnswer, ...] = (APPLIED,)) -> None:
        self.shown, self.says = list(shown), list(says)
        self.writes: list[tuple[Action, str | None]] = []

    def unwell(self, path: str) -> str | None:
        return None

    def look_at_group(self, group: GroupId) -> LookAnswer:
        shown = self.shown.pop(0) if len(self.shown) > 1 else self.shown[0]
        if shown is None:
            return LookAnswer(LookVerdict.NO_INFORMATION, "503")
        return LookAnswer(LookVerdict.SEEN, "seen", Seen(shown))

    def write(
        self, action: Action, group: GroupId, attempt: AttemptId, may_send: MaySend, body: str | None = None
    ) -> WriteAnswer:
        self.writes.append((action, body))
        return self.says.pop(0) if len(self.says) > 1 else self.says[0]


class Stranger(Host):
    fingerprint = "another url"


def undone(
    memory: MemoryBench, host: Host | None, action: Action = Action.CREATE
) -> tuple[StepResult, Driver]:
    """Run the undo of A, which one write has changed."""
    driver = Driver(memory, action=action).accepted().undoing(A)
    return rollback(context(memory, host), driver.id, A, 1), driver


P, Q = Presence.PRESENT, Presence.ABSENT


@pytest.mark.parametrize(
    ("host", "text"),
    [
        (None, NOT_IN_INVENTORY),
        (Stranger(P), ELSEWHERE),
        (Host(None), "GET 503"),
        (
            Host(P, says=(WriteAnswer(Effect.APPLIED, "200", shows_after=5.0),)),
            "delete applied, and may not show yet",
        ),
        (Host(P, says=(WriteAnswer(Effect.REFUSED, "403"),)), "delete refused (403)"),
        (Host(P, says=(WriteAnswer(Effect.NOT_APPLIED, "503"),)), "delete not applied (503)"),
        (Host(P, says=(WriteAnswer(Effect.UNKNOWN, "500"),)), "delete unknown (500)"),
        (Host(P, says=(WriteAnswer(Effect.MISDIRECTED, "421"),)), "delete unknown (421)"),
        (Host(P, says=(CONTESTED,)), "delete refused (409)"),
        (Host(P, None, says=(CONTESTED,)), "delete not applied (409)"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_a_try_that_brought_nothing_says_why_and_is_counted(
    memory: MemoryBench, host: Host | None, text: str
) -> None:
    result, driver = undone(memory, host)
    assert (result.next, result.text, result.delay) == (Next.AGAIN, text, 1.0)
    assert (driver.step(A).undo_misses, driver.step(A).due_at) == (1, None)
    assert len(host.writes if host else ()) == (text.startswith("delete"))


def test_after_each_try_that_brought_nothing_the_delay_is_twice_as_long(memory: MemoryBench) -> None:
    driver, asked = Driver(memory).accepted().undoing(A), context(memory, Host(None))
    assert [rollback(asked, driver.id, A, 1).delay for _ in range(3)] == [1.0, 2.0, 4.0]


def test_what_is_there_no_more_is_restored_by_a_look(memory: MemoryBench) -> None:
    for host in (Host(Q), Host(P, Q)):
        result, _ = undone(memory, host)
        assert result == RESTORED
        assert rollback(context(memory, None), OperationId("one"), A, 1) == RESTORED, "whoever asks later"
        memory = MemoryBench()


@pytest.mark.parametrize(("unreadable", "why"), [(True, ReasonKind.UNREADABLE), (False, None)])
def test_an_answer_that_cannot_be_read_is_told_apart(
    memory: MemoryBench, unreadable: bool, why: ReasonKind | None
) -> None:
    _, driver = undone(memory, Host(P, says=(WriteAnswer(Effect.UNKNOWN, "200", unreadable=unreadable),)))
    assert driver.step(A).why is why


def test_a_group_that_was_deleted_is_brought_back_as_it_was(memory: MemoryBench) -> None:
    result, driver = undone(memory, host := Host(Q, P), Action.DELETE)
    assert (result, host.writes) == (RESTORED, [(Action.CREATE, PRESENT.body)])
    assert driver.step(A).lost_fields == ()


def test_a_group_is_restored_bare_where_the_host_will_not_take_its_fields_back(memory: MemoryBench) -> None:
    host = Host(Q, Q, P, says=(CONTESTED, APPLIED))
    result, driver = undone(memory, host, Action.DELETE)
    assert (result, host.writes) == (RESTORED, [(Action.CREATE, PRESENT.body), (Action.CREATE, None)])
    assert driver.step(A).lost_fields == ("colour",)


def test_a_group_is_not_restored_bare_while_a_write_of_ours_may_contest_it(memory: MemoryBench) -> None:
    driver = Driver(memory, action=Action.DELETE).accepted()
    for attempt in ("a1", "a2"):
        driver.begin(A, attempt)
    driver.roll_back()
    result = rollback(context(memory, host := Host(Q, says=(CONTESTED,))), driver.id, A, 1)
    assert (result.text, len(host.writes)) == ("create refused (409)", 1)


def test_where_nothing_is_to_be_undone_no_host_is_asked(memory: MemoryBench) -> None:
    driver = Driver(memory).accepted()
    asked = context(memory, None)
    assert rollback(asked, driver.id, A, 1) == NOTHING_TO_UNDO
    assert settle(asked, driver.id, A, 1) == SETTLED
    driver.undoing(A)
    assert rollback(asked, driver.id, B, 1) == NOTHING_TO_UNDO
    assert settle(asked, driver.id, A, 1) == SETTLED, "nothing is open there"
    assert (rollback(asked, driver.id, C, 1), settle(asked, driver.id, C, 1)) == (NOTHING_TO_UNDO, SETTLED)
    for run in (rollback, settle):
        assert run(asked, OperationId("unknown"), A, 1) == StepResult(Next.OVER, NO_RECORD)


def test_what_is_open_after_the_decision_is_settled_by_two_looks(memory: MemoryBench) -> None:
    driver = Driver(memory).accepted()
    driver.begin(A, "a1")
    driver.begin(A, "a2", PRESENT)
    driver.apply(B).commit()
    asked = context(memory, Host(P))
    for wait in (LIMITS.send_within + LIMITS.call, LIMITS.settle):
        assert settle(asked, driver.id, A, 9).next is Next.LATER
        assert driver.step(A).due_at == memory.now() + wait
        memory.pass_time(wait)
    assert settle(asked, driver.id, A, 9) == SETTLED
    assert driver.kept().ended


def test_an_undo_waits_for_what_may_still_land_and_counts_no_try(memory: MemoryBench) -> None:
    driver = Driver(memory).accepted()
    driver.begin(A, "a1")
    driver.roll_back()
    asked = context(memory, host := Host(Q))
    for wait in (LIMITS.send_within + LIMITS.call, LIMITS.settle):
        assert rollback(asked, driver.id, A, 9).next is Next.LATER
        assert driver.step(A).due_at == memory.now() + wait
        memory.pass_time(wait)
    assert rollback(asked, driver.id, A, 9) == RESTORED, "by one look more, at once"
    assert (driver.step(A).undo_misses, host.writes) == (0, [])


def test_a_look_that_settles_nothing_is_counted_as_well(memory: MemoryBench) -> None:
    driver = Driver(memory).accepted()
    driver.begin(A, "a1")
    driver.roll_back()
    assert settle(context(memory, Host(None)), driver.id, A, 1).text == "GET 503"
    assert driver.step(A).undo_misses == 1


@pytest.mark.parametrize("counted", [True, False])
def test_a_step_that_raised_waits_as_long_as_any(memory: MemoryBench, counted: bool) -> None:
    driver = Driver(memory).accepted().undoing(A)
    assert raised_later(context(memory, None), driver.id, A, "why", counted=counted).next is Next.LATER
    assert driver.step(A).due_at == memory.now() + 60_000
    assert driver.step(A).undo_misses == counted


@pytest.mark.parametrize(
    ("said", "shown", "effect"),
    [
        (APPLIED, None, Effect.APPLIED),
        (LATE, None, Effect.UNSHOWN),
        (WriteAnswer(Effect.REFUSED, "403"), P, Effect.REFUSED),
        (CONTESTED, None, Effect.NOT_APPLIED),
        (CONTESTED, P, Effect.ALREADY),
        (CONTESTED, Q, Effect.CONTESTED),
    ],
)
def test_what_came_of_a_write(said: WriteAnswer, shown: Presence | None, effect: Effect) -> None:
    assert effect_of(Host(shown), GROUP, Action.to(P), said) is effect
