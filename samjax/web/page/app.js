/** The entry of the page: chooses the backend, and switches between gallery and workspace. */

import { hashOf, imageIdOf } from "./core/address.js";
import { demoBackend } from "./io/demo_backend.js";
import { isolate } from "./io/isolation.js";
import { serverBackend } from "./io/server_backend.js";
import { ModelLoading } from "./model/model_loading.js";
import { WorkerClient } from "./model/worker_client.js";
import { isBlank } from "./state/session.js";
import { Queue } from "./state/queue.js";
import { makeStore, messageOf } from "./state/state.js";
import { byId, icon } from "./ui/dom.js";
import { showInstructions } from "./ui/instructions.js";
import { makeExportMenu } from "./ui/export_menu.js";
import { onInput } from "./ui/gestures.js";
import { Gallery } from "./ui/gallery.js";
import { listenForKeys, showHelp } from "./ui/keys.js";
import { notify, showNotices } from "./ui/notices.js";
import { makeQueuePanel } from "./ui/queue_panel.js";
import { makeShortcuts } from "./ui/shortcuts.js";
import { showStatistics } from "./ui/statistics.js";
import { applyTheme, switchTheme } from "./ui/theme.js";
import { makeWorkspace } from "./ui/workspace.js";

/** @typedef {import("./io/backend.js").Backend} Backend */
/** @typedef {import("./state/state.js").PageStore} PageStore */
/** @typedef {ReturnType<typeof makeWorkspace>} Workspace */

// Images after the open one that are embedded meanwhile.
const PREFETCHED = 2;

applyTheme();
start().catch((error) => {
  document.documentElement.dataset.state = "error";
  notify({ text: messageOf(error), kind: "problem", action: { name: "Reload", run: () => location.reload() } });
});

async function start() {
  const store = makeStore();
  showNotices(store);
  // First, so that the page has a header where the rest fails.
  showHeaderIcons();
  // For scripts that drive the page, tests among them.
  store.watch(["phase"], ({ phase }) => (document.documentElement.dataset.state = phase));
  const client = new WorkerClient();
  const backend = await chooseBackend(client);
  const info = await backend.info();
  // `?threads=1` is for benchmarks.
  const model = new ModelLoading(client, info, Number(new URLSearchParams(location.search).get("threads")) || Infinity);
  store.set({ team: info.team ?? null });
  const workspace = makeWorkspace(store, { backend, client, info, model });
  const gallery = new Gallery(store, backend);
  const team = info.team ? backend.team : null;
  const queue = new Queue(store, backend.tasks, localStorage, Date.now, team);
  onInput(() => queue.touch());
  document.addEventListener("visibilitychange", () => queue.pause(document.hidden));
  const task = makeQueuePanel(store, queue, (id) => gallery.include(id));
  document.documentElement.dataset.role = info.team?.role ?? "";
  byId("folder").textContent = info.folder;
  makeExportMenu(store, backend);

  const move = (/** @type {number} */ by) => moveTo(store, gallery, by);
  const leave = () => (location.hash = "");
  const theme = () => store.emit("announcement", `${switchTheme()} colours`);
  const help = () => showHelp(shortcuts);
  const instructions = () => team && void showInstructions(store, team);
  const statistics = () => team && info.team?.role === "owner" && void showStatistics(store, team);
  const shortcuts = makeShortcuts(store, workspace, { move, leave, theme, help, instructions, statistics }, task);
  listenForKeys(shortcuts, () => store.state.image !== null);
  const handlers = { "to-gallery": leave, "previous-image": () => move(-1), "next-image": () => move(1), theme, "help-button": help, "instructions-button": instructions, "statistics-button": statistics };
  for (const [id, run] of Object.entries(handlers)) byId(id).addEventListener("click", run);

  prefetchNext(store, backend, gallery);
  window.addEventListener("hashchange", () => route(store, gallery, workspace));
  // The model is loaded while the user picks an image; a failure is shown when one is opened.
  model.whenLoaded().then(
    ({ threads }) => (document.documentElement.dataset.threads = String(threads)),
    () => {},
  );
  void queue.refresh();
  store.watch(["image"], ({ image }) => image || void queue.refresh());
  await gallery.load();
  if (store.state.phase === "loading") store.set({ phase: "ready" });
  route(store, gallery, workspace);
}

