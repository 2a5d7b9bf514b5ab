"""Every knob, with its unit and the reason for its default. Set through LOCKSTEP_* in the environment.

Where Compose or Docker mount secrets, a file there gives the setting that it is named after.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

from lockstep.worker.operation.errors import InvalidInput
from lockstep.worker.operation.host import Backoff, Limits
from lockstep.worker.process.secrets import Secret
from lockstep.worker.settings import environment
from lockstep.worker.settings.redis_url import Address, read_address, with_login

PREFIX = environment.PREFIX
SECRETS = "/run/secrets"
"""Holds for example `lockstep_redis_url`. A variable of the environment wins over a file."""
HERE, NO_PASSWORD = Secret("redis://127.0.0.1:6379/0", whole=False), Secret("")
CHORD_DISPATCH_LEASE = 21.0
"""Seconds for which Celery 5.7 holds the lease on dispatching a chord's body; not a setting of Celery."""
Seconds = float
Share = float
Rate = float
Count = int
Tries = int
Port = int
AtOnce = int
RedisUrl = Secret
Password = Secret


@dataclass(frozen=True, init=False)
class Settings:
    """All settings; relations between them are checked when it is built."""

    redis_url: RedisUrl = HERE
    """Broker, results and record. It must persist: appendonly yes, appendfsync always, noeviction.
    `rediss://…` is TLS. `sentinel://HOST:PORT,HOST:PORT/0?master=NAME` asks Sentinels for the primary, and
    `sentinels://…` does so with TLS. `#`, `/`, `?`, `[`, `]` and `%` in a password are percent-encoded."""
    redis_username: str = ""
    """Who logs in to Redis, as it is, where the URL names nobody."""
    redis_password: Password = NO_PASSWORD
    """The password as it is, where the URL has none: nothing in it is percent-encoded."""
    redis_password_file: str = ""
    """Path of a file with that password, without the line break at its end; read for each connection."""
    redis_ca_file: str = ""
    """Path of the PEM file of the authority that signed Redis' certificate, besides those that the system
    trusts. With TLS the certificate and its name are always verified."""
    redis_cert_file: str = ""
    """Path of a PEM file with this client's own certificate, for a Redis that asks for one."""
    redis_key_file: str = ""
    """Path of the PEM file with the key of `redis_cert_file`."""
    replicas_wait: Tries | None = None
    """Replicas that must have what a write to a host, or an answer to somebody, rests on. Unset, it is 2
    with Sentinels, else 0. With as many as there are, no failover loses it: docs/operations.md#sentinel."""
    replicas_wait_ms: Count = 1000
    """Milliseconds that they have for it. Without them no write goes to a host; the step is repeated."""
    key_prefix: str = "lockstep:"
    """Before every key of the record; Celery's own keys get `{key_prefix}celery:`. Up to 100 characters of
    A-Z a-z 0-9 . _ - : /"""
    hosts: str = ""
    """Quick start: base URLs, separated by commas. A host is named as in its URL, with the port if needed."""
    hosts_ca_file: str = ""
    """Path of a PEM file with the authorities to trust for https `hosts`, in place of the public ones."""
    inventory: str = ""
    """Path of a YAML file with the hosts; see docs/inventory.md."""
    kinds: str = ""
    """Path of a folder with your own kinds, one `NAME.yaml` each; an inventory may name another."""
    seal_key_file: str = ""
    """Path of a file with the keys that seal secrets of things; docs/kinds.md#secrets says more."""
    max_writes_at_once: AtOnce | None = None
    """Writes at once to all hosts together, by all workers; the inventory limits single hosts. Unset: any."""
    writes_per_second: Rate | None = None  # likewise
    connect_timeout: Seconds = 3.0
    """A TCP handshake inside a data centre takes milliseconds; 3 s outlives two lost SYN packets."""
    read_timeout: Seconds = 10.0
    """The longest silence of a host within one call; slower answers count as lost."""
    call_timeout: Seconds = 15.0
    """Connect, headers and body together; bounds a step, for the threads pool has no time limits."""
    send_within: Seconds = 5.0
    """A write not sent so soon after its attempt was opened is not sent; shorter than any settling."""
    settle_seconds: Seconds = 10.0
    """Assumption A1: a host that answers a GET has finished every request older than this. Choose it above
    the time after which the nodes, and proxies before them, give up on a request."""
    patience: Seconds = 30.0
    """After this time without any usable answer a host is given up, and the operation rolled back: allow for
    a node's restart. One that answers, if only 500, is tried until the deadline."""
    retries: Tries | None = None
    """A producer's bound for its operations: tries beyond the first before a host is given up, writes
    or looks in a row. Unset, time alone bounds them; `--retries` sets it for one operation."""
    backoff_base: Seconds = 0.5
    """First retry after 0 to 0.5 s (full jitter), doubling: quick for a glitch."""
    backoff_cap: Seconds = 8.0
    """Longest Celery countdown; longer waits are kept in the record, or messages would come twice."""
    retry_after_cap: Seconds = 60.0
    """Longest wait that a host may ask for with Retry-After."""
    rollback_backoff_cap: Seconds = 60.0
    """A host that is down is asked once a minute, for ever, so that it is restored soon after its return."""
    deadline: Seconds = 300.0
    """After this time an undecided operation is rolled back."""
    lock_wait: Seconds = 60.0
    """How long create and delete wait for another operation on the same group; above a settling."""
    max_body_bytes: Count = 262_144
    """Largest group that is read and kept for restoring it."""

    sweep_every: Seconds = 2.0
    """Cadence of the sweep: the latency of everything that the chord did not carry on."""
    sweep_patience: Seconds = 30.0
    """After this time without progress an operation is resumed; doubles each time, up to 1,024 times."""
    sweep_batch: Count = 200
    """Operations resumed per sweep, so that a sweep stays short."""
    sweep_queue_limit: Count = 1000
    """With a longer queue the messages are late, not lost: nothing is published again."""
    retention_days: Seconds = 30.0
    """How long ended operations are kept, and at most `retention_count` of them. A client that still waits
    needs the record of its operation, and so does an id that is sent again."""
    retention_count: Count = 100_000
    deleted_days: Seconds = 90.0
    """How long a group that was deleted on every host is remembered. A host that comes back with it later is
    not found to differ any more."""

    breaker_failures: Count = 10
    """Forward looks at one host in a row without any answer to one worker process, after which all spare it.
    More than one operation spends: of a host that fails one in three, ten in a row are once in 59,000."""
    breaker_seconds: Seconds = 10.0
    """How long a host is spared; then one look by each worker process finds out whether it answers: often
    enough to find one that is back within `patience`."""

    patrol_every: Seconds = 60.0
    """Cadence of the patrol: how soon a write that landed against all assumptions is seen."""
    patrol_hours: Seconds = 24.0
    """How long a group is patrolled after its last write of unknown fate."""
    repair_minutes: Seconds = 30.0
    """Drift that such a write of so short ago explains is repaired; any other is only reported."""
    patrol_batch: Count = 20
    """Groups per patrol, so that it never floods the hosts with GETs."""

    visibility_timeout: Seconds = 90.0
    """When a killed worker's messages are delivered again. Above the longest task (a call's time in
    which the last of its hosts is begun, then three calls) + the chord's dispatch lease + the longest
    countdown; at the defaults 4 * 15 + 21 + 8 = 89 s."""
    restore_every: Count = 5
    """Seconds between looks for messages whose visibility timeout has passed."""
    result_expires: Seconds = 86_400.0
    """Celery results and chord counts; longer than any operation takes to be decided."""
    redis_timeout: Seconds = 5.0
    """Socket timeout of every Redis connection; a frozen Redis is noticed after this, and clients say so
    after two of these."""
    redis_connect_timeout: Seconds = 3.0
    concurrency: Count = 32
    """Threads per worker: the work is waiting for hosts."""
    hosts_per_task: Count | None = None
    """Hosts that one task carries. Unset, it is one up to 50 hosts, so that Flower shows each, and 16 to 64
    above, for a message costs more than a host's two calls."""
    slice_threads: Count = 384
    """Hosts of such tasks that one worker process works on at the same time."""
    heartbeat_dir: str = ""
    """Where a worker, or beat, keeps the files that `python -m lockstep.worker.monitoring.probe` reads; below
    the directory for temporary files, which is right for one worker per container. Of several workers on one
    machine each needs its own, or the dead one could not be told; beat may share one's."""
    metrics_address: str = "127.0.0.1"
    """The address at which a worker answers Prometheus: only this machine, unless it says otherwise. The
    image sets ::, every address of IPv4 and IPv6, for a container's loopback is nobody else's."""
    metrics_port: Port | None = None
    """Where a worker answers Prometheus at /metrics; unset, nothing is counted. It asks for no password."""
    remote_control: Literal["look", "full"] = "look"
    """`look`: Celery's remote control answers questions, and refuses what would stop a worker, its queues or
    its tasks; `full`: it does whatever the broker's users ask for."""
    broker: Literal["own", "stock"] = "own"
    """`own`: workers take messages together, by a transport of Lockstep's, where kombu is a release that this
    was tested with; `stock`: by kombu's own, as they do with any other release."""
    log_format: Literal["text", "json"] = "text"
    """`text` for a terminal; `json` for what collects the logs of containers."""
    memory_watermark: Share = 0.8
    """From this share of Redis' maxmemory on, new operations are refused so that running ones can end."""

    def __init__(self, **given: object) -> None:
        """Read the environment and mounted secrets; what is given goes before both. Raises InvalidInput."""
        given = {**environment.read(TYPES, str(given.pop("_secrets_dir", SECRETS))), **given}
        for name, value in given.items():
            if name not in TYPES:
                raise InvalidInput(f"{PREFIX}{name.upper()} is no setting; docs/settings.md lists them all")
            try:
                # Defaults are the class' own: an object holds what was given, and nothing else.
                vars(self)[name] = environment.value_of(name, TYPES[name], value)
            except ValueError as error:
                raise InvalidInput(environment.one_line(name, value, str(error))) from None
        try:
            self._check_relations()
        except ValueError as error:
            raise InvalidInput(f"settings contradict each other: {error}") from None

    @property
    def given(self) -> frozenset[str]:
        """The names of the settings that somebody gave."""
        return frozenset(vars(self))

    def but(self, **changed: object) -> Settings:
        """Return the same settings with others of these names, which are not checked."""
        made = object.__new__(Settings)
        vars(made).update(vars(self), **changed)
        return made

    def _check_relations(self) -> None:
        longest = 4 * self.call_timeout + CHORD_DISPATCH_LEASE + self.backoff_cap
        too_short = f"visibility_timeout {self.visibility_timeout:g} must be at least {longest:g}"
        tls_files = self.redis_ca_file or self.redis_cert_file
        key_files = self.redis_cert_file, self.redis_key_file
        rules = {
            "connect_timeout must not exceed call_timeout": self.connect_timeout <= self.call_timeout,
            "read_timeout must not exceed call_timeout": self.read_timeout <= self.call_timeout,
            "settle_seconds must be at least read_timeout": self.settle_seconds >= self.read_timeout,
            "backoff_base must not exceed backoff_cap": self.backoff_base <= self.backoff_cap,
            f"{too_short} = 4 * call_timeout + {CHORD_DISPATCH_LEASE:g} (the chord's dispatch lease) + "
            "backoff_cap": self.visibility_timeout >= longest,
            "give hosts or inventory, not both": not (self.hosts and self.inventory),
            "hosts_ca_file is for hosts; an inventory has ca_file": self.hosts or not self.hosts_ca_file,
            "redis_cert_file and redis_key_file belong together": all(key_files) or not any(key_files),
            "redis_ca_file and redis_cert_file are for TLS: redis_url must begin with rediss:// or "
            "sentinels://": self.address.tls or not tls_files,
            "replicas_wait_ms must be less than redis_timeout": 1000 * self.redis_timeout
            > self.replicas_wait_ms,
        }
        for rule, holds in rules.items():
            if not holds:
                raise ValueError(rule)

    @property
    def address(self) -> Address:
        """Where Redis is, and who logs in."""
        login = self.redis_username, self.redis_password, self.redis_password_file
        return with_login(read_address(self.redis_url.reveal()), *login)

    def at(self, redis_url: str) -> Settings:
        """The same settings with another Redis."""
        return self.but(redis_url=Secret(redis_url, whole=False))

    @property
    def replicas(self) -> int:
        """How many replicas must have what a write to a host rests on."""
        if self.replicas_wait is not None:
            return self.replicas_wait
        return 2 if self.address.master else 0

    @property
    def open_files(self) -> int:
        """How many descriptors one worker process may need: what docs/operations.md#scaling says."""
        return 256 + 5 * self.concurrency + self.slice_threads + 100

    @property
    def limits(self) -> Limits:
        """The limits that the store's transitions work with."""
        return Limits(
            send_within=_ms(self.send_within),
            call=_ms(self.call_timeout),
            settle=_ms(self.settle_seconds),
            sweep_patience=_ms(self.sweep_patience),
            longest_countdown=_ms(self.backoff_cap),
            host_patience=_ms(self.patience),
            memory_watermark=self.memory_watermark,
            replicas=self.replicas,
            replicas_within=self.replicas_wait_ms,
        )

    @property
    def forward_backoff(self) -> Backoff:
        """Delays between the tries of a forward step."""
        return Backoff(self.backoff_base, self.backoff_cap)

    @property
    def rollback_backoff(self) -> Backoff:
        """Delays between the tries of a rollback or a settling."""
        return Backoff(self.backoff_base, self.rollback_backoff_cap)


TYPES = {field.name: str(field.type) for field in fields(Settings)}


def load_settings(**given: object) -> Settings:
    """Read settings from the environment, overridden by `given`; raise InvalidInput in one line."""
    environment.refuse_unknown(TYPES)
    return Settings(**given)


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
