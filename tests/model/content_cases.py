"""The protocol with content put together, and what is run: what holds, and which naive rules break what."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import cast

from tests.model import content_steps as steps
from tests.model.configurations import Configuration
from tests.model.content import ContentRules, Fate, Kept, Node, Spot, V
from tests.model.rules import Joint, Local, Room
from tests.model.state import At, Decision, Operation, Outcome, Phase, Shared, Undo
from tests.model.tables import Model


class Content:
    """The protocol with content, in the shape that the search explores."""

    def __init__(self, rules: ContentRules) -> None:
        self.rules = rules
        self.bounds = (rules.workers, rules.late)

    def start(self) -> tuple[Shared, list[Node]]:
        """The operation is accepted."""
        shared = Shared((Operation(Phase.RUNNING),), strangers_may_write=self.rules.third_hands)
        return shared, [Node(held, held, Kept(seen=self.rules.known)) for held in self.rules.held]

    def joint(self, shared: Shared) -> Iterator[Joint]:
        """The decision, and the end."""
        (operation,) = shared.ops
        if operation.phase is Phase.ENDED:
            return
        if operation.decision is Decision.NONE:
            committed = shared.with_op(0, operation._replace(decision=Decision.COMMIT))
            yield _joint("COMMIT", committed, lambda node: node.step.outcome.as_asked, at_once=True)
            rolling = shared.with_op(0, operation._replace(decision=Decision.ROLL_BACK))
            yield _joint(
                "ROLL BACK",
                rolling,
                lambda node: node.step.outcome.failed,
                self.to_undo,
                any_host=True,
                at_once=True,
            )
            if self.rules.deadline:
                yield _joint("ROLL BACK (deadline)", rolling, lambda _: True, self.to_undo)
            return
        ended = shared.with_op(0, operation._replace(phase=Phase.ENDED))
        yield _joint("the end", ended, lambda node: not node.step.open and node.step.undo is not Undo.NEEDED)

    def to_undo(self, node: Node) -> Node:
        """What the decision to roll back means for a host."""
        ours = node.step.landed or (
            not self.rules.nothing_landed_nothing_undone and node.step.newest is not Fate.NONE
        )
        return node._replace(step=node.step._replace(undo=Undo.NEEDED if ours else Undo.NONE))

    def local(self, shared: Shared, node: Node, room: Room) -> Iterator[Local]:
        """Everything that may happen next on this host."""
        spot = Spot(self.rules, shared, node)
        if room.worker:
            yield from steps.look(spot)
        yield from steps.missed(spot)
        yield from steps.settle(spot)
        yield from steps.resolve(spot)
        yield from steps.third_hand(spot)
        yield from steps.lands(spot)
        for worker in sorted(set(node.workers)):
            yield spot.without(worker).then("worker killed")
            yield from steps.work(spot, worker, room)

    def tidy(self, shared: Shared, node: Node) -> Node:
        """The host without what nothing reads any more."""
        (operation,) = shared.ops
        if operation.decision is Decision.NONE:
            return node
        step = node.step._replace(outcome=Outcome.UNSET, contested=False)
        if operation.decision is Decision.COMMIT:
            step = step._replace(before=None, seen=None, newest=Fate.NONE, applied=False)
        if operation.decision is Decision.COMMIT or step.undo is not Undo.NEEDED:
            # Whoever has not sent yet can change nothing any more.
            sending = tuple(each for each in node.workers if each.at is At.SEND)
            return node._replace(step=step, workers=sending if step.open else ())
        looking = tuple(each for each in node.workers if each.at is not At.BEGIN)
        return node._replace(step=step, workers=looking)

    def wrong(self, shared: Shared, node: Node) -> tuple[str, ...]:
        """Every promise that is broken here."""
        (operation,) = shared.ops
        found = [node.wrong] if node.wrong else []
        if operation.phase is not Phase.ENDED:
            return tuple(found)
        if operation.decision is Decision.COMMIT:
            asked = (self.rules.target, V.REWRITTEN) if self.rules.rewrites else (self.rules.target,)
            like = self.rules.only_rewritten_fields and node.third and node.holds is V.FOREIGN
            if node.holds not in asked and not node.unseen and not like:
                found.append("DISAGREES: committed, and the host holds something else")
        elif node.step.undo is not Undo.ABANDONED:
            fine = {node.first} | ({V.FOREIGN} if node.third else set())
            fine |= {V.OLD_REWRITTEN} if self.rules.rewrites_old else set()
            if node.holds not in fine:
                found.append("NOT RESTORED: rolled back, and the host holds something else than before")
        if node.lost and not node.step.named:
            found.append("SILENT: a third hand's content was overwritten, and nobody is told")
        return tuple(found)

    def ended(self, shared: Shared, node: Node) -> bool:
        """Whether the end is reached, as far as this host goes; or only a person can go on."""
        spot = Spot(self.rules, shared, node)
        (operation,) = shared.ops
        named = (
            self.rules.may_wait
            and (operation.decision is Decision.ROLL_BACK)
            and (not spot.rolling_back or (steps.for_a_person(spot, spot.digest()) and not node.step.open))
        )
        return operation.phase is Phase.ENDED or named


def _joint(
    label: str,
    shared: Shared,
    when: object,
    then: object = lambda node: node,
    *,
    any_host: bool = False,
    at_once: bool = False,
) -> Joint:
    return Joint(label, shared, when, then, any_host, at_once)  # type: ignore[arg-type]


ABSENT, OLD = V.ABSENT, V.OLD
ONE = ContentRules(held=(OLD,))
SERVER = replace(ONE, rewrites=True, rewrites_old=True, ignores=True)
SAME_FIELDS = replace(SERVER, only_rewritten_fields=True)
CREATE = ContentRules(held=(ABSENT,), create=True)
THIRD = replace(ONE, third_hands=1)


def holds(name: str, rules: ContentRules) -> Configuration:
    """A configuration without any counterexample."""
    return Configuration(f"content: {name}", cast(Model, Content(rules)))


def breaks(name: str, rules: ContentRules, promise: str) -> Configuration:
    """A configuration that must have a counterexample."""
    return Configuration(f"content: {name}", cast(Model, Content(rules)), promise)


TESTED = (
    holds("set, two hosts", ContentRules()),
    holds("set, a late write, two workers", replace(ONE, workers=2, late=1)),
    holds("create, nowhere yet", replace(CREATE, held=(ABSENT, ABSENT))),
    holds("create, other content on one host", replace(CREATE, held=(ABSENT, OLD))),
    holds("delete", ContentRules(target=ABSENT)),
    holds("a server that rewrites and one that ignores writes", replace(SERVER, late=1)),
    holds("the same, and no person to decide", replace(SERVER, late=1, people=False)),
    holds("the same, where only rewritten fields differ", replace(SAME_FIELDS, late=1)),
    holds(
        "set again, where the host shows its own form",
        replace(SAME_FIELDS, held=(V.REWRITTEN,), known=V.REWRITTEN),
    ),
    holds("a secret whose hash is kept", replace(ONE, hidden=True, kept=True, late=1)),
    holds(
        "a secret on a server that rewrites", replace(SERVER, hidden=True, kept=True, ignores=False, late=1)
    ),
    holds("a third hand, a late write", replace(THIRD, late=1)),
    holds("a third hand, and nobody resolves it", replace(THIRD, people=False, may_wait=True)),
    holds("a third hand, a server with versions", replace(THIRD, versions=True, late=1)),
    holds("a third hand, a server that rewrites and ignores", replace(SERVER, third_hands=1)),
    holds("a third hand, answers that say what was replaced", replace(THIRD, says_replaced=True, late=1)),
    holds("create, a third hand", replace(CREATE, third_hands=1, late=1)),
    holds("create, a third hand, `replaced`", replace(CREATE, third_hands=1, says_replaced=True)),
)

SOUND = (
    *TESTED,
    holds("two hosts, a late write", ContentRules(late=1)),
    holds("two hosts, two workers", ContentRules(workers=2)),
    holds("two hosts, a third hand", ContentRules(third_hands=1)),
    holds("two hosts that rewrite and ignore", replace(SERVER, held=(OLD, OLD))),
    holds("two third hands", replace(THIRD, third_hands=2, late=1)),
    holds(
        "create on two hosts, a third hand, `replaced`, a late write",
        replace(CREATE, held=(ABSENT, ABSENT), third_hands=1, says_replaced=True, late=1),
    ),
)

NAIVE = (
    breaks(
        "an answer alone proves a write", replace(ONE, ignores=True, look_proves_applied=False), "DISAGREES"
    ),
    breaks(
        "an answer alone proves a restore",
        replace(ONE, ignores=True, look_proves_restored=False),
        "NOT RESTORED",
    ),
    breaks(
        "what was before is learned as the target",
        replace(SAME_FIELDS, before_is_not_learned=False),
        "DISAGREES",
    ),
    breaks(
        "a form that was learned for another target",
        replace(SAME_FIELDS, known=OLD),
        "DISAGREES",
    ),
    breaks(
        "the first look after a write is learned, whatever it shows",
        replace(THIRD, rewrites=True, only_like_is_learned=False),
        "DISAGREES",
    ),
    breaks(
        "the rewritten target is taken for a third hand's",
        replace(ONE, rewrites=True, like_is_ours=False, people=False),
        "STUCK",
    ),
    breaks(
        "a look that shows the other fields proves a secret",
        replace(ONE, hidden=True, kept=True, secret_needs_an_answer=False),
        "DISAGREES",
    ),
    breaks("a secret that nothing kept restores", replace(ONE, hidden=True), "NOT RESTORED"),
    breaks(
        "a secret whose write is answered 2xx and ignored",
        replace(ONE, hidden=True, kept=True, ignores=True),
        "DISAGREES",
    ),
    breaks(
        "create takes other content for its own",
        replace(CREATE, held=(OLD,), create_refuses_other_content=False),
        "DISAGREES",
    ),
    breaks(
        "`replaced` taken for `was there`",
        replace(CREATE, held=(ABSENT, ABSENT), third_hands=1, says_replaced=True, replaced_is_named=False),
        "NOT RESTORED",
    ),
    breaks("written again over a third hand", replace(THIRD, foreign_fails=False), "OVERWRITES"),
    breaks("undone whatever is shown", replace(THIRD, foreign_waits_for_a_person=False), "OVERWRITES"),
    breaks(
        "the first look stays `before` although nothing landed",
        replace(THIRD, before_until_landed=False),
        "OVERWRITES",
    ),
    breaks(
        "undone although nothing landed",
        replace(THIRD, nothing_landed_nothing_undone=False, people=False),
        "STUCK",
    ),
    breaks(
        "what looks like the old content proves an undo",
        replace(SAME_FIELDS, undo_is_seen_to_change=False),
        "NOT RESTORED",
    ),
)
