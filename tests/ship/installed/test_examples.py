"""Each file of examples/ does what it says, with the wheel installed and in somebody else's folder."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import requests

from lockstep import ClusterClient, Presence, load_settings
from lockstep.mock_api.admin import ClusterAdmin
from lockstep.producer.stack.ports import free_port
from tests.integration.kinds.node import Node, served
from tests.ship.conftest import ROOT
from tests.ship.installed.conftest import Installed, folder_of_a_stranger
from tests.waits import eventually

pytestmark = pytest.mark.timeout(300)  # environments are made, and a stack started
EXAMPLES = ROOT / "examples"
FILES = [path.relative_to(EXAMPLES) for path in EXAMPLES.rglob("*") if path.is_file()]
PROJECT = {
    "manage.py": """
import os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "shop.settings"
from django.core.management import execute_from_command_line
execute_from_command_line(sys.argv)
""",
    "shop/__init__.py": "from shop.celery import app",
    "shop/settings.py": """
import os
SECRET_KEY, USE_TZ, INSTALLED_APPS = "of a test", True, ["teams"]
CELERY_BROKER_URL = CELERY_RESULT_BACKEND = os.environ["LOCKSTEP_REDIS_URL"].replace("/0", "/5")
""",
    "shop/celery.py": """
import os
from celery import Celery
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
app = Celery("shop")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
""",
    "teams/__init__.py": "",
    "teams/management/__init__.py": "",
    "teams/management/commands/__init__.py": "",
    "enqueue.py": """
import shop
from celery import current_app
from teams.tasks import create_team
from lockstep import ClusterClient
with ClusterClient() as cluster:
    found = create_team.apply_async(("of-a-task",), task_id="task-4711")
    operation = found.get(timeout=60)
    print(operation, cluster.operation(operation).wait(timeout=60).state, current_app.main)
""",
}
"""A Django project with a Celery application and a broker of its own."""


@pytest.fixture(scope="module")
def site(application: Installed) -> Installed:
    """A project's folder, with the examples in it, where people run things without -P."""
    site = folder_of_a_stranger(application.folder / "site")
    (site / "celery.py").unlink()  # no program that uses Celery can stand beside that
    for name, text in PROJECT.items():
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_text(text)
    for path in FILES:
        if path.suffix in (".py", ".sh"):
            shutil.copy(EXAMPLES / path, site)
    shutil.copy(EXAMPLES / "django_command.py", site / "teams/management/commands/create_team.py")
    shutil.copy(EXAMPLES / "celery_task.py", site / "teams/tasks.py")
    found = Installed(application.python, site)
    found.env = application.env
    return found


