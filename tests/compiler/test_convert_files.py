"""Safe names of files."""

from medimagenet.compiler.convert_files import SafeNames, safe_name


def test_names_are_safe_and_differ_in_more_than_case():
    names = SafeNames()
    assert [names.of(name) for name in ("GTV 1", "gtv/1", "GTV_1", "...", "ä")] == [
        "GTV_1",
        "gtv_1_2",
        "GTV_1_3",
        "unnamed",
        "unnamed_2",
    ]
    assert len(safe_name("x" * 500)) == 80
