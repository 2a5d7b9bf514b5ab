"""Plays a kind from its file: requests are read backwards through its templates, and answers are made to fit.

A kind that says more than paths, comparisons and a few functions cannot be played, and is refused at once.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote

from lockstep.mock_api.faults import InputError
from lockstep.mock_api.inverse import Bound, Mismatch, fit, merge, put, read_backwards, unify, value_of
from lockstep.worker.kinds.expressions import Expression
from lockstep.worker.kinds.kind import Kind
from lockstep.worker.operation.errors import InvalidInput

VERBS = ("create", "update", "delete")


@dataclass(frozen=True, slots=True)
class PlayedCall:
    method: str
    path: str
    query: str
    body: str


@dataclass(slots=True)
class MatchedVerb:
    verb: str
    thing: str
    bound: Bound


class Player:
    """One kind. The caller keeps what a thing holds: `fields`, `kept`, `version` and `uid`."""

    def __init__(self, kind: Kind) -> None:
        """Try it out. Raises InputError for a kind that cannot be played."""
        self.kind = kind
        self._file = kind.definition
        self._paths = {
            verb: (request.request.partition(" ")[0], _pattern(request.request.partition(" ")[2]))
            for verb in ("look", *VERBS)
            if (request := getattr(self._file, verb)) is not None
        }
        try:
            sample = kind.parse(f"{kind.name}/{self._file.examples.id or 'a'}")
            self.looked(sample.text, self.made({}, {}, 1))
        except (InputError, InvalidInput) as error:
            raise InputError(f"kind {kind.name} cannot be played: {error}") from None

    def read(self, call: PlayedCall, held: Mapping[str, Mapping[str, Any]]) -> MatchedVerb | None:
        """Return the verb of a request; of two that are the same, create is for what is not there."""
        uids = {str(each["uid"]): thing for thing, each in held.items()}
        found = []
        for verb in ("look", *VERBS):
            if verb in self._paths:
                with suppress(Mismatch):
                    found.append(self._as(verb, call, uids))
        if len(found) > 1 and found[0].thing in held:
            del found[0]
        return found[0] if found else None

    def is_witness(self, call: PlayedCall) -> bool:
        witness = self._file.look.witness
        if witness is None or call.method != "GET":
            return False
        return _pattern(witness.partition(" ")[2]).fullmatch(call.path) is not None

    def _as(self, verb: str, call: PlayedCall, uids: Mapping[str, str]) -> MatchedVerb:
        method, pattern = self._paths[verb]
        matched = pattern.fullmatch(call.path)
        if call.method != method or matched is None:
            raise Mismatch
        bound: Bound = {"id": {}, "content": {}, "secret": {}, "kept": {}, "asked": {}}
        for name, value in matched.groupdict().items():
            if name == "address":
                if unquote(value) not in uids:
                    raise Mismatch
                bound["id"] |= self.kind.parse(uids[unquote(value)]).parts
            else:
                bound["id"][name] = unquote(value)
        request = getattr(self._file, verb)
        read_backwards(request.query, dict(parse_qsl(call.query, keep_blank_values=True)), bound)
        self._read_body(verb, request, call.body, bound)
        try:
            return MatchedVerb(verb, self.kind.named(bound["id"]).text, bound)
        except (InvalidInput, KeyError):
            raise Mismatch from None

    def _read_body(self, verb: str, request: Any, body: str, bound: Bound) -> None:
        if request.form is not None:
            read_backwards(request.form, dict(parse_qsl(body, keep_blank_values=True)), bound)
        elif request.text is not None:
            unify(Expression(request.text).tree, body, bound)
        elif request.json_ is not None:
            read_backwards(request.json_, _json(body), bound)
        elif verb in ("create", "update") and self.kind.fields:
            for name, value in _json(body).items():
                bound["secret" if name in self.kind.secrets else "content"][name] = value

    def made(self, before: Mapping[str, Any], bound: Bound, number: int) -> dict[str, Any]:
        """Return what a thing holds after a write that gives this."""
        fields = {
            name: each.normal(bound.get("content", {}).get(name))
            for name, each in self.kind.fields.items()
            if not each.secret
        }
        kept = {**before.get("kept", {}), **bound.get("kept", {})}
        for name in self.kind.secrets & bound.get("secret", {}).keys():
            if (keep := self.kind.fields[name].kept_as) is not None:
                kept[keep] = f"hash {number} of a secret"  # never twice the same
        uid = before.get("uid", f"uid-{number}")
        return {"fields": fields, "kept": kept, "version": number, "uid": uid}

    def rewritten(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields with texts in upper case where hosts may show another form."""

        def other(value: Any) -> Any:
            return [other(each) for each in value] if isinstance(value, list) else str(value).upper()

        texts = (str, list)
        return {
            name: other(value) if self.kind.fields[name].rewritten and isinstance(value, texts) else value
            for name, value in fields.items()
        }

    def answer(self, verb: str, there: bool, moved: bool) -> tuple[int, Any, bool]:
        """Return status and body of a write, and whether it lands; `moved`: its version is an older one."""
        file = getattr(self._file, verb)
        key = "later" if moved else "applied"
        if not moved and there is (verb == "create"):
            key = "replaced" if verb != "delete" and file.replaced else "contested"
        lands = key in ("applied", "replaced")
        answers = getattr(file, key) or []
        if not answers:
            return (409 if there else 404), {"message": "no"}, lands
        body: dict[str, Any] = {}
        root = {"body": body}
        if answers[0].where:
            fit(Expression(answers[0].where).tree, root)
        empty = answers[0].where is None
        return answers[0].status, None if empty else root["body"], lands

    def looked(self, thing: str, held: Mapping[str, Any] | None) -> tuple[int, Any]:
        """Return status and body of a look."""
        look = self._file.look
        if held is None and look.absent:
            return look.absent[0].status, {"message": "not found"}
        root: dict[str, Any] = {"body": {}, "id": self.kind.parse(thing).parts}
        for where in filter(None, (look.present[0].where, look.complete)):
            fit(Expression(where).tree, root)
        item = Expression(look.item).tree
        if held is None:
            if not look.absent:
                put(item, root, [])
            return look.present[0].status, root["body"]
        shown: dict[str, Any] = {"item": {}}
        for name, value in held["fields"].items():
            formula = look.content.get(name)
            if formula is None:
                shown["item"][name] = value
            else:
                put(Expression(formula).tree, shown, value)
        for name, value in held["kept"].items():
            if isinstance(look.keep.get(name), str):
                put(Expression(look.keep[name]).tree, shown, value)
        for key, value in (("address", held["uid"]), ("version", held["version"])):
            if (formula := getattr(look, key)) is not None:
                put(Expression(formula).tree, shown, value)
        if look.item == "body":
            whole = root["body"]
            merge(whole[0] if isinstance(whole, list) else whole, shown["item"])
        else:
            under = value_of(item, root)
            thing_shown = {**under, **shown["item"]} if isinstance(under, dict) else shown["item"]
            put(item, root, thing_shown if look.absent else [thing_shown])
        return look.present[0].status, root["body"]


