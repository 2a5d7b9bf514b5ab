"""A host that does not answer is spared, and asked again by one look."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from lockstep.worker.hosts.wrappers import ALONE, Breaker, BreakerHost
from lockstep.worker.operation.answer import LookAnswer, LookVerdict, StopOrdered
from lockstep.worker.operation.content import Effect, Flaw, WriteAnswer
from lockstep.worker.operation.errors import StoreUnavailable
from lockstep.worker.operation.host import MaySend, Silence
from lockstep.worker.operation.model import Action, AttemptId, GroupId, HostName, Millis, Presence, Seen
from tests.groups_alone import GroupsAlone
from tests.unit.client import ATTEMPT, G

NODE, OTHER = HostName("node1"), HostName("node2")
SILENT = LookAnswer(LookVerdict.NO_INFORMATION, "answer lost: read timeout", flaw=Flaw.SILENT)
ABSENT = LookAnswer(LookVerdict.SEEN, "404", Seen(Presence.ABSENT))
BROKEN = LookAnswer(LookVerdict.NO_INFORMATION, "500")
PATIENCE = 10.0


@dataclass
class Told:
    """What workers tell each other, and each word that was said."""

    said: list[tuple[str, HostName]] = field(default_factory=list)
    silence: tuple[Silence, int] | None = None
    away: bool = False

    def _say(self, what: str, host: HostName) -> None:
        self.said.append((what, host))
        if self.away:
            raise StoreUnavailable("away")

    def spare(self, host: HostName, milliseconds: int, failures: int, why: str) -> None:
        self._say(f"spare {milliseconds} {failures} {why}", host)

    def left(self, host: HostName) -> tuple[Silence, int] | None:
        self._say("left", host)
        return self.silence

    def answered(self, host: HostName) -> None:
        self._say("answered", host)


class Node(GroupsAlone):
    """A host that says what it is told to, and counts how often it is asked."""

    def __init__(self) -> None:
        self.fingerprint = "print"
        self.answer: LookAnswer | Exception = SILENT
        self.meanwhile: Callable[[], object] = lambda: None
        self.asked = 0

    def unwell(self, path: str) -> str | None:
        return None

    def look_at_group(self, group: GroupId) -> LookAnswer:
        self.asked += 1
        answer = self.answer
        self.meanwhile()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def write(
        self, action: Action, group: GroupId, attempt: AttemptId, may_send: MaySend, body: str | None = None
    ) -> WriteAnswer:
        return WriteAnswer(Effect.APPLIED, "201")


class Bench:
    """One host behind a breaker that opens after three failures, for 30 s."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.told = Told()
        self.breaker = Breaker(3, 30.0, lambda: self.now, self.told)
        self.node = Node()
        self.host = BreakerHost(self.node, NODE, self.breaker)

    def look(self, answer: LookAnswer | Exception = SILENT) -> str:
        self.node.answer = answer
        return self.host.look_at_group(G).text

    def spare(self) -> None:
        for _ in range(3):
            self.look()

    @property
    def words(self) -> list[str]:
        return [what for what, _ in self.told.said]


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_nobody_is_told_anything_while_hosts_answer(bench: Bench) -> None:
    for answer in (ABSENT, BROKEN, ABSENT):
        assert bench.look(answer) == answer.text
    assert bench.told.said == []


