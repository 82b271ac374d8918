"""A real sign-in before a server: nginx asks a client of OpenID Connect, which asks a provider.

nginx is Debian's, the client is made with Authlib, and the provider is `oidc-provider-mock`, which lets
anybody be whom they say. oauth2-proxy is put before a page in the same way:
https://oauth2-proxy.github.io/oauth2-proxy/configuration/integrations/nginx
"""

from __future__ import annotations

import contextlib
import secrets
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
from authlib.integrations.flask_client import OAuth  # type: ignore[import-untyped]
from flask import Flask, Response, session
from werkzeug.serving import make_server

from doubles.processes import Process, free_port
from tests.support.nginx import Nginx

HEADER = "X-Auth-Request-Email"
METADATA = "/.well-known/openid-configuration"
START_SECONDS = 30.0
SERVER = """
  server {{
    listen 127.0.0.1:{port};
    proxy_set_header Host $http_host;
    location /oauth2/ {{ proxy_pass http://127.0.0.1:{client}; }}
    location = /oauth2/auth {{
      internal;
      proxy_pass http://127.0.0.1:{client};
      proxy_pass_request_body off;
      proxy_set_header Content-Length "";
    }}
    location / {{
      auth_request /oauth2/auth;
      auth_request_set $email $upstream_http_x_auth_request_email;
      proxy_set_header X-Auth-Request-Email $email;
      error_page 401 = @sign_in;
      proxy_pass {page};
    }}
    location @sign_in {{ return 302 http://127.0.0.1:{port}/oauth2/start; }}
  }}
"""


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).is_success
    except httpx.TransportError:
        return False


def _client(issuer: str, address: str) -> Flask:
    """Who signs in, in a session: `/oauth2/auth` says it to nginx, or 401."""
    app = Flask("sign-in")
    app.secret_key = secrets.token_hex()
    provider = OAuth(app).register(
        "provider",
        client_id="flinkjobs",
        client_secret=secrets.token_hex(),
        server_metadata_url=f"{issuer}{METADATA}",
        client_kwargs={"scope": "openid email", "code_challenge_method": "S256"},
    )

    @app.get("/oauth2/start")
    def start() -> Response:
        asked: Response = provider.authorize_redirect(f"{address}/oauth2/callback")
        return asked

    @app.get("/oauth2/callback")
    def callback() -> Response:
        session["email"] = provider.authorize_access_token()["userinfo"]["email"]
        return Response(status=302, headers={"Location": "/"})

    @app.get("/oauth2/auth")
    def auth() -> Response:
        if "email" not in session:
            return Response(status=401)
        return Response(status=202, headers={HEADER: session["email"]})

    return app


@contextlib.contextmanager
def sign_in_before(page: str, directory: Path) -> Iterator[str]:
    """Puts the sign-in before the server at the address `page`; gives its own address.

    Args:
        page: address of the server, which believes `HEADER`.
        directory: for the files of nginx.
    """
    ports = {"nginx": free_port(), "client": free_port(), "provider": free_port()}
    address = f"http://127.0.0.1:{ports['nginx']}"
    with contextlib.ExitStack() as parts:
        issuer = f"http://localhost:{ports['provider']}"
        command = [
            sys.executable,
            "-W",
            "ignore",
            "-m",
            "oidc_provider_mock",
            "--port",
            str(ports["provider"]),
        ]
        provider = Process(command, name="provider")
        parts.callback(provider.stop)
        provider.wait_ready(lambda: _answers(f"{issuer}{METADATA}"), timeout_seconds=START_SECONDS)
        app = _client(issuer, address)
        client = make_server("127.0.0.1", ports["client"], app, threaded=True)
        parts.callback(client.server_close)
        parts.callback(client.shutdown)
        threading.Thread(target=client.serve_forever, daemon=True).start()
        servers = SERVER.format(port=ports["nginx"], client=ports["client"], page=page)
        parts.enter_context(Nginx(directory, servers, ports))
        yield address
