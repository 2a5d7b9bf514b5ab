"""Flower's configuration: who may look, at what and no more, how much it remembers, and what a row says.

Flower runs this file and takes the names that are its options. What FLOWER_ variables set stays so.
"""

from __future__ import annotations

import os
from logging import getLogger

from tornado.options import options as chosen

from lockstep.worker.monitoring.flower import refusal, shown
from lockstep.worker.secrets import mask_logs

refused = refusal(chosen.address, chosen.unix_socket, [*(chosen.basic_auth or []), chosen.auth], os.environ)
if refused:
    raise SystemExit(refused)

format_task = shown
for noted in (getLogger(), getLogger("tornado"), getLogger("flower")):
    mask_logs(noted)

if "FLOWER_READ_ONLY" not in os.environ:
    # Its buttons and its API would stop workers and start tasks: Flower shows, `lockstep` acts.
    read_only = True

if "FLOWER_ENABLE_EVENTS" not in os.environ:
    # It would tell every worker, every five seconds, to send what workers here always send.
    enable_events = False
if "FLOWER_TASKS_COLUMNS" not in os.environ:
    tasks_columns = "name,args,state,result,received,runtime,worker,uuid"
if "FLOWER_MAX_TASKS" not in os.environ:
    # Its memory grows with the tasks that it remembers: some 2 kB each.
    max_tasks = 10_000
if "FLOWER_INSPECT_TIMEOUT" not in os.environ:
    # Milliseconds. Busy workers take longer than the one second that is its default.
    inspect_timeout = 5_000.0
if os.environ.get("FLOWER_DB"):
    # A path on a volume: what Flower knows outlives a restart. Saved as it goes: not every end is gentle.
    persistent = True
    if "FLOWER_STATE_SAVE_INTERVAL" not in os.environ:
        state_save_interval = 60_000
