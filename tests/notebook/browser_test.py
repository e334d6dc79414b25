"""The widget in a real browser, driven like a user, with the real widget behind it."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

pytest.importorskip("anywidget")
sync_api = pytest.importorskip("playwright.sync_api")

import browser
from widget_bridge import bridge

import samjax
from samjax.geometry.masks import decode_rle
from samjax.notebook import Clicker

expect = sync_api.expect
# The machine may be busy, and the first prompt compiles.
expect.set_options(timeout=60_000)

pytestmark = pytest.mark.skipif(
    browser.find_browser() is None, reason="there is no Chromium"
)

COFFEE = Path(samjax.__file__).parent / "assets" / "coffee.jpg"
# In pixels of the photo, which is 600 x 400: on the cup, on the table, around the cup.
CUP, TABLE, AROUND = (300, 150), (30, 30), (75, 65, 482, 392)


@pytest.fixture(scope="module")
def predictor():
    return samjax.Predictor(*samjax.load("tiny"))


@pytest.fixture(scope="module")
def embedding(predictor):
    return predictor.embed(COFFEE)


@pytest.fixture(scope="module")
def playwright():
    with sync_api.sync_playwright() as playwright:
        yield playwright


@pytest.fixture
def clicker(predictor, embedding):
    return Clicker(predictor, COFFEE, embedding=embedding)


@pytest.fixture
def open_page(playwright, clicker):
    """Opens the widget, and fails on uncaught errors in the page."""
    contexts, errors = [], []

    with bridge(clicker) as address:

        def make(width=900, height=900, **options):
            context = browser.start_browser(
                playwright, viewport={"width": width, "height": height}, **options
            )
            contexts.append(context)
            page = context.pages[0]
            page.set_default_timeout(60_000)
            page.on("pageerror", lambda error: errors.append(str(error)))
            page.goto(address)
            page.wait_for_selector("html[data-state=ready]")
            page.wait_for_function(
                "document.querySelector('img').complete && "
                "document.querySelector('img').naturalWidth > 0"
            )
            return page

        yield make
        for context in contexts:
            context.close()
    assert errors == []


def spot(page, x, y):
    """Returns the place on the screen of a point of the photo."""
    box = page.locator(".stage").bounding_box()
    assert box["width"] / box["height"] == pytest.approx(600 / 400, abs=0.01)
    scale = box["width"] / 600
    return box["x"] + x * scale, box["y"] + y * scale


def click(page, point, **options):
    page.mouse.click(*spot(page, *point), **options)
    wait_for_mask(page)


def wait_for_mask(page):
    expect(page.locator(".panel")).to_have_attribute("aria-busy", "false")


def drag(page, left, top, right, bottom):
    page.mouse.move(*spot(page, left, top))
    page.mouse.down()
    page.mouse.move(*spot(page, (left + right) / 2, (top + bottom) / 2))
    page.mouse.move(*spot(page, right, bottom))
    page.mouse.up()
    wait_for_mask(page)


def drawn(page):
    """Returns where a mask is drawn, in pixels of the photo: bool (400, 600)."""
    alpha = page.evaluate(
        """() => {
          const canvas = document.querySelector(".stage canvas");
          const out = new OffscreenCanvas(600, 400);
          const context = out.getContext("2d");
          context.drawImage(canvas, 0, 0, 600, 400);
          const { data } = context.getImageData(0, 0, 600, 400);
          return Array.from({ length: 600 * 400 }, (_, i) => data[4 * i + 3]);
        }"""
    )
    return np.reshape(alpha, (400, 600)) > 20


def shows(page, mask):
    """Whether a mask is what is drawn, up to its outline and the points over it."""
    found = drawn(page)
    wide = Image.fromarray(mask).convert("L").filter(ImageFilter.MaxFilter(9))
    missing = (mask & ~found).sum() / mask.sum()
    extra = (found & ~(np.asarray(wide) > 0)).sum() / mask.sum()
    return missing < 0.01 and extra < 0.02


def test_a_click_shows_the_mask_that_predict_gives(
    open_page, clicker, predictor, embedding
):
    page = open_page()
    click(page, CUP)
    [point] = clicker.prompt.points
    np.testing.assert_allclose(point, CUP, atol=1)
    expected = predictor.predict(embedding, clicker.prompt)
    np.testing.assert_array_equal(clicker.masks.masks, expected.masks)
    np.testing.assert_array_equal(clicker.mask, expected.best.masks[0])
    assert shows(page, clicker.mask)
    others = clicker.masks.masks[clicker.masks.scores < clicker.masks.scores.max()]
    assert not any(shows(page, mask) for mask in others)


def test_another_of_the_three_masks_is_chosen_and_accepted(open_page, clicker):
    page = open_page()
    click(page, CUP)
    levels = page.get_by_role("radiogroup", name="Masks of this prompt")
    expect(levels.get_by_role("radio")).to_have_count(3)
    order = np.argsort(-clicker.masks.masks.sum((1, 2)), kind="stable")
    for name, index in zip(("Whole", "Part", "Subpart"), order, strict=True):
        levels.get_by_role("radio", name=name, exact=False).first.click()
        expect(levels.locator("[aria-checked=true]")).to_contain_text(name)
        wait_until(page, lambda index=index: clicker._state.current.choice == index)
        assert shows(page, clicker.mask)
    mask = clicker.mask
    page.get_by_role("button", name="Accept").click()
    expect(page.get_by_role("button", name="Remove object 1")).to_be_visible()
    wait_until(page, lambda: len(clicker.annotations) == 1)
    [annotation] = clicker.annotations
    np.testing.assert_array_equal(decode_rle(annotation["segmentation"]), mask)
    assert clicker.masks is None


def test_boxes_background_points_and_several_objects(open_page, clicker):
    page = open_page()
    drag(page, *AROUND)
    np.testing.assert_allclose(clicker.prompt.box, AROUND, atol=1)
    page.keyboard.press("Enter")
    wait_until(page, lambda: len(clicker.annotations) == 1)
    np.testing.assert_allclose(clicker.prompts[0].box, AROUND, atol=1)
    click(page, TABLE, button="right")
    wait_until(page, lambda: clicker.prompt.labels.tolist() == [0])
    page.keyboard.press("Escape")
    wait_until(page, lambda: len(clicker.prompt.points) == 0)
    page.keyboard.down("Shift")
    click(page, TABLE)
    page.keyboard.up("Shift")
    wait_until(page, lambda: clicker.prompt.labels.tolist() == [0])
    page.get_by_role("radio", name="Background").click()
    click(page, CUP)
    wait_until(page, lambda: clicker.prompt.labels.tolist() == [0, 0])
    # A click on a point removes it.
    page.mouse.click(*spot(page, *CUP))
    wait_until(page, lambda: len(clicker.prompt.points) == 1)
    page.keyboard.press("Escape")
    wait_until(page, lambda: len(clicker.prompt.points) == 0)
    page.get_by_role("radio", name="Foreground").click()
    click(page, CUP)
    page.get_by_role("button", name="Accept").click()
    wait_until(page, lambda: len(clicker.annotations) == 2)
    page.get_by_role("button", name="Remove object 1").click()
    wait_until(page, lambda: len(clicker.annotations) == 1)
    page.get_by_role("button", name="Undo").click()
    wait_until(page, lambda: len(clicker.annotations) == 2)
    page.get_by_role("button", name="Clear all").click()
    wait_until(page, lambda: clicker.annotations == [])
    page.keyboard.press("Control+z")
    wait_until(page, lambda: len(clicker.annotations) == 2)


def test_the_keyboard_alone_makes_a_mask(open_page, clicker):
    page = open_page()
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Shift+ArrowLeft")
    page.keyboard.press("Enter")
    wait_for_mask(page)
    unit = 600 / page.locator(".stage").bounding_box()["width"]
    [point] = clicker.prompt.points
    np.testing.assert_allclose(point, (300 - unit, 200 - 12 * unit), atol=0.01)
    page.keyboard.press("1")
    wait_until(page, lambda: clicker._state.current.choice is not None)
    assert clicker.mask.sum() == clicker.masks.masks.sum((1, 2)).max()
    page.keyboard.press("Enter")
    wait_until(page, lambda: len(clicker.annotations) == 1)


def test_python_s_changes_and_problems_are_shown(open_page, clicker):
    page = open_page()
    clicker.prompt = samjax.Prompt(points=[CUP])
    page.evaluate("poll()")
    wait_for_mask(page)
    assert shows(page, clicker.mask)
    page.evaluate("model.set('_accepted', []), model.save_changes()")
    problem = page.get_by_role("alert")
    expect(problem).to_contain_text("a message that sets _accepted")
    click(page, TABLE, button="right")
    expect(problem).to_be_hidden()
    # A view that is closed no longer follows; another one begins with the state.
    page.evaluate("close(); document.getElementById('cell').replaceChildren()")
    page.evaluate("render(document.getElementById('cell'))")
    wait_for_mask(page)


@pytest.mark.parametrize("width", [360, 900])
def test_nothing_is_wider_than_its_cell(open_page, clicker, width):
    page = open_page(width=width)
    click(page, CUP)
    page.get_by_role("button", name="Accept").click()
    expect(page.get_by_role("button", name="Remove object 1")).to_be_visible()
    click(page, CUP)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for button in page.get_by_role("button").all():
        box = button.bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= width


def wait_until(page, condition, seconds=60):
    """Waits for a change of the widget in Python."""
    for _ in range(seconds * 50):
        if condition():
            return
        page.wait_for_timeout(20)
    pytest.fail("the widget never got there")
