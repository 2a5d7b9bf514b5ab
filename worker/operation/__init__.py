"""The pure core: what an operation is, and what to do next. Standard library only, no clock, no I/O."""
