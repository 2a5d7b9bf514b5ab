"""The mutants. Each says what it breaks; a survivor would mean that nobody watches over that."""

from __future__ import annotations

from dataclasses import dataclass

from tests.mutants.tree import Change


def lua(script: str, old: str, new: str) -> Change:
    """A change in a script."""
    return Change(f"worker/record/lua/{script}.lua", old, new)


def books(old: str, new: str) -> Change:
    """A change in what all transitions of the twin use."""
    return Change("tests/twin/books.py", old, new)


def forward(old: str, new: str) -> Change:
    """A change in the twin's transitions before the decision."""
    return Change("tests/twin/store.py", old, new)


def after(old: str, new: str) -> Change:
    """A change in the twin's transitions after the decision."""
    return Change("tests/twin/after.py", old, new)


@dataclass(frozen=True, slots=True)
class Mutant:
    """One way to break the product: in a script and in its twin, or in code that both use."""

    name: str
    script: tuple[Change, ...] = ()
    twin: tuple[Change, ...] = ()
    code: tuple[Change, ...] = ()

    @property
    def cases(self) -> dict[str, tuple[Change, ...]]:
        """The places that it is tried in, one at a time."""
        every = {"script": self.script, "twin": self.twin, "code": self.code}
        return {place: changes for place, changes in every.items() if changes}


