"""What an inventory may say of a host, to its bounds, and how times are told."""

from __future__ import annotations

import pytest

from lockstep.worker.operation.errors import InvalidInput
from lockstep.worker.operation.host import UNLIMITED, Host, Silence, WriteLimit, age, parse_url, spared_text
from lockstep.worker.operation.model import HostName, Millis


@pytest.mark.parametrize(
    ("name", "least", "most"), [("max_writes_at_once", 1, 10_000), ("writes_per_second", 0.01, 1000)]
)
def test_a_limit_may_be_as_small_and_as_large_as_it_says(name: str, least: float, most: float) -> None:
    for allowed in (least, most):
        assert WriteLimit.read("host a:", {name: allowed}) != UNLIMITED
    for beyond in (least * 0.99, most * 1.01, most + 1, True):
        with pytest.raises(InvalidInput, match=name):
            WriteLimit.read("host a:", {name: beyond})


def test_the_certificate_of_a_host_is_verified_unless_somebody_says_otherwise() -> None:
    assert Host(HostName("node1"), "https://node1").verify is True


def test_a_url_with_a_password_is_named_by_its_host_alone() -> None:
    with pytest.raises(
        InvalidInput, match=r'^url of "node1:99" has a user or password in it: use token_file$'
    ):
        parse_url("http://ann:canary@node1:99/path?token=canary")


@pytest.mark.parametrize(
    ("apart", "told"),
    [
        (999, "just now"),
        (1_000, "1 s ago"),
        (59_999, "59 s ago"),
        (60_000, "1 min ago"),
        (3_599_999, "59 min ago"),
        (3_600_000, "1 h ago"),
        (172_799_999, "47 h ago"),
        (172_800_000, "2 days ago"),
        (259_199_999, "2 days ago"),
        (259_200_000, "3 days ago"),
        (-1_000, "in 1 s"),
    ],
)
def test_how_long_ago_is_told_by_the_largest_unit(apart: int, told: str) -> None:
    assert age(Millis(0), Millis(apart)) == told


@pytest.mark.parametrize(
    ("left", "lasts"),
    [
        (12_000_400, "for 12000 s"),
        (1_600, "for 2 s"),
        (400, "for 1 s"),
        (0, "until one look has found out whether it answers"),
    ],
)
def test_for_how_long_a_host_is_spared_is_told_in_seconds(left: int, lasts: str) -> None:
    silence = Silence(HostName("node1"), Millis(0), Millis(1), 3, "GET timed out")
    assert silence.text(left) == f"spared {lasts}: 3 looks in a row failed (GET timed out)"
    assert silence.text(left) == spared_text(left / 1000, 3, "GET timed out")


def test_a_fingerprint_is_that_which_earlier_releases_kept() -> None:
    assert Host(HostName("node1"), "http://node1:80").fingerprint == "6c16da1bda24"
