"""The verbs of a kind: what a look shows, and what a write came to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from lockstep.worker.kinds.exchange import Body, body_of, hold, named, path_of, scope_of, taken_by
from lockstep.worker.kinds.expressions import BadExpression, Scope, expression, filled
from lockstep.worker.kinds.file import CLASSES, AnswerFile, KindFile, WriteFile
from lockstep.worker.operation.answer import HttpRequest, NoReply, Reply, Trouble
from lockstep.worker.operation.content import Content, Effect, Flaw, Id, Shown, Sight, WriteAnswer
from lockstep.worker.process.secrets import cut_out

LONGEST_WHY = 200
"""Characters of a host's own words that are kept."""
MOST_READ = 2000
"""Characters of them that are looked through for secrets."""
RETRIED = frozenset((408, 425, 429, 499))
"""Of these and of 5xx nobody knows what they did, and another try may tell."""
USUAL = "error.message || errors[0].message || message || detail || error || reason || description || title"
"""Where hosts say why: looked up in the body."""


class LookVerb:
    def __init__(self, kind: KindFile) -> None:
        look = self._file = kind.look
        self._answers = {Sight.BUSY: look.busy, Sight.CONTENT: look.present, Sight.ABSENT: look.absent}
        self._fields = {name: field for name, field in kind.fields.items() if not field.secret}
        self._whole = look.item == "body"

    def witness(self, thing: Id) -> HttpRequest | None:
        """Return the GET that must answer 2xx for an absence to count; None if the kind names none."""
        if self._file.witness is None:
            return None
        return HttpRequest("GET", path_of(self._file.witness.removeprefix("GET "), thing, None))

    def shown(self, thing: Id, answer: Reply | NoReply, witness: Reply | NoReply | None) -> Shown:
        if isinstance(answer, NoReply):
            return _nothing(answer.text, answer.flaw)
        try:
            found = self._of(thing, answer)
        except BadExpression as error:
            return _nothing(f"{answer.status}: {error}", Flaw.MISCONFIGURED)
        if found.sight is Sight.ABSENT and self._file.witness is not None:
            return _witnessed(found, witness)
        return found

    def _of(self, thing: Id, reply: Reply) -> Shown:
        text, body = str(reply.status), body_of(reply)
        scope = scope_of(thing, reply, body)
        sights = [sight for sight, each in self._answers.items() if hold(each, reply, body, scope)]
        meant = [sight for sight, each in self._answers.items() if named(each, reply)]
        if Sight.BUSY in sights:
            return Shown(Sight.BUSY, text=text)
        if len(sights) > 1:
            return _nothing(f"{text} is named as present and as absent", Flaw.MISCONFIGURED)
        if sights == [Sight.ABSENT]:
            return Shown(Sight.ABSENT, text=text)
        if reply.body is None and Sight.CONTENT in meant and self._whole:
            return Shown(Sight.OVERSIZED, text=f"{text} with a body over the size cap")
        if sights:
            return self._present_or_not(body, scope, text)
        if meant:
            flaw = body.flaw or "the body is not what the kind says of one that is there, or absent"
            return _unreadable(text, flaw)
        return _failed(text, reply)

    def _present_or_not(self, body: Body, scope: dict[str, object], text: str) -> Shown:
        look = self._file
        if look.request.startswith("HEAD "):
            return Shown(Sight.CONTENT, Content(), text)
        if body.flaw is not None:
            return _unreadable(text, body.flaw)
        item = body.value if self._whole else expression(look.item).value(scope)
        if isinstance(item, list):
            if len(item) > 1:
                return _nothing(f"{text}: it shows {len(item)} of them", Flaw.MISCONFIGURED)
            item = item[0] if item else None
        if item is None and (not self._whole or isinstance(body.value, list)):
            if look.complete is not None and expression(look.complete).value(scope) is not True:
                return _unreadable(text, "it is not in a list that is not complete")
            return Shown(Sight.ABSENT, text=text)
        by_name = any(name not in look.content for name in self._fields)
        if not isinstance(item, dict) and (by_name or not self._fields or item is None):
            why = "the body is no JSON" if not body.is_json else "what it shows is no JSON object"
            return _unreadable(text, why)
        return Shown(Sight.CONTENT, self._read(item, {**scope, "item": item}), text)

    def _read(self, item: Any, scope: dict[str, object]) -> Content:
        look, values = self._file, {}
        for name, field in self._fields.items():
            formula = look.content.get(name)
            value = item.get(name) if formula is None else expression(formula).value(scope)
            values[name] = field.normal(value)
        kept = filled(look.keep, scope)
        ids = filled({"address": look.address, "version": look.version}, scope)
        return Content(values, kept, ids.get("version"), ids.get("address"), item)


