"""What an operation on a thing leaves beside its record: digests, and the texts that belong to them."""

from __future__ import annotations

from dataclasses import replace

from lockstep.worker.operation.model import HostName
from lockstep.worker.operation.thing import Digest
from lockstep.worker.record.keys import Keys
from tests.contract.bench import PREFIX, Bench, RedisBench
from tests.contract.contents import REWRITTEN, TARGET, THING, A, B, Thing


def brings(bench: Bench, target: str, *hosts: HostName) -> None:
    """Have hosts show the target of an operation of their own."""
    thing = Thing(bench, name="-".join([target, *hosts]))
    thing.asked = replace(thing.asked, target=Digest(target), texts={target: f"text of {target}"})
    thing.accepted(*hosts)
    for host in hosts:
        thing.shown(host, f"{host}1", TARGET)


def texts(bench: Bench) -> dict[HostName, str | None]:
    return {host: each.text for host, each in bench.store.contents_left(THING).items()}


def test_a_text_is_kept_as_long_as_a_host_shows_it_and_no_longer(redis_bench: RedisBench) -> None:
    brings(redis_bench, "first", A, B)
    brings(redis_bench, "second", A)
    assert texts(redis_bench) == {A: "text of second", B: "text of first"}, "of B an earlier one tells"
    brings(redis_bench, "second", B)
    assert texts(redis_bench) == {A: "text of second", B: "text of second"}
    kept = redis_bench.client.hkeys(Keys(PREFIX).left(THING))
    assert {str(name) for name in kept} == {A, B, "=second"}


def test_a_form_that_was_learned_is_left_with_its_text_until_the_target_itself_is_seen(bench: Bench) -> None:
    thing = Thing(bench).accepted(A).written(A)
    thing.shown(A, "a2", REWRITTEN)
    assert texts(bench) == {A: "text of rewritten"}
    for name, seen in (("two", REWRITTEN), ("three", TARGET), ("four", TARGET)):
        Thing(bench, name=name).accepted(A).shown(A, "a1", seen)
        left = bench.store.contents_left(THING)[A]
        assert (left.digest, left.text) == (seen.digest, seen.text)
