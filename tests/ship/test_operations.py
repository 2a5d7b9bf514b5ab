"""The runbook: what it tells people to type exists."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import click
import pytest
import yaml

from lockstep.producer.cli.app import lockstep
from lockstep.worker.celery import configuration
from lockstep.worker.hosts.curl import IDLE
from lockstep.worker.settings import PREFIX, TYPES, Settings
from tests.ship.rendered import LOCAL, ROOT, render
from tests.waits import PATIENCE

TEXT = (ROOT / "docs" / "operations.md").read_text("utf-8")


def test_commands_of_the_page_exist() -> None:
    used = set(re.findall(r"(?:^|-- |`)lockstep ([a-z]+)", TEXT, re.MULTILINE))
    assert {"abandon", "cancel", "drift", "exists", "list", "status"} <= used
    assert used <= set(lockstep.commands)


@pytest.mark.parametrize(
    ("command", "options"),
    [("list", {"--limit", "--stuck"}), ("cancel", {"--reason"}), ("abandon", {"--reason", "--as"})],
)
def test_options_of_the_page_exist(command: str, options: set[str]) -> None:
    known = {
        name
        for each in lockstep.commands[command].params
        if isinstance(each, click.Option)
        for name in each.opts
    }
    assert options <= known


def test_settings_exist_with_the_values_that_are_told() -> None:
    named = set(re.findall(rf"\b{PREFIX}([A-Z_]+)\b", TEXT))
    assert {name.lower() for name in named} <= set(TYPES)
    told = Settings()
    assert f"its deadline ({told.deadline:g} s)" in TEXT
    assert f"{told.memory_watermark:.0%}".replace("%", " %") in TEXT
    assert f"({told.retention_days:g}) and" in TEXT
    assert f"({told.retention_count:,})" in TEXT
    assert f"more than {told.sweep_queue_limit:,}" in " ".join(TEXT.split())
    assert f"after {told.visibility_timeout:g} s" in " ".join(TEXT.split())
    assert f"does {told.concurrency} calls" in TEXT


def test_the_open_files_that_a_worker_needs_are_those_it_asks_for() -> None:
    need = (
        rf"{IDLE} \(idle connections to hosts\) \+ (\d+) × `LOCKSTEP_CONCURRENCY` "
        r"\+ `LOCKSTEP_SLICE_THREADS` \+ (\d+) open files: (\d+) at the defaults"
    )
    (told,) = re.findall(need, " ".join(TEXT.split()))
    for_each, others, at_defaults = map(int, told)
    assert Settings().open_files == at_defaults
    for concurrency, threads in ((1, 1), (7, 300), (400, 2)):
        settings = Settings(concurrency=concurrency, slice_threads=threads)
        assert settings.open_files == IDLE + for_each * concurrency + threads + others


def test_what_kubectl_is_told_to_touch_is_there() -> None:
    local = render(LOCAL)
    here = {each.name for each in local.of("Deployment", "StatefulSet")}
    assert set(re.findall(r"\bdeploy(?:ment)?/([a-z-]+)", TEXT)) <= here
    assert "redis" in here
    assert set(re.findall(r"\bexec (?:-i )?(redis-\d)", TEXT)) == {"redis-0"}
    components = {
        label for each in local.starting_pods() for label in [each.labels["app.kubernetes.io/component"]]
    }
    for group in re.findall(r"component in \(([a-z,-]+)\)", TEXT):
        assert set(group.split(",")) <= components
    made = set(re.findall(r"create secret generic ([a-z-]+)", TEXT))
    assert made == {"lockstep-redis", "lockstep-flower", "lockstep-credentials"}
    assert "--from-literal=basic-auth=" in TEXT


def test_what_an_operator_brought_is_deleted_by_a_command_of_its_own() -> None:
    """Where one kind is not known, `kubectl delete` of several deletes nothing."""
    pages = TEXT + (ROOT / "docs" / "kubernetes.md").read_text("utf-8")
    commands = [set(kinds.split(",")) for kinds in re.findall(r"kubectl -n lockstep delete ([a-z,]+)", pages)]
    brought = {"scaledobject", "httproute", "podmonitor", "prometheusrule"}
    assert {"scaledobject"} in commands
    assert {"hpa"} in commands
    assert all(kinds <= brought or not kinds & brought for kinds in commands)


def test_the_folder_of_secrets_has_all_that_is_asked_for_and_no_password_twice(tmp_path: Path) -> None:
    assert "manifests/secrets.sh redis.internal:6379 secrets" in TEXT
    script = ROOT / "manifests" / "secrets.sh"
    for name in ("one", "other"):
        subprocess.run([script, "redis.internal:6379", tmp_path / name], check=True, timeout=PATIENCE)
    made = {path.name: path.read_text("ascii") for path in (tmp_path / "one").iterdir()}
    assert set(made) == {"redis-users.acl", "admin", "worker", "producer", "monitor"}
    assert "-PASSWORD" not in "".join(made.values())
    for role in ("worker", "producer", "monitor"):
        assert re.fullmatch(rf"redis://lockstep-{role}:[0-9a-f]{{48}}@redis\.internal:6379/0", made[role])
    users = made["redis-users.acl"].splitlines()
    assert len({line.split()[3] for line in users}) == len(users) == 4
    assert made["worker"] != (tmp_path / "other" / "worker").read_text("ascii")
    assert (tmp_path / "one").stat().st_mode & 0o77 == 0
    refused = subprocess.run(
        [script, "redis:6379", tmp_path / "one"], capture_output=True, check=False, timeout=PATIENCE
    )
    assert refused.returncode, "it would overwrite passwords that are in use"


def test_keys_of_redis_are_those_in_use() -> None:
    settings = Settings()
    prefix = configuration(settings)["broker_transport_options"]["global_keyprefix"]
    queues = {f"{prefix}{name}" for name in ("operations", "rollback", "unacked", "unacked_index")}
    assert queues == set(re.findall(r"\blockstep:celery:\w+", TEXT))
    assert set(re.findall(r"\blockstep:(?!celery)(\w+)", TEXT)) == {"due", "drift", "lock", "op"}


def test_every_alert_has_a_section_that_says_what_to_do() -> None:
    rules = yaml.safe_load((ROOT / "watching" / "alerts.yaml").read_text("utf-8"))["groups"]
    alerts = {rule["alert"] for group in rules for rule in group["rules"]}
    rows = re.findall(r"^\| `(Lockstep\w+)` \| \[[^]]+\]\(#([a-z-]+)\) \|$", TEXT, re.MULTILINE)
    assert {name for name, _ in rows} == alerts
    assert len(rows) == len(alerts)
    assert {anchor for _, anchor in rows} <= anchors()


def anchors(text: str = TEXT) -> set[str]:
    """Return what a link into a page can point to."""
    return {
        re.sub(r"[^a-z0-9 -]", "", line.lstrip("# ").lower()).replace(" ", "-")
        for line in text.splitlines()
        if line.startswith("#")
    }


def test_links_of_the_page_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)]+)\)", TEXT):
        path, _, anchor = target.partition("#")
        text = (ROOT / "docs" / path).read_text("utf-8") if path else TEXT
        assert not anchor or anchor in anchors(text), target
    for path in re.findall(r"`(manifests/[\w/.-]+)`", TEXT):
        assert (ROOT / path).exists(), path
