"""What a tier came to: whether it showed anything at all, and the line that can be quoted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from tests.chaos.run import STRANGE, Outcome

ROLLED_BACK, AMBIGUOUS, LATE = 1 / 10, 1 / 3, 1 / 15
"""So many there must be for each operation, of those that were rolled back, of answers, and of effects."""


def missing(outcome: Outcome) -> Iterator[str]:
    """Say what never happened in a run."""
    for kind in sorted(outcome.expected_faults):
        if not outcome.faults[kind]:
            yield f'"{kind}" never happened'
    if outcome.operations < outcome.plan.operations:
        yield f"only {outcome.operations} of {outcome.plan.operations} operations were accepted"
    if not outcome.pending_seen:
        yield "no operation was ever seen with pending hosts"
    if outcome.transitions < outcome.operations:
        yield f"only {outcome.transitions} transitions were held to the model"
    if outcome.plan.before:  # it knows neither
        return
    if not outcome.on_things:
        yield "no operation on a thing was accepted"
    if not outcome.in_waves:
        yield "no operation in waves was accepted"


def vacuous(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """Say what did not happen often enough for the tier to mean anything."""
    for outcome in outcomes:
        yield from (f"{outcome.plan.name}: {what}" for what in missing(outcome))
    if len(outcomes) == 1:  # by itself it is too short for the rest
        return
    operations = sum(outcome.operations for outcome in outcomes)
    rolled_back = sum(outcome.rolled_back for outcome in outcomes)
    if rolled_back < ROLLED_BACK * operations:
        yield f"only {rolled_back} of {operations} operations were rolled back"
    if (ambiguous := sum(outcome.ambiguous for outcome in outcomes)) < AMBIGUOUS * operations:
        yield f"only {ambiguous} answers were ambiguous"
    if (late := sum(outcome.late for outcome in outcomes)) < LATE * operations:
        yield f"only {late} effects landed late"
    if not (whole := [outcome for outcome in outcomes if not outcome.plan.before]):
        return
    if not any(outcome.waits for outcome in whole):
        yield "no write ever waited for its turn at the limited host"
    if not any(outcome.committed_things for outcome in whole):
        yield "no operation on a thing was committed"
    for kind in STRANGE:
        if not any(outcome.strange[kind] for outcome in whole):
            yield f"no write of a thing ever met the fault {kind}"


def line(outcomes: Sequence[Outcome]) -> str:
    """Return the line that a person can quote."""
    operations = sum(outcome.operations for outcome in outcomes)
    faults: Counter[str] = sum((outcome.faults for outcome in outcomes), Counter())
    kinds = ", ".join(f"{kind}: {count}" for kind, count in sorted(faults.items()))
    violations = sum(len(outcome.verdict.violations) for outcome in outcomes)
    apart = sum(len(outcome.verdict.apart) for outcome in outcomes)
    bound = "" if violations else f" (95 % upper bound 3/{operations} = {300 / operations:.2g} %)"
    beside = f", {apart} counted apart" if apart else ""
    return (
        f"{operations} operations, {faults.total()} faults ({kinds}), "
        f"{sum(outcome.rolled_back for outcome in outcomes)} rolled back, "
        f"{sum(outcome.ambiguous for outcome in outcomes)} ambiguous, "
        f"{sum(outcome.late for outcome in outcomes)} late, {violations} violations{bound}{beside}, "
        f"{sum(outcome.transitions for outcome in outcomes)} transitions as the model allows, "
        f"slowest end {max(0.0, *(outcome.slowest for outcome in outcomes)):.1f} s after healing"
    )


def summary(outcome: Outcome) -> str:
    """Return a line about one run."""
    plan = outcome.plan
    return (
        f"{plan.name} (pool {plan.pool}, seed {plan.seed}): {outcome.operations} operations, "
        f"{outcome.rolled_back} rolled back, {outcome.ambiguous} ambiguous, {outcome.late} late, "
        f"{outcome.waits} waits for a turn, {outcome.paced} for a moment, "
        f"{outcome.in_waves} in waves, {outcome.on_things} on things, {outcome.committed_things} committed, "
        f"{outcome.strange['ignore']} writes ignored, {outcome.strange['rewrite']} rewritten, "
        f"{len(outcome.verdict.violations)} violations, {outcome.seconds:.0f} s; {outcome.details}"
    )
