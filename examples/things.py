"""Bring many things to what is wanted, and mend what somebody changed since: `python things.py`."""

import sys

from lockstep import ClusterClient

WANTED = {"present": [{"notice/opening": {"text": "We open at eight."}}, "pin/opening"]}

with ClusterClient(created_by="things.py") as cluster:
    for done in cluster.apply(WANTED):
        print(f"{done.wish.group}: {done.state}")
        if done.state != "committed":
            sys.exit(f"because {done.reason}")
    for found in cluster.drift(["notice/opening"]):
        for drift in found.drifts:
            print(drift.host, *found.lines[drift.host], sep="\n  ")
    for operation in cluster.repair("notice/opening"):
        print(f"repaired: {operation.wait(timeout=60).state}")
