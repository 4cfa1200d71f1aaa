"""The table of notebooks: what a parser of HTML reads."""

from html.parser import HTMLParser

from medimagenet.index.html import html_table


class Cells(HTMLParser):
    def __init__(self):
        super().__init__()
        self.texts = []

    def handle_data(self, data):
        self.texts.append(data)


def test_what_is_shown_is_text():
    parser = Cells()
    parser.feed(html_table(["a", "b"], [("<script>", 1), (None, "&")], total=12345))
    assert parser.texts == ["a", "b", "<script>", "1", "&", "12,345 series"]
