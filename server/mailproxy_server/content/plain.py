"""The text part of a message that came as HTML only: what a reader without HTML gets. Pure.

Tables lay out most mail, so their cells are read one after another: drawn as tables, two cells of a
hostile one grow to gigabytes.
"""

from typing import Final

from inscriptis import Inscriptis
from inscriptis.css_profiles import CSS_PROFILES
from inscriptis.model.config import ParserConfig
from lxml import etree, html

HTML_LIMIT: Final = 128 * 1024
"""Characters of HTML from which a text is made; mail programs show little more (Gmail 102 KB)."""

_ROWS: Final = ("table", "tr", "thead", "tbody", "tfoot", "caption")
_CELLS: Final = ("td", "th")
_WORDS: Final = ParserConfig(CSS_PROFILES["strict"], display_links=True)


def text_of(source: str) -> str:
    """Give the text of an HTML body, links as [words](URL); "" where none can be made of it."""
    if len(source) > HTML_LIMIT or not source.strip():
        return ""
    try:
        tree = html.fromstring(source.encode(), parser=html.HTMLParser(encoding="utf-8"))
        for row in tree.iter(*_ROWS):
            row.tag = "div"
        for cell in tree.iter(*_CELLS):
            cell.tag, cell.tail = "span", f" {cell.tail or ''}"
        text = Inscriptis(tree, _WORDS).get_text()
    except (etree.LxmlError, ValueError, RecursionError):
        return ""
    lines = [line.rstrip() for line in text.strip("\n").split("\n")]
    return "\n".join(lines) + "\n" if any(lines) else ""
