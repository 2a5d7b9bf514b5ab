"""The bounds of a configuration, the world it runs in, and every mechanism that can be switched off."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tests.model.state import (
    Action,
    Attempt,
    Decision,
    Host,
    Operation,
    Outcome,
    Phase,
    Shared,
    Step,
    Undo,
    Worker,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """One configuration. The defaults are the recommended protocol in the world it was made for.

    Never bounded: kills, redeliveries, lost messages, unanswered calls, retries.
    """

    actions: tuple[Action, ...] = (Action.CREATE,)
    held: tuple[bool, ...] = (False, False)  # which hosts hold the group at the start
    workers: int = 2  # task instances alive at once
    late: int = 1  # given-up writes travelling at once
    forward_slots: int = 2  # forward attempts whose ids are in use at once, for each step
    undo_slots: int = 1  # the same for undo attempts

    deadline: bool = True  # it may pass at any moment
    cancels: bool = False  # somebody may ask to cancel
    hosts_may_die: int = 0  # hosts that go down for good
    operator_abandons: bool = True  # and somebody abandons them
    waves: tuple[int, ...] = ()  # each host's wave; none, all in one
    limited: bool = False  # it may not be its turn to write: `tests.model.limit` says when
    bake: bool = False  # a wave that is done is left alone for a while
    gate: bool = False  # and then every host of open waves is looked at
    auto_hold: bool = False  # and then somebody must promote
    holds: int = 0  # holds by people, at any moment
    people_promote: bool = True
    hold_ends: bool = True  # a hold that nobody releases ends in a rollback
    others_suffice: bool = (
        True  # where nobody does, all that is asked is that the other hosts are restored and settled
    )

    # assumptions
    a1_finishes_in_time: bool = True
    a2_no_strangers: bool = True
    a4_reads_are_fresh: bool = True  # also A5: a false 404 is a wrong reading too
    redis_keeps_what_it_acknowledged: bool = True
    writes_arrive_once: bool = True  # nothing on the way sends a copy of a write

    # mechanisms
    lock: bool = True
    attempts_recorded_first: bool = True
    before_is_first_reading: bool = True
    begin_checks_decision: bool = True
    decide_once: bool = True
    decide_reads_cancel: bool = True
    send_by_guard: bool = True
    fresh_attempt_ids: bool = True
    already_there_may_be_ours: bool = True
    refused_needs_absence: bool = True
    server_error_leaves_open: bool = True
    settle_before_restored: bool = True
    settle_before_end: bool = True
    settle_needs_two_gets: bool = True
    settle_needs_gets: bool = True
    undo_only_if_clean: bool = True
    undo_whatever_was_touched: bool = True
    undo_never_gives_up: bool = True
    begin_checks_wave: bool = True
    before_needs_an_open_wave: bool = True
    missed_checks_wave: bool = True
    commit_needs_every_wave: bool = True
    advance_at_once: bool = True
    hold_binds_the_commit: bool = True
    promote_names_its_hold: bool = True
    gate_looks_name_their_round: bool = True
    release_opens_a_round: bool = True
    undo_covers_every_wave: bool = True

    # refinements under examination
    close_proven: bool = False
    close_proven_undo: str = ""  # "", "any" or "after a proven write"

    @property
    def last_wave(self) -> int:
        return max(self.waves, default=1)

    @property
    def refined_undo(self) -> bool:
        return bool(self.close_proven_undo)


class Local(NamedTuple):
    """A transition that reads and changes one host only, and perhaps what is shared."""

    label: str
    shared: Shared
    host: Host


class Joint(NamedTuple):
    """A store script that reads every host's step: enabled when `when` holds for all (or any) of them.

    `at_once`, it is a part of the transition that enables it: no state lies between.
    """

    label: str
    shared: Shared
    when: Callable[[Host], bool]
    then: Callable[[Host], Host]
    any_host: bool = False
    at_once: bool = False

    def enabled(self, hosts: Sequence[Host]) -> bool:
        answers = map(self.when, hosts)
        return any(answers) if self.any_host else all(answers)


class Room(NamedTuple):
    """Whether the bounds leave room for one more worker, and for one more late write."""

    worker: bool
    late: bool


class Here(NamedTuple):
    """One operation on one host, at one moment: what every transition starts from."""

    rules: Rules
    shared: Shared
    host: Host
    op: int

    @property
    def name(self) -> str:
        return f"op{self.op}"

    @property
    def operation(self) -> Operation:
        return self.shared.ops[self.op]

    @property
    def target(self) -> bool:
        return self.rules.actions[self.op].target

    @property
    def step(self) -> Step:
        return self.host.steps[self.op]

    @property
    def running(self) -> bool:
        return self.operation.phase is Phase.RUNNING

    @property
    def forward_open(self) -> bool:
        """Whether forward steps may still change the record: running, undecided, no outcome."""
        return (
            self.running and self.operation.decision is Decision.NONE and self.step.outcome is Outcome.UNSET
        )

    @property
    def wave_open(self) -> bool:
        return self.host.wave <= self.operation.wave

    @property
    def rolling_back(self) -> bool:
        """Whether this host still has to be restored."""
        decision, undo = self.operation.decision, self.step.undo
        return self.running and decision is Decision.ROLL_BACK and undo is Undo.NEEDED

    def readings(self) -> tuple[bool, ...]:
        """What a GET may show now; none when the host is down."""
        if self.host.down:
            return ()
        return (self.host.holds,) if self.rules.a4_reads_are_fresh else (False, True)

    def free_slot(self, slots: range) -> int | None:
        """A slot for an attempt whose old id nobody holds any more."""
        taken = {worker.attempt for worker in self.host.workers if worker.op == self.op}
        taken.update(late.attempt for late in self.host.late if late.op == self.op)
        attempts = self.step.attempts
        return next((n for n in slots if attempts[n] is Attempt.CLOSED and n not in taken), None)

    def with_step(self, step: Step) -> Here:
        steps = (*self.host.steps[: self.op], step, *self.host.steps[self.op + 1 :])
        return self._replace(host=self.host._replace(steps=steps))

    def with_worker(self, worker: Worker) -> Here:
        return self._replace(host=self.host._replace(workers=tuple(sorted((*self.host.workers, worker)))))

    def without_worker(self, worker: Worker) -> Here:
        workers = list(self.host.workers)
        workers.remove(worker)
        return self._replace(host=self.host._replace(workers=tuple(workers)))

    def then(self, label: str) -> Local:
        return Local(f"{self.name} {label}", self.shared, self.host)
