"""The container's paths, variables and volumes, mapped to this machine."""

import base64
import stat
from pathlib import Path

import pytest

from doubles.kubernetes.image import (
    Image,
    MissingReferenceError,
    PathMap,
    arguments,
    container_environment,
    expand,
    image_name_is_valid,
    local_environment,
)
from doubles.kubernetes.objects import Obj
from doubles.kubernetes.volumes import MountError, mount, mount_points

POD: Obj = {
    "metadata": {"name": "p-1", "namespace": "n", "uid": "u", "labels": {"job-id": "j"}},
    "spec": {"nodeName": "local-node"},
    "status": {"podIP": "127.0.0.1"},
}
MAPS: dict[str, Obj] = {
    "settings": {"data": {"KEY": "value", "OTHER": "o"}},
    "script": {
        "data": {"job.py": "print('ü')\n"},
        "binaryData": {"b.bin": base64.b64encode(b"\x00\xff").decode()},
    },
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$(A)", "1"),
        ("-$(A)-$(B)-", "-1-2-"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$$$$(A)", "$$(A)"),
        ("$(UNKNOWN)", "$(UNKNOWN)"),
        ("$A ${A} $", "$A ${A} $"),
        ("$(A", "$(A"),
        ("$()", "$()"),
        ("cost: 5$$", "cost: 5$"),
        ("$(LOOKS)", "$(A)"),
        ("`id` ; rm -rf '\"\n😀", "`id` ; rm -rf '\"\n😀"),
    ],
)
def test_references_are_expanded_once(text: str, expected: str) -> None:
    assert expand(text, {"A": "1", "B": "2", "LOOKS": "$(A)"}) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("/opt/flink", "/here/flink"),
        ("/opt/flink/bin/flink", "/here/flink/bin/flink"),
        ("/opt/flink/usrlib/job.py", "/pod/script/job.py"),
        ("/opt/flinkish", "/opt/flinkish"),
        ("cat /opt/flink/x", "cat /opt/flink/x"),
        ("--file=/opt/flink/x", "--file=/opt/flink/x"),
        ("/dev/termination-log", "/pod/message"),
        ("/dev/termination-log/x", "/dev/termination-log/x"),
        ("opt/flink", "opt/flink"),
        ("", ""),
        ("/opt/flink/a b'\n$(C)😀", "/here/flink/a b'\n$(C)😀"),
    ],
)
def test_only_values_that_are_paths_are_mapped(value: str, expected: str) -> None:
    paths = PathMap(
        {"/opt/flink": Path("/here/flink"), "/opt/flink/usrlib": Path("/pod/script")},
        {"/dev/termination-log": Path("/pod/message")},
    )
    assert paths.apply(value) == expected


def test_environment_comes_from_every_source() -> None:
    container = {
        "envFrom": [
            {"configMapRef": {"name": "settings"}, "prefix": "P_"},
            {"configMapRef": {"name": "no", "optional": True}},
        ],
        "env": [
            {"name": "PLAIN", "value": "v"},
            {"name": "BUILT", "value": "$(PLAIN)/$(P_KEY)/$(LATER)"},
            {"name": "LATER", "value": ""},
            {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "LABEL", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['job-id']"}}},
            {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "KEY", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "KEY"}}},
            {
                "name": "NONE",
                "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "x", "optional": True}},
            },
        ],
    }
    assert container_environment(POD, container, MAPS) == {
        "P_KEY": "value",
        "P_OTHER": "o",
        "PLAIN": "v",
        "BUILT": "v/value/$(LATER)",
        "LATER": "",
        "NAME": "p-1",
        "LABEL": "j",
        "IP": "127.0.0.1",
        "KEY": "value",
    }


@pytest.mark.parametrize(
    ("container", "message"),
    [
        ({"envFrom": [{"configMapRef": {"name": "no"}}]}, 'configmap "no" not found'),
        ({"envFrom": [{"secretRef": {"name": "no"}}]}, 'secret "no" not found'),
        (
            {"env": [{"name": "X", "valueFrom": {"configMapKeyRef": {"name": "no", "key": "k"}}}]},
            'configmap "no" not found',
        ),
        (
            {"env": [{"name": "X", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "k"}}}]},
            "couldn't find key k in ConfigMap n/settings",
        ),
        (
            {"env": [{"name": "X", "valueFrom": {"fieldRef": {"fieldPath": "spec.x"}}}]},
            "unsupported fieldPath: spec.x",
        ),
    ],
)
def test_missing_references_are_named(container: Obj, message: str) -> None:
    with pytest.raises(MissingReferenceError, match=f"^{message}$"):
        container_environment(POD, container, MAPS)


