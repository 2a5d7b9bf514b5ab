"""The store on Redis: every transition is one Lua script."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from queue import Empty
from typing import Any, cast

from lockstep.worker.operation.content import Effect
from lockstep.worker.operation.errors import OperationIdReused, ReasonKind, StoreFull
from lockstep.worker.operation.model import (
    Action,
    AttemptId,
    Decision,
    GroupId,
    HostName,
    Millis,
    OperationId,
    Outcome,
    Presence,
    Seen,
    Stage,
)
from lockstep.worker.operation.thing import ThingLook
from lockstep.worker.operation.transitions import (
    Accepted,
    Busy,
    Claim,
    HoldAnswer,
    Miss,
    Phase,
    Progress,
    Refusal,
    Request,
    Settled,
    View,
)
from lockstep.worker.operation.waves import GateVerdict, Health
from lockstep.worker.process.secrets import mask
from lockstep.worker.record.codec import progress_from, step_from
from lockstep.worker.record.ends import RedisEnds
from lockstep.worker.record.reports import refused
from lockstep.worker.record.scripts import Argument


def _payload(request: Request) -> str:
    """Return the digest of what is asked for: an id that is used again must ask for the same."""
    kept: list[object] = [request.action, request.group, sorted(host.name for host in request.hosts)]
    kept += [each.kept() for each in (request.rollout, request.content) if each]
    return hashlib.sha256(json.dumps(kept).encode()).hexdigest()[:32]


class RedisStore(RedisEnds):
    """The record on one Redis client; `Store` says what steps may ask of it. Threads may share it."""

    def accept(self, request: Request) -> Accepted | Busy:
        said = self._scripts.strings(
            "accept",
            request.id,
            request.group,
            request.action,
            _payload(request),
            json.dumps([[host.name, host.fingerprint] for host in request.hosts]),
            request.deadline,
            request.created_by,
            self._limits.sweep_patience,
            self._limits.memory_watermark,
            json.dumps(dict(request.repairs)) if request.repairs else "",
            "" if request.retries is None else request.retries,
            request.owner,
            request.rollout.kept() if request.rollout else "",
            request.content.kept(request.rollout is not None) if request.content else "",
            json.dumps(dict(request.content.texts)) if request.content else "",
        )
        match said[0]:
            case "busy":
                return Busy(OperationId(said[1]))
            case "paused":
                raise refused(said)
            case "reused":
                raise OperationIdReused(
                    f'operation id "{request.id}" belongs to another operation: '
                    "repeat it with the same action, group and hosts, or choose a new id"
                )
            case "theirs":
                raise OperationIdReused(
                    f'operation id "{request.id}" was given by {said[1]}: choose a new id, '
                    "or say with --as (created_by) that you are the one who gave it"
                )
            case "full":
                raise StoreFull(
                    f"Redis uses {said[1]} of {said[2]} bytes, over the watermark of "
                    f"{self._limits.memory_watermark:.0%}: raise maxmemory or shorten the retention"
                )
        return Accepted(said[0])

    @property
    def _times(self) -> tuple[int, int, int]:
        """What an attempt is opened with, in ms."""
        return self._limits.send_within, self._limits.call, self._limits.settle

    def _progress(self, name: str, operation: OperationId, host: HostName, *sent: Argument) -> Progress:
        """Run a script that opens or closes a write, and read what is to be done next."""
        return progress_from(host, self._scripts.strings(name, operation, host, *sent))

    def begin(
        self,
        operation: OperationId,
        host: HostName,
        fingerprint: str,
        seen: Seen,
        attempt: AttemptId,
        action: Action,
        group: GroupId,
        age: int = 0,
    ) -> Progress:
        sent = (fingerprint, seen.presence, seen.body or "", attempt, *self._times, action, group, age)
        return self._progress("begin", operation, host, *sent)

    def missed(
        self,
        operation: OperationId,
        host: HostName,
        fingerprint: str,
        look: AttemptId,
        reason: str,
        miss: Miss,
        fatal: Outcome | None = None,
        needs: int = 0,
        why: ReasonKind | None = None,
    ) -> Progress:
        sent = (fingerprint, look, mask(reason), miss, fatal or "", self._limits.host_patience, needs)
        return self._progress("missed", operation, host, *sent, why or "")

    def finish(
        self,
        operation: OperationId,
        host: HostName,
        attempt: AttemptId,
        effect: Effect,
        answer: str,
        needs: int = 0,
        lost_fields: Sequence[str] = (),
    ) -> Progress:
        sent = (attempt, effect, mask(answer), self._limits.settle, needs, json.dumps(list(lost_fields)))
        return self._progress("finish", operation, host, *sent)

    def _refused(self, name: str, operation: OperationId, *sent: Argument) -> Refusal | None:
        """Run a script that says nothing once it has done what somebody asked for."""
        said = self._scripts.strings(name, operation, *sent)
        return Refusal(said[0]) if said else None

    def cancel(self, operation: OperationId, by: str) -> Refusal | None:
        """Decide to roll back; None if that is decided, because of `by`, who asked for it, and why."""
        return self._refused("cancel", operation, mask(by))

    def abandon(self, operation: OperationId, host: HostName, reason: str) -> Refusal | None:
        """Give up on a host that is still to be restored or settled; None if that was done now."""
        return self._refused("abandon", operation, host, mask(reason))

    def hold(self, operation: OperationId, who: str, why: str) -> HoldAnswer | Refusal:
        """Keep an operation from going further than the wave at work."""
        said = self._scripts.strings("hold", operation, who, mask(why))
        if said[0] == "held":
            return HoldAnswer(int(said[1]), int(said[2]), Stage(said[3]))
        return Refusal(said[0])

    def promote(self, operation: OperationId, number: int, by: str = "") -> Refusal | None:
        """Release the hold of this number, and no other; None if that was done now. `by`: who, and why."""
        return self._refused("promote", operation, number, mask(by))

    def gate_seen(
        self,
        operation: OperationId,
        host: HostName,
        number: int,
        sent_at: Millis,
        look: AttemptId,
        health: Health,
        said: str,
    ) -> GateVerdict:
        came = self._scripts.strings("gate_seen", operation, host, number, sent_at, look, health, mask(said))
        return GateVerdict(came[0])

    def view(self, operation: OperationId, host: HostName) -> View:
        said = self._scripts.strings("view", operation, host)
        decision, now, step, undo, action, group, decided_at, gating = said
        return View(
            decision=Decision(decision) if decision else None,
            now=Millis(int(now)),
            step=step_from(host, step, undo_needed=undo == "1") if step else None,
            undo_needed=undo == "1",
            action=Action(action) if action else None,
            group=GroupId(group) if group else None,
            decided_at=Millis(int(decided_at)) if decided_at else None,
            gating=int(gating) if gating else None,
        )

    def settle(
        self, operation: OperationId, host: HostName, sent_at: Millis, open_before: int, seen: Presence
    ) -> Settled:
        restored, opened, again = self._scripts.strings(
            "settle", operation, host, sent_at, open_before, seen, self._limits.settle
        )
        return Settled(restored == "1", int(opened), Millis(int(again)) if again != "0" else None)

    def begin_undo(
        self, operation: OperationId, host: HostName, fingerprint: str, attempt: AttemptId, sent_at: Millis
    ) -> Progress:
        return self._progress("begin_undo", operation, host, fingerprint, attempt, *self._times, sent_at)

    def called(self) -> Iterator[OperationId]:
        with suppress(Empty):
            while True:
                yield self._scripts.called.get_nowait()

    def postpone(
        self,
        operation: OperationId,
        host: HostName,
        delay: int | None,
        reason: str = "",
        failed: AttemptId | None = None,
        why: ReasonKind | None = None,
    ) -> int:
        wait = "" if delay is None else delay
        said = self._scripts.run("postpone", operation, host, wait, mask(reason), failed or "", why or "")
        return int(cast(str, said))

    def claim(self, operation: OperationId, *, resume: bool = False) -> Claim | None:
        said = self._scripts.strings("claim", operation, "resume" if resume else "")
        if not said:
            return None
        phase, group, action, number, *hosts = cast(list[Any], said)
        return Claim(Phase(phase), group, Action(action), tuple(hosts), int(number or 0))

    def shown(
        self,
        operation: OperationId,
        host: HostName,
        fingerprint: str,
        look: ThingLook,
        attempt: AttemptId,
        action: Action,
        group: GroupId,
        needs: int = 0,
    ) -> Progress:
        sent = (fingerprint, look.digest, look.shows, look.text, look.barred, attempt)
        return self._progress("shown", operation, host, *sent, *self._times, action, group, needs)

    def restore(
        self,
        operation: OperationId,
        host: HostName,
        fingerprint: str,
        sent_at: Millis,
        open_before: int,
        look: ThingLook,
        attempt: AttemptId,
    ) -> Progress:
        like = "" if look.like_before is None else json.dumps(look.like_before)
        sent = (fingerprint, sent_at, open_before, look.digest, look.shows, like, look.text, attempt)
        return self._progress("restore", operation, host, *sent, *self._times)

    def resolve(self, operation: OperationId, host: HostName, who: str) -> Refusal | None:
        """Have what was there before written over what the host showed last; None if that was done now."""
        return self._refused("resolve", operation, host, mask(who))
