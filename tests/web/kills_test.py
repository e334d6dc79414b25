"""A team's server is killed twenty times while five people work: nothing that it has
acknowledged is lost, and nothing is there twice.

Each server is a process of its own, forked from one that has imported samjax, with a stub
of a model: only the database and the network are tried.
"""

import collections
import http.client
import itertools
import json
import multiprocessing
import os
import random
import signal
import sqlite3
import threading
import time
import urllib.error
import urllib.request

import pytest

pytest.importorskip("fastapi")

from PIL import Image
from web.team_server import API, PEOPLE, box

from samjax.engine.annotations import AnnotationStore
from samjax.engine.annotations.people import People
from samjax.engine.project import DATABASE, Project
from samjax.inference import Predictor
from samjax.web.app import create_app
from samjax.web.serving import bind, serve
from samjax.web.settings import Settings

pytestmark = [
    pytest.mark.slow,
    pytest.mark.exhaustive,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
]

KILLS = 20
IMAGES = 60


class NoModel(Predictor):
    """A model that has weights of a name, and cannot embed."""

    fingerprint = "no-model"

    def __init__(self):
        pass


class Servers:
    """Servers of a project, one after another at one port."""

    def __init__(self, folder):
        self.folder = folder
        with bind("127.0.0.1", 0) as own:
            self.port = own.getsockname()[1]
        self._context = multiprocessing.get_context("fork")
        self.process = None

    def start(self) -> None:
        ready = self._context.Event()
        self.process = self._context.Process(target=self._run, args=(ready,))
        self.process.start()
        assert ready.wait(60), "the server did not start"

    def kill(self) -> None:
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.join()

    def _run(self, ready) -> None:
        settings = Settings(
            folder=self.folder / "images",
            state=self.folder,
            cache=self.folder / "cache",
            project=Project(review_share=0.5, agreement_share=0.2),
            project_folder=self.folder,
        )
        with bind("127.0.0.1", self.port) as own:
            serve(create_app(settings, NoModel()), own, ready.set)


class Worker(threading.Thread):
    """A person who works until nothing is left, and repeats what was not acknowledged.

    Attributes:
        masks: Acknowledged masks: image by uuid.
        held: Acknowledged leases: task, and the times of claim and of the end.
        ended: Tasks whose end was acknowledged.
    """

    def __init__(self, address, name, token, kinds, stop):
        super().__init__(name=name)
        self._address, self._token, self._stop_event = address, token, stop
        self._kinds = kinds
        self.masks, self.held, self.ended = {}, [], []
        self.problem = None

    def run(self):
        try:
            while not self._stop_event.is_set():
                worked = [self._work(kind) for kind in self._kinds]
                if not any(worked):
                    time.sleep(0.05)
        except Exception as error:
            self.problem = error
            raise

    def _work(self, kind) -> bool:
        task = self._send("POST", "/tasks/claim", {"kinds": [kind]})
        if task is None:
            return False
        claimed = time.monotonic()
        for number in range(3 if kind == "annotate" else 0):
            uuid = f"{self.name}-{task['id']}-{task['attempt']}-{number}"
            body = {"uuid": uuid, "segmentation": box(number, 0, number + 9, 9)}
            path = f"/images/{task['image_id']}/annotations"
            made = self._send("POST", path, body)
            self.masks[uuid] = made["id"]
        self.held.append((task["id"], claimed, time.monotonic()))
        path = f"/tasks/{task['id']}"
        if kind == "annotate":
            self._send("POST", f"{path}/finish", {"state": "done"})
        else:
            self._send("POST", f"{path}/review", {"verdict": "accepted"})
        self.ended.append(task["id"])
        return True

    def _send(self, method, path, body):
        while True:
            request = urllib.request.Request(
                f"{self._address}{API}{path}",
                method=method,
                data=json.dumps(body).encode(),
                headers={
                    "Authorization": f"Bearer {self._token}",
                    "Content-Type": "application/json",
                },
            )
            try:
                with urllib.request.urlopen(request, timeout=30) as response:
                    content = response.read()
                return json.loads(content) if content else None
            except urllib.error.HTTPError as error:
                raise AssertionError(f"{path}: {error.read()!r}") from error
            except (OSError, ValueError, http.client.HTTPException):
                # The server is gone: whether it has stored this, nobody knows.
                time.sleep(0.02)


