"""Secrets show nothing of themselves, and the net masks them in whatever else is written."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lockstep.worker.celery import make_app
from lockstep.worker.hosts.client import authorization
from lockstep.worker.operation.answer import LookVerdict
from lockstep.worker.operation.errors import InvalidInput
from lockstep.worker.operation.host import Host
from lockstep.worker.operation.model import HostName
from lockstep.worker.process import secrets
from lockstep.worker.process.secrets import MaskedFormatter, Secret, know, mask, masked
from lockstep.worker.settings import Settings, load_settings
from tests.unit.client import URL, G, client
from tests.unit.kinds.made import least, reply, thing

CANARY = 'cänary-#1/2"3'


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "_known", secrets._Known())


def test_a_secret_is_shown_by_nothing() -> None:
    secret = Secret(CANARY)
    assert secret.reveal() == CANARY
    assert secret == Secret(CANARY) != Secret("other")
    for shown in (repr(secret), str(secret), f"{secret}", f"{secret!r:>40}", repr([secret]), repr(vars)):
        assert "nary" not in shown
    for dump in (pickle.dumps, copy.deepcopy, json.dumps):
        with pytest.raises(TypeError) as caught:
            dump(secret)
        assert "nary" not in str(caught.value)


def test_the_url_of_redis_is_shown_by_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCKSTEP_REDIS_URL", "redis://me:canary-1-word@h:1/0")
    settings = load_settings()
    assert settings.redis_url.reveal().endswith("canary-1-word@h:1/0")
    assert settings.address.login.password == Secret("canary-1-word")
    shown = (
        repr(settings),
        f"{settings.redis_url}",
        str(vars(settings)),
        json.dumps(vars(settings), default=str),
    )
    assert not [text for text in shown if "canary" in text]
    with pytest.raises(TypeError):
        pickle.dumps(settings)
    assert mask("redis://me:canary-1-word@h:1/0") == "redis://me:…@h:1/0"
    assert settings.at("redis://other:2/0").address.shown == "redis://other:2/0"


def test_the_net_knows_a_secret_in_every_form_in_which_it_is_written() -> None:
    secrets.know(CANARY)
    for text in (
        CANARY,
        repr(CANARY),
        ascii(CANARY),
        json.dumps(CANARY),
        repr(CANARY.encode()),
        repr(CANARY.encode("latin-1")),
        "redis://me:c%C3%A4nary-%231%2F2%223@h/0",
        f"before{CANARY}after",
        repr(f"before{CANARY}".encode()),
    ):
        assert "nary" not in mask(text), text
        assert masked({"a": [text, 1, None, (text,)]}) == {"a": [mask(text), 1, None, (mask(text),)]}
    assert mask("nothing of it") == "nothing of it"
    secrets.know("cänary\\one", "canary→one", "canary😀one")
    for said in (repr, ascii, json.dumps):
        assert mask(said("before cänary\\one")) == said("before X").replace("X", "…")
    for encoding in ("utf-8", "utf-16-le"):
        assert mask(repr("before canary→one".encode(encoding))).endswith("…'")
    assert mask(repr(f"before {CANARY}".encode())) == "b'before …'"
    assert mask(ascii("before canary😀one")) == "'before …'"


def test_an_error_that_nobody_caught_is_written_masked(capsys: pytest.CaptureFixture[str]) -> None:
    know("canary-known")
    secrets.print_masked(ValueError, ValueError("of canary-known"), None)
    assert capsys.readouterr().err == "ValueError: of …\n"


def test_of_two_secrets_that_begin_alike_the_longer_one_is_masked_whole() -> None:
    know("canary-1", "canary-1-and-more")
    assert mask("canary-1-and-more canary-1") == "… …"


def test_a_handler_has_its_formatter_masked_once() -> None:
    logger, handler = logging.getLogger("lockstep-masked-once"), logging.NullHandler()
    logger.addHandler(handler)
    secrets.mask_logs(logger)
    found = handler.formatter
    secrets.mask_logs(logger)
    assert isinstance(found, MaskedFormatter)
    assert handler.formatter is found


def test_what_is_too_short_to_tell_from_a_word_is_left() -> None:
    secrets.know("node", "", None)
    assert mask("node1 refused") == "node1 refused"


def test_a_line_of_a_log_is_masked_with_its_traceback() -> None:
    secrets.know(CANARY)
    try:
        raise ValueError(f"bad header {CANARY!r}")
    except ValueError as error:
        record = logging.LogRecord("x", logging.ERROR, "f", 1, "%s", (CANARY,), (ValueError, error, None))
    assert "nary" not in MaskedFormatter(logging.Formatter()).format(record)


@pytest.mark.parametrize(
    "given",
    [
        {"redis_url": "redis://:canary-7/x@h/0"},
        {"redis_url": "http://me:canary-7@h/0"},
        {"redis_url": "redis://me:canary-7@h/0", "redis_ca_file": "/nowhere"},
        {"redis_url": "redis://me:canary-7@h/0", "call_timeout": 1, "read_timeout": 2},
        {"redis_url": "sentinel://a/0?master=m&sentinel_password=canary-7&x=1"},
    ],
)
def test_no_error_about_settings_quotes_the_url(given: dict[str, object]) -> None:
    with pytest.raises(InvalidInput) as caught:
        load_settings(**given)
    secrets._known = secrets._Known()  # what is raised has nothing to mask
    assert "canary-7" not in "".join(traceback.format_exception(caught.value))
    assert "canary-7" not in repr(Settings(redis_url="redis://me:canary-7@h/0"))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("cänary-token".encode("latin-1"), "is not UTF-8 text"),
        ("canary-token".encode("utf-16"), "is not UTF-8 text"),
        (b"", "is empty"),
        (b"canary-token two", "has more than one word"),
        ("cänary-token".encode(), "has more than one word, or characters that a header cannot carry"),
        (b"canary\x00token", "has more than one word"),
    ],
)
def test_a_token_that_cannot_be_sent_is_no_usable_answer_and_never_quoted(
    content: bytes, said: str, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_bytes(content)
    answer = client(URL, token_file=str(file)).look_at_group(G)
    assert answer.verdict is LookVerdict.NO_INFORMATION
    assert said in answer.text
    assert "nary" not in answer.text
    assert "token_" not in answer.text


def test_a_token_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_bytes(b"\xef\xbb\xbfsesame-77\r\n")
    host = Host(HostName("node1"), URL, token_file=str(file))
    assert authorization(host) == {"Authorization": "Bearer sesame-77"}


@pytest.mark.parametrize(
    "fields", [lambda error: {"result": error}, lambda error: [1, "id", "FAILURE", error]]
)
def test_what_a_result_keeps_of_an_error_is_masked(fields: Callable[[object], object]) -> None:
    """Celery keeps a task's result as an object, and a part of a chord as a list."""
    know("a-password-of-ours")
    error = {"exc_type": "OSError", "exc_message": ["no a-password-of-ours here"]}
    backend: Any = make_app(load_settings(redis_url="redis://127.0.0.1:1")).backend
    assert "a-password-of-ours" not in backend._encode(fields(error))[2]


def test_secrets_of_things_make_room_and_those_of_the_process_stay() -> None:
    know("canary-of-the-process")
    for number in range(secrets.MOST_PASSING + 1):
        know(f"canary-{number:04}", passing=True)
    assert mask("canary-of-the-process canary-0001 canary-0200") == "… … …"
    assert mask("canary-0000") == "canary-0000"


def test_what_looks_show_of_things_makes_room_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "MOST_PASSING", 1)
    kind = least(fields="{pin: {sensitive: true}}")
    for pin in ("canary-1", "canary-2"):
        kind.shown(thing(kind), reply(200, {"pin": pin}))
    assert mask("canary-1 canary-2") == "canary-1 …"


def test_what_is_cut_out_of_foreign_words_is_any_part_of_a_secret_in_any_form() -> None:
    told = 'bad value "canary-#%' + " and Y2FuYXJ5LSMlL3c= and canary%2D%23%25 and " + CANARY[:9]
    assert "ary" not in secrets.cut_out(told, ["canary-#%/w", CANARY])
    assert secrets.cut_out("it is too short", ["short1"]) == "it is too short"
    assert secrets.cut_out("a word", ["word"]) == "", "too short to be told from others"
