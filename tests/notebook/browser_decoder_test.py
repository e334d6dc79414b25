"""The widget with the decoder of an exported demo, in a real browser."""

import json
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("anywidget")
pytest.importorskip("fastapi")
pytest.importorskip("onnxruntime")
sync_api = pytest.importorskip("playwright.sync_api")

import browser
from widget_bridge import bridge

import samjax
from samjax.inference.embedding import weights_fingerprint
from samjax.notebook import Clicker
from samjax.web.decoder_cache import PARTS, export_pair
from samjax.web.description import describe_model
from samjax.web.page import missing_files, page_folder

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(browser.find_browser() is None, reason="there is no Chromium"),
    pytest.mark.skipif(
        bool(missing_files(page_folder())), reason="no runtime: make page"
    ),
]

# The machine may be busy, and the first prompt compiles.
sync_api.expect.set_options(timeout=60_000)

COFFEE = Path(samjax.__file__).parent / "assets" / "coffee.jpg"
CORS = {"Access-Control-Allow-Origin": "*"}


@pytest.fixture(scope="module")
def predictor():
    return samjax.Predictor(*samjax.load("tiny"))


@pytest.fixture(scope="module")
def demo(predictor, tmp_path_factory):
    """The page and the decoder of a demo, without its encoder, which takes longest."""
    out = tmp_path_factory.mktemp("site")
    shutil.copytree(page_folder(), out / "page")
    (out / "model").mkdir()
    features = np.asarray(predictor.embed(COFFEE).features)
    export_pair(predictor, features, out / "model", storage="float16")
    graphs = {part: out / "model" / f"decoder.{part}.onnx" for part in PARTS}
    config = {
        "model": describe_model(predictor, "tiny", 8),
        "weights": weights_fingerprint(predictor.model.config, predictor.params),
        "decoder": {
            part: {"url": f"model/{path.name}", "bytes": path.stat().st_size}
            for part, path in graphs.items()
        },
    }
    (out / "config.json").write_text(json.dumps(config))
    return out


@pytest.fixture(scope="module")
def playwright():
    with sync_api.sync_playwright() as playwright:
        yield playwright


@pytest.fixture
def page(playwright):
    context = browser.start_browser(playwright)
    page = context.pages[0]
    page.set_default_timeout(60_000)
    yield page
    context.close()


def click_cup(page):
    page.wait_for_selector("html[data-state=ready]")
    box = page.locator(".stage").bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] * 0.375)


def candidates(page):
    """Returns the names and scores of the masks to choose from."""
    levels = page.get_by_role("radiogroup", name="Masks of this prompt")
    sync_api.expect(levels.get_by_role("radio")).to_have_count(3)
    return levels.get_by_role("radio").all_inner_texts()


def test_the_browser_shows_masks_while_the_kernel_is_busy(page, demo, predictor):
    is_idle = threading.Event()
    is_idle.set()
    with browser.host_of(demo, CORS) as site:
        clicker = Clicker(predictor, COFFEE, decoder_url=site)
        with bridge(clicker, is_idle) as address:
            page.goto(address)
            page.wait_for_selector("[data-decoder=browser]")
            is_idle.clear()
            click_cup(page)
            shown = candidates(page)
            status = page.locator(".status").inner_text()
            assert clicker.masks is None
            page.get_by_role("button", name="Accept").click()
            sync_api.expect(
                page.get_by_role("button", name="Remove object 1")
            ).to_be_visible()
            is_idle.set()
            for _ in range(3000):
                if clicker.annotations:
                    break
                page.wait_for_timeout(20)
    [annotation] = clicker.annotations
    expected = predictor.predict(predictor.embed(COFFEE), clicker.prompts[0])
    scores = [float(text.split()[-1]) for text in shown]
    order = np.argsort(-expected.masks.sum((1, 2)), kind="stable")
    np.testing.assert_allclose(scores, expected.scores[order], atol=0.011)
    # The mask that the browser showed is the one that Python kept.
    pixels = int(status.split(" px")[0].replace(",", ""))
    assert pixels == pytest.approx(annotation["area"], rel=0.02)


@pytest.mark.parametrize(
    ("headers", "weights", "message"),
    [(CORS, "0" * 64, "a decoder of other weights"), ({}, None, "cannot be loaded")],
    ids=["of another model", "not allowed by its host"],
)
def test_the_kernel_goes_on_without_a_decoder_that_cannot_be_used(
    page, predictor, tmp_path, headers, weights, message
):
    (tmp_path / "config.json").write_text(json.dumps({"weights": weights}))
    with browser.host_of(tmp_path, headers) as site:
        clicker = Clicker(predictor, COFFEE, decoder_url=site)
        with bridge(clicker) as address:
            page.goto(address)
            page.wait_for_selector("html[data-state=ready]")
            alert = page.get_by_role("alert")
            sync_api.expect(alert).to_contain_text(message)
            click_cup(page)
            candidates(page)
    assert len(clicker.masks) == 3
