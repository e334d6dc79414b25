/** Markdown of a project's instructions, from a file that anybody may have written. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { readMarkdown } from "../../../samjax/web/page/core/markdown.js";

test("blocks and parts of lines are told apart", () => {
  const text = ["# Cups *and* mugs", "", "Label **every** cup,", "see [the list](https://example.org/a?b=1).", "- one", "- two", "  goes on", "", "1. `first`", "2) second", "", "> quoted", "", "---", "```", "<b> **as it is**", "```"].join("\n");
  assert.deepEqual(readMarkdown(text), [
    { kind: "heading", level: 1, parts: [{ kind: "text", text: "Cups " }, { kind: "emphasis", text: "and" }, { kind: "text", text: " mugs" }] },
    {
      kind: "paragraph",
      parts: [
        { kind: "text", text: "Label " },
        { kind: "strong", text: "every" },
        { kind: "text", text: " cup, see " },
        { kind: "link", text: "the list", href: "https://example.org/a?b=1" },
        { kind: "text", text: "." },
      ],
    },
    { kind: "list", isOrdered: false, items: [[{ kind: "text", text: "one" }], [{ kind: "text", text: "two goes on" }]] },
    { kind: "list", isOrdered: true, items: [[{ kind: "code", text: "first" }], [{ kind: "text", text: "second" }]] },
    { kind: "quote", parts: [{ kind: "text", text: "quoted" }] },
    { kind: "rule" },
    { kind: "code", text: "<b> **as it is**" },
  ]);
});

for (const target of ["javascript:alert(1)", "JAVASCRIPT:alert(1)", "data:text/html,x", "vbscript:x", "file:///etc/passwd", "//evil.example", "/api/v1/export"]) {
  test(`a link to ${target} stays text`, () => {
    assert.deepEqual(readMarkdown(`[click](${target})`), [{ kind: "paragraph", parts: [{ kind: "text", text: `[click](${target})` }] }]);
  });
}

test("HTML stays text", () => {
  const text = '<img src=x onerror="alert(1)"><script>alert(1)</script>';
  assert.deepEqual(readMarkdown(text), [{ kind: "paragraph", parts: [{ kind: "text", text }] }]);
});

test("any text is read, and nothing of it is lost but its marks", () => {
  let seed = 1;
  const draw = (/** @type {number} */ most) => (seed = (seed * 48271) % 2147483647) % most;
  const pieces = ["#", " ", "\n", "*", "**", "`", "```", "[", "](", ")", "https://a", "word", "- ", "1. ", ">", "<", "\r\n", "~~~"];
  for (let i = 0; i < 2000; i++) {
    const text = Array.from({ length: draw(30) }, () => pieces[draw(pieces.length)]).join("");
    const words = (/** @type {string} */ of) => of.split("word").length - 1;
    assert.equal(words(JSON.stringify(readMarkdown(text))) >= words(text.replace(/^\s*(```|~~~).*$/gm, "")), true, JSON.stringify(text));
  }
});
