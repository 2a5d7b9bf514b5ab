"""Flower as people and programs see it: every task of an operation, in rows that read well.

Whoever asks for the stack is in this file: it takes half a minute to come to where it is looked at.
FLOWER_PICTURE names a file for a picture of the page, as docs/flower.png is one.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import pytest
import requests
from celery.events import Event
from flower.urls import handlers  # type: ignore[import-untyped]
from playwright.sync_api import Browser

from lockstep.producer.client.client import ClusterClient
from lockstep.producer.stack.ports import free_port
from lockstep.worker.celery import TaskName, make_app
from lockstep.worker.settings import load_settings
from tests.waits import PATIENCE, eventually, opened
from tests.warm import Warm
from tests.watch.conftest import LOOK, Watched, tasks

HOSTS = [f"node{number}" for number in range(1, 6)]
API = [rule for rule in handlers if isinstance(rule, tuple) and rule[0].startswith("/api/")]
ACTING = [rule[0] for rule in API if "post" in vars(rule[1])]
"""The paths of Flower's API that do something."""
PRESSED = ".btn, .btn-group button, form"
Row: TypeAlias = dict[str, str]


def search(browser: Browser, watched: Watched, words: str) -> list[Row]:
    """Search as a person does who has never been there, and read the rows that the page then shows."""
    with opened(browser, f"{watched.flower}/tasks") as page:
        page.get_by_label("Tasks per page").select_option("100")
        page.locator("input[type=search]").fill(words)
        page.get_by_text("filtered from").wait_for()
        if words.startswith("args:team") and "FLOWER_PICTURE" in os.environ:
            page.screenshot(path=os.environ["FLOWER_PICTURE"])
        names = page.locator("#tasks-table_wrapper .dataTables_scrollHead th").all_inner_texts()
        rows = page.locator("#tasks-table tbody tr").all()
        cells = [[cell.strip() for cell in row.locator("td").all_inner_texts()] for row in rows]
        return [dict(zip((name.strip().lower() for name in names), row, strict=True)) for row in cells]


UNDONE = "changed by its write before the decision, undone: DELETE answered 200"
REFUSED = "refused (403); not changed: its write had no effect (403), to be confirmed by a look"


def test_rows_say_what_was_done_where_and_what_came_of_it(browser: Browser, watched: Watched) -> None:
    short = watched.rolled_back[:8]
    rows = search(browser, watched, "args:team-b")
    said = {(row["name"], row["args"], row["result"]) for row in rows}
    assert {
        ("create_group", f"team-b @ node1 · op {short}", "changed by its write"),
        ("create_group", f"team-b @ node4 · op {short}", REFUSED),
        ("rollback_create", f"team-b @ node1 · op {short}", UNDONE),
        ("conclude", f"team-b · op {short}", "rolled back: node4 refused (403)"),
    } <= said
    assert rows[0]["result"] == "rolled back: node4 refused (403)"
    assert {row["state"] for row in rows} == {"SUCCESS"}


def test_a_search_for_the_id_finds_the_whole_operation_and_nothing_else(
    browser: Browser, watched: Watched
) -> None:
    by_id = search(browser, watched, f"args:{watched.rolled_back}")
    assert by_id == search(browser, watched, "args:team-b")
    assert {row["args"].split(" ")[0] for row in by_id} == {"team-b"}
    assert search(browser, watched, f"args:{watched.rolled_back[:8]}") == by_id
    forward = {row["args"] for row in by_id if row["name"] == "create_group"}
    assert forward == {f"team-b @ {host} · op {watched.rolled_back[:8]}" for host in HOSTS}


def workers(url: str) -> list[str]:
    """Return the workers that a Flower knows, once it knows any."""
    asked = f"{url}/api/workers"
    return eventually(
        lambda: list(requests.get(asked, params={"refresh": 1}, timeout=PATIENCE).json()), "it knows workers"
    )


def pressed(browser: Browser, url: str, path: str) -> list[str]:
    """What the page of a worker or a task has to press."""
    with opened(browser, f"{url}/{path}") as page:
        page.locator("#workername, #taskid").first.wait_for(state="attached")
        return [text.strip() for text in page.locator(PRESSED).all_text_contents()]


def one_under_way(watched: Watched, *flowers: str) -> str:
    """Tell each Flower of a task that a worker has and will never end."""
    uuid = "00000000-0000-4000-8000-000000000000"
    app = make_app(load_settings(**watched.stack.settings))
    with app.events.default_dispatcher() as events:

        def told() -> bool:
            events.send("task-received", uuid=uuid, name=TaskName.CREATE_GROUP, args="team-r", retries=0)
            return all(uuid in tasks(flower) for flower in flowers)

        eventually(told, "each has heard of it", latest=LOOK)
    app.close()
    return f"task/{uuid}"


def test_flower_has_no_button_that_does_something(browser: Browser, watched: Watched, tmp_path: Path) -> None:
    with another_flower(watched, tmp_path, FLOWER_READ_ONLY="false") as other:
        task = one_under_way(watched, other, watched.flower)
        worker = f"worker/{workers(other)[0]}"
        assert "Revoke" in pressed(browser, other, task)
        assert {"Shut Down", "Grow", "Shrink", "Apply", "Add"} <= set(pressed(browser, other, worker))
    assert not pressed(browser, watched.flower, task)
    assert not pressed(browser, watched.flower, worker)


@pytest.fixture(scope="module")
def worker(watched: Watched) -> str:
    """One that Flower knows; to ask for it takes seconds."""
    return workers(watched.flower)[0]


@pytest.mark.parametrize("path", ACTING)
def test_every_call_that_would_do_something_is_refused(watched: Watched, worker: str, path: str) -> None:
    named = path.replace("(.+)", next(iter(tasks(watched.flower))) if "/task/" in path else worker)
    answer = requests.post(f"{watched.flower}{named}", timeout=PATIENCE)
    assert (answer.status_code, answer.text) == (403, "Read only mode is enabled")


