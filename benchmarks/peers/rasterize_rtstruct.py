"""Masks of an RTSTRUCT by tools that have an environment of their own: times and results.

python rasterize_rtstruct.py TOOL IMAGES RTSTRUCT OUT ROUNDS. Files are read before; timed is what turns contours into
one mask per region. Prints {"names": [...], "seconds": [...]}; the masks are left in OUT as 0.npy, 1.npy, ...
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk
from skimage.draw import polygon2mask

if not hasattr(pydicom, "read_file"):
    pydicom.read_file = pydicom.dcmread  # what dcmrtstruct2nii 5 calls, and pydicom 3 has no more

Work = Callable[[], dict[str, np.ndarray]]


def main() -> None:
    tool, images, structures, out, rounds = sys.argv[1], *map(Path, sys.argv[2:5]), int(sys.argv[5])
    work = TOOLS[tool](images, structures)
    seconds = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        masks = work()
        seconds.append(time.perf_counter() - start)
    for number, mask in enumerate(masks.values()):
        np.save(out / f"{number}.npy", mask.astype(bool))
    print("\n" + json.dumps({"names": list(masks), "seconds": seconds[1:]}))


def by_dcmrtstruct2nii(images: Path, structures: Path) -> Work:
    from dcmrtstruct2nii.adapters.convert.rtstructcontour2mask import DcmPatientCoords2Mask
    from dcmrtstruct2nii.adapters.input.contours.rtstructinputadapter import RtStructInputAdapter
    from dcmrtstruct2nii.adapters.input.image.dcminputadapter import DcmInputAdapter

    regions = [region for region in RtStructInputAdapter().ingest(str(structures)) if "sequence" in region]
    image = DcmInputAdapter().ingest(str(images))
    converter = DcmPatientCoords2Mask()
    return lambda: {
        region["name"]: sitk.GetArrayFromImage(converter.convert(region["sequence"], image, 0, 1)) for region in regions
    }


def by_skimage(images: Path, structures: Path) -> Work:
    """Its polygon2mask, contours combined by exclusive or."""
    from dcmrtstruct2nii.adapters.input.image.dcminputadapter import DcmInputAdapter

    image = DcmInputAdapter().ingest(str(images))
    steps = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    inverse, origin = np.linalg.inv(steps), np.array(image.GetOrigin())
    shape = image.GetSize()[::-1]
    contours = {
        name: [(np.reshape(item.ContourData, (-1, 3)) - origin) @ inverse.T for item in items]
        for name, items in contours_of(structures).items()
    }

    def work() -> dict[str, np.ndarray]:
        masks = {name: np.zeros(shape, dtype=bool) for name in contours}
        for name, polygons in contours.items():
            for polygon in polygons:
                masks[name][round(polygon[0, 2])] ^= polygon2mask(shape[1:], polygon[:, 1::-1])
        return masks

    return work


def by_med_imagetools(images: Path, structures: Path) -> Work:
    from imgtools.coretypes import MedImage
    from imgtools.coretypes.masktypes.structureset import RTStructureSet
    from imgtools.io.readers import read_dicom_series

    image, _ = read_dicom_series(str(images))
    reference = MedImage(image)
    regions = RTStructureSet.from_dicom(structures)
    size = (*image.GetSize()[::-1], 1)

    def work() -> dict[str, np.ndarray]:
        regions._roi_cache.clear()
        return {name: regions.get_mask_ndarray(reference, name, size) for name in regions.roi_names}

    return work


def by_rt_utils(images: Path, structures: Path) -> Work:
    from rt_utils import RTStructBuilder

    builder = RTStructBuilder.create_from(str(images), str(structures), warn_only=True)
    return lambda: {name: np.moveaxis(builder.get_roi_mask_by_name(name), 2, 0) for name in contours_of(structures)}


def contours_of(structures: Path) -> dict[str, list]:
    dataset = pydicom.dcmread(structures)
    names = {item.ROINumber: item.ROIName for item in dataset.StructureSetROISequence}
    return {
        names[item.ReferencedROINumber]: list(item.ContourSequence)
        for item in dataset.ROIContourSequence
        if "ContourSequence" in item
    }


TOOLS = {
    "dcmrtstruct2nii": by_dcmrtstruct2nii,
    "med-imagetools": by_med_imagetools,
    "rt-utils": by_rt_utils,
    "skimage": by_skimage,
}


if __name__ == "__main__":
    main()
