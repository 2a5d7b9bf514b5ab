"""Flower's configuration: who may look, at what and no more, how much it remembers, and what a row says.

Flower runs this file and takes the names that are its options. What FLOWER_ variables set stays so.
"""

from __future__ import annotations

import os
from logging import getLogger

from tornado.options import options as chosen

from lockstep.worker.monitoring.flower import refusal, shown
from lockstep.worker.process.secrets import mask_logs

refused = refusal(chosen.address, chosen.unix_socket, [*(chosen.basic_auth or []), chosen.auth], os.environ)
if refused:
    raise SystemExit(refused)

format_task = shown
for noted in (getLogger(), getLogger("tornado"), getLogger("flower")):
    mask_logs(noted)

OURS = {
    # Its buttons and its API would stop workers and start tasks: Flower shows, `lockstep` acts.
    "read_only": True,
    # It would tell every worker, every five seconds, to send what workers here always send.
    "enable_events": False,
    "tasks_columns": "name,args,state,result,received,runtime,worker,uuid",
    # Its memory grows with the tasks that it remembers: some 2 kB each.
    "max_tasks": 10_000,
    # Milliseconds. Busy workers take longer than the one second that is its default.
    "inspect_timeout": 5_000.0,
}
if os.environ.get("FLOWER_DB"):
    # A path on a volume: what Flower knows outlives a restart. Saved as it goes: not every end is gentle.
    OURS |= {"persistent": True, "state_save_interval": 60_000}
globals().update({name: each for name, each in OURS.items() if f"FLOWER_{name.upper()}" not in os.environ})
