"""What is applied: each overlay in turn, and production by itself."""

from __future__ import annotations

import pytest

from tests.ship.rendered import (
    EXAMPLE,
    LOCAL,
    PRODUCTION,
    VAULT,
    Rendered,
    overlay_with,
    production_with,
    render,
)

MORE = ("backup", "toolbox", "redis-tls", "prometheus", "prometheus-operator", "ingress", "route", "reloader")
"""What the local overlay can have besides, all at once."""


@pytest.fixture(
    scope="session", params=["local", "production", "production with hpa", "example", "vault", "all"]
)
def rendered(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Rendered:
    if request.param == "production with hpa":
        return render(production_with(tmp_path_factory.mktemp("hpa"), "hpa"))
    if request.param == "all":
        return render(overlay_with(tmp_path_factory.mktemp("all"), "local", *MORE))
    return render(
        {"local": LOCAL, "production": PRODUCTION, "example": EXAMPLE, "vault": VAULT}[request.param]
    )


@pytest.fixture(scope="session")
def production() -> Rendered:
    return render(PRODUCTION)
