"""What the probe finds of each call of the contract, on a host that keeps it, breaks it, lags, or fails."""

from __future__ import annotations

from dataclasses import replace
from itertools import repeat

import pytest

from lockstep.producer.doctor import Finding, Level, contract
from lockstep.producer.doctor.contract import BROKEN, LOST, POST, REFUSED, Probe
from lockstep.producer.doctor.scratch import LateWrite, Scratch
from lockstep.worker.operation.answer import Reply
from lockstep.worker.operation.errors import HostUnavailable
from lockstep.worker.operation.model import Presence
from tests.unit.producer.scratch_node import KEPT, SETTINGS, Answer, Clock, Node, ruled

ERROR = Reply(500)
DELETED, GONE, FIELDS, RESTORED = list(KEPT)[4:]


def found(node: Node, monkeypatch: pytest.MonkeyPatch) -> tuple[dict[str, Finding], Clock]:
    clock = ruled(monkeypatch, node)
    return {each.subject: each for each in contract.contract(Scratch(node.host, SETTINGS))}, clock


def test_a_host_that_keeps_the_contract(monkeypatch: pytest.MonkeyPatch) -> None:
    of, clock = found(Node(), monkeypatch)
    assert of == {subject: Finding(subject, Level.OK, text) for subject, text in KEPT.items()}
    assert clock.pauses == []


BEFORE_FIELDS: list[Answer] = [None] * 5
BEFORE_RESTORED: list[Answer] = [None] * 7


