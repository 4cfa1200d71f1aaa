"""Text out of HTML, as archives put it into descriptions and citations."""

from html.parser import HTMLParser

_UNSEEN = frozenset({"script", "style", "template", "head"})
_INLINE = frozenset({"a", "abbr", "b", "cite", "code", "em", "font", "i", "mark", "q", "small", "span", "strong", "u"})
_RAISED = frozenset({"sub", "sup"})


class _Text(HTMLParser):
    """Collects what a reader would see."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._unseen = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._unseen += tag in _UNSEEN
        self._part(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._part(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in _UNSEEN:
            self._unseen = max(0, self._unseen - 1)
        self._part(tag)

    def handle_data(self, data: str) -> None:
        if not self._unseen:
            self.parts.append(data)

    def _part(self, tag: str) -> None:
        if tag not in _INLINE and tag not in _RAISED:  # a paragraph, a line, a cell: words on both sides stay apart
            self.parts.append(" ")


def plain_text(markup: str | None) -> str | None:
    """Text without tags and entities, on one line; None where nothing is left.

    Examples
    --------
    >>> plain_text("<p>CT &amp; PET</p><p>of 51&nbsp;patients</p>")
    'CT & PET of 51 patients'
    """
    if not markup:
        return None
    parser = _Text()
    parser.feed(markup)
    parser.close()
    return " ".join("".join(parser.parts).split()) or None
