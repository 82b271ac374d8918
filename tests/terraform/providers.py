"""Doubles of the Terraform providers: they know every argument, and can make nothing.

With them `terraform validate` and `terraform test` (whose providers are mocked) run without the registry.
What they know is in tests/data/terraform/schemas.json: for each type of block that this module uses, its
arguments with their types, and whether they are required (R), optional (O), computed (C) or write-only (W),
and its nested blocks; as the versions named there document them. A type of block that is new to the module
has to be added there: `terraform providers schema -json` prints it where the registry can be reached.

Terraform finds a provider that runs already by TF_REATTACH_PROVIDERS and speaks gRPC with it:
https://github.com/hashicorp/terraform/tree/main/docs/plugin-protocol (tfplugin5). Of that protocol only the
schema is answered with more than an echo, so its few messages are written here field by field.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import grpc  # type: ignore[import-untyped]

SCHEMAS: Final = Path(__file__).parent.parent / "data" / "terraform" / "schemas.json"
NESTING: Final = {"single": 1, "list": 2, "set": 3, "map": 4}
FLAGS: Final = {"R": 4, "O": 5, "C": 6, "W": 10}
"""Field numbers of Schema.Attribute."""
THREADS: Final = 8

Schema = Mapping[str, Any]


@contextmanager
def running() -> Iterator[str]:
    """Serves all providers; gives the value of TF_REATTACH_PROVIDERS."""
    servers, addresses = [], {}
    for name, provider in json.loads(SCHEMAS.read_text()).items():
        server = grpc.server(ThreadPoolExecutor(THREADS), handlers=[_handlers(provider)])
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


def _handlers(provider: Schema) -> Any:
    schema = _provider_schema(provider)
    answers = {
        "GetSchema": lambda _request, _context: schema,
        # A configuration comes back as it was sent: both messages hold it as field 1.
        "PrepareProviderConfig": lambda request, _context: request,
        "Configure": lambda _request, _context: b"",
        "ValidateResourceTypeConfig": lambda _request, _context: b"",
        "ValidateDataSourceConfig": lambda _request, _context: b"",
        "Stop": lambda _request, _context: b"",
    }
    return grpc.method_handlers_generic_handler(
        "tfplugin5.Provider",
        {name: grpc.unary_unary_rpc_method_handler(answer) for name, answer in answers.items()},
    )


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
