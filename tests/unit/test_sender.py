"""The thread that sends what others ask of the store answers each of them, and ends."""

from __future__ import annotations

import threading
from queue import SimpleQueue

from lockstep.worker.operation.model import OperationId
from lockstep.worker.record.scripts import CallKind, _Call, _send_all, _serve

SOON = 10.0
BEGIN: CallKind = ("begin", OperationId("op-1"))
FINISH: CallKind = ("finish", OperationId("op-1"))


def test_an_error_of_one_kind_leaves_nobody_else_waiting() -> None:
    calls = [_Call(FINISH, ("host-1",)), _Call(BEGIN, ("host-1",))]
    refused = ValueError("refused")
    _serve(calls, lambda _: {FINISH: refused, BEGIN: ["fine"]})
    assert [call.reply.said for call in calls] == [[(None, refused)], [("fine", None)]]


def test_two_senders_of_one_queue_both_end() -> None:
    queue: SimpleQueue[_Call | None] = SimpleQueue()
    senders = [threading.Thread(target=_send_all, args=(queue, dict), daemon=True) for _ in range(2)]
    for sender in senders:
        sender.start()
    queue.put(None)
    for sender in senders:
        sender.join(SOON)
        assert not sender.is_alive()
