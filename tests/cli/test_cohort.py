"""`medimagenet cohort` against the figures of IDC version 25, and against the patients that were written."""


def test_public(call):
    arguments = ("cohort", "--collection", "soft_tissue_sarcoma", "--modalities", "CT,PT,RTSTRUCT")
    document = call(*arguments, "--json").document
    assert document["patients"] == 51
    assert document["commercial"] is True
    text = call(*arguments).out
    assert "with CT, PT, RTSTRUCT: 51 patients" in text
    assert "commercial use: allowed" in text
    assert "unknown: PET that can be given as SUV: side index pt_index, not here yet" in text


def test_own_index_with_a_recipe(call, chain):
    document = call("cohort", chain.index, "--recipe", chain.recipe, "--json").document
    assert document["modalities"] == ["CT", "RTSTRUCT"]
    assert document["patients"] == document["samples"] == len(chain.truths)
    assert document["rois"]["annotations"] == len(chain.truths)
    assert "have a ROI for every class" in call("cohort", chain.index, "--recipe", chain.recipe).out


def test_images_of_one_sex_and_age(call):
    arguments = ("cohort", "--collection", "nsclc_radiomics", "--modalities", "CT,RTSTRUCT", "--json")
    women = call(*arguments, "--sex", "F", "--age", "18", "60").document
    assert 0 < women["studies"] < call(*arguments, "--sex", "F").document["studies"] < 422


def test_wrong_usage(call):
    for arguments, says in (((), "--modalities"), (("--modalities", "CT,PET"), "DICOM calls it PT")):
        answer = call("cohort", *arguments)
        assert (answer.code, answer.out) == (2, "")
        assert says in answer.err
