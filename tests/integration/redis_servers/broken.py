"""What dead workers, late writes and strangers leave in Redis, for workers to deal with."""

from __future__ import annotations

import redis
from kombu.utils.json import dumps

from lockstep.worker.celery import ROLLBACK
from lockstep.worker.celery.messages import publish
from lockstep.worker.operation.model import Action, GroupId, HostName, OperationId
from lockstep.worker.operation.transitions import Claim, Phase
from lockstep.worker.record.keys import Keys
from tests.integration.worker.harness import Bench
from tests.waits import eventually

KEYS, QUEUES = Keys("lockstep:"), "lockstep:celery:"


def break_the_record(bench: Bench, raw: redis.Redis) -> None:
    """Leave what dead workers, late writes and strangers would have left, and see it dealt with."""
    now, store = bench.store.now(), bench.store
    lost = OperationId("0123456789ab")
    settling = Claim(Phase.SETTLE, GroupId("team-1"), Action.CREATE, (HostName("node1"),))
    publish(bench.app, lost, settling)
    message = {"body": "e30=", "headers": {}, "properties": {"delivery_info": {"routing_key": ROLLBACK}}}
    raw.hset(f"{QUEUES}unacked", mapping={"dead": dumps([message, "", ROLLBACK]), "bad": "x"})
    raw.zadd(f"{QUEUES}unacked_index", {"dead": 1, "bad": 1})
    raw.lpush(f"{QUEUES}operations", "garbage", '{"body": 1}')
    raw.hset(KEYS.clocks, "gone@host", '{"ahead": 0, "at": 1}')
    damaged = bench.accept(Action.CREATE, GroupId("team-damaged"))
    raw.hset(KEYS.operation(damaged), mapping={"total": "many", "deadline_at": "soon"})
    raw.zadd(KEYS.due, {damaged: 1})
    # A group is there that nobody asked for, and another by a write that landed late; both were deleted on
    # every host: one that was refused somewhere may not have been begun with on this one.
    for group, late in (("team-0", False), ("team-gone", True)):
        bench.admin.plant("node1", group)
        raw.hset(KEYS.suspects(GroupId(group)), f"{'node1' if late else 'node2'} present", now)
        raw.zadd(KEYS.patrol, {group: 1})
    # Groups that were deleted long ago, and a suspicion that nothing has come of for a day.
    day = 86_400_000
    for group, at in (("team-old", now - 100 * day), ("team-older", now - 2 * day)):
        raw.hset(KEYS.ends(GroupId(group)), "node1", f"absent 0123456789ab {at} f")
    raw.hset(KEYS.suspects(GroupId("team-2")), "node1 present", now - 2 * day)
    raw.zadd(KEYS.patrol, {"team-2": 1})
    eventually(lambda: not raw.exists(KEYS.suspects(GroupId("team-2"))), "it is suspected no more")
    eventually(
        lambda: not raw.exists(KEYS.ends(GroupId("team-old"))), "what was deleted long ago is forgotten"
    )
    eventually(lambda: raw.hexists(KEYS.lost, lost), "the lost record is noted")
    eventually(lambda: not raw.zcard(f"{QUEUES}unacked_index"), "all was given back")
    eventually(lambda: raw.zscore(KEYS.due, damaged) != 1, "what cannot be read is put last")
    eventually(
        lambda: {each.group for each in store.drifts()} == {"team-0"}, "drift is reported, or repaired"
    )

    def repaired() -> bool:
        # A patrol that had begun before the write was there looks again much later.
        raw.zadd(KEYS.patrol, {"team-gone": 1})
        return "team-gone" not in bench.admin.groups("node1")

    def told() -> str:
        owner, outputs = store.lock_owner(GroupId("team-gone")), (bench.directory.glob("*.log"))
        logs = "\n".join(each.read_text()[-3000:] for each in outputs)
        return f"it is repaired: {store.drifts()}, {owner and bench.read(owner)}\n{logs}"

    eventually(repaired, told, latest=5)
