"""Running one configuration, judging what was found, and printing it."""

from __future__ import annotations

import sys

from tests.model.configurations import Configuration
from tests.model.search import Result, search


def run(configuration: Configuration) -> tuple[Configuration, Result]:
    """Search one configuration: all of it, or until the promise it must break."""
    until = configuration.breaks
    return configuration, search(configuration.model, until=None if until == "STUCK" else until)


def as_it_should(configuration: Configuration, result: Result) -> bool:
    """Whether the promises held, or the expected one broke."""
    if configuration.breaks is None:
        return result.complete and not result.wrong
    return any(name.startswith(configuration.breaks) for name in result.wrong)


def report(configuration: Configuration, result: Result) -> bool:
    """Print what was found; whether it is as it should be."""
    good = as_it_should(configuration, result)
    verdict = "ok" if good else "FAILED"
    print(f"{verdict:6} {result.states:>10,} states {result.seconds:7.1f} s  {configuration.name}")
    if configuration.breaks is None and not result.complete:
        print("       the search was cut off: more states than its limit")
    for name, steps in result.wrong.items():
        if configuration.breaks is None or name.startswith(configuration.breaks):
            print(f"       {name}, after {len(steps)} steps:")
            print("".join(f"           {step}\n" for step in steps), end="")
            break
    sys.stdout.flush()
    return good
