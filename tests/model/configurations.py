"""What is run: configurations in which every promise must hold, and ones in which one must be seen to
break."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tests.model.lockstep import Lockstep
from tests.model.naive import Naive
from tests.model.rules import Rules
from tests.model.state import Action
from tests.model.tables import Model

CREATE, DELETE = Action.CREATE, Action.DELETE


@dataclass(frozen=True, slots=True)
class Configuration:
    """A model with a name; `breaks` says which promise must be seen to break ("" for any), None that none
    may be."""

    name: str
    model: Model
    breaks: str | None = None


SMALL = Rules(forward_slots=1)
ONE_HOST = replace(SMALL, held=(False,), forward_slots=2)
ONE_WORKER = replace(SMALL, workers=1)
TWO_OPERATIONS = replace(ONE_WORKER, actions=(CREATE, DELETE))
OTHER_WAY = replace(ONE_WORKER, actions=(DELETE, CREATE))


TWO_WAVES = replace(ONE_WORKER, waves=(1, 2), late=0)
THREE_WAVES = replace(TWO_WAVES, held=(False,) * 3, waves=(1, 2, 3))
CAREFUL = replace(TWO_WAVES, bake=True, gate=True)


def holds(name: str, rules: Rules) -> Configuration:
    """A configuration without any counterexample."""
    return Configuration(name, Lockstep(rules))


def breaks(name: str, rules: Rules, promise: str = "") -> Configuration:
    """A configuration that must have a counterexample."""
    return Configuration(name, Lockstep(rules), promise)


# Small enough for every run of the tests.
TESTED = (
    holds("create, nowhere yet", replace(SMALL, late=0)),
    holds("create, one host holds it already", replace(SMALL, held=(True, False))),
    holds("create, held everywhere", replace(SMALL, held=(True, True))),
    holds("delete, one host lacks it", replace(SMALL, actions=(DELETE,), held=(True, False))),
    holds("one host, two workers", replace(ONE_HOST, forward_slots=1)),
    holds("one host that takes only so many writes", replace(ONE_HOST, forward_slots=1, limited=True)),
    holds("cancels, and no deadline", replace(ONE_WORKER, deadline=False, cancels=True)),
    holds("a host dies, an operator abandons it", replace(ONE_WORKER, hosts_may_die=1)),
    holds(
        "a host dies, nobody abandons it: the others are restored",
        replace(ONE_WORKER, hosts_may_die=1, operator_abandons=False),
    ),
    holds("three hosts, one holds it already", replace(ONE_WORKER, held=(True, False, False), late=0)),
    holds("create, then a queued delete", replace(TWO_OPERATIONS, late=0)),
    holds("delete, then a queued create", replace(OTHER_WAY, held=(True, False), late=0)),
    holds("refinement close_proven", replace(ONE_WORKER, close_proven=True)),
    holds("two waves", TWO_WAVES),
    holds("two waves, the first holds it already", replace(TWO_WAVES, held=(True, False))),
    holds("two waves with a bake and a gate", CAREFUL),
    holds("two waves, held and promoted, cancels", replace(TWO_WAVES, holds=1, auto_hold=True, cancels=True)),
)

SOUND = (
    *TESTED,
    holds("create, nowhere yet, a late write", SMALL),
    holds("delete, held everywhere, a late write", replace(SMALL, actions=(DELETE,), held=(True, True))),
    holds("one host, two attempts at once", ONE_HOST),
    holds("two workers, cancels, and no deadline", replace(SMALL, deadline=False, cancels=True)),
    holds("two workers, a host dies", replace(SMALL, hosts_may_die=1)),
    holds(
        "two workers, a host dies, nobody abandons it",
        replace(SMALL, hosts_may_die=1, operator_abandons=False),
    ),
    holds("three hosts", replace(ONE_WORKER, held=(False,) * 3, late=0)),
    holds("two operations, a late write", TWO_OPERATIONS),
    holds("delete, then a queued create, a late write", replace(OTHER_WAY, held=(True, False))),
    holds("two operations, cancels", replace(TWO_OPERATIONS, cancels=True)),
    holds("two creates, one after the other", replace(TWO_OPERATIONS, actions=(CREATE, CREATE))),
    holds("writes arrive more than once", replace(SMALL, writes_arrive_once=False)),
    holds("refinement close_proven, two workers", replace(SMALL, close_proven=True)),
    holds("three waves", THREE_WAVES),
    holds("two waves, a late write, two workers", replace(SMALL, waves=(1, 2))),
    holds(
        "delete in two waves, a late write",
        replace(ONE_WORKER, waves=(1, 2), actions=(DELETE,), held=(True, True)),
    ),
    holds("two waves, gate, held twice, promotes late and again", replace(CAREFUL, holds=2)),
    holds("two waves, gate, hold, a host dies", replace(CAREFUL, holds=1, hosts_may_die=1)),
    holds("two waves, gate, two workers", replace(CAREFUL, workers=2)),
    holds("two waves, held, and nobody promotes", replace(TWO_WAVES, holds=1, people_promote=False)),
    holds("a canary and then two", replace(TWO_WAVES, held=(False,) * 3, waves=(1, 2, 2), gate=True)),
    holds("three waves, each held", replace(THREE_WAVES, auto_hold=True)),
)

MUTANTS = (
    breaks("attempts not recorded before the write", replace(SMALL, attempts_recorded_first=False)),
    breaks(
        "attempt ids not fresh: a redelivered message sends under the same id",
        replace(SMALL, fresh_attempt_ids=False),
    ),
    breaks("`before` read again on redelivery", replace(SMALL, before_is_first_reading=False)),
    breaks("attempts opened after the decision", replace(SMALL, begin_checks_decision=False)),
    breaks("decision not compare-and-set", replace(SMALL, decide_once=False), "CONTRADICTION"),
    breaks(
        "decision does not read an accepted cancel",
        replace(SMALL, decide_reads_cancel=False, cancels=True),
        "CANCELLED",
    ),
    breaks("no send_by guard", replace(SMALL, send_by_guard=False)),
    breaks(
        "`already there` always taken for not ours",
        replace(SMALL, forward_slots=2, late=0, already_there_may_be_ours=False),
        "ORPHAN",
    ),
    breaks("a bad request taken for `already there`", replace(SMALL, refused_needs_absence=False), "LOST"),
    breaks("a 500 taken for not applied", replace(SMALL, server_error_leaves_open=False)),
    breaks("restored recorded without settling", replace(SMALL, settle_before_restored=False)),
    breaks(
        "the lock released without settling, after a commit",
        replace(ONE_HOST, workers=1, settle_before_end=False, actions=(CREATE, DELETE)),
        "LATE",
    ),
    breaks("settled by one GET", replace(SMALL, settle_needs_two_gets=False)),
    breaks("settled by the clock alone", replace(SMALL, settle_needs_gets=False)),
    breaks("undo confirmed although other attempts are open", replace(SMALL, undo_only_if_clean=False)),
    breaks("only confirmed hosts undone", replace(SMALL, undo_whatever_was_touched=False)),
    breaks("undo gives up", replace(SMALL, undo_never_gives_up=False)),
    breaks("no lock", replace(TWO_OPERATIONS, held=(False,), late=0, lock=False), "LOST"),
    breaks(
        "a dead host, and neither abandon nor patience",
        replace(SMALL, hosts_may_die=1, operator_abandons=False, others_suffice=False, late=0, workers=1),
        "STUCK",
    ),
    breaks("Redis loses what it acknowledged", replace(SMALL, redis_keeps_what_it_acknowledged=False)),
    breaks(
        "A1 does not hold: a host finishes later than settle_seconds",
        replace(SMALL, a1_finishes_in_time=False),
    ),
    breaks("A2 does not hold: somebody else writes the group", replace(SMALL, a2_no_strangers=False)),
    breaks(
        "A4 or A5 does not hold: a GET is stale, or a 404 is not the node's",
        replace(SMALL, a4_reads_are_fresh=False),
    ),
    breaks(
        "refinement close_proven where writes arrive more than once",
        replace(SMALL, close_proven=True, writes_arrive_once=False),
    ),
    breaks(
        "refinement: the only open undo attempt closed by a GET",
        replace(ONE_HOST, forward_slots=1, actions=(CREATE, CREATE), close_proven_undo="any"),
        "LATE",
    ),
    breaks("begin does not check the wave", replace(TWO_WAVES, begin_checks_wave=False), "EARLY"),
    breaks(
        "`before` kept although the wave is not open",
        replace(TWO_WAVES, before_needs_an_open_wave=False),
        "EARLY",
    ),
    breaks("missed does not check the wave", replace(TWO_WAVES, missed_checks_wave=False), "EARLY"),
    breaks("committed once the open wave is done", replace(TWO_WAVES, commit_needs_every_wave=False), "LOST"),
    breaks(
        "a wave opened by who found the last one done", replace(TWO_WAVES, advance_at_once=False), "AFTER"
    ),
    breaks(
        "the same, by two readers", replace(THREE_WAVES, deadline=False, advance_at_once=False), "SKIPPED"
    ),
    breaks("the same, held in between", replace(TWO_WAVES, advance_at_once=False, holds=1), "HELD"),
    breaks(
        "a hold that does not bind the commit",
        replace(TWO_WAVES, holds=1, hold_binds_the_commit=False),
        "HELD",
    ),
    breaks("promote without a number", replace(TWO_WAVES, holds=2, promote_names_its_hold=False), "BRAKE"),
    breaks("looks of the gate without a round", replace(CAREFUL, gate_looks_name_their_round=False), "STALE"),
    breaks(
        "a release after the gate opens no round",
        replace(CAREFUL, holds=1, release_opens_a_round=False),
        "STALE",
    ),
    breaks("only the wave at work undone", replace(TWO_WAVES, undo_covers_every_wave=False), "ORPHAN"),
    breaks(
        "a hold without an end, and nobody promotes",
        replace(TWO_WAVES, holds=1, people_promote=False, hold_ends=False, deadline=False),
        "STUCK",
    ),
)

NO_LATE = Rules(late=0)

NAIVE = (
    Configuration("plain chord: create", Naive(NO_LATE), "ORPHAN"),
    Configuration(
        "plain chord: delete", Naive(replace(NO_LATE, actions=(DELETE,), held=(True, True))), "LOST"
    ),
    Configuration(
        "plain chord: 400 counts as done",
        Naive(replace(NO_LATE, held=(True, False)), already_is_success=True),
        "FOREIGN",
    ),
    Configuration("plain chord: a write lands late", Naive(Rules()), "LATE"),
    Configuration("plain chord: messages acknowledged early", Naive(NO_LATE, acks_late=False), "STUCK"),
)

TWO_BUSY = replace(SMALL, actions=(CREATE, DELETE))

LARGE = (
    holds("two attempts at once on each host", Rules()),
    holds("two attempts at once on each host, refinement close_proven", Rules(close_proven=True)),
    holds("two undo attempts at once on each host", replace(SMALL, undo_slots=2)),
    holds("two late writes at once", replace(SMALL, late=2)),
    holds("three workers", replace(SMALL, workers=3)),
    holds("create and delete, two workers", TWO_BUSY),
    holds("create and delete, two workers, refinement close_proven", replace(TWO_BUSY, close_proven=True)),
    holds(
        "two creates, two workers, refinement close_proven",
        replace(TWO_BUSY, actions=(CREATE, CREATE), close_proven=True),
    ),
    holds(
        "delete and create, two workers, one host lacks it, refinement close_proven",
        replace(TWO_BUSY, actions=(DELETE, CREATE), held=(True, False), close_proven=True),
    ),
    holds(
        "two creates, refinement: an open undo attempt closed after a proven write",
        replace(TWO_BUSY, actions=(CREATE, CREATE), close_proven_undo="after a proven write"),
    ),
)
