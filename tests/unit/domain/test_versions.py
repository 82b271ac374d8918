import pytest

from flinkjobs.domain.versions import is_too_old


@pytest.mark.parametrize(
    ("peer", "version", "expected"),
    [
        ("Kubernetes", "v1.27.16-gke.100", True),
        ("Kubernetes", "v1.28.0", False),
        ("Kubernetes", "v1.100.0", False),
        ("MongoDB", "4.2.25", True),
        ("MongoDB", "4.4.0", False),
        ("Flink", "1.9.3", True),
        ("Flink", "2.0-SNAPSHOT", False),
        ("Flink", "<unknown>", False),
    ],
)
def test_versions_below_the_minimum_are_too_old(peer: str, version: str, *, expected: bool) -> None:
    assert is_too_old(peer, version) is expected
