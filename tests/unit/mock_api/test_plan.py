"""Chance can be had again: the n-th call on a node draws the same, whatever else happens."""

from __future__ import annotations

from lockstep.mock_api.faults import FaultKind, FaultPlan, Latency, Method, Rule

CALLS = 400
# Seed 7, node1, one call in ten: a run that was written down must be repeatable with a later version.
FIRST_STRUCK = [25, 31, 34, 41, 45, 47, 53, 59]


def plan(*rules: Rule, seed: int = 7, node: str = "node1") -> FaultPlan:
    made = FaultPlan(seed, node)
    made.replace(rules)
    return made


def struck(made: FaultPlan, calls: int = CALLS, method: Method = Method.POST) -> list[int]:
    return [index for index in range(calls) if made.draw(method, "a").rule is not None]


def often(share: float, **fields: object) -> Rule:
    return Rule.model_validate({"kind": "error_before", "probability": share, **fields})


def test_the_same_seed_strikes_the_same_calls() -> None:
    assert struck(plan(often(0.3))) == struck(plan(often(0.3)))


def test_another_seed_or_node_strikes_others() -> None:
    here = struck(plan(often(0.3)))
    assert here != struck(plan(often(0.3), seed=8))
    assert here != struck(plan(often(0.3), node="node2"))


def test_a_seed_means_the_same_numbers_in_every_version() -> None:
    assert struck(plan(often(0.1)), 60) == FIRST_STRUCK


def test_rules_do_not_shift_the_numbers_of_later_calls() -> None:
    plain, busy = plan(), plan(often(0.5), often(0.2, times=3), often(0.1, methods=["GET"]))
    busy.latency = Latency(uniform=(1, 2))
    struck(plain, 50)
    struck(busy, 50)
    for made in (plain, busy):
        made.replace([often(0.3)])
    assert struck(plain) == struck(busy)


def test_probability_is_the_share_of_all_matching_calls() -> None:
    made = plan(often(0.2), Rule(kind=FaultKind.RESET_AFTER, probability=0.3))
    kinds = [
        draw.rule.kind if draw.rule else None for draw in (made.draw(Method.POST, "a") for _ in range(4000))
    ]
    assert abs(kinds.count(FaultKind.ERROR_BEFORE) / 4000 - 0.2) < 0.03
    assert abs(kinds.count(FaultKind.RESET_AFTER) / 4000 - 0.3) < 0.03


def test_after_skips_the_first_matching_calls_and_times_ends_the_rule() -> None:
    assert struck(plan(often(1, after=2, times=3))) == [2, 3, 4]


def test_calls_that_do_not_match_are_not_counted() -> None:
    made = plan(often(1, after=1, methods=["POST"]))
    assert struck(made, 5, Method.GET) == []
    assert struck(made, 3) == [1, 2]
    assert (made.armed[0].seen, made.armed[0].fired) == (3, 2)


def test_the_first_rule_that_strikes_wins_and_a_spent_one_makes_room() -> None:
    made = plan(often(1, times=1), Rule(kind=FaultKind.RESET_AFTER))
    kinds = [draw.rule.kind for draw in (made.draw(Method.POST, "a") for _ in range(3)) if draw.rule]
    assert kinds == [FaultKind.ERROR_BEFORE, FaultKind.RESET_AFTER, FaultKind.RESET_AFTER]


def test_latency_is_seeded_too() -> None:
    first, second = plan(), plan(often(0.5))
    first.latency = second.latency = Latency(uniform=(0, 1000))
    delays = [first.draw(Method.GET, "a").delay for _ in range(20)]
    assert delays == [second.draw(Method.GET, "a").delay for _ in range(20)]
    assert len(set(delays)) == 20


def test_reset_begins_the_sequence_again() -> None:
    made = plan(often(0.3))
    before = struck(made)
    made.reset()
    assert made.armed == []
    made.replace([often(0.3)])
    assert struck(made) == before
