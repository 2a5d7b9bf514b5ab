"""Waves: hosts in an order, of which the first are changed, baked and looked at before the next are begun."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from enum import StrEnum

from lockstep.worker.operation.errors import InvalidInput
from lockstep.worker.operation.host import Host, age, local
from lockstep.worker.operation.model import HostName, Millis, Moment, RolloutState, Stage, Status
from lockstep.worker.operation.names import show

MOST_WAVES = 100
SIZES = "give numbers of hosts, or shares of all, such as 1,10%,100%"
LONGEST = 30 * 86_400
"""Seconds of a bake, or until an operation expires, at most."""
HOLD_MOST = 7 * 86_400_000
"""Milliseconds after which an operation that is still held is rolled back."""


class GateVerdict(StrEnum):
    IGNORED = "ignored"
    """The round is over, or the host has passed."""
    PASSED = "passed"
    AGAIN = "again"
    """The host was unwell: it is to be looked at again."""
    FAILED = "failed"


class Health(StrEnum):
    WELL = "well"
    UNWELL = "unwell"
    """No answer, or its health is not 2xx: the third such look fails the host."""
    CHANGED = "changed"
    """It does not show what was asked: the host fails at once."""


@dataclass(frozen=True, slots=True)
class Rollout:
    """How an operation goes from host to host, as a producer asks for it; times in milliseconds."""

    waves: Mapping[HostName, int]
    """The wave of each host, from 1."""
    bake: int = 0
    """From a wave's last outcome until the next may begin; left out where the wave changed nothing."""
    gate: bool = False
    """After each wave every host of open waves is looked at once more."""
    hold: bool = False
    """After each wave but the last, somebody must promote it."""
    within: int | None = None
    """From its acceptance until it is rolled back if it is undecided."""
    health: Mapping[HostName, str] = field(default_factory=dict)
    """The path that must answer 2xx at the gate, per host."""

    def kept(self) -> str:
        """Return it as JSON: what `accept.lua` reads, and what makes two requests the same."""
        kept = {**asdict(self), "within": self.within or False, "hold_most": HOLD_MOST}
        return json.dumps(kept, sort_keys=True)


def by_size(hosts: Sequence[HostName], text: str) -> dict[HostName, int]:
    """Return each host's wave, in the order of the hosts, for sizes such as `1,10%,100%`; the last repeats.

    Percent are of all hosts, rounded down, at least one host. Raises InvalidInput with the size and the rule.
    """
    if not isinstance(text, str):
        raise InvalidInput(f"waves {show(text)}: {SIZES}")
    wanted = [_size(each.strip(), len(hosts)) for each in text.split(",")]
    found: dict[HostName, int] = {}
    while len(found) < len(hosts):
        number = found[hosts[len(found) - 1]] + 1 if found else 1
        if number > MOST_WAVES:
            rule = f"make them larger, for there are {len(hosts)} hosts and at most {MOST_WAVES} waves"
            raise InvalidInput(f"waves {show(text)}: {rule}")
        size = wanted[min(number, len(wanted)) - 1]
        found |= dict.fromkeys(hosts[len(found) : len(found) + size], number)
    return found


