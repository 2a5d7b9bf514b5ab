"""An operation on a thing with content: what it asks for, and what the record keeps of each host.

Contents are opaque to the record: it knows them by digest, and keeps their texts beside.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, NewType

from lockstep.worker.operation.errors import RecordDamaged

if TYPE_CHECKING:
    from lockstep.worker.operation.model import Millis, OperationId

Digest = NewType("Digest", str)
"""Of a content, in hexadecimal."""

ABSENT = Digest("absent")
"""What stands in place of a digest where the thing is absent."""
DEFINITION, SECRET = "definition", "secret"
"""Texts that are no contents: the kind as the producer had it, and the given secrets, sealed."""
MOST_KEPT = 65_536
"""Bytes of one text; a content that is larger is present, and cannot be set or deleted."""


class Likeness(StrEnum):
    """How what a look shows stands to the target; how it stands to what was before, the record knows."""

    TARGET = "target"
    """Equal in every field that is given or has a default."""
    LIKE = "like"
    """Equal but for fields that hosts may show in another form."""
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class ThingLook:
    """A look that told something."""

    digest: Digest
    shows: Likeness
    text: str = ""
    """The content's; empty where the thing is absent."""
    barred: str = ""
    """Why an operation must not start from this; empty if it may."""
    like_before: tuple[str, ...] | None = None
    """Where it differs from what was before in rewritten fields alone: those."""


@dataclass(frozen=True, slots=True)
class ThingRequest:
    verb: str
    """create, set or delete; a `set` is recorded as a create that may start from elsewhere."""
    kind: str
    definition: str
    """Digest of the kind's definition: workers that lack it leave the operation to others."""
    target: Digest
    lock: str
    """What two operations must not touch at once."""
    secret: bool
    """A field is given that no look shows: only an answer makes it applied."""
    once: bool
    """No second write while one is open."""
    upsert: bool
    """A `set` that also creates."""
    settle: int = 0
    """Milliseconds that a write of this kind may take to show, if longer than the workers' setting."""
    seal: str = ""
    """Id of the key that its texts are sealed with; empty for a kind without secrets."""
    texts: Mapping[str, str] = field(default_factory=dict, compare=False)
    """By digest; beside them the definition, and the secrets."""

    @property
    def title(self) -> str:
        """The kind with as much of its definition's digest as people need."""
        return f"{self.kind}@{self.definition[:8]}"

    def kept(self, waved: bool = False) -> str:
        """Return what the record keeps of it beside the texts, as JSON."""
        names = ("verb", "kind", "definition", "target", "lock", "secret", "once", "upsert")
        own = {name: value for name in ("settle", "seal") if (value := getattr(self, name))}
        return json.dumps({**{name: getattr(self, name) for name in names}, "waved": waved, **own})

    @classmethod
    def of(cls, text: str) -> ThingRequest:
        """Read what `kept` wrote. Raises RecordDamaged."""
        try:
            kept = json.loads(text)
            del kept["waved"]
            return cls(**kept)
        except (ValueError, TypeError, KeyError):
            raise RecordDamaged("its field content is none") from None


@dataclass(frozen=True, slots=True)
class Trace:
    """What the record keeps of the content of one host, by digest."""

    was: Digest | None = None
    """What it showed before anything of ours can have landed."""
    as_seen: Digest | None = None
    """The target in the form that this host shows."""
    foreign: Digest | None = None
    """What it shows in a rollback that is neither ours nor what was before: a person decides."""
    restore_over: Digest | None = None
    """What a person has said may be written over."""
    overwrote: bool = False
    """A write of ours took effect over something that no look had shown."""


@dataclass(frozen=True, slots=True)
class ThingEnd:
    """What the last ended operation on a thing left on a host."""

    digest: Digest
    operation: OperationId
    at: Millis
    fingerprint: str
    text: str | None
    """None where it is absent."""
    form_of: Digest | None = None
    """The target of which this is the host's own form, where the operation learned that."""
