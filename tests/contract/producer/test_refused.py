"""What is refused of an operation and of things, in one line that says why."""

from __future__ import annotations

import pytest

from lockstep import ClusterClient, HoldRefused, RecordGone
from lockstep.producer.client.operation import Operation
from lockstep.worker.operation.errors import InvalidInput
from tests.contract.producer.hand import Hand


def test_what_has_no_waves_or_is_decided_cannot_be_held_or_promoted(
    cluster: ClusterClient, hand: Hand
) -> None:
    plain = cluster.create_group("team-a")
    with pytest.raises(HoldRefused, match=f'operation "{plain.id}" cannot be held: '):
        plain.hold("let me look")
    with pytest.raises(HoldRefused, match=f'operation "{plain.id}" cannot be promoted: '):
        plain.promote()
    waves = cluster.create_group("team-b", waves="1,100%")
    with pytest.raises(HoldRefused, match="cannot be promoted: "):
        waves.promote()
    hand.roll_back(waves)
    with pytest.raises(HoldRefused, match="cannot be held: "):
        waves.hold("too late")
    rollout = waves.status().rollout
    assert rollout is not None
    assert rollout.hold is None


def test_a_record_that_is_gone_is_named_by_a_hold(operation: Operation, hand: Hand) -> None:
    hand.redis.delete(*hand.keys())
    with pytest.raises(RecordGone, match=operation.id):
        operation.hold("let me look")


def test_an_operation_shows_what_it_is(operation: Operation) -> None:
    assert repr(operation) == f"<Operation {operation.id}: create team-a>"


def test_a_group_is_repaired_by_what_it_should_be(cluster: ClusterClient) -> None:
    with pytest.raises(InvalidInput, match='group "team-a" is repaired by what it should be'):
        cluster.repair("team-a")
