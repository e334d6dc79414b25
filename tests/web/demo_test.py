"""The page without a server: its folder, and the folder in a browser."""

import contextlib
import dataclasses
import json
import urllib.request

import numpy as np
import pytest
from PIL import Image
from small_text_sam import SMALL_TEXT, random_params

pytest.importorskip("onnxruntime")

import browser

import samjax
from samjax import cli
from samjax.data.schema import record_from_json
from samjax.geometry.masks import decode_rle
from samjax.inference.automatic.config import SMALL_MODEL_THRESHOLDS
from samjax.inference.embedding import weights_fingerprint
from samjax.inference.images import read_image
from samjax.models.text_sam import TextSam
from samjax.web import demo
from samjax.web.page import missing_files, page_folder

needs_runtime = pytest.mark.skipif(
    bool(missing_files(page_folder())), reason="no runtime: make page"
)


@contextlib.contextmanager
def demo_page(out):
    """A browser with the page of a demo's folder."""
    from playwright.sync_api import sync_playwright

    with browser.host_of(out) as address, sync_playwright() as playwright:
        context = browser.start_browser(
            playwright, viewport={"width": 1200, "height": 800}, accept_downloads=True
        )
        page = context.pages[0]
        page.set_default_timeout(60_000)
        page.goto(address)
        yield page
        context.close()


def exported_annotations(page):
    """The annotations of the open photo, exported by the page in SA-1B's form."""
    page.locator("#export summary").click()
    with page.expect_download() as download:
        page.locator("#export .menu-items").get_by_text("SA-1B").first.click()
    with open(download.value.path(), encoding="utf-8") as file:
        return record_from_json(file.read())["annotations"]


@needs_runtime
def test_a_folder_with_something_else_in_it_is_left_alone(tmp_path, capsys):
    out = tmp_path / "site"
    out.mkdir()
    (out / "thesis.txt").write_text("mine")
    assert cli.main(["export", "--demo", str(out)]) == 1
    assert "other content" in capsys.readouterr().err
    assert [path.name for path in out.iterdir()] == ["thesis.txt"]


@needs_runtime
def test_what_fails_on_the_way_leaves_the_old_demo(tmp_path, monkeypatch, tiny_model):
    out = tmp_path / "site"
    out.mkdir()
    (out / "config.json").write_text('{"mode": "demo"}')
    monkeypatch.setattr(demo, "export_encoder", lambda *_, **__: 1 / 0)
    photo = tmp_path / "photo.png"
    Image.fromarray(np.full((30, 40, 3), 90, np.uint8)).save(photo)
    predictor = samjax.Predictor(*tiny_model)
    monkeypatch.setattr(demo, "export_pair", lambda *_, **__: None)
    with pytest.raises(ZeroDivisionError):
        demo.write_demo(predictor, out, name="small", samples=[photo])
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["site"]
    assert [path.name for path in out.iterdir()] == ["config.json"]


@needs_runtime
def test_photos_of_one_name_and_of_odd_names_are_all_there(
    tmp_path, monkeypatch, tiny_model
):
    monkeypatch.setattr(demo, "_export", lambda *_: {})
    photos = []
    for i, name in enumerate(("a/cup #1.png", "b/cup #1.png", "c/CUP #1.png")):
        photos.append(tmp_path / name)
        photos[-1].parent.mkdir()
        Image.fromarray(np.full((30, 40, 3), i, np.uint8)).save(photos[-1])
    out = tmp_path / "site"
    predictor = samjax.Predictor(*tiny_model)
    demo.write_demo(predictor, out, name="small", samples=photos)
    config = json.loads((out / "config.json").read_text())
    samples = config["samples"]
    # A browser is given fewer points than a server.
    everything = {"points_per_side": 12, **SMALL_MODEL_THRESHOLDS}
    assert config["model"]["everything"] == everything
    # By this a widget knows that the demo's decoder is of its model.
    model, params = tiny_model
    assert config["weights"] == weights_fingerprint(model.config, params)
    with browser.host_of(out) as address:
        for photo, sample in zip(photos, samples, strict=True):
            with urllib.request.urlopen(address + sample["url"]) as answer:
                assert answer.read() == photo.read_bytes()


