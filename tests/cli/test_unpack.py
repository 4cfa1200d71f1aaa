"""`medimagenet unpack`, then `index nmdid:`: the way from case zips to rows."""

import zipfile

from medimagenet.store.agreements import NMDID


def test_cases_are_unpacked_and_indexed(call, chain, tmp_path):
    files = sorted((chain.folder / "dicom").rglob("CT*/*")) or sorted((chain.folder / "dicom").rglob("*.dcm"))
    folder = files[0].parent
    with zipfile.ZipFile(tmp_path / "case-100010.zip", "w") as archive:
        for path in folder.iterdir():
            archive.write(path, f"case-100010/omi/incomingdir/case-100010/STANDARD_TORSO/BONE_TORSO/{path.name}")
    (tmp_path / "case-100011.zip").write_bytes(b"<html>Sign in</html>")
    packed = call("index", f"nmdid:{tmp_path}", "-o", tmp_path / "packed.parquet", "--json")
    assert "packed_files" in {finding["code"] for finding in packed.document["findings"]}
    assert "case-100011.zip" in (tmp_path / "packed.report.csv").read_text()
    answer = call("unpack", tmp_path / "case-100010.zip", "--to", tmp_path / "out", "--json")
    assert answer.document == {"folders": [str(tmp_path / "out" / "case-100010")]}
    assert "nmdid:" in call("unpack", tmp_path / "case-100010.zip", "--to", tmp_path / "out").out
    found = call("index", f"nmdid:{tmp_path / 'out'}", "-o", tmp_path / "x.parquet", "--json")
    assert "packed_files" not in {finding["code"] for finding in found.document["findings"]}
    rows = call("search", tmp_path / "x.parquet", "--json").document["series"]
    assert {row["agreement"] for row in rows} == {NMDID.address}
    assert NMDID.address in call("search", tmp_path / "x.parquet", "--parquet", tmp_path / "y.parquet").err
    assert call("search", tmp_path / "x.parquet", "--manifest", tmp_path / "y.tcia").code == 2
    assert sum(row["n_instances"] for row in rows) == len(list(folder.iterdir()))


def test_a_hostile_archive(call, tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("../evil", "x")
    answer = call("unpack", tmp_path / "x.zip", "--to", tmp_path / "out")
    assert (answer.code, answer.out) == (1, "")
    assert "damaged or hostile" in answer.err
