"""Repairs text before it is split into tokens, as the package ftfy does.

CLIP's tokenizer begins with `ftfy.fix_text`, and the tokens of curly quotes, full-width
letters, ligatures, HTML or control characters follow from it. Where ftfy is installed
(the extra `text`), it is called. Elsewhere all of its steps are done here but one: text
that was decoded in the wrong encoding ("schÃ¶n") is left as it is.
"""

import functools
import html
import html.entities
import re
import unicodedata
from collections.abc import Mapping


def fix_text(text: str) -> str:
    """Returns the text as `ftfy.fix_text` does, in the normalization form NFC."""
    try:
        import ftfy  # pyright: ignore[reportMissingImports]
    except ImportError:
        return fix_without_ftfy(text)
    return ftfy.fix_text(text)


def fix_without_ftfy(text: str) -> str:
    """Returns the text as `ftfy.fix_text` does, but for wrongly decoded text."""
    fixed, unescape = [], True
    # Line by line: from the first line with a tag on, HTML is left as it is.
    for line in re.findall(r"[^\n]*\n|[^\n]+", text):
        unescape = unescape and "<" not in line
        fixed.append(_fix_line(line, unescape))
    return "".join(fixed)


def _fix_line(text: str, unescape: bool) -> str:
    """Repeats the steps until nothing changes, as one may make another necessary."""
    while True:
        before = text
        if unescape and "<" not in text:
            text = ENTITY.sub(_unescape, text)
        text = C1_CONTROLS.sub(_from_windows_1252, text)
        text = text.translate(_character_table())
        text = text.replace("\r\n", "\n")
        text = LINE_BREAKS.sub("\n", text)
        text = SURROGATE_PAIR.sub(_join_surrogates, text)
        text = SURROGATE.sub("\ufffd", text)
        text = TERMINAL_ESCAPE.sub("", text)
        text = CONTROLS.sub("", text)
        text = unicodedata.normalize("NFC", text)
        if text == before:
            return text


def _unescape(match: re.Match[str]) -> str:
    """Decodes an HTML entity that ends in a semicolon; others stay."""
    name = match[0]
    if name.startswith("&#"):
        decoded = html.unescape(name)
        return name if ";" in decoded else decoded
    return _entities().get(name, name)


@functools.cache
def _entities() -> Mapping[str, str]:
    """Returns the entities of HTML 5, and those in capitals that are no other entity."""
    entities = {}
    for name, character in html.entities.html5.items():
        if not name.endswith(";"):
            continue
        entities["&" + name] = character
        capitals = "&" + name.upper()
        if name == name.lower() and html.unescape(capitals) == capitals:
            entities[capitals] = character.upper()
    return entities


def _from_windows_1252(match: re.Match[str]) -> str:
    byte = match[0].encode("latin-1")
    try:
        return byte.decode("windows-1252")
    except UnicodeDecodeError:
        return match[0]


@functools.cache
def _character_table() -> Mapping[int, str]:
    """Returns the characters that are replaced one by one.

    Ligatures, then full and half width, then curly quotes: a ligature's letters may be
    a quote (U+0149).
    """
    table = {0x3000: " "}
    for code in range(0xFF01, 0xFFF0):
        table[code] = unicodedata.normalize("NFKC", chr(code))
    # Ligatures and digraphs of Latin letters; the long s stays in its ligature.
    for code in (0x132, 0x133, *range(0x1C4, 0x1CD), *range(0x1F1, 0x1F4)):
        letters = unicodedata.normalize("NFKC", chr(code))
        table[code] = letters
    for code in (0xFB00, 0xFB01, 0xFB02, 0xFB03, 0xFB04, 0xFB06):
        table[code] = unicodedata.normalize("NFKC", chr(code))
    table |= {0xFB05: "\u017ft", 0x149: "'n"}
    table |= dict.fromkeys((0x2BC, *range(0x2018, 0x201C)), "'")
    return table | dict.fromkeys(range(0x201C, 0x2020), '"')


def _join_surrogates(match: re.Match[str]) -> str:
    return match[0].encode("utf-16-le", "surrogatepass").decode("utf-16-le")


ENTITY = re.compile(r"&#?[0-9A-Za-z]{1,24};")
C1_CONTROLS = re.compile("[\x80-\x9f]")
LINE_BREAKS = re.compile("[\r\u2028\u2029\u0085]")
SURROGATE_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")
SURROGATE = re.compile("[\ud800-\udfff]")
TERMINAL_ESCAPE = re.compile("\033\\[[\\d;]*[a-zA-Z]")
CONTROLS = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f\u206a-\u206f\ufeff\ufff9-\ufffc]")
