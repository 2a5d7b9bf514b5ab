"""Settings at the edges of what is allowed, and what is said and shown just beyond them."""

from __future__ import annotations

from pathlib import Path

import pytest

from lockstep.worker.operation.errors import InvalidInput
from lockstep.worker.process.secrets import Secret, mask
from lockstep.worker.settings import Settings, load_settings
from lockstep.worker.settings.environment import read_text
from lockstep.worker.settings.redis_url import Login, read_address


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("patience", 0.001),
        ("memory_watermark", 0.001),
        ("memory_watermark", 1),
        ("concurrency", 1),
        ("retries", 0),
        ("writes_per_second", 0.01),
        ("writes_per_second", 1000),
        ("max_writes_at_once", 1),
        ("max_writes_at_once", 10_000),
        ("metrics_port", 1),
        ("metrics_port", 65_535),
        ("replicas_wait_ms", 4999),
    ],
)
def test_a_number_may_be_the_least_and_the_largest(name: str, value: float) -> None:
    assert getattr(load_settings(**{name: value}), name) == value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("patience", 0),
        ("memory_watermark", 0),
        ("memory_watermark", 1.001),
        ("concurrency", 0),
        ("retries", -1),
        ("retries", False),
        ("retries", []),
        ("writes_per_second", 0.009),
        ("writes_per_second", 1000.001),
        ("max_writes_at_once", 0),
        ("max_writes_at_once", 10_001),
        ("metrics_port", 0),
        ("metrics_port", 65_536),
        ("replicas_wait_ms", 5000),
    ],
)
def test_a_number_beyond_is_refused(name: str, value: object) -> None:
    with pytest.raises(InvalidInput):
        load_settings(**{name: value})


def test_the_url_of_redis_is_no_secret_as_a_whole() -> None:
    """Masked, it would be missing from every line about Redis."""
    for settings in (Settings(), Settings(redis_url="redis://a:7001"), Settings().at("redis://a:7002")):
        url = settings.redis_url.reveal()
        assert mask(f"Redis at {url} is gone") == f"Redis at {url} is gone"
    assert mask(Settings(redis_password="canary-password").redis_password.reveal()) == "…"


def test_what_cannot_be_meant_is_said_in_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCKSTEP_7777777777", "1")
    with pytest.raises(InvalidInput) as caught:
        load_settings()
    assert str(caught.value) == "unknown setting LOCKSTEP_7777777777; docs/settings.md lists them all"
    with pytest.raises(InvalidInput) as caught:
        read_text("this file", tmp_path / "none")
    assert str(caught.value) == "this file cannot be read: No such file or directory"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://", "redis://127.0.0.1:6379/0"),
        ("rediss://me:hunter22@[::1]:7000/3", "rediss://…@[::1]:7000/3"),
        ("sentinels://a,b:7000/2?master=main", "sentinels://a:26379,b:7000/2?master=main"),
    ],
)
def test_an_address_is_shown_with_all_but_its_login(url: str, shown: str) -> None:
    assert read_address(url).shown == shown


@pytest.mark.parametrize(
    ("user", "login", "written"),
    [
        (":hunter22@", Login(None, Secret("hunter22")), ":hunter22@"),
        ("me@", Login("me"), "me:@"),
        ("", Login(), ""),
    ],
)
def test_half_a_login_is_one_too(user: str, login: Login, written: str) -> None:
    address = read_address(f"redis://{user}a")
    assert address.login == login
    assert address.celery_url == f"redis://{written}a:6379/0"


@pytest.mark.parametrize(("query", "database"), [("db=1&db=3", 3), ("db=&db=3", 3), ("db=3&db=", 0)])
def test_of_an_option_that_stands_twice_the_last_counts(query: str, database: int) -> None:
    assert read_address(f"redis://a?{query}").database == database


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("redis://a/0?foo=", '"foo" is no option of this URL; known: db ('),
        ("redis://a/0#x", "it cannot be read: in a user name or password, percent-encode each of"),
        ("redis://a:99999/0", "its port is none: give 1 to 65535, or leave it out for the usual one"),
        ("redis://a/3?db=4", "its path and its db name two databases: give one of them"),
    ],
)
def test_what_a_url_would_lose_is_refused(url: str, rule: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the rule is what counts
        read_address(url)
    assert str(caught.value).startswith(rule)
