"""What Kubernetes, KEDA and others would refuse: fields that they do not know, names that lead nowhere."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml

from tests.ship.rendered import VAULT, Object, Rendered, render

KUBERNETES = ("1.30", "1.37")
"""The oldest release that the manifests are for, and the newest that the validator knows."""
OTHERS = Path(__file__).with_name("others.schema.yaml")
"""What the manifests use of objects that are not Kubernetes' own."""


@pytest.mark.parametrize("version", KUBERNETES)
def test_every_object_fits_its_schema_and_has_no_unknown_field(rendered: Rendered, version: str) -> None:
    for each in rendered.objects:
        _check(json.dumps(each.body), version)


@pytest.mark.parametrize(
    ("kind", "field"),
    [("Deployment", "replica"), ("ScaledObject", "minReplicas"), ("ExternalSecret", "stores")],
)
def test_a_misspelled_field_is_noticed(kind: str, field: str) -> None:
    body = render(VAULT).of(kind)[0].body
    with pytest.raises(jsonschema.ValidationError, match=field):
        _check(json.dumps({**body, "spec": {**body["spec"], field: 2}}), KUBERNETES[-1])


@functools.cache  # overlays have most objects in common
def _check(text: str, version: str) -> None:
    """Raise ValidationError for a field that is wrong, missing or unknown."""
    body = json.loads(text)
    if body["kind"] in _others()["$defs"]:
        # jsonschema names the culprit better in one schema than in a choice of them.
        schema = {**_others(), "$ref": f"#/$defs/{body['kind']}"}
        jsonschema.Draft202012Validator(schema).validate(body)
    else:
        kubernetes_validate.validate(body, version, strict=True)


@functools.cache
def _others() -> dict[str, Any]:
    schema: dict[str, Any] = yaml.safe_load(OTHERS.read_text("utf-8"))
    return schema


def test_names_are_unique_and_everything_is_in_the_namespace(rendered: Rendered) -> None:
    named = [str(each) for each in rendered.objects]
    assert len(named) == len(set(named))
    for each in rendered.objects:
        if each.kind != "Namespace":
            assert each.body["metadata"]["namespace"] == "lockstep", each


def test_nothing_is_sent_that_the_api_server_writes_otherwise(rendered: Rendered) -> None:
    """Whatever it drops or rewrites, each apply sends anew, and says `configured` of what has not changed."""
    for each in rendered.of("Secret"):
        assert not [key for key, value in each.body["data"].items() if "\n" in value], each
    for each in rendered.starting_pods():
        variables = [one for container in each.containers for one in container.get("env", [])]
        assert not [one["name"] for one in variables if one.get("value") == ""], each


def test_what_pods_refer_to_is_there_or_is_a_secret_to_be_made(rendered: Rendered) -> None:
    maps = {each.name for each in rendered.of("ConfigMap")}
    secrets = {each.name for each in rendered.of("Secret")}
    to_be_made = {"lockstep-credentials", "lockstep-redis-tls"} | (
        set() if secrets else {"lockstep-redis", "lockstep-flower"}
    )
    if vault := {each.name for each in rendered.of("ExternalSecret")}:
        assert vault == {"lockstep-redis", "lockstep-flower"}
    for each in rendered.starting_pods():
        found = list(_references(each.pod))
        assert {name for kind, name in found if kind == "map"} <= maps, each
        assert {name for kind, name in found if kind == "secret"} <= secrets | to_be_made, each


def test_selectors_find_the_pods_that_they_are_for(rendered: Rendered) -> None:
    pods = [_labels_of_pods(each) for each in rendered.starting_pods()]
    for each in rendered.of("Deployment", "StatefulSet"):
        wanted = each.spec["selector"]["matchLabels"].items()
        assert [labels for labels in pods if wanted <= labels.items()] == [_labels_of_pods(each)], each
    for each in rendered.of("Service"):
        assert any(each.spec["selector"].items() <= labels.items() for labels in pods), each
    for each in rendered.of("PodDisruptionBudget"):
        assert any(each.spec["selector"]["matchLabels"].items() <= labels.items() for labels in pods), each


def _labels_of_pods(each: Object) -> dict[str, str]:
    template = each.template
    assert template is not None
    return dict(template["metadata"]["labels"])


def _references(part: Any) -> Any:
    """Yield every ConfigMap and Secret that a pod names."""
    if isinstance(part, list):
        for each in part:
            yield from _references(each)
    elif isinstance(part, dict):
        for key, value in part.items():
            if key in ("configMapRef", "configMapKeyRef", "configMap"):
                yield ("map", value["name"])
            elif key in ("secretRef", "secretKeyRef"):
                yield ("secret", value["name"])
            elif key == "secret":
                yield ("secret", value["secretName"])
            else:
                yield from _references(value)
