"""What a client asks of things of any kind: rabbitmq-vhost/team-a, on all hosts or none."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from lockstep.producer.client.operation import Operation
from lockstep.producer.client.operators import OperatorClient
from lockstep.worker.operation.errors import InvalidInput
from lockstep.worker.operation.model import Action, HostName
from lockstep.worker.operation.names import show

if TYPE_CHECKING:
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
        thing: str,
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
        subject: object = thing
        if "/" in thing:
            kind, named, asked = self._asked(verb, thing, given, upsert, accept_loss)
            hosts = self._serving(kind, hosts)
            content, subject = asked, named.text
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

    def exists(self, host: str, thing: str) -> bool:
        """Ask a host itself whether it holds the thing. Raises HostUnavailable without a usable answer."""
        from lockstep.producer.operators.hosts import seen

        kind, named = self.thing(thing)
        (chosen,) = self.inventory.select([host])
        return seen(chosen, kind, named, self.settings) is not None

    def thing(self, text: str) -> tuple[Kind, Id]:
        """Return the kind and the id of `KIND/ID`. Raises InvalidInput."""
        from lockstep.worker.kinds import kinds_of

        return kinds_of(self.inventory.kinds, self.settings.kinds).parse(text)

    def _asked(
        self, verb: str, thing: str, given: Fields, upsert: bool, accept_loss: bool
    ) -> tuple[Kind, Id, Asked]:
        from lockstep.worker.operation.thing import ABSENT, DEFINITION, MOST_KEPT, Asked, Digest

        kind, named = self.thing(thing)
        if kind.sealed:
            raise InvalidInput(f"kind {kind.name} has secret or sensitive fields, which cannot be sealed yet")
        target: Content | None = None if verb == "delete" else kind.target(given)
        if target is not None and len(target.text().encode()) > MOST_KEPT:
            raise InvalidInput(f"the content of {show(thing)} is over {MOST_KEPT} bytes")
        changes = "update" if verb == "set" else "create" if verb == "create" else "delete"
        if not kind.has(changes):  # type: ignore[arg-type]
            raise InvalidInput(f"{kind.name} cannot be {changes}d: its file has no {changes}")
        lost = kind.loses(changes)  # type: ignore[arg-type]
        if lost and not accept_loss:
            raise InvalidInput(
                f"undoing the {verb} of {show(thing)} would not bring back {', '.join(lost)}: "
                "say --accept-loss (accept_loss=True) if that may be lost"
            )
        digest = ABSENT if target is None else Digest(target.digest())
        texts = {DEFINITION: kind.source} | ({} if target is None else {str(digest): target.text()})
        lock = kind.lock(named)
        asked = Asked(
            verb,
            kind.name,
            kind.digest,
            digest,
            lock if "/" in lock else f"{kind.name}/{lock}",
            once=not all(kind.repeats(each) for each in ("create", "update", "delete") if kind.has(each)),
            upsert=upsert,
            texts=texts,
        )
        return kind, named, asked

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
