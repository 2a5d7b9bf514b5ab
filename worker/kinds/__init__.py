"""Kinds of things that hosts keep, each described in a file: those shipped here, and people's own.

The grammar of the files takes long to load, so that is done when a kind is first read.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from lockstep.worker.kinds.seal import Seal, SealKeys
from lockstep.worker.operation.content import Content, Id, canonical
from lockstep.worker.operation.errors import InvalidInput
from lockstep.worker.operation.names import KIND, show
from lockstep.worker.operation.thing import ABSENT, DEFINITION, MOST_KEPT, SECRET, Digest, ThingRequest
from lockstep.worker.settings.environment import read_text, version_of

if TYPE_CHECKING:
    from lockstep.worker.kinds.kind import Kind, Verb

SHIPPED = Path(__file__).parent / "shipped"
GROUP = "group"
"""The kind of an id that names none."""
_REFERENCE = re.compile(rf"({KIND})(?:@([0-9a-f]{{4,64}}))?")
_DIGEST = re.compile(r"[0-9a-f]{8,64}")
log = logging.getLogger(__name__)


class Kinds:
    """The kinds of some folders, and the shipped ones. Safe to share between threads.

    A file is named after its kind: `vhost.yaml`. One that a running operation may still need is kept beside
    the new one as `vhost@3f2a.yaml`, with as much of its digest; what this process has read, it remembers.
    """

    def __init__(self, folders: Iterable[str | Path] = ()) -> None:
        self.folders = (*(Path(each) for each in folders if str(each)), SHIPPED)
        self._read: dict[Path, tuple[object, Kind]] = {}
        self._remembered: dict[str, Kind] = {}

    def find(self, name: str, remedy: str = "") -> Kind:
        """Return a kind by `NAME`, `NAME@DIGEST` or a digest; of a digest its first characters are enough.

        Raises InvalidInput, with the remedy, for one that is not known; BadKind for a file that breaks rules.
        """
        if (found := _REFERENCE.fullmatch(name)) and found[2] is None:
            for path in self._files(f"{name}.yaml"):
                return self._load(path)
        if found and found[2]:
            return self._older(found[1], found[2])
        if _DIGEST.fullmatch(name):
            return self._older("*", name)
        known = "; ".join([f"known: {', '.join(self.names())}", *self.lacking()])
        raise InvalidInput(f"kind {show(name)} is not known", f"{known}{remedy}")

    def parse(self, text: str) -> tuple[Kind, Id]:
        """Return the kind and the id of `KIND/a/b`; without a slash it is the id of a group."""
        name, slash, _ = text.partition("/")
        kind = self.find(name if slash else GROUP, f"; a group id has no slash, and {show(text)} has one")
        return kind, kind.parse(text if slash else f"{GROUP}/{text}")

    def names(self) -> list[str]:
        """Return the names of all kinds, by file; whether a file keeps the rules is seen when it is read."""
        return sorted({path.stem for path in self._files("*.yaml") if "@" not in path.name})

    def lacking(self) -> list[str]:
        """Say which folders are not there."""
        return [f"folder {str(each)!r} is not there" for each in self.folders if not each.is_dir()]

    def _older(self, name: str, digest: str) -> Kind:
        from lockstep.worker.kinds.rules import BadKind

        for path in self._files(f"{name}.yaml", f"{name}@*.yaml"):
            try:
                self._load(path)
            except BadKind as error:  # another file may be the one that is meant
                log.warning("%s", error)
        found = [
            each
            for each in tuple(self._remembered.values())  # another thread may be reading a file
            if each.digest.startswith(digest) and name in ("*", each.name)
        ]
        if len(found) == 1:
            return found[0]
        if found:
            raise InvalidInput(f"kind {show(digest)} means {len(found)} definitions: give more of the digest")
        file = f"{name}@{digest[:8]}.yaml"
        raise InvalidInput(f"no definition here is {show(f'{name}@{digest}')}: put that file back, as {file}")

    def _files(self, *patterns: str) -> Iterator[Path]:
        for folder in self.folders:
            for pattern in patterns:
                yield from sorted(folder.glob(pattern))

    def _load(self, path: Path) -> Kind:
        version, known = version_of(path), self._read.get(path)
        if known is not None and known[0] == version is not None:
            return known[1]
        from lockstep.worker.kinds.kind import Kind

        noun = f"kind file {show(str(path))}"
        kind = Kind(str(path), read_text(noun, path))
        if path.name.removesuffix(".yaml").partition("@")[0] != kind.name:
            raise InvalidInput(f"{noun} is of kind {kind.name}: name it {kind.name}.yaml")
        self._read[path] = version, kind
        self._remembered[kind.digest] = kind
        return kind


_catalogues: dict[tuple[str, ...], Kinds] = {}


def kinds_of(*folders: str) -> Kinds:
    """Return the kinds of these folders and the shipped ones, the same object each time."""
    return _catalogues.setdefault(folders, Kinds(folders))


def barred(kind: Kind, verb: str, target: Content | None, shown: Content | None, *, upsert: bool) -> str:
    """Say why create, set or delete must not start where a host shows this; empty if it may."""
    if shown is None:
        return "it is not there: create it, or set it with --create" if verb == "set" and not upsert else ""
    if verb == "create":
        return "it is there with other content: set it" if kind.fields else ""
    kept = shown.keeping(kind.kept_for("create" if target is None else "update"))
    if len(kept.text().encode()) > MOST_KEPT:
        return f"what it holds is over {MOST_KEPT} bytes, and could not be restored"
    if target is None:
        return ""
    if "update" not in kind.writes:
        return "its kind has no update"
    fixed = ", ".join(kind.fixed(shown, target))
    return f"{fixed} can only be given when it is made" if fixed else ""


def asked_of(
    kind: Kind,
    named: Id,
    verb: str,
    given: Mapping[str, object],
    secrets: Mapping[str, str],
    seals: SealKeys,
    *,
    upsert: bool = False,
    accept_loss: bool = False,
) -> tuple[ThingRequest, Content | None]:
    """Return what create, set or delete of a thing asks for, and its target. Raises InvalidInput."""
    changes: Verb = "update" if verb == "set" else "create" if verb == "create" else "delete"
    plain, secret = kind.parted(given, secrets)
    target = None if verb == "delete" else kind.target(plain, secret)
    text, hidden = "" if target is None else target.text(), canonical(secret) if secret else ""
    if len(text.encode()) + len(hidden.encode()) > MOST_KEPT:
        raise InvalidInput(f"the content of {show(named.text)} is over {MOST_KEPT} bytes")
    if changes not in kind.writes:
        raise InvalidInput(f"{kind.name} cannot be {changes}d: its file has no {changes}")
    lost = kind.loses(changes, secret)
    if lost and not accept_loss:
        raise InvalidInput(
            f"undoing the {verb} of {show(named.text)} would not bring back {', '.join(lost)}: "
            "say --accept-loss (accept_loss=True) if that may be lost"
        )
    seal = seals.of(named.text) if kind.sealed else Seal(named.text)
    # Secrets are part of the digest: an id that is used again must ask for the same ones.
    digest = ABSENT if target is None else Digest(seal.digest(text + hidden))
    texts = {DEFINITION: kind.source} | ({} if target is None else {str(digest): seal.seal(text)})
    asked = ThingRequest(
        verb,
        kind.name,
        kind.digest,
        digest,
        kind.lock(named),
        secret=bool(secret),
        once=not all(each.file.repeat for each in kind.writes.values()),
        upsert=upsert,
        settle=round(1000 * (kind.definition.settle or 0)),
        seal=seal.id,
        texts=texts | ({SECRET: seal.seal(hidden)} if hidden else {}),
    )
    return asked, target
