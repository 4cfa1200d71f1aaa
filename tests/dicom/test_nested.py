"""References, names and tracer of data sets that are written out here."""

from pydicom.dataset import Dataset

from medimagenet.dicom.nested import DEEP_KEYWORDS, flatten_names, flatten_references, flatten_tracer


def dataset(**values):
    made = Dataset()
    for keyword, value in values.items():
        setattr(made, keyword, value)
    return made


def instances(*uids):
    return [dataset(ReferencedSOPClassUID="1.2.840.10008.5.1.4.1.1.2", ReferencedSOPInstanceUID=uid) for uid in uids]


def test_rtstruct_names_series_and_images_but_not_the_study_as_an_instance():
    series = [dataset(SeriesInstanceUID="1.2", ContourImageSequence=instances("1.2.1", "1.2.2", "1.2.1"))]
    study = [dataset(ReferencedSOPInstanceUID="1.9", RTReferencedSeriesSequence=series)]
    frame = [dataset(FrameOfReferenceUID="1.7", RTReferencedStudySequence=study)]
    assert flatten_references(dataset(ReferencedFrameOfReferenceSequence=frame)) == {
        "ReferencedSeriesUIDs": ["1.2"],
        "ReferencedSOPInstanceUIDs": ["1.2.1", "1.2.2"],
        "ReferencedFrameOfReferenceUIDs": ["1.7"],
    }


def test_dose_names_its_plan_and_structures():
    dose = dataset(ReferencedRTPlanSequence=instances("1.3"), ReferencedStructureSetSequence=instances("1.4"))
    assert flatten_references(dose) == {"ReferencedSOPInstanceUIDs": ["1.4", "1.3"]}


def test_no_references_give_nothing():
    assert flatten_references(dataset(ReferencedSeriesSequence=[])) == {}
    assert flatten_references(dataset()) == {}


def test_deep_references_of_a_segmentation():
    frames = [
        dataset(DerivationImageSequence=[dataset(SourceImageSequence=instances(f"1.5.{number}"))])
        for number in range(3)
    ]
    segmentation = dataset(PerFrameFunctionalGroupsSequence=frames)
    assert flatten_references(segmentation) == {}
    assert flatten_references(segmentation, DEEP_KEYWORDS["SEG"]) == {
        "ReferencedSOPInstanceUIDs": ["1.5.0", "1.5.1", "1.5.2"]
    }


def test_names_keep_their_order_and_empty_ones():
    rois = [dataset(ROIName="lung"), dataset(ROIName=""), dataset(), dataset(ROIName="lung")]
    assert flatten_names(dataset(StructureSetROISequence=rois)) == {"ROINames": ["lung", "", "", "lung"]}
    labels = [dataset(SegmentLabel="Liver"), dataset(SegmentLabel="Spleen")]
    assert flatten_names(dataset(SegmentSequence=labels)) == {"SegmentLabels": ["Liver", "Spleen"]}
    assert flatten_names(dataset()) == {}


def test_tracer_is_the_first():
    items = [dataset(RadionuclideTotalDose=4.0e8, RadionuclideHalfLife=6588.0), dataset(RadionuclideTotalDose=1.0)]
    tracer = flatten_tracer(dataset(RadiopharmaceuticalInformationSequence=items))
    assert (tracer["RadionuclideTotalDose"], tracer["RadionuclideHalfLife"]) == (4.0e8, 6588.0)
    assert tracer["RadiopharmaceuticalStartTime"] is None
    assert flatten_tracer(dataset()) == {}
