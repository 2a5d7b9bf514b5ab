"""One node: the groups it holds, in a file if they are to outlive it, and what each call does to them."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, JsonValue

from lockstep.mock_api.faults import FaultKind, FaultPlan, InputError, Method
from lockstep.mock_api.history import History, Record
from lockstep.mock_api.play import PlayedCall, Things
from lockstep.worker.kinds.kind import Kind

GroupBody = dict[str, JsonValue]

EXISTS = "Bad request. Perhaps the object exists."
MALFORMED = 'Bad request. The body must be JSON with a "groupId" that is a non-empty string.'


class Manners(BaseModel):
    """Where nodes of one protocol differ."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    delete_absent: Literal[400, 404] = 404
    """What a delete of an absent group is answered."""
    post_body: Literal["empty", "group"] = "group"
    """What a 201 carries."""
    unwell_with: str = ""
    """While it holds this group, `/health` answers 503; it answers 200 otherwise."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A status with its JSON body, `None` for an empty one."""

    status: int
    body: JsonValue = None


def problem(status: int, detail: str) -> Answer:
    return Answer(status, {"detail": detail})


def load(path: Path) -> tuple[dict[str, GroupBody], int, dict[str, JsonValue] | None]:
    """Return the groups, how many effects there were, and the last one: its history line may be missing.

    Nothing when there is no file. Raises InputError when it is not ours.
    """
    if not path.parent.is_dir():
        raise InputError(f'--state "{path}" is in no directory that exists; make it, or name another')
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        return {}, 0, None
    except OSError as error:
        raise InputError(f'--state "{path}" cannot be read: {error.strerror}') from None
    try:
        saved = json.loads(text)
        return dict(saved["groups"]), saved["effect_seq"], saved["last_effect"]
    except (ValueError, TypeError, KeyError):
        raise InputError(
            f'--state "{path}" is not a state file of a node; name another, or remove it'
        ) from None


class Node:
    """Groups by id, and things of a kind; each change is on disk and in the history before it is answered."""

    def __init__(
        self,
        name: str,
        history: History,
        seed: int = 0,
        manners: Manners | None = None,
        state: Path | None = None,
        kind: Kind | None = None,
    ) -> None:
        self.name = name
        self.plan = FaultPlan(seed, name)
        self.manners = manners or Manners()
        self._history = history
        self._state = state
        self.groups, effects, last = load(state) if state else ({}, 0, None)
        self.things = Things(kind, self.groups) if kind else None
        self._effects = max(effects, history.last_effects.get(name, 0))
        if last is not None and effects > history.last_effects.get(name, 0):
            # Killed between saving the groups and writing the line: write it now.
            history.write(last)

    def land(self, record: Record, method: Method, body: GroupBody | PlayedCall) -> Answer:
        """Carry out one call, changing the groups and the record. Raises OSError, changing nothing."""
        group = record.group or ""
        held = self.groups.get(group)
        record.before = record.after = "present" if held is not None else "absent"
        if isinstance(body, PlayedCall):
            assert self.things is not None
            status, said, thing, now = self.things.land(body)
            if thing is not None:
                if now and record.fault == FaultKind.REWRITE:
                    now = {**now, "fields": self.things.player.rewritten(now["fields"])}
                record.holds = now["fields"] if now else None
                self._change(record, thing, now or None)
            return Answer(status, said)
        match method, held:
            case Method.GET, None:
                return problem(404, "Not found.")
            case Method.GET, _:
                return Answer(200, held)
            case Method.POST, None:
                self._change(record, group, body)
                return Answer(201, body if self.manners.post_body == "group" else None)
            case Method.POST, _:
                return problem(400, EXISTS)
            case _, None:
                return problem(self.manners.delete_absent, "Perhaps the object does not exist.")
        self._change(record, group, None)
        return Answer(200)

    def plant(self, record: Record, body: GroupBody | None) -> Answer:
        """Put a group or thing in place, or remove it with `None`, past every fault: the admin's own hand."""
        group = record.group or ""
        if self.things and body and (made := self.things.planted(group, body)):
            record.holds, body = made["fields"], made
        record.before = record.after = "present" if group in self.groups else "absent"
        if body is None and group not in self.groups:
            return problem(404, f'group "{group}" is not on {self.name}')
        self._change(record, group, body)
        return Answer(200, body)

    def clear(self) -> None:
        self.groups.clear()
        self.plan.reset()
        self._save(self._effects)

    def _save(self, effects: int, last: dict[str, JsonValue] | None = None) -> None:
        """Replace the file in one step, so that a restart after a kill sees the old one or the new.

        It may not outlive a power cut: nothing is synced.
        """
        if self._state:
            draft = self._state.with_name(self._state.name + ".new")
            saved = {"groups": self.groups, "effect_seq": effects, "last_effect": last}
            draft.write_text(json.dumps(saved), "utf-8")
            draft.replace(self._state)

    def _change(self, record: Record, group: str, body: GroupBody | None) -> None:
        if record.fault == FaultKind.IGNORE:
            return
        held = self.groups.get(group)
        self._put(group, body)
        record.effect_seq, record.effect_at = self._effects + 1, time.time()
        record.after = "absent" if body is None else "present"
        try:
            self._save(self._effects + 1, record.effect())
        except OSError:
            self._put(group, held)
            record.effect_seq, record.effect_at, record.after = None, None, record.before
            raise
        self._effects += 1
        self._history.write(record.effect())

    def _put(self, group: str, body: GroupBody | None) -> None:
        if body is None:
            self.groups.pop(group, None)
        else:
            self.groups[group] = body
