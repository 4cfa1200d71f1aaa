"""`medimagenet inspect` against the truth of the patients."""

import pytest
from PIL import Image

from medimagenet import open_store


def test_json_has_the_volumes_of_the_organs(call, chain):
    document = call("inspect", chain.store, "--json").document
    assert (document["samples"], document["classes"]) == (3, ["liver", "tumour"])
    assert document["licenses"] == {"CC0-1.0": 3}
    found = sorted(row["classes"]["liver"]["volume_mm3"] for row in document["rows"])
    true = sorted(truth.volumes_mm3["liver"] for truth in chain.truths[1:])
    assert found == pytest.approx(true, rel=0.2)  # voxels of 9 x 10 x 14 mm


def test_table_for_people(call, chain):
    answer = call("inspect", chain.store)
    assert (answer.code, answer.err) == (0, "")
    for name in open_store(chain.store).ids():
        assert name in answer.out
    assert "40 × 36 × 16" in answer.out
    assert "licences: CC0-1.0 3" in answer.out


def test_picture(call, chain, tmp_path):
    sample = open_store(chain.store).ids()[0]
    document = call("inspect", chain.store, "--plot", tmp_path / "p.png", "--sample", sample, "--json").document
    assert (document["plot"], document["plotted"]) == (str(tmp_path / "p.png"), [sample])
    assert [row["sample_id"] for row in document["rows"]] == [sample]
    assert Image.open(tmp_path / "p.png").width > 900


def test_a_sample_that_is_not_there_is_wrong_usage(call, chain, tmp_path):
    answer = call("inspect", chain.store, "--plot", tmp_path / "p.png", "--sample", "nobody")
    assert answer.code == 2
    assert "no sample 'nobody'" in answer.err
    assert list(tmp_path.iterdir()) == []


def test_fail_on_findings(call, chain):
    assert call("inspect", chain.store, "--fail-on", "error").code == 0
