"""What a client asks of things of any kind: rabbitmq-vhost/team-a, on all hosts or none."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

from lockstep.producer.client.groups import Fields, GroupClient, Secrets
from lockstep.producer.client.operation import Operation
from lockstep.producer.operators.batch import Wish, WishResult, apply, parse_run, parse_wishes
from lockstep.producer.operators.hosts import ask, together
from lockstep.producer.operators.plan import HostPlan, Plan, kept_kind, of_group, of_thing
from lockstep.worker.operation.host import Host
from lockstep.worker.operation.model import Action, GroupId
from lockstep.worker.operation.names import new_id, parse_group_id
from lockstep.worker.operation.waves import AT_ONCE, Pace

if TYPE_CHECKING:
    from lockstep.worker.kinds.kind import Kind


class ThingClient(GroupClient):
    """What is asked of things; `ClusterClient` is what to use."""

    def create(
        self,
        thing: str,
        hosts: Iterable[str] | None = None,
        *,
        fields: Fields | None = None,
        secrets: Secrets | None = None,
        operation_id: str | None = None,
        deadline: float | None = None,
        retries: int | None = None,
        pace: Pace = AT_ONCE,
        **values: object,
    ) -> Operation:
        """Enqueue the creation of `KIND/ID`, with these fields, on the named hosts or on all that serve it.

        Fields are keywords, or in `fields` where a name is none: `client.create("vhost/team-a", tags=["x"])`.
        Secret fields are in `secrets`, as texts; sensitive ones may be, too. With a `Pace` it goes in waves.
        A host on which it stands with just this content is unchanged; with other content the operation is
        rolled back. All else is as for `create_group`, and so is an id without a kind. Raises InvalidInput
        for what the kind does not allow, before anything is recorded.
        """
        given, known = {**(fields or {}), **values}, (operation_id, deadline, retries)
        return self.change("create", thing, hosts, given, *known, secrets=secrets, pace=pace)

    def set(
        self,
        thing: str,
        hosts: Iterable[str] | None = None,
        *,
        fields: Fields | None = None,
        secrets: Secrets | None = None,
        create: bool = False,
        accept_loss: bool = False,
        operation_id: str | None = None,
        deadline: float | None = None,
        retries: int | None = None,
        pace: Pace = AT_ONCE,
        **values: object,
    ) -> Operation:
        """Enqueue that `KIND/ID` has this content everywhere, whatever each host shows now.

        When any host fails, every host is brought back to its own old content. A field without a default
        that is not given stays as each host shows it. Where the thing is absent the operation is rolled back,
        or, with `create`, the thing is made. What an undo would lose needs `accept_loss`.
        """
        given = {**(fields or {}), **values}
        return self.change(
            *("set", thing, hosts, given, operation_id, deadline, retries),
            secrets=secrets,
            upsert=create,
            accept_loss=accept_loss,
            pace=pace,
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
        pace: Pace = AT_ONCE,
    ) -> Operation:
        """Enqueue the deletion of `KIND/ID`; its undo writes each host's own content back.

        What an undo would lose, as the kind says, needs `accept_loss`.
        """
        known = (operation_id, deadline, retries)
        return self.change("delete", thing, hosts, {}, *known, accept_loss=accept_loss, pace=pace)

    def plan(
        self,
        action: Action | str,
        group_id: str,
        hosts: Iterable[str] | None = None,
        fields: Fields | None = None,
        *,
        secrets: Secrets | None = None,
        create: bool = False,
    ) -> Plan:
        """Ask every host what it holds, and tell what an operation would do. Nothing is written.

        `action` is create, set or delete of a group or `KIND/ID`; `fields` and `create` are those of `set`.
        A host without a usable answer is a problem of the plan, no error. Raises InvalidInput for what the
        operation itself would refuse but for the loss, which the plan tells, and StoreUnavailable.
        """
        of, verb = self.named(group_id), str(action)
        lost: Sequence[str] = ()
        plan_of: Callable[[Host], HostPlan]
        asked, target = self._asked(verb, of, fields or {}, secrets, create, True)
        if isinstance(of, str):
            group = lock = of
            plan_of = partial(of_group, of, Action(verb), self.settings)
        else:
            assert asked is not None
            kind, named = of
            hidden = sorted(kind.secrets & (secrets or {}).keys())
            group, lock = GroupId(named.text), GroupId(asked.lock)
            lost = kind.loses("update" if verb == "set" else verb, hidden)  # type: ignore[arg-type]
            plan_of = partial(of_thing, kind, named, verb, target, self.settings, create, hidden)
        chosen = self.serving(group_id, hosts)
        owner, pauses = self._link.store.lock_owner(lock), self._link.pauses.all()
        paused = tuple(host.name for host in chosen if host.name in pauses)
        rows = tuple(
            replace(row, call=None, problem=pauses[row.host].text) if row.host in pauses else row
            for row in together(plan_of, chosen)
        )
        return Plan(group, verb, rows, paused, owner, tuple(lost))

    def wishes(
        self,
        wanted: str | Mapping[str, object],
        hosts: Iterable[str] | None = None,
        *,
        accept_loss: bool = False,
        folder: str = "",
        pace: Pace = AT_ONCE,
    ) -> tuple[Wish, ...]:
        """Read what `apply` is to do, and refuse what it would refuse. Raises InvalidInput and NotReady.

        Secret and sensitive fields may be `{file: PATH}`, below the folder.
        """
        found = parse_wishes(wanted, self.named, folder)
        chosen = self.select(hosts)
        checked, paced = [], set()
        for wish in found:
            serving = self.serving(wish.group, chosen, some=True)
            if (names := tuple(host.name for host in serving)) not in paced:
                self.rollout(pace, serving)
                paced.add(names)
            of, upsert = self.named(wish.group), wish.verb == "set"
            asked, _ = self._asked(wish.verb, of, wish.fields, wish.secrets, upsert, accept_loss)
            checked.append(replace(wish, target=str(asked.target)) if asked else wish)
        return tuple(checked)

    def apply(
        self,
        wanted: str | Mapping[str, object] | Sequence[Wish],
        hosts: Iterable[str] | None = None,
        *,
        run: str | None = None,
        at_once: int | None = None,
        accept_loss: bool = False,
        pace: Pace = AT_ONCE,
    ) -> Generator[WishResult]:
        """Bring many groups and things to what is wanted, each on all of its hosts or on none; yield each.

        `wanted` is the text of a file for `lockstep apply`, or what stands in one: a mapping of `present` and
        `absent` to lists. All of it is checked before anything is written. Groups are worked on side by side,
        things one by one in their order. A `run` that is given again goes on: what it has started is not
        started again. Closing the iterator starts no more.
        """
        chosen = self.select(hosts)
        if isinstance(wanted, str | Mapping):
            wanted = self.wishes(wanted, chosen, accept_loss=accept_loss, pace=pace)
        known = new_id() if run is None else parse_run(run)
        return apply(self, known, wanted, chosen, at_once, pace, accept_loss)

    def exists(self, host: str, thing: str) -> bool:
        """Ask a host itself whether it holds `KIND/ID`, or a group: see `group_exists`."""
        of = self.named(thing)
        return ask(self.serving(thing, [host])[0], of, self.settings)

    def group_exists(self, host: str, group_id: str) -> bool:
        """Ask a host itself whether it holds the group. Raises HostUnavailable without a usable answer."""
        return self.exists(host, parse_group_id(group_id))

    def kept_kind(self, name: str, digest: str) -> Kind | None:
        """Return a definition that an operation keeps, by its name and the beginning of its digest.

        Those that run are looked at, and the last on each thing. None if none does. Raises StoreUnavailable.
        """
        store = self._link.store
        running = (each.id for each in self._link.unended() if "/" in each.group)
        things = (thing for thing in store.things() if thing.startswith(f"{name}/"))
        last = (left.operation for thing in things for left in store.contents_left(thing).values())
        for each in chain(running, last):
            asked = order.content if (order := store.order(each)) else None
            if asked is not None and asked.kind == name and asked.definition.startswith(digest):
                return kept_kind(store, each)
        return None
