"""Doubles of the Terraform providers: they know every argument, and make nothing.

With them `terraform validate`, `terraform test` (whose providers are mocked), and plans and applies of
the whole module run without the registry. What they know is in tests/data/terraform/schemas.json: for each
type of block that this module uses, its arguments with their types, and whether they are required (R),
optional (O), computed (C) or write-only (W), and its nested blocks with their limits; as the versions named
there have them. A type of block that is new to the module has to be added there: `terraform providers schema
-json` prints it where the registry can be reached.

Terraform finds a provider that runs already by TF_REATTACH_PROVIDERS and speaks gRPC with it:
https://github.com/hashicorp/terraform/tree/main/docs/plugin-protocol (tfplugin5). Its few messages are read
and written here field by field.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeAlias

import grpc  # type: ignore[import-untyped]
import msgspec

SCHEMAS: Final = Path(__file__).parent.parent / "data" / "terraform" / "schemas.json"
NESTING: Final = {"single": 1, "list": 2, "set": 3, "map": 4}
FLAGS: Final = {"R": 4, "O": 5, "C": 6, "W": 10}
"""Field numbers of Schema.Attribute."""
THREADS: Final = 8

REPLACED_BY: Final[Mapping[str, frozenset[str]]] = {
    "google_project_iam_custom_role": frozenset({"role_id"}),
    "google_project_iam_member": frozenset({"role", "member", "condition"}),
    "google_secret_manager_secret_version": frozenset({"secret_data_wo_version"}),
    "google_storage_bucket_object": frozenset({"name", "bucket"}),
    "google_vpc_access_connector": frozenset({"name", "network", "ip_cidr_range"}),
    "time_sleep": frozenset({"triggers"}),
}
"""Arguments whose change replaces the resource, by its type; only those that a test changes."""

RESET: Final[Mapping[str, Mapping[str, Any]]] = {"google_cloud_scheduler_job": {"paused": False}}
"""Arguments that go back to a value where the configuration no longer has them, by the resource's type:
provider 8.1 does so, https://github.com/hashicorp/terraform-provider-google/issues/29280."""

FOUND: Final[Mapping[str, Mapping[str, Any]]] = {
    "google_compute_subnetwork": {"ip_cidr_range": "10.132.0.0/20", "private_ip_google_access": True},
}
"""What data sources find, where it has to have a form."""

UNKNOWN: Final = msgspec.msgpack.Ext(0, b"\x00")
"""A value that is known after the apply: https://github.com/zclconf/go-cty/blob/main/docs/concepts.md"""

Schema: TypeAlias = Mapping[str, Any]
Object: TypeAlias = dict[str, Any]
Answer: TypeAlias = Callable[[bytes, Any], bytes]


@contextmanager
def running(found: Mapping[str, Mapping[str, Any]] = FOUND) -> Iterator[str]:
    """Serves all providers; gives the value of TF_REATTACH_PROVIDERS.

    Args:
        found: attributes of what the data sources find, by type.
    """
    servers, addresses = [], {}
    for name, provider in json.loads(SCHEMAS.read_text()).items():
        handlers = grpc.method_handlers_generic_handler(
            "tfplugin5.Provider",
            {
                method: grpc.unary_unary_rpc_method_handler(answer)
                for method, answer in _answers(provider, found).items()
            },
        )
        server = grpc.server(ThreadPoolExecutor(THREADS), handlers=[handlers])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        servers.append(server)
        addresses[f"hashicorp/{name}"] = {
            "Protocol": "grpc",
            "ProtocolVersion": 5,
            "Pid": os.getpid(),
            "Test": True,  # Terraform must not end this process
            "Addr": {"Network": "tcp", "String": f"127.0.0.1:{port}"},
        }
    try:
        yield json.dumps(addresses)
    finally:
        for server in servers:
            server.stop(grace=None).wait()