def test_after_so_many_failures_the_host_is_not_asked(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.spare()
    bench.now += 7
    assert bench.look(ABSENT) == (
        "not sent: spared for 23 s: 3 looks in a row failed (answer lost: read timeout)"
    )
    assert bench.node.asked == 3
    assert bench.words == ["left", "left", "spare 30000 3 answer lost: read timeout"]
    assert caplog.messages == [
        "host node1 is spared for 30 s: 3 looks in a row failed (answer lost: read timeout)"
    ]


def test_a_spared_look_is_a_look_without_information(bench: Bench) -> None:
    bench.spare()
    answer = bench.host.look_at_group(G)
    assert (answer.verdict, answer.seen, answer.retry_after) == (LookVerdict.NO_INFORMATION, None, None)


def test_any_answer_in_between_starts_the_count_anew(bench: Bench) -> None:
    for _ in range(5):
        bench.look()
        bench.look()
        assert bench.look(BROKEN) == "500"
    assert bench.node.asked == 15


def test_other_hosts_are_asked_as_ever(bench: Bench) -> None:
    bench.spare()
    other = BreakerHost(bench.node, OTHER, bench.breaker)
    bench.node.answer = ABSENT
    assert other.look_at_group(G).text == "404"


def test_a_write_is_sent_in_any_case(bench: Bench) -> None:
    bench.spare()
    assert bench.host.write(Action.CREATE, G, ATTEMPT, 1e18).effect is Effect.APPLIED


def test_one_look_finds_out_whether_it_answers_again(bench: Bench) -> None:
    bench.spare()
    bench.now += 30
    others: list[str] = []
    bench.node.meanwhile = lambda: others.append(bench.host.look_at_group(G).text) if not others else None
    assert bench.look(ABSENT) == "404"
    (other,) = others
    assert other == (
        "not sent: spared until one look has found out whether it answers: "
        "3 looks in a row failed (answer lost: read timeout)"
    )
    assert bench.words[-1] == "answered"
    assert bench.look(ABSENT) == "404"
    assert bench.words.count("answered") == 1


def test_a_host_that_is_still_silent_is_spared_anew(bench: Bench) -> None:
    bench.spare()
    bench.now += 30
    assert bench.look() == SILENT.text
    assert bench.words[-1] == "spare 30000 4 answer lost: read timeout"
    bench.now += 29
    assert bench.look(ABSENT).startswith("not sent: spared for 1 s")


def test_a_look_that_did_not_take_place_leaves_the_next_one_to_find_out(bench: Bench) -> None:
    bench.spare()
    bench.now += 30
    with pytest.raises(StopOrdered):
        bench.look(StopOrdered())
    assert bench.look(ABSENT) == "404"


def test_looks_that_were_on_their_way_do_not_lengthen_the_spell(bench: Bench) -> None:
    bench.spare()
    bench.now += 10
    bench.breaker.failed(NODE, "late")
    assert bench.words.count("left") == 2
    bench.now += 20
    assert bench.look(ABSENT) == "404"


def test_an_answer_that_was_on_its_way_ends_the_spell(bench: Bench) -> None:
    bench.spare()
    bench.breaker.answered(NODE)
    assert bench.look(ABSENT) == "404"
    assert bench.words[-1] == "answered"


def test_what_another_worker_found_is_learnt_by_the_first_failure(bench: Bench) -> None:
    bench.told.silence = (Silence(NODE, Millis(1), Millis(2), 12, "connection refused"), 20_000)
    bench.look()
    bench.now += 5
    assert bench.look(ABSENT) == "not sent: spared for 15 s: 12 looks in a row failed (connection refused)"
    bench.now += 15
    assert bench.look(ABSENT) == "404"


def test_without_redis_each_worker_goes_by_what_it_sees(bench: Bench) -> None:
    bench.told.away = True
    bench.spare()
    assert bench.look(ABSENT).startswith("not sent: spared")
    bench.now += 30
    assert bench.look(ABSENT) == "404"


def test_a_redis_that_is_away_is_not_asked_for_host_after_host(bench: Bench) -> None:
    """Steps of a slice take turns: each would hold up the others for as long as Redis is waited for."""
    bench.told.away = True
    for name in "abc":
        BreakerHost(Node(), HostName(name), bench.breaker).look_at_group(G)
    assert bench.told.said == [("left", "a")]
    bench.told.away = False
    bench.now += ALONE
    BreakerHost(Node(), HostName("d"), bench.breaker).look_at_group(G)
    assert bench.told.said == [("left", "a"), ("left", "d")]


def test_many_threads_send_one_look_to_find_out(bench: Bench) -> None:
    bench.spare()
    bench.now += 30
    begun, go = threading.Event(), threading.Event()

    def wait() -> None:
        begun.set()
        assert go.wait(PATIENCE)

    bench.node.meanwhile = wait
    bench.node.answer = ABSENT
    before = bench.node.asked
    with ThreadPoolExecutor(16) as pool:
        first = pool.submit(bench.host.look_at_group, G)
        assert begun.wait(PATIENCE)
        others = [pool.submit(bench.host.look_at_group, G).result(PATIENCE).text for _ in range(15)]
        go.set()
        assert first.result(PATIENCE).text == "404"
    assert bench.node.asked == before + 1
    assert all(text.startswith("not sent: spared until one look") for text in others)


def test_a_host_that_moved_is_asked_at_its_new_address(bench: Bench) -> None:
    bench.spare()
    asked = bench.node.asked
    bench.node.fingerprint = "another"
    assert bench.look(SILENT) == SILENT.text
    assert bench.look(SILENT) == SILENT.text, "one failure there is not three"
    assert bench.node.asked == asked + 2
