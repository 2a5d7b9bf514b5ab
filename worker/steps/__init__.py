"""The steps of the protocol, in plain Python over a store, hosts and a clock that are passed in.

Nothing here raises for what a host does: every function returns a small value, and the record holds the rest.
"""
