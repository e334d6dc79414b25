"""Load of many annotators on one server: how long a saved mask takes, and none is lost.

    python tools/benchmarks/annotators.py --people 130 --seconds-per-mask 14 --minutes 5

Starts `samjax serve --api-only --queue` on images that are noise, and people as threads:
each claims a task, saves a mask every so many seconds (exponential times), renews the lease
once a minute, finishes the image after some masks, and claims the next. Reported are the
times of saving, failures, and whether every acknowledged mask is stored exactly once and
no image was handed to two people. The paper's data engine had 130 annotators, at 14 seconds
a mask at the end of its first stage. Needs the extra `web`.
"""

import argparse
import http.client
import json
import os
import random
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from pathlib import Path

import numpy as np
from PIL import Image

from samjax.geometry.masks import encode_rle

SIZE = (480, 640)
MASKS_PER_IMAGE = 5


class Person(threading.Thread):
    """A person who saves masks until the time is over."""

    def __init__(self, number: int, port: int, end: float, seconds: float):
        super().__init__(daemon=True)
        self.name_of = f"person {number}"
        self.times: list[float] = []
        self.saved: list[str] = []
        self.images: list[str] = []
        self.failures: list[str] = []
        self._port, self._end, self._seconds = port, end, seconds
        self._draw = random.Random(number)
        self._connection: http.client.HTTPConnection | None = None

    def run(self) -> None:
        # They do not begin at the same instant.
        time.sleep(self._draw.uniform(0, self._seconds))
        task, masks = None, 0
        while time.monotonic() < self._end:
            if task is None:
                task, masks = self._claim(), 0
                if task is None:
                    return
            time.sleep(self._draw.expovariate(1 / self._seconds))
            self._save(task)
            masks += 1
            if masks == MASKS_PER_IMAGE:
                self._ask(
                    "POST", f"/tasks/{task['id']}/finish", {"person": self.name_of}
                )
                task = None

    def _claim(self) -> dict | None:
        status, body = self._ask("POST", "/tasks/claim", {"person": self.name_of})
        if status != 200:
            return None
        task = json.loads(body)
        self.images.append(task["image"])
        return task

    def _save(self, task: dict) -> None:
        drawn = np.zeros(SIZE, bool)
        y, x = self._draw.randrange(400), self._draw.randrange(500)
        rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
        drawn[(rows - y) ** 2 + (columns - x) ** 2 < 90**2] = True
        name = str(uuid.UUID(int=self._draw.getrandbits(128)))
        mask = {
            "uuid": name,
            "segmentation": encode_rle(drawn),
            "author": self.name_of,
            "seconds": 14.0,
        }
        started = time.perf_counter()
        status, body = self._ask(
            "POST", f"/images/{task['image_id']}/annotations", mask
        )
        self.times.append(time.perf_counter() - started)
        if status == 201:
            self.saved.append(name)
        else:
            self.failures.append(f"{status} {body[:200]!r}")

    def _ask(self, method: str, path: str, body: dict) -> tuple[int, bytes]:
        for attempt in range(2):
            try:
                if self._connection is None:
                    self._connection = http.client.HTTPConnection(
                        "127.0.0.1", self._port, timeout=60
                    )
                headers = {"Content-Type": "application/json"}
                self._connection.request(
                    method, f"/api/v1{path}", json.dumps(body), headers
                )
                response = self._connection.getresponse()
                return response.status, response.read()
            except (OSError, http.client.HTTPException) as error:
                # A kept connection that the server closed while it was idle.
                self._connection = None
                if attempt:
                    return 0, str(error).encode()
        return 0, b""


def main() -> None:
    """Runs the load, and prints and writes the figures."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--people", type=int, default=130)
    parser.add_argument("--seconds-per-mask", type=float, default=14.0)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--port", type=int, default=8765)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = measure(Path(folder), options)
    print(json.dumps(result, indent=1))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1))


def measure(folder: Path, options: argparse.Namespace) -> dict:
    """Returns the figures of one run."""
    rng = np.random.default_rng(0)
    rounds = options.minutes * 60 / options.seconds_per_mask / MASKS_PER_IMAGE
    count = int(options.people * (rounds + 2))
    pixels = rng.integers(0, 256, (*SIZE, 3), np.uint8)
    Image.fromarray(pixels).save(folder / "00000.jpg", quality=60)
    content = (folder / "00000.jpg").read_bytes()
    for number in range(1, count):
        (folder / f"{number:05d}.jpg").write_bytes(content)
    words = ["serve", str(folder), "--api-only", "--queue", "--model", options.model]
    words += ["--port", str(options.port)]
    server = subprocess.Popen(
        [sys.executable, "-m", "samjax", *words], stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        while "serving" not in (line := server.stdout.readline()):
            if not line:
                raise SystemExit("the server did not start")
        threading.Thread(target=server.stdout.read, daemon=True).start()
        end = time.monotonic() + 60 * options.minutes
        people = [
            Person(number, options.port, end, options.seconds_per_mask)
            for number in range(options.people)
        ]
        for person in people:
            person.start()
        loads = []
        while any(person.is_alive() for person in people):
            time.sleep(5)
            loads.append(os.getloadavg()[0])
    finally:
        server.terminate()
        server.wait()
    return _figures(people, folder, options, float(np.median(loads)))


def _figures(
    people: list[Person], folder: Path, options: argparse.Namespace, load: float
) -> dict:
    times = 1000 * np.array([value for person in people for value in person.times])
    connection = sqlite3.connect(folder / ".samjax" / "annotations.sqlite3")
    stored = [row[0] for row in connection.execute("SELECT uuid FROM annotations")]
    connection.close()
    saved = [name for person in people for name in person.saved]
    images = [image for person in people for image in person.images]
    return {
        "people": options.people,
        "minutes": options.minutes,
        "saves": len(times),
        "saves_per_second": len(times) / (60 * options.minutes),
        "ms": {
            "median": float(np.median(times)),
            "p95": float(np.percentile(times, 95)),
            "p99": float(np.percentile(times, 99)),
            "max": float(times.max()),
        },
        "failures": [text for person in people for text in person.failures],
        "acknowledged_but_not_stored": len(set(saved) - set(stored)),
        "stored_twice": len(stored) - len(set(stored)),
        "images_given_twice": len(images) - len(set(images)),
        "median_load": load,
        "cores": os.cpu_count(),
    }


if __name__ == "__main__":
    main()