@pytest.fixture
def project(tmp_path):
    folder = tmp_path / "project"
    (folder / "images").mkdir(parents=True)
    for number in range(IMAGES):
        Image.new("RGB", (32, 24)).save(folder / "images" / f"{number:02d}.png")
    store = AnnotationStore(folder / DATABASE)
    people = People(store.database)
    tokens = {name: people.add(name, role) for name, role in PEOPLE.items()}
    store.close()
    return folder, tokens


@pytest.mark.filterwarnings("ignore:.*fork.*")
def test_nothing_acknowledged_is_lost_or_doubled_by_twenty_kills(project):
    folder, tokens = project
    servers = Servers(folder)
    servers.start()
    stop = threading.Event()
    workers = [
        Worker(
            f"http://127.0.0.1:{servers.port}",
            name,
            token,
            ["annotate"] if PEOPLE[name] == "annotator" else ["verify", "annotate"],
            stop,
        )
        for name, token in tokens.items()
    ]
    for worker in workers:
        worker.start()
    draw = random.Random(0)
    try:
        for _ in range(KILLS):
            time.sleep(draw.uniform(0.05, 0.5))
            servers.kill()
            servers.start()
        wait_until_nothing_is_left(folder)
    finally:
        stop.set()
        for worker in workers:
            worker.join(60)
        servers.kill()
    assert [worker.problem for worker in workers] == [None] * 5
    check(folder, workers)


def wait_until_nothing_is_left(folder) -> None:
    end = time.monotonic() + 300
    connection = sqlite3.connect(folder / DATABASE)
    left = "SELECT COUNT(*) FROM tasks WHERE state IN ('open', 'leased')"
    while connection.execute(left).fetchone()[0]:
        assert time.monotonic() < end
        time.sleep(0.1)
    connection.close()


def check(folder, workers) -> None:
    connection = sqlite3.connect(folder / DATABASE)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    rows = connection.execute(
        "SELECT uuid, id, author, revision, deleted FROM annotations"
    ).fetchall()
    acknowledged = {
        uuid: (number, worker.name)
        for worker in workers
        for uuid, number in worker.masks.items()
    }
    # All masks were acknowledged in the end, each once, with the id that was told.
    assert {row[0]: (row[1], row[2]) for row in rows} == acknowledged
    assert len(rows) == len(acknowledged) > 3 * IMAGES - 1
    assert not any(row[4] for row in rows)
    assert len({row[3] for row in rows}) == len(rows)
    states = dict(connection.execute("SELECT id, state FROM tasks"))
    for worker in workers:
        assert all(states[task] == "done" for task in worker.ended)
    ended = collections.Counter(task for w in workers for task in w.ended)
    # No lease ended in the meantime, so that nobody had a task after somebody else.
    assert ended == dict.fromkeys(states, 1)
    reviews = connection.execute("SELECT task, COUNT(*) FROM reviews GROUP BY task")
    assert all(count == 1 for _, count in reviews)
    verify = "SELECT COUNT(*) FROM tasks WHERE kind = 'verify'"
    count = connection.execute("SELECT COUNT(*) FROM reviews").fetchone()
    assert connection.execute(verify).fetchone() == count
    connection.close()
    held = collections.defaultdict(list)
    for worker in workers:
        for task, start, end in worker.held:
            held[task].append((start, end))
    for times in held.values():
        times.sort()
        assert all(a[1] <= b[0] for a, b in itertools.pairwise(times))