def test_arguments_and_environment_are_mapped_after_expansion() -> None:
    paths = PathMap({"/opt/flink": Path("/here")})
    container = {"command": ["$(FLINK)/bin/flink"], "args": ["run", "$(UNSET)", "/opt/flink/x y"]}
    declared = {"FLINK": "/opt/flink"}
    assert arguments(container, declared, paths) == ["/here/bin/flink", "run", "$(UNSET)", "/here/x y"]
    image = Image(environment={"PATH": "/opt/flink/bin:/bin", "A": "image"})
    variables = local_environment(image, {**declared, "A": "pod"}, paths, Path("/home"))
    assert variables == {
        "PATH": "/here/bin:/bin",
        "A": "pod",
        "FLINK": "/here",
        "HOME": "/home",
        "TMPDIR": "/home",
    }


@pytest.mark.parametrize(
    ("name", "valid"),
    [
        ("flink", True),
        ("flink:1.20", True),
        ("registry.example:5000/team/flink-py:1.0_a", True),
        ("flink@sha256:" + "0" * 64, True),
        ("Flink Image", False),
        ("flink:", False),
        ("UPPER", False),
    ],
)
def test_image_names(name: str, *, valid: bool) -> None:
    assert image_name_is_valid(name) is valid


def pod_with(*volumes: Obj) -> Obj:
    return {"spec": {"volumes": list(volumes)}}


def test_a_config_map_becomes_read_only_files(tmp_path: Path) -> None:
    volume = {"name": "v", "configMap": {"name": "script", "defaultMode": 0o755}}
    mounted = mount(pod_with(volume), tmp_path, MAPS)
    assert (mounted["v"] / "job.py").read_bytes() == "print('ü')\n".encode()
    assert (mounted["v"] / "b.bin").read_bytes() == b"\x00\xff"
    assert stat.S_IMODE((mounted["v"] / "job.py").stat().st_mode) == 0o555


def test_items_choose_and_rename(tmp_path: Path) -> None:
    items = [{"key": "job.py", "path": "sub/main.py", "mode": 0o600}]
    mounted = mount(pod_with({"name": "v", "configMap": {"name": "script", "items": items}}), tmp_path, MAPS)
    assert [str(path.relative_to(mounted["v"])) for path in mounted["v"].rglob("*.*")] == ["sub/main.py"]
    assert stat.S_IMODE((mounted["v"] / "sub/main.py").stat().st_mode) == 0o400


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"name": "no"}, 'MountVolume.SetUp failed for volume "v" : configmap "no" not found'),
        (
            {"name": "script", "items": [{"key": "k", "path": "k"}]},
            'MountVolume.SetUp failed for volume "v" : references non-existent config key: k',
        ),
        ({"name": "script", "items": [{"key": "job.py", "path": "../x"}]}, "must stay inside the volume"),
    ],
)
def test_what_cannot_be_mounted_is_said(tmp_path: Path, source: Obj, message: str) -> None:
    with pytest.raises(MountError, match=message):
        mount(pod_with({"name": "v", "configMap": source}), tmp_path, MAPS)


def test_optional_volumes_may_be_empty(tmp_path: Path) -> None:
    source = {"name": "no", "optional": True}
    volumes = [{"name": "v", "configMap": source}, {"name": "e", "emptyDir": {}}]
    mounted = mount(pod_with(*volumes), tmp_path, MAPS)
    assert [list(mounted[name].iterdir()) for name in ("v", "e")] == [[], []]
    mounts = [{"name": "v", "mountPath": "/a"}, {"name": "e", "mountPath": "/b/c.txt", "subPath": "c.txt"}]
    assert mount_points({"volumeMounts": mounts}, mounted) == {
        "/a": tmp_path / "v",
        "/b/c.txt": tmp_path / "e/c.txt",
    }