def _nothing(text: str, flaw: Flaw) -> Shown:
    return Shown(Sight.NOTHING, text=text, flaw=flaw)


def _unreadable(text: str, flaw: str) -> Shown:
    return _nothing(f"{text}, {Trouble.UNREADABLE}: {flaw}", Flaw.UNREADABLE)


def _failed(text: str, reply: Reply) -> Shown:
    """Return what an answer comes to that nobody named: another look may tell more, or none ever will."""
    flaw = Flaw.FAILED if reply.status in RETRIED or reply.status >= 500 else Flaw.MISCONFIGURED
    return replace(_nothing(text, flaw), retry_after=reply.wait)


def _witnessed(found: Shown, witness: Reply | NoReply | None) -> Shown:
    if isinstance(witness, Reply) and 200 <= witness.status < 300:
        return found
    if isinstance(witness, Reply):
        return _failed(f"{found.text}, but its witness said {witness.status}", witness)
    why = witness.text if witness is not None else "was not asked"
    text = f"{found.text}, but its witness: {why}"
    return Shown(Sight.NOTHING, text=text, flaw=Flaw.SILENT, needs_witness=witness is None)


class WriteVerb:
    def __init__(self, kind: KindFile, file: WriteFile) -> None:
        self.file, self._kind = file, kind
        self._answers: dict[str, list[AnswerFile]] = {key: getattr(file, key) or [] for key in CLASSES}
        self._ours = [key for key in CLASSES if key in file.model_fields_set]
        self._usual = [key for key in CLASSES if key not in file.model_fields_set]
        self.kept = frozenset(inner or "" for name, inner in taken_by(file) if name == "kept")
        """Names of the kept values that it sends."""
        if "" in self.kept:
            self.kept = frozenset(kind.look.keep)

    def said(self, thing: Id, answer: Reply | NoReply, hidden: Iterable[str]) -> WriteAnswer:
        """Tell what an answer says that the write did; one that is not named is unknown."""
        if isinstance(answer, NoReply):
            return answer.of_write(Effect.NOT_SENT)
        body = body_of(answer)
        scope, text = scope_of(thing, answer, body), str(answer.status)
        try:
            found = self._classes(answer, body, scope)
        except BadExpression as error:
            return WriteAnswer(Effect.UNKNOWN, f"{text}: {error}", unreadable=True)
        if len(found) > 1:
            return WriteAnswer(
                Effect.UNKNOWN, f"{text} is named as {' and as '.join(found)}", unreadable=True
            )
        if not found:
            return self._unnamed(answer, body, text)
        effect = Effect(found[0])
        if effect in (Effect.APPLIED, Effect.REPLACED, Effect.STARTED):
            return WriteAnswer(effect, text)
        return WriteAnswer(effect, self._told(text, scope, body, hidden))

    def _classes(self, reply: Reply, body: Body, scope: Scope) -> list[str]:
        ours, usual = (
            [key for key in keys if hold(self._answers[key], reply, body, scope)]
            for keys in (self._ours, self._usual)
        )
        if ours or any(named(self._answers[key], reply) for key in self._ours):
            return ours
        if usual or self.file.contested is not None:
            return usual
        return ["contested"] if 400 <= reply.status < 500 and reply.status not in RETRIED else []

    def _unnamed(self, reply: Reply, body: Body, text: str) -> WriteAnswer:
        status = reply.status
        if 300 <= status < 400:
            return WriteAnswer(Effect.MISDIRECTED, f"{text}: redirects are never followed")
        if any(named(each, reply) for each in self._answers.values()):
            flaw = body.flaw or "the body is not what the kind says of this answer"
            return WriteAnswer(Effect.UNKNOWN, f"{text}, {Trouble.UNREADABLE}: {flaw}", unreadable=True)
        return WriteAnswer(Effect.UNKNOWN, text, reply.wait)

    def _told(self, text: str, scope: Scope, body: Body, hidden: Iterable[str]) -> str:
        """Return the status with the host's own words, without any secret of the request."""
        try:
            given = self._kind.error
            words = expression(given).value(scope) if given else expression(USUAL).value(body.value)
        except BadExpression:
            return text
        if not isinstance(words, str):
            return text
        words = cut_out(words[:MOST_READ], [each for each in hidden if each])
        words = " ".join("".join(each if each.isprintable() else " " for each in words).split())
        return f"{text}: {words[:LONGEST_WHY]}" if words else text
