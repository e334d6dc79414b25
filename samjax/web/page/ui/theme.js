/** Dark or light theme: the system's, until the user chooses one, which is stored. */

const KEY = "samjax.theme";

/** Applies the stored choice. */
export function applyTheme() {
  const stored = read();
  if (stored) document.documentElement.dataset.theme = stored;
}

/** @returns {"dark" | "light"} the new theme */
export function switchTheme() {
  const next = isDark() ? "light" : "dark";
  document.documentElement.dataset.theme = next;
  try {
    localStorage.setItem(KEY, next);
  } catch {
    // Without storage the choice lasts as long as the page.
  }
  return next;
}

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

function read() {
  try {
    const stored = localStorage.getItem(KEY);
    return stored === "dark" || stored === "light" ? stored : null;
  } catch {
    return null;
  }
}
