"""With which options Redis is reached, in redis-py's names: the same for the record and for Celery."""

from __future__ import annotations

from typing import Any

from lockstep.worker.connection.url import Login
from lockstep.worker.settings import Settings


def socket_options(settings: Settings) -> dict[str, Any]:
    """Return the timeouts of a connection that lives long."""
    return {
        "socket_timeout": settings.redis_timeout,  # a frozen Redis is noticed
        "socket_connect_timeout": settings.redis_connect_timeout,
        "socket_keepalive": True,  # a silently cut connection is noticed
        "health_check_interval": 15,
    }


def tls_options(settings: Settings) -> dict[str, Any]:
    """Return what verifies Redis' certificate, always; empty without TLS."""
    if not settings.address.tls:
        return {}
    files = {
        "ssl_ca_certs": settings.redis_ca_file,
        "ssl_certfile": settings.redis_cert_file,
        "ssl_keyfile": settings.redis_key_file,
    }
    given = {name: path for name, path in files.items() if path}
    return {"ssl_cert_reqs": "required", "ssl_check_hostname": True, **given}


def server_options(settings: Settings) -> dict[str, Any]:
    """Return the login that the primary wants and, without Sentinels, where it is."""
    address = settings.address
    login = {**_login(address.login), "db": address.database}
    if address.sentinels is not None:
        return login
    ((host, port),) = address.hosts
    return {"host": host, "port": port, **login}


def sentinel_options(settings: Settings) -> dict[str, Any]:
    """Return what a connection to a Sentinel needs; empty without any."""
    sentinels = settings.address.sentinels
    if sentinels is None:
        return {}
    return {
        "socket_timeout": settings.redis_timeout,
        "socket_connect_timeout": settings.redis_connect_timeout,
        **_login(sentinels.own_login),
        "ssl": settings.address.tls,
        **tls_options(settings),
    }


def _login(login: Login) -> dict[str, str | None]:
    return {
        "username": login.username,
        "password": login.password.reveal() if login.password else None,
    }
