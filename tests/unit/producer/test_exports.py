"""What `producer` exports can be imported, and is loaded no sooner."""

from __future__ import annotations

import subprocess
import sys

import pytest

import producer


@pytest.mark.parametrize("name", producer.__all__)
def test_every_export_exists_under_its_own_name(name: str) -> None:
    value = getattr(producer, name)
    assert getattr(value, "__name__", name) == ("Operation" if name == "Status" else name)
    assert name in dir(producer)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nope'"):
        _ = producer.nope


def test_importing_the_package_loads_nothing_else() -> None:
    loaded = "[name for name in sys.modules if name.startswith(('producer.', 'worker'))]"
    code = f"import sys, producer; print({loaded})"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"
