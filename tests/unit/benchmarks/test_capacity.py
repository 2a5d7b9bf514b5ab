"""The model in docs/scale.md is fitted from the benchmark, and predicts what the fit did not use."""

from __future__ import annotations

import math
import re

import pytest

from benchmarks.capacity import (
    BYTES,
    COMMANDS,
    COSTS,
    COUNTED,
    COUNTED_APART,
    between,
    fit,
    fit_attempts,
    parts,
    predictions,
    table,
)
from benchmarks.capacity import RECORD as RECORD_BYTES
from lockstep.producer.doctor.facts import RECORD, RECORD_OF_A_HOST
from lockstep.worker.record.keys import Keys
from lockstep.worker.settings import Settings
from tests.walk import ROOT

RESULTS = (ROOT / "benchmarks/results.md").read_text("utf-8")
SCALE = (ROOT / "docs/scale.md").read_text("utf-8")
HEAD = "| candidate | s | AOF bytes a host |\n| --- | --- | --- |\n"


@pytest.mark.parametrize("column", COSTS)
def test_the_model_predicts_what_it_was_not_fitted_to(column: str) -> None:
    found = {(hosts, attempts): pair for hosts, attempts, *pair in predictions(RESULTS, column)}
    once = [(60, 1)] if column == RECORD_BYTES else [(1000, 1), (10_000, 1)]
    if fit(RESULTS, column):
        assert list(found) == [*once, *(COUNTED_APART if column in COUNTED else ())]
    for predicted, measured in found.values():
        assert predicted == pytest.approx(measured, rel=0.2)


def test_the_page_has_the_table_of_the_last_run() -> None:
    assert between(SCALE, table(RESULTS)) == SCALE


def test_what_is_fitted_is_the_cost_of_a_slice_and_of_a_host() -> None:
    costs = {hosts: 50 * slices + 3 * hosts for hosts, slices in ((100, 7), (1000, 16), (5000, 79))}
    sections = "".join(
        f"\n## create, {hosts} hosts, 20 ms\n\n{HEAD}| Lockstep, AOF always | 1 | {cost / hosts} |\n"
        for hosts, cost in costs.items()
    )
    assert fit(sections, "AOF bytes a host") == pytest.approx((50, 3))
    ((hosts, attempts, predicted, measured),) = predictions(sections, "AOF bytes a host")
    assert (hosts, attempts, measured) == (1000, 1, 3.8)
    assert predicted == pytest.approx(measured)
    assert fit(sections, "CPU ms a host") is None, "it was not measured"


def test_what_is_fitted_of_attempts_is_what_each_further_one_costs_and_settling_them_once() -> None:
    def cost(hosts: int, parts: int, tries: int) -> float:
        return (tries - 1) * (20 * parts / hosts + 4) + (tries > 1) * (30 * parts / hosts + 7)

    lines = "".join(
        f"\n- {hosts} hosts, {tries} attempts each: {cost(hosts, parts, tries)} AOF bytes a host"
        for hosts, parts in ((100, 7), (1000, 16))
        for tries in (1, 2, 3)
    )
    assert (found := fit_attempts(lines, "AOF bytes a host"))
    assert found[0] == pytest.approx((20, 4))
    assert found[1] == pytest.approx((30, 7))
    assert fit_attempts(lines, "CPU ms a host") is None, "it was not counted"


def test_what_is_fitted_of_a_record_is_what_an_operation_and_a_host_take_of_it() -> None:
    lines = "".join(
        f"\n- Redis after {kept} operations of {hosts} hosts: ends: 1, op: 2 keys, {size * kept} KiB"
        for kept, hosts, size in ((30, 5, 2), (1, 1000, 201))
    )
    assert fit(lines, RECORD_BYTES) == pytest.approx((1024, 1024 / 5))


def test_doctor_goes_by_the_sizes_of_the_page() -> None:
    assert (found := fit(RESULTS, RECORD_BYTES))
    for hosts in (5, 100, 1000, 10_000):
        assert RECORD + hosts * RECORD_OF_A_HOST == pytest.approx(found[0] + hosts * found[1], rel=0.1)


def test_every_key_that_a_script_shares_is_named_where_one_redis_ends() -> None:
    scripts = "".join(each.read_text("utf-8") for each in (ROOT / "worker/record/lua").rglob("*.lua"))
    shared = {*re.findall(r"PREFIX \.\. '(\w+)", scripts), *Keys("").shared}
    shared -= {"op", "events"}  # the operation's own, and a channel, which is in no slot
    rows = re.findall(r"^\| (`[^|]*) \|", SCALE.partition("## Where one Redis ends")[2], re.MULTILINE)
    assert shared - set(re.findall(r"`(\w+)", " ".join(rows))) == set()


def cost(column: str, hosts: int) -> float:
    """What an operation costs by the model."""
    found = fit(RESULTS, column)
    assert found, column
    return found[0] * parts(hosts, column) + found[1] * hosts


def planned(row: str) -> list[float]:
    """The numbers of the first row of that name on what an operation takes."""
    cells = SCALE.partition("## What it takes")[2].partition(f"\n| {row} |")[2].partition("\n")[0]
    return [float(each.replace(",", "")) for each in re.findall(r"\d[\d,]*(?:\.\d+)?", cells)]


@pytest.mark.parametrize(
    ("hosts", "of_redis"),
    [
        (1000, "an operation on 1,000 hosts"),
        (10_000, "on 10,000 hosts"),
        (100_000, "on 100,000 hosts, two worker pods"),
    ],
)
def test_what_is_planned_with_is_what_the_model_says(hosts: int, of_redis: str) -> None:
    whole, kept = cost("s", hosts) / 1000, cost(RECORD_BYTES, hosts) + 102.4 * (1 + hosts)
    pods = math.ceil(whole / 30)
    model = whole, pods, cost(COMMANDS, hosts), kept / 2**20
    assert planned(f"{hosts:,}")[:4] == pytest.approx(model, rel=0.2)

    within, room = whole / pods, 0.7 * Settings().memory_watermark * 2**30
    commands, busy, written = (cost(column, hosts) / within for column in (COMMANDS, "of it Redis", BYTES))
    wanted = commands, within, busy / 10, written / 1e6, 1, room / kept
    assert planned(of_redis)[:6] == pytest.approx(wanted, rel=0.2)
