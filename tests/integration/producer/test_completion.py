"""Shells complete commands and options, without a word to Redis."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from tests.contract.producer.conftest import Run
from tests.integration.producer.test_cli_process import LOCKSTEP


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_a_script(lockstep: Run, shell: str) -> None:
    ran = lockstep("completion", shell)
    assert ran.code == 0
    assert f"_LOCKSTEP_COMPLETE={shell}_complete" in ran.out


def test_another_shell_is_refused(lockstep: Run) -> None:
    assert lockstep("completion", "csh").code == 2


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
def test_the_script_is_bash(lockstep: Run) -> None:
    script = lockstep("completion", "bash").out
    assert subprocess.run(["bash", "-n"], input=script, text=True, check=False).returncode == 0


@pytest.mark.parametrize(
    ("words", "expected"), [("lockstep ab", "plain,abandon"), ("lockstep create --pre", "plain,--preflight")]
)
def test_what_the_shell_is_told(words: str, expected: str) -> None:
    asked = {"_LOCKSTEP_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    ran = subprocess.run(LOCKSTEP, env={**os.environ, **asked}, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (0, f"{expected}\n")
