"""docker-compose.yml on Docker's engine: all is healthy, and a worker that stands still is started again.

Only what could meet others on this machine is taken from it: the ports, and the way out of its network.
Where Redis' image cannot be had, that service runs the server that Lockstep's own image brings.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.integration.worker.harness import SHORT
from tests.ship.engine import STOP_SECONDS, TAG, Engine, Failed, Unavailable, until

COMPOSE = Path(sys.executable).with_name("docker-compose")
GIVEN = {"FLOWER_BASIC_AUTH": "check:check", "LOCKSTEP_TAG": TAG.partition(":")[2]}
MINE = ("LOCKSTEP_", "FLOWER_", "REDIS_", "COMPOSE_")
"""How variables begin that would have Compose read the file otherwise."""
WEDGED = {
    "PYTHONPATH": "/wedge",
    "WEDGE": "/tmp/now",
    **{f"LOCKSTEP_{name.upper()}": value for name, value in SHORT.items()},
}
"""What a worker is given to stand still once that file is there, and to notice it soon."""
OVERRIDE = f"""
services:
  worker:
    environment: {json.dumps(WEDGED)}
    volumes: ["./tests/wedge:/wedge:ro"]
  flower: {{ports: !reset []}}
  mock-cluster: {{ports: !reset []}}
networks:
  default: {{internal: true}}
"""
REDIS = """
services:
  redis:
    image: {tag}
    user: "10001:10001"
    volumes:
      - {folder}/valkey-server:/usr/bin/valkey-server:ro
      - {folder}/valkey-cli:/usr/bin/valkey-cli:ro
"""
PROGRAMS = {
    "valkey-server": """#!/opt/lockstep/bin/python
import os, sys
from lockstep.producer.stack.processes import packaged_server
os.execv(packaged_server(), sys.argv)
""",
    "valkey-cli": """#!/opt/lockstep/bin/python
import os, redis
print("PONG" if redis.Redis(password=os.environ["REDISCLI_AUTH"]).ping() else "")
""",
}


def play(docker: Engine) -> None:
    """Start all services, wedge the worker, stop all. Raises Unavailable, and Failed with the logs shown."""
    if docker.name != "docker":
        raise Unavailable(f"docker-compose.yml wants Docker's engine, and this is {docker.name}")
    with tempfile.TemporaryDirectory(prefix="lockstep-compose-") as folder:
        compose = make(docker, Path(folder))
        try:
            compose.call("up", "--detach", "--no-build", "--wait", "--wait-timeout=120", timeout=180)
            stand_still(docker, compose)
            compose.call("stop", f"--timeout={STOP_SECONDS}")
            ended = compose.call("ps", "--all", "--format={{.Service}} {{.State}} {{.ExitCode}}").splitlines()
            if len(ended) < 6 or not all(line.endswith(" exited 0") for line in ended):
                raise Failed(f"services ended so: {', '.join(ended)}")
        except (Failed, subprocess.TimeoutExpired):
            print(compose.attempt("logs", "--tail=20").stdout, file=sys.stderr)
            raise
        finally:
            compose.attempt("down", "--volumes", "--timeout=5")


def make(docker: Engine, folder: Path) -> Engine:
    """Return Compose's own command, for a project whose containers are named as the others of this run."""
    override = folder / "override.yml"
    override.write_text(OVERRIDE)
    clean = {name: value for name, value in os.environ.items() if not name.startswith(MINE)}
    command = [str(COMPOSE), *docker.command[1:], f"--project-name={docker.prefix}", "--profile=mock"]
    files = ["--file=docker-compose.yml", f"--file={override}"]
    compose = Engine([*command, *files], [], [], variables={**clean, **GIVEN})
    image = json.loads(compose.call("config", "--format=json"))["services"]["redis"]["image"]
    try:
        docker.fetch(image)
    except Unavailable as reason:
        print(f"image: {reason}; Lockstep's own image has a server too", flush=True)
        for name, program in PROGRAMS.items():
            (folder / name).write_text(program)
            (folder / name).chmod(0o755)
        (folder / "redis.yml").write_text(REDIS.format(tag=TAG, folder=folder))
        compose.command.append(f"--file={folder / 'redis.yml'}")
    return compose


def stand_still(docker: Engine, compose: Engine) -> None:
    """Wedge the only worker: Docker starts it again, and its operations end as promised."""
    compose.call("exec", "-T", "worker", "touch", WEDGED["WEDGE"])

    def create(group: str) -> None:
        command = ["command", "create", group, "--json", "--timeout=150"]
        said = compose.attempt("run", "--rm", "-T", *command, timeout=180)
        document = json.loads(said.stdout or "{}")
        there = {"committed": 0, "rolled_back": 1}.get(document.get("state"))
        if there is None or len(document["hosts"]) != 5:
            raise Failed(f"the operation came to this: {said.stdout}{said.stderr}")
        for host in (each["host"] for each in document["hosts"]):
            looked = compose.attempt("exec", "-T", "rollback", "lockstep", "exists", host, group)
            if looked.returncode != there:
                raise Failed(f"{document['state']}, and yet: {looked.stdout}{looked.stderr}")

    with ThreadPoolExecutor() as pool:
        list(pool.map(create, ("team-a", "team-b", "team-c")))
    until("Docker started the worker again", lambda: docker.state("worker-1") == (1, True))
    if "this process stands still, and ends" not in docker.logs("worker-1"):
        raise Failed("the worker does not say why it ended")
