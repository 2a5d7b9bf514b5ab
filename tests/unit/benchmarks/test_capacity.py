"""The model in docs/scale.md is fitted from the benchmark, and predicts what the fit did not use."""

from __future__ import annotations

import re

import pytest

from tests.walk import ROOT

RESULTS = (ROOT / "benchmarks/results.md").read_text("utf-8")
SCALE = (ROOT / "docs/scale.md").read_text("utf-8")
COLUMNS = {"time": (4, 1000.0), "CPU": (7, 1.0), "Redis alone": (8, 1.0), "commands": (9, 1.0)}
"""Column, and by what to multiply it: seconds are of all hosts, the rest of one."""
ROWS = {"time": "time on", "CPU": "CPU of pro", "Redis alone": "CPU of Redis", "commands": "Redis com"}


def measured(hosts: int, what: str) -> float:
    """What one host costs."""
    section = RESULTS.split(f"\n## create, {hosts} hosts, 20 ms\n")[1].split("\n## ")[0]
    (row,) = re.findall(r"^\| Lockstep, AOF always \|.*$", section, re.MULTILINE)
    column, by = COLUMNS[what]
    value = float(row.split("|")[column]) * by
    return value / hosts if what == "time" else value


def fit(what: str) -> tuple[float, float]:
    """Return what an operation and what a host costs, from those of 100 and of 1,000 hosts."""
    small, large = measured(100, what) * 100, measured(1000, what) * 1000
    each = (large - small) / 900
    return small - 100 * each, each


@pytest.mark.parametrize("what", COLUMNS)
@pytest.mark.parametrize("hosts", [5000, 10_000])
def test_the_model_predicts_what_it_was_not_fitted_to(what: str, hosts: int) -> None:
    whole, each = fit(what)
    assert (whole + each * hosts) / hosts == pytest.approx(measured(hosts, what), rel=0.2)


@pytest.mark.parametrize("what", COLUMNS)
def test_the_page_has_the_coefficients_of_the_fit(what: str) -> None:
    (row,) = re.findall(rf"^\| {ROWS[what]}.*$", SCALE, re.MULTILINE)
    said = [float(value) for value in row.split("|")[2:4]]
    whole, each = fit(what)
    assert whole == pytest.approx(said[0], abs=0.6)
    assert each == pytest.approx(said[1], rel=0.05)
