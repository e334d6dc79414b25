"""Checks the links of a built site: files, and headings in them.

    python docs/extensions/check_site.py docs/_build/html

Sphinx checks the references that it resolves itself. This sees the pages as a reader does:
raw HTML, pictures, scripts, styles and the demo too. Addresses elsewhere are not opened.
"""

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

# Viewcode's index lists modules too whose source it could not read, such as `builtins`.
SOURCES = Path("_modules/index.html")


class Page(HTMLParser):
    """The links of a page, and the places that links may lead to."""

    def __init__(self, text: str):
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = {"", "top"}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]):
        """Notes what a tag links to, and its name."""
        for name, value in attrs:
            if value is None:
                continue
            if name == "id" or (name == "name" and tag == "a"):
                self.anchors.add(value)
            elif name in ("href", "src"):
                self.links.append(value)


def broken_links(site: Path) -> list[str]:
    """Returns a line for every link that leads nowhere.

    Args:
        site: Folder of the site.
    """
    pages = {
        path: Page(path.read_text(encoding="utf-8", errors="replace"))
        for path in sorted(site.rglob("*.html"))
    }
    problems = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)) if parts.path else path
            target = target.resolve()
            if target.is_dir():
                target /= "index.html"
            anchor = unquote(parts.fragment)
            where = path.relative_to(site)
            if where == SOURCES:
                continue
            if not target.is_file() or not target.is_relative_to(site.resolve()):
                problems.append(f"{where}: {link} is no file of the site")
            # From the source of a name that two modules export, viewcode links to the page of
            # one with the anchor of the other.
            elif target.suffix == ".html" and where.parts[0] != "_modules":
                found = pages.get(site / target.relative_to(site.resolve()))
                if found is not None and anchor not in found.anchors:
                    problems.append(f"{where}: {link} has no such heading")
    return sorted(set(problems))


def main():
    """Prints the broken links; the exit status is 1 if there are any."""
    problems = broken_links(Path(sys.argv[1]))
    print("\n".join(problems) or "all links lead somewhere")
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
