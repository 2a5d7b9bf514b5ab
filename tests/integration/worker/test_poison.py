"""Messages that nothing of ours has sent: none ends a worker, none is believed, and operations go on."""

from __future__ import annotations

import json
import re
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import closing
from copy import deepcopy
from pathlib import Path as Directory
from typing import Any, cast
from uuid import uuid4

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lockstep.producer.stack.child import Child
from lockstep.worker.celery import OPERATIONS, QUEUE_OF, ROLLBACK, WAIT, TaskName
from lockstep.worker.connection import client
from lockstep.worker.operation.model import Action, GroupId, HostName, State
from lockstep.worker.record.keys import Keys
from lockstep.worker.record.link import Link
from tests.integration.worker.conftest import Parts
from tests.integration.worker.harness import BY_HAND, Bench
from tests.integration.worker.test_messages import celery_key
from tests.waits import eventually

MARK = "nobody's words"
"""Stands in what is dropped: its length and kind are logged, and no word of it."""
VALUES: tuple[Any, ...] = (
    None,
    5,
    -1,
    1e300,
    True,
    MARK,
    "é" * 20_000,
    [],
    {},
    [[]],
    {"a": [1]},
    ["x", None],
)
GARBAGE: list[str | bytes] = [
    "",
    MARK,
    "\x00",
    "{",
    "[" * 100_000,
    "null",
    "[]",
    "{}",
    "1",
    '"text"',
    "\ud800".encode("utf-8", "surrogatepass"),
]
Path = tuple[str | int, ...]
LONG = 240.0
"""Seconds: a thousand messages are read before an operation's own."""
pytestmark = pytest.mark.timeout(600)


def paths(value: Any, at: Path = ()) -> Iterator[Path]:
    yield at
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield from paths(each, (*at, key))


def changed(value: Any, at: Path, new: Any) -> Any:
    if not at:
        return new
    copy: Any = dict(value) if isinstance(value, dict) else list(value)
    copy[at[0]] = changed(copy[at[0]], at[1:], new)
    return copy


def written(message: Any) -> str:
    """The message as kombu puts it into a queue, its body given as it is read."""
    if isinstance(message, dict) and not isinstance(message.get("body"), str):
        message = {**message, "body": b64encode(json.dumps(message.get("body")).encode()).decode()}
    return json.dumps(message)


DROPPED = r"A message of \d+ bytes was dropped: \w"
"""What the log has of it: of many a second the first."""


