/** Where the page begins: which backend there is, and which of the two views shows. */

import { hashOf, imageIdOf } from "./core/address.js";
import { announce, messageOf, notify } from "./ui/notices.js";
import { DecoderClient } from "./model/worker_client.js";
import { demoBackend } from "./io/demo_backend.js";
import { byId, el, icon } from "./ui/dom.js";
import { Gallery } from "./ui/gallery.js";
import { isolate } from "./io/isolation.js";
import { listenForKeys, showHelp } from "./ui/keys.js";
import { Labels } from "./state/labels.js";
import { ModelLoading, setPageState } from "./state/opening.js";
import { serverBackend } from "./io/server_backend.js";
import { applyTheme, switchTheme } from "./ui/theme.js";
import { Workspace } from "./ui/workspace.js";
import { workspaceKeys } from "./ui/shortcuts.js";

/** @typedef {import("./io/backend.js").Backend} Backend */
/** @typedef {import("./io/backend.js").ImageEntry} ImageEntry */

// Images after the open one that are embedded while it is worked on.
const PREFETCHED = 2;

applyTheme();
start().catch((error) => {
  setPageState("error");
  notify(messageOf(error), { kind: "problem", action: { name: "Reload", run: () => location.reload() } });
});

async function start() {
  makeHeader();
  const client = new DecoderClient();
  const backend = await chooseBackend(client);
  const info = await backend.info();
  const labels = new Labels(info.labels);
  const model = new ModelLoading(client, info);
  const workspace = new Workspace({ backend, client, info, model, labels });
  const gallery = new Gallery(backend, (image) => (location.hash = hashOf(image.id)));
  byId("folder").textContent = backend.mode === "demo" ? "demo" : info.folder;
  makeExport(backend, () => workspace.image);

  const show = () => route(gallery, workspace);
  const move = (/** @type {number} */ by) => moveTo(gallery, workspace, by);
  byId("previous-image").addEventListener("click", () => move(-1));
  byId("next-image").addEventListener("click", () => move(1));
  const keys = workspaceKeys(workspace, { move, leave: () => (location.hash = ""), theme: changeTheme, help: () => showHelp(keys) });
  listenForKeys(keys, () => workspace.image !== null);
  byId("help-button").addEventListener("click", () => showHelp(keys));

  workspace.onReady = async (image) => {
    const at = gallery.indexOf(image);
    for (const next of gallery.images.slice(at + 1, at + 1 + PREFETCHED)) {
      // Only time is lost where this fails.
      if (!next.problem && !next.embedded) await backend.prefetch(next).catch(() => {});
    }
  };
  window.addEventListener("hashchange", show);
  // The model comes while somebody picks an image; whether it came is said where it is needed.
  model.whenLoaded().catch(() => {});
  await gallery.load();
  if (document.documentElement.dataset.state === "loading") setPageState("ready");
  show();
}

/**
 * @param {DecoderClient} client
 * @returns {Promise<Backend>}
 */
async function chooseBackend(client) {
  const place = new URL("config.json", document.baseURI);
  const response = await fetch(place, { credentials: "same-origin" }).catch(() => null);
  if (!response?.ok) {
    const answer = await response?.json().catch(() => null);
    if (answer?.error?.message) throw new Error(answer.error.message);
    throw new Error("The page's configuration cannot be read. Is samjax serve still running, and is the address the one that it printed?");
  }
  const config = await response.json();
  if (config.mode === "demo" && (await isolate("isolation_worker.js"))) return new Promise(() => {});
  return config.mode === "demo" ? demoBackend(config, place, client) : serverBackend(config.api);
}

/**
 * @param {Gallery} gallery
 * @param {Workspace} workspace
 */
