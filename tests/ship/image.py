"""`python -m tests.ship.image`: build the image, and run every role from it.

Each role is a container of its own: non-root, read-only but for /tmp and a volume, without capabilities, on a
network that is nothing but loopback. One operation runs through them; then all must be healthy, and end when
asked to. With Docker, docker-compose.yml then runs them too.
With buildah alone one container runs them all, non-root; the rest it cannot do.

Where no registry can be reached, root makes a base image out of Debian's packages, with debootstrap.

Ends with 0 when all is well, 1 when something is not, and 3 when nothing could be checked: no engine works
here, or there is no base image. With CI=true the latter is all right only for a reason in tests/skips.toml.

    IMAGE_ENGINE       the command, if it is not `docker`, `podman` or `buildah`, or needs options
    IMAGE_BUILD_FLAGS  more options for its `build`
    IMAGE_RUN_FLAGS    more options for its `run`
    PYTHON_IMAGE       another base image
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

from tests.ship import compose
from tests.ship.bootstrap import BASE, bootstrap, refuse_where_none_can_run, trusting_as_here
from tests.ship.engine import STOP_SECONDS, TAG, Engine, Failed, Unavailable, base_image, find_engine, until
from tests.ship.rendered import ROOT
from tests.skips import may_be_skipped

NODES = [f"http://127.0.0.1:{port}" for port in range(5001, 5004)]
SETTINGS = {
    "LOCKSTEP_REDIS_URL": "redis://127.0.0.1:6379/0",
    "LOCKSTEP_HOSTS": ",".join(NODES),
    "LOCKSTEP_LOG_FORMAT": "json",
    "FLOWER_BASIC_AUTH": "check:check",
    "FLOWER_DB": "/data/flower",
}
CELERY = ["celery", "-A", "lockstep"]
ROLES = {
    "cluster": ["python", "-m", "lockstep.mock_api", "--nodes", str(len(NODES)), "--port", "5001"],
    "worker": [],  # what the image does by itself
    "rollback": [*CELERY, "worker", "-Q", "rollback", "-n", "rollback@%h"],
    "beat": [*CELERY, "beat"],
    "flower": ["python", "-m", "lockstep.worker.monitoring.flower", "--address=", "--port=5555"],
}
REDIS = """
import os
from lockstep.producer.stack.processes import find_server
server = str(find_server())
os.execv(server, [server, "--bind", "127.0.0.1", "--dir", "/tmp", "--appendonly", "yes", "--save", ""])
"""
LOOK = """
import json, os
from pathlib import Path
def writable(folder):
    try:
        path = Path(folder, "check")
        path.touch()
        path.unlink()
    except OSError:
        return False
    return True
folders = ("/", "/opt/lockstep", "/etc", "/var", "/data", "/tmp")
print(json.dumps({
    "uid": os.getuid(),
    "first": Path("/proc/1/cmdline").read_bytes().decode().split("\\0"),
    "writable": [folder for folder in folders if writable(folder)],
}))
"""
ALONE = """
import os
from lockstep import ClusterClient, load_settings
from lockstep.producer.stack import Stack
assert os.getuid() >= 10000, os.getuid()
with Stack(nodes=3) as stack, ClusterClient(load_settings(**stack.settings)) as cluster:
    result = cluster.create_group("team-a").wait(timeout=PATIENCE)
    assert result.committed and all(cluster.group_exists(node, "team-a") for node in stack.nodes), result
