"""Celery's remote control: a worker answers those who look, and obeys nobody unless it is told to.

Here is its way to connections as well, which come back soon.
"""

from __future__ import annotations

import logging
import uuid
from typing import Any

from celery.app import amqp
from celery.app import control as celery
from kombu import Connection, Exchange, Queue, pidbox

from lockstep.worker.celery.broker.links import POISON, dropped
from lockstep.worker.process.secrets import masked

log = logging.getLogger(__name__)
LOOKS = {
    *("ping", "active_queues", "stats", "registered", "conf"),
    *("active", "reserved", "scheduled", "revoked"),
    *("heartbeat", "lockstep_about", "lockstep_clock"),
}
"""What `lockstep doctor` and a Flower that only shows ask for, and that Flower's clock is wrong."""
BROKER = ("transport", "hostname", "port", "virtual_host")
"""What `stats` says of the broker; passwords stand among the rest."""
LONGEST_WAIT = 4.0
"""Seconds between two tries to connect, at most, and until a Redis that is back is noticed."""
REPLY_SECONDS = 60
"""How long replies are kept for a caller who is gone."""


def shown(method: object) -> str:
    """Return what was asked for as it can stand in a line."""
    return ascii(method)[:60]


class ControlNode(pidbox.Node):
    def handle_message(self, body: Any, message: Any = None) -> Any:
        """Do what a message asks for, if it is one.

        None that names workers by a pattern: a regular expression can keep a worker busy for ever.
        """
        why = "is no object"
        if isinstance(body, dict):
            try:
                if not body.get("pattern"):
                    return super().handle_message(body, message)
                why = "names workers by a pattern"
            except POISON as error:  # Celery would subscribe anew, and hear nothing meanwhile
                why = f"is no question, {type(error).__name__}"
        dropped(f"as remote control it {why}", len(message.body) if message else None)
        return None

    def dispatch(
        self, method: Any = None, arguments: Any = None, reply_to: Any = None, ticket: Any = None, **rest: Any
    ) -> Any:
        """Answer a question; refuse an order, and say so, unless LOCKSTEP_REMOTE_CONTROL is `full`."""
        if reply_to and not self._expected(reply_to):
            log.warning("remote control %s wants its reply where none belongs, and is dropped", shown(method))
            return None
        if self.state.app.settings.remote_control == "full" or (isinstance(method, str) and method in LOOKS):
            return super().dispatch(method, arguments, reply_to, ticket, **rest)
        log.warning("remote control %s is refused: LOCKSTEP_REMOTE_CONTROL is not full", shown(method))
        refusal = {"error": f"{shown(method)} is refused: this worker only lets itself be looked at"}
        if reply_to:
            self.reply({self.hostname: refusal}, ticket=ticket, **reply_to)
        return refusal

    def handle(self, method: str, arguments: Any = None) -> Any:
        """Run a command; of the broker, `stats` says where it is."""
        answer = super().handle(method, arguments)
        if method == "stats":
            broker = answer.get("broker") or {}
            answer["broker"] = {name: broker[name] for name in BROKER if name in broker}
        return answer

    def reply(self, data: Any, exchange: str, routing_key: str, ticket: Any, **_: Any) -> None:
        """Put a reply into the caller's list, which is looked up in no table that others may write."""
        queue = f"{routing_key}.{exchange}"
        mailbox = self.mailbox
        with mailbox.producer_or_acquire(None, self.channel) as producer:
            headers = {"ticket": ticket, "clock": mailbox.clock.forward()}
            producer.publish(masked(data), exchange="", routing_key=queue, headers=headers, retry=True)
            with producer.channel.conn_or_acquire() as client:
                client.pexpire(queue, REPLY_SECONDS * 1000)

    def _expected(self, reply_to: Any) -> bool:
        match reply_to:
            case {"exchange": str(exchange), "routing_key": str(asker), **rest} if not rest:
                try:
                    return exchange == self.mailbox.reply_exchange.name and str(uuid.UUID(asker)) == asker
                except ValueError:
                    return False
        return False


class Mailbox(pidbox.Mailbox):
    """Remote control in which replies are bound to nothing: their list is named after who asked."""

    node_cls = ControlNode

    def get_reply_queue(self) -> Queue:
        name = f"{self.oid}.{self.reply_exchange.name}"
        return Queue(name, exchange=Exchange(""), routing_key=name)


class Control(celery.Control):
    Mailbox = Mailbox


class PersistentConnection(Connection):
    def ensure_connection(self, *args: Any, **options: Any) -> Any:
        """Connect, trying again every few seconds: kombu's waits grow to half a minute."""
        return super().ensure_connection(*args, **{"interval_max": LONGEST_WAIT, **options})


class Amqp(amqp.AMQP):
    Connection = PersistentConnection