def _size(text: str, total: int) -> int:
    number, percent = text.removesuffix("%"), text.endswith("%")
    if not number.isascii() or not number.isdecimal() or len(number) > 9:
        raise InvalidInput(f"a wave of {show(text)} hosts: {SIZES}")
    size = int(number)
    if size == 0:
        raise InvalidInput(f'a wave of "{text}" hosts is empty: a size is at least 1 or 1%')
    if percent and size > 100:
        raise InvalidInput(f'a wave of "{text}" is more than all hosts: a share is at most 100%')
    return max(1, total * size // 100) if percent else size


def by_label(
    hosts: Sequence[HostName], label: str, values: Mapping[HostName, str | None]
) -> dict[HostName, int]:
    """Return each host's wave: one for each value of a label, in the order of their first appearance.

    Raises InvalidInput that names the hosts which lack the label, or where there are too many values.
    """
    lacking = [host for host in hosts if values.get(host) is None]
    if lacking:
        shown = ", ".join(lacking[:3]) + (f" and {len(lacking) - 3} more" if len(lacking) > 3 else "")
        raise InvalidInput(f'no label "{label}" on {shown}: every host needs one to be put into a wave')
    numbers: dict[str, int] = {}
    found = {host: numbers.setdefault(str(values[host]), len(numbers) + 1) for host in hosts}
    if len(numbers) > MOST_WAVES:
        raise InvalidInput(f'label "{label}" has {len(numbers)} values: at most {MOST_WAVES} waves')
    return found


UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def parse_span(noun: str, value: object) -> int:
    """Return a span as milliseconds: a number of seconds, or text such as 60s, 5m, 2h, 1d."""
    number, unit = value, "s"
    if isinstance(value, str) and value[-1:] in UNITS:
        number, unit = value[:-1], value[-1]
    try:
        seconds = float(number) * UNITS[unit]  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        seconds = math.nan
    if isinstance(value, bool) or not 0 < seconds <= LONGEST:
        rule = "give a time above 0 and at most 30d, such as 60s, 5m, 2h or 1d"
        raise InvalidInput(f"{noun} {show(value)}: {rule}")
    return max(1, round(seconds * 1000))


NONE = "none"
"""Asked for as `waves`: all hosts at once, whatever the inventory says."""
HEALTH = re.compile(r"/[A-Za-z0-9._~!$&'()*+,;=:@%/?-]{0,199}")


def parse_health(whose: str, value: object) -> str | None:
    """Return the path that a host's health is asked under, None for none. Raises InvalidInput."""
    if value is None or (isinstance(value, str) and HEALTH.fullmatch(value)):
        return value
    rule = "give a path such as /health, of at most 200 characters that a URL may have"
    raise InvalidInput(f"{whose} has health {show(value)}: {rule}")


@dataclass(frozen=True, slots=True)
class Pace:
    """How people ask an operation to go from host to host; nothing given, all at once."""

    waves: str | None = None
    """Sizes, such as `1,10%,100%`."""
    wave_by: str | None = None
    """A label of the inventory: one wave per value."""
    bake: str | float | None = None
    hold: bool = False
    expires: str | float | None = None
    health: str | None = None
    """The path that must answer 2xx at the gate, on hosts that have none of their own in the inventory."""
    by_default: bool = False
    """Nobody asked for waves but the inventory: one host is one wave."""

    def over(self, defaults: Pace) -> Pace:
        """Return it with what the inventory says where nothing is given; `waves` "none" is none at all."""
        if self.waves == NONE:
            return replace(self, waves=None)
        given = {
            each.name: getattr(self, each.name) or getattr(defaults, each.name)
            for each in fields(self)
            if each.name not in ("waves", "wave_by", "by_default")
        }
        if self.waves is not None or self.wave_by is not None:
            return replace(self, **given)
        if defaults.waves is None and defaults.wave_by is None:
            return self
        return replace(defaults, **given, by_default=True)

    def check(self) -> Pace:
        """Raise InvalidInput for what no hosts could be put into waves by; return it otherwise."""
        if (self.waves is None) == (self.wave_by is None):
            replace(self, health=None).rollout(())  # that is for whatever has waves
        elif self.waves is not None:
            by_size([HostName("a"), HostName("b")], self.waves)
        for noun, span in (("bake", self.bake), ("expires", self.expires)):
            if span is not None:
                parse_span(noun, span)
        return self

    def rollout(self, hosts: Sequence[Host]) -> Rollout | None:
        """Return it for these hosts, in the order of the inventory. Raises InvalidInput."""
        names = [host.name for host in hosts]
        if self.waves is not None and self.wave_by is not None:
            raise InvalidInput("give waves or wave_by, not both: sizes, or a wave for each value of a label")
        if self.waves is None and self.wave_by is None:
            for noun in ("bake", "hold", "expires", "health"):
                given = getattr(self, noun)
                if given is not None and given is not False:
                    told = noun if given is True else f"{noun} {show(given)}"
                    raise InvalidInput(f"{told} is about waves: give waves or wave_by as well")
            return None
        if len(names) == 1 and not self.by_default:
            raise InvalidInput(f"waves for one host, {names[0]}: leave them out, or choose more hosts")
        if self.waves is not None:
            waves = by_size(names, self.waves)
        else:
            label = str(self.wave_by)
            waves = by_label(names, label, {host.name: host.labels.get(label) for host in hosts})
        for_all = parse_health("an operation", self.health)
        paths = {host.name: host.health or for_all for host in hosts}
        health = {name: path for name, path in paths.items() if path is not None}
        return Rollout(
            waves,
            bake=0 if self.bake is None else parse_span("bake", self.bake),
            gate=self.bake is not None or bool(health),
            health=health,
            hold=self.hold,
            within=None if self.expires is None else parse_span("expires", self.expires),
        )


AT_ONCE = Pace()


def told_rollout(rollout: RolloutState) -> str:
    """Return in a few words how far an operation with waves is."""
    at = f"wave {rollout.wave} of {rollout.waves}, {rollout.stage}"
    if rollout.stage is Stage.BAKING and rollout.bake_until:
        at += f" until {local(rollout.bake_until)}"
    elif rollout.stage is Stage.GATING:
        at += f" in round {rollout.round}"
    return at + (f", held by {rollout.hold.who}: {rollout.hold.why}" if rollout.hold else "")


WHAT = {
    "wave": "wave {} opened",
    "done": "wave {} done",
    "gate": "gate, round {}",
    "passed": "passed, round {}",
    "held": "held",
    "released": "released",
}


def told_moment(moment: Moment) -> str:
    """Return what came to pass, in two or three words: `wave 2 opened`."""
    return WHAT[moment.what].format(moment.number)


def told_hold(rollout: RolloutState, now: Millis | None) -> str | None:
    """Return who held it last, or promoted it, why, and how long ago; None if nobody did."""
    for last in reversed(rollout.moments):
        if told := {"held": "held", "released": "promoted"}.get(last.what):
            told += f" by {last.said}" if last.said else ""
            return told if now is None else f"{told}, {age(last.at, now)}"
    return None


def earliest_end(rollout: RolloutState, now: Millis) -> Millis | None:
    """Return before when it is certainly not committed; None if somebody has to promote it first."""
    if rollout.hold is not None:
        return None
    if rollout.stage is Stage.BAKING:
        return max(now, rollout.bake_until or now)
    return Millis(now + (rollout.bake if rollout.stage is Stage.WORKING and rollout.changed else 0))


def worked(operation: Status) -> int | None:
    """Return the milliseconds until the operation ended, or was decided; without those of bakes and holds."""
    begun, decided, ended = operation.created_at, operation.decided_at, operation.ended_at
    if decided is None:
        return None
    return (ended or decided) - begun - idle(operation, decided)


def idle(operation: Status, until: Millis) -> int:
    """Return the milliseconds until then in which it baked or was held and had nothing else to do."""
    total, since = 0, None
    for each in operation.rollout.moments if operation.rollout else ():
        if each.what in ("done", "passed") and since is None:
            since = each.at
        elif each.what in ("wave", "gate") and since is not None:
            total, since = total + each.at - since, None
    return total + (0 if since is None else max(0, until - since))
