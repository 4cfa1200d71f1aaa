"""Text out of HTML, as a reader would see it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medimagenet.sources.markup import plain_text


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("<p>CT &amp; PET</p><p>of 51&nbsp;patients</p>", "CT & PET of 51 patients"),
        ("one<br>two<br/>three", "one two three"),
        ("10<sup>6</sup> of <em>them</em>, <a href='https://x?a=1&b=2'>here</a>.", "106 of them, here."),
        ("<style>p {color: red}</style><script>alert(1)</script>seen", "seen"),
        ("a < b and c > d", "a < b and c > d"),
        ("&lt;not a tag&gt; &#8211; &eacute;", "<not a tag> – é"),
        ("<!-- hidden -->shown", "shown"),
        ("<p> </p>", None),
        ("", None),
        (None, None),
    ],
)
def test_what_a_reader_sees(markup, text):
    assert plain_text(markup) == text


@given(st.text(alphabet=st.characters(exclude_characters="<>&\0", exclude_categories=("Cs",)), min_size=1))
def test_text_without_markup_keeps_its_words(text):
    assert (plain_text(text) or "").split() == text.split()
