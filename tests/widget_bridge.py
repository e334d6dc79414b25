"""Connects a widget with a page over HTTP, as a kernel's messages connect it in a notebook.

The page has a double of anywidget's model (`bridge.js`); the widget is the real one.
"""

import base64
import contextlib
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import browser

HERE = Path(__file__).parent / "notebook"
FILES = {"/": "bridge.html", "/bridge.js": "bridge.js"}
TYPES = {".html": "text/html", ".js": "text/javascript"}
STATE = ("_esm", "_css", "_picture", "_size", "_session")
STATE += ("_candidates", "_accepted", "_problem", "_decoder_url")


@contextlib.contextmanager
def bridge(widget: Any, is_idle: threading.Event | None = None) -> Iterator[str]:
    """Serves the page of a widget, and gives its address.

    Args:
        widget: The widget.
        is_idle: Changes of the state wait until it is set, as for a busy kernel.
    """
    messages: list[dict[str, Any]] = []

    def send(content, buffers=()):
        encoded = [base64.b64encode(buffer).decode() for buffer in buffers]
        messages.append({"content": content, "buffers": encoded})

    widget.send = send

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path == "/state":
                state = widget.get_state(list(STATE))
                state["_picture"] = base64.b64encode(state["_picture"]).decode()
                sent = {"state": state, "messages": list(messages)}
                messages.clear()
                self.answer(json.dumps(sent).encode(), "application/json")
            elif self.path in FILES:
                file = HERE / FILES[self.path]
                self.answer(file.read_bytes(), TYPES[file.suffix])
            else:
                self.answer(b"", "text/plain", 404)

        def do_POST(self):
            length = int(self.headers["Content-Length"])
            data = json.loads(self.rfile.read(length))
            if is_idle is not None and data["method"] == "update":
                is_idle.wait(60)
            widget._handle_msg({"content": {"data": data}, "buffers": []})
            self.answer(b"{}", "application/json")

        def answer(self, content: bytes, kind: str, status: int = 200):
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    # One request at a time, as a kernel handles messages.
    with browser.on_loopback(http.server.HTTPServer, Handler) as address:
        yield address
