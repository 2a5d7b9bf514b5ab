"""`move`: the rule by which waves open, and by which an operation is decided; hold and promote; the gate.

An operation without waves is one of one wave, that is neither baked nor looked at nor held: `move` then
decides, and nothing else. How long a bake lasts is not modelled: it may be over at any moment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tests.model.operation import always, unchanged
from tests.model.rollback import undo_needed
from tests.model.rules import Here, Joint, Local, Rules
from tests.model.state import EARLY, At, Cancel, Decision, Host, Operation, Phase, Shared, Stage, Undo, Worker

SKIPPED = "SKIPPED: a wave opened although a host of an earlier one is not as asked"
AFTER = "AFTER: a wave opened after the decision"
HELD = "HELD: an operation went on although it was held"
BRAKE = "BRAKE: a hold was released that nobody had seen"
STALE = "STALE: a gate was passed by a look from before it opened"


def move(rules: Rules, shared: Shared, op: int) -> Iterator[Joint]:
    """What follows from the record as it is: in the transition that makes it so where `at_once` is set."""
    operation = shared.ops[op]
    if operation.phase is not Phase.RUNNING:
        return
    yield from _roll_back(rules, shared, op)
    if not rules.advance_at_once:
        yield from _found_by_a_reader(rules, shared, op)
    undecided = operation.decision is Decision.NONE
    if undecided or (not rules.decide_once and operation.decision is Decision.ROLL_BACK):
        cancelled = operation.cancel is Cancel.ACCEPTED and rules.decide_reads_cancel
        advances = rules.advance_at_once or operation.wave >= rules.last_wave
        if not cancelled and advances:
            yield from _go_on(rules, shared, op, at_once=undecided)


def _roll_back(rules: Rules, shared: Shared, op: int) -> Iterator[Joint]:
    """A step or the gate failed; somebody cancelled; the deadline passed; a hold has no end."""
    operation = shared.ops[op]
    undecided = operation.decision is Decision.NONE
    if not undecided and (rules.decide_once or operation.decision is Decision.ROLL_BACK):
        return
    rolling = shared.with_op(
        op, decided(operation)._replace(decision=Decision.ROLL_BACK, told_roll_back=True)
    )

    def then(host: Host) -> Host:
        here = Here(rules, rolling, host, op)
        return here.with_step(here.step._replace(undo=undo_needed(here))).host._replace(
            gating=False, gate_failed=False
        )

    label = f"op{op} decide: ROLL BACK"
    if operation.cancel is Cancel.ACCEPTED:
        at_once = undecided and rules.decide_reads_cancel
        yield Joint(f"{label} (cancel)", rolling, always, then, at_once=at_once)
        return

    def failed(host: Host) -> bool:
        return host.steps[op].outcome.failed or host.gate_failed

    yield Joint(f"{label} (a step failed)", rolling, failed, then, any_host=True, at_once=undecided)
    if rules.deadline and operation.stage in (Stage.WORKING, Stage.GATING):
        yield Joint(f"{label} (deadline)", rolling, always, then)
    if rules.hold_ends and operation.held:
        yield Joint(f"{label} (held for too long)", rolling, always, then)


def _go_on(rules: Rules, shared: Shared, op: int, *, at_once: bool) -> Iterator[Joint]:
    """From working to baking, gating and waiting, and then to the next wave or the commit."""
    operation = shared.ops[op]
    if operation.stage is Stage.WORKING:
        after, then, what = _worked(rules, shared, op)
        done = _as_asked(op, operation.wave)
        yield Joint(f"op{op} wave {operation.wave} done: {what}", after, done, then, at_once=at_once)
    elif operation.stage is Stage.BAKING:
        after, then, what = _baked(rules, shared, op)
        yield Joint(f"op{op} the bake is over: {what}", after, always, then)
    elif operation.stage is Stage.GATING:
        after, then, what = _passed(rules, shared, op)
        yield Joint(f"op{op} gate passed: {what}", after, lambda h: not h.gating, then, at_once=at_once)
    elif not operation.held:
        after, then, what = _passed(rules, shared, op)
        yield Joint(f"op{op} released: {what}", after, always, then, at_once=at_once)


Next = tuple[Shared, Callable[[Host], Host], str]


def _as_asked(op: int, wave: int) -> Callable[[Host], bool]:
    return lambda host: host.wave > wave or host.steps[op].outcome.as_asked


def _worked(rules: Rules, shared: Shared, op: int) -> Next:
    if not rules.bake:
        return _baked(rules, shared, op)
    return shared.with_op(op, shared.ops[op]._replace(stage=Stage.BAKING)), unchanged, "it bakes"


def _baked(rules: Rules, shared: Shared, op: int) -> Next:
    operation = shared.ops[op]
    if not rules.gate:
        return _passed(rules, shared, op)
    opened = operation._replace(stage=Stage.GATING, round=operation.round + 1)
    return (
        shared.with_op(op, opened),
        lambda h: h._replace(gating=h.wave <= operation.wave),
        f"round {opened.round} of the gate opens",
    )


def _passed(rules: Rules, shared: Shared, op: int) -> Next:
    """Wait if it is held; else the next wave, or the commit."""
    operation = shared.ops[op]
    last = operation.wave >= rules.last_wave or not rules.commit_needs_every_wave
    if operation.held and (rules.hold_binds_the_commit or not last):
        return shared.with_op(op, operation._replace(stage=Stage.WAITING)), unchanged, "it is held"
    if not last:
        return shared.with_op(op, _advanced(rules, operation)), unchanged, "THE NEXT WAVE OPENS"
    wrong = operation.wrong or (HELD if operation.held else "")
    committed = decided(operation)._replace(decision=Decision.COMMIT, told_commit=True, wrong=wrong)
    return shared.with_op(op, committed), lambda h: h._replace(gating=False), "decide: COMMIT"


def _advanced(rules: Rules, operation: Operation) -> Operation:
    hold = operation.hold + (rules.auto_hold and operation.wave + 1 < rules.last_wave)
    return operation._replace(wave=operation.wave + 1, stage=Stage.WORKING, hold=hold)


def decided(operation: Operation) -> Operation:
    """The operation without what nothing reads once it is decided."""
    return operation._replace(stage=Stage.WORKING, hold=0, released=0, asked=(), round=0)


def _found_by_a_reader(rules: Rules, shared: Shared, op: int) -> Iterator[Joint]:
    """What the protocol never does: find a wave done in one transition, and open the next in another."""
    operation = shared.ops[op]
    ready = operation.decision is Decision.NONE and operation.stage is Stage.WORKING and not operation.held
    if ready and operation.wave < rules.last_wave:
        found = shared.with_op(op, operation._replace(found=True))
        yield Joint(f"op{op} a reader finds the wave done", found, _as_asked(op, operation.wave), unchanged)
    if operation.found and operation.wave < rules.last_wave:
        opened = _advanced(rules, operation)
        label = f"op{op} the reader opens the next wave"
        wrong = AFTER if operation.decision is not Decision.NONE else HELD if operation.held else ""
        if wrong:
            yield Joint(label, shared.with_op(op, opened._replace(wrong=wrong)), always, unchanged)
        else:
            skipped = shared.with_op(op, opened._replace(wrong=SKIPPED))
            done = _as_asked(op, operation.wave)
            yield Joint(label, skipped, lambda h: not done(h), unchanged, any_host=True)
            yield Joint(label, shared.with_op(op, opened), done, unchanged)


def hold(rules: Rules, shared: Shared, op: int) -> Iterator[Joint]:
    """`hold`: by a person, at any moment before the decision."""
    operation = shared.ops[op]
    undecided = operation.phase is Phase.RUNNING and operation.decision is Decision.NONE
    if undecided and shared.holds_may_come:
        fewer = shared._replace(holds_may_come=shared.holds_may_come - 1)
        held = fewer.with_op(op, operation._replace(hold=operation.hold + 1))
        yield Joint(f"op{op} hold {operation.hold + 1}", held, always, unchanged)


def promote(rules: Rules, shared: Shared, op: int) -> Iterator[Joint]:
    """`promote`: a person sees a hold and asks for its release; that arrives late, again, or never."""
    operation = shared.ops[op]
    if operation.phase is not Phase.RUNNING or operation.decision is not Decision.NONE:
        return
    if operation.held and operation.hold not in operation.asked and rules.people_promote:
        asked = operation._replace(asked=(*operation.asked, operation.hold))
        yield Joint(
            f"op{op} somebody promotes hold {operation.hold}", shared.with_op(op, asked), always, unchanged
        )
    for number in operation.asked:
        if operation.held and (number == operation.hold or not rules.promote_names_its_hold):
            yield Joint(
                f"op{op} promote {number} arrives",
                shared.with_op(op, _released(rules, operation)),
                always,
                unchanged,
            )


def _released(rules: Rules, operation: Operation) -> Operation:
    released = operation._replace(
        released=operation.hold, wrong=operation.wrong or ("" if operation.hold in operation.asked else BRAKE)
    )
    if operation.stage is not Stage.WAITING or not rules.gate:
        return released
    if rules.release_opens_a_round:
        return released._replace(stage=Stage.BAKING)  # over already: what opens is a round
    return released._replace(wrong=released.wrong or STALE)


def gate(here: Here) -> Iterator[Local]:
    """A look of the gate: its task reads the round's number, then asks the host."""
    operation, rules = here.operation, here.rules
    if not rules.gate or not here.running or operation.decision is not Decision.NONE or not here.wave_open:
        return
    if operation.stage is Stage.GATING or not rules.gate_looks_name_their_round:
        for saw in here.readings():
            looker = Worker(here.op, At.GATE_SEEN, operation.round, saw=saw)
            yield here.with_worker(looker).then(f"GET of the gate -> {200 if saw else 404}")
    if here.host.gating:
        yield here._replace(host=here.host._replace(gate_failed=True)).then(
            "unwell at three looks of the gate"
        )


