"""Workers: bring every accepted operation to its end, all hosts or none.

The flow of an operation, with the record in the middle (see docs/protocol.md):

    producer        accept ──> record (Redis, one Lua script per transition)
       │                          ▲      ▲      ▲
       └─ chord ──┐               │      │      │
                  ▼               │      │      │
    operations    create_group / delete_group   │     one task per host: GET, begin, write, finish
                  └─ all ended, or one failed ──┤
    rollback      conclude ── checks, once ─────┤     it is committed, or
                  rollback_create / _delete ────┤     one task per touched host: undo, settle, verify
                  settle ───────────────────────┤     until nothing of it can land any more
                  sweep (beat, every 2 s) ──────┘     resumes whatever stands still

The map:

    operation/   pure: model, states, classification of answers, backoff
    store/       the record on Redis
    inventory/   which hosts there are          host, transport   one host's API over HTTP
    calling/     what stands between a step and a host
    steps/       the protocol, over a store, hosts and a clock that are passed in
    workflow     an operation -> its messages   tasks/            thin Celery shells around the steps
    celery       the application and its settings
    address, primary, pools, reaching   where Redis is, connections to its primary, and their options
    forks        what threads share starts anew in a forked child
    telemetry/   the heartbeat that probes read, metrics, logs, and what Flower shows
"""

if __name__ != "lockstep.worker":
    # One file under two names would be two modules: two locks, two kinds of every error.
    raise ImportError(
        "import lockstep.worker: the folder worker/ is a part of the package lockstep", name=__name__
    )
