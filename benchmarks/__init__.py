"""Lockstep, its peers and the floor, measured side by side in one run: `make bench`.

How a figure comes about:

    plan       which candidate does which cases, in sessions
    session    starts Redis, workers and a producer, runs a case, and holds its outcome against the nodes
    driver     the process of a candidate's producer; it knows one peer
    peers/     the candidates, each a small file
    nodes      the mock cluster's process        cluster     the same, seen from here
    server     a Redis of a session              distance    what makes it be some milliseconds away
    processes  CPU and memory, read from /proc   extras/     what is no race: throughput, retention, ...
    figures    medians and ratios                targets     what is to be reached, met or missed
    report     results.md                        plot        results.svg
    capacity   the model that follows from it

Nothing here is part of Lockstep. It uses `lockstep` as anybody would, and its `producer.stack`
for processes.
"""
