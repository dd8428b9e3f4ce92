"""Argo CD's Application and Flux's Kustomization: fields of their kinds, and an overlay that there is.

The schemas are strict, for the fields that are used; they were compared with the definitions of Argo CD and Flux.
"""

import jsonschema
import pytest
import yaml

from ops.custom_resources import DURATION, TEXT, TEXTS, TRUTH, resource, some, thing
from ops.manifests import K8S, ROOT, of_kind, render

FILES = sorted((K8S / "gitops").glob("*.yaml"))
SCHEMAS = {
    "Application": resource(
        "argoproj.io/v1alpha1",
        "Application",
        thing(
            project=TEXT,
            source=thing(repoURL=TEXT, targetRevision=TEXT, path=TEXT),
            destination=thing(server=TEXT, namespace=TEXT),
            syncPolicy=thing(automated=thing(prune=TRUTH, selfHeal=TRUTH), syncOptions=some(TEXT)),
        ),
    ),
    "GitRepository": resource(
        "source.toolkit.fluxcd.io/v1", "GitRepository", thing(url=TEXT, ref=TEXTS, interval=DURATION)
    ),
    "Kustomization": resource(
        "kustomize.toolkit.fluxcd.io/v1",
        "Kustomization",
        thing(
            sourceRef=thing(kind=TEXT, name=TEXT),
            path=TEXT,
            interval=DURATION,
            timeout=DURATION,
            prune=TRUTH,
            wait=TRUTH,
        ),
    ),
}


def objects() -> list[dict]:
    return [one for path in FILES for one in yaml.safe_load_all(path.read_text())]


@pytest.mark.parametrize("one", objects(), ids=lambda one: one["kind"])
def test_each_object_has_the_fields_of_its_kind_and_no_others(one):
    jsonschema.validate(one, SCHEMAS[one["kind"]])


def test_each_applies_an_overlay_from_the_one_repository():
    argo, flux = of_kind(objects(), "Application"), of_kind(objects(), "Kustomization")
    source = of_kind(objects(), "GitRepository")
    assert flux["spec"]["sourceRef"] == {"kind": source["kind"], "name": source["metadata"]["name"]}
    assert argo["spec"]["source"]["repoURL"] == source["spec"]["url"]
    for path in (argo["spec"]["source"]["path"], flux["spec"]["path"]):
        assert (ROOT / path / "kustomization.yaml").exists()
    production = of_kind(render("production"), "Namespace")["metadata"]["name"]
    assert argo["spec"]["destination"]["namespace"] == production


def test_a_field_with_a_slip_of_the_pen_is_refused():
    application = of_kind(objects(), "Application")
    application["spec"]["syncPolicy"]["automated"]["selfheal"] = True
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(application, SCHEMAS["Application"])