def _answers(provider: Schema, found: Mapping[str, Mapping[str, Any]]) -> dict[str, Answer]:
    """The methods of one provider, by name. Numbers are those of the fields of request and answer."""
    schema = _provider_schema(provider)
    numbers = itertools.count(1)

    def plan(request: bytes, _context: Any) -> bytes:
        fields = _fields(request)
        kind, prior, proposed = _text(fields[1]), _value(fields[2]), _value(fields[3])
        if proposed is None:  # it is destroyed
            return _bytes(1, _dynamic(None))
        planned = _planned(provider["resources"][kind], proposed, is_new=prior is None)
        planned |= {
            name: value for name, value in RESET.get(kind, {}).items() if _value(fields[4])[name] is None
        }
        replacing = sorted(
            name for name in REPLACED_BY.get(kind, ()) if prior and prior[name] != planned[name]
        )
        steps = b"".join(_bytes(2, _bytes(1, _bytes(1, name.encode()))) for name in replacing)
        return _bytes(1, _dynamic(planned)) + steps

    def apply(request: bytes, _context: Any) -> bytes:
        fields = _fields(request)
        return _bytes(1, _dynamic(_made(_value(fields[3]), _text(fields[1]), numbers)))

    def read(request: bytes, _context: Any) -> bytes:
        fields = _fields(request)
        kind, config = _text(fields[1]), _value(fields[2])
        seen = {**_planned(provider["data"][kind], config, is_new=True), **found.get(kind, {})}
        return _bytes(1, _dynamic(_made(seen, kind, itertools.repeat(0))))  # the same at every look

    return {
        "GetSchema": lambda _request, _context: schema,
        # A configuration comes back as it was sent: both messages hold it as field 1.
        "PrepareProviderConfig": lambda request, _context: request,
        "Configure": lambda _request, _context: b"",
        "ValidateResourceTypeConfig": lambda _request, _context: b"",
        "ValidateDataSourceConfig": lambda _request, _context: b"",
        # A state, which is JSON in a state file, comes back as it is: nothing changes by itself.
        "UpgradeResourceState": lambda request, _context: _bytes(
            1, _bytes(2, _fields(_fields(request)[3])[1])
        ),
        "ReadResource": lambda request, _context: _bytes(1, _fields(request)[2]),
        "PlanResourceChange": plan,
        "ApplyResourceChange": apply,
        "ReadDataSource": read,
        "Stop": lambda _request, _context: b"",
    }


# --- what becomes of a resource ---------------------------------------------------------------------------


def _planned(schema: Schema, proposed: Object, *, is_new: bool) -> Object:
    """A proposed state, with what only the provider knows left open where it is new."""
    planned = dict(proposed)
    for name, (kind, flags) in schema["attributes"].items():
        if "W" in flags:
            planned[name] = None
        elif "C" in flags and kind == "string" and is_new and planned[name] is None:
            planned[name] = UNKNOWN
    for name, block in schema.get("blocks", {}).items():
        if isinstance(planned[name], list):
            planned[name] = [_planned(block, item, is_new=is_new) for item in planned[name]]
    return planned


def _made(value: Any, name: str, numbers: Iterator[int]) -> Any:
    """A planned value, its unknown parts replaced by generated values."""
    if isinstance(value, msgspec.msgpack.Ext):
        return f"{name}-{next(numbers)}"
    if isinstance(value, dict):
        return {key: _made(inner, key, numbers) for key, inner in value.items()}
    if isinstance(value, list):
        return [_made(inner, name, numbers) for inner in value]
    return value


# --- the messages, in protocol buffers' wire format -----------------------------------------------------


def _provider_schema(provider: Schema) -> bytes:
    """GetProviderSchema.Response: the provider's own schema, and those of its resources and data sources."""
    message = _bytes(1, _bytes(2, _block(provider["provider"])))
    for number, kind in ((2, "resources"), (3, "data")):
        for name, schema in provider[kind].items():
            entry = _bytes(1, name.encode()) + _bytes(2, _bytes(2, _block(schema)))  # of a map: key, value
            message += _bytes(number, entry)
    return message


def _block(schema: Schema) -> bytes:
    """Schema.Block."""
    message = b""
    for name, (kind, flags) in schema["attributes"].items():
        attribute = _bytes(1, name.encode()) + _bytes(2, json.dumps(kind).encode())
        message += _bytes(2, attribute + b"".join(_number(FLAGS[flag], 1) for flag in flags))
    for name, nested in schema.get("blocks", {}).items():
        block = _bytes(1, name.encode()) + _bytes(2, _block(nested))
        block += _number(3, NESTING[nested["nesting"]])
        message += _bytes(3, block + _number(4, nested["min"]) + _number(5, nested["max"]))
    return message


def _dynamic(value: Any) -> bytes:
    """DynamicValue."""
    return _bytes(1, msgspec.msgpack.encode(value))


def _value(dynamic: bytes) -> Any:
    return msgspec.msgpack.decode(_fields(dynamic)[1])


def _text(field: bytes) -> str:
    return field.decode()


def _fields(message: bytes) -> dict[int, bytes]:
    """The fields of a message that are bytes, by number: no other kind is read here, and none twice."""
    found: dict[int, bytes] = {}
    place = 0
    while place < len(message):
        key, place = _read_varint(message, place)
        length, place = _read_varint(message, place)
        if key & 7 == 2:
            found[key >> 3] = message[place : place + length]
            place += length
    return found


def _read_varint(message: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return value, place


def _varint(value: int) -> bytes:
    encoded = b""
    while value > 0x7F:
        encoded += bytes([value & 0x7F | 0x80])
        value >>= 7
    return encoded + bytes([value])


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value
