"""The protocol in every small configuration, every mechanism removed in turn, and the checker itself."""

from __future__ import annotations

import dataclasses
from array import array
from typing import cast

import pytest

from tests.model import content_cases
from tests.model.configurations import MUTANTS, NAIVE, TESTED, Configuration, holds
from tests.model.content import ContentRules
from tests.model.content_cases import Content
from tests.model.lockstep import Lockstep
from tests.model.report import as_it_should, run
from tests.model.rules import Joint, Local, Room, Rules
from tests.model.search import first_stuck, search
from tests.model.state import (
    At,
    Attempt,
    Cancel,
    Decision,
    Host,
    Late,
    Outcome,
    Phase,
    Shared,
    Travel,
    Undo,
    Worker,
)

State = tuple[Shared, tuple[Host, ...]]
TINY = Rules(workers=1, late=1, forward_slots=1)
ROOM = Room(worker=True, late=True)


def named(configuration: Configuration) -> str:
    return configuration.name


@pytest.mark.parametrize("configuration", [*TESTED, *content_cases.TESTED], ids=named)
def test_no_promise_breaks_and_the_end_stays_reachable(configuration: Configuration) -> None:
    _, result = run(configuration)
    assert result.wrong == {}
    assert result.complete
    assert result.ends


@pytest.mark.parametrize("configuration", [*NAIVE, *MUTANTS, *content_cases.NAIVE], ids=named)
def test_without_this_a_promise_breaks(configuration: Configuration) -> None:
    _, result = run(configuration)
    assert any(name.startswith(configuration.breaks or "") for name in result.wrong)


def test_every_mechanism_and_every_assumption_is_switched_off_by_some_mutant() -> None:
    switches = {field.name for field in dataclasses.fields(Rules) if field.default is True}
    world = {
        "deadline",
        "others_suffice",
        "people_promote",
    }  # not promises of ours: what may happen, and what is asked of it
    off = {
        switch
        for configuration in MUTANTS
        if isinstance(configuration.model, Lockstep)
        for switch in switches
        if not getattr(configuration.model.rules, switch)
    }
    assert off - world == switches - world


def test_every_rule_of_content_is_switched_off_by_some_naive_one() -> None:
    rules = {field.name for field in dataclasses.fields(ContentRules) if field.default is True}
    rules -= {"deadline", "people"}
    models = [cast(Content, configuration.model) for configuration in content_cases.NAIVE]
    assert {rule for model in models for rule in rules if not getattr(model.rules, rule)} == rules


def test_a_counterexample_where_none_may_be_is_a_failure_and_so_is_a_missing_one() -> None:
    sound = holds("sound", TINY)
    unexpected = holds("gives up", dataclasses.replace(TINY, undo_never_gives_up=False))
    missing = dataclasses.replace(sound, breaks="LOST")
    assert as_it_should(*run(sound))
    assert not as_it_should(*run(unexpected))
    assert not as_it_should(*run(missing))


# The checker


def by_hand(model: Lockstep, *, tidy: bool) -> set[State]:
    """Every reachable state, without the tables, the packing and the sorting of the search."""
    shared, hosts = model.start()
    start: State = (shared, tuple(hosts))
    seen, queue = {start}, [start]
    while queue:
        shared, here = queue.pop()
        room = Room(
            worker=sum(len(host.workers) for host in here) < model.bounds[0],
            late=sum(len(host.late) for host in here) < model.bounds[1],
        )
        following: list[State] = []
        for position, host in enumerate(here):
            for move in model.local(shared, host, room):
                following.append((move.shared, (*here[:position], move.host, *here[position + 1 :])))
        for joint in model.joint(shared):
            if joint.enabled(here):
                following.append((joint.shared, tuple(joint.then(host) for host in here)))
        for after, unsorted in following:
            for joint in model.joint(after):
                if joint.at_once and joint.enabled(unsorted):
                    after, unsorted = joint.shared, tuple(joint.then(host) for host in unsorted)
                    break
            if tidy:
                unsorted = tuple(model.tidy(after, host) for host in unsorted)
            state = (after, tuple(sorted(unsorted, key=repr)))
            if state not in seen:
                seen.add(state)
                queue.append(state)
    return seen


