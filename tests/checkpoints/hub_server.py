"""A loopback server that answers as the Hugging Face Hub does, for one repository."""

import hashlib
import http.server
import json
import threading
from pathlib import Path
from typing import Self
from urllib.parse import unquote

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(http.server.ThreadingHTTPServer):
    """A running server.

    Attributes:
        folder: Folder with the files of the only repository.
        repository: Its name.
        asked: The paths of all requests.
    """

    def __init__(self, folder: Path, repository: str):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder, self.repository, self.asked = folder, repository, []
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self):
        self._answer()

    def do_GET(self):
        self._answer()

    def _answer(self):
        path = unquote(self.path.partition("?")[0])
        self.server.asked.append(path)
        name = self.server.repository
        files = sorted(f for f in self.server.folder.rglob("*") if f.is_file())
        names = [str(file.relative_to(self.server.folder)) for file in files]
        if path.startswith(f"/api/models/{name}/tree/"):
            self._send(json.dumps([self._entry(n) for n in names]).encode())
        elif path in (f"/api/models/{name}", f"/api/models/{name}/revision/main"):
            siblings = [{"rfilename": n} for n in names]
            about = {"id": name, "modelId": name, "sha": COMMIT, "siblings": siblings}
            self._send(json.dumps(about).encode())
        elif path.startswith(f"/{name}/resolve/"):
            wanted = path.removeprefix(f"/{name}/resolve/").partition("/")[2]
            if wanted in names:
                self._send((self.server.folder / wanted).read_bytes())
            else:
                self._send(b"Entry not found", 404, "EntryNotFound")
        else:
            self._send(b"Repository not found", 404, "RepoNotFound")

    def _entry(self, name: str) -> dict:
        content = (self.server.folder / name).read_bytes()
        oid = hashlib.sha1(content).hexdigest()
        return {"type": "file", "path": name, "size": len(content), "oid": oid}

    def _send(self, content: bytes, status: int = 200, error: str = ""):
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        if error:
            self.send_header("X-Error-Code", error)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, format, *args):
        """Says nothing."""