/**
 * @param {WorkerClient} client
 * @returns {Promise<Backend>}
 */
async function chooseBackend(client) {
  const url = new URL("config.json", document.baseURI);
  const response = await fetch(url, { credentials: "same-origin" }).catch(() => null);
  if (!response?.ok) {
    const body = await response?.json().catch(() => null);
    if (body?.error?.message) throw new Error(body.error.message);
    throw new Error("The page's configuration cannot be read. Is samjax serve still running, and is the address the one that it printed?");
  }
  const config = await response.json();
  if (config.mode === "demo" && (await isolate("isolation_worker.js"))) return new Promise(() => {});
  return config.mode === "demo" ? demoBackend(config, url, client) : serverBackend(config.api);
}

/**
 * Shows the image that the URL names, or the gallery.
 * @param {PageStore} store
 * @param {Gallery} gallery
 * @param {Workspace} workspace
 */
function route(store, gallery, { commands }) {
  const id = imageIdOf(location.hash);
  const image = gallery.find(id) ?? null;
  const last = store.state.image;
  if (id && !image) store.emit("notice", { text: "The folder has no such image any more.", kind: "problem" });
  if (image && last === image) return;
  document.documentElement.dataset.view = image ? "workspace" : "gallery";
  byId("workspace").hidden = !image;
  byId("gallery").hidden = Boolean(image);
  document.title = image ? `${image.name} · samjax` : "samjax";
  if (last) last.annotations = store.state.masks.length;
  commands.open(image);
  if (!image) {
    if (last) void gallery.refresh();
    return;
  }
  byId("image-name").textContent = image.name;
  byId("image-position").textContent = `${gallery.indexOf(image) + 1} of ${gallery.images.length}`;
  store.emit("announcement", image.name);
  byId("stage").focus({ preventScroll: true });
}

/**
 * Opens another image, unless a mask is not accepted yet.
 * @param {PageStore} store
 * @param {Gallery} gallery
 * @param {number} by
 */
function moveTo(store, { images }, by) {
  const { image, session } = store.state;
  if (!image) return;
  if (!isBlank(session)) {
    store.emit("notice", { text: "The mask is not accepted yet: press Enter to accept it, or Escape to discard it." });
    return;
  }
  const usable = images.filter(({ problem }) => !problem);
  const next = usable[usable.findIndex(({ id }) => id === image.id) + by];
  if (next) location.hash = hashOf(next.id);
  else store.emit("announcement", by > 0 ? "This is the last image." : "This is the first image.");
}

/**
 * Has the images after the open one embedded, once that one is ready.
 * @param {PageStore} store
 * @param {Backend} backend
 * @param {Gallery} gallery
 */
function prefetchNext(store, backend, gallery) {
  store.watch(["isReady"], async ({ image, isReady }) => {
    if (!image || !isReady) return;
    const at = gallery.indexOf(image);
    for (const next of gallery.images.slice(at + 1, at + 1 + PREFETCHED)) {
      // A failure costs time only: the image is embedded when it is opened.
      if (!next.problem && !next.embedded) await backend.prefetch(next).catch(() => {});
    }
  });
}

function showHeaderIcons() {
  for (const [id, name] of /** @type {const} */ ([
    ["to-gallery", "gallery"],
    ["previous-image", "previous"],
    ["next-image", "next"],
    ["theme", "theme"],
    ["help-button", "help"],
    ["instructions-button", "instructions"],
    ["statistics-button", "statistics"],
  ])) {
    byId(id).append(icon(name));
    byId(id).title = byId(id).getAttribute("aria-label") ?? "";
  }
}
