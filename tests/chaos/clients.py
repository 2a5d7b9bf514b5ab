"""Eight clients that enqueue, cancel and repeat; two of them through processes that may be killed."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import asdict

from lockstep.producer.client.client import ClusterClient
from lockstep.worker.operation.errors import (
    CancelRefused,
    GroupBusy,
    HoldRefused,
    StoreUnavailable,
    UnknownOperation,
    WaitTimeout,
)
from lockstep.worker.operation.model import State
from tests.chaos.children import Producers
from tests.chaos.orders import AFTER_ACCEPT, ASLEEP, UNEXPECTED, WHILE_PUBLISHING, Order, Told, ask, draw
from tests.chaos.tiers import Plan

THREADS = 6
PROCESSES = 2
CANCELS = 0.05
REPEATS = 0.05
HOLDS = 0.04
WAITED_FOR = 0.3
"""The share of operations whose client waits for what they come to."""
RECENT = 12
PAUSE = 0.2
SURVIVES = 0.3
"""The share of processes that carry their order out and live."""
DYING = {AFTER_ACCEPT: 4, WHILE_PUBLISHING: 4, ASLEEP: 1}
"""How often the others die in each way, relatively."""


class Clients:
    """Runs the clients until they are stopped. What breaks one of them is kept in `errors`."""

    def __init__(
        self,
        cluster: ClusterClient,
        producers: Producers,
        told: Told,
        plan: Plan,
        may_go_on: Callable[[], bool],
    ) -> None:
        """`may_go_on` tells whether another operation is to be started now."""
        self.told = told
        self.errors: list[BaseException] = []
        self._cluster, self._producers, self._deadline = cluster, producers, plan.times.deadline
        self._plain = plan.before
        self._hosts = [host.name for host in cluster.inventory]
        self._asleep, self._may_go_on = plan.times.asleep, may_go_on
        self._done = threading.Event()
        self._threads = [
            threading.Thread(
                target=self._guarded, args=(random.Random(f"{plan.seed}/{n}"), n), name=f"client{n}"
            )
            for n in range(THREADS + PROCESSES)
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Start nothing more; return when every client has ended."""
        self._done.set()
        for thread in self._threads:
            thread.join()

    def _guarded(self, dice: random.Random, number: int) -> None:
        try:
            while not self._done.is_set():
                if self._may_go_on():
                    self._one(dice, number)
                else:
                    self._done.wait(PAUSE)
        except BaseException as error:  # noqa: BLE001 - judged by whoever runs the clients
            self.errors.append(error)

    def _one(self, dice: random.Random, number: int) -> None:
        share = dice.random()
        if number >= THREADS:
            self._through_a_process(dice, self._draw(dice))
        elif share < CANCELS:
            self._cancel(dice)
        elif share < CANCELS + REPEATS:
            self._repeat(dice)
        elif share < CANCELS + REPEATS + HOLDS:
            self._hold(dice)
        else:
            self._enqueue(dice, self._draw(dice))

    def _draw(self, dice: random.Random) -> Order:
        order = draw(dice, self._hosts, plain=self._plain)
        if order.verb:
            self.told.asked[order.operation] = order
        return order

    def _enqueue(self, dice: random.Random, order: Order) -> None:
        if self._call(order) is None or dice.random() > WAITED_FOR:
            return
        try:
            result = self._cluster.operation(order.operation).wait(timeout=2 * self._deadline)
        except (WaitTimeout, StoreUnavailable):
            self.told.count("not told in time")
            return
        if result.state is State.COMMITTED:
            self.told.committed.add(order.operation)
        else:
            self.told.rolled_back.add(order.operation)

    def _call(self, order: Order) -> bool | None:
        """Enqueue until the answer is known; return whether it existed, None if it was not accepted."""
        while True:
            try:
                operation = ask(self._cluster, order, self._deadline)
            except GroupBusy:
                self.told.count("busy")
                return None
            except Exception as error:  # noqa: BLE001 - whatever the client may not raise is a finding
                self.told.count("asked again")
                if not isinstance(error, StoreUnavailable):
                    self.told.wrong.append(f"a client was shown {type(error).__name__}: {error}")
                if self._done.wait(PAUSE):
                    return None
                continue
            self.told.accept(order)
            return operation.existing

    def _cancel(self, dice: random.Random) -> None:
        recent = self.told.newest(RECENT)
        if not recent:
            return
        try:
            self._cluster.operation(dice.choice(recent[-3:]).operation).cancel()
            self.told.count("cancelled")
        except CancelRefused:
            self.told.count("cancel refused")
        except StoreUnavailable:
            self.told.count("cancel unanswered")

    def _hold(self, dice: random.Random) -> None:
        """Hold one of the newest operations, if it can be held; the watcher promotes it."""
        recent = [order for order in self.told.newest(RECENT) if order.pace]
        if not recent:
            return
        try:
            self._cluster.operation(dice.choice(recent).operation).hold("chaos")
            self.told.count("held")
        except HoldRefused:
            self.told.count("hold refused")
        except StoreUnavailable:
            self.told.count("hold unanswered")

    def _repeat(self, dice: random.Random) -> None:
        recent = self.told.newest(RECENT)
        if not recent:
            return
        order = dice.choice(recent)
        existed = self._call(order)
        self.told.count("repeated")
        if existed is False:
            self.told.wrong.append(f"operation {order.operation} was accepted a second time")

    def _through_a_process(self, dice: random.Random, order: Order) -> None:
        dies = "" if dice.random() < SURVIVES else self._rarest()
        asked = {
            "order": asdict(order),
            "deadline": self._deadline,
            "dies": dies,
            "asleep": self._asleep,
        }
        try:
            said = self._producers.order(asked)
        except OSError as error:
            raise RuntimeError(f"the producers' process does not answer: {error}") from error
        if dies == ASLEEP:
            self.told.count(dies)
        if said.get("accepted"):
            self.told.accept(order)
            return
        if said:
            self._was_refused(order, str(said["error"]))
            return
        self.told.count(dies)
        try:
            self._cluster.operation(order.operation)
            self.told.accept(order)
        except (UnknownOperation, StoreUnavailable):
            self.told.count("died before it was accepted")

    def _rarest(self) -> str:
        """Return the way to die that is most behind; an order that is refused kills none."""
        return min(DYING, key=lambda way: self.told.counts.get(way, 0) / DYING[way])

    def _was_refused(self, order: Order, error: str) -> None:
        if error.startswith(UNEXPECTED):
            self.told.wrong.append(f"the client of {order.operation} was shown {error}")
        else:
            self.told.count(error)