MUTANTS = (
    Mutant(
        "no settle: the first look closes an attempt that may still land",
        script=(
            lua(
                "settle",
                "if attempt.probed and sent >= attempt.probed + window then",
                "if true then",
            ),
        ),
        twin=(
            after(
                "if attempt.probed is not None and sent_at >= attempt.probed + window:",
                "if attempt.opened:",
            ),
        ),
    ),
    Mutant(
        "only those touched hosts are undone that confirmed their write",
        script=(
            lua("begin", "change('SADD', UNDO, host)\n", ""),
            lua(
                "record",
                "  step.outcome = outcome\n",
                "  step.outcome = outcome\n  if outcome == 'applied' then change('SADD', UNDO, host) end\n",
            ),
        ),
        twin=(
            forward("        record.undo.add(host)\n", ""),
            books(
                "        step.outcome = outcome\n",
                "        step.outcome = outcome\n"
                "        if outcome is Outcome.APPLIED:\n            record.undo.add(host)\n",
            ),
        ),
    ),
    Mutant(
        "undoing gives a host up after three tries that brought nothing",
        script=(
            lua(
                "postpone",
                "  step.undo_misses = (step.undo_misses or 0) + 1\n",
                "  step.undo_misses = (step.undo_misses or 0) + 1\n"
                "  if step.undo_misses >= 3 then\n"
                "    for _, each in pairs(step.attempts) do\n"
                "      if is_open(each) then close_attempt(host, step, each, 'settled') end\n"
                "    end\n"
                "    restore(host, step)\n"
                "  end\n",
            ),
            lua(
                "postpone",
                "announce('waits', host)\n",
                "announce('waits', host)\nending = true\n",
            ),
        ),
        twin=(
            after(
                "            step.undo_misses += 1\n",
                "            step.undo_misses += 1\n"
                "            if step.undo_misses >= 3:\n"
                "                for each in step.open_attempts():\n"
                "                    self._close_attempt(record, host, step, each, AttemptState.SETTLED)\n"
                "                self._restore(record, host, step)\n"
                "                self._end_if_done(record)\n"
                "                return step.undo_misses\n",
            ),
        ),
    ),
    Mutant(
        "a 404 to an undo is trusted while another attempt is open",
        script=(lua("finish_undo", " and attempt.clean and count(step, is_open) == 0 then", " then"),),
        twin=(after(" and kept.clean and not step.open_attempts():", ":"),),
    ),
    Mutant(
        "`before` is probed again when a step is delivered again",
        script=(lua("begin", "if not step.before then --", "if true then --"),),
        twin=(
            forward(
                "        if step.before is None:\n            step.before = seen.presence\n",
                "        if seen:\n            step.before = seen.presence\n",
            ),
        ),
    ),
    Mutant(
        "attempts are opened after the decision",
        script=(lua("begin", "if op.ended or op.decision then", "if op.ended then"),),
        twin=(
            forward(
                "            return came_to(host, step)\n"
                "        if record.decision is not None:\n"
                "            return ABORTED\n"
                "        if host in record.later:\n"
                "            return NOT_OPEN\n"
                "        if step.fingerprint",
                "            return came_to(host, step)\n"
                "        if record.ended:\n"
                "            return ABORTED\n"
                "        if step.fingerprint",
            ),
        ),
    ),
    Mutant(
        "the decision is no compare-and-set: the last one wins",
        script=(lua("cancel", "if op.decision then\n", "if op.ended then\n"),),
        twin=(
            forward(
                "        if record.decision is not None:\n            same",
                "        if record.ended and record.decision:\n            same",
            ),
        ),
    ),
    Mutant(
        "the operation is committed before its last host has come to an outcome",
        script=(lua("rule", "elseif todo(op) == 0 then", "elseif todo(op) <= 1 then"),),
        twin=(books("elif not record.todo:", "elif len(record.todo) <= 1:"),),
    ),
    Mutant(
        "a host that fails decides nothing",
        script=(lua("rule", "  if op.failed > 0 then\n", "  if op.failed > 1 then\n"),),
        twin=(books("        if record.failed:\n", "        if record.failed > 1:\n"),),
    ),
    Mutant(
        "a rollback that nobody has published waits until nothing has moved for long",
        script=(
            lua("rule", "if label and label ~= op.dispatched then return NOW end", ""),
            lua("claim", "elseif op.dispatched ~= label then", "elseif false then"),
        ),
        twin=(
            books("if phase is not Phase.WAIT and label != record.dispatched:", "if not record:"),
            after("if phase is not Phase.WAIT and record.dispatched != label:", "if not record:"),
        ),
    ),
    Mutant(
        "the lock has a TTL",
        script=(lua("accept", "redis.call('SET', lock, ID)", "redis.call('SET', lock, ID, 'PX', 3000)"),),
        twin=(
            forward(
                "        if owner is not None:\n            return Busy(owner)",
                "        if owner is not None and self.records[owner].created_at + 3000 > self.clock():\n"
                "            return Busy(owner)",
            ),
        ),
    ),
    Mutant(
        "a host counts as restored while a forward write may still land on it",
        script=(lua("settle", " and tonumber(ARGV[5]) == 0 and open == 0 and seen", " and seen"),),
        twin=(
            after("rolling_back and not open_before and not still_open and seen", "rolling_back and seen"),
        ),
    ),
    Mutant(
        "an answer that comes after the decision still changes `before` and the outcome",
        script=(
            lua(
                "finish",
                "if not op.ended and not op.decision and not step.outcome then",
                "if not op.ended and not step.outcome then",
            ),
        ),
        twin=(
            forward(
                "if record.decision is None and step.outcome is None:",
                "if not record.ended and step.outcome is None:",
            ),
        ),
    ),
    Mutant(
        "our own lost success is taken for a group that was there before",
        script=(lua("finish", " and other.state ~= 'not_applied' end)", " and false end)"),),
        twin=(
            forward(
                "if any(each.state is not AttemptState.NOT_APPLIED for each in others):",
                "if not record:",
            ),
        ),
    ),
    Mutant(
        "a step that is delivered again writes although it is done",
        code=(
            Change(
                "worker/steps/apply.py",
                "if begun.next is not Forward.SEND:",
                "if begun.next is Forward.ABORTED:",
            ),
        ),
    ),
    Mutant(
        "a write leaves although its time to be sent has passed",
        code=(
            Change(
                "worker/hosts/client.py",
                "return self.clock.elapsed() < send_before and not self.stopping()",
                "return not self.stopping()",
            ),
        ),
    ),
    Mutant(
        "threads whose calls went to Redis together get each other's answers",
        code=(
            Change(
                "worker/record/scripts.py",
                "zip(same, reply, strict=True)",
                "zip(same, reversed(reply), strict=True)",
            ),
        ),
    ),
    Mutant(
        "the sweep takes an operation that waits for nothing as never overdue",
        script=(
            lua("claim", "if stale_at(op) <= NOW then", "if stale_at(op) <= NOW and phase == 'settle' then"),
        ),
        twin=(
            after(
                "            if phase is not Phase.WAIT and self._stale_at(record) <= now:\n",
                "            if phase is Phase.SETTLE and self._stale_at(record) <= now:\n",
            ),
        ),
    ),
    Mutant(
        "begin does not look whether the host's wave is open",
        script=(lua("begin", "if not_open(op, step) then return { 'not_open' } end\n", ""),),
        twin=(
            forward(
                "        if host in record.later:\n            return NOT_OPEN\n        if step.fingerprint",
                "        if step.fingerprint",
            ),
        ),
    ),
    Mutant(
        "missed does not look whether the host's wave is open",
        script=(lua("missed", "if not_open(op, step) then return { 'not_open' } end\n", ""),),
        twin=(
            forward(
                "        if host in record.later:\n            return NOT_OPEN\n        if miss is",
                "        if miss is",
            ),
        ),
    ),
    Mutant(
        "an operation is committed once its open wave is done",
        script=(lua("rule", "if op.wave >= op.waves then", "if op.wave >= 1 then"),),
        twin=(
            books(
                "waves.stage is Stage.WAITING and waves.wave >= waves.asked.last",
                "waves.stage is Stage.WAITING",
            ),
        ),
    ),
    Mutant(
        "a hold does not keep the next wave from opening",
        script=(lua("rule", "  elseif not op.held then\n", "  else\n"),),
        twin=(books("if waves.stage is Stage.WAITING and waves.hold is not None:", "if not waves:"),),
    ),
    Mutant(
        "a promote releases whatever holds the operation",
        script=(lua("promote", "if number ~= op.hold_no then", "if false then"),),
        twin=(forward("        if number != waves.hold_no:\n            return Refused.OTHER\n", ""),),
    ),
    Mutant(
        "a look of the gate counts in any round",
        script=(lua("gate_seen", " and op.round == round and", " and"),),
        twin=(forward("waves.round != number or ", ""),),
    ),
    Mutant(
        "a release opens no round of the gate",
        script=(lua("promote", "if op.stage == 'waiting' and op.gate then", "if false then"),),
        twin=(forward("if waves.stage is Stage.WAITING and waves.asked.gate:", "if not waves:"),),
    ),
    Mutant(
        "the bake of a wave is not waited for",
        script=(lua("rule", "if NOW < op.bake_until then return end", ""),),
        twin=(
            books(
                "            case Stage.BAKING if now < waves.bake_until:\n                return False\n", ""
            ),
        ),
    ),
    Mutant(
        "the sweep looks at an operation that is held",
        script=(lua("rule", "if members then by(op.deadline_at) end", "by(op.deadline_at)"),),
        twin=(books("None if phase is Phase.WAIT else record.deadline_at", "record.deadline_at"),),
    ),
)
