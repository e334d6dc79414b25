"""Latency of image encoders in a browser: demos of `samjax export --demo`, in turn.

    samjax export --demo demos/small
    samjax export --demo demos/tiny --model tiny
    python tools/benchmarks/demo_encoder.py demos/tiny demos/small --threads 2

Needs the extra `test` and a Chromium. Timed: from a JPEG to its embedding in the page's
worker, including decoding and resizing, as in the page itself. The first photo is
reported separately. Every demo has a page and a worker of its own; they embed the
demo's first photo in turn, once per round. The ratio is to the first demo.
"""

import argparse
import contextlib
import functools
from pathlib import Path

import peers

# Threads need shared memory, which browsers provide to cross-origin isolated pages
# only.
_ISOLATED = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
}

# Starts a worker with a model; each call of `embed` embeds the photo.
START = """async (threads) => {
  const {model, encoder, decoder, samples} = await (await fetch("config.json")).json();
  const worker = new Worker("page/model/worker.js", {type: "module"});
  const calls = [];
  worker.onmessage = ({data}) => {
    if (!data.progress) calls[data.id](data);
  };
  const call = (call, values) => new Promise((resolve, reject) => {
    const id = calls.push(({value, error}) => error ? reject(error) : resolve(value)) - 1;
    worker.postMessage({id, call, values});
  });
  const absolute = ({url, bytes}) => ({url: new URL(url, location.href).href, bytes});
  const files = {
    prepare: absolute(decoder.prepare),
    prompt: absolute(decoder.prompt),
    encoder: absolute(encoder),
  };
  const shape = [1, model.channels, ...model.grid];
  const started = await call("load", {...files, shape, threads});
  const photo = await (await fetch(samples[0].url)).blob();
  window.embed = async () =>
    (await call("embed", {photo, modelSize: model.image_size})).milliseconds;
  return started.threads;
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("demos", type=Path, nargs="+")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()

    import browser
    from playwright.sync_api import sync_playwright

    with contextlib.ExitStack() as stack:
        playwright = stack.enter_context(sync_playwright())
        context = browser.start_browser(playwright)
        stack.callback(context.close)
        calls = {}
        for folder in options.demos:
            page = context.new_page()
            # A file of the demo's origin that does not load the demo's page and model.
            page.goto(
                f"{stack.enter_context(browser.host_of(folder, _ISOLATED))}config.json"
            )
            threads = page.evaluate(START, options.threads)
            if threads != options.threads:
                raise SystemExit(f"got {threads} threads, expected {options.threads}")
            calls[str(folder)] = functools.partial(page.evaluate, "window.embed()")
            # The decoder warms up when the worker is idle.
            page.wait_for_timeout(6000)
        figures = peers.time_in_turn(calls, options.repeats)
    result = peers.report(
        figures,
        str(options.demos[0]),
        threads=options.threads,
        encoder_bytes={
            str(folder): (folder / "model" / "encoder.onnx").stat().st_size
            for folder in options.demos
        },
    )
    peers.write(result, options.json)


if __name__ == "__main__":
    main()
