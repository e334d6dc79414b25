"""A team in real browsers: five people at once on one queue, a review and its return."""

import json
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("fastapi")
pytest.importorskip("playwright.sync_api")

import browser
from page_driver import accept, click, spot, until, wait_until_ready, wait_until_saved
from playwright.sync_api import expect
from web.browser_test import COFFEE

from samjax.engine.annotations import AnnotationStore, encoded_mask
from samjax.engine.annotations.people import People
from samjax.engine.privacy.folder import read_regions
from samjax.engine.project import DATABASE
from samjax.geometry.masks import encode_rle
from samjax.web.page import missing_files, page_folder

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(browser.find_browser() is None, reason="there is no Chromium"),
    pytest.mark.skipif(
        bool(missing_files(page_folder())), reason="no runtime: make page"
    ),
]

PEOPLE = {
    **{name: "annotator" for name in ("Ada", "Bob", "Eve")},
    "Rex": "reviewer",
    "Olga": "owner",
}
IMAGES = 12


@pytest.fixture
def project(tmp_path):
    folder = tmp_path / "project"
    (folder / "images").mkdir(parents=True)
    with Image.open(COFFEE) as photo:
        for number in range(IMAGES):
            photo.resize((300, 200)).save(folder / "images" / f"{number:02d}.png")
    settings = {"hint_seconds": 1, "review_share": 0.3}
    (folder / "project.json").write_text(json.dumps(settings))
    text = "# Cups\n\nLabel <b>all</b> of [them](javascript:alert(1))."
    (folder / "instructions.md").write_text(text)
    return folder


@pytest.fixture
def tokens(project):
    store = AnnotationStore(project / DATABASE)
    people = People(store.database)
    tokens = {name: people.add(name, role) for name, role in PEOPLE.items()}
    store.close()
    return tokens


@pytest.fixture
def server(project, tokens, tmp_path_factory):
    words = ("--model", "tiny", "--storage", "float32", "--engine", str(project))
    cache = tmp_path_factory.mktemp("cache")
    with browser.running_server(Path("."), *words, cache=cache) as server:
        yield server


@pytest.fixture
def sign_in(server, tokens, open_page):
    def open_as(*names):
        return [open_page(f"{server.address}/?token={tokens[name]}") for name in names]

    return open_as


def get(server, token, path):
    request = urllib.request.Request(
        f"{server.address}/api/v1{path}", headers={"Authorization": f"Bearer {token}"}
    )
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def has_review(page) -> bool:
    """Whether a reviewer has something to do, after a reload of the page."""
    page.reload()
    page.wait_for_selector("#queue", state="visible")
    return page.get_by_test_id("next-review").is_enabled()


def image_of(page):
    return page.locator("#image-name").text_content()


@pytest.mark.exhaustive
def test_five_people_share_a_queue(server, sign_in, tokens):
    pages = dict(zip(PEOPLE, sign_in(*PEOPLE), strict=True))
    had = {name: [] for name in pages}
    # All ask at the same time: nobody waits for another's answer.
    for page in pages.values():
        page.get_by_test_id("next-task").click()
    for name, page in pages.items():
        wait_until_ready(page)
        had[name].append(image_of(page))
    for turn in range(2):
        for page in pages.values():
            click(page)
            accept(page)
        for page in pages.values():
            wait_until_saved(page)
        before = {name: page.url for name, page in pages.items()}
        for page in pages.values():
            page.keyboard.press("c")
        for name, page in pages.items():
            until(page, f"location.href !== {json.dumps(before[name])}")
            if page.locator("#workspace").is_visible():
                wait_until_ready(page)
                had[name].append(image_of(page))
        assert turn or all(len(images) == 2 for images in had.values())
    images = [image for names in had.values() for image in names]
    assert len(images) == len(set(images)) == IMAGES
    masks = [
        (image["name"], mask["author"], mask["clicks"], mask["active_seconds"] > 0)
        for image in get(server, tokens["Olga"], "/images")["images"]
        for mask in get(server, tokens["Olga"], f"/images/{image['id']}/annotations")[
            "annotations"
        ]
    ]
    made = [(name, image) for name, names in had.items() for image in names[:2]]
    assert sorted(masks) == sorted((image, name, 1, True) for name, image in made)


def test_a_returned_image_comes_back_with_the_note(sign_in):
    ada, rex, olga = sign_in("Ada", "Rex", "Olga")
    ada.keyboard.press("i")
    instructions = ada.get_by_test_id("instructions")
    expect(instructions).to_contain_text("Label <b>all</b> of [them](javascript:")
    assert instructions.locator("a, b").count() == 0
    ada.keyboard.press("Escape")
    # Until one of hers is among those that are reviewed.
    ada.keyboard.press("c")
    wait_until_ready(ada)
    first = None
    while not has_review(rex):
        first = image_of(ada)
        click(ada)
        ada.get_by_test_id("long-hint").wait_for()
        accept(ada)
        before = ada.url
        ada.keyboard.press("c")
        until(ada, f"location.href !== {json.dumps(before)}")
        wait_until_ready(ada)
        rex.wait_for_timeout(500)
    rex.keyboard.press("w")
    wait_until_ready(rex)
    assert image_of(rex) == first
    expect(rex.get_by_test_id("mask")).to_have_count(1)
    rex.keyboard.press("w")
    rex.get_by_test_id("reason-text").fill("the saucer too")
    rex.get_by_test_id("reason-ok").click()
    rex.wait_for_selector("#queue", state="visible")
    ada.keyboard.press("c")
    until(ada, f"document.getElementById('image-name').textContent === '{first}'")
    wait_until_ready(ada)
    expect(ada.get_by_test_id("task-note")).to_have_text("the saucer too")
    ada.keyboard.press("c")
    rex.wait_for_timeout(500)
    rex.keyboard.press("w")
    wait_until_ready(rex)
    click(rex, 0.2, 0.8)
    accept(rex)
    rex.keyboard.press("c")
    rex.wait_for_selector("#queue", state="visible")
    olga.keyboard.press("p")
    numbers = olga.get_by_test_id("statistics")
    expect(numbers).to_contain_text("Ada")
    expect(numbers).to_contain_text("Fixed")
    assert (
        olga.locator("#upload").is_visible() and not rex.locator("#upload").is_visible()
    )


