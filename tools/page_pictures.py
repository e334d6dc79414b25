"""Screenshots of the page of `samjax serve`, at two widths and in both themes.

    python tools/page_pictures.py --out docs/images

Needs the extra `test`, the page's runtime (`make page`) and a Chromium. The photos are
the one in the package and some of scikit-image's; the model is the bundled one.
"""

import argparse
import io
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[1]
# `browser`, which starts servers and browsers, belongs to the test suite.
sys.path.insert(0, str(ROOT / "tests"))

WIDTHS = {"desktop": (1280, 800), "phone": (390, 844)}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)

    import browser
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / "photos"
        folder.mkdir()
        write_photos(folder)
        with (
            browser.running_server(folder, "--label", "cup") as server,
            sync_playwright() as playwright,
        ):
            for width, size in WIDTHS.items():
                for theme in ("light", "dark"):
                    context = browser.start_browser(
                        playwright,
                        viewport={"width": size[0], "height": size[1]},
                        color_scheme=theme,
                        reduced_motion="reduce",
                        has_touch=width == "phone",
                    )
                    page = context.pages[0]
                    page.set_default_timeout(120_000)
                    page.goto(server.address)
                    sheet = [*take(page, width)]
                    context.close()
                    name = f"serve_{width}_{theme}.jpg"
                    join(sheet).save(options.out / name, quality=85)
                    print(options.out / name)


def write_photos(folder: Path) -> None:
    """Writes photos of known licence, under everyday names."""
    import skimage.data

    with Image.open(ROOT / "samjax" / "assets" / "coffee.jpg") as photo:
        photo.save(folder / "coffee.jpg")
    for name in ("chelsea", "astronaut", "rocket"):
        Image.fromarray(getattr(skimage.data, name)()).save(folder / f"{name}.png")


def take(page, width: str):
    """Yields a screenshot of every main state of the page."""
    page.wait_for_selector("html[data-state=ready][data-view=gallery]")
    page.get_by_test_id("image-card").first.wait_for()
    page.wait_for_timeout(1500)
    yield page.screenshot()
    page.get_by_role("button", name="coffee.jpg").first.click()
    page.wait_for_selector("html[data-state=ready][data-view=workspace]")
    page.wait_for_timeout(500)
    box = page.get_by_test_id("stage").bounding_box()

    def at(x, y):
        return box["x"] + x * box["width"], box["y"] + y * box["height"]

    page.mouse.click(*at(0.5, 0.44))
    page.wait_for_timeout(1500)
    yield page.screenshot()
    if page.get_by_test_id("label").is_visible():
        page.get_by_test_id("label").fill("cup")
    page.get_by_test_id("accept").click()
    page.wait_for_timeout(800)
    page.get_by_test_id("tool-box").click()
    page.mouse.move(*at(0.58, 0.62))
    page.mouse.down()
    page.mouse.move(*at(0.78, 0.83), steps=5)
    page.mouse.up()
    page.wait_for_timeout(1500)
    yield page.screenshot()
    page.get_by_test_id("discard").click()
    page.get_by_test_id("tool-everything").click()
    page.get_by_role("slider", name="Points per side").fill("12")
    page.get_by_test_id("everything-start").click()
    page.get_by_test_id("everything-accept").wait_for()
    page.wait_for_timeout(500)
    yield page.screenshot()
    page.get_by_test_id("everything-discard").click()
    page.keyboard.press("?")
    page.wait_for_timeout(300)
    yield page.screenshot()


def join(pictures: list[bytes]) -> Image.Image:
    """Joins pictures side by side; wide ones in two columns."""
    images = [Image.open(io.BytesIO(content)).convert("RGB") for content in pictures]
    width, height = images[0].size
    columns = 2 if width > height else len(images)
    gap = 16
    rows = -(-len(images) // columns)
    size = (columns * (width + gap) - gap, rows * (height + gap) - gap)
    sheet = Image.fromarray(np.full((size[1], size[0], 3), 128, np.uint8))
    for i, image in enumerate(images):
        sheet.paste(
            image, ((i % columns) * (width + gap), i // columns * (height + gap))
        )
    scale = min(1.0, 1600 / size[0])
    return sheet.resize((round(size[0] * scale), round(size[1] * scale)))


if __name__ == "__main__":
    main()
