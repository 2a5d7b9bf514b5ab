"""Walking a kind on a real host: does its file name what the host does?"""

from __future__ import annotations

import secrets
from collections.abc import Generator, Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

from lockstep.producer import looks
from lockstep.producer.doctor import Finding, Level
from lockstep.producer.operators.hosts import reached
from lockstep.worker.hosts.client import HostClient, SystemClock
from lockstep.worker.kinds.kind import Kind, Verb
from lockstep.worker.operation.answer import HttpRequest, in_time
from lockstep.worker.operation.content import Content, Effect, Id, Sight, WriteAnswer
from lockstep.worker.operation.errors import HostUnavailable, InvalidInput
from lockstep.worker.operation.host import Host
from lockstep.worker.operation.model import AttemptId
from lockstep.worker.operation.names import named
from lockstep.worker.operation.thing import Likeness
from lockstep.worker.settings import Settings

SAMPLES: Mapping[str, tuple[object, object]] = {
    "string": ("lockstep-a", "lockstep-b"),
    "integer": (1, 2),
    "number": (1, 2),
    "boolean": (True, False),
    "list": (["a"], ["b"]),
    "set": (["a"], ["b", "c"]),
    "map": ({"a": "1"}, {"b": "2"}),
    "base64": ("YQ==", "Yg=="),
    "any": ("lockstep-a", "lockstep-b"),
}
"""Contents of fields for which a kind gives no examples."""
TOOK = (Effect.APPLIED, Effect.REPLACED, Effect.STARTED)
UNDONE = "say so in `loses`, or keep what is missing in `look.keep` and send it back; null needs or_null()"


class _Stopped(Exception):
    """What comes next rests on what did not happen, as this finding says."""


class _Wish(NamedTuple):
    """A content to write, and the secrets beside it."""

    content: Content = Content()
    secret: Mapping[str, object] = MappingProxyType({})


