"""Screenshots of the page of a team's server, at two widths and in both themes.

    python tools/team_pictures.py --out docs/images

Needs what `tools/page_pictures.py` needs. The masks, times and scores on the pictures are
made up by this script, which works through the API.
"""

import argparse
import json
import random
import sys
import tempfile
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
from page_pictures import ROOT, WIDTHS, join, write_photos

from samjax.engine.annotations import AnnotationStore
from samjax.engine.annotations.people import People, Role
from samjax.engine.project import DATABASE

sys.path.insert(0, str(ROOT / "tests"))

PEOPLE: dict[str, Role] = {
    "Olga": "owner",
    "Rex": "reviewer",
    "Ada": "annotator",
    "Bob": "annotator",
}
INSTRUCTIONS = """# Cups and faces

Annotate **every object** that you could name, the most prominent first.

1. Click it, and press *Enter* when the outline is right.
2. Move on when a mask takes more than 30 seconds.
3. An image without objects is done without a mask.

> Flag a photo with a number plate: press `Q`.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", default="tiny")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)

    import browser
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as parent:
        project = Path(parent) / "photos"
        tokens = make_project(project)
        words = ("--engine", str(project), "--model", options.model)
        with (
            browser.running_server(Path("."), *words) as server,
            sync_playwright() as playwright,
        ):
            team = {
                name: Caller(server.address, token) for name, token in tokens.items()
            }
            fill(team)
            for width, size in WIDTHS.items():
                for theme in ("light", "dark"):
                    pages = {}
                    for name, token in tokens.items():
                        context = browser.start_browser(
                            playwright,
                            viewport={"width": size[0], "height": size[1]},
                            color_scheme=theme,
                            reduced_motion="reduce",
                            has_touch=width == "phone",
                        )
                        page = context.pages[0]
                        page.set_default_timeout(120_000)
                        page.goto(f"{server.address}/?token={token}")
                        page.wait_for_selector("html[data-state=ready]")
                        pages[name] = page
                    sheet = [*take(pages)]
                    for page in pages.values():
                        page.context.close()
                    path = options.out / f"team_{width}_{theme}.jpg"
                    join(sheet).save(path, quality=85)
                    print(path, flush=True)


def make_project(project: Path) -> dict[str, str]:
    """Makes a project of photos, and returns the tokens of its people."""
    project.mkdir()
    (project / "images").mkdir()
    write_photos(project / "images")
    for number in range(8):
        content = (project / "images" / "coffee.jpg").read_bytes()
        (project / "images" / f"coffee{number}.jpg").write_bytes(content)
    (project / "instructions.md").write_text(INSTRUCTIONS)
    settings = {
        "name": "Kitchen",
        "agreement_share": 0.4,
        "gold_share": 0.6,
        "gold_images": ["coffee3.jpg", "coffee5.jpg"],
        "labels": ["cup", "spoon"],
        "hint_seconds": 1,
    }
    (project / "project.json").write_text(json.dumps(settings))
    store = AnnotationStore(project / DATABASE)
    people = People(store.database)
    tokens = {name: people.add(name, role) for name, role in PEOPLE.items()}
    store.close()
    return tokens


class Caller:
    """A person's requests to the API."""

    def __init__(self, address: str, token: str):
        self._address, self._token = address, token

    def __call__(self, method: str, path: str, body: dict | None = None) -> Any:
        """Sends a request, and returns the parsed response; None for an empty one."""
        request = urllib.request.Request(
            f"{self._address}/api/v1{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Authorization": f"Bearer {self._token}",
                "Content-Type": "application/json",
            },
        )
        with urllib.request.urlopen(request) as response:
            content = response.read()
        return json.loads(content) if content else None


def fill(team: dict[str, Caller]) -> None:
    """Does some days' work: masks, a skipped image, reviews, one of them returned."""
    draw = random.Random(0)
    images = team["Olga"]("GET", "/images")["images"]
    for image in images:
        if image["name"] in ("coffee3.jpg", "coffee5.jpg"):
            add_mask(team["Olga"], image, draw, 0)
    for name, pace, shift in (("Ada", 9, 6), ("Bob", 17, 14)):
        for number in range(4):
            task = team[name]("POST", "/tasks/claim", {})
            image = team[name]("GET", f"/images/{task['image_id']}")
            state = "skipped" if (name, number) == ("Bob", 2) else "done"
            for _ in range(0 if state == "skipped" else 2):
                add_mask(team[name], image, draw, shift, pace)
            end = {"state": state, "note": "too dark" if state == "skipped" else ""}
            team[name]("POST", f"/tasks/{task['id']}/finish", end)
    for verdict in ("accepted", "accepted", "returned"):
        task = team["Rex"]("POST", "/tasks/claim", {"kinds": ["verify"]})
        given = {"verdict": verdict, "note": "The spoon is missing"}
        team["Rex"]("POST", f"/tasks/{task['id']}/review", given)


def add_mask(caller: Caller, image: dict, draw, shift: int, pace: float = 5) -> None:
    """Stores an ellipse as a mask."""
    from samjax.geometry.masks import encode_rle

    height, width = image["height"], image["width"]
    rows, columns = np.mgrid[:height, :width]
    top = draw.uniform(0.4, 0.42) * height + shift
    left = draw.uniform(0.45, 0.47) * width + shift
    inside = ((rows - top) / (0.3 * height)) ** 2 + (
        (columns - left) / (0.3 * width)
    ) ** 2
    rle = encode_rle(inside < 1)
    seconds = draw.uniform(0.6, 1.5) * pace
    body = {
        "uuid": f"picture-{draw.getrandbits(60):x}",
        "segmentation": {"size": [height, width], "counts": rle["counts"]},
        "label": "cup",
        "seconds": 1.3 * seconds,
        "active_seconds": seconds,
        "clicks": draw.randint(1, 5),
        "strokes": draw.randint(0, 2),
        "undos": draw.randint(0, 1),
    }
    caller("POST", f"/images/{image['id']}/annotations", body)


def take(pages):
    """Yields a screenshot of every screen of a team."""
    ada, rex, olga = pages["Ada"], pages["Rex"], pages["Olga"]
    ada.get_by_test_id("next-task").wait_for()
    ada.wait_for_timeout(1500)
    yield ada.screenshot()
    ada.get_by_test_id("next-task").click()
    ada.wait_for_selector("html[data-state=ready][data-view=workspace]")
    box = ada.get_by_test_id("stage").bounding_box()
    ada.mouse.click(box["x"] + 0.5 * box["width"], box["y"] + 0.44 * box["height"])
    ada.get_by_test_id("long-hint").wait_for()
    yield ada.screenshot()
    ada.keyboard.press("Escape")
    ada.keyboard.press("i")
    ada.get_by_test_id("instructions").wait_for()
    yield ada.screenshot()
    rex.get_by_test_id("next-review").click()
    rex.wait_for_selector("html[data-state=ready][data-view=workspace]")
    rex.wait_for_timeout(800)
    yield rex.screenshot()
    rex.keyboard.press("w")
    rex.get_by_test_id("reason-text").fill("The handle is cut off")
    yield rex.screenshot()
    rex.get_by_test_id("reason-cancel").click()
    rex.keyboard.press("?")
    rex.wait_for_timeout(300)
    yield rex.screenshot()
    olga.keyboard.press("p")
    olga.get_by_test_id("statistics").wait_for()
    olga.wait_for_timeout(300)
    yield olga.screenshot()
    olga.evaluate("document.getElementById('statistics').scrollTo(0, 1e6)")
    olga.wait_for_timeout(300)
    yield olga.screenshot()


if __name__ == "__main__":
    main()
