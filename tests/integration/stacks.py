"""The embedded stack, with what tests do to it: wait for a part, restart one, leave supervision out."""

from __future__ import annotations

from typing import Any

from lockstep.producer import stack
from lockstep.producer.stack import Role, StackError
from lockstep.producer.stack.child import START_TIMEOUT
from tests.waits import eventually


class Stack(stack.Stack):
    def __init__(self, *, restart: bool = True, **options: Any) -> None:
        """With `restart` it starts again what ended by itself."""
        super().__init__(**options)
        self._restart = restart

    def start(self) -> None:
        super().start()
        if not self._restart:
            assert self._supervisor is not None
            self._supervisor.stop()

    def restart(self, role: Role | str) -> None:
        """Stop a part if it runs, start it, and wait until it is ready."""
        with self._lock:
            child = self.process(role)
            child.stop()
            child.start()

    def wait_running(self, role: Role | str, timeout: float = START_TIMEOUT) -> None:
        """Wait until a part is ready, through restarts. Raises StackError after `timeout` seconds."""
        child = self.process(role)
        try:
            eventually(lambda: child.running and child.ready(), f"{role} is ready", timeout)
        except AssertionError:
            raise StackError(f"{child.name} {child.fate} and is not ready within {timeout:g} s") from None
