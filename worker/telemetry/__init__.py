"""What people and machines watch Lockstep by.

probe       `python -m worker.telemetry.probe live|ready`, over the files that signs.py names
heartbeat   keeps those files, in every worker
"""
