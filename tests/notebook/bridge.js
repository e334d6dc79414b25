/**
 * The part of a notebook that anywidget gives a widget: a model whose state is that of the
 * Python widget behind `bridge.py`, and the module loaded from a blob.
 */

/** @type {Record<string, any>} */
let state = {};
/** @type {Record<string, any>} */
let changes = {};
/** @type {Map<string, Set<(...values: any[]) => void>>} */
const listeners = new Map();

const model = {
  /** @param {string} name */
  get: (name) => state[name],
  /**
   * @param {string} name
   * @param {any} value
   */
  set(name, value) {
    changes[name] = value;
    update({ [name]: value });
  },
  save_changes() {
    const body = JSON.stringify({ method: "update", state: changes, buffer_paths: [] });
    changes = {};
    void fetch("message", { method: "POST", body }).then(poll);
  },
  /** @param {any} content */
  send(content) {
    const body = JSON.stringify({ method: "custom", content });
    void fetch("message", { method: "POST", body }).then(poll);
  },
  /**
   * @param {string} event
   * @param {(...values: any[]) => void} listener
   */
  on(event, listener) {
    if (!listeners.has(event)) listeners.set(event, new Set());
    listeners.get(event)?.add(listener);
  },
  /**
   * @param {string} event
   * @param {(...values: any[]) => void} listener
   */
  off: (event, listener) => void listeners.get(event)?.delete(listener),
};

/** @param {Record<string, any>} values */
function update(values) {
  const changed = Object.keys(values).filter((name) => JSON.stringify(state[name]) !== JSON.stringify(values[name]));
  state = { ...state, ...values };
  for (const name of changed) for (const listener of listeners.get(`change:${name}`) ?? []) listener();
}

/** @param {string} text */
const toBytes = (text) => new DataView(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);

async function poll() {
  const { state: sent, messages } = await (await fetch("state")).json();
  // anywidget gives bytes as a DataView.
  if ("_picture" in sent) sent._picture = toBytes(sent._picture);
  update(sent);
  for (const { content, buffers } of messages) {
    for (const listener of listeners.get("msg:custom") ?? []) listener(content, buffers.map(toBytes));
  }
}

await poll();
const style = document.createElement("style");
style.textContent = state._css;
document.head.append(style);
const url = URL.createObjectURL(new Blob([state._esm], { type: "text/javascript" }));
const { default: widget } = await import(url);
const cell = /** @type {HTMLElement} */ (document.getElementById("cell"));
const close = await widget.render({ model, el: cell });
Object.assign(window, { model, poll, close, render: (/** @type {HTMLElement} */ el) => widget.render({ model, el }) });
document.documentElement.dataset.state = "ready";
