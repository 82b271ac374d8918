"""What a caller may ask about itself: whether it may do a thing, and who it is."""

from datetime import datetime

from doubles.kubernetes.authorization import Attributes, Authorizer
from doubles.kubernetes.errors import ApiError, Cause
from doubles.kubernetes.objects import stamp
from doubles.kubernetes.requests import Answer, json_answer, parse_json

ACCESS_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
SUBJECT_REVIEWS = "/apis/authentication.k8s.io/v1/selfsubjectreviews"


def review_access(body: bytes, user: str, authorizer: Authorizer) -> Answer:
    """https://kubernetes.io/docs/reference/kubernetes-api/authorization-resources/self-subject-access-review-v1/"""
    spec = parse_json(body).get("spec") or {}
    asked = spec.get("resourceAttributes")
    if asked is None and spec.get("nonResourceAttributes") is None:
        message = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        cause = Cause("spec.resourceAttributes", f"Required value: {message}")
        raise ApiError(422, "Invalid", f'SelfSubjectAccessReview.authorization.k8s.io "" is invalid: {cause}')
    asked = asked or {}
    attributes = Attributes(
        user=user,
        verb=asked.get("verb", ""),
        group=asked.get("group", ""),
        resource=asked.get("resource", ""),
        subresource=asked.get("subresource", ""),
        namespace=asked.get("namespace", ""),
        name=asked.get("name", ""),
    )
    allowed = authorizer.allows(attributes)
    return json_answer(
        {
            "kind": "SelfSubjectAccessReview",
            "apiVersion": "authorization.k8s.io/v1",
            "metadata": {},
            "spec": spec,
            "status": {"allowed": True, "reason": "RBAC: allowed"} if allowed else {"allowed": False},
        },
        201,
    )


def review_subject(body: bytes, user: str, now: datetime) -> Answer:
    """https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/self-subject-review-v1/"""
    parse_json(body)
    return json_answer(
        {
            "kind": "SelfSubjectReview",
            "apiVersion": "authentication.k8s.io/v1",
            "metadata": {"creationTimestamp": stamp(now)},
            "status": {"userInfo": {"username": user, "groups": ["system:authenticated"]}},
        },
        201,
    )
