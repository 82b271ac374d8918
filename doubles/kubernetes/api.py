"""The HTTP surface: from a request to an answer over the store."""

import random
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from doubles.kubernetes import log_endpoint
from doubles.kubernetes.authorization import ADMIN, ANONYMOUS, Attributes, Authorizer
from doubles.kubernetes.container_log import LogBook
from doubles.kubernetes.deletion import (
    check_preconditions,
    checked_options,
    delete,
    delete_options,
    mark_evicted,
)
from doubles.kubernetes.discovery import document
from doubles.kubernetes.errors import (
    ApiError,
    already_exists,
    bad_request,
    conflict,
    forbidden,
    invalid,
    method_not_allowed,
    not_found,
    unauthorized,
    unsupported_media_type,
)
from doubles.kubernetes.job_controller import new_pod_status
from doubles.kubernetes.objects import (
    EVICTIONS,
    JOBS,
    NAMESPACES,
    PODS,
    Obj,
    Resource,
    clone,
    key_of,
    random_suffix,
    stamp,
    with_kind,
)
from doubles.kubernetes.patches import apply_patch
from doubles.kubernetes.requests import (
    Answer,
    Call,
    Target,
    error_answer,
    flag,
    integer,
    json_answer,
    parse_json,
)
from doubles.kubernetes.reviews import ACCESS_REVIEWS, SUBJECT_REVIEWS, review_access, review_subject
from doubles.kubernetes.schema import decode
from doubles.kubernetes.selectors import Selector, parse_selector
from doubles.kubernetes.store import Store
from doubles.kubernetes.tables import table
from doubles.kubernetes.validation import (
    apply_defaults,
    label_pods_of_job,
    validate_change,
    validate_new,
    warnings_about,
)
from doubles.kubernetes.watches import Scope, Watches

DEFAULT_WATCH_SECONDS = 1800
MAX_BODY_BYTES = 3 * 1024 * 1024
MAX_GENERATED_PREFIX = 58
PROTOBUF = "application/vnd.kubernetes.protobuf"
"""What some kubectl commands send bodies in; this server reads JSON only."""
_OPEN_PATHS = frozenset({"/healthz", "/livez", "/readyz", "/version"})
"""Answered to everybody."""
_SERVER_FIELDS = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation")
"""Metadata that only the server writes."""


