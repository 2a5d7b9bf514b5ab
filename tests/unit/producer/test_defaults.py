"""Which cluster a client means when it is not told."""

from __future__ import annotations

import os

import pytest

from lockstep.producer import discovery
from lockstep.producer.discovery import RunningStack
from lockstep.worker.process.secrets import Secret

FOUND = RunningStack(
    pid=1,
    admin_url="",
    settings={
        "redis_url": "redis://127.0.0.1:7000/0",
        "inventory": "/run/inventory.yaml",
        "settle_seconds": "10",
        "deadline": "9",
    },
)


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("LOCKSTEP_")]:
        monkeypatch.delenv(name)


def test_the_running_stack_is_used_with_its_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "discover", lambda: FOUND)
    monkeypatch.setenv("LOCKSTEP_LOCK_WAIT", "7")
    settings = discovery.default_settings()
    assert (settings.redis_url.reveal(), settings.inventory) == (
        "redis://127.0.0.1:7000/0",
        "/run/inventory.yaml",
    )
    assert (settings.deadline, settings.lock_wait) == (9, 7)


@pytest.mark.parametrize("name", ["REDIS_URL", "HOSTS", "INVENTORY"])
def test_whoever_names_a_cluster_gets_that_one(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(discovery, "discover", lambda: FOUND)
    monkeypatch.setenv(f"LOCKSTEP_{name}", "redis://elsewhere:6379/0")
    settings = discovery.default_settings()
    found = getattr(settings, name.lower())
    assert (found.reveal() if isinstance(found, Secret) else found) == "redis://elsewhere:6379/0"
    assert settings.redis_url.reveal() != FOUND.settings["redis_url"]


def test_without_a_stack_the_defaults_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "discover", lambda: None)
    assert discovery.default_settings().redis_url.reveal() == "redis://127.0.0.1:6379/0"
