"""An explicit-state model of the protocol: every interleaving of a few workers, hosts and faults, all of them
visited.

Read it in this order: `state` (what is remembered), `lockstep` (who changes it: one small function for each
store script or HTTP call), `rules` (bounds, assumptions and mechanisms that can be switched off), `search`
(the checker), `naive` (what a plain chord does instead), `configurations` (what is run). `python -m
tests.model` runs everything.
"""
