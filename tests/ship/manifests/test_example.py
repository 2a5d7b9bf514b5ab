"""What enqueues in a cluster: a Job for pipelines, and programs in namespaces of their own."""

from __future__ import annotations

from tests.ship.rendered import COMPONENT, EXAMPLE, LOCAL, MANIFESTS, ROOT, render


def test_the_example_is_repeatable_and_gives_up_on_what_would_not_change() -> None:
    """It is a template, for a Job's own may not change: the next apply, with other settings, would fail."""
    assert not render(EXAMPLE).of("Job")
    (template,) = render(EXAMPLE).of("CronJob")
    assert template.spec["suspend"] is True
    assert template.containers[0]["command"][:5] == ["lockstep", "create", "$(GROUP)", "--id", "$(OPERATION)"]
    job = template.spec["jobTemplate"]["spec"]
    (rule,) = (each for each in job["podFailurePolicy"]["rules"] if each["action"] == "FailJob")
    assert rule["onExitCodes"]["values"] == [1, 2, 3, 7]
    assert template.labels[COMPONENT] == "command"


def test_the_group_is_named_once() -> None:
    texts = [path.read_text("utf-8") for path in EXAMPLE.iterdir()]
    assert sum(text.count("team-a") for text in texts) == 1


def test_the_example_adds_nothing_but_its_template() -> None:
    assert [str(each) for each in render(EXAMPLE).objects if each not in render(LOCAL).objects] == [
        "CronJob/create-group"
    ]


def test_a_program_of_another_namespace_is_let_in_by_labels_and_has_the_login_of_a_producer() -> None:
    example = render(MANIFESTS / "examples" / "client")
    (namespace,) = example.of("Namespace")
    (program,) = example.of("Deployment")
    template = program.template
    assert template is not None
    policy = render(LOCAL).one("NetworkPolicy", "redis-from-lockstep").spec
    (_, stranger) = policy["ingress"][0]["from"]
    for selector, labels in (
        ("namespaceSelector", namespace.labels),
        ("podSelector", template["metadata"]["labels"]),
    ):
        wanted = stranger[selector]["matchLabels"]
        assert wanted
        assert wanted.items() <= labels.items()
    own = example.one("NetworkPolicy", "lockstep-client").spec
    assert own["podSelector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
    variables = {each["name"]: each for each in program.containers[0]["env"]}
    secret = variables["LOCKSTEP_REDIS_URL"]["valueFrom"]["secretKeyRef"]
    assert (secret["name"], secret["key"]) == ("lockstep-client", "producer")
    page = (ROOT / "docs" / "kubernetes.md").read_text("utf-8")
    assert "create secret generic lockstep-client --from-file=producer=" in page
    *_, code = program.containers[0]["command"]
    assert "ClusterClient()" in code
    exec("\n".join(line for line in code.splitlines() if "import" in line), {})  # it finds what it imports
