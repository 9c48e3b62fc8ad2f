"""What KubeRay accepts of a RayJob, for the fields that ``sweeps/cluster/rayjob.yaml`` uses.

A cluster would drop or refuse what it does not know; here there is none to ask. The fields, their
types and their limits are those of KubeRay 1.5.1 (``ray.io/v1``) and of Kubernetes' own pods.
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string", "minLength": 1}
_COUNT: Schema = {"type": "integer", "minimum": 0, "maximum": 2**31 - 1}
_NAME: Schema = {"type": "string", "pattern": "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"}
_QUANTITY: Schema = {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?(m|[KMGT]i?)?$"}


def _object(required: dict[str, Schema], **optional: Schema) -> Schema:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": list(required),
        "properties": {**required, **optional},
    }


def _list(items: Schema) -> Schema:
    return {"type": "array", "minItems": 1, "items": items}


_RESOURCES = {"type": "object", "additionalProperties": _QUANTITY, "required": ["cpu", "memory"]}

_VARIABLE: Schema = {
    "oneOf": [
        _object({"name": _TEXT, "value": {"type": "string"}}),
        _object(
            {
                "name": _TEXT,
                "valueFrom": _object(
                    {"secretKeyRef": _object({"name": _NAME, "key": _TEXT})},
                ),
            }
        ),
    ]
}

_CONTAINER = _object(
    {"name": _NAME, "image": _TEXT},
    ports=_list(
        _object(
            {"containerPort": {"type": "integer", "minimum": 1, "maximum": 65535}},
            name={"type": "string", "pattern": "^[a-z0-9-]{1,15}$"},
        )
    ),
    resources=_object({"requests": _RESOURCES, "limits": _RESOURCES}),
    env=_list(_VARIABLE),
)

_POD = _object(
    {
        "spec": _object(
            {"containers": _list(_CONTAINER)},
            restartPolicy={"enum": ["Always", "OnFailure", "Never"]},
            terminationGracePeriodSeconds=_COUNT,
        )
    }
)

#: Options of ``ray start``, without their dashes; texts, whatever they mean.
_START_PARAMETERS: Schema = {"type": "object", "additionalProperties": {"type": "string"}}

_CLUSTER = _object(
    {
        "rayVersion": {"type": "string", "pattern": r"^\d+\.\d+\.\d+$"},
        "headGroupSpec": _object(
            {"rayStartParams": _START_PARAMETERS, "template": _POD},
            serviceType={"enum": ["ClusterIP", "NodePort", "LoadBalancer"]},
        ),
        "workerGroupSpecs": _list(
            _object(
                {
                    "groupName": _NAME,
                    "minReplicas": _COUNT,
                    "maxReplicas": _COUNT,
                    "rayStartParams": _START_PARAMETERS,
                    "template": _POD,
                },
                replicas=_COUNT,
            )
        ),
    },
    authOptions=_object({"mode": {"enum": ["disabled", "token"]}}),
    enableInTreeAutoscaling={"type": "boolean"},
    autoscalerOptions=_object(
        {},
        idleTimeoutSeconds=_COUNT,
        upscalingMode={"enum": ["Default", "Aggressive", "Conservative"]},
    ),
)

RAYJOB: Schema = _object(
    {
        "apiVersion": {"const": "ray.io/v1"},
        "kind": {"const": "RayJob"},
        # Two jobs must not have one name: the operator's own suffixes leave room for 47 letters.
        "metadata": _object({"generateName": {"type": "string", "pattern": "^[a-z0-9-]{1,41}-$"}}),
        "spec": _object(
            {"entrypoint": _TEXT, "rayClusterSpec": _CLUSTER},
            submissionMode={"enum": ["K8sJobMode", "HTTPMode", "SidecarMode", "InteractiveMode"]},
            shutdownAfterJobFinishes={"type": "boolean"},
            ttlSecondsAfterFinished=_COUNT,
            backoffLimit=_COUNT,
            runtimeEnvYAML=_TEXT,
        ),
    }
)
