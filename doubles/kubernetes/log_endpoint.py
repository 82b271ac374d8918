"""The log endpoint of a pod: which container is meant, whether it has a log yet, which part is wanted."""

import time
from collections.abc import Mapping

from doubles.kubernetes.container_log import ContainerLog, LogBook, LogOptions
from doubles.kubernetes.errors import ApiError, bad_request
from doubles.kubernetes.objects import Obj, parse_stamp
from doubles.kubernetes.requests import flag, integer
from doubles.kubernetes.validation import containers_of


def log_options(query: Mapping[str, str]) -> LogOptions:
    """The part of the log a request asks for.

    Raises:
        ApiError: 400 for what is no number, 422 for numbers out of range.
    """
    tail, limit = integer(query, "tailLines"), integer(query, "limitBytes")
    seconds, since = integer(query, "sinceSeconds"), query.get("sinceTime", "")
    problems = []
    if tail is not None and tail < 0:
        problems.append(f"tailLines: Invalid value: {tail}: must be greater than or equal to 0")
    if limit is not None and limit < 1:
        problems.append(f"limitBytes: Invalid value: {limit}: must be greater than 0")
    if seconds is not None and seconds < 1:
        problems.append(f"sinceSeconds: Invalid value: {seconds}: must be greater than 0")
    if seconds is not None and since:
        problems.append("<nil>: Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified")
    if problems:
        text = problems[0] if len(problems) == 1 else f"[{', '.join(problems)}]"
        raise ApiError(422, "Invalid", f'PodLogOptions "" is invalid: {text}')
    since_ns = None
    if seconds is not None:
        since_ns = time.time_ns() - seconds * 1_000_000_000
    elif since:
        try:
            since_ns = int(parse_stamp(since).timestamp() * 1e9)
        except ValueError:
            raise bad_request(
                f'parsing time "{since}" as "2006-01-02T15:04:05Z07:00": cannot parse'
            ) from None
    return LogOptions(tail, limit, since_ns, flag(query, "timestamps"), flag(query, "follow"))


def choose_container(pod: Obj, wanted: str) -> str:
    """The container whose log is meant.

    Raises:
        ApiError: 400 when none is named although there are several, or one that does not exist.
    """
    name = pod["metadata"]["name"]
    main = [one["name"] for one in pod["spec"]["containers"]]
    init = [one["name"] for one in pod["spec"].get("initContainers", ())]
    if wanted:
        if wanted not in (one["name"] for one in containers_of(pod["spec"])):
            raise bad_request(f"container {wanted} is not valid for pod {name}")
        return wanted
    if len(main) == 1:
        return str(main[0])
    message = f"a container name must be specified for pod {name}, choose one of: [{' '.join(main)}]"
    if init:
        message += f" or one of the init containers: [{' '.join(init)}]"
    raise bad_request(message)


def find_log(pod: Obj, container: str, logs: LogBook, *, previous: bool) -> ContainerLog | None:
    """The container's log; None where there is none although the kubelet would answer.

    Raises:
        ApiError: 400 while the container waits for its first start, worded as the kubelet does.
    """
    if not pod["spec"].get("nodeName"):
        return None
    where = f'container "{container}" in pod "{pod["metadata"]["name"]}"'
    status = pod.get("status", {})
    found = [
        one
        for one in [*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())]
        if one["name"] == container
    ]
    if not found:
        raise bad_request(f"{where} is not available")
    last = found[0].get("lastState", {}).get("terminated")
    if previous:
        if not last:
            raise bad_request(f"previous terminated {where} not found")
        running = "waiting" not in found[0]["state"]
        return logs.get(pod["metadata"]["uid"], container, previous=running)
    waiting = found[0]["state"].get("waiting")
    if waiting and not last:
        known = {
            "ErrImagePull": "image can't be pulled",
            "ImagePullBackOff": "trying and failing to pull image",
        }
        raise bad_request(f"{where} is waiting to start: {known.get(waiting['reason'], waiting['reason'])}")
    return logs.get(pod["metadata"]["uid"], container)
