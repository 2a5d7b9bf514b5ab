"""What modules under test get for `threading`, `queue` and `time`."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from queue import Empty
from types import SimpleNamespace
from typing import Any

from tests.unit.schedules.schedule import Controlled, Schedule


class Primitives:
    """`threading`, `queue` and `time` for one schedule."""

    def __init__(self, schedule: Schedule) -> None:
        def bound(kind: type) -> Any:
            return type(kind.__name__, (kind,), {"schedule": schedule})

        lock, rlock, condition = bound(Lock), bound(RLock), bound(Condition)
        condition.make_lock = rlock
        event = bound(Event)
        event.make_condition = lambda: condition(lock())
        queue, thread, timer = bound(Queue), bound(Thread), bound(Timer)
        self.threading = SimpleNamespace(
            Lock=lock,
            RLock=rlock,
            Condition=condition,
            Event=event,
            Semaphore=bound(Semaphore),
            Thread=thread,
            Timer=timer,
            local=threading.local,
            get_ident=threading.get_ident,
            current_thread=threading.current_thread,
            main_thread=threading.main_thread,
        )
        self.queue = SimpleNamespace(SimpleQueue=queue, Queue=queue, Empty=Empty)
        self.time = SimpleNamespace(
            monotonic=lambda: schedule.now,
            time=lambda: schedule.now,
            sleep=lambda seconds: schedule.block(lambda: False, seconds),
        )


class _Known:
    schedule: Schedule


class Lock(_Known):
    def __init__(self) -> None:
        self._held = False

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        self.schedule.point()
        if self._held and (
            not blocking or not self.schedule.block(lambda: not self._held, None if timeout < 0 else timeout)
        ):
            return False
        self._held = True
        return True

    def release(self) -> None:
        if not self._held:
            raise RuntimeError("release unlocked lock")
        self._held = False

    def locked(self) -> bool:
        return self._held

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


class RLock(_Known):
    def __init__(self) -> None:
        self._owner: int | None = None
        self._depth = 0

    @property
    def held(self) -> bool:
        return self._owner is not None

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        me = threading.get_ident()
        self.schedule.point()
        if self._owner not in (None, me) and (
            not blocking
            or not self.schedule.block(lambda: self._owner is None, None if timeout < 0 else timeout)
        ):
            return False
        self._owner = me
        self._depth += 1
        return True

    def release(self) -> None:
        if self._owner != threading.get_ident():
            raise RuntimeError("cannot release un-acquired lock")
        self._depth -= 1
        if not self._depth:
            self._owner = None

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


class Condition(_Known):
    make_lock: Callable[[], Any]

    def __init__(self, lock: Any = None) -> None:
        self._lock = lock or type(self).make_lock()
        self.acquire, self.release = self._lock.acquire, self._lock.release
        self._waiters: deque[list[bool]] = deque()

    def wait(self, timeout: float | None = None) -> bool:
        told = [False]
        self._waiters.append(told)
        self._lock.release()
        try:
            self.schedule.block(lambda: told[0], timeout)
        finally:
            if not told[0] and told in self._waiters:
                self._waiters.remove(told)
            self._lock.acquire()
        return told[0]

    def wait_for(self, predicate: Callable[[], bool], timeout: float | None = None) -> bool:
        while not predicate():
            if not self.wait(timeout):
                return predicate()
        return True

    def notify(self, n: int = 1) -> None:
        for _ in range(min(n, len(self._waiters))):
            self._waiters.popleft()[0] = True

    def notify_all(self) -> None:
        self.notify(len(self._waiters))

    def __enter__(self) -> bool:
        held = self._lock.acquire()
        self.schedule.point(python=True)  # an interrupt here leaves it held: `with` has not begun
        return bool(held)

    def __exit__(self, *_: object) -> None:
        self._lock.release()


class Event(_Known):
    """As the library's: a flag under a condition."""

    make_condition: Callable[[], Any]

    def __init__(self) -> None:
        self._condition = type(self).make_condition()
        self._set = False

    def is_set(self) -> bool:
        return self._set

    def set(self) -> None:
        with self._condition:
            self._set = True
            self._condition.notify_all()

    def clear(self) -> None:
        with self._condition:
            self._set = False

    def wait(self, timeout: float | None = None) -> bool:
        with self._condition:
            if not self._set:
                self._condition.wait(timeout)
            return self._set


class Semaphore(_Known):
    def __init__(self, value: int = 1) -> None:
        self._value = value

    def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
        self.schedule.point()
        if not self._value and (not blocking or not self.schedule.block(lambda: self._value > 0, timeout)):
            return False
        self._value -= 1
        return True

    def release(self, n: int = 1) -> None:
        self._value += n


class Queue(_Known):
    """In place of queue.SimpleQueue, which is C code: it is whole or not at all."""

    def __init__(self) -> None:
        self._items: deque[Any] = deque()

    def __class_getitem__(cls, item: object) -> Any:
        return cls

    def put(self, item: object) -> None:
        self._items.append(item)

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        self.schedule.point()
        if not self._items and (not block or not self.schedule.block(lambda: bool(self._items), timeout)):
            raise Empty
        return self._items.popleft()

    def get_nowait(self) -> Any:
        return self.get(block=False)

    def qsize(self) -> int:
        return len(self._items)

    def empty(self) -> bool:
        return not self._items


class Thread(_Known):
    def __init__(
        self,
        group: None = None,
        target: Callable[..., object] | None = None,
        name: str = "thread",
        args: Sequence[Any] = (),
        kwargs: Any = None,
        *,
        daemon: bool | None = None,
    ) -> None:
        self._work, self.name, self._args = target, name, args
        self._started: Controlled | None = None

    def start(self) -> None:
        work = self._work
        assert work is not None
        self._started = self.schedule.spawn(self.name, lambda: work(*self._args))
        self.schedule.point()

    @property
    def ident(self) -> int | None:
        return None if self._started is None else self._started.number

    def is_alive(self) -> bool:
        return self._started is not None and not self._started.ended

    def join(self, timeout: float | None = None) -> None:
        self.schedule.block(lambda: not self.is_alive(), timeout)


class Timer(Thread):
    daemon = True

    def __init__(self, interval: float, function: Callable[..., object], args: Sequence[Any] = ()) -> None:
        self._cancelled = False

        def ring() -> None:
            self.schedule.block(lambda: self._cancelled, interval)
            if not self._cancelled:
                function(*args)

        super().__init__(target=ring, name="timer")

    def cancel(self) -> None:
        self._cancelled = True
