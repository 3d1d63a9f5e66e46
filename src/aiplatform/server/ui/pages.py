"""Static files of the web interface, and ``index.html`` for the addresses of its views.

The files are built from ``ui/`` into ``static/`` next to this module. They are read once, when the
process starts, because they are small and change only with the program.
"""

import gzip
import mimetypes
import secrets
from dataclasses import dataclass
from pathlib import Path

from starlette.datastructures import Headers
from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

STATIC = Path(__file__).with_name("static")
HASHED = "/assets/"
"""Path prefix of files whose names contain a hash of their content."""

RESERVED = ("/api", "/v1", "/metrics", "/docs")
"""First parts of paths that never belong to the web interface."""

NONCE = b"__CSP_NONCE__"
"""Placeholder in ``index.html`` for the nonce.

The content security policy allows styles that scripts add with this nonce.
"""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'nonce-{nonce}'; "
    "img-src 'self' data: blob:; connect-src 'self'; font-src 'self'; worker-src 'self'; "
    "manifest-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)
NO_SCRIPTS = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
PERMISSIONS = "camera=(), geolocation=(), microphone=(), payment=(), usb=()"
MIN_COMPRESSED = 1024
COMPRESSIBLE = frozenset({".css", ".html", ".js", ".json", ".map", ".svg", ".txt", ".webmanifest"})

NOT_BUILT = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>AI Platform</title>
<h1>AI Platform</h1>
<p>The platform runs, but this installation does not contain the web interface.
In a checkout, run <code>make setup</code> with access to the registry of npm, and start the
platform again. Packages that are built from such a checkout contain the interface.</p>
<p>The API is described at <a href="/api/v1/openapi.json">/api/v1/openapi.json</a>.</p>
<div lang="zh">
<p>平台正在运行，但当前安装不包含网页界面。请在源码目录中运行 <code>make setup</code>（需要访问 npm
软件源），然后重新启动平台。由该目录构建的软件包包含网页界面。</p>
<p>API 说明见 <a href="/api/v1/openapi.json">/api/v1/openapi.json</a>。</p>
</div>
</html>
"""


@dataclass(frozen=True, slots=True)
class StaticFile:
    """A file of the built web interface: its content, plain and compressed, and its headers."""

    content: bytes
    compressed: bytes | None
    headers: dict[str, str]

    @classmethod
    def read(cls, file: Path, path: str) -> "StaticFile":
        """Read a file that will be served at the URL path ``path``."""
        content = file.read_bytes()
        compressed = None
        if file.suffix in COMPRESSIBLE and len(content) >= MIN_COMPRESSED:
            # The gzip header has no time, so that all processes and replicas have the same bytes.
            compressed = gzip.compress(content, 9, mtime=0)
        kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        immutable = path.startswith(HASHED)
        return cls(
            content,
            compressed,
            {
                "Content-Type": f"{kind}; charset=utf-8" if kind.startswith("text/") else kind,
                "Cache-Control": "public, max-age=31536000, immutable" if immutable
                else "public, max-age=3600",
                # A web worker obeys the policy of its own script, which must allow the same
                # connections.
                "Content-Security-Policy": POLICY.replace(" 'nonce-{nonce}'", ""),
                "Vary": "Accept-Encoding",
            },
        )  # fmt: skip

    def answer(self, headers: Headers) -> Response:
        """Return the response to a request with these headers."""
        if self.compressed is not None and "gzip" in headers.get("accept-encoding", ""):
            return Response(self.compressed, headers={**self.headers, "Content-Encoding": "gzip"})
        return Response(self.content, headers=self.headers)


class WebInterface:
    """ASGI middleware that handles requests for the web interface and passes on all others.

    It runs before the rate limits, because a page loads many files when it is opened.
    """

    def __init__(self, app: ASGIApp, directory: Path = STATIC) -> None:
        self.app = app
        self.files: dict[str, StaticFile] = {}
        self.index: bytes | None = None
        for file in sorted(directory.rglob("*")):
            path = "/" + file.relative_to(directory).as_posix()
            if path == "/index.html":
                self.index = file.read_bytes()
            elif file.is_file() and not path.startswith("/."):
                self.files[path] = StaticFile.read(file, path)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request; other scopes pass through."""
        answer = self.answer(scope) if scope["type"] == "http" else None
        await (self.app if answer is None else answer)(scope, receive, send)

    def answer(self, scope: Scope) -> Response | None:
        """Return the response if the request is for the web interface, otherwise None."""
        path: str = scope["path"]
        if scope["method"] not in {"GET", "HEAD"}:
            return None
        if any(path == first or path.startswith(f"{first}/") for first in RESERVED):
            return None
        headers = Headers(scope=scope)
        file = self.files.get(path)
        if file is not None:
            return file.answer(headers)
        # Any other address that a browser opens belongs to a view. Programs get 404 for it.
        if path == "/" or "text/html" in headers.get("accept", ""):
            return self._open_page()
        return None

    def _open_page(self) -> Response:
        if self.index is None:
            return HTMLResponse(
                NOT_BUILT,
                headers={"Content-Security-Policy": NO_SCRIPTS, "Cache-Control": "no-store"},
            )
        nonce = secrets.token_urlsafe(18)
        return HTMLResponse(
            self.index.replace(NONCE, nonce.encode()),
            headers={
                "Content-Security-Policy": POLICY.format(nonce=nonce),
                "Cache-Control": "no-store",
                "Permissions-Policy": PERMISSIONS,
            },
        )