def test_the_search_visits_exactly_the_states_that_a_plain_search_visits() -> None:
    rules = dataclasses.replace(TINY, held=(False, True), workers=2)
    assert search(Lockstep(rules)).states == len(by_hand(Lockstep(rules), tidy=True))


def test_what_is_forgotten_is_read_by_nothing() -> None:
    """With or without `tidy`, decisions, hosts and late writes take exactly the same values together."""
    model = Lockstep(dataclasses.replace(TINY, held=(False,)))

    def seen_from_outside(states: set[State]) -> set[object]:
        return {
            (shared, tuple((host.holds, host.expected, host.late, host.wrong) for host in hosts))
            for shared, hosts in states
        }

    assert seen_from_outside(by_hand(model, tidy=True)) == seen_from_outside(by_hand(model, tidy=False))


def test_every_point_of_a_worker_every_outcome_and_every_undo_is_reached() -> None:
    """A transition that could never fire would keep every promise."""
    model = Lockstep(dataclasses.replace(TINY, held=(False,), hosts_may_die=1))
    gated = Lockstep(dataclasses.replace(TINY, held=(False,), late=0, gate=True))
    hosts = [host for each in (model, gated) for _, hosts in by_hand(each, tidy=False) for host in hosts]
    assert {worker.at for host in hosts for worker in host.workers} == set(At) - {At.OVERSLEPT}
    assert {step.undo for host in hosts for step in host.steps} == set(Undo)
    assert {fate for host in hosts for step in host.steps for fate in step.attempts} == set(Attempt)
    held = Lockstep(dataclasses.replace(TINY, held=(True,)))
    hosts += [host for _, hosts in by_hand(held, tidy=False) for host in hosts]
    assert {step.outcome for host in hosts for step in host.steps} == set(Outcome)


def test_closing_a_proven_attempt_reaches_no_state_that_the_protocol_does_not_reach() -> None:
    """It does what `finish` does in the run where the answer of that write was not lost."""
    rules = dataclasses.replace(TINY, held=(False,), workers=2)
    refined = by_hand(Lockstep(dataclasses.replace(rules, close_proven=True)), tidy=True)
    assert refined <= by_hand(Lockstep(rules), tidy=True)


def test_a_state_from_which_no_end_is_reachable_is_found() -> None:
    edges, offsets = array("I", [1, 2, 0]), array("Q", [0, 2, 3, 3])  # 0 -> 1, 0 -> 2, 1 -> 0
    assert first_stuck(edges, offsets, bytearray([0, 1, 0]), set()) == 2
    assert first_stuck(edges, offsets, bytearray([0, 0, 1]), set()) is None


# Single transitions


def accepted(rules: Rules) -> tuple[Lockstep, Shared, Host]:
    """A model with its first operation accepted."""
    model = Lockstep(rules)
    shared, hosts = model.start()
    return model, joint(model, shared, "op0 accept").shared, hosts[0]


def joint(model: Lockstep, shared: Shared, label: str) -> Joint:
    """The one script with this label."""
    (found,) = [each for each in model.joint(shared) if each.label.startswith(label)]
    return found


def moves(model: Lockstep, shared: Shared, host: Host, label: str) -> list[Local]:
    """The transitions of this host whose label contains this."""
    return [move for move in model.local(shared, host, ROOM) if label in move.label]


def sending(model: Lockstep, shared: Shared, host: Host) -> Host:
    """The host with an attempt open, and a worker about to send it."""
    (looked,) = moves(model, shared, host, "GET -> 404")
    (begun,) = moves(model, shared, looked.host, "-> SEND")
    return begun.host


