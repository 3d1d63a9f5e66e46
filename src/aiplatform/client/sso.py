"""Single sign-on for programs: the browser is redirected to a port on this machine (RFC 8252)."""

import base64
import hashlib
import hmac
import secrets
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlencode, urlsplit

from aiplatform.client.errors import ClientError, Unauthenticated
from aiplatform.language import tr

PAGE = (
    "<!doctype html><meta charset=utf-8><title>AI Platform</title>"
    "<p>You can close this window. 您可以关闭此窗口。"
)


def browse(login_url: str, show: Callable[[str], None], *, timeout: float) -> tuple[str, str]:
    """Let the user log in with a browser. Return the authorization code and its verifier.

    Args:
        login_url: the server's address for logins.
        show: called with the address to open.
        timeout: seconds that the user has to log in.

    Raises:
        Unauthenticated: if the server or the sign-on provider rejects the login.
        ClientError: if the user does not finish in time.
    """
    verifier, state = secrets.token_urlsafe(48), secrets.token_urlsafe(24)
    digest = hashlib.sha256(verifier.encode()).digest()
    answers: list[dict[str, str]] = []
    came = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            found = {name: values[0] for name, values in parse_qs(parts.query).items()}
            # Other pages in the user's browser can send requests here, too, but don't know the
            # state.
            ours = parts.path == "/" and hmac.compare_digest(
                found.get("state", "").encode(), state.encode()
            )
            self.send_response(200 if ours else 404)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(PAGE.encode() if ours else b"")
            if ours and not answers:
                answers.append(found)
                came.set()

        def log_message(self, *_: object) -> None:
            """Log nothing, because the address contains the code."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        serving = threading.Thread(target=server.serve_forever, daemon=True)
        serving.start()
        query = urlencode(
            {
                "redirect_uri": f"http://127.0.0.1:{server.server_port}/",
                "code_challenge": base64.urlsafe_b64encode(digest).decode().rstrip("="),
                "state": state,
            }
        )
        try:
            show(f"{login_url}?{query}")
            came.wait(timeout)
        finally:
            server.shutdown()
            serving.join()
    if not answers:
        raise ClientError(tr("nobody logged in within {timeout:.0f} seconds", timeout=timeout))
    if "code" not in answers[0]:
        reason = answers[0].get("error_description") or answers[0].get("error") or tr("no reason")
        raise Unauthenticated(reason, code=answers[0].get("error", "client.sso"))
    return answers[0]["code"], verifier
