"""The journal of a real Redis is replayed through the model: what is planted in it is found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from lockstep.producer.stack.processes import RedisServer
from lockstep.worker.operation.content import Effect
from tests.chaos.journal import commands
from tests.contract.bench import PREFIX, SETTLED, ClockedRedis, RedisBench
from tests.contract.driver import ABSENT, PRESENT, A, B, Driver
from tests.contract.waves import TWO, accepted
from tests.model.trace import replay

OPERATION = f"{PREFIX}op:one"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClockedRedis]:
    with ClockedRedis(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture
def raw(server: RedisServer) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(server.url, decode_responses=True) as client:
        client.flushall()
        yield client


@pytest.fixture
def bench(raw: redis.Redis, server: ClockedRedis) -> RedisBench:
    return RedisBench(raw, server.clock)


@pytest.fixture
def found(server: RedisServer) -> Callable[[], list[str]]:
    """What the model refuses of all that was done since the test began."""
    passed = len(list(commands(server.directory)))

    def refused() -> list[str]:
        return replay(list(commands(server.directory))[passed:]).wrong

    return refused


def test_what_the_scripts_do_is_allowed(
    bench: RedisBench, server: RedisServer, found: Callable[[], list[str]]
) -> None:
    committed = Driver(bench).accepted()
    committed.begin(A, "a1")
    committed.begin(A, "a2")
    committed.finish(A, "a1", Effect.UNKNOWN)
    committed.begin(A, "a3", PRESENT)
    committed.apply(B)
    for attempt in ("a1", "a2"):
        committed.finish(A, attempt, Effect.UNKNOWN)
    for _ in range(2):
        bench.pass_time(SETTLED)
        committed.look(A, PRESENT)
    assert committed.kept().ended
    undone = Driver(bench, "two").accepted().undoing(A, B)
    undone.begin_undo(A, "no answer")
    undone.finish_undo(A, "no answer", Effect.UNKNOWN)
    undone.undo(B)
    for _ in range(2):
        bench.pass_time(SETTLED)
        undone.look(A, ABSENT)
    assert undone.look(A, ABSENT).restored
    already = Driver(bench, "three").accepted()
    for host in (A, B):
        already.begin(host, f"{host}1")
        already.finish(host, f"{host}1", Effect.ALREADY if host == A else Effect.REFUSED)
    already.undo()
    assert found() == []
    assert replay(commands(server.directory)).transitions > 25


def many_at_once(bench: RedisBench) -> Driver:
    """Nine attempts of unknown fate at one host."""
    create = Driver(bench)
    create.retries = None
    create.accepted()
    for attempt in range(9):
        create.begin(A, f"a{attempt}")
        create.finish(A, f"a{attempt}", Effect.UNKNOWN)
    create.roll_back()
    bench.pass_time(SETTLED)
    return create


def test_one_look_at_many_attempts_is_allowed(bench: RedisBench, found: Callable[[], list[str]]) -> None:
    create = many_at_once(bench)
    for _ in range(2):
        bench.pass_time(SETTLED)
        create.look(A, ABSENT)
    assert not create.step(A).open_attempts
    assert found() == []


def test_beside_many_attempts_what_is_wrong_is_found(
    bench: RedisBench, raw: redis.Redis, found: Callable[[], list[str]]
) -> None:
    many_at_once(bench)
    steps = f"{OPERATION}:steps"
    raw.hset(steps, A, str(raw.hget(steps, A)).replace("absent", "present"))
    assert "before False" in found()[0]


def test_a_trace_of_waves_is_allowed(bench: RedisBench, found: Callable[[], list[str]]) -> None:
    create = accepted(bench, TWO).apply(A)
    create.claim()
    create.apply(B)
    create.claim()
    assert found() == []


def plant(raw: redis.Redis, **fields: str) -> None:
    for name, value in fields.items():
        raw.hset(OPERATION, name, value)


@pytest.mark.parametrize(
    ("by_hand", "told"),
    [
        pytest.param(
            lambda raw: plant(raw, decision="commit"),
            "a host may not go from",
            id="committed before every host has its outcome",
        ),
        pytest.param(
            lambda raw: plant(raw, decision="roll_back"),
            "no host gave a reason",
            id="rolled back although no host failed",
        ),
        pytest.param(
            lambda raw: raw.hset(
                f"{OPERATION}:steps", A, raw.hget(f"{OPERATION}:steps", A).replace('"open"', '"settled"')
            ),
            "a host may not go from",
            id="an attempt settled by no look",
        ),
        pytest.param(
            lambda raw: raw.hset(
                f"{OPERATION}:steps", A, raw.hget(f"{OPERATION}:steps", A).replace("absent", "present")
            ),
            "before False",
            id="what was there before is read again",
        ),
        pytest.param(
            lambda raw: raw.srem(f"{OPERATION}:open", A),
            "its set says []",
            id="an open attempt that the sweep does not see",
        ),
        pytest.param(lambda raw: raw.delete(OPERATION), "before it had ended", id="its record is dropped"),
    ],
)
def test_a_planted_transition_is_found(
    bench: RedisBench,
    raw: redis.Redis,
    found: Callable[[], list[str]],
    by_hand: Callable[[redis.Redis], object],
    told: str,
) -> None:
    Driver(bench).accepted().begin(A, "a1")
    assert found() == []
    by_hand(raw)
    assert told in " ".join(found())


@pytest.mark.parametrize("decided", ["commit", "roll_back"])
def test_a_decision_that_is_made_again_is_found(
    bench: RedisBench, raw: redis.Redis, found: Callable[[], list[str]], decided: str
) -> None:
    create = Driver(bench).accepted()
    create.begin(A, "a1")
    create.finish(A, "a1", Effect.UNKNOWN)
    if decided == "commit":
        create.begin(A, "a2", PRESENT)
        create.apply(B)
    else:
        create.roll_back()
    assert found() == []
    other = {"commit": "roll_back", "roll_back": "commit"}[decided]
    plant(raw, decision=other)
    assert "may not go from" in found()[0]


def test_what_the_end_of_the_file_cuts_off_did_not_happen(tmp_path: Path) -> None:
    cut = [["MULTI"], ["HSET", OPERATION, "format", "1", "group", "g", "action", "create"]]
    assert replay(cut).transitions == 0


def test_what_was_due_and_is_not_done_is_found_unless_it_may_be_late(
    bench: RedisBench, raw: redis.Redis, server: RedisServer
) -> None:
    passed = len(list(commands(server.directory)))
    create = Driver(bench).accepted()
    create.begin(A, "a1")
    create.finish(A, "a1", Effect.REFUSED)
    journal = [each for each in list(commands(server.directory))[passed:] if "roll_back" not in each]
    (due,) = replay(journal).wrong
    assert "due in the same transition: op0 decide: ROLL BACK" in due
    assert replay(journal, late={OPERATION}).wrong == []
    by_hand = ["HSET", OPERATION, "decision", "commit"]
    assert "a host may not go from" in replay([*journal, by_hand], late={OPERATION}).wrong[0]
