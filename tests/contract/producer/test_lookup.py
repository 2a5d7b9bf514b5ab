"""Ids that are short, mistyped, or something else: what commands make of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import redis

from lockstep import ClusterClient, InvalidInput, RecordGone
from lockstep.producer.stack.processes import RedisServer
from lockstep.worker import kinds
from tests.contract.producer.conftest import Run
from tests.contract.producer.hand import NODE1, Hand
from tests.integration.kinds.node import KIND

FULL = "7f3c81d2aa01"
NOWHERE = "no operation has it, its record was dropped with age, or Redis has lost its data"


@pytest.fixture
def recorded(cluster: ClusterClient, hand: Hand) -> str:
    hand.roll_back(cluster.create_group("team-a", operation_id=FULL))
    cluster.create_group("team-b", operation_id="7f0000000000")
    return FULL


@pytest.mark.parametrize("command", [["status"], ["show"], ["watch"], ["report", "--html", "{file}"]])
def test_every_command_takes_the_beginning_of_an_id(
    lockstep: Run, recorded: str, command: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("report") / "page.html"
    name, *options = [each.format(file=file) for each in command]
    ran = lockstep(name, "7f3c", *options, "--json")
    assert ran.code == 0
    assert json.loads(ran.out)["id"] == recorded


def test_what_changes_an_operation_takes_it_too(lockstep: Run, cluster: ClusterClient, hand: Hand) -> None:
    operation = cluster.create_group("team-c", operation_id="abcdef123456")
    hand.apply(operation, NODE1)
    assert lockstep("cancel", "abcd").code == 0
    assert lockstep("abandon", "abcd", "node1", "--reason", "gone").code == 0
    assert operation.status().ended


def test_hold_promote_and_resolve_take_a_short_id(lockstep: Run, cluster: ClusterClient) -> None:
    cluster.create_group("team-c", operation_id="abcdef123456", waves="1,100%")
    for arguments in (("hold", "abcd", "--reason", "it is slow"), ("promote", "abcd")):
        assert lockstep(*arguments).code == 0
    refused = lockstep("resolve", "abcd", "node1", "--leave")
    assert "abcdef123456" in refused.err
    assert "is unknown" not in refused.err


def test_a_beginning_of_several_names_them(lockstep: Run, recorded: str) -> None:
    ran = lockstep("status", "7f")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == (
        'lockstep: error: operation id "7f" is the beginning of several: 7f0000000000, 7f3c81d2aa01; '
        "give more of it\n"
    )


def test_a_whole_id_is_no_beginning(lockstep: Run, cluster: ClusterClient) -> None:
    for name, group in (("order-1", "team-a"), ("order-11", "team-b")):
        cluster.create_group(group, operation_id=name)
    assert json.loads(lockstep("status", "order-1", "--json").out)["id"] == "order-1"


def test_programs_give_whole_ids(cluster: ClusterClient, recorded: str) -> None:
    with pytest.raises(InvalidInput, match="is unknown"):
        cluster.operation(recorded[:6])
    assert cluster.find(recorded[:6]).id == recorded


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("7f3c18d2aa01", "it looks like 7f3c81d2aa01, mistyped"),
        ("7F3C81D2AA01", "it looks like 7f3c81d2aa01, mistyped"),
        ("7f3c81d2aa0", None),
        ("node2", "it is a host of the inventory: `lockstep hosts --hosts node2`"),
        ("team-b", "it is a group: `lockstep history --group team-b` lists its operations"),
        ("0123456789ab", f"{NOWHERE}; see {RecordGone.page}"),
    ],
)
def test_an_id_that_no_operation_has_is_looked_at(
    lockstep: Run, recorded: str, given: str, said: str | None
) -> None:
    ran = lockstep("show", given)
    if said is None:
        assert ran.code == 0
        return
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == f'lockstep: error: operation id "{given}" is unknown: {said}\n'


def test_an_operation_of_another_database_or_prefix_is_found_there(
    lockstep: Run, own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCKSTEP_REDIS_URL", own_redis.url.replace("/0", "/3"))
    monkeypatch.setenv("LOCKSTEP_KEY_PREFIX", "theirs:")
    assert lockstep("create", "team-a", "--no-wait", "--id", "elsewhere").code == 0
    for database, prefix in (("3", "ours:"), ("0", "theirs:"), ("0", "ours:")):
        monkeypatch.setenv("LOCKSTEP_REDIS_URL", own_redis.url.replace("/0", f"/{database}"))
        monkeypatch.setenv("LOCKSTEP_KEY_PREFIX", prefix)
        for command, given, found in (
            ("show", "elsewhere", "it"),
            ("show", "elsew", "elsewhere"),
            ("status", "e", "elsewhere"),
        ):
            assert lockstep(command, given).err == (
                f'lockstep: error: operation id "{given}" is unknown: {found} is in database 3 under the key '
                'prefix "theirs:": see the end of LOCKSTEP_REDIS_URL, and LOCKSTEP_KEY_PREFIX\n'
            )


def test_drift_takes_operations_for_their_groups(
    lockstep: Run, cluster: ClusterClient, recorded: str, hand: Hand
) -> None:
    for given in ("7f3c", recorded, "team-a"):
        ran = lockstep("drift", given, "--json")
        assert ("is an operation on team-a" in ran.err) is (given != "team-a")
        assert not [line for line in ran.err.splitlines() if "team-b" in line]
    redis_client: redis.Redis = hand.redis
    assert redis_client.exists(f"{hand.settings.key_prefix}op:{recorded}")


def test_a_definition_whose_file_is_gone_is_printed_from_a_running_operation(
    lockstep: Run, tmp_path: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "notice.yaml"
    file.write_text(KIND)
    monkeypatch.setenv("LOCKSTEP_KINDS", str(tmp_path))
    digest = json.loads(lockstep("kinds", "show", "notice", "--json").out)["digest"]
    assert lockstep("create", "notice/a", "--set", "text=x", "--no-wait", "--id", "mine").code == 0
    monkeypatch.setattr(kinds, "_catalogues", {})  # as in another process, which has read the new file alone
    file.write_text(KIND.replace("{1,40}", "{1,50}"))

    assert lockstep("kinds", "show", f"notice@{digest[:8]}").out == KIND
    assert "{1,50}" in lockstep("kinds", "show", "notice").out
    unknown = lockstep("kinds", "show", "notice@00000000")
    assert (unknown.code, "put that file back" in unknown.err) == (2, True)
    monkeypatch.setenv("LOCKSTEP_REDIS_URL", "redis://127.0.0.1:1/0")
    silent = lockstep("kinds", "show", f"notice@{digest[:8]}")
    assert (silent.code, "put that file back" in silent.err) == (2, True)
