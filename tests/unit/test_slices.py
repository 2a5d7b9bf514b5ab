"""A task that carries many hosts works on them side by side, and tells what each came to."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from lockstep.worker.celery import make_app
from lockstep.worker.celery.messages import cut
from lockstep.worker.operation.model import Action, HostName, Millis, OperationId
from lockstep.worker.operation.names import describe
from lockstep.worker.operation.transitions import View
from lockstep.worker.settings import Settings
from lockstep.worker.steps.apply import Next, StepResult
from lockstep.worker.steps.looks import AGAIN
from lockstep.worker.tasks.run import keep_longer_waits, summary, with_story

HOSTS = tuple(HostName(f"node{n}") for n in range(1, 9))


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["applied"], "applied"),
        (["applied"] * 3, "applied: 3"),
        (["unchanged", "applied", "applied"], "applied: 2 · unchanged: 1"),
        (["a", "a", "b", "b", "c", "c", "d", "e"], "a: 2 · b: 2 · c: 2 · other: 2"),
    ],
)
def test_a_summary_counts_what_the_hosts_came_to(texts: list[str], said: str) -> None:
    results = {HostName(f"node{n}"): StepResult(Next.DONE, text) for n, text in enumerate(texts)}
    assert summary(results) == said


@pytest.mark.parametrize(
    ("hosts_per_task", "hosts", "sizes"),
    [
        (None, 1, [1]),
        (None, 50, [1] * 50),
        (None, 51, [12, 13, 13, 13]),
        (None, 100, [14, 14, 14, 15, 14, 14, 15]),
        (None, 1000, [62, 63] * 8),
        (1, 1000, [1] * 1000),
        (5, 11, [3, 4, 4]),
        (64, 3, [3]),
    ],
)
def test_an_operation_is_cut_into_tasks_of_about_the_same_size(
    hosts_per_task: int | None, hosts: int, sizes: list[int]
) -> None:
    app = make_app(Settings(hosts_per_task=hosts_per_task))
    names = [HostName(f"node{n}") for n in range(hosts)]
    parts = cut(app, names)
    assert [len(part) for part in parts] == sizes
    assert [host for part in parts for host in part] == names


def test_ten_thousand_hosts_go_into_tasks_of_at_most_64() -> None:
    app = make_app(Settings())
    parts = cut(app, [HostName(f"node{n}") for n in range(10_000)])
    assert (len(parts), max(len(part) for part in parts)) == (157, 64)


def test_a_row_names_one_host_or_the_range_of_many() -> None:
    assert describe("7f3c", "team-a", "node3") == "team-a @ node3 · op 7f3c"
    assert describe("7f3c", "team-a", *HOSTS) == "team-a @ 8 hosts, node1 to node8 · op 7f3c"
    assert describe("7f3c", "team-a") == "team-a · op 7f3c"
    assert describe("7f3c", "team-a", "node3", at="wave 2") == "team-a @ node3 · wave 2 · op 7f3c"


def test_no_wait_is_longer_than_what_a_worker_takes_for_one_of_ours() -> None:
    settings = Settings()
    parts: Any = SimpleNamespace(longest_countdown=settings.backoff_cap, store=None)
    operation, host = OperationId("op-1"), HOSTS[0]
    gate = {host: StepResult(Next.AGAIN, "unwell", AGAIN + settings.backoff_cap)}
    assert keep_longer_waits(parts, operation, gate) == {host: settings.backoff_cap}


def test_hosts_that_wait_for_much_longer_than_the_others_are_left_to_the_record() -> None:
    kept: list[tuple[HostName, int]] = []
    store = SimpleNamespace(postpone=lambda _, host, wait: kept.append((host, wait)))
    parts: Any = SimpleNamespace(longest_countdown=8.0, store=store)
    waits = dict(zip(HOSTS, (1.0, 3.0, 3.1, 4.0, 60.0), strict=False))
    results = {host: StepResult(Next.AGAIN, "500", delay) for host, delay in waits.items()}
    done = {HOSTS[5]: StepResult(Next.DONE, "applied"), HOSTS[6]: StepResult(Next.LATER, "waits")}
    again = keep_longer_waits(parts, OperationId("op-1"), {**results, **done})
    assert again == {HOSTS[0]: 1.0, HOSTS[1]: 3.0}
    assert kept == [(HOSTS[2], 3100), (HOSTS[3], 4000), (HOSTS[4], 8000)]


def test_of_a_host_that_the_record_does_not_have_no_story_is_told() -> None:
    view = View(None, Millis(0), None, undo_needed=False, action=Action.CREATE, group=None)
    parts: Any = SimpleNamespace(store=SimpleNamespace(view=lambda *_: view))
    came = StepResult(Next.DONE, "201")
    assert with_story(parts, OperationId("op-1"), HOSTS[0], came) is came
