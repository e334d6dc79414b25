"""The page in a real browser, driven like a user."""

import io
import json
import time
import urllib.request
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("fastapi")
sync_api = pytest.importorskip("playwright.sync_api")

import browser
from page_driver import (
    CUP,
    accept,
    alpha,
    area,
    click,
    drag,
    open_image,
    until,
    wait_for_mask,
    wait_until_ready,
    wait_until_saved,
)

import samjax
from samjax.geometry.masks import decode_rle
from samjax.inference.images import read_image
from samjax.web.page import missing_files, page_folder

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(browser.find_browser() is None, reason="there is no Chromium"),
    pytest.mark.skipif(
        bool(missing_files(page_folder())), reason="no runtime: make page"
    ),
]

COFFEE = Path(samjax.__file__).parent / "assets" / "coffee.jpg"
# A box around the cup, in fractions of the photo.
AROUND_CUP = (0.13, 0.16, 0.80, 0.98)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    with Image.open(COFFEE) as photo:
        for name in ("a.png", "b.png", "c.png", "d.png", "e.png"):
            photo.resize((300, 200)).save(folder / name)
    return folder


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def server(folder, cache):
    with browser.running_server(
        folder, "--model", "tiny", "--storage", "float32", cache=cache
    ) as server:
        yield server


@pytest.fixture(scope="module")
def model():
    return samjax.Predictor(*samjax.load("tiny"))


def get(server, path):
    with urllib.request.urlopen(server.address + "/api/v1" + path) as answer:
        return json.load(answer)


def stored(server, name):
    images = get(server, "/images")["images"]
    [image] = [image for image in images if image["name"] == name]
    return get(server, f"/images/{image['id']}/annotations")["annotations"]


def bits(annotation):
    return decode_rle(annotation["segmentation"]).astype(bool)


def iou(a, b):
    return (a & b).sum() / (a | b).sum()


def test_a_click_shows_a_mask_that_is_the_model_s_and_is_saved(
    server, open_page, model, folder
):
    page = open_page(server.address)
    assert page.evaluate("self.crossOriginIsolated")
    open_image(page, "a.png")
    click(page)
    assert alpha(page, *CUP) > 0 and alpha(page, 0.02, 0.02) == 0

    page.keyboard.press("Enter")
    wait_until_saved(page)
    [saved] = stored(server, "a.png")
    [point] = saved["prompts"]["points"]
    np.testing.assert_allclose(point, np.multiply(CUP, (300, 200)), atol=1)
    prompt = samjax.Prompt(points=[point], labels=[1])
    masks = model.predict(model.embed(read_image(folder / "a.png")), prompt)
    best = int(np.argmax(masks.scores))
    assert saved["score"] == pytest.approx(float(masks.scores[best]), abs=1e-4)
    assert iou(bits(saved), np.asarray(masks.masks[best])) > 0.999
    assert saved["source"] == "click" and saved["level"] in ("whole", "part", "subpart")
    assert 0 < saved["seconds"] < 60
    y, x = np.argwhere(bits(saved)).T
    # As the release has it: the last pixels less the first.
    assert saved["bbox"] == [x.min(), y.min(), x.max() - x.min(), y.max() - y.min()]


def test_masks_are_refined_undone_and_chosen_among(server, open_page):
    page = open_page(server.address)
    open_image(page, "b.png")
    click(page)
    one = area(page)
    # A key cycles through whole, part and subpart.
    levels = page.locator("#levels [role=radio]")
    assert levels.count() == 3
    areas = {one}
    for _ in range(2):
        page.keyboard.press("m")
        page.wait_for_timeout(100)
        areas.add(area(page))
    assert len(areas) == 3
    click(page, 0.1, 0.1, button="right")
    two = area(page)
    assert two != one and levels.count() == 0
    page.get_by_test_id("undo").click()
    wait_for_mask(page)
    assert area(page) in areas
    page.get_by_test_id("redo").click()
    wait_for_mask(page)
    assert area(page) == two
    page.keyboard.press("Escape")
    until(page, "document.getElementById('session-body').hidden")
    assert alpha(page, *CUP) == 0


def test_boxes_brush_and_eraser_make_masks(server, open_page, model, folder):
    page = open_page(server.address)
    open_image(page, "c.png")
    page.keyboard.press("b")
    drag(page, AROUND_CUP[:2], AROUND_CUP[2:])
    page.get_by_test_id("label").fill("cup")
    page.get_by_test_id("accept").click()
    wait_until_saved(page)
    [box] = stored(server, "c.png")
    left, top, right, bottom = np.multiply(AROUND_CUP, (300, 200, 300, 200))
    np.testing.assert_allclose(
        box["prompts"]["box"], [left, top, right, bottom], atol=1
    )
    assert box["source"] == "box" and box["label"] == "cup"
    prompt = samjax.Prompt(box=box["prompts"]["box"])
    masks = model.predict(model.embed(read_image(folder / "c.png")), prompt)
    best = np.asarray(masks.masks[int(np.argmax(masks.scores))])
    assert iou(bits(box), best) > 0.999

    page.keyboard.press("d")
    drag(page, (0.1, 0.1), (0.4, 0.1))
    painted = area(page)
    page.keyboard.press("e")
    drag(page, (0.3, 0.1), (0.4, 0.1))
    assert 0 < area(page) < painted
    accept(page)
    masks = stored(server, "c.png")
    [brushed] = [mask for mask in masks if mask["source"] == "brush"]
    assert brushed["edited"]
    painted = bits(brushed)
    assert painted[20, 40] and not painted[20, 118] and not painted[150, 150]


