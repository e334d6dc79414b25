/** Dark or light: the system's choice until somebody makes their own, which is kept. */

const KEY = "samjax.theme";

/** Applies the kept choice. */
export function applyTheme() {
  const kept = read();
  if (kept) document.documentElement.dataset.theme = kept;
}

/** @returns {"dark" | "light"} the theme that now shows */
export function switchTheme() {
  const next = isDark() ? "light" : "dark";
  document.documentElement.dataset.theme = next;
  try {
    localStorage.setItem(KEY, next);
  } catch {
    // A browser that keeps nothing still switches.
  }
  return next;
}

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

function read() {
  try {
    const kept = localStorage.getItem(KEY);
    return kept === "dark" || kept === "light" ? kept : null;
  } catch {
    return null;
  }
}
