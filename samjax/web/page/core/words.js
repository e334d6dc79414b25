/**
 * The tokenizer of models with a vocabulary of whole words, `samjax.text.WordTokenizer`: for
 * the demo, where no server makes tokens of texts.
 */

/**
 * @typedef {object} Vocabulary
 * @property {string[]} words in lower case; word i has the id i + 1
 * @property {number} context_length ids of a text, those of start and end included
 */

/**
 * @typedef {object} Tokens
 * @property {number[]} ids as many as the context is long, zeros behind the end
 * @property {string[]} unknown words that the model has not learned, each once
 * @property {number} left words that are too many for the context
 */

// Words that say nothing alone.
const ARTICLES = new Set(["a", "an", "the", "of", "on", "at", "in"]);
// As CLIP splits: contractions, words, single digits, and the rest without spaces.
const PIECES = /'(?:s|t|re|ve|m|ll|d)|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+/gu;
const QUOTES = /[\u2018\u2019\u201a\u201b\u02bc]/gu;
// Entities of HTML: numbers, and the names that copied text has. Python knows 2,231 names.
const ENTITIES = /&(?:#x([0-9a-f]{1,6})|#(\d{1,7})|(amp|lt|gt|quot|apos|nbsp|eacute|egrave|agrave|ccedil|ntilde|auml|ouml|uuml|szlig|rsquo|lsquo|ndash|mdash));/giu;
/** @type {Record<string, string>} */
const NAMED = {
  amp: "&", lt: "<", gt: ">", quot: '"', apos: "'", nbsp: " ", eacute: "é", egrave: "è", agrave: "à", ccedil: "ç",
  ntilde: "ñ", auml: "ä", ouml: "ö", uuml: "ü", szlig: "ß", rsquo: "'", lsquo: "'", ndash: "–", mdash: "—",
};

/**
 * @param {string} text
 * @param {Vocabulary} vocabulary
 * @returns {Tokens | null} null if the model knows no word of the text
 */
export function tokensOf(text, { words, context_length }) {
  const pieces = clean(text).match(PIECES) ?? [];
  const ids = new Map(words.map((word, i) => [word, i + 1]));
  const unknown = [...new Set(pieces.filter((piece) => !ids.has(piece)))];
  if (!pieces.some((piece) => ids.has(piece) && !ARTICLES.has(piece))) return null;
  const [other, start, end] = [1, 2, 3].map((i) => words.length + i);
  const kept = pieces.slice(0, context_length - 2);
  const row = [start, ...kept.map((piece) => ids.get(piece) ?? other), end];
  return {
    ids: [...row, ...new Array(context_length - row.length).fill(0)],
    unknown,
    left: pieces.length - kept.length,
  };
}

/**
 * @param {Vocabulary} vocabulary
 * @returns {string} some of its words, for a message
 */
export function someWords({ words }) {
  const known = words.filter((word) => !ARTICLES.has(word) && /^\p{L}{3,}$/u.test(word));
  const step = Math.max(1, Math.floor(known.length / 8));
  return known.filter((_, i) => i % step === 0).slice(0, 8).join(", ");
}

/**
 * @param {string} text
 * @returns {string} in lower case, without entities, with plain quotes and letters of one width
 */
function clean(text) {
  // Twice, as captions from the web are often escaped twice.
  return unescape(unescape(text)).normalize("NFKC").replace(QUOTES, "'").toLowerCase();
}

/**
 * @param {string} text
 * @returns {string}
 */
function unescape(text) {
  return text.replace(ENTITIES, (_, hex, decimal, name) => {
    if (name) return NAMED[name.toLowerCase()];
    const code = hex ? parseInt(hex, 16) : Number(decimal);
    return code > 0 && code <= 0x10ffff && (code < 0xd800 || code > 0xdfff) ? String.fromCodePoint(code) : "\ufffd";
  });
}
