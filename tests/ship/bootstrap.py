"""A base image out of Debian's packages, for machines from which no registry can be reached."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.ship.engine import Engine, Failed, Unavailable

BASE = "localhost/lockstep-base:check"
PACKAGES = "ca-certificates,python-is-python3,python3,python3-venv"
PATH = "PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"


def refuse_where_none_can_run(engine: Engine) -> None:
    """Raise Unavailable where the machine forbids what every container needs."""
    if engine.name == "docker":
        return  # its server runs them, perhaps elsewhere
    tried = subprocess.run(
        ["unshare", *([] if os.geteuid() == 0 else ["--map-root-user"]), "--mount", "true"],
        capture_output=True,
        text=True,
        check=False,
    )
    if tried.returncode:
        raise Unavailable(f"no container can be run here ({tried.stderr.strip()})")
    if "CONTAINERS_STORAGE_CONF" not in os.environ and os.geteuid() == 0 and _overlay("/var/lib"):
        # Images can be kept as plain copies; CI would take half an hour longer.
        raise Unavailable(
            "no container can be run here (/var/lib is an overlay: no other can be laid over it)"
        )


def _overlay(folder: str) -> bool:
    """Tell whether a folder is itself an overlay, as all of a container is."""
    kind = ["stat", "--file-system", "--format=%T", folder]
    return subprocess.run(kind, capture_output=True, text=True, check=False).stdout.strip() == "overlayfs"


def bootstrap(engine: Engine, reason: Unavailable) -> str:
    """Return the name of a base image that is made here, since none could be had. Raises Unavailable."""
    look = ("inspect", "--type=image") if engine.name == "buildah" else ("image", "inspect")
    if engine.attempt(*look, BASE).returncode == 0:
        return BASE
    if shutil.which("debootstrap") is None or os.geteuid() != 0:
        raise Unavailable(f"{reason}, and only root with debootstrap could make one") from reason
    with tempfile.TemporaryDirectory(prefix="lockstep-base-") as folder:
        _install(folder)
        if engine.name == "buildah":
            _copy(engine, folder)
        else:
            _import(engine, folder)
    return BASE


def _install(folder: str) -> None:
    """Fill a folder with a small Debian, of the release that runs here."""
    release = platform.freedesktop_os_release()["VERSION_CODENAME"]
    # In a mount namespace of its own, so that nothing stays mounted whatever happens.
    command = ["unshare", "--mount", "debootstrap", "--variant=minbase", f"--include={PACKAGES}"]
    done = subprocess.run(
        [*command, release, folder], capture_output=True, text=True, timeout=600, check=False
    )
    if done.returncode:
        said = "\n".join((done.stdout + done.stderr).splitlines()[-5:])
        raise Failed(f"debootstrap ended with {done.returncode}:\n{said}")


def _import(engine: Engine, folder: str) -> None:
    with subprocess.Popen(["tar", "-C", folder, "-c", "."], stdout=subprocess.PIPE) as tar:
        done = subprocess.run(
            [*engine.command, "import", f"--change=ENV {PATH}", "-", BASE],
            stdin=tar.stdout,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    if done.returncode or tar.returncode:
        raise Failed(f"the base image could not be imported: {done.stderr.strip()}")


def _copy(engine: Engine, folder: str) -> None:
    container = engine.call("from", "--isolation=chroot", "scratch").strip()
    try:
        engine.call("copy", container, folder, "/", timeout=300)
        engine.call("config", f"--env={PATH}", container)
        engine.call("commit", container, BASE, timeout=300)
    finally:
        engine.attempt("rm", container)


@contextmanager
def trusting_as_here(engine: Engine) -> Iterator[None]:
    """Let the build reach the package index as this machine does, with its certificates; keep none of it.

    Docker's build can be given no such volumes: there the index must do without.
    """
    if engine.name == "docker":
        yield
        return
    with tempfile.TemporaryDirectory(prefix="lockstep-pip-") as folder:
        pip = Path(folder, "pip.conf")
        index = os.environ.get("PIP_INDEX_URL")
        pip.write_text(f"[global]\ncert = {CERTIFICATES}\n" + (f"index-url = {index}\n" if index else ""))
        bundle = os.environ.get("SSL_CERT_FILE", CERTIFICATES)
        before = list(engine.build_flags)
        engine.build_flags += ["--isolation=chroot", "--network=host"]
        for here, there in ((bundle, CERTIFICATES), (str(pip), "/etc/pip.conf")):
            engine.build_flags.append(f"--volume={here}:{there}:ro")
        try:
            yield
        finally:
            engine.build_flags[:] = before
