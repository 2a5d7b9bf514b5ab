"""What a client asks of groups, and how an operation begins."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Self

from lockstep.producer.client.acceptance import Broker, accept
from lockstep.producer.client.operation import Operation
from lockstep.producer.client.selection import select
from lockstep.producer.discovery import default_settings
from lockstep.producer.operators.hosts import Named
from lockstep.producer.operators.hosts import preflight as ask_all
from lockstep.worker.inventory import Inventory, LiveInventory
from lockstep.worker.kinds import asked_of, kinds_of
from lockstep.worker.kinds.seal import SealKeys
from lockstep.worker.operation.errors import InvalidInput, NotReady
from lockstep.worker.operation.host import Host
from lockstep.worker.operation.model import Action, GroupId, HostName, Status
from lockstep.worker.operation.names import (
    named,
    new_id,
    parse_deadline,
    parse_group_id,
    parse_note,
    parse_operation_id,
    parse_retries,
    show,
    whoami,
)
from lockstep.worker.operation.thing import ThingRequest
from lockstep.worker.operation.transitions import Accepted, Request
from lockstep.worker.operation.waves import AT_ONCE, Pace, Rollout
from lockstep.worker.process.secrets import Secret, know
from lockstep.worker.record.damage import gone, unknown
from lockstep.worker.record.link import Link
from lockstep.worker.settings import Settings

if TYPE_CHECKING:
    from lockstep.worker.kinds.kind import Kind
    from lockstep.worker.operation.content import Content, Id

Fields = Mapping[str, object]
Secrets = Mapping[str, str | Secret]


class GroupClient:
    """What is asked of groups; `ClusterClient` is what to use."""

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        inventory: Inventory | None = None,
        created_by: str | None = None,
    ) -> None:
        """`created_by` is kept in the record of each operation; `user@host` if it is left out."""
        self.settings = settings if settings is not None else default_settings()
        self.created_by = whoami() if created_by is None else parse_note("created_by", created_by)
        self.owner = self.created_by if created_by is not None else self.created_by.rpartition("@")[0]
        """Whose the ids are that are given to operations: without a name, the user's on whichever machine."""
        self._given = inventory
        self._live: LiveInventory | None = None
        self._link = Link(self.settings)
        self._broker = Broker(self.settings)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection. Operations go on."""
        self._link.close()
        self._broker.close()

    @property
    def inventory(self) -> Inventory:
        """The hosts of the cluster, read when first needed, and again when their file changes.

        Raises InvalidInput if they cannot be read the first time; later the inventory stays as it was.
        """
        if self._given is not None:
            return self._given
        if self._live is None:
            self._live = LiveInventory(self.settings)
        return self._live.current()

    def create_group(
        self,
        group_id: str,
        hosts: Iterable[str] | None = None,
        *,
        operation_id: str | None = None,
        deadline: float | None = None,
        retries: int | None = None,
        preflight: bool = False,
        waves: str | None = None,
        wave_by: str | None = None,
        bake: str | float | None = None,
        hold: bool = False,
        expires: str | float | None = None,
        health: str | None = None,
    ) -> Operation:
        """Enqueue the creation of a group on the named hosts, or on all; return once it is recorded.

        `operation_id` makes the call repeatable: with the same id and the same group and hosts the existing
        operation is returned; with others, or if somebody else gave the id, OperationIdReused is raised.
        Without it a random id is taken.
        `deadline` is in seconds from now: an operation undecided by then is rolled back. Until
        then a host that fails is tried again; `retries` gives it up after that many beyond the first.
        `preflight` asks every host first, and raises NotReady before anything is recorded if one gives no
        usable answer.
        `waves` changes hosts one wave after another, in the order of the inventory: sizes such as
        "1,10%,100%", of which the last repeats; or `wave_by` a label, a wave for each value. It stays one
        operation, all hosts or none; `deadline` is then each wave's. `bake` (seconds, or "60s") is waited
        after each wave that changed something, and then every changed host is looked at once more; with
        `hold` each wave but the last waits for `Operation.promote`; `expires` rolls back what is undecided.
        `health` is a path that must answer 2xx at such a look, on hosts without one in the inventory.

        While another operation holds the group, waits for up to `lock_wait` seconds, storing nothing, then
        raises GroupBusy. If a host is paused, raises HostPaused. Raises StoreUnavailable and StoreFull too.
        """
        pace = Pace(waves, wave_by, bake, hold, expires, health)
        known, group = (operation_id, deadline, retries), parse_group_id(group_id)
        return self.change("create", group, hosts, {}, *known, preflight=preflight, pace=pace)

    def delete_group(
        self,
        group_id: str,
        hosts: Iterable[str] | None = None,
        *,
        operation_id: str | None = None,
        deadline: float | None = None,
        retries: int | None = None,
        preflight: bool = False,
        waves: str | None = None,
        wave_by: str | None = None,
        bake: str | float | None = None,
        hold: bool = False,
        expires: str | float | None = None,
        health: str | None = None,
    ) -> Operation:
        """Enqueue the deletion of a group; everything else is as for `create_group`."""
        pace = Pace(waves, wave_by, bake, hold, expires, health)
        known, group = (operation_id, deadline, retries), parse_group_id(group_id)
        return self.change("delete", group, hosts, {}, *known, preflight=preflight, pace=pace)

    def select(
        self, hosts: Iterable[str] | None = None, *, where: Iterable[str] = (), except_: Iterable[str] = ()
    ) -> tuple[HostName, ...]:
        """Return names for `hosts=`: those named, or all, that meet every condition and are not excepted.

        A condition is `label=value` or `label!=value` over the labels of the inventory.

        >>> cluster.select(except_=["node3"])
        ('node1', 'node2')
        """
        return tuple(host.name for host in select(self.inventory, hosts, where, except_))

    def named(self, text: object) -> Named:
        """Return what a group's id, with or without `group/`, or `KIND/ID` means."""
        kind, slash, rest = text.partition("/") if isinstance(text, str) else ("", "", "")
        if slash and kind != "group":
            return self.thing(str(text))
        return parse_group_id(rest if slash else text)

    def thing(self, text: str) -> tuple[Kind, Id]:
        """Return the kind and the id of `KIND/ID`."""
        return kinds_of(self.inventory.kinds, self.settings.kinds).parse(text)

    def operation(self, operation_id: str) -> Operation:
        """Return the handle of an operation."""
        key = parse_operation_id(operation_id)
        found = self._link.store.operation(key)
        if found is None:
            lost = self._link.store.lost().get(key)
            raise unknown(key) if lost is None else gone(lost)
        return self._handle(found, found.verb)

    def _handle(self, of: Status | Request, verb: str, existing: bool = True) -> Operation:
        return Operation(self._link, self._broker, of, verb, self.created_by, existing)

    def change(
        self,
        verb: str,
        thing: object,
        hosts: Iterable[str] | None,
        given: Fields,
        operation_id: str | None = None,
        deadline: float | None = None,
        retries: int | None = None,
        *,
        secrets: Secrets | None = None,
        upsert: bool = False,
        accept_loss: bool = False,
        preflight: bool = False,
        pace: Pace = AT_ONCE,
        stopped: Callable[[], bool] = lambda: False,
        on_accepted: Callable[[Operation], None] | None = None,
    ) -> Operation:
        """Have `create`, `set` or `delete` of a group or thing recorded, and only then send its tasks.

        `on_accepted` is told in between; RequestWithdrawn is raised once `stopped` tells so.
        """
        of = self.named(thing)
        group = of if isinstance(of, str) else GroupId(of[1].text)
        content, _ = self._asked(verb, of, given, secrets, upsert, accept_loss)
        settings = self.settings
        key = new_id() if operation_id is None else parse_operation_id(operation_id)
        within = parse_deadline(settings.deadline if deadline is None else deadline, settings.result_expires)
        bound = parse_retries(settings.retries if retries is None else retries)
        if hosts is not None and not isinstance(hosts, Iterable):
            raise InvalidInput(f"hosts {show(hosts)} is of type {type(hosts).__name__}: give a list of names")
        chosen = self.serving(group, hosts)
        refs, rollout = tuple(host.ref for host in chosen), self.rollout(pace, chosen)
        action = Action.DELETE if verb == "delete" else Action.CREATE
        asked = (key, group, action, refs, within, self.created_by, bound)
        request = Request(*asked, owner=self.owner, rollout=rollout, content=content)
        if preflight and (operation_id is None or not self._link.store.exists(key)):
            ask_all(chosen, of, settings, self._link.pauses.all())
        existing = accept(self._link, request, stopped) is Accepted.EXISTING
        # A random id that exists is our own: the answer was lost, and the connection's retry sent it again.
        ours = operation_id is None or not existing
        operation = self._handle(request, verb, existing=not ours)
        if on_accepted is not None:
            on_accepted(operation)
        operation.published = ours and self._broker.forward(request)
        return operation

    def _asked(
        self, verb: str, of: Named, given: Fields, secrets: Secrets | None, upsert: bool, accept_loss: bool
    ) -> tuple[ThingRequest | None, Content | None]:
        """Return what is asked of a thing, and the content that it is to have; nothing of a group."""
        if isinstance(of, str):
            if given or secrets or verb == "set":
                raise InvalidInput(f"{show(of)} names no kind, and a group has no fields: give KIND/ID")
            return None, None
        pairs = (secrets or {}).items()
        texts = {name: each.reveal() if isinstance(each, Secret) else each for name, each in pairs}
        know(*texts.values(), passing=True)
        seals = SealKeys(self.settings.seal_key_file)
        return asked_of(*of, verb, given, texts, seals, upsert=upsert, accept_loss=accept_loss)

    def serving(
        self, name: object, hosts: Iterable[str] | None = None, *, some: bool = False
    ) -> tuple[Host, ...]:
        """Return the hosts that are asked for, or all, that serve a group or `KIND/ID`.

        One that is asked for and does not serve it is refused, unless `some` of them will do.
        """
        kind = str(name).partition("/")[0] if "/" in str(name) else "group"
        chosen = self.inventory.select(hosts)
        serve = self.inventory.serving(kind, chosen)
        if hosts is not None and not some and len(serve) < len(chosen):
            first = next(host.name for host in chosen if host not in serve)
            raise InvalidInput(f"host {show(first)} does not serve {kind}: see `serves` in the inventory")
        if not serve:
            where = "no host of the inventory" if hosts is None else "none of the hosts asked for"
            raise InvalidInput(f"{where} serves {kind}: see `serves`")
        return serve

    def rollout(self, pace: Pace, hosts: Iterable[Host]) -> Rollout | None:
        """Return how an operation on these hosts would go, by what is asked and the inventory's defaults.

        None without waves. Raises InvalidInput, and NotReady while a worker runs that knows neither waves nor
        limits of writes, and these hosts have some.
        """
        hosts = tuple(hosts)
        at_once = pace == self.inventory.pace == AT_ONCE
        found = None if at_once else pace.over(self.inventory.pace).rollout(hosts)
        needed = found is not None or self.inventory.limits(hosts)
        if needed and (old := self._link.clocks.too_old()):
            raise NotReady(
                f"nothing was written, for {named(old)} cannot work in waves or under limits of writes: "
                "it is of an earlier release; wait until all workers are new "
                "(a stopped one is forgotten after a minute)"
            )
        return found
