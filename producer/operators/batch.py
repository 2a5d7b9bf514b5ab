"""Many changes at once."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from lockstep.producer.client.acceptance import RequestWithdrawn
from lockstep.producer.operators.hosts import LOOK_UP, Named, as_they_come
from lockstep.worker.operation.errors import InvalidInput, LockstepError, WaitTimeout
from lockstep.worker.operation.model import Action, GroupId, HostName, OperationId, State
from lockstep.worker.operation.names import parse_group_id, parse_operation_id, show
from lockstep.worker.operation.waves import AT_ONCE, Pace

if TYPE_CHECKING:
    from lockstep.producer.client.things import ThingClient


SIDE_BY_SIDE = 8
"""Groups at the same time; each is sent to all of its hosts at once. Things may need one another: they are
changed one by one, in the order of the file."""
STOPS_WITHIN = 1.5
"""Seconds for which a stopped run waits for what is under way: a frozen Redis would keep it longer."""
RUN_LENGTH = 80
"""Characters of a run's id, which leaves room for the rest of its operations' ids."""
_WISHES = re.compile(r"^(present|absent)[ \t]*:", re.MULTILINE)
_COMMENT = re.compile(r"(^|\s)#.*")
"""Within a word # is a character that no group id may have, not the beginning of a comment."""


@dataclass(frozen=True, slots=True)
class Wish:
    """One group or thing, as it shall be."""

    verb: str
    """create, or delete; of a thing also set: one that shall be is set, and made where it is absent."""
    group: GroupId
    fields: Mapping[str, object] = field(default_factory=dict, repr=False)
    """Of a thing: what it shall hold."""
    target: str = ""
    """Of a thing: the digest of that, keyed where the kind has secrets."""
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Of a thing: its secret and sensitive fields that were read from files."""


@dataclass(frozen=True, slots=True)
class WishResult:
    wish: Wish
    operation: OperationId
    state: State | None
    """None if the operation could not be started, or is not known to have been."""
    reason: str | None


def parse_wishes(
    wanted: str | Mapping[str, object],
    named: Callable[[object], Named] = parse_group_id,
    folder: str | Path = "",
) -> tuple[Wish, ...]:
    """Read ids, one a line, or `present` and `absent`, as YAML or what YAML gives. Raises InvalidInput.

    An entry of `present` is an id, or a mapping of one to the fields of that thing. The files of secret and
    sensitive fields are below `folder`.
    """
    entries: Iterable[tuple[bool, object]] = _from_document(wanted)
    if isinstance(wanted, str) and not _WISHES.search(wanted):
        lines = (_COMMENT.sub("", line).strip() for line in wanted.splitlines())
        entries = ((False, group) for group in lines if group)
    wishes: dict[GroupId, Wish] = {}
    for absent, entry in entries:
        wish = _wish(absent, entry, named, Path(folder))
        other = wishes.setdefault(wish.group, wish)
        if (other.verb == "delete") is not absent:
            raise InvalidInput(f"group {show(wish.group)} shall be both present and absent: choose one")
        if other != wish:
            raise InvalidInput(f"{show(wish.group)} stands twice, with other fields: choose one")
    if not wishes:
        raise InvalidInput("there are no groups: give ids, one a line, or lists `present:` and `absent:`")
    return tuple(wishes.values())


def _wish(absent: bool, entry: object, named: Callable[[object], Named], folder: Path) -> Wish:
    name, fields = entry, None
    if isinstance(entry, Mapping) and len(entry) == 1:
        ((name, fields),) = entry.items()
    of = named(name)
    if isinstance(of, str):
        if fields:
            raise InvalidInput(f"{show(of)} names no kind, and a group has no fields: give KIND/ID")
        return Wish("delete" if absent else "create", of)
    kind, thing = of
    if not isinstance(fields or {}, Mapping) or (fields and absent):
        rule = "is to be deleted, and needs none" if absent else "needs a mapping of fields"
        what = ", ".join(map(str, fields)) if isinstance(fields, Mapping) else "that are no mapping"
        raise InvalidInput(f"{show(thing.text)} has fields {what}: it {rule}")
    verb = "delete" if absent else "set" if "update" in kind.writes else "create"
    plain, secrets = dict(fields or {}), {}
    for name, hidden in kind.fields.items():
        match plain.get(name):
            case {"file": str(path), **more} if not more and (hidden.secret or hidden.sensitive):
                noun = f"file {show(path)} of the {name} of {show(thing.text)}"
                secrets[name] = read_secret(noun, folder / path)
                del plain[name]
    return Wish(verb, GroupId(thing.text), plain, secrets=secrets)


def read_secret(noun: str, path: str | Path) -> str:
    """Return the text of a file but for the line break at its end. Raises InvalidInput, with none of it."""
    try:
        text = Path(path).read_text("utf-8")
    except UnicodeDecodeError:
        raise InvalidInput(f"{noun} is not UTF-8 text") from None
    except OSError as error:
        raise InvalidInput(f"{noun} cannot be read: {error.strerror}") from None
    if not (text := text.removesuffix("\n").removesuffix("\r")):
        raise InvalidInput(f"{noun} is empty")
    return text


def parse_run(value: str) -> str:
    """Return a run's id; raise InvalidInput naming the rule it breaks."""
    if len(value) > RUN_LENGTH:
        raise InvalidInput(f"run {show(value)} is too long: at most {RUN_LENGTH} characters")
    return parse_operation_id(value)


