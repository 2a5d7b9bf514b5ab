"""Mutants: the product broken on purpose, one way at a time, in a copy of the tree; every one must be caught.

    catalogue   the ways, each with what it would do to somebody
    tree        a copy of the tree, and the change made in it
    layers      simulation, contract tests, unit tests, chaos: who catches what
    mutation    the same with every small change by rule, and those of `small`

A change to a transition of the store is made twice, once in its script and once in its twin in memory.
"""
