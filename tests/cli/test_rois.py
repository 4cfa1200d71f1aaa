"""`medimagenet rois` on the patients that were written."""


def test_names_with_what_they_mean(call, chain):
    document = call("rois", chain.index, "--json").document
    assert document["objects"] == 4
    liver = next(roi for roi in document["rois"] if roi["name"].lower() == "liver")
    assert (liver["tg263"], liver["patients"]) == ("Liver", 4)
    assert document["classes"] == []


def test_what_a_recipe_takes(call, chain):
    answer = call("rois", chain.index, "--recipe", chain.recipe)
    assert answer.code == 0
    assert "taken by" in answer.out
    assert "names in 4 objects" in answer.out
    document = call("rois", chain.index, "--recipe", chain.recipe, "--json").document
    assert [(each["label"], each["nothing"]) for each in document["classes"]] == [("liver", 0), ("tumour", 0)]


def test_a_recipe_that_is_none(call, chain):
    answer = call("rois", chain.index, "--recipe", chain.index)
    assert (answer.code, answer.out) == (1, "")