@contextmanager
def running(site: Installed, *command: str) -> Iterator[None]:
    process = subprocess.Popen(
        [str(site.python), *command], cwd=site.folder, env=site.env, stdout=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def test_the_list_of_examples_is_whole() -> None:
    listed = re.findall(r"\]\((\S+)\) \|", (EXAMPLES / "README.md").read_text("utf-8"))
    assert {*listed, "README.md"} == {str(path) for path in FILES}


def test_a_script_changes_a_group_and_tells_of_each_host(site: Installed) -> None:
    said = site.run(str(site.python), "script.py", "of-a-script")
    assert said.startswith("of-a-script: committed (operation ")
    assert said.count(": changed by its write before the decision") == 3
    assert "error: group id" in site.run(str(site.python), "script.py", "../x", code=1)


def test_a_program_in_asyncio_changes_many_groups_at_once(site: Installed) -> None:
    said = site.run(str(site.python), "many_at_once.py", "one", "two").splitlines()
    assert said[:2] == ["one: committed", "two: committed"]
    assert said[-1] == "one is being deleted: committed"


def test_a_fastapi_application(site: Installed) -> None:
    port = str(free_port())
    here = f"http://127.0.0.1:{port}"

    def serves() -> bool:
        with socket.socket() as tried:
            return tried.connect_ex(("127.0.0.1", int(port))) == 0

    def show(operation: str) -> requests.Response:
        return requests.get(f"{here}/operations/{operation}", timeout=30)

    with running(site, "-m", "uvicorn", "--log-level", "warning", "--port", port, "fastapi_app:app"):
        eventually(serves, "the application serves")
        assert show("order-4711").status_code == 404
        key = {"Idempotency-Key": "order-4711"}
        asked = [requests.put(f"{here}/groups/of-an-api", headers=key, timeout=30) for _ in "12"]
        assert [each.status_code for each in asked] == [202, 202]
        assert asked[0].json() == asked[1].json()
        eventually(lambda: show("order-4711").json()["state"] == "committed", "it is committed")
        assert requests.put(f"{here}/groups/of-an-api", timeout=30).status_code == 422
        assert requests.put(f"{here}/groups/another", headers=key, timeout=30).status_code == 422


def test_a_django_project_with_a_celery_of_its_own(site: Installed) -> None:
    python = str(site.python)
    assert site.run(python, "manage.py", "create_team", "of-django") == "of-django is on 3 hosts\n"
    assert "CommandError: group id" in site.run(python, "manage.py", "create_team", "a/b", code=1)
    worker = ("-m", "celery", "-A", "shop", "worker", "--pool", "solo", "-n", "shop@%h", "-l", "ERROR")
    with running(site, *worker, "--without-gossip", "--without-mingle"):
        assert site.run(python, "enqueue.py") == "task-4711 committed shop\n"


def test_a_pipeline_goes_by_the_exit_code(site: Installed) -> None:
    ClusterAdmin(site.env["ADMIN_URL"]).add_faults({"kind": "refuse", "group": "forbidden"})

    def step(code: int, **env: str) -> str:
        return site.run("sh", "pipeline.sh", code=code, env=env)

    assert "of-a-job is on every host" in step(0, GROUP="of-a-job", JOB_ID="1")
    assert "is on no host" in step(1, GROUP="forbidden", JOB_ID="2")
    away = step(5, GROUP="any", JOB_ID="3", LOCKSTEP_REDIS_URL="redis://127.0.0.1:1/0")
    assert "Redis cannot be reached" in away


@pytest.mark.parametrize("name", ["urls.env", "names.yaml", "tls.yaml", "labels.yaml"])
def test_an_inventory_of_the_examples_is_read_and_its_hosts_asked(
    application: Installed, tmp_path: Path, name: str
) -> None:
    """Its hosts are asked, by the addresses of the mock nodes; those with TLS are only read."""
    text = (EXAMPLES / "inventories" / name).read_text("utf-8")
    nodes = iter(ClusterAdmin(application.env["ADMIN_URL"]).nodes().values())
    text = re.sub(r"http://[\w.]+:5000", lambda _: next(nodes).url, text)
    (tmp_path / "inventory.yaml").write_text(text)
    named = {"inventory": str(tmp_path / "inventory.yaml")}
    if name.endswith(".env"):
        named = {"hosts": text.partition("LOCKSTEP_HOSTS=")[2].strip()}
    with ClusterClient(load_settings(redis_url=application.env["LOCKSTEP_REDIS_URL"], **named)) as cluster:
        where = ["zone=eu", "role!=db"] if "labels" in name else []
        hosts = cluster.select(where=where)
        assert len(hosts) == (1 if where else 2)
        if "tls" not in name:
            held = {host.holds for host in cluster.plan("create", "planned", hosts).hosts}
            assert held == {Presence.ABSENT}


@pytest.fixture
def noticed(site: Installed, tmp_path: Path) -> Iterator[tuple[Installed, list[Node]]]:
    """Two nodes that have notices and pins, and a worker of their own."""
    for path in ("kinds/notice.yaml", "kinds/pin.yaml", "kinds/member.yaml", "wanted.yaml"):
        (site.folder / path).parent.mkdir(exist_ok=True)
        shutil.copy(EXAMPLES / path, site.folder / path)
    nodes = [Node(), Node()]
    with ExitStack() as stack:
        urls = [stack.enter_context(served(node)) for node in nodes]
        hosts = "".join(f"- {{name: node{n}, url: '{url}'}}\n" for n, url in enumerate(urls))
        (tmp_path / "hosts.yaml").write_text(f"hosts:\n{hosts}")
        found = Installed(site.python, site.folder)
        (tmp_path / "seal.key").write_bytes(base64.b64encode(os.urandom(32)))
        own = {"INVENTORY": str(tmp_path / "hosts.yaml"), "KINDS": "kinds", "KEY_PREFIX": "noticed:"}
        own["SEAL_KEY_FILE"] = str(tmp_path / "seal.key")
        found.env = {**site.env, **{f"LOCKSTEP_{name}": value for name, value in own.items()}}
        worker = ("-m", "celery", "-A", "lockstep", "worker", "-Q", "operations,rollback", "-n", "noticed@%h")
        stack.enter_context(running(found, *worker, "--without-gossip", "--without-mingle", "-l", "ERROR"))
        yield found, nodes


def test_kinds_of_ones_own(noticed: tuple[Installed, list[Node]]) -> None:
    site, nodes = noticed

    def texts() -> list[str]:
        return [node.holds["/notices/opening"]["text"] for node in nodes]

    applied = site.run("lockstep", "apply", "wanted.yaml", "--accept-loss")
    assert applied.endswith("4 committed\n"), applied
    assert [sorted(node.holds) for node in nodes] == [
        ["/notices/opening", "/pins/opening", "/v1/group/team-a/"]
    ] * 2
    assert "would set notice/opening on 2 of 2 hosts" in site.run("sh", "set.sh", "We open at ten.")
    assert texts() == ["We open at ten."] * 2
    assert site.run(str(site.python), "things.py").splitlines() == [
        "notice/opening: committed",
        "pin/opening: committed",
    ]
    assert texts() == ["We open at eight."] * 2
    (site.folder / "password.txt").write_text("open-sesame\n")
    assert 'set member "ann" on 2 hosts' in site.run("sh", "secret.sh", "ann", "password.txt")
    assert [node.holds["/members/ann"]["password"] for node in nodes] == ["open-sesame"] * 2
    without = {"LOCKSTEP_SEAL_KEY_FILE": ""}
    assert "names the file of keys" in site.run("sh", "secret.sh", "ann", "password.txt", code=2, env=without)


def test_the_alert_of_the_examples_fires(tmp_path: Path) -> None:
    counts = {"committed": "0+1x40", "rolled_back": "0+1x40"}
    case = {
        "rule_files": [str(EXAMPLES / "alert.yaml")],
        "tests": [
            {
                "interval": "1m",
                "input_series": [
                    {"series": f'lockstep_operations_total{{action="create",end="{end}"}}', "values": values}
                    for end, values in counts.items()
                ],
                "alert_rule_test": [
                    {
                        "eval_time": "30m",
                        "alertname": "ManyOperationsRolledBack",
                        "exp_alerts": [
                            {
                                "exp_labels": {"severity": "warning"},
                                "exp_annotations": {
                                    "summary": "50% of operations are rolled back.",
                                    "remedy": "lockstep history --state rolled_back names the reasons.",
                                },
                            }
                        ],
                    }
                ],
            }
        ],
    }
    (tmp_path / "case.yaml").write_text(json.dumps(case))
    subprocess.run(["promtool", "test", "rules", str(tmp_path / "case.yaml")], check=True, timeout=60)
    metrics = (ROOT / "worker/monitoring/metrics.py").read_text("utf-8")
    assert '"operations": ("Operations by their end.", ("action", "end")' in metrics


def test_a_compose_override_for_a_redis_with_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOWER_BASIC_AUTH", "me:secret")
    monkeypatch.setenv("REDIS_CA", "/ours/ca.pem")
    files = [ROOT / "docker-compose.yml", EXAMPLES / "compose.redis-tls.yaml"]
    compose = Path(sys.executable).with_name("docker-compose")
    command = [
        str(compose),
        *(f"--file={each}" for each in files),
        "--profile=command",
        "config",
        "--format=json",
    ]
    read = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    services = json.loads(read.stdout)["services"]
    assert set(services) == {"worker", "rollback", "beat", "flower", "command"}
    for service in services.values():
        path = service["environment"]["LOCKSTEP_REDIS_CA_FILE"]
        targets = {each["target"]: each["source"] for each in service["secrets"]}
        assert targets[path] == "redis-ca"
        assert targets["lockstep_redis_url"] in ("worker", "monitor", "producer")
        assert "redis" not in service.get("depends_on", {})
