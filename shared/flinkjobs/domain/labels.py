"""Labels of a job: their syntax, their limit, and the keys that are not free. Pure.

https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set
"""

from __future__ import annotations

import re
from typing import Final

from flinkjobs.domain.naming import APP_LABEL, JOB_ID_LABEL, JOB_NAME_LABEL

MAX_LABELS: Final = 20
"""Maximum number of labels of a job, and of labels in a filter."""

_NAME: Final = r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"
_DNS_LABEL: Final = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_KEY: Final = re.compile(rf"({_DNS_LABEL}(\.{_DNS_LABEL})*/)?{_NAME}")
VALUE_PATTERN: Final = rf"^({_NAME})?$"
MAX_VALUE: Final = 63
"""Maximum number of characters of a value."""
_MAX_PREFIX: Final = 253

RESERVED_KEYS: Final = (
    (
        re.compile(rf"^({APP_LABEL}|{JOB_ID_LABEL}|flinkjobs/.*)$"),
        "is set by submit: sync and cleanup select by it",
    ),
    (re.compile(rf"^({JOB_NAME_LABEL}|controller-uid)$"), "is set by Kubernetes on the pods of a Job"),
    (re.compile(r"^([^/]+\.)?(kubernetes|k8s)\.io/"), "is reserved for Kubernetes and its controllers"),
    (re.compile(r"^sidecar\.istio\.io/inject$"), "is decided by the setting K8S_ALLOW_INJECTION"),
)
"""Keys that a submission may not set, and why."""


def check_key(key: str) -> str:
    """The key itself.

    Raises:
        ValueError: it is no label key of Kubernetes.
    """
    prefix = key.partition("/")[0] if "/" in key else ""
    if not _KEY.fullmatch(key) or len(prefix) > _MAX_PREFIX:
        raise ValueError(
            "must be a Kubernetes label key: at most 63 letters, digits, '-', '_' and '.', beginning and "
            "ending with a letter or digit; before them, if needed, a DNS name and '/'"
        )
    return key


def check_free_key(key: str) -> str:
    """The key itself.

    Raises:
        ValueError: it is no label key of Kubernetes, or it is reserved.
    """
    check_key(key)
    for pattern, why in RESERVED_KEYS:
        if pattern.search(key):
            raise ValueError(why)
    return key


def check_value(value: str) -> str:
    """The value itself.

    Raises:
        ValueError: it is no label value of Kubernetes.
    """
    if not re.fullmatch(VALUE_PATTERN, value):
        raise ValueError(
            "must be a Kubernetes label value: empty, or at most 63 letters, digits, '-', '_' and '.', "
            "beginning and ending with a letter or digit"
        )
    return value
