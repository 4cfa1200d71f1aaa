"""Names as public collections use them."""

import pytest

from medimagenet.sources.nifti_names import images_of, is_nifti, joined, read_name, stem_of


@pytest.mark.parametrize(
    ("path", "case", "is_label", "channel", "modality"),
    [
        ("Task09_Spleen/imagesTr/spleen_2.nii.gz", "spleen_2", False, None, None),  # Decathlon
        ("Task09_Spleen/labelsTr/spleen_2.nii.gz", "spleen_2", True, None, None),
        ("Dataset001/imagesTr/BRATS_001_0003.nii.gz", "BRATS_001", False, 3, None),  # nnU-Net
        ("imagesTs/case_0000.nii", "case", False, 0, None),
        ("AMOS/imagesVa/amos_0001.nii.gz", "amos", False, 1, None),
        ("BraTS20_001/BraTS20_001_t1ce.nii.gz", "BraTS20_001", False, None, "MR"),
        ("BraTS20_001/BraTS20_001_seg.nii.gz", "BraTS20_001", True, None, None),
        ("P7/ct.nii.gz", "P7", False, None, "CT"),
        ("P7/PET_mask.nii.gz", "P7", True, None, "PT"),
        ("P7/GTV.nii.gz", "GTV", False, None, None),
        ("P7/ct_pet.nii.gz", "P7", False, None, None),  # two words for modalities: not guessed
        ("volume-0.nii", "0", False, None, None),  # LiTS
    ],
)
def test_what_a_name_tells(path, case, is_label, channel, modality):
    name = read_name(path)
    assert (name.case, name.is_label, name.channel, name.modality) == (case, is_label, channel, modality)


def test_a_label_belongs_to_images_of_its_case_split_and_modality():
    paths = [
        *(
            "d/imagesTr/a_0000.nii.gz",
            "d/imagesTr/a_0001.nii.gz",
            "d/imagesTs/a_0000.nii.gz",
            "d/imagesTr/b_0000.nii.gz",
        ),
        *("P/ct.nii.gz", "P/pet.nii.gz", "Q/ct.nii.gz"),
    ]
    names = [read_name(path) for path in paths]

    def found(path):
        return [image.path for image in images_of(read_name(path), names)]

    assert found("d/labelsTr/a.nii.gz") == paths[:2]
    assert found("d/labelsTs/b.nii.gz") == []
    assert found("P/seg.nii.gz") == paths[4:6]
    assert found("P/pet_seg.nii.gz") == paths[5:6]


def test_endings():
    assert is_nifti("A.NII.GZ") and is_nifti("a.nii") and not is_nifti("nii.gz.txt")
    assert [stem_of(path) for path in ("x/a.b.nii.gz", "a.NII", "a.txt")] == ["a.b", "a", "a.txt"]


@pytest.mark.parametrize(
    ("paths", "wanted"),
    [
        (["P1/ct.nii.gz", "P1/mask_lung_left.nii.gz"], ("P1", "P1", "lung_left")),
        (["P1/P1/CT.nii.gz", "P1/P1/mask_GTV-1.nii.gz"], ("P1/P1", "P1", "GTV_1")),
        (["s1/ct.nii.gz", "s1/segmentations/rib_left_1.nii.gz"], ("s1", "s1", "rib_left_1")),  # TotalSegmentator
        (["a/P1_ct.nii", "a/P2_ct.nii", "a/P2_seg_liver.nii"], ("a", "P2", "liver")),
        (["a/P1_ct.nii", "a/P1_2_ct.nii", "a/P1_2_seg_liver.nii"], ("a", "P1_2", "liver")),
        (["a/P1_ct.nii", "a/P1_seg.nii"], ("a", "P1", None)),
        (["a/P1_ct.nii", "a/P2_ct.nii", "a/mask_liver.nii"], ("a", "liver", None)),  # of whom?
        (["d/imagesTr/a_0000.nii", "d/imagesTr/b_0000.nii", "d/labelsTr/c.nii"], ("d/tr", "c", None)),
        (["P1/x.nii", "P1/mask_liver.nii"], ("P1", "liver", None)),  # an image of what?
    ],
)
def test_labels_that_name_what_they_label_are_of_their_image(paths, wanted):
    *_, label = joined([read_name(path) for path in paths])
    assert (label.group, label.case, label.region) == wanted
