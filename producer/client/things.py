"""What a client asks of things of any kind: rabbitmq-vhost/team-a, on all hosts or none."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from lockstep.producer.client.operation import Operation
from lockstep.producer.client.operators import OperatorClient
from lockstep.worker.operation.errors import InvalidInput
from lockstep.worker.operation.model import Action, GroupId, HostName
from lockstep.worker.operation.names import parse_group_id, show

if TYPE_CHECKING:
    from lockstep.producer.operators.things import HostThing, ThingPlan
    from lockstep.worker.kinds import Kind
    from lockstep.worker.operation.content import Content, Id
    from lockstep.worker.operation.host import Host
    from lockstep.worker.operation.thing import Asked

Fields = Mapping[str, object]


class ThingClient(OperatorClient):
    """What is asked of things; `ClusterClient` is what to use."""

    _start: Callable[..., Operation]

    def create(
        self,
        thing: str,
        hosts: Iterable[str] | None = None,
        *,
        fields: Fields | None = None,
        operation_id: str | None = None,
        deadline: float | None = None,
        retries: int | None = None,
        **values: object,
    ) -> Operation:
        """Enqueue the creation of `KIND/ID`, with these fields, on the named hosts or on all that serve it.

        Fields are keywords, or in `fields` where a name is none: `client.create("vhost/team-a", tags=["x"])`.
        A host on which it stands with just this content is unchanged; with other content the operation is
        rolled back. All else is as for `create_group`, and so is an id without a kind. Raises InvalidInput
        for what the kind does not allow, before anything is recorded.
        """
        return self.change(
            "create", thing, hosts, {**(fields or {}), **values}, operation_id, deadline, retries
        )

    def set(
        self,
        thing: str,
        hosts: Iterable[str] | None = None,
        *,
        fields: Fields | None = None,
        create: bool = False,
        accept_loss: bool = False,
        operation_id: str | None = None,
        deadline: float | None = None,
        retries: int | None = None,
        **values: object,
    ) -> Operation:
        """Enqueue that `KIND/ID` has this content everywhere, whatever each host shows now.

        When any host fails, every host is brought back to its own old content. A field without a default
        that is not given stays as each host shows it. Where the thing is absent the operation is rolled back,
        or, with `create`, the thing is made. What an undo would lose needs `accept_loss`.
        """
        given = {**(fields or {}), **values}
        return self.change(
            "set",
            thing,
            hosts,
            given,
            operation_id,
            deadline,
            retries,
            upsert=create,
            accept_loss=accept_loss,
        )

    def delete(
        self,
        thing: str,
        hosts: Iterable[str] | None = None,
        *,
        accept_loss: bool = False,
        operation_id: str | None = None,
        deadline: float | None = None,
        retries: int | None = None,
    ) -> Operation:
        """Enqueue the deletion of `KIND/ID`; its undo writes each host's own content back.

        What an undo would lose, as the kind says, needs `accept_loss`.
        """
        return self.change(
            "delete", thing, hosts, {}, operation_id, deadline, retries, accept_loss=accept_loss
        )

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
        upsert: bool = False,
        accept_loss: bool = False,
        on_accepted: Callable[[Operation], None] | None = None,
        **options: Any,
    ) -> Operation:
        """Enqueue `create`, `set` or `delete` of a thing; see these."""
        action = Action.DELETE if verb == "delete" else Action.CREATE
        content = None
        subject = thing.removeprefix("group/") if isinstance(thing, str) else thing
        if isinstance(subject, str) and "/" in subject:
            kind, named = self.thing(subject)
            hosts = self._serving(kind, hosts)
            content = self._asked(verb, kind, named, given, upsert, accept_loss)
            subject = named.text
        elif given or verb == "set":
            raise InvalidInput(f"{show(thing)} names no kind, and a group has no fields: give KIND/ID")
        return self._start(
            action,
            subject,
            hosts,
            operation_id,
            deadline=deadline,
            retries=retries,
            content=content,
            on_accepted=on_accepted,
            **options,
        )

    def plan_thing(
        self,
        verb: str,
        thing: str,
        hosts: Iterable[str] | None = None,
        fields: Fields | None = None,
        *,
        create: bool = False,
    ) -> ThingPlan:
        """Ask every host what it shows, and tell what `create`, `set` or `delete` would do. Writes nothing.

        Says too what an undo would lose. A host without a usable answer is a problem of the plan, no error.
        """
        from lockstep.producer.operators.things import plan

        kind, named = self.thing(thing)
        chosen = self.inventory.select(self._serving(kind, hosts))
        self._asked(verb, kind, named, fields or {}, create, accept_loss=True)  # which refuses what it would
        target = None if verb == "delete" else kind.target(fields or {})
        owner = self._link.store.lock_owner(GroupId(kind.lock(named)))
        return plan(
            chosen, kind, named, verb, target, self.settings, owner, self._link.pauses.all(), upsert=create
        )

    def thing_drift(self, thing: str) -> list[HostThing]:
        """Ask the hosts on which operations on `KIND/ID` have ended, and tell what differs, host by host.

        Raises InvalidInput for a thing of which nothing is known, or while an operation works on it.
        """
        from lockstep.producer.operators.things import drift

        kind, named = self.thing(thing)
        subject = GroupId(named.text)
        left = self._link.store.contents_left(subject)
        owner = self._link.store.lock_owner(GroupId(kind.lock(named)))
        if not left:
            raise InvalidInput(f"no operation on {show(named.text)} has ended: nothing says how it should be")
        if owner is not None:
            raise InvalidInput(f"operation {owner} is at work on {show(named.text)}: ask when it has ended")
        hosts = {host.name: host for host in self.inventory}
        return drift(hosts, kind, named, left, self.settings)

    def things(self) -> list[str]:
        """Return every `KIND/ID` on which an operation has ended."""
        return list(self._link.store.things())

    def repair_thing(self, thing: str, *, accept_loss: bool = False) -> list[Operation]:
        """Bring hosts that drifted back to what the last operation left there; one operation a content.

        Each is an ordinary operation on the hosts concerned, all or none. Returns none where nothing differs.
        """
        from lockstep.worker.operation.content import Content

        _, named = self.thing(thing)
        drifted = [row.host for row in self.thing_drift(thing) if row.does == "drifted"]
        left = self._link.store.contents_left(GroupId(named.text))
        begun = []
        for digest in sorted({left[host].digest for host in drifted}):
            hosts = [host for host in drifted if left[host].digest == digest]
            text = left[hosts[0]].text
            if text is None:
                begun.append(self.delete(named.text, hosts, accept_loss=accept_loss))
                continue
            values = {name: each for name, each in Content.read(text).values.items() if each is not None}
            begun.append(self.set(named.text, hosts, fields=values, create=True, accept_loss=accept_loss))
        return begun

    def exists(self, host: str, thing: str) -> bool:
        """Ask a host itself whether it holds `KIND/ID`, or a group: see `group_exists`."""
        from lockstep.producer.operators.hosts import ask

        of = self.thing(thing) if "/" in str(thing) else parse_group_id(thing)
        return ask(self.inventory.select([host])[0], of, self.settings)

    def thing(self, text: str) -> tuple[Kind, Id]:
        """Return the kind and the id of `KIND/ID`. Raises InvalidInput."""
        from lockstep.worker.kinds import kinds_of

        return kinds_of(self.inventory.kinds, self.settings.kinds).parse(text)

    def kept_kind(self, name: str, digest: str) -> Kind | None:
        """Return a definition, by its name and the beginning of its digest, that a running operation keeps.

        None if none does. Raises StoreUnavailable.
        """
        from lockstep.worker.kinds import Kind
        from lockstep.worker.operation.thing import DEFINITION

        store = self._link.store
        for each in self._link.unended():
            asked = order.content if "/" in each.group and (order := store.order(each.id)) else None
            if asked is not None and asked.kind == name and asked.definition.startswith(digest):
                text = store.text(each.id, DEFINITION)
                return None if text is None else Kind(f"operation {each.id}", text)
        return None

    def _asked(
        self, verb: str, kind: Kind, named: Id, given: Fields, upsert: bool, accept_loss: bool
    ) -> Asked:
        from lockstep.worker.operation.thing import ABSENT, DEFINITION, MOST_KEPT, Asked, Digest

        if kind.sealed:
            raise InvalidInput(f"kind {kind.name} has secret or sensitive fields, which cannot be sealed yet")
        target: Content | None = None if verb == "delete" else kind.target(given)
        if target is not None and len(target.text().encode()) > MOST_KEPT:
            raise InvalidInput(f"the content of {show(named.text)} is over {MOST_KEPT} bytes")
        changes = "update" if verb == "set" else "create" if verb == "create" else "delete"
        if not kind.has(changes):  # type: ignore[arg-type]
            raise InvalidInput(f"{kind.name} cannot be {changes}d: its file has no {changes}")
        lost = kind.loses(changes)  # type: ignore[arg-type]
        if lost and not accept_loss:
            raise InvalidInput(
                f"undoing the {verb} of {show(named.text)} would not bring back {', '.join(lost)}: "
                "say --accept-loss (accept_loss=True) if that may be lost"
            )
        digest = ABSENT if target is None else Digest(target.digest())
        texts = {DEFINITION: kind.source} | ({} if target is None else {str(digest): target.text()})
        return Asked(
            verb,
            kind.name,
            kind.digest,
            digest,
            kind.lock(named),
            once=not all(kind.repeats(each) for each in ("create", "update", "delete") if kind.has(each)),
            upsert=upsert,
            settle=round(1000 * (kind.definition.settle or 0)),
            texts=texts,
        )

    def _serving(self, kind: Kind, hosts: Iterable[str] | None) -> tuple[HostName, ...]:
        """Return the hosts that are asked for, or all that serve the kind. Raises InvalidInput."""
        chosen: tuple[Host, ...] = tuple(self.inventory.select(hosts))
        serve = tuple(host.name for host in chosen if host.serves_kind(kind.name))
        if hosts is not None and len(serve) < len(chosen):
            first = next(host for host in chosen if host.name not in serve)
            raise InvalidInput(
                f"host {show(first.name)} does not serve {kind.name}: see `serves` in the inventory"
            )
        if not serve:
            raise InvalidInput(f"no host of the inventory serves {kind.name}: see `serves`")
        return serve
