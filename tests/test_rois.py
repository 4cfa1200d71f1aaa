"""Matching of region names: examples that a person decides, and laws."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medimagenet.rois import check_pattern, match_rois, tg263_name, tg263_names

NAMES = ["GTV-1", "Lung-Left", "Lung-Right", "Spinal-Cord", "GTV_Mass", "Heart"]
names = st.lists(st.text("ab_-L R1", max_size=5), max_size=6)


def test_a_pattern_must_match_the_whole_name():
    assert match_rois(NAMES, {"tumour": ["gtv"]}).classes == {"tumour": ()}
    assert match_rois(NAMES, {"tumour": ["gtv.*"]}).classes == {"tumour": ("GTV-1", "GTV_Mass")}


def test_letter_case_and_outer_blanks_are_ignored():
    assert match_rois(["  gTv-1 "], {"tumour": ["GTV-1"]}).classes == {"tumour": ("  gTv-1 ",)}


def test_patterns_are_tried_in_their_order():
    wanted = {"tumour": ["gtv_.*", "gtv.*"]}
    assert match_rois(NAMES, wanted).classes == {"tumour": ("GTV_Mass", "GTV-1")}
    assert match_rois(NAMES, wanted, several="first").classes == {"tumour": ("GTV_Mass",)}


def test_classes_that_match_nothing_are_missing_and_the_rest_unused():
    match = match_rois(NAMES, {"lungs": ["lung-.*"], "liver": ["liver"], "heart": ["heart"]})
    assert match.missing == ("liver",)
    assert match.unused == ("GTV-1", "Spinal-Cord", "GTV_Mass")


def test_a_region_may_belong_to_two_classes():
    match = match_rois(NAMES, {"organ": ["heart|lung.*"], "heart": ["heart"]})
    assert "Heart" in match.classes["organ"]
    assert match.classes["heart"] == ("Heart",)


def test_a_repeated_name_is_taken_once():
    assert match_rois(["GTV", "GTV"], {"t": ["gtv", "g.*"]}).classes == {"t": ("GTV",)}
    assert match_rois(["X", "X"], {"t": ["gtv"]}).unused == ("X",)


def test_a_pattern_that_is_none_names_class_and_pattern():
    with pytest.raises(ValueError, match=r"'gtv\(' of class 'tumour': not a regular"):
        match_rois(NAMES, {"tumour": ["gtv("]})


@given(names)
def test_a_name_matches_itself_escaped(given_names):
    for name in given_names:
        assert name in match_rois(given_names, {"it": [re.escape(name.strip())]}).classes["it"]


@given(names)
def test_every_name_is_taken_or_unused(given_names):
    match = match_rois(given_names, {"a": ["a.*"], "l": [".*l.*"]})
    taken = {name for group in match.classes.values() for name in group}
    assert taken | set(match.unused) == set(given_names)
    assert not taken & set(match.unused)


@given(names)
def test_first_is_the_first_of_merge(given_names):
    patterns = {"a": ["a.*", ".*"]}
    merged = match_rois(given_names, patterns).classes["a"]
    assert match_rois(given_names, patterns, several="first").classes["a"] == merged[:1]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Lung_L", "Lung_L"),
        ("Lung-Left", "Lung_L"),
        ("LT LUNG", "Lung_L"),
        ("LungRight", "Lung_R"),
        ("RLung", "Lung_R"),
        ("parotidleft", "Parotid_L"),
        ("PAROTID GLAND RT", "Parotid_R"),
        ("Lungs", "Lungs"),
        ("lung total", "Lungs"),
        ("Spinal-Cord", "SpinalCord"),
        ("SPINAL CORD", "SpinalCord"),
        ("Oesophagus", "Esophagus"),
        ("small_bowel", "Bowel_Small"),
        ("Optic Nerve L", "OpticNrv_L"),
        ("Left femoral head", "Femur_Head_L"),
        ("Femoral heads", None),  # the worksheet has no name for both
        ("Optic nerves", "OpticNrv"),
        ("Nasal Cavity", "Cavity_Nasal"),
        ("left maxillary sinus", "Sinus_Maxilry_L"),
        ("BODY", "Body"),
        ("Ventricles", None),  # of the heart in the worksheet, of the brain for many
        ("Rückenmark", "SpinalCord"),
        ("Speiseröhre", "Esophagus"),
        ("Œsophage", None),
        ("Cochlear", None),
        ("SCAPULAR", None),
        ("corneal", None),
        ("CochleaR", "Cochlea_R"),
        ("COCHLEA_R", "Cochlea_R"),
        ("GTV-1", "GTV"),
        ("GTVp", "GTVp"),
        ("PTV 70 Gy", "PTV"),
        ("IGTV", "IGTV"),
        ("Lung", None),
        ("Lung left right", None),
        ("Heart PRV", None),
        ("SpinalCord_PRV05", None),
        ("Lungs-GTV", None),
        ("PTV minus GTV", None),
        ("gtv_mass", "GTV"),
        ("GTV_Mass_CT", "GTV"),
        ("GTV_Mass_MR_T1", "GTV"),
        ("GTV_Left", "GTV"),
        ("GTV nodes", "GTVn"),
        ("GTVp node", "GTVp"),
        ("iGTV", "IGTV"),
        ("PTV_7000cGy", "PTV"),
        ("PTV-03", "PTV"),
        ("GTV_Edema", None),
        ("GTV+5", None),
        ("GTV + 5mm", None),
        ("PTV1+2", None),
        ("PTV-CTV", None),
        ("CTV_PTV", None),
        ("CTV-GTV", None),
        ("PTV_eval", None),
        ("PTV ring", None),
        ("zPTV", None),
        ("not_PTV", None),
        ("GTV tumour bed", None),
        ("Lungs_GTV", None),
        ("Lung_R-GTV", None),
        ("Liver-GTV", None),
        ("CORD+5", None),
        ("i", None),
        ("Renal", None),
        ("", None),
        ("12", None),
    ],
)
def test_spellings_of_structures(name, expected):
    assert tg263_name(name) == expected


def test_the_vocabulary_knows_its_own_names_and_keeps_to_the_standards_form():
    names = tg263_names()
    assert len(names) > 150
    for name in names:
        assert tg263_name(name) == name
        assert re.fullmatch(r"[A-Z][A-Za-z]*(_[A-Z][A-Za-z]*)*", name)
        assert len(name) <= 16  # as TG-263 demands, for planning systems that hold no more


# The AAPM's nomenclature worksheet of 2017-08-15, "TG263-Primary Name", of the structures that the vocabulary has.
# "/LR" stands for the two names that end in _L and _R; "=" before it: the name without a side is there too.
WORKSHEET = """
A_Aorta A_Aorta_Asc A_Brachiocephls A_Carotid=/LR A_Celiac A_Coronary=/LR A_LAD A_Pulmonary A_Subclavian=/LR
A_Vertebral=/LR Acetabulum/LR Acetabulums Anus Appendix Arytenoid=/LR Atrium=/LR Bag_Bowel BileDuct_Common Bladder Body
Bolus Bone_Hyoid Bone_Mandible Bone_Pelvic=/LR BoneMarrow Bowel Bowel_Large Bowel_Small BrachialPlex/LR BrachialPlexs
Brain Brainstem Brainstem_Core Breast/LR Breasts Bronchus=/LR Bronchus_Main=/LR Canal_Anal Carina Cartlg_Thyroid
CaudaEquina Cavity_Nasal Cavity_Oral Cecum Cerebellum Cerebrum=/LR Cervix Chestwall=/LR Clavicle/LR CN_VIII=/LR
Cochlea=/LR Colon Colon_Sigmoid Cornea=/LR CribriformPlate Cricoid Cricopharyngeus CTV Diaphragm Duodenum
Ear_External/LR Ear_Externals Ear_Internal/LR Ear_Internals Ear_Middle=/LR Esophagus External Eye/LR Eyes Femur/LR
Femur_Head/LR Femur_Neck/LR Femur_Shaft/LR Femurs Gallbladder Genitals Glnd_Adrenal/LR Glnd_Lacrimal=/LR
Glnd_Subling/LR Glnd_Sublings Glnd_Submand/LR Glnd_Submands Glnd_Thymus Glnd_Thyroid Glottis GreatVes GTV Hardpalate
Heart Hemisphere/LR Hemispheres Hippocampi Hippocampus/LR Humerus/LR Hypothalmus Ileum ITV Jejunum Joint_TM=/LR
Kidney/LR Kidneys Larynx Larynx_SG Lens=/LR Lips Liver LN=/LR Lobe_Frontal=/LR Lobe_Occipital=/LR Lobe_Parietal=/LR
Lobe_Temporal=/LR Lung/LR Lung_LLL Lung_LUL Lung_RLL Lung_RML Lung_RUL Lungs Maxilla=/LR Mediastinum Musc_Constrict
Musc_Constrict_I Musc_Constrict_M Musc_Constrict_S Musc_Masseter=/LR Nasopharynx Nose OpticChiasm OpticNrv=/LR Orbit/LR
Oropharynx Ovaries Ovary/LR Palate_Soft Pancreas Parotid/LR Parotids PenileBulb Penis Pericardium Perineum Peritoneum
Pharynx Pituitary Pons Prostate ProstateBed PTV PubicSymphys=/LR Rectum Retina/LR Retinas Rib SacralPlex Sacrum Scalp
Scapula/LR Scar Scrotum SeminalVes Sinus_Ethmoid Sinus_Frontal=/LR Sinus_Maxilry=/LR Sinus_Sphenoid=/LR Skin Skull
Spc_Bowel Sphincter_Anal SpinalCanal SpinalCord Spleen Stomach SurgicalBed Testis=/LR ThecalSac Tongue Tongue_Base=/LR
Tongue_Oral=/LR Tonsil Trachea TumorBed Ureter/LR Ureters Urethra Uterus V_Azygos V_Jugular V_Jugular_Ext/LR
V_Jugular_Int/LR V_Portal V_Pulmonary V_Subclavian/LR V_Subclavians V_Venacava_I V_Venacava_S Vagina
Valve_Aortic Valve_Mitral Valve_Pulmonic Valve_Tricuspid VB Ventricle=/LR VocalCord/LR VocalCords Vulva
"""


def test_every_name_is_one_of_the_worksheet():
    names = set()
    for word in WORKSHEET.split():
        name, sides = word.partition("/")[::2]
        names |= {f"{name.rstrip('=')}_{side}" for side in sides}
        names |= {name.rstrip("=")} if not sides or name.endswith("=") else set()
    assert set(tg263_names()) - {"IGTV", "ICTV"} == names  # those two are in the report, not in the worksheet


def test_structures_of_the_vocabulary_as_patterns():
    names = ["GTV-1", "GTVn", "Lung-Left", "Lung-Right", "Spinal-Cord"]
    wanted = {"tumour": ["tg263:GTV"], "lungs": ["tg263:Lung_L", "tg263:Lung_R"], "cord": ["tg263:SpinalCord"]}
    assert match_rois(names, wanted).classes == {
        "tumour": ("GTV-1", "GTVn"),
        "lungs": ("Lung-Left", "Lung-Right"),
        "cord": ("Spinal-Cord",),
    }


def test_a_structure_that_is_none_names_those_nearby():
    with pytest.raises(ValueError, match=r"'Lung_left' is no structure of the TG-263 vocabulary; did you mean Lung_L"):
        check_pattern("tg263:Lung_left")
    with pytest.raises(ValueError, match=r"of class 'a': 'Xyz' is no structure"):
        match_rois([], {"a": ["tg263:Xyz"]})
