"""SEG of a phantom, made by highdicom: one binary segment per organ on the slices of an image series (PS3.3 A.51)."""

import highdicom
import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import SegmentationStorage

from .._version import __version__
from .phantom import Organ
from .scene import SERIES_NUMBERS, SERIES_TIME, STUDY_DATE, Scene, Series, write_dataset

ALGORITHM = "Analytic phantom"


def write_seg(scene: Scene) -> tuple[Series, ...]:
    """Write the true masks of all organs, one object per annotated image. Segments overlap."""
    return tuple(_write_one(scene, image) for image in scene.annotated)


def _write_one(scene: Scene, image: Series) -> Series:
    role = f"SEG/{image.modality}"
    masks = scene.phantom.masks(image.grid)
    ds = highdicom.seg.Segmentation(
        source_images=[pydicom.dcmread(path, stop_before_pixels=True) for path in image.paths],
        pixel_array=np.moveaxis(masks.array, 0, -1).astype(np.uint8),  # frames, rows, columns, segments
        segmentation_type=highdicom.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[_segment(number, organ) for number, organ in enumerate(scene.phantom.organs, start=1)],
        series_instance_uid=scene.uid(role, "series"),
        series_number=SERIES_NUMBERS["SEG"],
        sop_instance_uid=scene.uid(role, "instance"),
        instance_number=1,
        manufacturer="Med-ImageNet",
        manufacturer_model_name="Synthetic phantom",
        software_versions=__version__,
        device_serial_number="1",
        content_label="PHANTOM",
        content_description="True masks of a phantom",
        series_description=f"Synthetic {role}",
    )
    _fix_what_varies(ds, scene, role)
    path = scene.folder / "SEG" / f"{image.modality}.dcm"
    write_dataset(ds, path)
    return Series(
        modality="SEG",
        uid=str(ds.SeriesInstanceUID),
        sop_class=SegmentationStorage,
        sop_uids=(str(ds.SOPInstanceUID),),
        paths=(path,),
        grid=image.grid,
    )


def _segment(number: int, organ: Organ) -> highdicom.seg.SegmentDescription:
    return highdicom.seg.SegmentDescription(
        segment_number=number,
        segment_label=organ.name,
        segmented_property_category=codes.SCT.AnatomicalStructure,
        segmented_property_type=codes.SCT.Organ,
        algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=highdicom.AlgorithmIdentificationSequence(
            name=ALGORITHM, version=__version__, family=codes.DCM.ArtificialIntelligence
        ),
    )


def _fix_what_varies(ds: Dataset, scene: Scene, role: str) -> None:
    """Put fixed dates and UIDs where highdicom uses the clock and chance."""
    ds.ContentDate = ds.InstanceCreationDate = ds.SeriesDate = STUDY_DATE
    ds.ContentTime = ds.InstanceCreationTime = ds.SeriesTime = SERIES_TIME
    dimension = scene.uid(role, "dimension")
    for item in (*ds.DimensionOrganizationSequence, *ds.DimensionIndexSequence):
        item.DimensionOrganizationUID = dimension
    for item in ds.get("ContributingEquipmentSequence", []):  # highdicom itself, in its newer versions
        item.ContributionDateTime = STUDY_DATE + SERIES_TIME
