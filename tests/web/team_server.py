"""A team's server for tests: five photos, people of every role with their tokens."""

import dataclasses

import numpy as np
from PIL import Image
from starlette.testclient import TestClient

from samjax.engine.annotations import AnnotationStore, encoded_mask
from samjax.engine.annotations.people import People
from samjax.engine.project import DATABASE, Project
from samjax.geometry.masks import encode_rle
from samjax.web.app import create_app
from samjax.web.settings import Settings

API = "/api/v1"
ADDRESS = "http://127.0.0.1:8000"
PEOPLE = {
    "olga": "owner",
    "rex": "reviewer",
    "ria": "reviewer",
    "ada": "annotator",
    "bob": "annotator",
}
SIZE = (24, 32)


class TeamServer:
    """A server in this process, and clients with the tokens of its people.

    Attributes:
        folder: Folder of the project.
        tokens: Token of every person.
    """

    def __init__(self, folder, predictor, **project):
        self.folder = folder
        (folder / "images").mkdir(parents=True)
        rng = np.random.default_rng(0)
        for number in range(5):
            pixels = rng.integers(0, 255, (*SIZE, 3), np.uint8)
            Image.fromarray(pixels).save(folder / "images" / f"{number}.png")
        store = AnnotationStore(folder / DATABASE)
        people = People(store.database)
        self.tokens = {name: people.add(name, role) for name, role in PEOPLE.items()}
        store.close()
        settings = Settings(
            folder=folder / "images",
            state=folder,
            cache=folder.parent / "cache",
            project=dataclasses.replace(Project(), **project),
            project_folder=folder,
        )
        self.app = create_app(settings, predictor)
        # Starts the server's worker.
        self._server = TestClient(self.app, base_url=ADDRESS).__enter__()
        self.services = self.app.state.services

    def client(self, name=None, token=None) -> TestClient:
        """A client with the token of a person, or with another, or with none."""
        token = self.tokens[name] if name is not None else token
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        return TestClient(
            self.app,
            base_url=ADDRESS,
            headers=headers,
            raise_server_exceptions=False,
            follow_redirects=False,
        )

    def close(self) -> None:
        """Stops the server."""
        self._server.__exit__(None, None, None)


def claim(client, kind="annotate"):
    return client.post(f"{API}/tasks/claim", json={"kinds": [kind]})


def finish(client, task, state="done", note=""):
    given = {"state": state, "note": note}
    return client.post(f"{API}/tasks/{task['id']}/finish", json=given)


def review(client, task, verdict, note=""):
    given = {"verdict": verdict, "note": note}
    return client.post(f"{API}/tasks/{task['id']}/review", json=given)


def box(top, left, bottom, right):
    drawn = np.zeros(SIZE, bool)
    drawn[top:bottom, left:right] = True
    mask = encoded_mask(encode_rle(drawn)["counts"], SIZE)
    return {"size": list(mask.size), "counts": mask.counts}


def add_mask(client, image_id, uuid, segmentation=None, **fields):
    body = {"uuid": uuid, "segmentation": segmentation or box(2, 2, 12, 12), **fields}
    return client.post(f"{API}/images/{image_id}/annotations", json=body)


def masks_of(client, image_id):
    return client.get(f"{API}/images/{image_id}/annotations").json()["annotations"]
