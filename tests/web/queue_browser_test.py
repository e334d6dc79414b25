"""Several people on one queue, in real browsers."""

import json
import urllib.request

import pytest
from PIL import Image

pytest.importorskip("fastapi")
pytest.importorskip("playwright.sync_api")

import browser
from page_driver import accept, click, until, wait_until_ready, wait_until_saved
from web.browser_test import COFFEE

from samjax.web.page import missing_files, page_folder

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(browser.find_browser() is None, reason="there is no Chromium"),
    pytest.mark.skipif(
        bool(missing_files(page_folder())), reason="no runtime: make page"
    ),
]


@pytest.fixture
def server(tmp_path, tmp_path_factory):
    with Image.open(COFFEE) as photo:
        for number in range(5):
            photo.resize((300, 200)).save(tmp_path / f"{number}.png")
    words = ("--model", "tiny", "--storage", "float32", "--queue")
    cache = tmp_path_factory.mktemp("cache")
    with browser.running_server(tmp_path, *words, cache=cache) as server:
        yield server


def get(server, path):
    with urllib.request.urlopen(server.address + "/api/v1" + path) as answer:
        return json.load(answer)


def begin(page, person):
    page.get_by_test_id("person").fill(person)
    page.get_by_test_id("next-task").click()
    wait_until_ready(page)


def test_two_people_never_have_the_same_image(server, open_page):
    pages = {name: open_page(server.address) for name in ("Ada", "Bob")}
    text = pages["Ada"].get_by_test_id("queue-count").text_content()
    assert text == "0 of 5 tasks finished"
    had = {name: [] for name in pages}
    for name, page in pages.items():
        begin(page, name)
        had[name].append(page.locator("#image-name").text_content())
    # Each in turn: a mask, done by a key, and the next image opens by itself.
    for turn in range(2):
        for name, page in pages.items():
            if turn == 0:
                click(page)
                accept(page)
                wait_until_saved(page)
            before = page.url
            page.keyboard.press("c")
            until(page, f"location.href !== {json.dumps(before)}")
            if page.locator("#workspace").is_visible():
                wait_until_ready(page)
                had[name].append(page.locator("#image-name").text_content())
    images = [image for names in had.values() for image in names]
    assert sorted(images) == [f"{number}.png" for number in range(5)]
    # Bob got nothing for his last one: the fifth image is Ada's.
    page = pages["Ada"]
    page.keyboard.press("x")
    page.get_by_test_id("reason-text").fill("nothing to see")
    page.get_by_test_id("reason-ok").click()
    page.wait_for_selector("#queue", state="visible")
    until(page, "document.querySelector('#queue progress').value === 5")
    assert get(server, "/tasks")["counts"] == {"annotate": {"done": 4, "skipped": 1}}
    authors = {
        (image["name"], mask["author"])
        for image in get(server, "/images")["images"]
        for mask in get(server, f"/images/{image['id']}/annotations")["annotations"]
    }
    assert authors == {(had["Ada"][0], "Ada"), (had["Bob"][0], "Bob")}


def test_a_mask_that_is_not_accepted_is_not_left(server, open_page):
    page = open_page(server.address)
    begin(page, "Ada")
    click(page)
    before = page.url
    page.get_by_test_id("task-done").click()
    page.get_by_text("The mask is not accepted yet").wait_for()
    assert page.url == before
    # The task is the person's after a reload, too.
    page.goto(server.address)
    page.get_by_test_id("next-task").click()
    wait_until_ready(page)
    assert page.url == before
