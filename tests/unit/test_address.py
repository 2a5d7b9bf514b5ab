"""Where Redis is, read from one URL."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from lockstep.worker.operation.errors import InvalidInput
from lockstep.worker.process.secrets import Secret
from lockstep.worker.settings import load_settings
from lockstep.worker.settings.redis_url import Login, read_address

OPTIONS = ("protocol", "socket_timeout", "health_check_interval", "max_connections", "foo")
"""What redis-py, kombu or nobody knows."""


@pytest.mark.parametrize(("scheme", "tls"), [("redis", False), ("rediss", True)])
def test_a_server_is_what_its_url_says(scheme: str, tls: bool) -> None:
    address = read_address(f"{scheme}://me:secret@redis.internal:6380/3")
    assert (address.tls, address.master) == (tls, None)
    assert address.celery_url == f"{scheme}://me:secret@redis.internal:6380/3"


@pytest.mark.parametrize(("scheme", "tls"), [("sentinel", False), ("sentinels", True)])
def test_sentinels_are_read_and_written_out_for_celery(scheme: str, tls: bool) -> None:
    address = read_address(f"{scheme}://me:p%40ss@a:5000,b,[::1]:5001/2?master=main&sentinel_password=own")
    assert address.tls is tls
    assert address.hosts == (("a", 5000), ("b", 26379), ("::1", 5001))
    assert (address.master, address.database) == ("main", 2)
    assert address.login == Login("me", Secret("p@ss"))
    assert address.sentinel_login == Login(None, Secret("own"))
    login = "sentinel://me:p%40ss@"
    assert address.celery_url == f"{login}a:5000/2;{login}b:26379/2;{login}[::1]:5001/2"


def test_without_a_login_there_is_none() -> None:
    address = read_address("sentinel://a?master=main")
    assert address.login == address.sentinel_login == Login()
    assert address.database == 0


def test_what_is_left_out_is_the_usual() -> None:
    assert read_address("redis://").celery_url == "redis://127.0.0.1:6379/0"
    assert read_address("rediss://a").celery_url == "rediss://a:6379/0"


def test_the_database_is_the_path_or_an_option() -> None:
    assert read_address("redis://a/3").celery_url == read_address("redis://a?db=3").celery_url
    with pytest.raises(ValueError, match="name two databases"):
        read_address("redis://a/1?db=3")


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("http://redis:6379", "the URL of Redis is redis://HOST:PORT/0, rediss://"),
        ("redis://a,b/0", "several servers need Sentinels"),
        ("redis://a:port/0", "a host or its port cannot be read"),
        ("redis://a:0/0", "its port is none"),
        ("redis://a/zero", "is the number of a database"),
        ("redis://a/-1", "is the number of a database"),
        ("redis://a/1/2", "is the number of a database"),
        ("rediss://a/0?ssl_cert_reqs=none", "TLS is always verified"),
        ("sentinel://a,b/0", "?master=NAME"),
        ("sentinel://a,b/0?master=", "?master=NAME"),
        ("sentinel://a,,b/0?master=main", "names each Sentinel"),
        ("sentinel:///0?master=main", "names each Sentinel"),
        ("sentinel://a/zero?master=main", "is the number of a database"),
        (
            "sentinel://a/0?master=main&name=x",
            '"name" is no option of this URL; known: db, master, sen',
        ),
        *((f"redis://a/0?{name}=1", f'"{name}" is no option of this URL; known: db (') for name in OPTIONS),
        ("redis://a?DROP TABLE=1", "what follows its ? are no options"),
    ],
)
def test_a_url_that_breaks_a_rule_is_refused(url: str, rule: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the rule is what counts
        read_address(url)
    assert rule in str(caught.value)
    with pytest.raises(InvalidInput, match=r"^LOCKSTEP_REDIS_URL="):
        load_settings(redis_url=url)


@pytest.mark.parametrize(
    "url",
    ["redis://me:secret@redis/0", "sentinel://me:secret@a,b/0?sentinel_password=secret&master=main"],
)
def test_no_password_is_shown(url: str) -> None:
    assert "secret" not in read_address(url).shown
    with pytest.raises(InvalidInput) as caught:
        load_settings(redis_url=url.replace("//", "//x:").replace("redis:", "http:").replace("/0", "/zero"))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("character", "#/?[]")
@pytest.mark.parametrize(
    "url",
    [
        "redis://:{}@redis:6379/0",
        "rediss://me:{}@redis/0",
        "redis://me:{}@redis",
        "sentinel://me:{}@a,b/0?master=main",
        "redis://me:{}",
        "redis://:{}/0",
    ],
)
def test_a_password_that_is_not_encoded_is_named_with_its_remedy_and_never_shown(
    character: str, url: str
) -> None:
    for password in (f"hunter{character}canary", f"4711{character}canary", f"hunter{character}4711"):
        with pytest.raises(InvalidInput) as caught:
            load_settings(redis_url=url.format(password))
        said = str(caught.value)
        assert "percent-encode each of # / ? [ ]" in said or "its port is none" in said, said
        for part in ("hunter", "canary", "4711"):
            assert part not in said


@pytest.mark.parametrize(
    "url", ["redis://redis/0?password={}", "sentinel://a/0?master=main&sentinel_password={}&foo=1"]
)
@pytest.mark.parametrize("mark", ["&", "=", "?", "é", "&more=1&"])
def test_no_part_of_a_password_among_the_options_is_shown(url: str, mark: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        load_settings(redis_url=url.format(f"hunter{mark}canary&zebra="))
    assert not [part for part in ("hunter", "canary", "zebra") if part in str(caught.value)]


@pytest.mark.parametrize("password", ["a:b", "a@b", "a:b@c"])
def test_what_is_clear_without_encoding_is_taken_as_it_is(password: str) -> None:
    address = read_address(f"redis://me:{password}@redis:6380/1")
    assert (address.login, address.hosts) == (Login("me", Secret(password)), (("redis", 6380),))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("localhost:6379", "localhost:6379"),
        ("foo://x", "foo://x"),
        ("redis://h/abc", "redis://h/abc"),
        ("redis://[::1]:6379/-1", "redis://[::1]:6379/-1"),
        ("redis://h:99999/0", "redis://h:99999/0"),
        ("redis://me:secret@h:99999/0", "redis://…@h:99999/0"),
        ("redis://:secret", "redis://…"),
        ("secret", "…"),
    ],
)
def test_a_url_that_is_refused_is_named_without_what_may_be_a_password(
    monkeypatch: pytest.MonkeyPatch, url: str, shown: str
) -> None:
    monkeypatch.setenv("LOCKSTEP_REDIS_URL", url)
    with pytest.raises(InvalidInput) as caught:
        load_settings()
    assert str(caught.value).startswith(f'LOCKSTEP_REDIS_URL="{shown}": ')


def test_files_for_tls_need_tls(tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.mktemp("files") / "ca.pem"
    file.touch()
    with pytest.raises(InvalidInput, match="must begin with rediss://"):
        load_settings(redis_ca_file=str(file))
    with pytest.raises(InvalidInput, match="belong together"):
        load_settings(redis_url="rediss://a/0", redis_cert_file=str(file))
    with pytest.raises(InvalidInput, match=r'LOCKSTEP_REDIS_CA_FILE="/nowhere".*cannot be read'):
        load_settings(redis_url="rediss://a/0", redis_ca_file="/nowhere")
    assert load_settings(redis_url="rediss://a/0", redis_ca_file=str(file)).redis_ca_file == str(file)


def test_replicas_are_waited_for_with_sentinels() -> None:
    assert load_settings().replicas == 0
    assert load_settings(redis_url="sentinel://a/0?master=main").replicas == 2
    assert load_settings(redis_url="sentinel://a/0?master=main", replicas_wait=0).replicas == 0
    assert load_settings(replicas_wait=1).replicas == 1
    with pytest.raises(InvalidInput, match="replicas_wait_ms must be less than redis_timeout"):
        load_settings(replicas_wait_ms=5000)


PLAIN = "p@ss:/w%rd#?[ö]+ "


@pytest.mark.parametrize("way", ["variable", "file", "mounted secret"])
@pytest.mark.parametrize("url", ["redis://redis:6380/1", "sentinels://a,b/0?master=main"])
def test_a_login_beside_the_url_needs_no_encoding(
    way: str, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCKSTEP_REDIS_URL", url)
    monkeypatch.setenv("LOCKSTEP_REDIS_USERNAME", "me@work")
    given: dict[str, object] = {}
    if way == "variable":
        monkeypatch.setenv("LOCKSTEP_REDIS_PASSWORD", PLAIN)
    elif way == "file":
        (tmp_path / "password").write_text(f"{PLAIN}\n", "utf-8")
        monkeypatch.setenv("LOCKSTEP_REDIS_PASSWORD_FILE", str(tmp_path / "password"))
    else:
        (tmp_path / "lockstep_redis_password").write_text(PLAIN, "utf-8")
        given = {"_secrets_dir": str(tmp_path)}
    address = load_settings(**given).address
    assert address.login == Login("me@work", Secret(PLAIN if way != "mounted secret" else PLAIN.strip()))
    for each, (host, port) in zip(address.celery_url.split(";"), address.hosts, strict=True):
        parts = urlsplit(each)
        assert (parts.hostname, parts.port) == (host, port)
        login = Login(unquote(parts.username or ""), Secret(unquote(parts.password or "")))
        assert login == address.login
    assert "p@ss" not in repr(load_settings(**given))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"redis_url": "redis://me:hunter@redis", "redis_password": "canary"}, "has a login already"),
        ({"redis_username": "me"}, "give redis_password or redis_password_file"),
        ({"redis_password": "canary", "redis_password_file": "FOLDER/good"}, "and not both"),
        ({"redis_password_file": "FOLDER/empty"}, "REDIS_PASSWORD_FILE.*is empty"),
        ({"redis_password_file": "FOLDER/latin"}, "REDIS_PASSWORD_FILE.*what this file holds is not UTF-8"),
        ({"redis_password_file": "FOLDER/nowhere"}, "cannot be read"),
        ({"redis_password_file": "FOLDER"}, "is a folder"),
    ],
)
def test_a_login_beside_the_url_that_cannot_be_meant_is_refused_in_one_line(
    given: dict[str, str], said: str, tmp_path: Path
) -> None:
    for name, content in (("empty", b""), ("latin", b"c\xe4nary"), ("good", b"canary")):
        (tmp_path / name).write_bytes(content)
    settings = {name: value.replace("FOLDER", str(tmp_path)) for name, value in given.items()}
    with pytest.raises(InvalidInput, match=said) as caught:
        load_settings(**settings)
    assert "\n" not in str(caught.value)
    for part in ("hunter", "canary"):
        assert part not in str(caught.value)
