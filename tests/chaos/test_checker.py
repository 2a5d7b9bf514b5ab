"""The checker sees what it is to see: a run that breaks one rule, for every rule."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lockstep.worker.operation.model import (
    Action,
    Decision,
    Millis,
    Moment,
    OperationId,
    Presence,
    RolloutState,
    Stage,
)
from tests.chaos import journal
from tests.chaos.evidence import raised
from tests.chaos.histories import Call, content_of
from tests.chaos.lanes import Event
from tests.chaos.orders import LIMITED, Order
from tests.chaos.scene import GROUP, HOSTS, Scene
from tests.chaos.watcher import Sample

A, B = HOSTS
CREATE, DELETE = Action.CREATE, Action.DELETE
COMMIT, ROLL_BACK = Decision.COMMIT, Decision.ROLL_BACK
PRESENT, ABSENT = Presence.PRESENT, Presence.ABSENT


def created() -> Scene:
    """A create of both hosts, committed."""
    scene = Scene()
    key = scene.operation(CREATE, COMMIT)
    for host in HOSTS:
        scene.effect(key, host, 1.1, PRESENT)
    return scene


def wrong(scene: Scene) -> str:
    """Return the one thing that the checker found."""
    found = scene.judge().violations
    assert len(found) == 1, found
    return found[0]


def test_a_run_without_a_fault_is_content() -> None:
    scene = created()
    key = scene.operation(DELETE, ROLL_BACK)
    scene.effect(key, A, 2.1, ABSENT)
    scene.effect(key, A, 2.5, PRESENT)
    scene.samples.append(Sample(key, 2.3, frozenset({A})))
    verdict = scene.judge()
    assert (verdict.violations, verdict.apart) == ([], [])


@pytest.mark.parametrize(("moment", "content"), [(1.05, True), (1.15, False), (None, False)])
def test_a_write_before_its_wave_was_open(moment: float | None, content: bool) -> None:
    scene = created()
    (key, ended), *_ = scene.record.items()
    moments = () if moment is None else (Moment(Millis(round(moment * 1000)), "wave", 2),)
    rollout = RolloutState(2, 2, Stage.WORKING, None, None, None, moments=moments)
    steps = (ended.steps[0], replace(ended.steps[1], wave=2))
    scene.record[key] = replace(ended, operation=replace(ended.operation, rollout=rollout), steps=steps)
    if content:
        assert scene.judge().violations == []
    else:
        assert "wrote to b before its wave 2 was open" in wrong(scene)


@pytest.mark.parametrize(("until", "content"), [(1.0995, True), (1.15, False), (9.0, False)])
def test_more_writes_at_once_than_a_host_takes(until: float, content: bool) -> None:
    """The second comes at 1.1; a third when by A1 the host is through with its attempt."""
    scene = Scene()
    first, second = (scene.operation(CREATE, COMMIT) for _ in range(2))
    for number, (key, at) in enumerate([(first, 1.0), (second, 1.1), (second, 9.5)]):
        ends = until if at == 1.0 else at + 0.01
        scene.calls.append(Call(LIMITED, number, "POST", GROUP, at, ends, f"{key}-{A}", False, None))
    found = [each for each in scene.judge().violations if "at once" in each]
    assert found == ([] if content else [f"{LIMITED} had 2 writes at once at 1.100, 0 to undo"])


@pytest.mark.parametrize("writes", [4, 5])
def test_more_writes_in_the_time_of_one_than_a_host_takes(writes: int) -> None:
    scene = Scene()
    key = scene.operation(CREATE, COMMIT)
    for number, at in enumerate([1.0, 1.1, 1.2, 1.3, 1.4][:writes]):
        scene.calls.append(Call(LIMITED, number, "POST", GROUP, at, at + 0.01, f"{key}-{A}", False, None))
    found = [each for each in scene.judge().violations if LIMITED in each]
    assert found == ([f"{LIMITED} had 5 writes from 1.000 to 1.400"] if writes == 5 else [])


def test_a_committed_host_that_was_left_out() -> None:
    scene = Scene()
    scene.effect(scene.operation(CREATE, COMMIT), A, 1.1, PRESENT)
    found = scene.judge().violations
    assert "op1 ended committed and left ('b', 'team') absent, not present" in found[0]
    assert "holds None in the end" in found[1]


def test_a_rollback_that_left_something() -> None:
    scene = Scene(final=set())
    scene.effect(scene.operation(CREATE, ROLL_BACK), A, 1.1, PRESENT)
    assert "op1 ended rolled_back and left ('a', 'team') present, not absent" in wrong(scene)


def test_a_group_that_was_there_before_is_not_ours_to_delete() -> None:
    scene = Scene(planted={A})
    key = scene.operation(CREATE, ROLL_BACK)
    scene.effect(key, A, 1.2, ABSENT)
    scene.effect(key, A, 1.4, PRESENT)
    assert "op1 changed ('a', 'team'), which was as asked" in wrong(scene)


ONE, TWO = {"text": "one", "colour": "red"}, {"text": "two", "colour": "red"}


def set_to_one(after: str) -> Scene:
    """Things of one content, in either form; the next operation brings them to another, and is undone."""
    scene = Scene()
    key = scene.operation(CREATE, COMMIT, content=ONE)
    for host, text in zip(HOSTS, ("one", "ONE"), strict=True):
        scene.effect(key, host, 1.1, content_of({**ONE, "text": text}))
    key = scene.operation(CREATE, ROLL_BACK, content=TWO)
    scene.effect(key, B, 2.1, content_of(TWO))
    scene.effect(key, B, 2.5, after)
    return scene


def test_a_content_in_another_form_is_that_content() -> None:
    assert set_to_one(content_of({**ONE, "text": "ONE"})).judge().violations == []


@pytest.mark.parametrize("after", [ABSENT, content_of(TWO)])
def test_a_thing_that_was_not_brought_back_to_its_own_content(after: str) -> None:
    found = set_to_one(after).judge().violations
    assert "ended rolled_back and left ('b', 'team')" in found[0]
    assert "('b', 'team') holds" in found[1]


def test_a_thing_that_was_committed_with_another_content() -> None:
    scene = Scene()
    key = scene.operation(CREATE, COMMIT, content=ONE)
    for host, content in zip(HOSTS, (ONE, TWO), strict=True):
        scene.effect(key, host, 1.1, content_of(content))
    assert "op1 ended committed and left ('b', 'team')" in scene.judge().violations[0]


def test_an_effect_after_the_end() -> None:
    scene = Scene(planted={A, B}, final={A, B})
    key = scene.operation(DELETE, ROLL_BACK)
    scene.effect(key, A, 3.0, ABSENT)
    assert "effect of operation op1 3.000, after its end" in wrong(scene)


def test_an_effect_after_the_end_is_counted_apart_if_its_worker_was_frozen() -> None:
    scene = Scene(planted={A, B})
    key = scene.operation(DELETE, ROLL_BACK)
    scene.events.append(Event("workers", "worker frozen", 1.05, 3.0, "worker1"))
    scene.effect(key, A, 3.1, ABSENT)
    verdict = scene.judge()
    assert verdict.violations == []
    assert len(verdict.apart) == 2


def test_a_frozen_worker_excuses_no_other_effect() -> None:
    scene = Scene(planted={A, B}, final={A, B})
    key = scene.operation(DELETE, ROLL_BACK)
    scene.events.append(Event("workers", "worker frozen", 2.0, 3.0, "worker1"))
    scene.effect(key, A, 3.1, ABSENT)
    assert "after its end" in wrong(scene)


def test_a_state_that_changed_behind_everybodys_back() -> None:
    scene = created()
    scene.final = {A}
    assert "('b', 'team') holds None in the end" in wrong(scene)


def test_operations_that_interleave_are_named() -> None:
    scene = Scene(planted={A, B})
    scene.operation(CREATE, COMMIT, ended_at=2.5)
    scene.operation(CREATE, COMMIT)
    assert wrong(scene) == "operations op1 and op2 interleave"


@pytest.mark.parametrize("made", [[], ["commit", "commit"], ["commit", "roll_back"], ["roll_back"]])
def test_anything_but_the_one_decision_of_the_record(made: list[str]) -> None:
    scene = created()
    scene.journal.decisions[OperationId("op1")] = made
    assert f"op1 was decided {made}" in wrong(scene)


def test_an_end_that_comes_too_late() -> None:
    scene = Scene(planted={A, B})
    scene.operation(CREATE, COMMIT, ended_at=15.1)
    assert "ended 5.1 s after all was healed" in wrong(scene)


def test_an_accepted_operation_that_is_in_no_record() -> None:
    scene = created()
    scene.told.accept(Order(OperationId("gone"), GROUP, CREATE, HOSTS))
    assert wrong(scene) == "operation gone was accepted and is in no record"


def test_a_client_that_was_told_otherwise() -> None:
    scene = created()
    scene.told.rolled_back.add(OperationId("op1"))
    assert "was told roll_back" in wrong(scene)


def test_a_host_that_was_not_named_as_pending() -> None:
    scene = Scene()
    key = scene.operation(CREATE, ROLL_BACK)
    scene.effect(key, A, 1.1, PRESENT)
    scene.effect(key, A, 1.5, ABSENT)
    scene.samples.append(Sample(key, 1.3, frozenset()))
    assert "did not name a as pending at 1.300" in wrong(scene)


def test_an_effect_and_a_write_without_an_attempt() -> None:
    scene = created()
    scene.effect(OperationId("nobody"), A, 1.2, PRESENT)
    found = scene.judge().violations
    assert "a was sent POST of team with no attempt on record" in found[0]
    assert "belongs to no attempt" in found[1]


def test_a_repair_of_what_had_not_drifted() -> None:
    scene = Scene(planted={A, B})
    scene.operation(CREATE, COMMIT, by="patrol")
    assert "the patrol repaired team (op1), where nothing had drifted" in wrong(scene)


def test_a_journal_tells_decisions_and_locks_in_their_order(tmp_path: Path) -> None:
    write(
        tmp_path,
        "SET p:lock:g one",
        "HSET p:op:one format 1 state applying",
        "HSET p:op:one decision commit state committed",
        "HSET p:op:one state committed ended 1",
        "DEL p:lock:g",
        "HSET p:op:one state rolled_back",
        "SET p:lock:g two PX 5",
        "SET p:lock:g three",
    )
    read = journal.read(journal.commands(tmp_path), "p:")
    assert read.decisions == {"one": ["commit"]}
    assert read.locks == {"g": ["one", "two", "three"]}
    assert read.wrong == [
        "operation one went from committed to rolled_back",
        "the lock of g was taken with PX 5",
        "three took the lock of g while two held it",
        "three still holds the lock of g",
    ]


def write(directory: Path, *commands: str) -> None:
    folder = directory / "appendonlydir"
    folder.mkdir()
    lines = []
    for command in commands:
        words = command.split()
        lines += [f"*{len(words)}", *(part for word in words for part in (f"${len(word)}", word))]
    torn = "*2\r\n$3\r\nDEL\r\n$8\r\np:lo"
    (folder / "appendonly.aof.1.incr.aof").write_text("\r\n".join(lines) + "\r\n" + torn, newline="")


def test_a_message_of_ours_that_a_worker_dropped_is_told(tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    dropped = "A message of 409 bytes was dropped: it is to wait for longer than any countdown."
    log.write_text(f"[2026-11-29 21:07:08,728: WARNING/MainProcess] {dropped}\n[2026-11-29 21:07:09] well\n")
    assert raised([log]) == [dropped]


def test_a_worker_that_ended_is_told_unless_a_process_of_it_was_killed_while_it_started(
    tmp_path: Path,
) -> None:
    ended = "Unrecoverable error: WorkerLostError('Could not start worker processes')"
    for number, cause in enumerate(("signal 9 (SIGKILL)", "exitcode 1")):
        log = tmp_path / f"{number}.log"
        before = f"[2026-11-30 07:31:18] Process 'ForkPoolWorker-3' pid:7615 exited with '{cause}'"
        log.write_text(f"{before}\n[2026-11-30 07:31:18: CRITICAL/MainProcess] {ended}\nTraceback\n")
    assert raised([tmp_path / "0.log"]) == []
    assert raised([tmp_path / "1.log"]) == [ended]
