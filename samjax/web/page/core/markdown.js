/**
 * Reads a subset of Markdown into plain objects: headings, paragraphs, lists, quotes, code,
 * rules; strong, emphasis, code and links. Anything else, HTML included, stays text.
 */

/** @typedef {{kind: "text" | "strong" | "emphasis" | "code", text: string} | {kind: "link", text: string, href: string}} Inline */
/**
 * @typedef {{kind: "heading", level: number, parts: Inline[]}
 *   | {kind: "paragraph" | "quote", parts: Inline[]}
 *   | {kind: "list", isOrdered: boolean, items: Inline[][]}
 *   | {kind: "code", text: string}
 *   | {kind: "rule"}} Block
 */

const ITEM = /^\s*(?:[-*+]|(\d{1,9})[.)])\s+(.*)$/;
const INLINE = /`([^`]+)`|\*\*([^*]+)\*\*|\*([^*\s][^*]*)\*|\[([^\]]*)\]\(([^()\s]+)\)|<(https?:\/\/[^<>\s]+)>/g;

/**
 * @param {string} text
 * @returns {Block[]}
 */
export function readMarkdown(text) {
  /** @type {Block[]} */
  const blocks = [];
  const lines = text.replace(/\r\n?/g, "\n").split("\n");
  for (let i = 0; i < lines.length; ) {
    const line = lines[i];
    const heading = /^(#{1,6})\s+(.*?)\s*#*$/.exec(line);
    const fence = /^\s*(```|~~~)/.exec(line);
    if (!line.trim()) {
      i++;
    } else if (fence) {
      let end = i + 1;
      while (end < lines.length && !lines[end].trim().startsWith(fence[1])) end++;
      blocks.push({ kind: "code", text: lines.slice(i + 1, end).join("\n") });
      i = end + 1;
    } else if (heading) {
      blocks.push({ kind: "heading", level: heading[1].length, parts: readInline(heading[2]) });
      i++;
    } else if (/^\s*([-*_])(\s*\1){2,}\s*$/.test(line)) {
      blocks.push({ kind: "rule" });
      i++;
    } else {
      const end = endOfBlock(lines, i);
      blocks.push(...readBlock(lines.slice(i, end)));
      i = end;
    }
  }
  return blocks;
}

/**
 * @param {string[]} lines
 * @param {number} start
 * @returns {number} the first line after the block: a blank one, or one of another kind
 */
function endOfBlock(lines, start) {
  const isItem = ITEM.test(lines[start]);
  let end = start + 1;
  while (end < lines.length && lines[end].trim() && !/^(#{1,6}\s|\s*(```|~~~))/.test(lines[end]) && (isItem || !ITEM.test(lines[end]))) end++;
  return end;
}

/**
 * @param {string[]} lines
 * @returns {Block[]}
 */
function readBlock(lines) {
  const first = ITEM.exec(lines[0]);
  if (first) {
    /** @type {string[]} */
    const items = [];
    for (const line of lines) {
      const item = ITEM.exec(line);
      if (item) items.push(item[2]);
      else items[items.length - 1] += ` ${line.trim()}`;
    }
    return [{ kind: "list", isOrdered: first[1] !== undefined, items: items.map(readInline) }];
  }
  if (lines.every((line) => line.startsWith(">"))) {
    return [{ kind: "quote", parts: readInline(lines.map((line) => line.replace(/^>\s?/, "")).join(" ")) }];
  }
  return [{ kind: "paragraph", parts: readInline(lines.map((line) => line.trim()).join(" ")) }];
}

/**
 * @param {string} text
 * @returns {Inline[]}
 */
function readInline(text) {
  /** @type {Inline[]} */
  const parts = [];
  let last = 0;
  for (const match of text.matchAll(INLINE)) {
    const [whole, code, strong, emphasis, name, target, address] = match;
    const href = target ?? address;
    // Addresses of other kinds, as `javascript:`, stay text.
    if (href !== undefined && !/^(https?:\/\/|mailto:)/i.test(href)) continue;
    if (match.index > last) parts.push({ kind: "text", text: text.slice(last, match.index) });
    if (href !== undefined) parts.push({ kind: "link", text: name || href, href });
    else if (code !== undefined) parts.push({ kind: "code", text: code });
    else if (strong !== undefined) parts.push({ kind: "strong", text: strong });
    else parts.push({ kind: "emphasis", text: emphasis });
    last = match.index + whole.length;
  }
  if (last < text.length) parts.push({ kind: "text", text: text.slice(last) });
  return parts;
}
