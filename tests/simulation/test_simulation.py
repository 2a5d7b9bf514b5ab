"""Many schedules, and proof that the simulation would notice if the protocol lacked a mechanism."""

from __future__ import annotations

import itertools
import os

import pycurl
import pytest
from celery.exceptions import Ignore

from lockstep.worker.hosts.transfer import Transfer
from lockstep.worker.operation.answer import NoReply, Reply, Trouble
from lockstep.worker.operation.host import Limits
from lockstep.worker.steps.apply import StepContext
from lockstep.worker.tasks import run
from tests.simulation import broken, hosts, ledger, people, schedule, transport
from tests.simulation.choices import Choices
from tests.simulation.faults import Fate, Row
from tests.simulation.ledger import WatchedStore
from tests.simulation.schedule import run_schedule
from tests.simulation.search import Tally, explain, search, shrink

DISTINCT = 20_000
PER_ROW = 100
BESIDES = (
    "repairs begun",
    "repairs that came too late",
    "looks that an operation overtook",
    "tasks for several hosts",
    "operations in waves",
    "waves opened",
    "rounds of the gate",
    "holds by people",
    "promotes that were answered released",
    "schedules with a limit of writes",
    "hosts called to their turn",
    "waves published by who opened them",
    "schedules with content",
    "writes of third hands",
    "writes that a host said yes to, and ignored",
    "words of a person",
)
ENOUGH = 6_000
"""Schedules in which a missing mechanism must show; the slowest takes 2,500."""
FEW = 7
"""Failing schedules of which the shortest is shrunk."""
pytestmark = pytest.mark.timeout(600)


def first_failure() -> Tally:
    """Search until a schedule fails, for as long as is enough."""
    tally = search(range(ENOUGH), lambda tally: not tally.failed)
    assert tally.failed, f"not noticed in {ENOUGH} schedules"
    return tally


def test_whatever_goes_wrong_every_operation_ends_as_promised(capsys: pytest.CaptureFixture[str]) -> None:
    def more(tally: Tally) -> bool:
        rare = any(tally.rows[row] < PER_ROW for row in Row)
        return (len(tally.distinct) < DISTINCT or rare) and not tally.failed

    tally = search(range(2 * DISTINCT), more, processes=os.cpu_count() or 1)
    for seed, finding in tally.failed:
        told = explain(shrink(finding.trace, finding.wrong))
        pytest.fail(f"seed {seed}: {finding.wrong}\n{told}", pytrace=False)
    with capsys.disabled():
        print(f"\n{tally.table()}\n")
    assert len(tally.distinct) >= DISTINCT
    assert {row.value: tally.rows[row] for row in Row if tally.rows[row] < PER_ROW} == {}
    assert {what: tally.notes[what] for what in BESIDES if tally.notes[what] < PER_ROW} == {}


def test_without_faults_every_host_is_changed_and_nothing_is_hit() -> None:
    finding = run_schedule(Choices(), tracing=True)
    assert (finding.wrong, finding.rows) == (None, set())
    assert any(line.endswith("ended one committed") for line in finding.lines)


def test_a_seed_and_its_trace_tell_the_same_story() -> None:
    for seed in range(50):
        first = run_schedule(Choices(seed), tracing=True)
        again = run_schedule(Choices(replay=first.trace), tracing=True)
        assert again.lines == first.lines
        assert again.rows == first.rows


@pytest.mark.parametrize("store", broken.STORES)
def test_a_missing_mechanism_is_noticed(monkeypatch: pytest.MonkeyPatch, store: type[WatchedStore]) -> None:
    monkeypatch.setattr(ledger, "WatchedStore", store)
    first_failure()


def test_an_outage_that_counts_as_what_a_step_raised_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "NOT_NOW", ())
    first_failure()


def test_a_message_that_is_dropped_in_an_outage_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "_put_back", lambda why, wait: Ignore())
    first_failure()


@pytest.mark.parametrize("limits", [broken.AT_ONCE, broken.NO_CALL], ids=["settle at once", "no call time"])
def test_settling_too_soon_is_noticed(monkeypatch: pytest.MonkeyPatch, limits: Limits) -> None:
    monkeypatch.setattr(schedule, "LIMITS", limits)
    first_failure()


def test_a_write_past_its_send_by_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StepContext, "may_send", lambda *_: lambda: True)
    first_failure()


class TakesLostForNotSent(Transfer):
    """A transfer that believes a connection that broke while it sent to have carried nothing."""

    def came(self, code: int, text: str) -> Reply | NoReply:
        self.sent = self.sent and code not in (pycurl.E_SEND_ERROR, pycurl.E_RECV_ERROR)
        return super().came(code, text)


def test_a_transport_that_takes_a_lost_answer_for_a_write_not_sent_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ways = tuple(transport.came(way, TakesLostForNotSent) for way in transport.LOST)
    monkeypatch.setattr(hosts, "LOST", ways)
    monkeypatch.setitem(hosts.WITHOUT_EFFECT, Fate.RESET, ways)
    first_failure()


def test_of_every_code_of_libcurl_only_an_unsent_call_is_called_so() -> None:
    for code in transport.EVERY_CODE:
        for status in (0, 201):
            said = transport.came(transport.Way(code, "said", status=status))
            assert isinstance(said, NoReply), code
            assert said.trouble in (Trouble.LOST, Trouble.UNREADABLE), code
        unsent = transport.came(transport.Way(code, "said", asked=0))
        assert isinstance(unsent, NoReply), code
        assert unsent.trouble is Trouble.NOT_SENT, code


def test_a_missing_sweep_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(people, "_start_sweep", lambda broker: None)
    first_failure()


def test_a_missing_patrol_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(people, "_start_patrol", lambda broker: None)
    first_failure()


def test_a_failing_schedule_is_shrunk_to_its_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedule, "LIMITS", broken.NO_CALL)
    tally = search(range(ENOUGH), lambda tally: len(tally.failed) < FEW)
    # A long one takes its shrinking many times as long, and shows no more.
    finding = min((finding for _, finding in tally.failed), key=lambda each: len(each.trace))
    core = shrink(finding.trace)
    assert run_schedule(Choices(replay=core)).wrong
    assert sum(map(bool, core)) < sum(map(bool, finding.trace)) / 2, "most of the noise is gone"
    assert explain(core).splitlines()[-2].split("  ")[-1].startswith("VIOLATION")


def test_a_choice_is_always_in_its_range() -> None:
    for count, seed in itertools.product((1, 2, 160), range(20)):
        drawn = Choices(seed)
        assert all(0 <= drawn.choose(count) < count for _ in range(100))
        assert 0 <= Choices(replay=[1_023]).choose(count) < count
    assert Choices().choose(160) == 0, "what is not given is the choice with which nothing goes wrong"
