"""What people and machines watch Lockstep by.

probe       `python -m lockstep.worker.telemetry.probe live|ready`, over the files that signs.py names
heartbeat   keeps those files, in every worker
stalls      a process that stands still notices it, and ends
flower      Flower, with flowerconfig.py: who may look (watchers.py), and what a row says (rows.py)
metrics     what a worker counts, for Prometheus, at a door (door.py) that few can stand in
calls       a host's API that counts and logs its calls
tracing     spans for OpenTelemetry, where its variables ask for them
logs        one JSON object per line, with the ids of the task that wrote it
"""
