"""What a stack with parts of the user's needs to know, and cannot find out by itself."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from local.flink import names_other_client


class SettingsMissingError(RuntimeError):
    """The user's environment is not complete; each line names one variable and its use."""


def missing_settings(
    settings: Mapping[str, str], *, local_version: str | None, remote_version: str | None
) -> Iterator[str]:
    """Yields one message for each variable that must be set in addition to FLINK_REST_URL or KUBECONFIG.

    Args:
        settings: the user's environment.
        local_version: of the Flink installed here, which the local submitters run; None without one.
        remote_version: of the Flink at FLINK_REST_URL; None where it is not set or does not answer.
    """
    if settings.get("KUBECONFIG"):
        yield from _missing_for_pods(settings, remote_version or local_version)
    elif remote_version and local_version and not names_other_client(settings):
        line = line_of(remote_version)
        if line_of(local_version) != line:
            yield (
                f"FLINK_BIN: the local submitters run Flink {local_version}, whose jobs the Flink "
                f"{remote_version} at FLINK_REST_URL refuses; set it to the path of `flink` of a Flink "
                f"{line}, and put a `python` with PyFlink {line} first on PATH"
            )


def _missing_for_pods(settings: Mapping[str, str], version: str | None) -> Iterator[str]:
    """Yields what the pods of the user's Kubernetes need."""
    if not settings.get("FLINK_IMAGE"):
        flink = f"Flink {line_of(version)}" if version else "the cluster's Flink"
        yield f"FLINK_IMAGE: your Kubernetes runs the submitters; set it to an image with {flink} and PyFlink"
    rest_url = settings.get("FLINK_REST_URL")
    if not rest_url:
        yield (
            "FLINK_REST_URL: the pods of your Kubernetes cannot reach a Flink on this machine's 127.0.0.1; "
            "set it to the REST API of a Flink that they reach"
        )
    elif is_loopback(rest_url) and not settings.get("FLINK_JOBMANAGER"):
        yield (
            f"FLINK_JOBMANAGER: in a pod of your Kubernetes, {rest_url} is the pod itself; "
            "set it to the `host:port` by which the pods reach the JobManager's REST API"
        )


def line_of(version: str) -> str:
    """Major and minor version of Flink: clients and clusters of one line work together."""
    return ".".join(version.split(".")[:2])


def is_loopback(url: str) -> bool:
    """Whether a URL leads to the machine that asks."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
