/** The page's files as a whole: which folder imports which, and the elements they use. */

import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const PAGE = fileURLToPath(new URL("../../../samjax/web/page", import.meta.url));
const FILES = readdirSync(PAGE, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".js"));
const TEXTS = new Map(FILES.map((name) => [name, readFileSync(join(PAGE, name), "utf8")]));

// Lower folders first: each may import those before it.
const FOLDERS = ["core", "model", "io", "state", "ui"];

test("the folders of the page import downward only", () => {
  assert.ok(FILES.length > 50);
  for (const [file, text] of TEXTS) {
    const own = FOLDERS.indexOf(dirname(file));
    for (const [, target] of text.matchAll(/^(?:import|export) .*?"(\.[^"]+)";$/gm)) {
      const path = resolve(PAGE, dirname(file), target);
      const other = dirname(relative(PAGE, path));
      assert.ok(existsSync(path), `${file} imports ${target}, which is missing`);
      if (own >= 0) assert.ok(FOLDERS.includes(other) && FOLDERS.indexOf(other) <= own, `${file} imports ${target}`);
    }
  }
});

test("core and state do without the DOM and the network", () => {
  for (const [file, text] of TEXTS) {
    if (["core", "state"].includes(dirname(file))) assert.doesNotMatch(text, /\b(document|window|fetch)[.(]/, file);
  }
});

test("every element that is looked up by its id is in the page, each once", () => {
  const html = readFileSync(join(PAGE, "index.html"), "utf8");
  const ids = [...html.matchAll(/ id="([^"]+)"/g)].map(([, id]) => id);
  assert.equal(new Set(ids).size, ids.length);
  const used = [...TEXTS.values()].flatMap((text) => [...text.matchAll(/byId\("([^"]+)"\)/g)].map(([, id]) => id));
  assert.ok(used.length > 40);
  for (const id of used) assert.ok(ids.includes(id), `#${id}`);
});

test("no model's name decides anything in the page", () => {
  for (const [file, text] of TEXTS) {
    assert.doesNotMatch(text, /["'`](tiny|vit_[blh])["'`]|=== "small"|model\.name/, file);
  }
});
