"""What `lockstep` exports can be imported, and is loaded no sooner."""

from __future__ import annotations

import subprocess
import sys
from inspect import isclass
from types import FunctionType, MethodType

import pytest

import lockstep


@pytest.mark.parametrize("name", lockstep.__all__)
def test_every_export_exists_under_its_own_name(name: str) -> None:
    value = getattr(lockstep, name)
    assert getattr(value, "__name__", name) == name
    assert name in dir(lockstep)


@pytest.mark.parametrize("name", lockstep.__all__)
def test_every_method_and_property_of_an_export_says_what_it_does(name: str) -> None:
    """What says nothing is not on the page of the Python API."""
    value = getattr(lockstep, name)
    own = [each for each in vars(value) if not each.startswith("_")] if isclass(value) else []
    given = {each: getattr(value, each) for each in own}
    silent = [each for each, it in given.items() if isinstance(it, MethodType | FunctionType | property)]
    silent = [each for each in silent if not given[each].__doc__]
    assert silent == []


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nope'"):
        _ = lockstep.nope


def test_importing_the_package_loads_nothing_else() -> None:
    loaded = "[name for name in sys.modules if name.startswith('lockstep.')]"
    code = f"import sys, lockstep; print({loaded})"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"


def test_a_worker_starts_without_what_only_things_or_people_need() -> None:
    # The grammar of kinds and requests took a third of its start.
    unwanted = "{'pydantic', 'jmespath', 'requests', 'urllib3', 'flask', 'uvicorn'}"
    code = f"import sys, lockstep.worker.tasks; print(*sorted({unwanted} & set(sys.modules)), 'loaded')"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "loaded\n"
