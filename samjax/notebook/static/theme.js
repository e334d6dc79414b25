/** The theme of the notebook around the widget. */

/**
 * JupyterLab, Notebook 7, VS Code and Colab mark their theme in the document; elsewhere the
 * system's is followed.
 * @returns {"dark" | "light" | null}
 */
export function themeOf() {
  const { documentElement, body } = document;
  const jupyter = document.querySelector("[data-jp-theme-light]")?.getAttribute("data-jp-theme-light");
  if (jupyter) return jupyter === "false" ? "dark" : "light";
  const code = body.dataset.vscodeThemeKind ?? body.className;
  if (/vscode-(dark|high-contrast(?!-light))/.test(code)) return "dark";
  if (/vscode-/.test(code)) return "light";
  const colab = documentElement.getAttribute("theme");
  return colab === "dark" || colab === "light" ? colab : null;
}
