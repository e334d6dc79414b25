"""Servers for tests: in this process, on a small model with random weights."""

import contextlib
import dataclasses
import io
import time

import numpy as np
import pytest
from PIL import Image

import samjax

pytest.importorskip("fastapi")

import browser
from starlette.testclient import TestClient

from samjax.web.app import create_app
from samjax.web.settings import Settings

ADDRESS = "http://127.0.0.1:8000"


@pytest.fixture(scope="session")
def predictor(tiny_model) -> samjax.Predictor:
    return samjax.Predictor(*tiny_model)


@pytest.fixture
def photos(tmp_path):
    """A folder of three images, and a text that says it is one."""
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name, size in (("img2.png", (30, 40)), ("img10.jpg", (50, 20))):
        pixels = rng.integers(0, 255, (*size, 3), np.uint8)
        Image.fromarray(pixels).save(folder / name)
    Image.fromarray(np.full((24, 32, 3), 90, np.uint8)).save(folder / "sub/photo.png")
    (folder / "text.jpg").write_text("hello")
    return folder


@pytest.fixture
def settings(photos, tmp_path) -> Settings:
    state = photos / ".samjax"
    state.mkdir()
    return Settings(folder=photos, state=state, cache=tmp_path / "cache")


@pytest.fixture
def make_client(settings, predictor):
    """Starts a server with some settings changed, and gives who asks it."""
    with contextlib.ExitStack() as stack:

        def make(decoder=None, page=None, base_url=ADDRESS, **changes) -> TestClient:
            changed = dataclasses.replace(settings, **changes)
            app = create_app(changed, predictor, decoder=decoder, page=page)
            client = TestClient(app, base_url=base_url, raise_server_exceptions=False)
            return stack.enter_context(client)

        yield make


@pytest.fixture
def client(make_client) -> TestClient:
    return make_client()


@pytest.fixture
def ids(client) -> dict[str, str]:
    """The id of every image, by its name."""
    return {one["name"]: one["id"] for one in list_images(client)}


@pytest.fixture
def embedded(client, ids) -> str:
    """The id of an image of 24 x 32 that is embedded."""
    return embed(client, ids["sub/photo.png"])


def list_images(client) -> list[dict]:
    return client.get("/api/v1/images").json()["images"]


def embed(client, image: str) -> str:
    client.post(f"/api/v1/images/{image}/embedding")
    wait(
        lambda: client.get(f"/api/v1/images/{image}/embedding/state").json()["state"],
        "ready",
    )
    return image


def wait(state, wanted, seconds: float = 60.0) -> None:
    """Waits until `state()` is what is wanted."""
    end = time.monotonic() + seconds
    while (found := state()) != wanted:
        assert time.monotonic() < end, f"still {found}, expected {wanted}"
        assert found not in ("failed", "cancelled"), f"{found}, expected {wanted}"
        time.sleep(0.02)


def picture(size=(8, 8), shade=120, form="PNG") -> bytes:
    """The bytes of an image of one shade."""
    content = io.BytesIO()
    Image.fromarray(np.full((*size, 3), shade, np.uint8)).save(content, format=form)
    return content.getvalue()


def code_of(response) -> str:
    """The code of an error, which has the form that every error has."""
    content = response.json()
    assert set(content["error"]) == {"code", "message"}
    assert content["error"]["message"] and "\n" not in content["error"]["message"]
    assert "Traceback" not in response.text
    return content["error"]["code"]


@pytest.fixture(scope="module")
def playwright():
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        yield playwright


@pytest.fixture
def open_page(playwright):
    """Opens pages in separate browsers, and fails on uncaught errors in them."""
    contexts, errors = [], []

    def make(address, **options):
        options = {"viewport": {"width": 1200, "height": 800}, **options}
        context = browser.start_browser(playwright, accept_downloads=True, **options)
        contexts.append(context)
        page = context.pages[0]
        page.set_default_timeout(60_000)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(address)
        # Before that the page has no listeners.
        page.wait_for_selector("html[data-state=ready]")
        return page

    yield make
    for context in contexts:
        context.close()
    assert errors == []


@pytest.fixture
def make_server(tmp_path, predictor):
    """Makes the server of a team, with fields of the project."""
    from web.team_server import TeamServer

    made = []

    def make(**project):
        made.append(TeamServer(tmp_path / "project", predictor, **project))
        return made[-1]

    yield make
    for server in made:
        server.close()
