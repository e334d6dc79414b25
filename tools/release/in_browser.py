"""Uses the page of an installed samjax, served and as a static demo, in a real browser.

    python in_browser.py PATH_OF_TESTS

Run by `check.py` with the interpreter of a clean environment, in an empty folder. The
page is driven by the code of the browser tests. Without a Chromium the server and the
files of the demo are tried alone.
"""

import json
import subprocess
import sys
import urllib.request
from importlib import resources
from pathlib import Path

from PIL import Image

sys.path.append(sys.argv[1])

import browser
import page_driver
from playwright.sync_api import sync_playwright

PHOTO = "cup.png"
VIEWPORT = {"width": 1200, "height": 800}


def answer(address: str):
    """Returns what the server answers to a GET request, from JSON."""
    with urllib.request.urlopen(address) as response:
        return json.load(response)


def try_server(folder: Path, playwright) -> None:
    """Serves a folder, saves the mask of a click, and reads it from the server."""
    with browser.running_server(folder) as server:
        api = server.address + "/api/v1"
        assert answer(f"{api}/health") == {"ok": True}
        with urllib.request.urlopen(server.address) as page:
            assert b"<html" in page.read()
        if playwright is None:
            return
        context = browser.start_browser(playwright, viewport=VIEWPORT)
        page = context.pages[0]
        page.set_default_timeout(60_000)
        page.goto(server.address)
        page.wait_for_selector("html[data-state=ready]")
        page_driver.open_image(page, PHOTO)
        page_driver.click(page)
        area = page_driver.area(page)
        page_driver.accept(page)
        context.close()
        [image] = answer(f"{api}/images")["images"]
        [saved] = answer(f"{api}/images/{image['id']}/annotations")["annotations"]
        assert area > 1000, f"the mask of a click has {area} pixels"
        assert saved["segmentation"]["size"] == [200, 300]
    print(f"samjax serve: a click's mask of {area} pixels is saved")


def try_demo(photo: Path, site: Path, playwright) -> None:
    """Writes the static demo and segments a photo in it, without a server."""
    command = [sys.executable, "-m", "samjax", "export", "--demo", str(site)]
    subprocess.run(command, check=True)
    assert answer((site / "config.json").as_uri())["mode"] == "demo"
    assert any(site.rglob("onnxruntime-web.txt")), "the runtime's licence is missing"
    if playwright is None:
        return
    with browser.host_of(site) as address:
        context = browser.start_browser(playwright, viewport=VIEWPORT)
        page = context.pages[0]
        page.set_default_timeout(60_000)
        page.goto(address)
        page.wait_for_selector("[data-testid=image-card]")
        page.locator("#upload-files").set_input_files(photo)
        page_driver.wait_until_ready(page)
        page_driver.click(page)
        area = page_driver.area(page)
        page_driver.accept(page)
        context.close()
    assert area > 1000, f"the mask of a click has {area} pixels"
    print(f"samjax export --demo: a click's mask of {area} pixels, without a server")


def main() -> None:
    """Tries both, in a browser where there is one."""
    folder = Path("photos")
    folder.mkdir()
    with Image.open(str(resources.files("samjax") / "assets/coffee.jpg")) as photo:
        photo.resize((300, 200)).save(folder / PHOTO)
    site = Path("site").resolve()
    if browser.find_browser() is None:
        print("SKIPPED: the page in a browser: there is no Chromium (SAMJAX_BROWSER)")
        try_server(folder, None)
        try_demo(folder / PHOTO, site, None)
        return
    with sync_playwright() as playwright:
        try_server(folder, playwright)
        try_demo(folder / PHOTO, site, playwright)


if __name__ == "__main__":
    main()