class Line:
    """The queue of forward steps, the worker that reads it, and a message of ours to begin with."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.raw: redis.Redis = client(bench.settings)
        self.operation = bench.start(Action.CREATE)
        kept = json.loads(cast(str, self.raw.lindex(celery_key(bench, OPERATIONS), 0)))
        self.message = {**kept, "body": json.loads(b64decode(kept["body"]))}
        self.worker: Child = bench.worker()
        bench.beat()
        bench.end(self.operation)

    def put(self, *texts: str | bytes, queue: str = OPERATIONS) -> None:
        self.raw.lpush(celery_key(self.bench, queue), *texts)

    def tell(self, *texts: str | bytes) -> None:
        """Publish to every worker, as remote control does."""
        channel = f"{celery_key(self.bench, '')}/0.celery.pidbox"
        for text in texts:
            assert self.raw.publish(channel, text), "the worker has subscribed"

    def fresh(self, **headers: Any) -> dict[str, Any]:
        """A message like ours, under an id and a tag of its own."""
        properties = {**self.message["properties"], "delivery_tag": str(uuid4())}
        return {
            **self.message,
            "headers": {**self.message["headers"], "id": str(uuid4()), **headers},
            "properties": properties,
        }

    def read_to_the_end(self) -> None:
        """Wait until nothing waits and nothing is noted as taken; the worker is the one that it was."""
        keys = [celery_key(self.bench, name) for name in (OPERATIONS, ROLLBACK, "unacked", "unacked_index")]
        eventually(lambda: not self.worker.running or not self.raw.exists(*keys), "everything is read", LONG)
        assert self.worker.running, self.worker.output()[-3000:]
        assert self.worker.starts == 1

    def goes_on(self) -> None:
        group = GroupId(f"{self.bench.group}-{uuid4().hex[:6]}")
        end = self.bench.end(self.bench.start(Action.CREATE, group), LONG)
        assert end.operation.state is State.COMMITTED


@pytest.fixture(scope="module")
def line(shared: Parts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    bench = Bench(*shared, tmp_path_factory.mktemp("poison"))
    try:
        yield Line(bench)
    finally:
        bench.close()


def test_no_malformed_message_ends_a_worker_and_operations_go_on(line: Line) -> None:
    texts = list(GARBAGE)
    for at in paths(line.message):
        for value in VALUES:
            texts.append(written(changed(line.fresh(), at, value)))
        if at:
            inside = deepcopy(line.fresh())
            holder: Any = inside
            for key in at[:-1]:
                holder = holder[key]
            del holder[at[-1]]
            texts.append(written(inside))
    line.put(*texts[::2], *GARBAGE, queue=OPERATIONS)
    line.put(*texts[1::2], *GARBAGE, queue=ROLLBACK)
    line.tell(*GARBAGE, *texts[::10])
    line.goes_on()
    line.read_to_the_end()
    assert "Unrecoverable error" not in line.worker.output()
    assert "Connection to broker lost" not in line.worker.output()
    assert re.search(DROPPED, line.worker.output())
    assert MARK not in line.worker.output()
    assert line.bench.read(line.operation).state is State.COMMITTED


texts = (
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(["headers", "properties", "body", "task", "id"]) | st.text(), inner
            )
        ),
    ).map(json.dumps)
    | st.text()
)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(texts, min_size=1, max_size=10))
def test_no_message_of_any_bytes_ends_a_worker(line: Line, found: list[str]) -> None:
    line.put(*[text.encode("utf-8", "replace") for text in found])
    line.read_to_the_end()


def test_a_message_that_names_another_group_or_action_than_the_record_writes_nothing(line: Line) -> None:
    bench, other = line.bench, "somebody-elses"
    for node in bench.hosts:
        bench.admin.plant(node, other)
    bench.admin.set_latency(300)
    live = bench.start(Action.CREATE, GroupId(f"{bench.group}-live"))
    host = bench.hosts[0]
    embedded: dict[str, Any] = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
    for task in (TaskName.CREATE_GROUP, TaskName.DELETE_GROUP, TaskName.ROLLBACK_CREATE):
        for operation, group in (
            (live, other),
            (live, "../../admin/x?"),
            ("nobodys", other),
            ("nobodys", "../../admin/x?"),
        ):
            body = [[operation, group, host, host, "no-such-host"], {}, embedded]
            line.put(written({**line.fresh(task=task), "body": body}), queue=QUEUE_OF[task])
    own = [[live, f"{bench.group}-live", *[host] * 50, "no-such-host"], {}, embedded]
    line.put(
        written({**line.fresh(task=TaskName.DELETE_GROUP), "body": own}),
        written({**line.fresh(), "body": own}),
    )
    line.read_to_the_end()
    assert bench.end(live).operation.state is State.COMMITTED
    bench.admin.set_latency(None)
    asked = {entry.group for entry in bench.admin.history() if entry.actor != "admin"}
    assert not [group for group in asked if group is None or not group.startswith(bench.group)]
    assert bench.holding(GroupId(other)) == set(bench.hosts)
    assert not [entry for entry in bench.history(group=GroupId(other)) if entry.actor != "admin"]
    assert bench.holding(GroupId(f"{bench.group}-live")) == set(bench.hosts)
    assert bench.effects(host, GroupId(f"{bench.group}-live")) == ["POST"]
    assert "says otherwise" in line.worker.output()


@pytest.fixture
def stock(shared: Parts, tmp_path: Directory) -> Iterator[Line]:
    bench = Bench(*shared, tmp_path, overrides={"broker": "stock"})
    try:
        yield Line(bench)
    finally:
        bench.close()


def test_with_the_transport_of_kombu_no_malformed_message_ends_a_worker_either(stock: Line) -> None:
    bench, host = stock.bench, stock.bench.hosts[1]
    bad: list[str | bytes] = [*GARBAGE, written({**stock.fresh(), "properties": {}})]
    for at in paths(stock.message):
        for value in VALUES[::5]:
            bad.append(written(changed(stock.fresh(), at, value)))
    stock.put(*bad)
    stock.put(*bad, queue=ROLLBACK)
    stock.tell(*bad)
    stock.raw.hset(celery_key(bench, "unacked"), "garbage", MARK)
    stock.raw.zadd(celery_key(bench, "unacked_index"), {"garbage": 1})
    bench.admin.set_faults({"kind": "answer", "status": 403, "node": host, "methods": ["POST"]})
    group = GroupId(f"{bench.group}-failing")
    end = bench.end(bench.start(Action.CREATE, group), LONG)
    assert end.operation.state is State.ROLLED_BACK
    assert end.outcomes[host] == "refused"
    assert bench.holding(group) == set()
    stock.read_to_the_end()
    said = stock.worker.output()
    assert said.count("messages are taken by kombu's own transport (LOCKSTEP_BROKER=stock)") == 1
    assert re.search(DROPPED, said)
    assert MARK not in said
    assert "Connection to broker lost" not in said
    assert "Unrecoverable error" not in said


def test_what_would_wait_for_ever_is_dropped(line: Line) -> None:
    far = [line.fresh(eta="2999-01-01T00:00:00+00:00") for _ in range(300)]
    for message in far:
        message["headers"].pop(WAIT, None)
    line.put(*[written(each) for each in far], *[written(line.fresh(**{WAIT: 1e9})) for _ in range(300)])
    line.read_to_the_end()
    line.goes_on()


def test_a_damaged_record_or_pause_holds_up_nobody_else(line: Line) -> None:
    bench = line.bench
    keys = Keys(bench.settings.key_prefix)
    damaged = [bench.accept(Action.CREATE, GroupId(f"{bench.group}-damaged{n}")) for n in range(3)]
    BY_HAND.update(map(keys.operation, damaged))
    line.raw.hset(keys.operation(damaged[0]), "resumed", "often")
    line.raw.hset(keys.operation(damaged[1]), mapping={"total": "many", "deadline_at": "soon"})
    line.raw.delete(keys.steps(damaged[2]))
    line.raw.hset(keys.steps(damaged[2]), bench.hosts[0], "garbage")
    line.raw.hset(keys.paused, "node9", "garbage")
    for operation in damaged:
        line.raw.zadd(keys.due, {operation: 1})
    swept = bench.accept(Action.CREATE, GroupId(f"{bench.group}-swept"))
    assert bench.end(swept).operation.state is State.COMMITTED
    for operation in damaged[:2]:
        named = f"the operation {operation} cannot be read"
        eventually(lambda words=named: words in line.worker.output(), named)  # type: ignore[misc]
        assert cast(float, line.raw.zscore(keys.due, operation)) > bench.store.now()
    with closing(Link(bench.settings)) as link:
        assert damaged[1] not in {each.id for each in link.unended()}
        assert "cannot be read" in link.pauses.all()[HostName("node9")].why
    line.raw.delete(keys.paused)


def test_a_sweep_holds_its_lease_until_it_is_over(line: Line) -> None:
    store, key = line.bench.store, Keys(line.bench.settings.key_prefix).lease("own")
    assert store.lease("own", 1_000)
    assert not store.lease("own", 1_000)
    store.keep_lease("own", 60_000)
    assert line.raw.pttl(key) > 50_000
    store.keep_lease("own", 1)
    eventually(lambda: store.lease("own", 1_000), "it is free again")
