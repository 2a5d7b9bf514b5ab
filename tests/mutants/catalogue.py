"""The mutants. Each says what it breaks; a survivor would mean that nobody watches over that."""

from __future__ import annotations

from tests.mutants.content import CONTENT
from tests.mutants.tree import mutant
from tests.mutants.waves import WAVES

MUTANTS = (
    mutant(
        "no settle: the first look closes an attempt that may still land",
        ("rule.lua", "if attempt.probed and sent >= attempt.probed + window then", "if true then"),
        (
            "after.py",
            "if attempt.probed is not None and sent_at >= attempt.probed + window:",
            "if attempt.opened:",
        ),
    ),
    mutant(
        "only those touched hosts are undone that confirmed their write",
        ("step.lua", "  if not undo then change('SADD', UNDO, host) end\n", ""),
        (
            "step.lua",
            "  step.outcome = outcome\n",
            "  step.outcome = outcome\n  if outcome == 'applied' then change('SADD', UNDO, host) end\n",
        ),
        ("store.py", "        record.undo.add(host)\n", ""),
        (
            "books.py",
            "        step.outcome, step.reason, step.why = outcome, reason, why\n",
            (
                "        step.outcome, step.reason, step.why = outcome, reason, why\n"
                "        if outcome is Outcome.APPLIED:\n"
                "            record.undo.add(host)\n"
            ),
        ),
    ),
    mutant(
        "undoing gives a host up after three tries that brought nothing",
        (
            "postpone.lua",
            "  step.undo_misses = (step.undo_misses or 0) + 1\n",
            (
                "  step.undo_misses = (step.undo_misses or 0) + 1\n"
                "  if step.undo_misses >= 3 then\n"
                "    for id, each in pairs(step.attempts) do\n"
                "      if is_open(each) then close_attempt(host, step, id, 'settled') end\n"
                "    end\n"
                "    restore(host, step)\n"
                "  end\n"
            ),
        ),
        ("postpone.lua", "note_step(host, 'waits')\n", "note_step(host, 'waits')\nrun.ending = true\n"),
        (
            "after.py",
            "            step.undo_misses += 1\n",
            (
                "            step.undo_misses += 1\n"
                "            if step.undo_misses >= 3:\n"
                "                for each in step.open_attempts():\n"
                "                    self._close_attempt(record, host, step, each, AttemptState.SETTLED)\n"
                "                self._restore(record, host, step)\n"
                "                self._end_if_done(record)\n"
                "                return step.undo_misses\n"
            ),
        ),
    ),
    mutant(
        "a 404 to an undo is trusted while another attempt is open",
        ("finish.lua", " and attempt.clean and count(step, is_open) == 0 then", " then"),
        ("after.py", " and kept.clean and not step.open_attempts():", ":"),
    ),
    mutant(
        "`before` is looked up again when a step is delivered again",
        ("begin.lua", "if not step.before then --", "if true then --"),
        (
            "store.py",
            "        if step.before is None:\n            step.before = seen.presence\n",
            "        if seen:\n            step.before = seen.presence\n",
        ),
    ),
    mutant(
        "attempts are opened after the decision",
        ("begin.lua", "if no then", "if no and (op.ended or no[1] ~= 'over') then"),
        (
            "store.py",
            "if no is not None:\n            return no\n        if attempt",
            (
                "if no is not None and (record.ended or no.next is not Forward.OVER):\n"
                "            return no\n"
                "        if attempt"
            ),
        ),
    ),
    mutant(
        "a call that comes late opens its attempt a second time",
        (
            "begin.lua",
            "if step.attempts[id] then return",
            "if step.attempts[id] and is_open(step.attempts[id]) then return",
        ),
        (
            "store.py",
            "            return SEND if step.attempts[attempt].is_open else OVER\n",
            "            if step.attempts[attempt].is_open:\n                return SEND\n",
        ),
    ),
    mutant(
        "the decision is no compare-and-set: the last one wins",
        ("cancel.lua", "if op.decision then\n", "if op.ended then\n"),
        (
            "store.py",
            "        if record.decision is not None:\n            same",
            "        if record.ended and record.decision:\n            same",
        ),
    ),
    mutant(
        "the operation is committed before its last host has come to an outcome",
        ("rule.lua", "elseif todo(op) == 0 then", "elseif todo(op) <= 1 then"),
        ("books.py", "elif not record.todo:", "elif len(record.todo) <= 1:"),
    ),
    mutant(
        "a host that fails decides nothing",
        ("rule.lua", "  if op.failed > 0 then\n", "  if op.failed > 1 then\n"),
        ("books.py", "        if record.failed:\n", "        if record.failed > 1:\n"),
    ),
    mutant(
        "a rollback that nobody has published waits until nothing has moved for long",
        ("rule.lua", "if unpublished(op) then return NOW end", ""),
        ("claim.lua", "if op.dispatched ~= label then", "if false then"),
        ("books.py", "if self._unpublished(record):", "if not record:"),
        ("after.py", "if phase is not Phase.WAIT and record.dispatched != label:", "if not record:"),
    ),
    mutant(
        "the lock has a TTL",
        ("accept.lua", "redis.call('SET', lock, ID)", "redis.call('SET', lock, ID, 'PX', 3000)"),
        (
            "store.py",
            "        if owner is not None:\n            return Busy(owner)",
            (
                "        if owner is not None and self.records[owner].created_at + 3000 > self.clock():\n"
                "            return Busy(owner)"
            ),
        ),
    ),
    mutant(
        "a host counts as restored while a forward write may still land on it",
        ("settle.lua", " and tonumber(ARGV[5]) == 0 and open == 0 and seen", " and seen"),
        ("after.py", "rolling_back and not open_before and not still_open and seen", "rolling_back and seen"),
    ),
    mutant(
        "an answer that comes after the decision still changes `before` and the outcome",
        (
            "finish.lua",
            "if first and not op.ended and not op.decision and not step.outcome then",
            "if first and not op.ended and not step.outcome then",
        ),
        (
            "store.py",
            "if first and record.decision is None and step.outcome is None:",
            "if first and not record.ended and step.outcome is None:",
        ),
    ),
    mutant(
        "our own lost success is taken for a group that was there before",
        ("finish.lua", "if not has_landed(step, id) then", "if true then"),
        (
            "store.py",
            "if any(each.state is not AttemptState.NOT_APPLIED for each in others):",
            "if not record:",
        ),
    ),
    mutant(
        "a step that is delivered again writes although it is done",
        ("worker/steps/apply.py", "if begun.next is not Forward.SEND:", "if begun.next is Forward.OVER:"),
    ),
    mutant(
        "a step that met an outage of Redis counts as one that raised: its operation is rolled back",
        ("worker/tasks/run.py", "        except NOT_NOW:\n            raise\n", ""),
    ),
    mutant(
        "a message whose task met an outage of Redis is dropped",
        (
            "worker/tasks/run.py",
            "        raise _put_back(str(error), wait) from error\n",
            "        raise Ignore from error\n",
        ),
    ),
    mutant(
        "a write leaves although its time to be sent has passed",
        (
            "worker/operation/answer.py",
            "return lambda: clock.elapsed() < ends",
            "return lambda: True",
        ),
    ),
    mutant(
        "libcurl sends a request again by itself when a kept connection turns out to be dead",
        ("worker/hosts/transfer.py", "if self.sent:", "if False:"),
    ),
    mutant(
        "a request leaves over a kept connection that its host has closed",
        (
            "worker/hosts/transfer.py",
            "self.stale = kept is not None and bool(kept.poll(0))",
            "self.stale = False",
        ),
    ),
    mutant(
        "a request leaves though it may not be sent any more once the connection stands",
        (
            "worker/hosts/transfer.py",
            "self.refused = not self.stale and not (wanted and self.asked.may_send())",
            "self.refused = False",
        ),
    ),
    mutant(
        "threads whose calls went to Redis together get each other's answers",
        (
            "worker/record/scripts.py",
            "zip(same, reply, strict=True)",
            "zip(same, reversed(reply), strict=True)",
        ),
    ),
    mutant(
        "the sweep takes an operation that waits for nothing as never overdue",
        ("claim.lua", "if stale_at(op) <= NOW then", "if stale_at(op) <= NOW and phase == 'settle' then"),
        (
            "after.py",
            "            if phase is not Phase.WAIT and self._stale_at(record) <= now:\n",
            "            if phase is Phase.SETTLE and self._stale_at(record) <= now:\n",
        ),
    ),
    *WAVES,
    *CONTENT,
)
