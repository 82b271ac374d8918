import pytest

from flinkjobs.domain.versions import flink_line, flink_line_of_image, is_too_old


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


@pytest.mark.parametrize(
    ("version", "line"),
    [("1.20.5", "1.20"), ("2.3.0", "2.3"), ("2.0-SNAPSHOT", "2.0"), ("<unknown>", None), ("", None)],
)
def test_the_line_of_a_flink_is_its_major_and_minor_version(version: str, line: str | None) -> None:
    assert flink_line(version) == line


@pytest.mark.parametrize(
    ("image", "line"),
    [
        ("flink:1.20", "1.20"),
        ("flink:1.20.1-scala_2.12-java17", "1.20"),
        ("registry.example:5000/data/pyflink:v2.3.0", "2.3"),
        ("registry.example.com/flink-python:1.20", "1.20"),
        ("registry.example/etl:7-flink1.20", "1.20"),
        ("registry.example/flink-1.20/etl:prod", None),
        ("flink:1.20@sha256:0f0f", "1.20"),
        ("flink@sha256:0f0f", None),
        ("flink.example:5000/etl:2.3", None),
        ("registry.example/flink-etl:2.3", None),
        ("flink:latest", None),
        ("flink:2", None),
        ("flink:20240115.3", None),
        ("", None),
    ],
)
def test_only_an_image_that_is_named_after_flink_shows_a_line(image: str, line: str | None) -> None:
    assert flink_line_of_image(image) == line
