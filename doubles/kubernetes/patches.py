"""Applying patches.

A strategic merge patch is applied as a merge patch: maps merge, lists are replaced as a whole. The patches
that change labels, annotations and scalar fields mean the same in both.
"""

from typing import Any

from doubles.kubernetes.errors import bad_request, unsupported_media_type
from doubles.kubernetes.objects import Obj

MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"


def apply_patch(content_type: str, obj: Obj, patch: object) -> Obj:
    """The patched object.

    Raises:
        ApiError: 415 for a kind of patch that is not known, 400 for one that is no object.
    """
    if content_type not in (MERGE, STRATEGIC):
        raise unsupported_media_type(f"{MERGE}, {STRATEGIC}")
    if not isinstance(patch, dict):
        raise bad_request("the patch is no JSON object")
    merged: Obj = merge(obj, patch)
    return merged


def merge(target: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merge(result.get(name), value)
    return result
