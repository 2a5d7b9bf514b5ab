"""Docker, podman or buildah, whichever is here, and the containers that one check starts with it."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.ship.rendered import ROOT
from tests.waits import PATIENCE, eventually

TAG = "lockstep:check"
KNOWN = ("docker", "podman", "buildah")
READY_SECONDS = 60
STOP_SECONDS = 45
"""What a worker is given in production to end the call it is in."""


class Failed(Exception):
    """Something is not as it must be."""


class Unavailable(Exception):
    """Nothing can be checked here."""


@dataclass(slots=True)
class Engine:
    """The command of an engine, and the containers of this run."""

    command: list[str]
    build_flags: list[str]
    run_flags: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    """What every container is given."""
    prefix: str = f"lockstep-check-{os.getpid()}"
    started: list[str] = field(default_factory=list)
    variables: dict[str, str] | None = None
    """The environment of the command itself, if not the one here."""

    @property
    def name(self) -> str:
        return Path(self.command[0]).name

    def call(self, *arguments: str, timeout: float = 120) -> str:
        """Run a command of the engine and return what it prints. Raises Failed, quoting its last words."""
        done = self.attempt(*arguments, timeout=timeout)
        if done.returncode:
            said = "\n".join((done.stdout + done.stderr).splitlines()[-20:])
            raise Failed(f"`{self.name} {' '.join(arguments[:3])} …` ended with {done.returncode}:\n{said}")
        return done.stdout

    def attempt(self, *arguments: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Run a command of the engine, whatever comes of it."""
        return subprocess.run(
            [*self.command, *arguments],
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            cwd=ROOT,
            env=self.variables,
        )

    def fetch(self, base: str) -> None:
        """Have an image of others here. Raises Unavailable."""
        look = ("inspect", "--type=image") if self.name == "buildah" else ("image", "inspect")
        if self.attempt(*look, base).returncode == 0:
            return
        done = self.attempt("pull", base, timeout=600)
        if done.returncode:
            why = last_line(done)
            raise Unavailable(f"the image {base} is neither here nor within reach ({why})")

    def build(self, base: str) -> None:
        """Build the image. Raises Failed."""
        # The others' own format has no HEALTHCHECK.
        flags = [] if self.name == "docker" else ["--format=docker", "--pull=never"]
        named = [f"--build-arg=PYTHON={base}", f"--tag={TAG}"]
        self.call("build", *flags, *self.build_flags, *named, ".", timeout=900)

    def start(self, role: str, *command: str, options: Sequence[str] = ()) -> None:
        """Start a role in the background; without a command, that of the image."""
        options = (f"--name={self.prefix}-{role}", *self._options(), *options)
        self.call("run", "--detach", *options, TAG, *command)
        self.started.append(role)

    def run(self, *command: str) -> str:
        """Run a command in a container of its own, and return what it prints."""
        return self.call("run", "--rm", *self._options(), TAG, *command)

    def inside(self, role: str, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the container of a role."""
        return self.attempt("exec", f"{self.prefix}-{role}", *command)

    def logs(self, role: str) -> str:
        """Return what a role has written."""
        done = self.attempt("logs", f"{self.prefix}-{role}")
        return done.stdout + done.stderr

    def state(self, role: str) -> tuple[int, bool]:
        """Return how often the engine has started a role again, and whether it runs."""
        told = self.call("inspect", "--format={{.RestartCount}} {{.State.Running}}", f"{self.prefix}-{role}")
        count, running = told.split()
        return int(count), running == "true"

    def stop(self, role: str) -> tuple[float, int]:
        """Stop a role as production would; return how long it took and its exit status."""
        start = time.monotonic()
        self.call("stop", f"--time={STOP_SECONDS}", f"{self.prefix}-{role}")
        seconds = time.monotonic() - start
        return seconds, int(self.call("inspect", "--format={{.State.ExitCode}}", f"{self.prefix}-{role}"))

    def clean(self) -> None:
        """Remove every container of this run; the one whose network the others share comes last."""
        for role in reversed(self.started):
            self.attempt("rm", "--force", "--volumes", f"{self.prefix}-{role}")

    def run_alone(self, script: str) -> str:
        """Run a Python script with buildah, which knows neither read-only roots nor containers that stay."""
        container = f"{self.prefix}-alone"
        self.call("from", "--pull-never", f"--name={container}", TAG)
        try:
            return self.call(
                "run", "--user=10001:10001", *self.run_flags, container, "--", "python", "-c", script
            )
        finally:
            self.attempt("rm", container)

    def _options(self) -> list[str]:
        """Return how every container runs: the first has a network of its own, the others are in it too."""
        network = f"container:{self.prefix}-{self.started[0]}" if self.started else "none"
        return [
            f"--network={network}",
            "--read-only",
            *(["--read-only-tmpfs=false"] if self.name == "podman" else []),
            "--tmpfs=/tmp:mode=1777,size=64m",
            "--volume=/data",  # new and empty: it takes its owner from the image
            "--cap-drop=ALL",
            "--security-opt=no-new-privileges",
            *(f"--env={name}={value}" for name, value in self.environment.items()),
            *self.run_flags,
        ]


def find_engine() -> Engine:
    """Return the first engine that answers, or the one in IMAGE_ENGINE. Raises Unavailable."""
    given = os.environ.get("IMAGE_ENGINE")
    tried = []
    for command in [shlex.split(given)] if given else [[name] for name in KNOWN]:
        if shutil.which(command[0]) is None:
            tried.append(f"there is no {command[0]}")
            continue
        done = subprocess.run(
            [*command, "info"], capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        # Docker's client without its server ends with 0 in some releases.
        if done.returncode == 0 and "Cannot connect" not in done.stderr + done.stdout:
            found = Engine(command, flags_in("IMAGE_BUILD_FLAGS"), flags_in("IMAGE_RUN_FLAGS"))
            return found if given else do_without_systemd(found)
        tried.append(f"{command[0]} does not work ({last_line(done)})")
    raise Unavailable("; ".join(tried))


def do_without_systemd(engine: Engine) -> Engine:
    """Give podman what it needs where systemd does not run, as in a container or a small virtual machine."""
    if engine.name == "podman" and os.geteuid() == 0 and not Path("/run/systemd/system").is_dir():
        engine.command += ["--cgroup-manager=cgroupfs", "--events-backend=file"]
        if shutil.which("runc"):  # crun wants cgroups of one version
            engine.command += ["--runtime=runc"]
        engine.run_flags += ["--ulimit=nofile=4096:4096", "--ulimit=nproc=4096:4096"]
    return engine


def flags_in(variable: str) -> list[str]:
    """Read options from the environment."""
    return shlex.split(os.environ.get(variable, ""))


def base_image() -> str:
    """Return the base image of the Dockerfile, or the one in PYTHON_IMAGE."""
    said = re.search(r"^ARG PYTHON=(.*)$", (ROOT / "Dockerfile").read_text("utf-8"), re.MULTILINE)
    assert said
    return os.environ.get("PYTHON_IMAGE", said[1])


def until(what: str, true: Callable[[], bool]) -> None:
    """Wait for a condition. Raises Failed."""
    try:
        eventually(true, what, READY_SECONDS, latest=0.2)
    except AssertionError as error:
        raise Failed(str(error)) from error


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    """Return the last thing that a command said."""
    lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
    return lines[-1] if lines else "no reason given"
