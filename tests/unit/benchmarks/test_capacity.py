"""The model in docs/scale.md is fitted from the benchmark, and predicts what the fit did not use."""

from __future__ import annotations

import pytest

from benchmarks.capacity import COSTS, PREDICTED, between, fit, predictions, table
from lockstep.producer.doctor.facts import RECORD, RECORD_OF_A_HOST
from tests.walk import ROOT

RESULTS = (ROOT / "benchmarks/results.md").read_text("utf-8")
SCALE = (ROOT / "docs/scale.md").read_text("utf-8")
HEAD = "| candidate | s | AOF bytes a host |\n| --- | --- | --- |\n"


@pytest.mark.parametrize("column", COSTS)
def test_the_model_predicts_what_it_was_not_fitted_to(column: str) -> None:
    found = list(predictions(RESULTS, column))
    assert len(found) == (len(PREDICTED) if fit(RESULTS, column) else 0)
    for _, predicted, measured in found:
        assert predicted == pytest.approx(measured, rel=0.2)


def test_the_page_has_the_table_of_the_last_run() -> None:
    assert between(SCALE, table(RESULTS)) == SCALE


def test_what_is_fitted_is_the_cost_of_an_operation_and_of_a_host() -> None:
    costs = {hosts: 50 + 3 * hosts for hosts in (100, 1000, 5000)}
    sections = "".join(
        f"\n## create, {hosts} hosts, 20 ms\n\n{HEAD}| Lockstep, AOF always | 1 | {cost / hosts} |\n"
        for hosts, cost in costs.items()
    )
    assert fit(sections, "AOF bytes a host") == pytest.approx((50, 3))
    ((hosts, predicted, measured),) = predictions(sections, "AOF bytes a host")
    assert (hosts, measured) == (5000, 3.01)
    assert predicted == pytest.approx(measured)
    assert fit(sections, "CPU ms a host") is None, "it was not measured"


def test_doctor_goes_by_the_sizes_of_the_page() -> None:
    sizes = (RECORD / 1024, RECORD_OF_A_HOST / 1024)
    assert "| its record | {:g} KiB | {:g} KiB |".format(*sizes) in SCALE