@pytest.mark.parametrize(
    ("posts", "deletes", "subject", "level", "text", "remedy"),
    [
        ([Reply(201)], [], POST, Level.FAILURE, "201, but a GET does not show the group", BROKEN),
        ([Reply(403)], [], POST, Level.FAILURE, "403, instead of 201", REFUSED),
        ([Reply(400)], [], POST, Level.FAILURE, "400, instead of 201", BROKEN),
        ([], [Reply(200)], DELETED, Level.FAILURE, "200, but a GET still shows the group", BROKEN),
        ([], [Reply(403)], DELETED, Level.FAILURE, "403, instead of 200", REFUSED),
        ([], [None, Reply(200)], GONE, Level.FAILURE, "200, instead of 400 or 404", BROKEN),
        ([], [None, Reply(422)], GONE, Level.FAILURE, "422, instead of 400 or 404", REFUSED),
        ([], [None, ERROR], GONE, Level.OK, "404", None),
        ([*BEFORE_FIELDS, Reply(400)], [], FIELDS, Level.OK, "refused (400)", None),
        ([*BEFORE_FIELDS, Reply(422)], [], FIELDS, Level.OK, "refused (422)", None),
        ([*BEFORE_FIELDS, ERROR], [], FIELDS, Level.OK, "kept", None),
        ([], [None, None, ERROR], RESTORED, Level.OK, KEPT[RESTORED], None),
        (
            [*BEFORE_RESTORED, Reply(422)], [], RESTORED, Level.WARNING,
            "POST refuses what GET had shown (422), but the id", LOST,
        ),
        (
            [*BEFORE_RESTORED, Reply(400)], [], RESTORED, Level.WARNING,
            "POST refuses what GET had shown (400), but the id", LOST,
        ),
        ([*BEFORE_RESTORED, ERROR], [], RESTORED, Level.OK, KEPT[RESTORED], None),
    ],
)  # fmt: skip
def test_a_host_that_answers_otherwise(
    posts: list[Answer],
    deletes: list[Answer],
    subject: str,
    level: Level,
    text: str,
    remedy: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    of, clock = found(Node(odd={"POST": iter(posts), "DELETE": iter(deletes)}), monkeypatch)
    assert of[subject] == Finding(subject, level, text, remedy)
    assert sum(clock.pauses) <= 0.1 or level is Level.FAILURE, "what was not done is not waited for"
    assert set(of) == ({"GET of an absent group", POST} if of[POST].level is Level.FAILURE else set(KEPT))


def test_a_look_that_shows_something_else_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    node = Node()
    ruled(monkeypatch, node)
    scratch = Scratch(node.host, SETTINGS)
    told = contract._shown(scratch, scratch.new_group(), Presence.PRESENT, "200")
    assert told == (Level.FAILURE, "404, instead of 200", BROKEN)


def test_fields_that_are_dropped_and_those_that_no_rollback_brings_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for lag in (0.0, 0.25):
        of, _ = found(Node(lag, drops=True, adds=("size", "colour")), monkeypatch)
        assert of[FIELDS] == Finding(FIELDS, Level.OK, "dropped without a word")
        lost = "POST of what GET had shown loses colour, size"
        assert of[RESTORED] == Finding(RESTORED, Level.WARNING, lost, LOST)


@pytest.mark.parametrize(
    ("lag", "shows_after", "told", "remedy"),
    [
        (0.25, 0.0, "0.2 s", "1s"),
        (0.75, 0.0, "0.8 s", "2s"),
        (1.25, 0.0, "1.2 s", "3s"),
        (0.25, 0.25, "0.2 s", None),
        (0.5, 0.25, "0.5 s", "1s"),
    ],
)
def test_a_host_whose_get_lags(
    lag: float, shows_after: float, told: str, remedy: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lockstep.producer.doctor.scratch.PAUSE", 0.25)
    of, _ = found(Node(lag=lag, shows_after=shows_after), monkeypatch)
    advice = f"`shows_after: {remedy}` for this host in the inventory: docs/inventory.md"
    advice += "; and LOCKSTEP_SETTLE_SECONDS=3, or more" if remedy == "3s" else ""
    for subject, status in ((POST, "201"), (DELETED, "200")):
        text = f"{status}, and a GET shows it after {told}"
        if remedy is None:
            assert of[subject] == Finding(subject, Level.OK, f"{text}, as shows_after says")
        else:
            assert of[subject] == Finding(subject, Level.WARNING, text, advice)
    rest = set(KEPT) - {POST, DELETED}
    assert {subject: of[subject].text for subject in rest} == {subject: KEPT[subject] for subject in rest}


@pytest.mark.parametrize(("takes", "tries"), [(0.0, 10), (1.0, 7), (8.0, 1)])
def test_a_call_is_made_ten_times_at_most_and_none_after_four_times_its_time(
    takes: float, tries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = Node(odd={"POST": repeat(ERROR)}, takes=takes)
    clock = ruled(monkeypatch, node)
    told = contract._tried(POST, contract.CHECKS[POST], Scratch(node.host, SETTINGS))
    text = f"no usable answer in {tries} tries (500)"
    assert told == Finding(POST, Level.FAILURE, text, "see the log of the node")
    assert clock.pauses == [0.1 * number for number in range(1, tries)]


def run(node: Node, monkeypatch: pytest.MonkeyPatch) -> tuple[Probe, list[Finding]]:
    ruled(monkeypatch, node)

    def measured(scratch: Scratch, watch: float) -> list[LateWrite]:
        scratch.written[scratch.new_group()] = False
        return [LateWrite(0.0, watch)]

    monkeypatch.setattr(contract, "measure", measured)
    probe = Probe(node.host, replace(SETTINGS, settle_seconds=20), 3.0)
    return probe, list(probe.run())


def test_all_that_was_written_is_gone_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    node = Node()
    probe, of = run(node, monkeypatch)
    assert [each.subject for each in of] == [*KEPT, "late writes", "settle_seconds", "clean-up"]
    (unseen,) = (group for group in of[-1].text.split() if group.startswith("lockstep-probe-"))
    assert of[-1] == Finding(
        "clean-up",
        Level.OK,
        f"all {len(node.changes) + 1} scratch groups are gone; not seen yet, and possible later: {unseen}",
    )
    assert unseen not in node.changes
    assert (probe.late_writes, probe.left, node.groups) == ([LateWrite(0.0, 3.0)], [], set())


def test_what_cannot_be_deleted_is_named_with_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    node = Node(odd={"DELETE": repeat(Reply(403))})
    probe, of = run(node, monkeypatch)
    assert set(probe.left) >= node.groups > set()
    text = f"{', '.join(probe.left)} could not be deleted"
    assert of[-1] == Finding("clean-up", Level.FAILURE, text, "delete them on node1")


def test_whoever_stops_listening_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    node = Node()
    ruled(monkeypatch, node)
    telling = Probe(node.host, SETTINGS, 3.0).run()
    next(each for each in telling if each.subject == POST)
    assert node.groups
    telling.close()
    assert not node.groups


def test_nothing_is_written_to_a_host_that_gives_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    node = Node(odd={"GET": repeat(ERROR)})
    ruled(monkeypatch, node)
    with pytest.raises(HostUnavailable):
        list(Probe(node.host, SETTINGS, 3.0).run())
    assert set(node.asked) == {"GET"}
