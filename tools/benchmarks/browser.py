"""Latency of a click in a browser: `samjax serve`, its page, and ViT-B's full decoder.

    python tools/benchmarks/browser.py --threads 1 2 --json out.json

Needs the extra `test`, the page's runtime (`make page`) and a Chromium. Reported for
every number of threads: the model's time for a single point (the prompt graph, in the
page's worker alone); the worker's overhead; the time from a real click to its pixels,
including the hover before it; blocking of the page's main thread; the time from opening
the page to the first mask, with the image embedded before; and the compressed download
of a first visit. Random weights do not change the model's time, but their masks are
noise, which takes longer to draw: `--model tiny` has real ones. Repeat a number of
threads to see the effect of other load, which is reported with the figures.
"""

import argparse
import gzip
import json
import os
import statistics
import tempfile
import urllib.request
from pathlib import Path

import peers
from PIL import Image

BAR = {1: 90.0, 2: 55.0}

# Long tasks of the page's main thread, in milliseconds.
WATCH_GAPS = """
window.gaps = [];
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) window.gaps.push(entry.duration);
}).observe({type: "longtask", buffered: true});
"""

# Predictions of the worker alone, without a page.
TIME_WORKER = """async ([threads, runs]) => {
  const {decoder, model} = await (await fetch("/api/v1/info")).json();
  const worker = new Worker("/page/model/worker.js", {type: "module"});
  const calls = [];
  worker.onmessage = ({data}) => {
    if (!data.progress) calls[data.id](data);
  };
  const call = (call, values) => new Promise((resolve, reject) => {
    const id = calls.push(({value, error}) => error ? reject(error) : resolve(value)) - 1;
    worker.postMessage({id, call, values});
  });
  const {grid, channels, image_size: size} = model;
  const shape = [1, channels, ...grid];
  await call("load", {...decoder, encoder: null, shape, threads});
  const data = new Float32Array(channels * grid[0] * grid[1]).map(() => Math.random() - 0.5);
  await call("open", {key: "photo", size: [800, 1200], modelSize: size, features: {data, shape}});
  const times = [];
  for (let i = 0; i < runs; i++) {
    const prompt = {points: [[300 + i, 200]], labels: [1], box: null, mask: null, text: null};
    const before = performance.now();
    const {milliseconds} = await call("predict", {key: "photo", slot: "click", prompt});
    times.push([milliseconds, performance.now() - before]);
  }
  worker.terminate();
  return times;
}"""