function route(gallery, workspace) {
  const id = imageIdOf(location.hash);
  const image = gallery.find(id);
  if (id && !image) notify("There is no such image here any more.", { kind: "problem" });
  if (image && workspace.image === image) return;
  document.documentElement.dataset.view = image ? "workspace" : "gallery";
  byId("workspace").hidden = !image;
  byId("gallery").hidden = Boolean(image);
  document.title = image ? `${image.name} · samjax` : "samjax";
  if (!image) {
    const last = workspace.image;
    if (last) last.annotations = workspace.saving.store.list.length;
    workspace.close();
    setPageState("ready");
    if (last) void gallery.refresh();
    return;
  }
  byId("image-name").textContent = image.name;
  byId("image-position").textContent = `${gallery.indexOf(image) + 1} of ${gallery.images.length}`;
  announce(image.name);
  void workspace.open(image);
  byId("stage").focus({ preventScroll: true });
}

/**
 * @param {Gallery} gallery
 * @param {Workspace} workspace
 * @param {number} by
 */
function moveTo({ images }, workspace, by) {
  const { image } = workspace;
  if (!image) return;
  if (!workspace.editor.isEmpty) {
    notify("The mask is not accepted yet: press Enter to accept it, or Escape to discard it.");
    return;
  }
  image.annotations = workspace.saving.store.list.length;
  const usable = images.filter(({ problem }) => !problem);
  const next = usable[usable.findIndex(({ id }) => id === image.id) + by];
  if (next) location.hash = hashOf(next.id);
  else announce(by > 0 ? "This is the last image." : "This is the first image.");
}

function makeHeader() {
  for (const [id, name] of /** @type {const} */ ([
    ["to-gallery", "gallery"],
    ["previous-image", "previous"],
    ["next-image", "next"],
    ["theme", "theme"],
    ["help-button", "help"],
  ])) {
    byId(id).append(icon(name));
    byId(id).title = byId(id).getAttribute("aria-label") ?? "";
  }
  byId("to-gallery").addEventListener("click", () => (location.hash = ""));
  byId("theme").addEventListener("click", changeTheme);
  byId("export").querySelector("summary")?.append(icon("export"));
}

function changeTheme() {
  announce(`${switchTheme()} colours`);
}

/**
 * @param {Backend} backend
 * @param {() => ImageEntry | null} current
 */
function makeExport(backend, current) {
  const menu = /** @type {HTMLDetailsElement} */ (byId("export"));
  const items = /** @type {HTMLElement} */ (menu.querySelector(".menu-items"));
  /** @type {[("sa1b" | "coco" | "png"), string][]} */
  const formats = [["sa1b", "SA-1B JSON"], ["coco", "COCO JSON"], ["png", "PNG label maps"]];
  const fill = () => {
    const image = current();
    const scopes = [image, backend.mode === "server" || !image ? null : undefined].filter((scope, i) => (i ? scope !== undefined : scope));
    items.replaceChildren(
      ...scopes.flatMap((scope) => [
        el("p", { class: "menu-title" }, scope ? "This image" : "All images"),
        ...formats.map(([format, name]) =>
          el("button", { type: "button", "data-testid": `export-${format}-${scope ? "one" : "all"}`, onclick: () => download(format, scope ?? null) }, name),
        ),
      ]),
    );
  };
  const download = async (/** @type {"sa1b" | "coco" | "png"} */ format, /** @type {ImageEntry | null} */ image) => {
    menu.open = false;
    try {
      const { url, name } = await backend.exportFile(format, image);
      const link = el("a", { href: url, download: name });
      link.click();
      if (url.startsWith("blob:")) setTimeout(() => URL.revokeObjectURL(url), 10_000);
    } catch (error) {
      notify(messageOf(error), { kind: "problem" });
    }
  };
  menu.addEventListener("toggle", () => menu.open && fill());
  document.addEventListener("click", ({ target }) => {
    if (target instanceof Node && !menu.contains(target)) menu.open = false;
  });
  menu.addEventListener("keydown", ({ key }) => {
    if (key !== "Escape" || !menu.open) return;
    menu.open = false;
    menu.querySelector("summary")?.focus();
  });
}
