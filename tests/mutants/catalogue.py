"""The mutants. Each says what it breaks; a survivor would mean that nobody watches over that."""

from __future__ import annotations

from tests.mutants.content import CONTENT
from tests.mutants.tree import Change, Mutant, after, books, forward, lua
from tests.mutants.waves import WAVES

MUTANTS = (
    Mutant(
        "no settle: the first look closes an attempt that may still land",
        script=(
            lua(
                "record",
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
                "return self.clock.elapsed() < send_before and not self.stopping()\n\n        payload",
                "return not self.stopping()\n\n        payload",
            ),
        ),
    ),
    Mutant(
        "libcurl sends a request again by itself when a kept connection turns out to be dead",
        code=(
            Change(
                "worker/hosts/transfer.py",
                "if self.sent or self.refused:",
                "if self.refused:",
            ),
        ),
    ),
    Mutant(
        "a request leaves over a kept connection that its host has closed",
        code=(
            Change(
                "worker/hosts/transfer.py",
                "self.stale = not self.sent and socket is not None and _closed(socket)",
                "self.stale = False",
            ),
        ),
    ),
    Mutant(
        "a request leaves though it may not be sent any more once the connection stands",
        code=(
            Change(
                "worker/hosts/transfer.py",
                "self.refused = not self.sent and not (self.request.left > 0 and self.request.may_send())",
                "self.refused = False",
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
    *WAVES,
    *CONTENT,
)