def propose(project, names, *boxes):
    """Stores proposals of boxes (top, left, bottom, right), as the engine does."""
    store = AnnotationStore(project / DATABASE)
    fields = {"label": "", "prompts": {"points": [], "labels": []}, "score": 0.9}
    fields |= {"stability_score": None, "source": "proposed", "edited": False}
    fields |= {"level": None, "order": None, "seconds": 0.0, "author": "", "stage": 2}
    for name in names:
        for number, (top, left, bottom, right) in enumerate(boxes):
            drawn = np.zeros((200, 300), bool)
            drawn[top:bottom, left:right] = True
            mask = encoded_mask(encode_rle(drawn)["counts"], (200, 300))
            store.add(name, f"proposal-{number}-{name}", mask, fields)
    store.close()


def drag_box(page, start, end):
    page.mouse.move(*spot(page, *start))
    page.mouse.down()
    page.mouse.move(*spot(page, *end), steps=4)
    page.mouse.up()


def take_all(page):
    proposed = page.locator(".mask.proposed")
    expect(proposed).to_have_count(3)
    page.keyboard.press("Shift+Y")
    expect(proposed).to_have_count(0)
    wait_until_saved(page)


def decide(page):
    """Takes, rejects and restores proposals, and is told of the undecided ones."""
    proposed = page.locator(".mask.proposed")
    expect(proposed).to_have_count(3)
    expect(page.get_by_test_id("proposed-count")).to_contain_text("3 proposals")
    page.mouse.move(*spot(page, 40 / 300, 40 / 200))
    page.keyboard.press("y")
    page.mouse.move(*spot(page, 140 / 300, 40 / 200))
    page.keyboard.press("u")
    expect(proposed).to_have_count(1)
    expect(page.get_by_test_id("mask")).to_have_count(2)
    page.keyboard.press("Control+z")
    expect(proposed).to_have_count(2)
    wait_until_saved(page)
    before = page.url
    page.keyboard.press("c")
    expect(page.locator("#notices")).to_contain_text("2 proposals are undecided")
    assert page.url == before
    page.keyboard.press("Shift+Y")
    expect(proposed).to_have_count(0)
    wait_until_saved(page)


def review_masks(page):
    """Accepts a mask and returns another with a note; gives the image's name."""
    expect(page.get_by_test_id("review-count")).to_contain_text("0 of 3 masks")
    page.mouse.move(*spot(page, 40 / 300, 40 / 200))
    page.keyboard.press("y")
    expect(page.get_by_test_id("review-count")).to_contain_text("1 of 3 masks")
    page.mouse.move(*spot(page, 140 / 300, 40 / 200))
    page.keyboard.press("u")
    page.get_by_test_id("reason-text").fill("the handle is missing")
    page.get_by_test_id("reason-ok").click()
    expect(page.get_by_test_id("review-count")).to_contain_text("1 returned")
    page.locator(".mask-head").first.click()
    expect(page.get_by_test_id("version").first).to_contain_text("the model")
    name = image_of(page)
    page.keyboard.press("c")
    page.wait_for_selector("#queue", state="visible")
    return name


@pytest.mark.exhaustive
def test_proposals_are_decided_and_masks_reviewed_one_by_one(
    project, server, sign_in, tokens
):
    names = [f"{number:02d}.png" for number in range(IMAGES)]
    boxes = [(20, 20, 60, 60), (20, 120, 60, 160), (120, 20, 160, 60)]
    propose(project, names, *boxes)
    ada, rex = sign_in("Ada", "Rex")
    ada.keyboard.press("c")
    wait_until_ready(ada)
    decide(ada)
    ada.keyboard.press("z")
    # Drawn while the server is away: kept in the page, and sent when it is back.
    ada.context.set_offline(True)
    drag_box(ada, (0.5, 0.5), (0.7, 0.8))
    expect(ada.get_by_test_id("region")).to_have_count(1)
    expect(ada.get_by_test_id("save-state")).to_contain_text("1")
    assert not read_regions(project)
    ada.context.set_offline(False)
    expect(ada.get_by_test_id("save-state")).to_contain_text("Saved")
    assert [len(regions) for regions in read_regions(project).values()] == [1]
    # Until one of hers is among those that are reviewed.
    while True:
        before = ada.url
        ada.keyboard.press("c")
        until(ada, f"location.href !== {json.dumps(before)}")
        wait_until_ready(ada)
        if has_review(rex):
            break
        take_all(ada)
    rex.keyboard.press("w")
    wait_until_ready(rex)
    first = review_masks(rex)
    take_all(ada)
    ada.keyboard.press("c")
    until(ada, f"document.getElementById('image-name').textContent === '{first}'")
    wait_until_ready(ada)
    ada.locator(".badge.returned").click()
    expect(ada.get_by_test_id("mask-note")).to_have_text("the handle is missing")
    rows = get(server, tokens["Olga"], "/statistics")["person"]
    numbers = {row["name"]: row for row in rows}
    assert numbers["Rex"]["reviews_made"] == 1
    assert numbers["Ada"]["masks"] == numbers["Ada"]["proposals_taken"] > 3
    assert [len(regions) for regions in read_regions(project).values()] == [1]