# The page's performance marks of a click, once its mask is drawn. The page is not polled
# meanwhile, which would take time from the model.
WATCH_CLICK = """() => {
  performance.clearMarks();
  window.marks = new Promise((resolve, reject) => {
    setTimeout(() => reject(new Error("nothing was drawn")), 30000);
    const marks = [];
    new PerformanceObserver((list, observer) => {
      for (const {name, startTime, detail} of list.getEntries()) {
        if (!name.startsWith("samjax:") || detail.kind === "hover") continue;
        const milliseconds = detail.milliseconds ?? null;
        marks.push({name: name.slice(7), at: startTime, milliseconds});
        if (name === "samjax:drawn") {
          observer.disconnect();
          resolve(marks);
        }
      }
    }).observe({type: "mark"});
  });
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--clicks", type=int, default=45)
    parser.add_argument("--model", help="instead of random weights of ViT-B")
    parser.add_argument("--storage", default="float16")
    parser.add_argument("--weights", type=Path, default=peers.ROOT / "runs" / "random")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()

    import browser

    model = options.model or str(peers.random_weights("vit_b", options.weights))
    with tempfile.TemporaryDirectory() as folder:
        Image.fromarray(peers.demo_photo(800, 1200)).save(Path(folder) / "photo.jpg")
        words = ("--model", model, "--storage", options.storage)
        with browser.running_server(Path(folder), *words) as server:
            result = {"payload": payload(server.address), "runs": []}
            for number in options.threads:
                figures = measure(server.address, number, options.clicks)
                print(f"bar of the model: {BAR.get(number)} ms; measured: {figures}")
                result["runs"].append(figures)
    print(f"first visit, compressed: {sum(result['payload'].values()) / 1e6:.2f} MB")
    peers.write({**result, "machine": peers.describe_machine()}, options.json)


def measure(address: str, threads: int, clicks: int) -> dict:
    """Measures clicks in a fresh page of a fresh browser."""
    import browser
    from playwright.sync_api import sync_playwright

    load = os.getloadavg()[0]
    with sync_playwright() as playwright:
        context = browser.start_browser(
            playwright, viewport={"width": 1280, "height": 800}
        )
        page = context.pages[0]
        page.add_init_script(WATCH_GAPS)
        first = open_image(page, address, threads)
        page.close()
        # The image is embedded now; a new browser has an empty cache.
        context.close()
        context = browser.start_browser(
            playwright, viewport={"width": 1280, "height": 800}
        )
        page = context.pages[0]
        page.add_init_script(WATCH_GAPS)
        cold = open_image(page, address, threads)
        figures = click_often(page, clicks)
        page.goto(address)
        # Until the page has loaded a model of its own and warmed it up.
        page.wait_for_timeout(6000)
        times = page.evaluate(TIME_WORKER, [threads, clicks])[clicks // 3 :]
        context.close()
    model = [time for time, _ in times]
    return {
        "threads": cold["threads"],
        "model_ms": round(statistics.median(model), 1),
        "model_ms_quartiles": [round(x, 1) for x in statistics.quantiles(model)],
        "worker_beside_it_ms": round(statistics.median(b - a for a, b in times), 1),
        "first_visit_with_embedding_s": round(first["seconds"], 2),
        "cold_start_s": round(cold["seconds"], 2),
        **figures,
        "load": round(load, 1),
    }


def open_image(page, address: str, threads: int) -> dict:
    """Opens the folder's image, and clicks it as soon as that is possible."""
    with urllib.request.urlopen(f"{address}/api/v1/images") as response:
        image = json.load(response)["images"][0]["id"]
    page.goto(f"{address}/?threads={threads}#/image/{image}", wait_until="commit")
    page.wait_for_selector(
        "html[data-state=ready][data-view=workspace]", timeout=300_000
    )
    marks = click(page, 0.5, 0.5)
    return {
        # Since the start of the navigation.
        "seconds": marks[-1]["at"] / 1000,
        "threads": page.evaluate("document.documentElement.dataset.threads"),
    }


def click(page, x: float, y: float) -> list[dict]:
    """Clicks at a relative position of the stage; returns the page's performance marks."""
    page.evaluate(WATCH_CLICK)
    box = page.get_by_test_id("stage").bounding_box()
    page.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])
    return page.evaluate("window.marks")


def click_often(page, clicks: int) -> dict:
    """Clicks single points one after the other; the first third is warm-up."""
    pixels = []
    for i in range(clicks):
        page.keyboard.press("Escape")
        page.wait_for_timeout(120)
        if i == clicks // 3:
            page.evaluate("window.gaps.length = 0")
        marks = click(page, 0.35 + 0.3 * (i * 0.618 % 1), 0.35 + 0.3 * (i * 0.414 % 1))
        at = {mark["name"]: mark for mark in marks}
        if i >= clicks // 3:
            pixels.append(at["drawn"]["at"] - at["click"]["at"])
    return {
        "click_to_pixels_ms": round(statistics.median(pixels), 1),
        "longest_gap_ms": max(page.evaluate("window.gaps"), default=0),
    }


def payload(address: str) -> dict[str, int]:
    """Returns the compressed bytes of the runtime and of the decoder."""
    with urllib.request.urlopen(f"{address}/api/v1/info") as response:
        decoder = json.load(response)["decoder"]
    paths = [
        "/page/vendor/ort.wasm.min.mjs",
        "/page/vendor/ort-wasm-simd-threaded.mjs",
        "/page/vendor/ort-wasm-simd-threaded.wasm",
        decoder["prepare"]["url"],
        decoder["prompt"]["url"],
    ]
    sizes = {}
    for path in paths:
        request = urllib.request.Request(
            address + path, headers={"Accept-Encoding": "gzip"}
        )
        with urllib.request.urlopen(request) as response:
            content = response.read()
            if response.headers.get("Content-Encoding") != "gzip":
                content = gzip.compress(content)
        sizes[path.rpartition("/")[2].partition("?")[0]] = len(content)
    return sizes


if __name__ == "__main__":
    main()
