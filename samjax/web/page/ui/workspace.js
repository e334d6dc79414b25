/**
 * Composes the workspace: makes its parts, and passes each the parts that it uses. None is
 * passed a callback: they change and watch the store.
 */

import { makeShelf } from "../io/shelf.js";
import { Outbox } from "../io/outbox.js";
import { Commands } from "../state/commands.js";
import { Decisions } from "../state/decisions.js";
import { Editor } from "../state/editor.js";
import { History } from "../state/history.js";
import { Labels } from "../state/labels.js";
import { MaskList } from "../state/mask_list.js";
import { Opening } from "../state/opening.js";
import { Proposals } from "../state/proposals.js";
import { messageOf } from "../state/state.js";
import { Regions } from "../state/regions.js";
import { MaskReviews } from "../state/mask_reviews.js";
import { Versions } from "../state/versions.js";
import { Sync } from "../state/sync.js";
import { TextSearch } from "../state/text_search.js";
import { traceMasks } from "../state/tracing.js";
import { makeConflictDialog } from "./conflict_dialog.js";
import { byId } from "./dom.js";
import { makeEverythingPanel } from "./everything_panel.js";
import { Gestures, onInput } from "./gestures.js";
import { makeMasksPanel } from "./masks_panel.js";
import { Pointing } from "./pointing.js";
import { makeProgress } from "./progress.js";
import { makeSaveState } from "./save_state.js";
import { makeSessionPanel } from "./session_panel.js";
import { makeProposedPanel } from "./proposed_panel.js";
import { makeReviewPanel } from "./review_panel.js";
import { makeRegionsPanel } from "./regions_panel.js";
import { Stage } from "./stage.js";
import { makeTextForm } from "./text_form.js";
import { makeToolbar, toolsFor } from "./toolbar.js";
import { makeViewControls } from "./view_controls.js";

/** @typedef {import("../io/backend.js").Backend} Backend */
/** @typedef {import("../io/backend.js").Info} Info */
/** @typedef {import("../state/state.js").PageStore} PageStore */

// Between two requests for other clients' edits, in milliseconds.
const POLL = 4000;

/**
 * @param {PageStore} store
 * @param {{backend: Backend, client: import("../model/worker_client.js").WorkerClient, info: Info, model: import("../model/model_loading.js").ModelLoading}} services
 */
export function makeWorkspace(store, { backend, client, info, model }) {
  const history = new History(store);
  const masks = new MaskList(store);
  const labels = new Labels(store, info.labels);
  const editor = new Editor(store, client, history);
  const proposals = new Proposals(store, backend, client);
  const outbox = new Outbox(store, backend, makeShelf(`samjax.unsaved ${info.folder}`));
  const sync = new Sync(store, backend, masks, outbox);
  traceMasks(store, client, masks);
  const commands = new Commands(store, { editor, masks, proposals, labels, history });
  const decisions = new Decisions(store, { masks, history });
  const regions = new Regions(store, backend.regions, history, outbox);
  const { team } = info;
  const reviews = new MaskReviews(store, team ? backend.team : null, { decisions, history });
  const versions = new Versions(store, team && team.role !== "annotator" ? backend.team : null, client);
  const tools = toolsFor(backend.regions !== null);
  const stage = new Stage(store, byId("stage"));
  showImages(store, backend, stage);
  const opening = new Opening(store, backend, client, model, info.model.image_size);
  const pointing = new Pointing(store, { stage, editor, proposals, commands, regions });
  new Gestures(stage, pointing);

  makeToolbar(store, commands, tools);
  makeSessionPanel(store, editor, commands);
  makeProposedPanel(store, decisions);
  makeRegionsPanel(store, regions);
  makeReviewPanel(store, reviews);
  makeMasksPanel(store, { masks, commands, decisions, versions });
  makeEverythingPanel(store, proposals, commands, info.model.everything);
  makeTextForm(store, new TextSearch(store, { backend, client, editor }), info.model.text);
  makeViewControls(store, stage, commands);
  makeProgress(store, opening);
  makeSaveState(store, outbox, backend.mode);
  makeConflictDialog(store, sync);

  document.addEventListener("visibilitychange", () => editor.pause(document.hidden));
  onInput(() => editor.touch());
  const hint = info.team?.hint_seconds ?? 0;
  if (hint) setInterval(() => editor.checkTime(hint), 1000);
  setInterval(() => document.hidden || sync.poll(), POLL);
  void outbox.send();
  return { commands, decisions, editor, pointing, reviews, stage, tools };
}

/**
 * Puts the pixels of the open image on the stage.
 * @param {PageStore} store
 * @param {Pick<Backend, "pixels">} backend
 * @param {Stage} stage
 */
function showImages(store, backend, stage) {
  store.watch(["image"], async ({ image }) => {
    if (!image) return;
    const isOpen = () => store.state.image === image;
    const size = /** @type {[number, number]} */ ([image.height, image.width]);
    stage.show(null, size);
    stage.element.setAttribute("aria-label", `Image ${image.name}`);
    try {
      const bitmap = await createImageBitmap(await backend.pixels(image), { imageOrientation: "from-image" });
      if (isOpen()) stage.show(bitmap, size);
    } catch (error) {
      if (isOpen()) store.emit("notice", { text: `The image cannot be shown: ${messageOf(error)}`, kind: "problem" });
    }
  });
}