"""
WEDGE = ROOT / "tests" / "wedge"
HEALTHY = 'import urllib.request as u; u.urlopen("http://127.0.0.1:5555/healthcheck", timeout=4)'


def main() -> int:
    try:
        engine = find_engine()
        print(f"image: with {engine.name}", flush=True)
        refuse_where_none_can_run(engine)
        build(engine)
        if engine.name == "buildah":
            step("one operation, non-root; not checked: read-only", lambda: engine.run_alone(ALONE))
        else:
            check(engine)
            check_compose(engine)
    except Unavailable as reason:
        print(f"image: not checked: {reason}")
        return 3 if may_be_skipped(str(reason)) else 1
    except (Failed, subprocess.TimeoutExpired) as error:
        print(f"image: FAILED: {error}", file=sys.stderr)
        return 1
    print("image: all is well")
    return 0


def build(engine: Engine) -> None:
    """Build the image on the base image that it names, or on one that is made here."""
    try:
        step("base image", lambda: engine.fetch(base_image()))
    except Unavailable as reason:
        print(f"image: {reason}")
        why = reason
    else:
        step("build", lambda: engine.build(base_image()))
        return
    step("a base image of Debian's packages", lambda: bootstrap(engine, why))
    with trusting_as_here(engine):
        step("build", lambda: engine.build(BASE))


def check(engine: Engine) -> None:
    """Run every role. Raises Failed, having shown what each of them wrote."""
    try:
        step("every role, and one operation", lambda: operate(engine))
        step("locked down", lambda: look(engine))
        step("healthy", lambda: be_healthy(engine))
        step("logs are JSON", lambda: tell_in_json(engine))
        step("a worker that stands still is started again", lambda: stand_still(engine))
        step("ends when asked to", lambda: end(engine))
    except (Failed, subprocess.TimeoutExpired):
        for role in engine.started:
            print(f"--- {role}\n{engine.logs(role)[-2000:]}", file=sys.stderr)
        raise
    finally:
        engine.clean()


def check_compose(engine: Engine) -> None:
    """Have Docker Compose run every role, if it can here. Raises Failed."""
    try:
        step("docker-compose.yml, and a worker of it that stands still", lambda: compose.play(engine))
    except Unavailable as reason:
        print(f"image: not checked: {reason}")
        if not may_be_skipped(str(reason)):
            raise Failed("nothing in tests/skips.toml allows for that") from reason


def operate(engine: Engine) -> None:
    """Start every role, and create a group."""
    engine.environment = SETTINGS
    engine.start("redis", "python", "-c", REDIS)
    until("Redis accepts connections", lambda: "Ready to accept" in engine.logs("redis"))
    for role, command in ROLES.items():
        engine.start(role, *command)
    until("the nodes serve", lambda: '"ready": true' in engine.logs("cluster"))
    created = engine.run("lockstep", "create", "team-a", "--json", "--timeout", "60")
    document = json.loads(created)
    if document["state"] != "committed" or len(document["hosts"]) != len(NODES):
        raise Failed(f"the operation came to this: {document}")
    for host in document["hosts"]:
        engine.run("lockstep", "exists", host["host"], "team-a")


def look(engine: Engine) -> None:
    """See with the worker's eyes who it is and what it may write."""
    seen = json.loads(engine.inside("worker", "python", "-c", LOOK).stdout)
    if seen["uid"] < 10_000:
        raise Failed(f"the worker runs as user {seen['uid']}")
    if not any(part.endswith("/celery") for part in seen["first"]):
        raise Failed(f"the first process is {' '.join(seen['first'])}, not celery")
    if seen["writable"] != ["/data", "/tmp"]:
        raise Failed(f"the worker can write to {', '.join(seen['writable'])}")


def be_healthy(engine: Engine) -> None:
    """Run the health check of the image in both workers, and Flower's own in Flower."""
    said = engine.call("image", "inspect", "--format={{json .Config.Healthcheck}}", TAG)
    _, *probe = json.loads(said)["Test"]
    for role in ("worker", "rollback"):
        be_healthy_by(engine, role, probe)
    be_healthy_by(engine, "flower", ["python", "-c", HEALTHY])


def be_healthy_by(engine: Engine, role: str, probe: Sequence[str]) -> None:
    try:
        until(f"{role} is healthy", lambda: engine.inside(role, *probe).returncode == 0)
    except Failed as error:
        raise Failed(f"{error}; it says: {engine.inside(role, *probe).stderr.strip()}") from error


def tell_in_json(engine: Engine) -> None:
    """See that whatever collects logs can read every line of the workers'."""
    for role in ("worker", "rollback"):
        for line in engine.logs(role).splitlines():
            if line and not line.startswith("{"):
                raise Failed(f"{role} has written this: {line}")


def stand_still(engine: Engine) -> None:
    """Wedge a worker that is restarted as in Compose: it ends itself, and its operation ends as promised."""
    engine.stop("worker")
    options = ["--restart=unless-stopped", f"--volume={WEDGE}:/wedge:ro"]
    engine.start(
        "wedged", options=[*options, *(f"--env={name}={value}" for name, value in compose.WEDGED.items())]
    )
    engine.inside("wedged", "touch", compose.WEDGED["WEDGE"])
    created = json.loads(engine.run("lockstep", "create", "team-b", "--json", "--timeout", "100"))
    if created["state"] != "committed":
        raise Failed(f"the operation came to this: {created}")
    until("it is started again", lambda: engine.state("wedged") == (1, True))
    if "this process stands still, and ends" not in engine.logs("wedged"):
        raise Failed("it does not say why it ended")


def end(engine: Engine) -> None:
    """Stop every role: as the first process of its container it must hear SIGTERM, and end in time."""
    for role in [each for each in reversed(engine.started) if each != "redis" and engine.state(each)[1]]:
        seconds, status = engine.stop(role)
        if status or seconds > STOP_SECONDS / 2:
            raise Failed(f"{role} ended with {status} after {seconds:.1f} s")


def step(what: str, do: Callable[[], object]) -> None:
    """Do a part of the check and say how long it took."""
    start = time.monotonic()
    do()
    print(f"image: {what} ({time.monotonic() - start:.1f} s)", flush=True)


if __name__ == "__main__":
    sys.exit(main())
