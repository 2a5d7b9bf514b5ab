"""What the workers of an overlay will load."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lockstep.worker.inventory import Inventory, load_inventory
from lockstep.worker.settings import PREFIX, Settings, load_settings
from tests.ship.rendered import Rendered


def fields(rendered: Rendered) -> dict[str, Any]:
    """Return the settings that workers are given, as keywords."""
    return {name.removeprefix(PREFIX).lower(): value for name, value in rendered.settings().items()}


def load(rendered: Rendered, monkeypatch: pytest.MonkeyPatch, folder: Path) -> tuple[Settings, Inventory]:
    """Load what the workers will load, in the way they will."""
    (inventory,) = (each for each in rendered.of("ConfigMap") if each.name == "lockstep-inventory")
    for name, value in inventory.body["data"].items():
        (folder / name).write_text(value, "utf-8")
    for name, value in rendered.settings().items():
        mounted = value.replace("/etc/lockstep/", f"{folder}/")
        if name == f"{PREFIX}REDIS_CA_FILE":
            monkeypatch.setenv(f"{PREFIX}REDIS_URL", "rediss://redis")
            mounted = f"{folder}{value}"
            Path(mounted).parent.mkdir(parents=True, exist_ok=True)
            Path(mounted).touch()
        monkeypatch.setenv(name, mounted)
    settings = load_settings()
    return settings, load_inventory(settings)
