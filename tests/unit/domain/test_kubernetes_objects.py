"""Kubernetes objects as values."""

from __future__ import annotations

import pytest

from flinkjobs.domain.kubernetes_objects import Container, Waiting
from tests.support.kubernetes_objects import container, ended, pod

PROXY = container(None, name="istio-proxy")


@pytest.mark.parametrize(
    ("containers", "expected"),
    [
        pytest.param((container(ended()), PROXY), ("istio-proxy",), id="a sidecar runs"),
        pytest.param((container(None), PROXY), (), id="the submitter runs, too"),
        pytest.param((container(Waiting("Unknown")), PROXY), (), id="the submitter waits"),
        pytest.param((container(ended()), container(ended(137), name="istio-proxy")), (), id="both ended"),
        pytest.param(
            (container(ended()), Container("istio-proxy", None, is_init=True, is_sidecar=True)),
            (),
            id="a native sidecar, which Kubernetes ends",
        ),
        pytest.param((PROXY, container(None, name="vault-agent")), (), id="no submit container is known"),
    ],
)
def test_idle_sidecars_are_those_that_run_after_the_submit_container(
    containers: tuple[Container, ...], expected: tuple[str, ...]
) -> None:
    assert pod("Running", *containers).idle_sidecars == expected
