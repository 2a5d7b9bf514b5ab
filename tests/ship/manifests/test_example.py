"""The Job that enqueues an operation."""

from __future__ import annotations

from tests.ship.rendered import COMPONENT, EXAMPLE, LOCAL, render


def test_the_example_is_repeatable_and_gives_up_on_what_would_not_change() -> None:
    (job,) = render(EXAMPLE).of("Job")
    command = job.containers[0]["command"]
    assert command[:2] == ["lockstep", "create"]
    assert "--id" in command
    (rule,) = (each for each in job.spec["podFailurePolicy"]["rules"] if each["action"] == "FailJob")
    assert rule["onExitCodes"]["values"] == [1, 2, 3, 7]
    assert job.labels[COMPONENT] == "command"


def test_the_example_adds_nothing_but_its_job() -> None:
    assert [str(each) for each in render(EXAMPLE).objects if each not in render(LOCAL).objects] == [
        "Job/create-team-a"
    ]
