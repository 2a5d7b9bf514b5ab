from __future__ import annotations

import os
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from lockstep.worker.operation.errors import InvalidInput
from lockstep.worker.settings import CHORD_DISPATCH_LEASE, PREFIX, TYPES, Settings, load_settings


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of whoever runs the tests counts."""
    for name in list(os.environ):
        if name.startswith(PREFIX):
            monkeypatch.delenv(name)


def refusal(monkeypatch: pytest.MonkeyPatch, **variables: str) -> str:
    """What loading says about these variables, in its one line."""
    for name, value in variables.items():
        monkeypatch.setenv(PREFIX + name, value)
    with pytest.raises(InvalidInput) as caught:
        load_settings()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_defaults_agree_with_each_other() -> None:
    settings = load_settings()
    longest = 4 * settings.call_timeout + CHORD_DISPATCH_LEASE + settings.backoff_cap
    assert settings.visibility_timeout > longest


def test_the_environment_is_read_and_arguments_go_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCKSTEP_CONCURRENCY", "7")
    assert load_settings().concurrency == 7
    assert load_settings(concurrency=9).concurrency == 9


def test_a_secret_that_is_mounted_gives_a_setting_unless_the_environment_does(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "lockstep_redis_url").write_text("redis://lockstep-worker:mounted-1@redis:6379/0\n")
    (tmp_path / "somebody_elses").write_text("x")
    settings = load_settings(_secrets_dir=str(tmp_path))
    assert settings.address.login.username == "lockstep-worker"
    assert settings.redis_url.reveal().endswith("redis:6379/0")
    monkeypatch.setenv("LOCKSTEP_REDIS_URL", "redis://other:6379/0")
    assert load_settings(_secrets_dir=str(tmp_path)).redis_url.reveal() == "redis://other:6379/0"


def test_a_mounted_secret_that_cannot_be_read_is_not_quoted(tmp_path: Path) -> None:
    (tmp_path / "lockstep_redis_url").write_bytes("redis://:c\u00e4nary-2@redis".encode("latin-1"))
    with pytest.raises(InvalidInput, match=r"a setting in it cannot be read: see that it is UTF-8") as caught:
        load_settings(_secrets_dir=str(tmp_path))
    assert "nary" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_limits_are_in_milliseconds() -> None:
    limits = load_settings(send_within=1.5, call_timeout=12, settle_seconds=11).limits
    assert (limits.send_within, limits.call, limits.settle) == (1_500, 12_000, 11_000)
    assert limits.longest_countdown == 8_000


def test_backoffs_are_capped_as_set() -> None:
    settings = load_settings(backoff_base=1, backoff_cap=4, rollback_backoff_cap=30)
    assert settings.forward_backoff.ceiling(99) == 4
    assert settings.rollback_backoff.ceiling(99) == 30


SECONDS = [name for name, kind in TYPES.items() if kind == "Seconds"]
COUNTS = [name for name, kind in TYPES.items() if kind == "Count"]


def test_the_knobs_are_of_two_kinds() -> None:
    assert {"connect_timeout", "settle_seconds", "deadline"} < set(SECONDS)
    assert {"max_body_bytes", "concurrency", "retention_count"} < set(COUNTS)


@pytest.mark.parametrize("name", SECONDS)
@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "soon", ""])
def test_a_time_is_a_positive_number(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    said = refusal(monkeypatch, **{name.upper(): value})
    assert said.startswith(f"{PREFIX}{name.upper()}=")
    assert f'"{value}"' in said


@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.parametrize("value", ["0", "-1", "1.5", "many"])
def test_a_count_is_a_positive_whole_number(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    said = refusal(monkeypatch, **{name.upper(): value})
    assert said.startswith(f"{PREFIX}{name.upper()}=")
    assert f'"{value}"' in said


@pytest.mark.parametrize("value", ["0", "1.01", "-0.5"])
def test_the_watermark_is_a_share(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    assert f'{PREFIX}MEMORY_WATERMARK="{value}"' in refusal(monkeypatch, MEMORY_WATERMARK=value)


@pytest.mark.parametrize(
    ("variables", "rule"),
    [
        ({"CONNECT_TIMEOUT": "16"}, "connect_timeout must not exceed call_timeout"),
        ({"READ_TIMEOUT": "16", "SETTLE_SECONDS": "20"}, "read_timeout must not exceed call_timeout"),
        ({"SETTLE_SECONDS": "9.9"}, "settle_seconds must be at least read_timeout"),
        ({"BACKOFF_BASE": "9"}, "backoff_base must not exceed backoff_cap"),
        ({"VISIBILITY_TIMEOUT": "88.9"}, "visibility_timeout 88.9 must be at least 89 ="),
        ({"CALL_TIMEOUT": "21"}, "visibility_timeout 90 must be at least 113 ="),
        ({"HOSTS": "http://a", "INVENTORY": "hosts.yaml"}, "give hosts or inventory, not both"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], rule: str
) -> None:
    assert refusal(monkeypatch, **variables).startswith(f"settings contradict each other: {rule}")


def test_relations_hold_up_to_their_boundary() -> None:
    load_settings(connect_timeout=15, read_timeout=15, settle_seconds=15)
    load_settings(backoff_base=8)
    load_settings(visibility_timeout=89)


def test_an_unknown_setting_is_refused_with_its_likely_name(monkeypatch: pytest.MonkeyPatch) -> None:
    said = refusal(monkeypatch, SETTLE_SECOND="9")
    assert said == "unknown setting LOCKSTEP_SETTLE_SECOND; did you mean LOCKSTEP_SETTLE_SECONDS?"


def test_a_variable_in_small_letters_is_refused_not_overlooked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("lockstep_concurrency", "7")
    with pytest.raises(
        InvalidInput, match="unknown setting lockstep_concurrency; did you mean LOCKSTEP_CONCURR"
    ):
        load_settings()


def test_values_of_python_are_held_to_the_same_rules() -> None:
    settings = load_settings(backoff_base=1, concurrency=7.0, retries=None, metrics_port="9464")
    assert (settings.backoff_base, settings.concurrency, settings.metrics_port) == (1.0, 7, 9464)
    assert isinstance(settings.concurrency, int)
    assert settings.given == {"backoff_base", "concurrency", "retries", "metrics_port"}
    assert settings.but(concurrency=9).given == settings.given
    assert settings.but(concurrency=9) != settings
    for name, value, rule in (
        ("concurrency", True, "it must be a whole number above 0"),
        ("concurrency", 1.5, "it must be a whole number above 0"),
        ("concurrency", None, "it must be a whole number above 0"),
        ("metrics_port", 65_536, "it must be a port, from 1 to 65535"),
        ("max_writes_at_once", 10_001, "it must be a whole number from 1 to 10000"),
        ("writes_per_second", 0.001, "it must be a number from 0.01 to 1000"),
        ("retries", -1, "it must be 0 or a whole number above it"),
        ("broker", "mine", "it must be own or stock"),
        ("inventory", Path("hosts.yaml"), "it must be a text"),
        ("redis_password", 5, "it must be a text"),
    ):
        with pytest.raises(InvalidInput, match=f"^LOCKSTEP_{name.upper()}=.*: {rule}$"):
            load_settings(**{name: value})


def test_an_unknown_setting_like_no_other_is_refused_too(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "LOCKSTEP_ZZZZ" in refusal(monkeypatch, ZZZZ="1")


SERVICE = {
    "REDIS_PORT": "tcp://10.0.0.1:6379",
    "REDIS_SERVICE_HOST": "10.0.0.1",
    "REDIS_SERVICE_PORT": "6379",
    "REDIS_SERVICE_PORT_REDIS": "6379",
    "REDIS_PORT_6379_TCP": "tcp://10.0.0.1:6379",
    "REDIS_PORT_6379_TCP_ADDR": "10.0.0.1",
    "PORT": "udp://10.0.0.1:53",
    "SERVICE_HOST": "10.0.0.1",
}


def test_what_kubernetes_sets_for_a_service_is_no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SERVICE.items():
        monkeypatch.setenv(PREFIX + name, value)
    assert load_settings() == Settings()
    said = refusal(monkeypatch, REDIS_PORT="6379")
    assert said.startswith("unknown setting LOCKSTEP_REDIS_PORT; did you mean"), "a person wrote this"


def test_a_setting_that_kubernetes_overwrote_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    said = refusal(monkeypatch, METRICS_PORT="tcp://10.0.0.1:9464")
    assert said.startswith('LOCKSTEP_METRICS_PORT="tcp://10.0.0.1:9464": Kubernetes set this')
    assert "enableServiceLinks: false" in said


@pytest.mark.parametrize("prefix", ["équipe:", "team[a]*:", "a?:", "a b:", "a\\:", "x" * 101, "{a}:", "%s:"])
def test_a_key_prefix_with_which_messages_would_be_lost_is_refused(
    monkeypatch: pytest.MonkeyPatch, prefix: str
) -> None:
    said = refusal(monkeypatch, KEY_PREFIX=prefix)
    assert said.startswith("LOCKSTEP_KEY_PREFIX=")
    assert said.endswith("use up to 100 characters of A-Z a-z 0-9 . _ - : / in a key prefix, and no others")


def test_a_plain_key_prefix_is_taken() -> None:
    for prefix in ("", "lockstep:", "Team-a.b_c/1:"):
        assert load_settings(key_prefix=prefix).key_prefix == prefix


def test_an_unknown_argument_is_refused() -> None:
    with pytest.raises(InvalidInput, match="LOCKSTEP_NONSENSE"):
        load_settings(nonsense=1)


def test_settings_do_not_change() -> None:
    settings = load_settings()
    with pytest.raises(FrozenInstanceError):
        settings.concurrency = 9  # type: ignore[misc]
