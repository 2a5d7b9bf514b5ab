"""A cluster of unstable nodes: real HTTP on real ports, faults scripted and seeded."""
