"""Where Redis is, read from one URL."""

from __future__ import annotations

import pytest

from worker.address import Login, read_address
from worker.operation.errors import InvalidInput
from worker.settings import load_settings


@pytest.mark.parametrize(("scheme", "tls"), [("redis", False), ("rediss", True)])
def test_a_server_is_what_its_url_says(scheme: str, tls: bool) -> None:
    address = read_address(f"{scheme}://me:secret@redis.internal:6380/3")
    assert (address.tls, address.sentinels) == (tls, None)
    assert address.celery_url == f"{scheme}://me:secret@redis.internal:6380/3"


@pytest.mark.parametrize(("scheme", "tls"), [("sentinel", False), ("sentinels", True)])
def test_sentinels_are_read_and_written_out_for_celery(scheme: str, tls: bool) -> None:
    address = read_address(f"{scheme}://me:p%40ss@a:5000,b,[::1]:5001/2?master=main&sentinel_password=own")
    sentinels = address.sentinels
    assert sentinels is not None
    assert address.tls is tls
    assert sentinels.hosts == (("a", 5000), ("b", 26379), ("::1", 5001))
    assert (sentinels.master, sentinels.database) == ("main", 2)
    assert sentinels.login == Login("me", "p@ss")
    assert sentinels.own_login == Login(None, "own")
    login = "sentinel://me:p%40ss@"
    assert address.celery_url == f"{login}a:5000/2;{login}b:26379/2;{login}[::1]:5001/2"


def test_without_a_login_there_is_none() -> None:
    sentinels = read_address("sentinel://a?master=main").sentinels
    assert sentinels is not None
    assert sentinels.login == sentinels.own_login == Login()
    assert sentinels.database == 0


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("http://redis:6379", "the URL of Redis is redis://HOST:PORT/0, rediss://"),
        ("redis://a,b/0", "several servers need Sentinels"),
        ("redis://a:port/0", "Port could not be cast"),
        ("redis://a:0/0", "port 0 is none"),
        ("redis://a/zero", '"zero" is not the number of a database'),
        ("redis://a/-1", '"-1" is not the number of a database'),
        ("redis://a/1/2", '"1/2" is not the number of a database'),
        ("rediss://a/0?ssl_cert_reqs=none", "TLS is always verified"),
        ("sentinel://a,b/0", "?master=NAME"),
        ("sentinel://a,b/0?master=", "?master=NAME"),
        ("sentinel://a,,b/0?master=main", "names each Sentinel"),
        ("sentinel:///0?master=main", "names each Sentinel"),
        ("sentinel://a/zero?master=main", '"zero" is not the number of a database'),
        ("sentinel://a/0?master=main&name=x", '"name" is no option of a Sentinel URL'),
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
    assert load_settings(redis_url="sentinel://a/0?master=main").replicas == 1
    assert load_settings(redis_url="sentinel://a/0?master=main", replicas_wait=0).replicas == 0
    assert load_settings(replicas_wait=2).replicas == 2
    with pytest.raises(InvalidInput, match="replicas_wait_ms must be less than redis_timeout"):
        load_settings(replicas_wait_ms=5000)
