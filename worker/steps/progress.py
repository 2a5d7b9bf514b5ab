"""Conclude and resume: decide when it is time, and say which hosts are to be worked on next."""

from __future__ import annotations

from dataclasses import dataclass

from lockstep.worker.operation.decision import Move, next_move, why_roll_back
from lockstep.worker.operation.model import Decision, HostName, OperationId
from lockstep.worker.store.base import Store, Taker


@dataclass(frozen=True, slots=True)
class Work:
    """What an operation needs next, on which hosts."""

    move: Move
    hosts: tuple[HostName, ...] = ()


def conclude(store: Store, operation: OperationId) -> Work:
    """Decide if it is time; return the rollback to be published, once per operation."""
    tally = store.tally(operation)
    if tally is None:
        return Work(Move.NOTHING)
    move = next_move(tally)
    if move is Move.COMMIT:
        store.decide(operation, Decision.COMMIT, "")
        return Work(move)
    if move is Move.ROLL_BACK:
        store.decide(operation, Decision.ROLL_BACK, why_roll_back(tally))
    if move in (Move.ROLL_BACK, Move.UNDO):
        return Work(Move.UNDO, store.take(operation, Taker.CALLBACK))
    return Work(move)


def resume(store: Store, operation: OperationId) -> Work:
    """Claim what is due of an operation that the sweep found; never decides, never talks to a host."""
    tally = store.tally(operation)
    hosts = store.take(operation, Taker.SWEEP)
    if tally is None:
        return Work(Move.NOTHING)
    move = next_move(tally)
    return Work(move, hosts if move in (Move.FORWARD, Move.UNDO, Move.SETTLE) else ())