class Walk:
    """One kind on one host, on one scratch id that is absent at first and at the end."""

    def __init__(self, kind: Kind, thing: Id, host: Host, settings: Settings) -> None:
        self.kind, self.thing, self.host, self.settings = kind, thing, host, settings
        self.wishes = [_wish(kind, each) for each in _contents(kind)]
        self.left = False
        """The thing is there, or may be, after all."""
        self._client = reached(host, settings)

    def run(self) -> Generator[Finding]:
        """Yield what is found, as it is found; the thing is deleted however this ends.

        Raises HostUnavailable if the first look tells nothing, and InvalidInput if the thing is there.
        """
        first = self._client.look_at_thing(self.kind, self.thing)
        if first.sight is not Sight.ABSENT:
            if first.tells:
                raise InvalidInput(f"{self.thing} is there: give an id that is free, with --id")
            raise HostUnavailable(
                f'host "{self.host.name}" does not show that {self.thing} is absent ({first.text}): see its '
                "address, its credentials, and what the kind says of a look"
            )
        yield Finding("look, absent", Level.OK, first.text)
        yield from self._elsewhere()
        try:
            yield from self._steps()
        except _Stopped as stopped:
            yield from stopped.args
        finally:
            self.left = not self._cleared()
        if self.left:
            yield Finding("clean-up", Level.FAILURE, f"{self.thing} could not be deleted", "delete it there")

    def _steps(self) -> Iterator[Finding]:
        one, other = self.wishes[0], self.wishes[-1]
        yield from self._write("create", "create", one, None)
        made = self._look()
        yield self._on_content("look after create", one, made)
        yield from self._again(one, other, made)
        if "update" in self.kind.writes:
            yield from self._update(one, other)
        yield from self._delete()

    def _elsewhere(self) -> Iterator[Finding]:
        """Look at a place that cannot be there: if that looks absent too, absence needs a witness."""
        asked = self.kind.request("look", self.thing)
        head, slash, last = asked.path.rpartition("/")
        if not slash or self.kind.look.witness(self.thing) is not None:
            return
        wrong = HttpRequest(asked.method, f"{head}/lockstep-nowhere/{last}", asked.headers, asked.body)
        shown = self.kind.shown(self.thing, HostClient(self.host, self.settings, looks.exchange).ask(wrong))
        if shown.sight is Sight.ABSENT:
            text = f"a place that is not there says {shown.text} too: it does not mean absent"
            yield Finding("look, elsewhere", Level.WARNING, text, "name a GET that must answer: look.witness")
        else:
            yield Finding("look, elsewhere", Level.OK, f"a place that is not there says {shown.text}")

    def _again(self, one: _Wish, other: _Wish, made: Content) -> Iterator[Finding]:
        # A field that a thing may lack is left out, so that the update adds it and its undo takes it away.
        given = {name: value for name, value in other.content.values.items() if name in one.content.values}
        said = self._send("create", other._replace(content=Content(given)), made)
        after = self._look()
        changed = made.keeping(()).text() != after.keeping(()).text()
        subject = "create again"
        if said.effect in (Effect.UNKNOWN, Effect.MISDIRECTED, Effect.NOT_SENT):
            yield _unnamed(subject, said)
        elif said.effect is Effect.APPLIED and given != one.content.values:
            did = "wrote over what was there" if changed else "changed nothing"
            text = f"{said.text} is named as applied, and it {did}"
            remedy = "name it as `replaced`" if changed else "name it as `contested`"
            yield Finding(subject, Level.FAILURE, text, remedy)
        elif said.effect in (Effect.CONTESTED, Effect.REFUSED, Effect.LATER) and changed:
            text = f"{said.text} is named as {said.effect}, and it wrote over what was there"
            yield Finding(subject, Level.FAILURE, text, "name it as `replaced`")
        elif said.effect is Effect.APPLIED:
            text = f"{said.text} is named as applied: nobody can tell who made it"
            yield Finding(subject, Level.WARNING, text)
        else:
            does = "overwrites" if said.effect is Effect.REPLACED else "changes nothing"
            yield Finding(subject, Level.OK, f"{said.text}: it {does}, as the file says ({said.effect})")
        if changed:
            lost = [name for name in self.kind.fields if name not in self.kind.secrets]
            gone = [name for name in lost if after.values.get(name) != made.values.get(name)]
            yield Finding("create, over", Level.OK, f"a create writes over {named(gone) or 'what is kept'}")

    def _update(self, one: _Wish, other: _Wish) -> Iterator[Finding]:
        before = self._look()
        if self.kind.meets(other.content, before) is not Likeness.OTHER:  # the second create wrote it
            one, other = other, one
        yield from self._write("update", "update", other, before)
        yield self._on_content("look after update", other, self._look())
        yield from self._undo("undo of the update", "update", before)

    def _undo(self, subject: str, verb: Verb, before: Content) -> Iterator[Finding]:
        shown = self._client.look_at_thing(self.kind, self.thing).content
        said = self._send(verb, _Wish(before), shown, before.kept)
        if said.effect not in TOOK:
            yield _unnamed(subject, said)
            return
        after = self._look()
        names = [name for name, value in before.values.items() if after.values.get(name) != value]
        rewritten = [name for name in names if self.kind.fields[name].rewritten]
        kept = [name for name, value in before.kept.items() if after.kept.get(name) != value]
        missing = [name for name in names if name not in rewritten] + [f"kept {name}" for name in kept]
        gone = self.kind.loses("delete", self.kind.secrets) if "delete" in subject else []
        if missing:
            text = f"{said.text}, but it does not bring back {named(missing)}"
            yield Finding(subject, Level.FAILURE, text, UNDONE)
            return
        text = f"{said.text}, and all that a look showed is back"
        text += f"; in another form: {named(rewritten)}" if rewritten else ""
        text += f"; the file says that it loses {'; '.join(gone)}" if gone else ""
        yield Finding(subject, Level.OK, text)

    def _delete(self) -> Iterator[Finding]:
        before = self._look()
        yield from self._write("delete", "delete", _Wish(), before)
        yield self._on_absence("look after delete")
        yield from self._undo("undo of the delete", "create", before)
        yield from self._write("delete", "delete, at last", _Wish(), self._look())
        yield self._on_absence("look at the end")
        said = self._send("delete", _Wish(), before)
        if said.effect in (Effect.UNKNOWN, Effect.MISDIRECTED):
            yield _unnamed("delete again", said)
        else:
            yield Finding("delete again", Level.OK, f"{said.text} ({said.effect})")
        if "update" in self.kind.writes:
            yield from self._update_absent(before)

    def _update_absent(self, before: Content) -> Iterator[Finding]:
        subject = "update, absent"
        said = self._send("update", self.wishes[0], before)
        shown = self._client.look_at_thing(self.kind, self.thing)
        made = shown.sight is not Sight.ABSENT
        if said.effect in (Effect.UNKNOWN, Effect.MISDIRECTED):
            yield _unnamed(subject, said)
        elif made and said.effect is Effect.APPLIED:
            text = f"{said.text} is named as applied, and it made a thing that was gone"
            yield Finding(subject, Level.WARNING, text, "name it as `replaced`, if it can be told")
        elif made != (said.effect in TOOK):
            text = f"{said.text} is named as {said.effect}, and a look shows {shown.sight}"
            yield Finding(subject, Level.FAILURE, text, "name what it did")
        else:
            yield Finding(subject, Level.OK, f"{said.text} ({said.effect})")

    def _write(self, verb: Verb, subject: str, wish: _Wish, shown: Content | None) -> Iterator[Finding]:
        said = self._send(verb, wish, shown)
        if said.effect in TOOK:
            level = Level.WARNING if said.effect is Effect.REPLACED else Level.OK
            yield Finding(subject, level, f"{said.text} ({said.effect})")
            return
        after = self._client.look_at_thing(self.kind, self.thing)
        found = _unnamed(subject, said)
        text = f"{found.text}; a look then shows {after.sight}"
        raise _Stopped(Finding(subject, found.level, text, found.remedy))

    def _send(
        self, verb: Verb, wish: _Wish, shown: Content | None, kept: Mapping[str, object] | None = None
    ) -> WriteAnswer:
        content = wish.content.over(shown)
        sent = kept if kept is not None else shown.kept if shown is not None and verb != "create" else {}
        asked = self.kind.request(
            verb, self.thing, content=content, secret=wish.secret, kept=sent, shown=shown
        )
        hidden = self.kind.hidden(wish.secret, wish.content, shown)
        attempt = AttemptId(f"check-{secrets.token_hex(8)}")
        may_send = in_time(SystemClock(), self.settings.send_within)
        return self._client.send(self.kind, verb, self.thing, asked, attempt, may_send, hidden)

    def _look(self) -> Content:
        shown = self._client.look_at_thing(self.kind, self.thing)
        if shown.content is None:
            text = f"{shown.text}: it shows {shown.sight}"
            raise _Stopped(Finding("look", Level.FAILURE, text, "see look.present, look.item and look.busy"))
        return shown.content

    def _on_content(self, subject: str, wish: _Wish, shown: Content) -> Finding:
        if (shows := self.kind.meets(wish.content, shown)) is not Likeness.OTHER:
            form = ", in another form, as the file says" if shows is Likeness.LIKE else ""
            return Finding(subject, Level.OK, f"shows what was written{form}")
        differ = [name for name, value in wish.content.values.items() if shown.values.get(name) != value]
        told = []
        for name in differ:
            value = f"as {shown.values.get(name)!r:.80}"
            told.append(f"{name} comes back {'otherwise' if self.kind.fields[name].sensitive else value}")
        remedy = "`rewritten: true`, or an expression in look.content, for these fields"
        return Finding(subject, Level.FAILURE, "; ".join(told), remedy)

    def _on_absence(self, subject: str) -> Finding:
        shown = self._client.look_at_thing(self.kind, self.thing)
        if shown.sight is Sight.ABSENT:
            return Finding(subject, Level.OK, shown.text)
        text = f"{shown.text}: it shows {shown.sight}"
        return Finding(subject, Level.FAILURE, text, "see look.absent and busy")

    def _cleared(self) -> bool:
        for _ in range(5):
            shown = self._client.look_at_thing(self.kind, self.thing)
            if shown.sight is Sight.ABSENT:
                return True
            self._send("delete", _Wish(), shown.content)
        return False


def _unnamed(subject: str, said: WriteAnswer) -> Finding:
    if said.effect is Effect.UNKNOWN:
        return Finding(subject, Level.FAILURE, f"{said.text} is no answer that the file names", "name it")
    text = f"{said.text} ({said.effect})"
    return Finding(subject, Level.FAILURE, text, "see what the host says, and its log")


def _wish(kind: Kind, given: Mapping[str, object]) -> _Wish:
    secret = {name: value for name, value in given.items() if name in kind.secrets}
    return _Wish(kind.target({name: given[name] for name in given if name not in secret}, secret), secret)


def _contents(kind: Kind) -> list[Mapping[str, object]]:
    """Return the contents to write: those of the file, else two that its types allow."""
    if kind.definition.examples.contents:
        return [dict(each) for each in kind.definition.examples.contents]
    samples: list[dict[str, object]] = [{}, {}] if kind.fields else [{}]
    for name, each in kind.fields.items():
        needed = each.required or each.secret or "default" in each.model_fields_set
        values = each.values or SAMPLES[each.type]
        for place, sample in enumerate(samples):
            if place or needed:
                sample[name] = values[min(place, len(values) - 1)]
    return list(samples)