@dataclass(slots=True)
class Api:
    """Answers calls."""

    store: Store
    logs: LogBook
    authorizer: Authorizer
    tokens: dict[str, str]
    """The user of each token."""
    source: random.Random
    """Where generated names get their chance from."""
    watches: Watches

    def answer(self, call: Call) -> Answer:
        """The answer to a call; errors become Status objects."""
        try:
            answer = self._answer(call)
        except ApiError as error:
            answer = error_answer(error)
        if call.warnings:
            answer.headers["Warning"] = ", ".join(map(_warning, call.warnings))
        return answer

    def user_of(self, headers: Mapping[str, str]) -> str:
        """Who calls.

        Raises:
            ApiError: 401 for credentials that are not known.
        """
        header = headers.get("Authorization", "")
        if not header:
            return ANONYMOUS
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer" or token.strip() not in self.tokens:
            raise unauthorized()
        return self.tokens[token.strip()]

    # --- from path to operation ---------------------------------------------------------------------------

    def _answer(self, call: Call) -> Answer:
        user = self.user_of(call.headers)
        path = call.path.rstrip("/")
        if path in ("/healthz", "/livez", "/readyz"):
            return Answer(b"ok", content_type="text/plain")
        if call.content_type == PROTOBUF:
            raise unsupported_media_type("application/json")
        target = call.target
        if target.resource is None:
            return self._answer_other(call, user, path)
        self._authorize(user, target)
        if len(call.body) > MAX_BODY_BYTES:
            message = f"Request entity too large: limit is {MAX_BODY_BYTES}"
            raise ApiError(413, "RequestEntityTooLarge", message)
        if target.subresource:
            return self._subresource(call, target.resource)
        if target.verb not in target.resource.verbs:
            raise method_not_allowed()
        operations = {
            "get": self._get,
            "list": self._list,
            "watch": self._watch,
            "create": self._create,
            "update": self._update,
            "patch": self._patch,
            "delete": self._delete,
            "deletecollection": self._delete_collection,
        }
        return operations[target.verb](call, target.resource)

    def _answer_other(self, call: Call, user: str, path: str) -> Answer:
        if user == ANONYMOUS and path in (ACCESS_REVIEWS, SUBJECT_REVIEWS):
            _, _, group, _, plural = path.split("/")
            raise forbidden(
                f'{plural}.{group} is forbidden: User "{user}" cannot create resource "{plural}" '
                f'in API group "{group}" at the cluster scope'
            )
        if user == ANONYMOUS and path not in _OPEN_PATHS:
            verb = call.method.lower()
            raise forbidden(f'forbidden: User "{user}" cannot {verb} path "{call.path}"')
        if path in (ACCESS_REVIEWS, SUBJECT_REVIEWS):
            if call.method != "POST":
                raise method_not_allowed()
            if path == ACCESS_REVIEWS:
                return review_access(call.body, user, self.authorizer)
            return review_subject(call.body, user, self.store.now())
        found = document(path)
        if found is None or call.method not in ("GET", "HEAD"):
            return Answer(b"404 page not found\n", 404, "text/plain")
        return json_answer(found)

    def _authorize(self, user: str, target: Target) -> None:
        attributes = Attributes(
            user=user,
            verb=target.verb,
            group=target.group,
            resource=target.plural,
            subresource=target.subresource,
            namespace=target.namespace or "",
            name=target.name,
        )
        if self.authorizer.allows(attributes):
            return
        resource = target.resource
        if resource is None:
            raise unauthorized()
        name = f'"{target.name}" ' if target.name else ""
        where = f'in the namespace "{target.namespace}"' if target.namespace else "at the cluster scope"
        qualified = resource.qualified
        raise forbidden(
            f'{qualified} {name}is forbidden: User "{user}" cannot {target.verb} resource '
            f'"{target.label}" in API group "{target.group}" {where}',
            resource=resource,
        )

    def _subresource(self, call: Call, resource: Resource) -> Answer:
        target = call.target
        if resource is PODS and target.subresource == "log":
            if target.verb != "get":
                raise method_not_allowed()
            return self._log(call)
        if resource is PODS and target.subresource == "eviction":
            if target.verb != "create":
                raise method_not_allowed()
            return self._evict(call)
        if target.subresource != "status" or resource not in (JOBS, PODS):
            return Answer(b"404 page not found\n", 404, "text/plain")
        if target.verb == "get":
            return self._get(call, resource)
        if target.verb == "patch":
            return self._patch(call, resource)
        if target.verb == "update":
            return self._update(call, resource)
        raise method_not_allowed()

    # --- reading ------------------------------------------------------------------------------------------

    def _existing(self, call: Call, resource: Resource) -> Obj:
        obj = self.store.get(resource, (call.target.namespace or "", call.target.name))
        if obj is None:
            raise not_found(resource, call.target.name)
        return obj

    def _get(self, call: Call, resource: Resource) -> Answer:
        obj = self._existing(call, resource)
        if call.as_table:
            metadata = {"resourceVersion": obj["metadata"]["resourceVersion"]}
            return json_answer(self._table(call, resource, [obj], metadata))
        return json_answer(with_kind(resource, obj))

    def _list(self, call: Call, resource: Resource) -> Answer:
        query = call.query
        limit, token = integer(query, "limit") or 0, query.get("continue") or None
        version = query.get("resourceVersion", "")
        if token and version not in ("", "0"):
            raise bad_request("specifying resource version is not allowed when using continue")
        if version == "0":
            limit = 0
        selector = _selector(resource, query)
        page = self.store.page(resource, call.target.namespace, selector, limit=limit, token=token)
        metadata: Obj = {"resourceVersion": str(page.version)}
        if page.next_token:
            metadata["continue"] = page.next_token
        if page.remaining is not None:
            metadata["remainingItemCount"] = page.remaining
        if call.as_table:
            return json_answer(self._table(call, resource, page.items, metadata))
        return json_answer(
            {
                "kind": f"{resource.kind}List",
                "apiVersion": resource.api_version,
                "metadata": metadata,
                "items": page.items,
            }
        )

    def _table(self, call: Call, resource: Resource, objects: list[Obj], metadata: Obj) -> Obj:
        full = call.query.get("includeObject") == "Object"
        return table(resource, objects, now=self.store.now(), metadata=metadata, full=full)

    def _watch(self, call: Call, resource: Resource) -> Answer:
        version = call.query.get("resourceVersion", "")
        if version and not version.isdigit():
            raise bad_request(
                f'Invalid value: "{version}": strconv.ParseUint: parsing "{version}": invalid syntax'
            )
        scope = Scope(resource, call.target.namespace, _selector(resource, call.query))

        def render(obj: Obj) -> Obj:
            if not call.as_table:
                return with_kind(resource, obj)
            return self._table(call, resource, [obj], {"resourceVersion": obj["metadata"]["resourceVersion"]})

        return Answer(
            self.watches.events(
                scope,
                render,
                version=version,
                initial=flag(call.query, "sendInitialEvents"),
                seconds=integer(call.query, "timeoutSeconds") or DEFAULT_WATCH_SECONDS,
            )
        )

    def _log(self, call: Call) -> Answer:
        pod = self._existing(call, PODS)
        options = log_endpoint.log_options(call.query)
        container = log_endpoint.choose_container(pod, call.query.get("container", ""))
        log = log_endpoint.find_log(pod, container, self.logs, previous=flag(call.query, "previous"))
        body = log.read(options) if log is not None else b""
        return Answer(body, content_type="text/plain")

    # --- writing ------------------------------------------------------------------------------------------

    def _create(self, call: Call, resource: Resource) -> Answer:
        if call.target.name or call.target.namespace is None:
            raise method_not_allowed()
        obj = self._decode(call, resource, parse_json(call.body))
        metadata = self._new_metadata(obj, call.target.namespace)
        obj.pop("status", None)
        apply_defaults(resource, obj)
        if causes := validate_new(resource, obj):
            raise invalid(resource, metadata.get("name", ""), causes)
        call.warnings.extend(warnings_about(resource, obj))
        metadata |= {"uid": str(uuid.uuid4()), "creationTimestamp": stamp(self.store.now())}
        if resource is JOBS:
            metadata["generation"] = 1
            label_pods_of_job(obj)
            obj["status"] = {}
        elif resource is PODS:
            obj["status"] = new_pod_status(obj["spec"])
        if old := self.store.get(resource, key_of(obj)):
            being_deleted = "deletionTimestamp" in old["metadata"]
            raise already_exists(resource, metadata["name"], being_deleted=being_deleted)
        if not call.dry_run:
            obj = self.store.create(resource, obj)
        return json_answer(with_kind(resource, obj), 201)

    def _new_metadata(self, obj: Obj, namespace: str) -> Obj:
        """Check and complete what a client says about a new object; what only the server says is dropped."""
        metadata: Obj = obj.setdefault("metadata", {})
        if metadata.setdefault("namespace", namespace) != namespace:
            raise bad_request(
                "the namespace of the provided object does not match the namespace sent on the request"
            )
        if self.store.get(NAMESPACES, ("", namespace)) is None:
            raise not_found(NAMESPACES, namespace)
        if metadata.pop("resourceVersion", ""):
            raise bad_request("resourceVersion should not be set on objects to be created")
        if not metadata.get("name") and metadata.get("generateName"):
            metadata["name"] = metadata["generateName"][:MAX_GENERATED_PREFIX] + random_suffix(self.source)
        for name in _SERVER_FIELDS:
            metadata.pop(name, None)
        return metadata

    def _update(self, call: Call, resource: Resource) -> Answer:
        old = self._existing(call, resource)
        new = self._decode(call, resource, parse_json(call.body))
        return self._change(call, resource, old, new)

    def _patch(self, call: Call, resource: Resource) -> Answer:
        old = self._existing(call, resource)
        patched = apply_patch(call.content_type, clone(old), parse_json(call.body))
        new = self._decode(call, resource, patched)
        return self._change(call, resource, old, new)

    def _change(self, call: Call, resource: Resource, old: Obj, new: Obj) -> Answer:
        metadata, before = new.setdefault("metadata", {}), old["metadata"]
        name = before["name"]
        if metadata.get("name", name) != name:
            raise bad_request("the name of the object does not match the name on the URL")
        if metadata.get("uid", before["uid"]) != before["uid"]:
            why = (
                f"Precondition failed: UID in precondition: {metadata['uid']}, "
                f"UID in object meta: {before['uid']}"
            )
            raise conflict(resource, name, why)
        metadata |= {"name": name}
        for field_name in ("namespace", *_SERVER_FIELDS):
            metadata.pop(field_name, None)
            if field_name in before:
                metadata[field_name] = before[field_name]
        if call.target.subresource == "status":
            version = metadata.get("resourceVersion", "")
            new = {**clone(old), "status": new.get("status", {})}
            if version:
                new["metadata"]["resourceVersion"] = version
        else:
            new.pop("status", None)
            if "status" in old:
                new["status"] = clone(old["status"])
            apply_defaults(resource, new)
            if causes := validate_change(resource, old, new):
                raise invalid(resource, name, causes)
            if resource is JOBS and new["spec"] != old["spec"]:
                new["metadata"]["generation"] = before.get("generation", 1) + 1
                call.warnings.extend(warnings_about(resource, new))
        stored = new if call.dry_run else (self.store.replace(resource, new) or new)
        return json_answer(with_kind(resource, stored))

    def _decode(self, call: Call, resource: Resource, value: Obj) -> Obj:
        """Check the object's kind and shape; warns of the fields it drops."""
        kind, version = value.get("kind", resource.kind), value.get("apiVersion", resource.api_version)
        if (kind, version) != (resource.kind, resource.api_version):
            raise bad_request(
                f"the API version in the data ({version}, Kind={kind}) does not match the expected API "
                f"version ({resource.api_version}, Kind={resource.kind})"
            )
        decoded = decode(resource, value)
        problems = [f'unknown field "{path}"' for path in decoded.unknown]
        validation = call.query.get("fieldValidation") or "Warn"
        if problems and validation == "Strict":
            text = ", ".join(problems)
            raise bad_request(
                f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}: '
                f"strict decoding error: {text}"
            )
        decoded.value.pop("kind", None)
        decoded.value.pop("apiVersion", None)
        decoded.value.get("metadata", {}).pop("managedFields", None)
        if validation == "Warn":
            call.warnings.extend(problems)
        return decoded.value

    def _delete(self, call: Call, resource: Resource) -> Answer:
        options = delete_options(call.body, call.query)
        _warn_of_orphans(call, resource, options)
        obj = self._existing(call, resource)
        remaining = self._delete_one(call, resource, obj, options)
        if remaining is not None or resource is PODS:
            return json_answer(with_kind(resource, remaining or obj))
        details = {"name": call.target.name, "kind": resource.plural, "uid": obj["metadata"]["uid"]}
        if resource.group:
            details["group"] = resource.group
        return json_answer(
            {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
        )

    def _delete_collection(self, call: Call, resource: Resource) -> Answer:
        if call.target.namespace is None:
            raise method_not_allowed()
        options = delete_options(call.body, call.query)
        _warn_of_orphans(call, resource, options)
        found = list(self.store.select(resource, call.target.namespace, _selector(resource, call.query)))
        for obj in found:
            self._delete_one(call, resource, obj, options)
        metadata = {"resourceVersion": str(self.store.version)}
        kind = f"{resource.kind}List"
        return json_answer(
            {"kind": kind, "apiVersion": resource.api_version, "metadata": metadata, "items": found}
        )

    def _delete_one(self, call: Call, resource: Resource, obj: Obj, options: Obj) -> Obj | None:
        check_preconditions(resource, obj, options)
        if call.dry_run or "All" in (options.get("dryRun") or ()):
            return None
        if call.target.subresource == "eviction":
            now = self.store.now()
            obj = self.store.modify(resource, key_of(obj), lambda pod: mark_evicted(pod, now)) or obj
        policy, grace = options.get("propagationPolicy"), options.get("gracePeriodSeconds")
        return delete(self.store, resource, obj, policy=policy, grace_seconds=grace)

    def _evict(self, call: Call) -> Answer:
        """Mark a pod and delete it; the double has no disruption budgets.

        https://kubernetes.io/docs/concepts/scheduling-eviction/api-eviction/
        """
        eviction = self._decode(call, EVICTIONS, parse_json(call.body))
        if eviction.get("metadata", {}).get("name") != call.target.name:
            raise bad_request("name in URL does not match name in Eviction object")
        options = checked_options(eviction.get("deleteOptions", {}))
        self._delete_one(call, PODS, self._existing(call, PODS), options)
        status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}
        return json_answer(status, 201)


def _warn_of_orphans(call: Call, resource: Resource, options: Obj) -> None:
    if resource is JOBS and options.get("propagationPolicy") is None:
        call.warnings.append(
            "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to "
            "remove them or set propagationPolicy=Orphan to suppress this warning"
        )


def _selector(resource: Resource, query: Mapping[str, str]) -> Selector:
    return parse_selector(resource, query.get("labelSelector", ""), query.get("fieldSelector", ""))


def _warning(text: str) -> str:
    """One value of a `Warning` header: https://www.rfc-editor.org/rfc/rfc7234#section-5.5"""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'299 - "{escaped}"'


def admin_only(user: str) -> None:
    """Raises 403 unless the user is the admin."""
    if user != ADMIN:
        raise forbidden(f'forbidden: User "{user}" may not control the double')
