"""The Lua scripts of the record: called together, and waited for until replicas have what they wrote."""

from __future__ import annotations

import hashlib
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.resources import files
from queue import Empty, SimpleQueue
from typing import cast

import redis
from redis.client import Pipeline

from lockstep.worker.operation.errors import StoreUnavailable
from lockstep.worker.operation.model import OperationId
from lockstep.worker.process.forks import renew_in_children
from lockstep.worker.process.greenlets import Handover
from lockstep.worker.record.causes import unavailable
from lockstep.worker.record.keys import PARTS, Keys
from lockstep.worker.record.queries import StoreErrors

Argument = str | int | float
Arguments = tuple[Argument, ...]
CallKind = tuple[str, OperationId]
"""A script's name and the operation that it runs on: calls of one kind are served by one run."""
Replies = dict[CallKind, Sequence[object] | Exception]
Send = Callable[[Mapping[CallKind, Sequence[Arguments]]], Mapping[CallKind, Sequence[object] | Exception]]
MOST = 256
"""Calls sent at once, so that Redis is not held up for long."""
LINGER = 0.003
"""Seconds for which a call waits for others before it is sent, while they come in quickly: fewer and larger
runs cost less CPU here and in Redis, and fewer fsyncs."""
QUICK, WITHIN = 8, 0.02
"""Linger only after QUICK calls in WITHIN seconds."""


class _Call:
    __slots__ = ("arguments", "asked_at", "kind", "left", "reply")

    def __init__(self, kind: CallKind, arguments: Arguments) -> None:
        self.kind = kind
        self.arguments = arguments
        self.asked_at = time.monotonic()
        self.left = False
        """The caller was interrupted: what has not been sent yet need not be."""
        self.reply: Handover[tuple[object, Exception | None]] = Handover()


_Calls = SimpleQueue[_Call | None]
"""None ends the sender."""


class Batch:
    """Threads put their calls into a queue, from which one thread of its own sends all that wait.

    A caller shares nothing with the others but that queue, and waits for its reply in a queue of its own, so
    whatever interrupts it leaves nothing behind: both queues are C code, which an exception cannot come into.
    """

    def __init__(self, send: Send) -> None:
        """`send` must hold no reference to this object, or its thread never ends."""
        self._send = send
        self.start_anew()
        renew_in_children(self)

    def start_anew(self) -> None:
        """Forget every call and the thread that sends; the next call starts one."""
        self._calls: _Calls = SimpleQueue()
        self._starting = threading.Lock()
        self._sender: threading.Thread | None = None

    def __del__(self) -> None:
        self._calls.put(None)

    def run(self, kind: CallKind, arguments: Arguments) -> object:
        """Return the reply to one call, or raise what its sending or its script raised.

        A caller who is interrupted, by Ctrl-C for example, cannot know whether the call was sent.
        """
        if self._sender is None:
            self._start()
        call = _Call(kind, arguments)
        try:
            self._calls.put(call)
            reply, error = call.reply.wait()
        except BaseException:
            call.left = True
            raise
        if error is not None:
            raise error
        return reply

    def _start(self) -> None:
        with self._starting:
            if self._sender is None:
                sender = threading.Thread(
                    target=_send_all, args=(self._calls, self._send), name="gathering", daemon=True
                )
                sender.start()
                # Only now: a caller interrupted before leaves it to the next, and two senders do no harm.
                self._sender = sender


def _send_all(calls: _Calls, send: Send) -> None:
    """Send what is in the queue, together, until None is."""
    arrivals: deque[float] = deque(maxlen=QUICK)
    while (first := calls.get()) is not None:
        together = [first]
        _take(calls, together)
        arrivals.extend(call.asked_at for call in together)
        now = time.monotonic()
        if len(arrivals) == QUICK and now - arrivals[0] < WITHIN:
            time.sleep(max(0.0, first.asked_at + LINGER - now))
            gathered = len(together)
            _take(calls, together)
            arrivals.extend(call.asked_at for call in together[gathered:])
        if wanted := [call for call in together if not call.left]:
            _serve(wanted, send)
    calls.put(None)  # for another sender


def _take(calls: _Calls, together: list[_Call]) -> None:
    while len(together) < MOST:
        try:
            call = calls.get_nowait()
        except Empty:
            return
        if call is None:
            calls.put(None)
            return
        together.append(call)


def _serve(calls: Sequence[_Call], send: Send) -> None:
    kinds: dict[CallKind, list[_Call]] = {}
    for call in calls:
        kinds.setdefault(call.kind, []).append(call)
    try:
        replies = send({kind: [call.arguments for call in same] for kind, same in kinds.items()})
        for kind, same in kinds.items():
            reply = replies[kind]
            if isinstance(reply, Exception):
                for call in same:
                    call.reply.bring((None, reply))
                continue
            for call, own in zip(same, reply, strict=True):
                call.reply.bring((own, None))
    except BaseException as error:  # noqa: BLE001 - a thread has nobody to raise it to
        # To those that have a reply already it comes too late to matter.
        told = error if isinstance(error, Exception) else StoreUnavailable("sending was interrupted")
        for call in calls:
            call.reply.bring((None, told))


RECORDED = frozenset({"finish", "missed"})
"""Scripts that keep what a host said, and by that may decide: they run whether replicas follow or not."""
CONFIRMED = RECORDED | {
    *("accept", "begin", "begin_undo", "claim", "cancel", "abandon"),
    *("shown", "restore", "resolve"),
}
"""Scripts after which a host is written to, or somebody is told what holds. All others are found out again
from the hosts if they are lost: a closed attempt is open again, and is settled again."""
ASKED = 2
"""Commands with which the replicas are asked."""