def test_every_task_of_an_operation_has_its_root_id_and_names_it(watched: Watched) -> None:
    for operation, group in ((watched.committed, "team-a"), (watched.rolled_back, "team-b")):
        ours = [task for task in tasks(watched.flower).values() if group in str(task["args"])]
        assert {task["root_id"] for task in ours} == {operation}
        assert all(str(task["args"]).endswith(f"· op {operation}") for task in ours)
        names = {str(task["name"]).removeprefix("lockstep.") for task in ours}
        assert names == {"create_group", "conclude"} | ({"rollback_create"} if group == "team-b" else set())


def test_a_task_that_was_retried_and_one_that_the_sweep_published_read_like_any_other(
    watched: Watched,
) -> None:
    found = list(tasks(watched.flower).values())
    retried = [task for task in found if task["args"] == f"team-a @ node2 · op {watched.committed}"]
    assert [(task["retries"], task["result"]) for task in retried] == [(2, "'changed by its write'")]
    again = [task for task in found if task["args"] == f"team-b @ node2 · op {watched.rolled_back}"]
    undone = [task for task in again if task["name"] == "lockstep.rollback_create"]
    # The first kept its wait in the record; the sweep published the others.
    assert len(undone) > 1
    assert {task["root_id"] for task in undone} == {watched.rolled_back}


def test_the_sweep_does_not_push_out_what_people_look_for(watched: Watched) -> None:
    log = watched.stack.process("beat").output
    swept = log().count("Sending due task sweep")
    eventually(lambda: log().count("Sending due task sweep") > swept + 1, "two more sweeps")
    assert TaskName.SWEEP not in {task["name"] for task in tasks(watched.flower).values()}


@contextmanager
def another_flower(watched: Watched, directory: Path, **variables: str) -> Iterator[str]:
    port = free_port()
    env = {**watched.stack.env, "FLOWER_DB": str(directory / "flower"), **variables}
    command = [
        sys.executable,
        "-m",
        "lockstep.worker.monitoring.flower",
        "--address=127.0.0.1",
        f"--port={port}",
    ]
    with Warm("flower", command, directory=directory, env=env) as child:
        eventually(lambda: answers(f"http://127.0.0.1:{port}"), "Flower answers")
        yield f"http://127.0.0.1:{port}"
        child.stop()


def answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/healthcheck", timeout=PATIENCE).ok
    except requests.ConnectionError:
        return False


def heard_of(url: str, operation: str) -> bool:
    return operation in requests.get(f"{url}/api/tasks", timeout=PATIENCE).text


def test_flower_shows_after_a_restart_what_it_showed_before(watched: Watched, tmp_path: Path) -> None:
    with another_flower(watched, tmp_path) as url:
        with ClusterClient(load_settings(**watched.stack.settings)) as client:
            operation = client.create_group("team-m")
            operation.wait(timeout=PATIENCE)
        eventually(lambda: heard_of(url, operation.id), "Flower has heard of it", latest=LOOK)
    with another_flower(watched, tmp_path) as url:
        assert heard_of(url, operation.id)
        assert not heard_of(url, watched.committed), "it ended before the first of the two was started"


def test_a_forged_event_breaks_no_page(watched: Watched) -> None:
    app = make_app(load_settings(**watched.stack.settings))
    forged = {
        "freq": "x",
        "loadavg": 7,
        "active": {},
        "processed": [],
        "pid": None,
        "heartbeats": 5,
        "sw_ident": 1,
    }
    usual = {"utcoffset": 0, "pid": 1, "clock": 1}
    sent: dict[str, list[dict[str, object]]] = {
        "worker-online": [{**forged, "hostname": "evil@x"}, {"hostname": "last@x"}],
        "worker-heartbeat": [{"hostname": {"a": 1}}],
        "task-received": [{"hostname": "evil@x", "uuid": ["x"]}],
    }
    with app.events.default_dispatcher() as events:
        for kind, each in sorted(sent.items()):
            for fields in each:
                event = Event(kind, {**usual, **fields})
                events._publish(event, events.producer, kind.replace("-", "."))
    app.close()
    heard = eventually(
        lambda: "last@x" in status(watched) and status(watched), "it has heard of the last", latest=LOOK
    )
    assert "evil@x" in heard
    for page in ("workers", "workers?json=1", "tasks", "api/workers", "metrics"):
        assert requests.get(f"{watched.flower}/{page}", timeout=PATIENCE).ok, page


def status(watched: Watched) -> str:
    return requests.get(f"{watched.flower}/workers?json=1", timeout=PATIENCE).text


def test_metrics_of_flower_ask_for_its_password(watched: Watched, tmp_path: Path) -> None:
    with another_flower(watched, tmp_path, FLOWER_BASIC_AUTH="me:secret") as url:
        assert requests.get(f"{url}/metrics", timeout=PATIENCE).status_code == 401
        assert "flower_" in requests.get(f"{url}/metrics", auth=("me", "secret"), timeout=PATIENCE).text
        assert requests.get(f"{url}/healthcheck", timeout=PATIENCE).ok


def test_flower_without_a_password_does_not_listen_for_strangers() -> None:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("FLOWER_")}
    started = subprocess.run(
        [sys.executable, "-m", "lockstep.worker.monitoring.flower", "--address=0.0.0.0", "--port=0"],
        env={**inherited, "PYTHONPATH": str(Path(__file__).parents[2]), "FLOWER_BASIC_AUTH": ""},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert started.returncode == 1
    assert "would listen on 0.0.0.0 and ask for no password" in started.stderr
