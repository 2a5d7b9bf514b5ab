"""Settle: wait until no write of a decided operation can still land on one host."""

from __future__ import annotations

from lockstep.worker.operation.model import HostName, OperationId
from lockstep.worker.steps.looking import await_settling, come_back, look, same_host
from lockstep.worker.steps.parts import NO_RECORD, Next, Parts, Result


def settle(parts: Parts, operation: OperationId, host: HostName, tries: int) -> Result:
    """Look at a host once; its open attempts are closed by two looks, far enough apart."""
    view = parts.store.view(operation, host)
    if view.action is None:
        return Result(Next.ABORTED, NO_RECORD)
    step = view.step
    if step is None or view.ended or view.decision is None or not step.open_attempts:
        return Result(Next.DONE, "settled")
    api = same_host(parts, host, step)
    if isinstance(api, str):
        return come_back(parts, operation, step, api)
    looked = look(parts, operation, api, view, step)
    if isinstance(looked, str):
        return come_back(parts, operation, step, looked)
    _, settled = looked
    if not settled.open:
        return Result(Next.DONE, "settled")
    return await_settling(parts, operation, view, host, settled, tries)
