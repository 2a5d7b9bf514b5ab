"""A look of the gate as a worker makes it: what each answer of a host comes to."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from lockstep.worker.hosts.client import SystemClock
from lockstep.worker.operation.answer import LookAnswer, LookVerdict
from lockstep.worker.operation.content import Effect, WriteAnswer
from lockstep.worker.operation.host import Backoff, MaySend
from lockstep.worker.operation.model import Action, AttemptId, Decision, GroupId, HostName, Presence, Seen
from lockstep.worker.steps.apply import Next, StepContext
from lockstep.worker.steps.looks import gate
from tests.contract.bench import LIMITS, Longest, MemoryBench
from tests.contract.driver import PRESENT, A, Driver
from tests.contract.waves import CAREFUL, accepted, rollout
from tests.groups_alone import GroupsAlone

SHOWN = LookAnswer(LookVerdict.SEEN, "200", Seen(Presence.PRESENT, "{}"))
GONE = LookAnswer(LookVerdict.SEEN, "404", Seen(Presence.ABSENT))
SILENT = LookAnswer(LookVerdict.NO_INFORMATION, "503")
LARGE = LookAnswer(LookVerdict.OVERSIZED, "200, too large")


@dataclass
class Node(GroupsAlone):
    """A host that answers each look so."""

    answer: LookAnswer
    fingerprint: str = "url-of-a"
    wrong: str | None = None
    asked: str | None = None

    def look_at_group(self, group: GroupId) -> LookAnswer:
        return self.answer

    def unwell(self, path: str) -> str | None:
        self.asked = path
        return self.wrong

    def write(
        self, action: Action, group: GroupId, attempt: AttemptId, may_send: MaySend, body: str | None = None
    ) -> WriteAnswer:
        raise AssertionError("the gate writes nothing")


def looking(driver: Driver, node: Node) -> StepContext:
    none = Backoff(0.0, 0.0)
    return StepContext(driver.store, {A: node}.get, SystemClock(), LIMITS, none, none, 0.0, {A: node}.get)


@pytest.fixture
def canary(memory: MemoryBench) -> Driver:
    """A create whose first host is changed, and is to pass the gate."""
    return accepted(memory, CAREFUL).apply(A)


@pytest.mark.parametrize("answer", [SHOWN, LARGE])
def test_a_host_that_shows_the_group_passes(canary: Driver, answer: LookAnswer) -> None:
    assert gate(looking(canary, Node(answer)), canary.id, A, 1).next is Next.DONE
    assert rollout(canary).wave == 2


def test_a_host_that_shows_it_no_more_fails_at_once(canary: Driver) -> None:
    assert gate(looking(canary, Node(GONE)), canary.id, A, 1).next is Next.FAILED
    assert canary.kept().decision is Decision.ROLL_BACK


def test_a_host_without_an_answer_is_asked_again_a_second_later(canary: Driver) -> None:
    said = gate(looking(canary, Node(SILENT)), canary.id, A, 1)
    assert (said.next, said.delay >= 1) == (Next.AGAIN, True)
    assert canary.kept().decision is None


def test_the_delay_of_a_try_comes_on_top_of_that_second(canary: Driver) -> None:
    asked = replace(looking(canary, Node(SILENT)), clock=Longest(), forward_backoff=Backoff(2.0, 16.0))
    assert [gate(asked, canary.id, A, tries).delay for tries in (1, 3)] == [3.0, 9.0]


def test_a_host_that_may_not_show_its_write_yet_is_neither_passed_nor_failed(memory: MemoryBench) -> None:
    driver = accepted(memory, CAREFUL)
    driver.begin(A, "a1")
    driver.finish(A, "a1", Effect.UNSHOWN)
    assert gate(looking(driver, Node(GONE)), driver.id, A, 1).next is Next.AGAIN
    assert (driver.kept().decision, rollout(driver).wave) == (None, 1)
    assert gate(looking(driver, Node(SHOWN)), driver.id, A, 2).next is Next.DONE
    assert rollout(driver).wave == 2


def test_a_worker_that_does_not_know_the_host_counts_nothing(canary: Driver) -> None:
    for node in (Node(GONE, "another"), Node(SILENT, "another")):
        for tries in range(4):
            assert gate(looking(canary, node), canary.id, A, tries).next is Next.AGAIN
    assert canary.kept().decision is None


def test_a_host_that_is_no_part_of_the_operation_is_not_looked_at(canary: Driver) -> None:
    node = Node(GONE)
    context = replace(looking(canary, node), host=lambda _: node)
    assert gate(context, canary.id, HostName("stranger"), 1).next is Next.OVER
    assert canary.kept().decision is None


def test_a_look_after_the_round_is_over_is_ignored(canary: Driver) -> None:
    context = looking(canary, Node(SHOWN))
    gate(context, canary.id, A, 1)
    late = gate(replace(context, host={A: Node(GONE)}.get), canary.id, A, 1)
    assert (late.next, late.outcome) == (Next.DONE, "ignored")
    assert canary.kept().decision is None


def test_a_host_that_was_changed_must_answer_at_its_health_path_too(memory: MemoryBench) -> None:
    driver = accepted(memory, replace(CAREFUL, health={A: "/health"})).apply(A)
    node = Node(SHOWN, wrong="503")
    for look in range(3):
        assert driver.kept().decision is None, f"look {look}"
        gate(looking(driver, node), driver.id, A, 1)
        memory.pass_time(1000)
    assert (node.asked, driver.kept().decision) == ("/health", Decision.ROLL_BACK)
    assert driver.kept().reason == "a failed at the gate (GET /health 503)"


def test_a_host_that_was_as_asked_before_is_not_asked_for_its_health(memory: MemoryBench) -> None:
    driver = accepted(memory, replace(CAREFUL, health={A: "/health"}))
    driver.begin(A, "a1", PRESENT)
    node = Node(SHOWN, wrong="503")
    assert gate(looking(driver, node), driver.id, A, 1).next is Next.DONE
    assert node.asked is None
