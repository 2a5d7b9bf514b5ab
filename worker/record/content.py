"""The transitions of things with content, on Redis: steps hold digests, and texts stand beside them."""

from __future__ import annotations

import json
from typing import cast

from lockstep.worker.operation.content import Effect
from lockstep.worker.operation.errors import RecordDamaged
from lockstep.worker.operation.model import (
    Action,
    AttemptId,
    GroupId,
    HostName,
    Millis,
    OperationId,
)
from lockstep.worker.operation.thing import Digest, Left, Look, Resolved, Restored, Restoring
from lockstep.worker.operation.transitions import Progress
from lockstep.worker.record.codec import progress_from
from lockstep.worker.record.ends import RedisEnds
from lockstep.worker.record.fields import readable
from lockstep.worker.record.queries import store_errors
from lockstep.worker.record.scripts import Argument
from lockstep.worker.secrets import mask


class RedisContent(RedisEnds):
    """The ContentTransitions protocol on one Redis client."""

    def _progress(self, name: str, operation: OperationId, host: HostName, *sent: Argument) -> Progress:
        """Run a script that opens or closes a write, and read what is to be done next."""
        return progress_from(host, self._scripts.strings(name, operation, host, *sent))

    def shown(
        self,
        operation: OperationId,
        host: HostName,
        fingerprint: str,
        look: Look,
        attempt: AttemptId,
        action: Action,
        group: GroupId,
        needs: int = 0,
    ) -> Progress:
        """Record what a look showed; open `attempt` if a write is needed (SEND)."""
        limits = self._limits
        sent = (fingerprint, look.digest, look.shows, look.text, look.barred, attempt)
        times = (limits.send_within, limits.call, limits.settle)
        return self._progress("shown", operation, host, *sent, *times, action, group, needs)

    def wrote(
        self,
        operation: OperationId,
        host: HostName,
        attempt: AttemptId,
        effect: Effect,
        answer: str,
        needs: int = 0,
    ) -> Progress:
        """Record what the answer to a write says, an inverse too; OPEN means that a look is to tell."""
        return self._progress("wrote", operation, host, attempt, effect, mask(answer), needs)

    def restoring(
        self,
        operation: OperationId,
        host: HostName,
        fingerprint: str,
        sent_at: Millis,
        open_before: int,
        look: Look,
        attempt: AttemptId,
    ) -> Restored:
        """Record what a look showed after the decision to roll back; open `attempt` of the inverse (SEND)."""
        limits = self._limits
        like = "" if look.like_before is None else json.dumps(look.like_before)
        sent = (host, fingerprint, sent_at, open_before, look.digest, look.shows, like, look.text, attempt)
        times = (limits.send_within, limits.call, limits.settle)
        said = self._scripts.strings("restoring", operation, *sent, *times)
        again = int(said[1]) if len(said) > 1 else 0
        if said[0] == Restoring.BUSY:
            return Restored(Restoring.BUSY, left=again, reason=said[2])
        return Restored(Restoring(said[0]), Millis(again) if again else None)

    def resolve(self, operation: OperationId, host: HostName, who: str) -> Resolved:
        """Have what was there before written over what the host showed last."""
        return Resolved(cast(str, self._scripts.run("resolve", operation, host, mask(who))))

    def text(self, operation: OperationId, digest: str) -> str | None:
        """Read the text of a content, or another that the operation keeps; None if it is kept no more."""
        with store_errors():
            return cast(str | None, self._client.hget(self._keys.texts(operation), digest))

    def contents_left(self, group: GroupId) -> dict[HostName, Left]:
        """Return what the last ended operations on a thing left on each host that they covered."""
        key = self._keys.left(group)
        with store_errors():
            kept = cast(dict[str, str], self._client.hgetall(key))

        def left(_: str, text: str) -> Left:
            parts = text.split(" ")
            if len(parts) not in (4, 5) or not parts[2].isdecimal():
                raise RecordDamaged("it is no end of an operation")
            digest, operation, at, fingerprint, *form_of = parts
            when, kept_text = Millis(int(at)), kept.get(f"={digest}")
            learned = Digest(form_of[0]) if form_of else None
            return Left(Digest(digest), OperationId(operation), when, fingerprint, kept_text, learned)

        hosts = {name: text for name, text in kept.items() if not name.startswith("=")}
        return {HostName(host): each for host, each in readable("last end", key, hosts, left).items()}

    def things(self) -> list[GroupId]:
        """Return every thing on which an operation has ended."""
        start = self._keys.left(GroupId(""))
        with store_errors():
            found = {key.removeprefix(start) for key in self._client.scan_iter(match=f"{start}*", count=1000)}
        return [GroupId(each) for each in sorted(found)]
