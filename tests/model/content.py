"""Content instead of presence: what is remembered of an operation on a thing with fields.

A protocol of its own on the machinery of the search, with one operation. Contents are small numbers: what a
host held at first, the target, the form that a server gives the target, what a third hand writes. Looks show
a digest. `content_steps` has the transitions, `content_cases` puts them together and has what is run.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple, cast

from tests.model.rules import Local
from tests.model.state import At, Attempt, Decision, Host, Operation, Outcome, Phase, Shared, Travel, Undo


class V(IntEnum):
    """What a host may hold."""

    ABSENT = 0
    OLD = 1
    TARGET = 2
    REWRITTEN = 3  # the target, in the form that this server shows
    FOREIGN = 4  # by a third hand
    OLD_REWRITTEN = 5  # what a server makes of the old content when it is written back


class Fate(IntEnum):
    """How the newest attempt of a step stands."""

    NONE = 0
    OPEN = 1
    APPLIED = 2
    NOT_APPLIED = 3
    SETTLED = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentRules:
    """One configuration: what hosts hold and do, and every rule, each of which can be switched off."""

    held: tuple[V, ...] = (V.OLD, V.OLD)
    target: V = V.TARGET
    create: bool = False  # else it is `set`, or `delete` with an absent target
    workers: int = 1
    late: int = 0
    third_hands: int = 0
    deadline: bool = True
    people: bool = True  # somebody resolves what only a person can
    may_wait: bool = False  # where nobody does, that such a host is named is all that is asked

    # servers
    rewrites: bool = False
    rewrites_old: bool = False  # also what an undo writes back
    only_rewritten_fields: bool = False  # the old content differs from the target in such fields alone
    ignores: bool = False  # a write may be answered 2xx and change nothing
    hidden: bool = False  # the target differs from the old content in a field that no look shows
    kept: bool = False  # but in a value that a look keeps for the way back
    says_replaced: bool = False  # the answer of a write tells that it took effect over something else
    versions: bool = False  # a write takes effect only over what its look showed
    known: V | None = None  # what the operation before learned as this very target's form on the host

    # rules
    look_proves_applied: bool = True
    look_proves_restored: bool = True
    before_is_not_learned: bool = True
    only_like_is_learned: bool = True
    before_until_landed: bool = True
    like_is_ours: bool = True
    secret_needs_an_answer: bool = True
    create_refuses_other_content: bool = True
    replaced_is_named: bool = True
    foreign_fails: bool = True
    foreign_waits_for_a_person: bool = True
    nothing_landed_nothing_undone: bool = True
    undo_is_seen_to_change: bool = True


class Write(NamedTuple):
    """A task under way: what it does next, the attempt it holds, and what its look showed."""

    at: At
    attempt: int = -1
    saw: int = -1
    clean: bool = False  # no attempt was open before the look
    replaced: bool = False


class Landing(NamedTuple):
    """A write whose client gave up, and that still lands."""

    attempt: int
    travel: Travel
    saw: int  # the version that it names


class Kept(NamedTuple):
    """The step, as the record keeps it."""

    forward: tuple[Attempt, ...] = (Attempt.CLOSED,)
    backward: tuple[Attempt, ...] = (Attempt.CLOSED,)
    before: int | None = None  # the digest that the first look showed
    newest: Fate = Fate.NONE
    may: bool = False  # an attempt was closed otherwise than not_applied
    applied: bool = False  # a forward attempt was answered "took effect"
    undone: bool = False  # an attempt of the inverse was closed otherwise than not_applied
    contested: bool = False
    seen: int | None = None  # the target as seen
    over: int | None = None  # what the host showed when the last undo was sent
    named: bool = False  # as overwritten
    outcome: Outcome = Outcome.UNSET
    undo: Undo = Undo.NONE

    @property
    def open(self) -> bool:
        return any(attempt is not Attempt.CLOSED for attempt in self.forward + self.backward)

    @property
    def landed(self) -> bool:
        """Whether anything of ours may be on the host, now or later."""
        return self.may or self.open

    def with_attempt(self, number: int, fate: Attempt) -> Kept:
        slots = list(self.forward + self.backward)
        slots[number] = fate
        cut = len(self.forward)
        return self._replace(forward=tuple(slots[:cut]), backward=tuple(slots[cut:]))


class Node(NamedTuple):
    """A host: what it holds, and everything that concerns it."""

    holds: V
    first: V  # what it held at first
    step: Kept = Kept()
    workers: tuple[Write, ...] = ()
    late: tuple[Landing, ...] = ()
    third: bool = False  # a third hand has written here
    unseen: bool = False  # and no look since has been recorded
    lost: bool = False  # a third hand's content went under a write whose answer said so
    wrong: str = ""

    @property
    def steps(self) -> tuple[Kept]:
        return (self.step,)

    @property
    def gating(self) -> bool:
        return False

    @property
    def gate_failed(self) -> bool:
        return False


class Spot(NamedTuple):
    """A host at one moment: what every transition starts from."""

    rules: ContentRules
    shared: Shared
    node: Node

    @property
    def operation(self) -> Operation:
        return self.shared.ops[0]

    @property
    def step(self) -> Kept:
        return self.node.step

    @property
    def forward(self) -> bool:
        undecided = self.operation.phase is Phase.RUNNING and self.operation.decision is Decision.NONE
        return undecided and self.step.outcome is Outcome.UNSET

    @property
    def rolling_back(self) -> bool:
        running = self.operation.phase is Phase.RUNNING
        return running and self.operation.decision is Decision.ROLL_BACK and self.step.undo is Undo.NEEDED

    def digest(self) -> int:
        """What a look shows of what is held."""
        blind = self.rules.hidden and not self.rules.kept and self.node.holds is V.TARGET
        return V.OLD if blind else self.node.holds

    def is_target(self, shown: int) -> bool:
        """Equal in every field that is given, as far as a look can show it; or the target as seen."""
        same = shown == self.rules.target or (self.rules.hidden and shown in (V.OLD, V.TARGET))
        return same or (self.step.seen is not None and shown == self.step.seen)

    def is_like(self, shown: int) -> bool:
        """Equal but for fields that hosts may show in another form."""
        like = (V.REWRITTEN, V.OLD, V.FOREIGN) if self.rules.only_rewritten_fields else (V.REWRITTEN,)
        return self.rules.rewrites and shown in like

    def is_like_before(self, shown: int) -> bool:
        if self.rules.only_rewritten_fields:
            return shown in (V.OLD, V.OLD_REWRITTEN, V.REWRITTEN, V.TARGET, V.FOREIGN)
        return self.rules.rewrites_old and shown == V.OLD_REWRITTEN

    def with_step(self, step: Kept) -> Spot:
        return self._replace(node=self.node._replace(step=step))

    def with_worker(self, worker: Write) -> Spot:
        return self._replace(node=self.node._replace(workers=tuple(sorted((*self.node.workers, worker)))))

    def without(self, worker: Write) -> Spot:
        workers = list(self.node.workers)
        workers.remove(worker)
        return self._replace(node=self.node._replace(workers=tuple(workers)))

    def blamed(self, wrong: str) -> Spot:
        return self._replace(node=self.node._replace(wrong=self.node.wrong or wrong))

    def then(self, label: str) -> Local:
        return Local(label, self.shared, cast(Host, self.node))