class Replicas:
    """How many replicas must have what the scripts above wrote, and whether they had it when last asked."""

    def __init__(self, fence: str, wanted: int, within: int) -> None:
        """`fence` is a key of our own, `within` in milliseconds; none are waited for when `wanted` is 0."""
        self._fence = fence
        self._wanted = wanted
        self._within = within
        self.behind = False
        """The last answer was that they do not have it: they are asked before anything more is begun."""

    def concern(self, kinds: Iterable[CallKind]) -> bool:
        """Tell whether any of these scripts must be confirmed."""
        return self._wanted > 0 and any(name in CONFIRMED for name, _ in kinds)

    def ask(self, pipe: Pipeline) -> None:
        """Have the pipeline wait, at its end, for all that was written before."""
        # WAIT covers what its own connection wrote. A repeated script may have written nothing, while what it
        # found was written through another connection: a write of our own comes after both.
        pipe.set(self._fence, 1)
        pipe.execute_command("WAIT", self._wanted, self._within)  # type: ignore[no-untyped-call]

    def missing(self, said: Sequence[object]) -> StoreUnavailable | None:
        """Read the answers to `ask`; return what is wrong if the replicas do not have everything."""
        error = next((each for each in said if isinstance(each, redis.RedisError)), None)
        have = said[-1]
        self.behind = error is not None or not isinstance(have, int) or have < self._wanted
        if error is not None:
            return unavailable(error)
        if self.behind:
            return StoreUnavailable(
                f"{have} of {self._wanted} replicas of Redis had the last write after {self._within} ms: "
                "nothing rests on it until they have; see that they run, and LOCKSTEP_REPLICAS_WAIT"
            )
        return None


class Scripts(StoreErrors):
    """Every transition script by its name, sent once and then called by its digest. Threads may share it.

    Calls that threads make while another is on its way to Redis are sent together: one round trip and one
    fsync for all, and one script run for those of one kind on one operation.
    """

    def __init__(self, client: redis.Redis, keys: Keys, replicas: Replicas) -> None:
        self.called: SimpleQueue[OperationId] = SimpleQueue()
        """Operations of which something is to be published, for a call of this process made it due."""
        self._batch = Batch(_Wire(client, keys, replicas, self.called).send)

    def strings(self, name: str, operation: OperationId, *arguments: Argument) -> list[str]:
        return cast(list[str], self.run(name, operation, *arguments))

    def run(self, name: str, operation: OperationId, *arguments: Argument) -> object:
        """Run a script on one operation; a dropped connection is tried again, for each may be repeated."""
        return self._batch.run((name, operation), arguments)


class _Wire:
    def __init__(
        self, client: redis.Redis, keys: Keys, replicas: Replicas, called: SimpleQueue[OperationId]
    ) -> None:
        self._client = client
        self._keys = keys
        self._replicas = replicas
        self._called = called
        self._texts: dict[str, tuple[str, str]] = {}

    def send(self, calls: Mapping[CallKind, Sequence[Arguments]]) -> Replies:
        replies: Replies = {}
        if self._replicas.behind and self._replicas.concern(calls):
            replies = self._unconfirmed(calls)
            calls = {kind: same for kind, same in calls.items() if kind not in replies}
        replies |= self._execute(calls, whole=False)
        unknown = [
            kind for kind, reply in replies.items() if isinstance(reply, redis.exceptions.NoScriptError)
        ]
        return replies | self._execute({kind: calls[kind] for kind in unknown}, whole=True)

    def _unconfirmed(self, calls: Mapping[CallKind, object]) -> Replies:
        """Refuse what replicas must confirm while they lack what came before: nothing is begun in vain."""
        pipe = self._client.pipeline(transaction=False)
        self._replicas.ask(pipe)
        error = self._replicas.missing(pipe.execute(raise_on_error=False))
        return {kind: error for kind in calls if error and kind[0] in CONFIRMED - RECORDED}

    def _execute(self, calls: Mapping[CallKind, Sequence[Arguments]], *, whole: bool) -> Replies:
        if not calls:
            return {}
        pipe = self._client.pipeline(transaction=False)
        for kind, same in calls.items():
            text, digest = self._text(kind[0])
            run = pipe.eval if whole else pipe.evalsha
            operation = self._keys.operation(kind[1])
            keys = [*(operation + part for part in PARTS), *self._keys.shared]
            arguments = (self._keys.prefix, kind[1], len(same), *itertools.chain.from_iterable(same))
            run(text if whole else digest, len(keys), *keys, *arguments)
        confirm = self._replicas.concern(calls)
        if confirm:
            self._replicas.ask(pipe)
        said = pipe.execute(raise_on_error=False)
        replies: Replies = dict(zip(calls, said, strict=False))
        error = self._replicas.missing(said[-ASKED:]) if confirm else None
        for kind, reply in replies.items():
            if isinstance(reply, list) and len(reply) > len(calls[kind]):
                for operation in dict.fromkeys(reply.pop()):
                    self._called.put(operation)
            if error and kind[0] in CONFIRMED and not isinstance(reply, Exception):
                replies[kind] = error
        return replies

    def _text(self, name: str) -> tuple[str, str]:
        if name not in self._texts:
            before = map(script, ("record", "limit", "step", "rule"))
            body = ("local function transition(ARGV, op)", script(name), "end")
            text = "\n".join((*before, *body, script("serve")))
            self._texts[name] = (text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())
        return self._texts[name]


def script(name: str) -> str:
    """Return the text of a script, whichever folder of `lua/` it is in."""
    folders = (files("lockstep.worker.record") / "lua").iterdir()
    found = (folder / f"{name}.lua" for folder in folders)
    return next(file for file in found if file.is_file()).read_text("utf-8")