@pytest.mark.slow
@needs_runtime
@pytest.mark.skipif(browser.find_browser() is None, reason="there is no Chromium")
def test_a_visitor_s_photo_is_embedded_and_segmented_in_the_page(tmp_path):
    pytest.importorskip("playwright.sync_api")
    from page_driver import CUP, accept, click, wait_until_ready

    out = tmp_path / "site"
    exact = ["--model", "tiny", "--storage", "float32", "--arithmetic", "float32"]
    assert cli.main(["export", "--demo", str(out), *exact]) == 0
    config = json.loads((out / "config.json").read_text())
    assert config["mode"] == "demo" and config["model"]["name"] == "tiny"

    photo = tmp_path / "mine.png"
    with Image.open(out / config["samples"][0]["url"]) as image:
        image.resize((300, 200)).save(photo)
    with demo_page(out) as page:
        page.wait_for_selector("[data-testid=image-card]")
        # The host does not isolate: the page's service worker does.
        assert page.evaluate("self.crossOriginIsolated")
        page.locator("#upload-files").set_input_files(photo)
        wait_until_ready(page)
        click(page)
        accept(page)
        [record] = exported_annotations(page)

    predictor = samjax.Predictor(*samjax.load("tiny"))
    [point] = record["point_coords"]
    np.testing.assert_allclose(point, np.multiply(CUP, (300, 200)), atol=1)
    prompt = samjax.Prompt(points=[point], labels=[1])
    masks = predictor.predict(predictor.embed(read_image(photo)), prompt)
    best = np.asarray(masks.masks[int(np.argmax(masks.scores))])
    ours = decode_rle(record["segmentation"]).astype(bool)
    assert (ours & best).sum() / (ours | best).sum() > 0.999


@pytest.mark.slow
@pytest.mark.exhaustive
@needs_runtime
@pytest.mark.skipif(browser.find_browser() is None, reason="there is no Chromium")
def test_a_text_is_a_prompt_in_the_page_without_a_server(tmp_path):
    pytest.importorskip("playwright.sync_api")
    from page_driver import expect, wait_for_mask, wait_until_ready

    photo = tmp_path / "photo.png"
    noise = np.random.default_rng(0).integers(0, 256, (8, 12, 3), np.uint8)
    Image.fromarray(noise).resize((300, 200)).save(photo)
    config = dataclasses.replace(SMALL_TEXT, text_similarity_width=8)
    predictor = samjax.Predictor(TextSam(config), random_params(config))
    out = tmp_path / "site"
    demo.write_demo(
        predictor,
        out,
        name="random",
        samples=[photo],
        storage="float32",
        arithmetic="float32",
    )
    stored = json.loads((out / "config.json").read_text())
    assert stored["model"]["text"] and stored["text"]["words"] == list(config.words)
    with demo_page(out) as page:
        page.get_by_test_id("image-card").first.click()
        wait_until_ready(page)
        page.get_by_test_id("text-prompt").fill("a red cup")
        page.get_by_test_id("text-prompt").press("Enter")
        wait_for_mask(page)
        # Keys are those of the stage then: Enter accepts.
        expect(page.get_by_test_id("stage")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.get_by_test_id("mask")).to_have_count(1)
        [record] = exported_annotations(page)
    prompt = samjax.Prompt(text="a red cup")
    masks = predictor.predict(predictor.embed(read_image(photo)), prompt)
    best = np.asarray(masks.masks[int(np.argmax(masks.scores))])
    ours = decode_rle(record["segmentation"]).astype(bool)
    assert 0 < best.mean() < 1
    assert (ours & best).sum() / (ours | best).sum() > 0.99
