"""`medimagenet samples` against the patients that were written."""


def test_json_has_the_series_of_each_patient(call, chain):
    document = call("samples", chain.index, "--modalities", "CT,RTSTRUCT", "--json").document
    assert document["missing"] == []
    found = {sample["patient_id"]: sample["series"] for sample in document["samples"]}
    assert found == {
        truth.patient_id: {modality: uid for modality, (uid,) in truth.series_uids.items()} for truth in chain.truths
    }


def test_table_for_people(call, chain):
    answer = call("samples", chain.index, "--modalities", "CT,RTSTRUCT")
    assert answer.code == 0
    assert answer.out.count("40×36×16") == 3
    assert "liver" in answer.out
    assert "missing_slices" in answer.out
    assert "4 samples" in answer.out


def test_what_is_missing(call, chain):
    answer = call("samples", chain.index, "--modalities", "CT,PT", "--missing")
    assert answer.out.count("no PT") == 4
    assert "4 series in none: no PT" in call("samples", chain.index, "--modalities", "CT,PT").out


def test_no_modality_is_wrong_usage(call, chain):
    answer = call("samples", chain.index, "--modalities", "")
    assert (answer.code, answer.out) == (2, "")


def test_every_series_is_explained(call, chain):
    answer = call("samples", chain.index, "--modalities", "CT,RTSTRUCT", "--explain")
    assert answer.out.count("refers to the CT") == 4
    assert "4 leads, 4 taken" in answer.out
    document = call("samples", chain.index, "--modalities", "CT,PT", "--explain", "--json").document
    assert {each["outcome"] for each in document["explained"]} == {"in none"}
    assert {each["reason"] for each in document["explained"]} == {"no PT in the index"}