def test_everything_is_found_accepted_kept_and_exported(server, open_page):
    page = open_page(server.address)
    open_image(page, "d.png")
    page.keyboard.press("g")
    # The sliders start at the server's values for the model.
    with urllib.request.urlopen(f"{server.address}/api/v1/info") as answer:
        begins = json.load(answer)["model"]["everything"]
    for name, option, value in (
        ("Points per side", "points_per_side", 4),
        ("Min predicted IoU", "pred_iou_thresh", 0),
        ("Min stability score", "stability_score_thresh", 0),
    ):
        slider = page.get_by_role("slider", name=name)
        assert float(slider.input_value()) == begins[option]
        slider.fill(str(value))
    page.get_by_test_id("everything-start").click()
    page.get_by_test_id("everything-accept").click(timeout=120_000)
    page.wait_for_selector("[data-testid=mask]")
    wait_until_saved(page)
    count = page.get_by_test_id("mask").count()
    assert count > 1
    saved = stored(server, "d.png")
    assert len(saved) == count
    assert {mask["source"] for mask in saved} == {"everything"}

    page.reload()
    wait_until_ready(page)
    sync_api.expect(page.get_by_test_id("mask")).to_have_count(count)

    [image] = [i for i in get(server, "/images")["images"] if i["name"] == "d.png"]
    with urllib.request.urlopen(
        f"{server.address}/api/v1/export?format=sa1b&image={image['id']}"
    ) as answer:
        exported = json.load(answer)
    assert len(exported["annotations"]) == count
    page.locator("#export summary").click()
    with page.expect_download() as download:
        page.locator("#export .menu-items").get_by_text("COCO").first.click()
    content = Path(download.value.path()).read_bytes()
    if content[:2] == b"PK":
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            content = archive.read(archive.namelist()[0])
    assert len(json.loads(content)["annotations"]) >= count


def test_nothing_that_was_saved_is_lost_when_the_server_is_killed(
    tmp_path, cache, open_page
):
    folder = tmp_path / "photos"
    folder.mkdir()
    with Image.open(COFFEE) as photo:
        photo.resize((300, 200)).save(folder / "a.png")
    first = browser.Server(folder, cache=cache)
    second = None
    try:
        page = open_page(first.address)
        open_image(page, "a.png")
        for x in (0.5, 0.2):
            click(page, x, 0.42)
            accept(page)
        first.kill()
        # The model runs in the page, which marks and keeps edits that it cannot save.
        click(page, 0.8, 0.8)
        page.keyboard.press("Enter")
        page.wait_for_selector("[data-testid=mask][data-state=unsaved]")
        assert page.get_by_test_id("mask").count() == 3
        second = browser.Server(folder, ("--port", first.port), cache=cache)
        wait_until_saved(page)
        assert len(stored(second, "a.png")) == 3
    finally:
        for server in (first, second):
            if server is not None:
                server.kill()


def test_two_people_do_not_overwrite_each_other(server, open_page):
    ann, bob = open_page(server.address), open_page(server.address)
    open_image(ann, "e.png")
    click(ann)
    accept(ann)
    open_image(bob, "e.png")
    sync_api.expect(bob.get_by_test_id("mask")).to_have_count(1)
    # Bob's page does not get the edits of others.
    bob.route("**/annotations?since=*", lambda route: route.abort())

    def relabel(page, label):
        page.get_by_test_id("mask").locator(".mask-head").click()
        page.get_by_test_id("mask").get_by_role("textbox").fill(label)
        page.keyboard.press("Enter")

    relabel(ann, "cup")
    deadline = time.monotonic() + 20
    while [mask["label"] for mask in stored(server, "e.png")] != ["cup"]:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    relabel(bob, "mug")
    bob.wait_for_selector("[data-testid=conflict][open]")
    assert [mask["label"] for mask in stored(server, "e.png")] == ["cup"]
    assert "cup" in bob.get_by_test_id("conflict").text_content()


def test_a_file_that_is_no_image_is_refused_and_the_page_goes_on(server, open_page):
    page = open_page(server.address)
    page.locator("#upload-files").set_input_files(
        {"name": "text.jpg", "mimeType": "image/jpeg", "buffer": b"not an image"}
    )
    page.wait_for_selector("#notices :text('text.jpg')")
    open_image(page, "a.png")
    click(page)
    assert alpha(page, *CUP) > 0


def test_a_keyboard_is_enough(server, open_page):
    page = open_page(server.address)
    card = page.get_by_role("button", name="b.png").first
    card.focus()
    page.keyboard.press("Enter")
    wait_until_ready(page)
    before = page.get_by_test_id("mask").count()
    page.get_by_test_id("stage").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    wait_for_mask(page)
    page.keyboard.press("Enter")
    sync_api.expect(page.get_by_test_id("mask")).to_have_count(before + 1)
    page.keyboard.press("?")
    page.wait_for_selector("[data-testid=help][open]")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_wider_than_the_screen(server, open_page, scheme, width):
    page = open_page(
        server.address,
        viewport={"width": width, "height": 844},
        color_scheme=scheme,
    )
    for state in ("gallery", "workspace"):
        if state == "workspace":
            open_image(page, "a.png")
        page.wait_for_selector(f"html[data-state=ready][data-view={state}]")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        # Every control has an accessible name.
        unnamed = page.evaluate(
            """() => [...document.querySelectorAll("button, input, summary")]
              .filter((e) => e.checkVisibility() && !e.ariaLabel
                && !e.textContent.trim() && !(e.labels && e.labels.length))
              .map((e) => e.outerHTML)"""
        )
        assert unnamed == []
    shades = page.evaluate(
        "getComputedStyle(document.body).backgroundColor.match(/[\\d.]+/g).slice(0, 3)"
    )
    bright = sum(map(float, shades)) > 3 * 128
    assert bright == (scheme == "light")
