"""The client: enqueue operations, ask for them, ask hosts."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING

from producer.defaults import default_settings
from producer.following import LOOK_AGAIN
from producer.handle import Operation
from producer.link import Link, unknown
from producer.naming import parse_deadline, parse_limit, parse_note, whoami
from worker.inventory import Inventory, load_inventory
from worker.operation import model
from worker.operation.errors import GroupBusy, InvalidInput, StoreUnavailable
from worker.operation.model import Action, OperationId
from worker.operation.names import parse_group_id, parse_operation_id, show
from worker.settings import Settings
from worker.store.base import Accepted, Busy, Request

if TYPE_CHECKING:
    from celery import Celery

PUBLISH_RETRIES = 3
"""One a second: enough for a Redis that is restarted. What could not be sent, the sweep sends."""
_log = logging.getLogger(__name__)


class ClusterClient:
    """Creates and deletes groups on all hosts or none. Safe to share between threads; a context manager.

    >>> with ClusterClient(settings) as cluster:
    ...     cluster.create_group("team-a").wait(timeout=30).committed
    True

    Without `settings` the LOCKSTEP_* environment counts, and without that the stack that `make up` started.
    Nothing is connected until it is needed. Every method checks its arguments before anything is written,
    and raises InvalidInput naming the value and the rule.
    """

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
        self._inventory = inventory
        self._link = Link(self.settings)
        self._app: Celery | None = None
        self._building = threading.Lock()

    def __enter__(self) -> ClusterClient:
        """Return the client."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the client."""
        self.close()

    def close(self) -> None:
        """Close every connection. Operations go on."""
        self._link.close()
        if self._app is not None:
            self._app.close()

    @property
    def inventory(self) -> Inventory:
        """The hosts of the cluster, read when first needed. Raises InvalidInput."""
        if self._inventory is None:
            self._inventory = load_inventory(self.settings)
        return self._inventory

    def create_group(
        self,
        group_id: str,
        hosts: Iterable[str] | None = None,
        *,
        operation_id: str | None = None,
        deadline: float | None = None,
    ) -> Operation:
        """Enqueue the creation of a group on the named hosts, or on all; return once it is recorded.

        `operation_id` makes the call repeatable: with the same id and the same group and hosts the existing
        operation is returned; with others OperationIdReused is raised. Without it a random id is taken.
        `deadline` is in seconds from now: an operation undecided by then is rolled back.

        While another operation holds the group, waits for up to `lock_wait` seconds, storing nothing, then
        raises GroupBusy. Raises StoreUnavailable and StoreFull too.
        """
        return self._start(Action.CREATE, group_id, hosts, operation_id, deadline)

    def delete_group(
        self,
        group_id: str,
        hosts: Iterable[str] | None = None,
        *,
        operation_id: str | None = None,
        deadline: float | None = None,
    ) -> Operation:
        """Enqueue the deletion of a group; everything else is as for `create_group`."""
        return self._start(Action.DELETE, group_id, hosts, operation_id, deadline)

    def group_exists(self, host: str, group_id: str) -> bool:
        """Ask a host itself whether it holds the group. Raises HostUnavailable without a usable answer."""
        from producer.asking import ask

        group = parse_group_id(group_id)
        return ask(self.inventory.select([host])[0], group, self.settings)

    def operation(self, operation_id: str) -> Operation:
        """Return the handle of an operation. Raises UnknownOperation and StoreUnavailable."""
        key = parse_operation_id(operation_id)
        found = self._link.store.operation(key)
        if found is None:
            raise unknown(key)
        return Operation(self._link, found.id, found.group, found.action, created_by=self.created_by)

    def operations(self, limit: int = 20) -> tuple[model.Operation, ...]:
        """Read the newest operations, newest first. Raises StoreUnavailable."""
        return self._link.store.operations(parse_limit(limit))

    def _start(
        self,
        action: Action,
        group_id: object,
        hosts: object,
        operation_id: object,
        deadline: object,
    ) -> Operation:
        request = self._request(action, group_id, hosts, operation_id, deadline)
        existing = self._accept(request) is Accepted.EXISTING
        # A random id that exists is our own: the answer was lost, and the connection's retry sent it again.
        ours = operation_id is None or not existing
        return Operation(
            self._link,
            request.id,
            request.group,
            action,
            created_by=self.created_by,
            existing=not ours,
            published=ours and self._publish(request),
        )

    def _request(
        self, action: Action, group_id: object, hosts: object, operation_id: object, deadline: object
    ) -> Request:
        settings = self.settings
        group = parse_group_id(group_id)
        key = new_id() if operation_id is None else parse_operation_id(operation_id)
        within = parse_deadline(settings.deadline if deadline is None else deadline, settings.result_expires)
        if hosts is not None and not isinstance(hosts, Iterable):
            raise InvalidInput(f"hosts {show(hosts)} is of type {type(hosts).__name__}: give a list of names")
        chosen = self.inventory.select(hosts)
        return Request(key, group, action, tuple(host.ref for host in chosen), within, self.created_by)

    def _accept(self, request: Request) -> Accepted:
        # Whoever is not reachable now has stored nothing; from here on that is no longer certain.
        self._link.ping()
        try:
            said = self._link.store.accept(request)
            ends = time.monotonic() + self.settings.lock_wait
            while isinstance(said, Busy):
                _log.info('group "%s" is held by operation "%s": waiting', request.group, said.owner)
                said = self._accept_after(said.owner, request, ends)
        except StoreUnavailable as error:
            raise StoreUnavailable(
                f'{error}; whether operation "{request.id}" was accepted is not known: repeat it with this id'
            ) from error
        return said

    def _accept_after(self, owner: OperationId, request: Request, ends: float) -> Accepted | Busy:
        """Ask again whenever the owner ends, and every second; return once the answer is another one."""
        with self._link.events(owner) as events:
            while True:
                events.subscribe()
                said = self._link.store.accept(request)
                if not isinstance(said, Busy) or said.owner != owner:
                    return said
                left = ends - time.monotonic()
                if left <= 0:
                    raise GroupBusy(
                        f'group "{request.group}" is busy: operation "{owner}" still holds it after '
                        f"{self.settings.lock_wait:g} s (LOCKSTEP_LOCK_WAIT); wait for it, then ask again"
                    )
                pause = min(LOOK_AGAIN, left)
                events.wait(pause, gather=pause)

    def _publish(self, request: Request) -> bool:
        """Send the operation's tasks; False if the broker does not take them, for then the sweep will."""
        # Celery is slow to import, so the operation is recorded first.
        import redis
        from kombu.exceptions import OperationalError

        from worker.workflow import publish_forward

        names = [host.name for host in request.hosts]
        try:
            publish_forward(self._celery(), request.id, request.group, request.action, names)
        except (OperationalError, redis.RedisError, OSError) as error:
            _log.warning(
                'operation "%s" is accepted, but its tasks could not be sent (%s): '
                "the sweep sends them within about %g s of Redis' return",
                request.id,
                " ".join(str(error).split()),
                self.settings.sweep_patience + self.settings.sweep_every,
            )
            return False
        return True

    def _celery(self) -> Celery:
        from worker.celery import make_app

        with self._building:
            if self._app is None:
                app = make_app(self.settings)
                # A worker tries for long, for nobody else keeps its result; a caller is answered sooner.
                app.conf.result_backend_transport_options["retry_policy"] = {"max_retries": PUBLISH_RETRIES}
                self._app = app
            return self._app


def new_id() -> OperationId:
    """Return a random operation id: 12 hexadecimal characters."""
    return OperationId(secrets.token_hex(6))