def test_a_second_operation_on_the_group_is_busy_until_the_first_has_ended() -> None:
    model, shared, _ = accepted(dataclasses.replace(TINY, actions=TINY.actions * 2))
    busy = joint(model, shared, "op1 accept")
    assert "Busy" in busy.label
    assert busy.shared == shared
    ended = shared.with_op(0, shared.ops[0]._replace(phase=Phase.ENDED))
    assert joint(model, ended, "op1 accept").shared.ops[1].phase is Phase.RUNNING


def test_a_cancel_is_refused_after_a_commit_and_rolls_back_before_one() -> None:
    model, shared, _ = accepted(dataclasses.replace(TINY, cancels=True, deadline=False))
    committed = shared.with_op(0, shared.ops[0]._replace(decision=Decision.COMMIT))
    assert joint(model, committed, "op0 cancel").shared.ops[0].cancel is Cancel.REFUSED
    cancelled = joint(model, shared, "op0 cancel").shared
    decided = [each.shared.ops[0].decision for each in model.joint(cancelled) if "decide" in each.label]
    assert decided == [Decision.ROLL_BACK]


def test_a_worker_that_wakes_after_send_by_writes_nothing() -> None:
    model, shared, host = accepted(TINY)
    (woken,) = moves(model, shared, sending(model, shared, host), "wakes after send_by")
    assert [worker.at for worker in woken.host.workers] == [At.FINISH_NOT_APPLIED]
    assert not moves(model, shared, woken.host, "POST")


def test_nothing_settles_while_a_worker_may_still_send() -> None:
    model, shared, host = accepted(TINY)
    begun = sending(model, shared, host)
    assert not moves(model, shared, begun, "settle")
    assert moves(model, shared, begun._replace(workers=()), "settle attempt 0: first GET")


def test_an_attempt_is_settled_by_two_gets_the_second_after_what_had_arrived() -> None:
    model, shared, host = accepted(TINY)
    opened = sending(model, shared, host)._replace(workers=())
    travelling = opened._replace(late=(Late(0, 0, Travel.UNDER_WAY),))
    assert not moves(model, shared, travelling, "settle")
    arrived = opened._replace(late=(Late(0, 0, Travel.ARRIVED),))
    (first,) = moves(model, shared, arrived, "settle")
    assert first.host.steps[0].forward == (Attempt.SEEN_ONCE,)
    assert not moves(model, shared, first.host, "closed")
    (second,) = moves(model, shared, first.host._replace(late=()), "settle")
    assert second.host.steps[0].forward == (Attempt.CLOSED,)


def test_a_400_is_refused_where_the_group_is_absent_and_already_there_where_it_is_present() -> None:
    model, shared, host = accepted(TINY)
    asked = sending(model, shared, host)._replace(workers=(Worker(0, At.GOT_400, 0),))
    (absent,) = moves(model, shared, asked, "GET after 400")
    (present,) = moves(model, shared, asked._replace(holds=True), "GET after 400")
    assert absent.host.workers[0].at is At.FINISH_REFUSED
    assert present.host.workers[0].at is At.FINISH_ALREADY


def test_a_dead_host_answers_nothing_and_only_a_decided_operation_can_abandon_it() -> None:
    model, shared, host = accepted(dataclasses.replace(TINY, hosts_may_die=1))
    (dead,) = moves(model, shared, sending(model, shared, host)._replace(workers=()), "goes down")
    assert not moves(model, dead.shared, dead.host, "GET ->")
    assert not moves(model, dead.shared, dead.host, "abandon")
    rolling = joint(model, dead.shared, "op0 decide: ROLL BACK (deadline)")
    (abandoned,) = moves(model, rolling.shared, rolling.then(dead.host), "abandon")
    assert abandoned.host.steps[0].open == 0
    assert abandoned.host.expected is None
