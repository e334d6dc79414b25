"""Drives the page of `samjax serve` like a user, on a photo of 300 x 200."""

import re
import time

import numpy as np
from playwright.sync_api import expect

# On the cup of the photo that samjax brings, in fractions of its sides.
CUP = (0.5, 0.42)


def open_image(page, name):
    page.get_by_role("button", name=name).first.click()
    wait_until_ready(page)


def wait_until_ready(page):
    page.wait_for_selector("html[data-state=ready][data-view=workspace]")


def spot(page, x, y):
    """Returns the screen position of a point of the photo, which is fitted and centred."""
    box = page.get_by_test_id("stage").bounding_box()
    scale = min((box["width"] - 48) / 300, (box["height"] - 48) / 200)
    left = box["x"] + (box["width"] - 300 * scale) / 2
    top = box["y"] + (box["height"] - 200 * scale) / 2
    return left + 300 * scale * x, top + 200 * scale * y


def click(page, x=CUP[0], y=CUP[1], **options):
    page.mouse.click(*spot(page, x, y), **options)
    wait_for_mask(page)


def drag(page, start, end):
    page.mouse.move(*spot(page, *start))
    page.mouse.down()
    page.mouse.move(*spot(page, *(np.add(start, end) / 2)), steps=4)
    page.mouse.move(*spot(page, *end), steps=4)
    page.mouse.up()
    wait_for_mask(page)


def wait_for_mask(page):
    # Panels are rendered with the next frame: only then is the page shown as busy.
    page.evaluate(
        "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
    )
    until(page, "!document.getElementById('accept').disabled")
    until(page, "document.getElementById('session').ariaBusy === 'false'")
    # The mask is drawn with the next frame.
    page.wait_for_timeout(100)


def until(page, condition, seconds=60):
    """Polls as `wait_for_function`, which the page's security policy forbids."""
    end = time.monotonic() + seconds
    while not page.evaluate(condition):
        assert time.monotonic() < end, f"never: {condition}"
        page.wait_for_timeout(20)


def alpha(page, x, y):
    """Returns the opacity of the drawn mask at a point of the photo."""
    at = list(spot(page, x, y))
    return page.evaluate(
        """([x, y]) => {
          const canvas = document.querySelector("#stage .above");
          const box = canvas.getBoundingClientRect();
          const scale = canvas.width / box.width;
          return canvas.getContext("2d").getImageData(
            (x - box.x) * scale, (y - box.y) * scale, 1, 1).data[3];
        }""",
        at,
    )


def area(page):
    facts = page.locator("#session-facts").text_content()
    return int(re.search(r"([\d,]+) px", facts)[1].replace(",", ""))


def accept(page):
    before = page.get_by_test_id("mask").count()
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("mask")).to_have_count(before + 1)
    wait_until_saved(page)


def wait_until_saved(page):
    until(
        page,
        """document.querySelectorAll('[data-testid=mask]').length &&
        [...document.querySelectorAll('[data-testid=mask]')].every(
          (mask) => mask.dataset.state === "saved")""",
    )