def operation_id(run: str, wish: Wish, hosts: Sequence[HostName]) -> OperationId:
    """Return the id that a wish has in a run: the same for the same action, group and hosts."""
    action = Action.DELETE if wish.verb == "delete" else Action.CREATE
    kept = json.dumps([action, wish.group, sorted(hosts)]) + wish.target
    return OperationId(f"{run}-{hashlib.sha256(kept.encode()).hexdigest()[:16]}")


def apply(
    client: ThingClient,
    run: str,
    wishes: Sequence[Wish],
    hosts: Sequence[HostName],
    at_once: int | None = None,
    pace: Pace = AT_ONCE,
    accept_loss: bool = False,
) -> Generator[WishResult]:
    """Fulfil the wishes, some at a time, and yield each as it is done; closing it starts no more.

    What a run of the same id has started is not started again: its outcome is told. Closing takes
    `STOPS_WITHIN` seconds at most; a request that is on its way to Redis then may still be accepted.
    """
    at_once = at_once or (1 if any("/" in wish.group for wish in wishes) else SIDE_BY_SIDE)
    stopped = threading.Event()

    def fulfil(wish: Wish) -> WishResult:
        key = operation_id(run, wish, hosts)
        try:
            operation = client.change(
                wish.verb,
                wish.group,
                [host.name for host in client.serving(wish.group, hosts, some=True)],
                wish.fields,
                key,
                secrets=wish.secrets,
                upsert=wish.verb == "set",
                accept_loss=accept_loss,
                stopped=stopped.is_set,
                pace=pace,
            )
            while not stopped.is_set():
                with suppress(WaitTimeout):
                    result = operation.wait(LOOK_UP)
                    return WishResult(wish, key, result.state, result.reason)
        except LockstepError as error:
            return WishResult(wish, key, None, str(error))
        raise RequestWithdrawn  # nobody hears it any more

    with closing(as_they_come(fulfil, wishes, at_once, stopped, STOPS_WITHIN)) as results:
        for _, result in results:
            yield result


def _from_document(wanted: str | Mapping[str, object]) -> Iterator[tuple[bool, object]]:
    from lockstep.worker.settings.plainyaml import parse_plain  # programs may give what YAML gives

    document = parse_plain("the list of groups", wanted) if isinstance(wanted, str) else wanted
    if not isinstance(document, Mapping):
        raise InvalidInput("the groups are no mapping: give lists `present:` and `absent:`")
    for key, groups in document.items():
        if key not in ("present", "absent"):
            raise InvalidInput(f"the groups have the unknown key {show(key)}; known: present, absent")
        if not isinstance(groups or [], list):
            raise InvalidInput(f"{key} is no list: give `- ` and a group id on each line")
        for group in groups or []:
            yield key == "absent", group
