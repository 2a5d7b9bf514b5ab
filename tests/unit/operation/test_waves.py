"""Sizes of waves as people write them."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from lockstep.worker.operation.errors import InvalidInput
from lockstep.worker.operation.host import Host, local
from lockstep.worker.operation.model import Hold, HostName, Millis, Moment, RolloutState, Stage
from lockstep.worker.operation.story import not_held
from lockstep.worker.operation.transitions import Refusal
from lockstep.worker.operation.waves import (
    LONGEST,
    Pace,
    Rollout,
    by_size,
    earliest_end,
    idle,
    parse_health,
    parse_span,
    told_hold,
    told_rollout,
    worked,
)
from tests.unit.producer.samples import OPERATION

THREE = [HostName(name) for name in "abc"]


@pytest.mark.parametrize(
    ("hosts", "text", "waves"),
    [
        (3, "1,10%,100%", [1, 1, 1]),
        (300, "1,10%,100%", [1, 30, 269]),
        (100, "58%", [58, 42]),
        (300, "50%", [150, 150]),
        (5, "2", [2, 2, 1]),
        (4, "100%", [4]),
        (4, "9" * 9, [4]),
    ],
)
def test_sizes_are_of_all_hosts_and_the_last_repeats(hosts: int, text: str, waves: list[int]) -> None:
    names = [HostName(f"n{number}") for number in range(hosts)]
    found = by_size(names, text)
    assert list(found) == names
    assert [list(found.values()).count(number + 1) for number in range(max(found.values()))] == waves


@pytest.mark.parametrize("text", ["", "0", "0%", "101%", "1,,2", "-1", "1.5", "many", "1" * 10, None, 3])
def test_sizes_that_are_none_are_refused_by_name(text: str) -> None:
    with pytest.raises(InvalidInput, match="wave"):
        by_size(THREE, text)


def test_more_waves_than_anybody_can_watch_are_refused() -> None:
    with pytest.raises(InvalidInput, match="at most 100 waves"):
        by_size([HostName(f"n{number}") for number in range(101)], "1")
    assert max(by_size([HostName(f"n{number}") for number in range(100)], "1").values()) == 100


BAKING = RolloutState(1, 2, Stage.BAKING, None, Millis(90_000), None, bake=60_000, changed=1)


@pytest.mark.parametrize(
    ("standing", "earliest"),
    [
        (BAKING, 90_000),
        (replace(BAKING, bake_until=Millis(10)), 50_000),
        (replace(BAKING, stage=Stage.WORKING), 110_000),
        (replace(BAKING, stage=Stage.WORKING, changed=0), 50_000),
        (replace(BAKING, stage=Stage.GATING), 50_000),
        (replace(BAKING, hold=Hold(1, "ann", "why", Millis(0), Millis(99))), None),
    ],
)
def test_nothing_is_committed_before_its_bake_is_over(standing: RolloutState, earliest: int | None) -> None:
    assert earliest_end(standing, Millis(50_000)) == earliest


@pytest.mark.parametrize(
    ("standing", "told"),
    [
        (BAKING, f"wave 1 of 2, baking until {local(Millis(90_000))}"),
        (replace(BAKING, bake_until=None), "wave 1 of 2, baking"),
        (replace(BAKING, stage=Stage.WORKING), "wave 1 of 2, working"),
        (replace(BAKING, stage=Stage.GATING, round=3), "wave 1 of 2, gating in round 3"),
        (
            replace(BAKING, stage=Stage.WAITING, hold=Hold(1, "ann", "why", Millis(0), Millis(99))),
            "wave 1 of 2, waiting, held by ann: why",
        ),
    ],
)
def test_how_far_it_is_is_told_in_a_few_words(standing: RolloutState, told: str) -> None:
    assert told_rollout(standing) == told


HELD = Moment(Millis(10_000), "held", 1, "ann: why")
PROMOTED = Moment(Millis(70_000), "released", 1)


@pytest.mark.parametrize(
    ("moments", "told"),
    [
        ((HELD,), "held by ann: why"),
        ((HELD, Moment(Millis(20_000), "done", 1)), "held by ann: why"),
        ((HELD, PROMOTED), "promoted"),
        ((PROMOTED, HELD), "held by ann: why"),
        ((Moment(Millis(20_000), "done", 1),), None),
    ],
)
def test_who_held_it_last_is_told(moments: tuple[Moment, ...], told: str | None) -> None:
    standing = replace(BAKING, moments=moments)
    assert told_hold(standing, None) == told
    ago = "1 min ago" if moments[-1] is PROMOTED else "2 min ago"
    assert told_hold(standing, Millis(130_000)) == (told and f"{told}, {ago}")


def test_the_order_in_which_hosts_are_named_makes_no_other_request() -> None:
    one = Rollout({HostName("a"): 1, HostName("b"): 2})
    assert one.kept() == Rollout({HostName("b"): 2, HostName("a"): 1}).kept()
    assert json.loads(one.kept())["hold_most"] == 7 * 24 * 3_600_000


def test_what_is_not_given_is_as_the_inventory_says() -> None:
    usual = Pace("5", bake="9m", hold=True, health="/usual")
    assert Pace("1,100%", bake="1m").over(usual) == Pace("1,100%", bake="1m", hold=True, health="/usual")
    assert Pace(bake="1m").over(usual) == replace(usual, bake="1m", by_default=True)
    assert Pace("1,100%", hold=True, expires="1h").over(Pace()) == Pace("1,100%", hold=True, expires="1h")


@pytest.mark.parametrize(
    "pace", [Pace("0"), Pace("1", bake="0s"), Pace("1", expires="never"), Pace(hold=True)]
)
def test_what_no_hosts_could_go_by_is_refused_before_they_are_known(pace: Pace) -> None:
    with pytest.raises(InvalidInput):
        pace.check()


def test_a_duration_is_told_without_bakes_and_holds() -> None:
    begun = OPERATION.created_at
    course = [
        (10, "done"),
        (70, "gate"),
        (75, "passed"),
        (80, "held"),
        (100, "released"),
        (100, "wave"),
        (130, "done"),
    ]
    moments = tuple(Moment(Millis(begun + at), what, 1) for at, what in course)
    rollout = replace(BAKING, moments=moments)
    undecided = replace(OPERATION, rollout=rollout)
    assert worked(undecided) is None
    assert idle(undecided, Millis(begun + 150)) == 60 + 25 + 20
    assert [idle(undecided, Millis(begun + at)) for at in (120, 130, 131)] == [85, 85, 86]
    at_work = replace(BAKING, moments=(Moment(begun, "wave", 1), Moment(Millis(begun + 5), "held", 1)))
    for working in (OPERATION, replace(OPERATION, rollout=at_work)):
        assert idle(working, Millis(begun + 150)) == 0
    ended = replace(undecided, decided_at=Millis(begun + 150), ended_at=Millis(begun + 170))
    assert worked(ended) == 10 + 5 + 30 + 20


@pytest.mark.parametrize("path", ["health", "", "/ a", "/a#b", "http://x/", 7, "/" + "a" * 200, "/ä"])
def test_a_health_path_that_is_none_is_refused_in_one_line(path: object) -> None:
    with pytest.raises(InvalidInput, match=r"has health .*: give a path such as /health") as caught:
        parse_health("host node1", path)
    assert "\n" not in str(caught.value)


def test_a_host_has_its_own_health_path_or_that_of_all() -> None:
    hosts = [Host(HostName("a"), "http://a"), Host(HostName("b"), "http://b", health="/own")]
    rollout = Pace("1,100%", health="/all").rollout(hosts)
    assert rollout is not None
    assert (rollout.gate, rollout.health) == (True, {"a": "/all", "b": "/own"})
    assert (rollout.bake, rollout.hold, rollout.within) == (0, False, None)


@pytest.mark.parametrize(
    ("pace", "told"),
    [
        (Pace(bake=0), "bake 0"),
        (Pace(hold=True), "hold"),
        (Pace(expires="1h"), 'expires "1h"'),
        (Pace(health="/all"), 'health "/all"'),
        (Pace("none", health="/all"), 'health "/all"'),
    ],
)
def test_what_is_about_waves_is_refused_without_them(pace: Pace, told: str) -> None:
    with pytest.raises(InvalidInput, match=f"^{told} is about waves: give waves or wave_by as well$"):
        pace.over(Pace(health="/usual")).rollout([Host(HostName("a"), "http://a")])


def test_the_path_of_the_inventory_alone_makes_no_waves() -> None:
    usual = Pace(health="/usual").check()
    assert Pace().over(usual).rollout([Host(HostName("a"), "http://a")]) is None


def labelled(*zones: str | None) -> list[Host]:
    return [
        Host(HostName(f"n{number}"), f"http://n{number}", labels={} if zone is None else {"zone": zone})
        for number, zone in enumerate(zones)
    ]


def test_a_label_makes_one_wave_of_each_value_in_the_order_of_their_appearance() -> None:
    rollout = Pace(wave_by="zone").rollout(labelled("eu", "us", "eu", "ap", "us"))
    assert rollout is not None
    assert rollout.waves == {"n0": 1, "n1": 2, "n2": 1, "n3": 3, "n4": 2}
    assert not rollout.gate


def test_hosts_that_lack_the_label_are_named_three_of_them() -> None:
    with pytest.raises(InvalidInput, match=r'no label "zone" on n1: every host needs one'):
        Pace(wave_by="zone").rollout(labelled("eu", None))
    with pytest.raises(InvalidInput, match="on n0, n1, n2 and 2 more: every host"):
        Pace(wave_by="zone").rollout(labelled(*[None] * 5))
    with pytest.raises(InvalidInput, match="on n0, n1, n2 and 1 more: every host"):
        Pace(wave_by="zone").rollout(labelled(*[None] * 4))
    with pytest.raises(InvalidInput, match="on n0, n1, n2: every host"):
        Pace(wave_by="zone").rollout(labelled(*[None] * 3))


def test_a_label_with_more_values_than_anybody_can_watch_is_refused() -> None:
    hosts = labelled(*map(str, range(101)))
    with pytest.raises(InvalidInput, match='label "zone" has 101 values: at most 100 waves'):
        Pace(wave_by="zone").rollout(hosts)
    assert Pace(wave_by="zone").rollout(hosts[:100]) is not None


def test_waves_for_one_host_are_refused_to_whoever_asks_and_not_to_an_inventory() -> None:
    (one,) = labelled("eu")
    with pytest.raises(InvalidInput, match="waves for one host, n0: leave them out"):
        Pace("1,100%").rollout([one])
    by_default = Pace().over(Pace(wave_by="zone")).rollout([one])
    assert by_default is not None
    assert by_default.waves == {"n0": 1}


def test_sizes_and_a_label_are_not_both_taken() -> None:
    with pytest.raises(InvalidInput, match="give waves or wave_by, not both"):
        Pace("1,100%", "zone").check()
    assert Pace(wave_by="zone", bake="5m").check().wave_by == "zone"


@pytest.mark.parametrize(
    ("given", "milliseconds"),
    [
        ("1s", 1000),
        ("5m", 300_000),
        ("2h", 7_200_000),
        ("1d", 86_400_000),
        ("30d", LONGEST * 1000),
        (0.0001, 1),
        (2.5, 2500),
        ("90", 90_000),
    ],
)
def test_a_span_is_read_in_its_unit(given: object, milliseconds: int) -> None:
    assert parse_span("bake", given) == milliseconds


@pytest.mark.parametrize("given", [0, -1, "0s", "31d", LONGEST + 1, True, "", "m", "5w", None, float("nan")])
def test_what_is_no_span_is_refused(given: object) -> None:
    with pytest.raises(InvalidInput, match=r"bake .*: give a time above 0 and at most 30d"):
        parse_span("bake", given)


def test_who_holds_is_told_only_where_another_hold_is_on_it() -> None:
    hold = Hold(2, "ann", "why", Millis(0), Millis(1))
    held = RolloutState(1, 2, Stage.WAITING, hold, None, None)
    assert not_held(Refusal.OTHER, held).startswith("hold 2 is on it, by ann since ")
    assert not_held(Refusal.ALREADY, held) == "nobody holds it"
    for standing in (None, replace(held, hold=None)):
        assert not_held(Refusal.OTHER, standing) == "that hold is not on it"
