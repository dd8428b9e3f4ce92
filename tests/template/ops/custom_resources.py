"""Strict schemas of the custom resources in k8s/components, for what is used there of each.

kubernetes-validate only knows Kubernetes' own kinds. These were compared with the definitions of Prometheus Operator
and Argo Rollouts by applying the manifests to an API server that has those; a field that is not here is a mistake, or
a reason to look it up and add it.
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]
TEXT: Schema = {"type": "string"}
WHOLE: Schema = {"type": "integer"}
TRUTH: Schema = {"type": "boolean"}
TEXTS: Schema = {"type": "object", "additionalProperties": TEXT}
DURATION: Schema = {"type": "string", "pattern": r"^(\d+(ms|s|m|h))+$"}


def thing(*optional: str, **fields: Schema) -> Schema:
    """An object with exactly these fields; all but the `optional` ones are needed."""
    needed = sorted(set(fields) - set(optional))
    return {"type": "object", "properties": fields, "required": needed, "additionalProperties": False}


def some(item: Schema) -> Schema:
    """A list that is not empty."""
    return {"type": "array", "items": item, "minItems": 1}


META = thing("annotations", "labels", name=TEXT, namespace=TEXT, labels=TEXTS, annotations=TEXTS)


def resource(version: str, kind: str, spec: Schema) -> Schema:
    """A custom resource."""
    return thing(apiVersion={"const": version}, kind={"const": kind}, metadata=META, spec=spec)


RULE = thing(
    *("record", "alert", "for", "keep_firing_for", "labels", "annotations"),
    record=TEXT, alert=TEXT, expr=TEXT, labels=TEXTS, annotations=TEXTS, keep_firing_for=DURATION, **{"for": DURATION},
)  # fmt: skip
ARGUMENT = thing(
    "value", "valueFrom",
    name=TEXT, value=TEXT,
    valueFrom=thing("fieldRef", "podTemplateHashValue", fieldRef=thing(fieldPath=TEXT),
                    podTemplateHashValue={"enum": ["Stable", "Latest"]}),
)  # fmt: skip
METRIC = thing(
    name=TEXT, initialDelay=DURATION, interval=DURATION, count=WHOLE, failureLimit=WHOLE, inconclusiveLimit=WHOLE,
    successCondition=TEXT, failureCondition=TEXT, provider=thing(prometheus=thing(address=TEXT, query=TEXT)),
)  # fmt: skip
ANALYSIS = thing(templates=some(thing(templateName=TEXT)), args=some(ARGUMENT))
STEP = thing("setWeight", "analysis", setWeight=WHOLE, analysis=ANALYSIS)

SCHEMAS = {
    "ServiceMonitor": resource(
        "monitoring.coreos.com/v1",
        "ServiceMonitor",
        thing(selector=thing(matchLabels=TEXTS), endpoints=some(thing(port=TEXT, path=TEXT, interval=DURATION))),
    ),
    "PrometheusRule": resource(
        "monitoring.coreos.com/v1",
        "PrometheusRule",
        thing(groups=some(thing("interval", name=TEXT, interval=DURATION, rules=some(RULE)))),
    ),
    "Rollout": resource(
        "argoproj.io/v1alpha1",
        "Rollout",
        thing(
            workloadRef=thing(apiVersion=TEXT, kind=TEXT, name=TEXT,
                              scaleDown={"enum": ["never", "onsuccess", "progressively"]}),
            minReadySeconds=WHOLE, revisionHistoryLimit=WHOLE, progressDeadlineSeconds=WHOLE,
            progressDeadlineAbort=TRUTH,
            strategy=thing(canary=thing(maxUnavailable=WHOLE, maxSurge=WHOLE, steps=some(STEP))),
        ),
    ),
    "AnalysisTemplate": resource(
        "argoproj.io/v1alpha1", "AnalysisTemplate", thing(args=some(ARGUMENT), metrics=some(METRIC))
    ),
}  # fmt: skip
