"""The text part of a message that came as HTML only: what a reader without HTML gets. Pure.

Tables lay out most mail, so their cells are read one after another: drawn as tables, two cells of a
hostile one grow to gigabytes.
"""

from functools import cache
from typing import Any, Final

HTML_LIMIT: Final = 128 * 1024
"""Characters of HTML from which a text is made; mail programs show little more (Gmail 102 KB)."""

_ROWS: Final = ("table", "tr", "thead", "tbody", "tfoot", "caption")
_CELLS: Final = ("td", "th")


def text_of(source: str) -> str:
    """Give the text of an HTML body, links as [words](URL); "" where none can be made of it."""
    if len(source) > HTML_LIMIT or not source.strip():
        return ""
    try:
        text = _made(source)
    except (ValueError, RecursionError):
        return ""
    lines = [line.rstrip() for line in text.strip("\n").split("\n")]
    return "\n".join(lines) + "\n" if any(lines) else ""


def _made(source: str) -> str:
    """Read and write; ValueError for what is no document at all."""
    from inscriptis import Inscriptis  # when first needed: most processes never do
    from lxml import etree, html

    try:
        tree = html.fromstring(source.encode(), parser=html.HTMLParser(encoding="utf-8"))
    except etree.LxmlError as error:
        raise ValueError("not HTML") from error
    for row in tree.iter(*_ROWS):
        row.tag = "div"
    for cell in tree.iter(*_CELLS):
        cell.tag, cell.tail = "span", f" {cell.tail or ''}"
    text: str = Inscriptis(tree, _words()).get_text()
    return text


@cache
def _words() -> Any:
    from inscriptis.css_profiles import CSS_PROFILES
    from inscriptis.model.config import ParserConfig

    return ParserConfig(CSS_PROFILES["strict"], display_links=True)
