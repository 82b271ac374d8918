"""The MongoDB of the local stack is a real server that can be stopped, crashed and frozen."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient, WriteConcern
from pymongo.errors import NetworkTimeout, ServerSelectionTimeoutError

from doubles.processes import Scratch
from local import mongodb as module
from local.mongodb import MongoError, MongoServer, explain, mongodb


def connect(server: MongoServer) -> MongoClient[dict[str, Any]]:
    return MongoClient(server.uri, serverSelectionTimeoutMS=2000, socketTimeoutMS=500)


@pytest.fixture(scope="module")
def server() -> Iterator[MongoServer]:
    with MongoServer() as running:
        yield running


def test_it_stores_documents(server: MongoServer) -> None:
    with connect(server) as client:
        client.shop.things.insert_one({"name": "a thing"})
        assert client.shop.things.find_one({}, {"_id": 0}) == {"name": "a thing"}


def test_it_listens_on_the_loopback_address_only(server: MongoServer) -> None:
    with connect(server) as client:
        options = client.admin.command("getCmdLineOpts")["parsed"]
    assert options["net"]["bindIp"] == "127.0.0.1"
    assert options["net"]["port"] == server.port


def test_data_survives_a_stop_and_a_crash_on_the_same_port(server: MongoServer) -> None:
    uri = server.uri
    journaled = WriteConcern(w=1, j=True)
    with connect(server) as client:
        client.shop.get_collection("kept", write_concern=journaled).insert_one({"_id": 1})
        server.stop()
        with pytest.raises(ServerSelectionTimeoutError):
            client.shop.kept.find_one()
        server.start()
        client.shop.get_collection("kept", write_concern=journaled).insert_one({"_id": 2})
        server.kill()
        server.start()
        assert client.shop.kept.distinct("_id") == [1, 2]
    assert server.uri == uri


def test_a_paused_server_is_silent_and_resumes(server: MongoServer) -> None:
    with connect(server) as client:
        client.admin.command("ping")
        server.pause()
        try:
            with pytest.raises(NetworkTimeout):
                client.admin.command("ping")
        finally:
            server.resume()
        assert client.admin.command("ping") == {"ok": 1.0}


def test_a_paused_server_can_be_stopped_and_its_data_goes(tmp_path: Path) -> None:
    with Scratch("stack", parent=tmp_path) as scratch:
        with MongoServer(scratch=scratch) as server:
            server.pause()
        assert scratch.path.exists()
    assert list(tmp_path.iterdir()) == []


def test_a_replica_set_of_one_accepts_transactions() -> None:
    with MongoServer(replica_set=True) as server, connect(server) as client:
        assert client.admin.command("hello")["setName"] == "local"
        with client.start_session() as session, session.start_transaction():
            client.shop.things.insert_one({"_id": 1}, session=session)
        assert client.shop.things.count_documents({}) == 1


def test_the_uri_of_the_user_wins() -> None:
    with mongodb({"MONGODB_URI": "mongodb://elsewhere.example/"}) as uri:
        assert uri == "mongodb://elsewhere.example/"


def test_without_one_a_server_is_started() -> None:
    with mongodb({}) as uri, MongoClient[dict[str, Any]](uri) as client:
        assert client.admin.command("ping") == {"ok": 1.0}


def test_the_error_on_a_platform_without_the_package_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WHEEL", "no_such_package")
    with pytest.raises(MongoError) as raised, MongoServer():
        pass
    assert str(raised.value) == (
        "there is no MongoDB server for this platform among the packages; "
        "set MONGODB_URI to use a MongoDB of your own"
    )


def test_a_missing_library_is_named() -> None:
    said = "mongod: error while loading shared libraries: libcrypto.so.3: cannot open shared object file"
    assert explain(said) == (
        "MongoDB needs the library libcrypto.so.3, which this machine lacks (OpenSSL 3 and libcurl 4)"
    )
