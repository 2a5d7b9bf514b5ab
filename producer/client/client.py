"""The client: enqueue operations, ask for them, ask hosts; and what the people who run a cluster need."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from itertools import chain

from lockstep.producer.client.operation import Operation
from lockstep.producer.client.selection import find, group_of
from lockstep.producer.client.things import ThingClient
from lockstep.producer.doctor import Finding
from lockstep.producer.operators.drift import Comparison, GroupDrift, without_kind
from lockstep.producer.operators.history import Filter, Stuck, advised, search, stuck, unrecorded
from lockstep.producer.operators.hosts import HostStatus, host_statuses
from lockstep.producer.operators.plan import SyncItem, differences, kept_kind, sync_plan
from lockstep.worker.kinds.seal import SealKeys
from lockstep.worker.operation.drift import ForgottenGroup
from lockstep.worker.operation.errors import AbandonRefused, InvalidInput, RecordGone
from lockstep.worker.operation.host import Pause
from lockstep.worker.operation.model import Action, GroupId, HostName, Loss, Millis, State, Status
from lockstep.worker.operation.names import alike, millis_of, parse_limit, parse_note, show
from lockstep.worker.record.reports import HeldInventory


class ClusterClient(ThingClient):
    """Creates and deletes groups on all hosts or none. Safe to share between threads; a context manager.

    >>> with ClusterClient(settings) as cluster:
    ...     cluster.create_group("team-a").wait(timeout=30).committed
    True

    Without `settings` the LOCKSTEP_* environment counts, and without that the stack that `make up` started.
    Nothing is connected until it is needed. Every method checks its arguments before anything is written,
    and raises InvalidInput naming the value and the rule; StoreUnavailable while Redis does not answer. For
    an id without a record it raises UnknownOperation, or RecordGone if Redis has lost the record.
    """

    def find(self, beginning: str) -> Operation:
        """Return the handle of the only operation whose id is this text, or begins with it.

        For people, who shorten ids; programs use `operation`. Raises InvalidInput if several begin with it.
        """
        found = find(self._link, beginning, lambda: self.inventory)
        return self._handle(found, found.verb)

    def operations(self, limit: int = 20) -> tuple[Status, ...]:
        """Read the newest operations, newest first."""
        return self._link.store.operations(parse_limit(limit))

    def history(
        self,
        *,
        group: str | None = None,
        by: str | None = None,
        action: Action | str | None = None,
        states: Iterable[State | str] = (),
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 100,
    ) -> tuple[Status, ...]:
        """Read the operations for which everything given holds, newest first.

        `group` and `by` are patterns (`team-*`); `since` and `until` are about when they were accepted.
        """
        asked = None if action is None else Action(action)
        span = millis_of("since", since), millis_of("until", until)
        wanted = Filter(group, by, asked, frozenset(map(State, states)), *span)
        return tuple(search(self._link.briefs, self._link.store.readable, wanted, parse_limit(limit)))

    def resolve(self, operation_id: str, host: str, *, restore: bool) -> Operation:
        """Decide about a host whose thing somebody else has changed: restore over that, or leave it.

        `restore` holds for what the host showed last, and for nothing later. Raises InvalidInput for a host
        that is no part of the operation, AbandonRefused where nothing waits for a person.
        """
        operation = self.operation(operation_id)
        step = next((step for step in operation.steps() if step.host == host), None)
        waits = step is not None and step.trace is not None and step.trace.foreign is not None
        if waits and restore:
            waits = self._link.store.resolve(operation.id, HostName(host), self.created_by) is None
        elif waits or step is None:
            operation.abandon(host, "left as somebody else has made it")
        if not waits:
            what = f'host {show(host)} shows nothing in operation "{operation.id}"'
            raise AbandonRefused(f"{what} that a person must decide about")
        return operation

    def differences(self, operation_id: str) -> dict[HostName, tuple[str, ...]]:
        """Return what an operation on a thing was to change on each host, and what somebody else made of it.

        A line for each old and each new value; nothing for an operation on a group.
        """
        operation = self.operation(operation_id)
        return differences(self._link.store, operation.id, operation.steps(), self.settings.seal_key_file)

    def methods(self, operation_id: str) -> dict[str, str]:
        """Return the HTTP methods of an operation's kind by create, update and delete; none for a group."""
        kind = kept_kind(self._link.store, self.operation(operation_id).id)
        return {} if kind is None else kind.methods

    def drift(self, groups: Iterable[str] | None = None) -> Iterator[GroupDrift]:
        """Ask the hosts of these groups and things, or of all on which an operation has ended, and compare.

        Yields what was found of each; no host is written.
        """
        store = self._link.store
        hosts = Comparison(store, self.inventory, self.settings)
        named, lacking = [], []
        for each in [*sorted(store.groups_with_ends()), *store.things()] if groups is None else groups:
            try:
                named.append(self.named(each))
            except InvalidInput as error:
                if groups is not None:
                    raise
                lacking.append(without_kind(store, GroupId(each), error))
        plain = hosts.of_groups([each for each in named if isinstance(each, str)])
        things = (each for each in named if not isinstance(each, str))
        return chain(plain, (hosts.of_thing(*each) for each in things), lacking)

    def repair(self, thing: str, *, accept_loss: bool = False) -> list[Operation]:
        """Bring hosts that drifted back to what the last operation on a thing left; one operation a content.

        Each is an ordinary operation on the hosts concerned, all or none. Returns none where nothing differs.
        Raises InvalidInput for a group, while an operation works on the thing, or if none has ended.
        """
        of = self.named(thing)
        if isinstance(of, str):
            raise InvalidInput(f"group {show(of)} is repaired by what it should be: create or delete it")
        kind, name = of[0], of[1].text
        (found,) = self.drift([name])
        if found.owner is not None or found.overtaken:
            raise InvalidInput(f"an operation is at work on {show(name)}: ask when it has ended")
        if found.untold:
            raise InvalidInput(found.untold)
        left = self._link.store.contents_left(GroupId(name))
        if not left:
            raise InvalidInput(f"no operation on {show(name)} has ended: nothing says how it should be")
        if found.gone:
            lost = f"{', '.join(found.gone)}, and nothing keeps its {', '.join(found.secrets)}"
            raise InvalidInput(f"{show(name)} is gone on {lost}: set it with --create and --secret")
        begun = []
        for _, hosts in sorted(alike((host, left[host].digest) for host in found.lines)):
            content = SealKeys(self.settings.seal_key_file).content(kind, name, left[hosts[0]].text)
            verb = "delete" if content is None else "set" if "update" in kind.writes else "create"
            wanted = {} if content is None else content.values
            values = {field: each for field, each in wanted.items() if each is not None}
            upsert = verb == "set"
            begun.append(self.change(verb, name, hosts, values, upsert=upsert, accept_loss=accept_loss))
        return begun

    def group_of(self, text: str) -> str:
        """Return the group or thing that is meant: by its id, or the beginning of that of an operation on it.

        Whatever is no operation is taken for a group.
        """
        if "/" in text:
            of = self.named(text)
            return of if isinstance(of, str) else of[1].text
        return group_of(self._link, text)

    def sync_plan(self, host: str) -> list[SyncItem]:
        """Tell what a new or rebuilt host lacks or has too much, by the last ended operations.

        Writes nothing; `create_group(group, [host])` and `delete_group(group, [host])` carry it out. Raises
        HostUnavailable.
        """
        return sync_plan(self._link.store, self.serving("group", [host])[0], self.settings)

    def hosts(self, hosts: Iterable[str] | None = None) -> tuple[HostStatus, ...]:
        """Ask the named hosts, or all, and tell how each is."""
        return host_statuses(self._link, self.inventory.select(hosts), self.settings)

    def pause(self, host: str, why: str) -> Pause | None:
        """Refuse new operations that need a host; return the pause that holds already, which then stays.

        Operations that were accepted before go on.
        """
        (found,) = self.inventory.select([host])
        return self._link.pauses.pause(found.name, self.created_by, parse_note("why", why))

    def resume(self, host: str) -> Pause | None:
        """Let operations that need a host begin again; return the pause that ends, None if there was none."""
        ended = self._link.pauses.resume(HostName(host))
        if ended is None:
            self.inventory.select([host])  # a host that nobody knows is an error
        return ended

    def abandon(self, host: str, reason: str) -> tuple[Operation, ...]:
        """Give up on a host in all operations that are to restore or settle it; AbandonRefused if none is."""
        parse_note("reason", reason)
        given_up = []
        for operation in [self.operation(each.id) for each in self._link.unended()]:
            # Else nothing is pending there, or the host is no part of it.
            with suppress(AbandonRefused, InvalidInput, RecordGone):
                operation.abandon(host, reason)
                given_up.append(operation)
        if not given_up:
            raise AbandonRefused(
                f"host {show(host)} cannot be abandoned: no decided operation has anything left to restore "
                "or to settle there; an undecided one is to be cancelled first"
            )
        return tuple(given_up)

    def inventories(self) -> tuple[HeldInventory | None, dict[str, HeldInventory]]:
        """Return this machine's inventory (None: it has none) and each worker's, as it reported lately."""
        try:
            known, age = self.inventory, self._live.age if self._live else 0.0
        except InvalidInput:
            return None, self._link.clocks.inventories()
        here = HeldInventory(known.digest, len(known), Millis(self.now() - round(age * 1000)))
        return here, self._link.clocks.inventories()

    def now(self) -> Millis:
        """Return the time by the clock of which every time in the record is."""
        return self._link.store.now()

    def stuck(self) -> tuple[tuple[Status, Stuck], ...]:
        """Return the operations that need a person, oldest first, with why."""
        now = self.now()
        # The steps of all are read: one that is damaged is noted, and may be why nothing else is told.
        found = ((each, self._link.store.steps(each.id), stuck(each, now)) for each in self._link.unended())
        needy = [(each, advised(why, each.id, steps)) for each, steps, why in found if why is not None]
        return tuple(sorted(needy, key=lambda pair: pair[0].created_at))

    def gone(self) -> tuple[tuple[Loss, Stuck], ...]:
        """Return the operations whose record is gone, and on whose group no later one has ended, with why."""
        return tuple((each, unrecorded(each)) for each in self._link.unresolved())

    def look_for_damage(self, groups: Iterable[str]) -> None:
        """Read what is kept of hosts, workers and these groups: what is damaged is noted, or logged."""
        self._link.look_for_damage(GroupId(group) for group in groups)

    def forget_deleted(self, before: datetime, *, dry_run: bool = True) -> list[tuple[ForgottenGroup, int]]:
        """Forget the groups that were deleted on every host before a moment; return each with its bytes.

        With `dry_run` nothing is changed.
        """
        store, moment = self._link.store, millis_of("before", before)
        assert moment is not None
        found = []
        for group in sorted(store.groups_with_ends()):
            if (gone := store.forget_group(group, moment, dry_run=True)) is not None:
                (size,) = store.sizes([group])
                if dry_run or store.forget_group(group, moment) is not None:
                    found.append((gone, size))
        return found

    def failing(self) -> Mapping[str, str]:
        """Return whether the sweep and the patrol failed when they were last tried, and why."""
        return self._link.store.failing()

    def examine(self) -> Iterator[Finding]:
        """Yield what is found of Redis, the workers, the sweep and every host. Nothing is written."""
        from lockstep.producer.doctor.facts import examine

        return examine(self._link, self.settings, lambda: self.inventory, lambda: len(self.stuck()))