class Things:
    """What a node holds of one kind, by the text of the id; the mapping may have groups in it, too."""

    def __init__(self, kind: Kind, held: dict[str, dict[str, Any]]) -> None:
        self.player = Player(kind)
        self.held = held
        self._prefix = f"{kind.name}/"
        self._number = max((int(each["version"]) for each in self._own.values()), default=0)

    @property
    def _own(self) -> dict[str, dict[str, Any]]:
        return {name: each for name, each in self.held.items() if name.startswith(self._prefix)}

    def planted(self, name: str, body: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return what is held of a thing with these fields; None if this names none of the kind."""
        if not name.startswith(self._prefix):
            return None
        self._number += 1
        return self.player.made({}, {"content": {**body}}, self._number)

    def land(self, call: PlayedCall) -> tuple[int, Any, str | None, dict[str, Any] | None]:
        """Return status and body, and which thing holds what from now on: None for none, and for nothing."""
        if self.player.is_witness(call):
            return 200, {}, None, None
        found = self.player.read(call, self._own)
        if found is None:
            return 404, {"message": "no"}, None, None
        held = self.held.get(found.thing)
        if found.verb == "look":
            return (*self.player.looked(found.thing, held), None, None)
        asked = found.bound["asked"].get("version")
        moved = asked is not None and held is not None and str(asked) != str(held["version"])
        status, body, lands = self.player.answer(found.verb, held is not None, moved)
        if not lands:
            return status, body, None, None
        if found.verb == "delete":
            return status, body, found.thing, {}
        self._number += 1
        return status, body, found.thing, self.player.made(held or {}, found.bound, self._number)

    def about(self, call: PlayedCall) -> tuple[str | None, bool]:
        """Tell which thing a request is about, and whether it writes."""
        found = None if self.player.is_witness(call) else self.player.read(call, self._own)
        return (None, False) if found is None else (found.thing, found.verb != "look")


def _pattern(path: str) -> re.Pattern[str]:
    parts = re.split(r"(\{[^{}]*\})", path)
    return re.compile(
        "".join(f"(?P<{each[1:-1]}>[^/]+)" if each[:1] == "{" else re.escape(each) for each in parts)
    )


def _json(body: str) -> Any:
    try:
        return json.loads(body or "{}")
    except ValueError:
        raise Mismatch from None
