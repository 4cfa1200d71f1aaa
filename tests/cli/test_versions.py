"""Versions that are here, as `medimagenet update --list` and `--remove` tell of them."""


def test_side_indices_are_listed_and_bytes_counted(call, with_sides):
    document = call("update", "--list", "--json").document
    (one,) = document["versions"]
    assert (one["version"], one["installed"], one["opened"], one["pinned"]) == ("25.0.5", True, True, False)
    assert "pt_index" in one["side_indices"]
    folder = with_sides / "index" / "idc-25.0.5"
    assert one["fetched_bytes"] == sum(path.stat().st_size for path in folder.glob("*.parquet"))
    assert "opened, installed" in call("update", "--list").out


def test_the_installed_one_is_not_removed(call, small_idc):
    answer = call("update", "--remove", "25")
    assert (answer.code, answer.out) == (2, "")
    assert "that of the installed package" in answer.err
