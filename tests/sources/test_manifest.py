"""Manifests that are wrong: the line, the key and the value are named."""

import pytest

from medimagenet.errors import SourceError
from medimagenet.sources.manifest import read_manifest_file

GOOD = """\
source: zenodo
record: 7860267
collection_id: spleens
format: nifti
license: CC-BY-4.0
"""


def read(tmp_path, text):
    path = tmp_path / "m.yaml"
    path.write_text(text)
    return read_manifest_file(path)


def test_a_good_one(tmp_path):
    manifest = read(tmp_path, GOOD + "include: ['*.nii.gz']\nfiles:\n- {path: a/b.nii.gz, bytes: 3}\n")
    assert (manifest.record, manifest.files[0].bytes) == (7860267, 3)
    assert manifest.wants("a/b.nii.gz")
    assert not manifest.wants("a/c.nii.gz")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD + "licence: x\n", r"m\.yaml, line 6: licence is 'x'"),
        (GOOD.replace("zenodo", "zendo"), r"line 1: source is 'zendo': unknown value 'zendo', did you mean 'zenodo'"),
        (GOOD.replace("license: CC-BY-4.0", ""), "license is missing"),
        (GOOD.replace("CC-BY-4.0", "' '"), "line 5: license is"),
        (GOOD.replace("record: 7860267", "record: newest"), "line 2: record is 'newest'"),
        (GOOD.replace("record: 7860267\n", ""), "source zenodo needs record"),
        (GOOD + "bucket: b\n", "bucket is of source s3, not of zenodo"),
        (GOOD + "files:\n- path: ../x\n", r"line 7: files\.0\.path is '\.\./x': must be a path below"),
        (GOOD + "files:\n- path: /x\n", "must be a path below"),
        (GOOD + "files:\n- path: x\n  md5: 12\n", r"line 8: files\.0\.md5 is 12"),
        (GOOD + "files:\n- path: x\n  bytes: -1\n", r"line 8: files\.0\.bytes is -1"),
        (GOOD + "files:\n- path: x\n  url: file:///etc/passwd\n", "must be an address that begins with https://"),
        (GOOD + "files:\n- path: x\n- path: x\n", "file x is there twice"),
        (GOOD.replace("source: zenodo\nrecord: 7860267", "source: http\nfiles: [{path: x}]"), "file x needs a url"),
        (GOOD + "pairs: {images: '(', labels: x}\n", r"line 6: pairs\.images is '\(': is no regular expression"),
        (GOOD + "pairs: {images: 'x', labels: x}\n", "needs a group"),
        (GOOD + "record: 2\n", "line 6: 'record' is there twice"),
        ("- a\n", "must be a mapping of keys to values"),
        ("a: [", "not YAML"),
    ],
)
def test_wrong_ones(tmp_path, text, message):
    with pytest.raises(SourceError, match=message):
        read(tmp_path, text)