def gate_seen(here: Here, worker: Worker) -> Iterator[Local]:
    """`gate_seen`: ignored unless it is of the open round, in which the host has not passed yet."""
    operation, gone = here.operation, here.without_worker(worker)
    current = worker.attempt == operation.round
    undecided = here.running and operation.decision is Decision.NONE
    counts = undecided and operation.stage is Stage.GATING and here.host.gating
    if not counts or (not current and here.rules.gate_looks_name_their_round):
        yield gone.then("gate_seen: ignored")
    elif worker.saw is not here.target:
        yield gone._replace(host=gone.host._replace(gate_failed=True)).then("gate_seen: not as asked")
    else:
        wrong = here.host.wrong or ("" if current else STALE)
        yield gone._replace(host=gone.host._replace(gating=False, wrong=wrong)).then("gate_seen: passed")


def broken(shared: Shared, host: Host) -> Iterator[str]:
    """What waves promise: S1, no trace on a host before its wave opens; S2, as `Operation.wrong` has it."""
    operation, step = shared.ops[0], host.steps[0]
    if operation.wrong:
        yield operation.wrong
    trace = step.touched or step.before is not None or step.outcome.as_asked
    if operation.decision is Decision.NONE and host.wave > operation.wave and trace:
        yield EARLY
    if operation.decision is Decision.COMMIT and step.undo is Undo.NEEDED:
        yield "CONTRADICTION: an undo after a commit"
