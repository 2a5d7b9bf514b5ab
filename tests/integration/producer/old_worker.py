"""A worker that says that it is of an old version."""

from __future__ import annotations

import importlib.metadata

from lockstep.worker.celery import Lockstep, make_app
from lockstep.worker.settings import load_settings

_version = importlib.metadata.version


def _old(distribution_name: str) -> str:
    return "0.0.1" if distribution_name == "lockstep" else _version(distribution_name)


importlib.metadata.version = _old

app: Lockstep = make_app(load_settings())
