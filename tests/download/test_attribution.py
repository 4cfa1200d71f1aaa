"""ATTRIBUTION.md."""

from medimagenet.download.attribution import attribution_text
from medimagenet.download.journal import SCHEMA, Downloaded


def record(**values) -> Downloaded:
    fields = dict.fromkeys(SCHEMA.names) | {"source": "idc", "collection_id": "lung", "SeriesInstanceUID": "1.2"}
    return Downloaded(**fields | values)


RECORDS = [
    record(license="CC BY 4.0", doi="10.1/a", license_url="https://creativecommons.org/licenses/by/4.0/"),
    record(license="CC BY 4.0", doi="10.1/a", license_url="https://creativecommons.org/licenses/by/4.0/"),
    record(license="CC BY-NC 3.0", doi="10.1/b", citation="Somebody (2015). Lungs."),
    record(license="CC BY 4.0", analysis_result_id="nodules", doi="https://doi.org/10.1/c"),
    record(collection_id=None, source="dicomweb"),
    record(license="CC0", agreement="https://example.org/terms"),
]


def test_the_text():
    text = attribution_text(RECORDS)
    headings = [line for line in text.splitlines() if line.startswith("## ")]
    assert headings == ["## CC0", "## unknown licence", "## CC BY-NC 3.0", "## CC BY 4.0", "## CC BY 4.0"]
    assert "Bound by an agreement: <https://example.org/terms>" in text
    assert "- **lung** (idc): 2 series. Cite: <https://doi.org/10.1/a>" in text
    assert "- **lung** (idc): 1 series. Cite: Somebody (2015). Lungs." in text
    assert "- **nodules** (idc): 1 series. Cite: <https://doi.org/10.1/c>" in text
    assert "- **no collection named** (dicomweb): 1 series. No DOI known." in text
    assert "<https://creativecommons.org/licenses/by/4.0/>" in text


def test_any_order_gives_the_same():
    assert attribution_text(RECORDS) == attribution_text(RECORDS[::-1])
