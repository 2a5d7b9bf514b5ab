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

The map, from what knows least to what knows most:

    process/         what a forked child makes anew, steps that share a thread, what must not be shown
    operation/       pure: an operation, its hosts and its record, answers and what they mean, errors
    settings/        every LOCKSTEP_ variable, where Redis is, and the YAML that people write
    connection/      clients of Redis, on connections that follow its primary
    kinds/           how a thing is looked at, made, changed and removed: kind files
    record/          the record on Redis: its scripts, its reads, what its errors mean
    inventory/       which hosts there are
    hosts/           one host's API over HTTP, and what stands between a step and it
    monitoring/      probes, metrics, logs, traces, and what Flower shows
    celery/          the application, the messages of an operation, Redis transport with fewer round trips
    steps/           the protocol, over a record, hosts and a clock that are passed in
    tasks/           thin Celery shells around the steps, and the sweep
"""

if __name__ != "lockstep.worker":
    # One file under two names would be two modules: two locks, two kinds of every error.
    raise ImportError(
        "import lockstep.worker: the folder worker/ is a part of the package lockstep", name=__name__
    )
