"""Chaos: real Redis, workers, beat, nodes and clients as processes, broken on purpose while they work.

tiers      how many operations, on which pool, with which times, under which seed
rig        the processes: redis, proxy, node, workers, beat; supervised as every stack does it
clients    eight clients that create, delete, cancel and repeat; `producers` are those that are killed
weather    what goes wrong with single calls all the time, and in silences
nemeses    what is done to processes and connections; `lanes` says when
watcher    what the record says of pending hosts, while it says so
evidence   what is judged afterwards: the nodes' own histories, Redis' own journal, the record
checker    the rules; the only place that knows what is right
run        one run from start to verdict; `python -m tests.chaos` runs a tier
"""
