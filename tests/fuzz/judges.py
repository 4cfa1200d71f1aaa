"""What must hold of whatever is read; judged by pydicom, zipfile and hashes, in a process of its own.

Every check takes the damaged files and those they were made of. It fails by AssertionError, or by any exception that
is not the package's own.
"""

import hashlib
import zipfile
from pathlib import Path

import numpy as np
import pydicom
from pydicom.pixels import get_decoder
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from medimagenet.dicom import read_dose, read_header, read_mask, read_registration, read_volumes
from medimagenet.dicom.instance import FileProblem, InstanceHeader
from medimagenet.dicom.quick import QuickReader
from medimagenet.dicom.registration import Registration
from medimagenet.dicom.thorough import read_thoroughly
from medimagenet.download.unpack import Limits, unpack
from medimagenet.errors import DicomError, SourceError
from medimagenet.geometry import Grid
from medimagenet.volume import Mask, Volume

MOST_BYTES = 64 << 20  # may come out of an archive
PIXEL_DATA = b"\xe0\x7f\x10\x00"
NEAR = 1e-3  # mm, or relative: below what any tolerance of the package lets pass


def check_scan(damaged: list[Path], sound: list[Path]) -> None:
    """The compiled scan says what pydicom says, or leaves the file to it; whatever a file holds, nothing is raised."""
    reader = QuickReader()
    for path in sound:  # what the reader keeps of one file must not show in the next
        reader.read(path)
    for path in damaged:
        header, judged = reader.read(path), read_thoroughly(path)
        assert header is None or header == judged, f"compiled scan {header}, pydicom {judged}"
        assert isinstance(read_header(path), InstanceHeader | FileProblem)


def check_series(damaged: list[Path], sound: list[Path]) -> None:
    """A volume without a new finding has the voxels and the places that pydicom finds in the same files."""
    (before,) = read_volumes(sound, pet="bqml")
    try:
        volumes = read_volumes(damaged, pet="bqml")
    except DicomError as error:
        assert str(error)
        return
    for volume in volumes:
        assert volume.array.shape[-3:] == volume.grid.shape
    if len(volumes) > 1 or _codes(volumes[0]) - _codes(before):
        return
    if volumes[0].grid != before.grid or not np.array_equal(volumes[0].array, before.array):
        judged = [_judged(path) for path in damaged]
        if all(judged):
            _compare(volumes[0], judged)


def _codes(read: Volume | Mask) -> set[str]:
    return {finding.code for finding in read.findings}


def _judged(path: Path) -> tuple[pydicom.Dataset, np.ndarray] | None:
    """Header and pixels by pydicom; None where it gives up, or where pixels are there twice."""
    if path.read_bytes().count(PIXEL_DATA) > 1:
        return None
    try:
        ds = _pydicoms(path)
        return ds, get_decoder(ds.file_meta.TransferSyntaxUID).as_array(ds, raw=True, allow_excess_frames=False)[0]
    except Exception:
        return None


def _pydicoms(path: Path) -> pydicom.Dataset:
    """As pydicom reads it, with what it asks for and what can be nothing else."""
    ds = pydicom.dcmread(path, force=True)
    ds.setdefault("SamplesPerPixel", 1)
    ds.setdefault("PixelRepresentation", 0)
    if "TransferSyntaxUID" not in ds.file_meta:
        implicit, _ = ds.original_encoding
        ds.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    return ds


def _compare(volume: Volume, slices: list[tuple[pydicom.Dataset, np.ndarray]]) -> None:
    assert volume.array.shape == (len(slices), *volume.array.shape[1:])
    along = np.array(volume.grid.direction)[:, 2]
    slices.sort(key=lambda judged: float(np.dot(along, np.array(judged[0].ImagePositionPatient, dtype=float))))
    for k, ((ds, stored), array) in enumerate(zip(slices, volume.array, strict=True)):
        values = stored * float(ds.get("RescaleSlope", 1) or 1) + float(ds.get("RescaleIntercept", 0) or 0)
        assert np.allclose(array, values, rtol=1e-5, atol=1e-3), f"slice {k} has other voxels"
        _compare_place(volume.grid, k, ds)


def _compare_place(grid: Grid, k: int, ds: pydicom.Dataset) -> None:
    """The package's own tolerances: a slice within a hundredth of a step, the rest as good as equal."""
    direction, spacing = np.array(grid.direction), np.array(grid.spacing)
    ours = np.array(grid.origin) + direction[:, 2] * spacing[2] * k
    theirs = np.array(ds.ImagePositionPatient, dtype=float)
    off = np.abs(direction.T @ (ours - theirs))
    assert max(off[0], off[1]) <= 0.1 + NEAR, f"slice {k} is {off} mm from where its header says"
    assert off[2] <= 0.02 * spacing[2] + NEAR, f"slice {k} is {off} mm from where its header says"
    orientation = np.array(ds.ImageOrientationPatient, dtype=float)
    assert np.abs(direction[:, :2].T.ravel() - orientation).max() <= 0.01, f"slice {k} is turned: {orientation}"
    rows, columns = map(float, ds.PixelSpacing)
    assert np.allclose(spacing[:2], (columns, rows), rtol=NEAR), f"slice {k}: spacing {spacing}, {rows} {columns}"


def check_rtstruct(damaged: list[Path], sound: list[Path]) -> None:
    """Every region of the file has a channel of the mask, or there is an error."""
    grid = _grid_of(sound[0])
    for fractional in (False, True):
        try:
            mask = read_mask(damaged[0], grid, fractional=fractional, off_grid="nearest")
        except DicomError as error:
            assert str(error)
            continue
        assert mask.array.shape == (len(mask.names), *grid.shape)
        assert len(set(mask.names)) == len(mask.names)
        assert not fractional or (mask.array.min(initial=0) >= 0 and mask.array.max(initial=0) <= 1)
    _check_regions(damaged[0], sound[0], grid)


def _check_regions(damaged: Path, sound: Path, grid: Grid) -> None:
    """Contours that pydicom finds as they were before give the mask that they gave before."""
    try:
        mask = read_mask(damaged, grid, off_grid="nearest")
        contours = _contours(damaged)
    except Exception:  # judged above, or nothing that pydicom could judge
        return
    before, before_contours = read_mask(sound, grid), _contours(sound)
    new = _codes(mask) - _codes(before)
    if not new and contours == before_contours:
        assert np.array_equal(mask.array, before.array), "the same contours give another mask"
    if not new:
        assert len(mask.names) == len(contours), f"regions {mask.names}, of {len(contours)} in the file"


def _contours(path: Path) -> list[list[tuple[float, ...]]]:
    """Coordinates of each region's contours, in the order of StructureSetROISequence."""
    ds = pydicom.dcmread(path, force=True)
    of_number: dict[int, list[tuple[float, ...]]] = {}
    for item in ds.get("ROIContourSequence", []):
        contours = [tuple(map(float, contour.ContourData)) for contour in item.get("ContourSequence", [])]
        of_number.setdefault(int(item.ReferencedROINumber), []).extend(contours)
    return [of_number.get(int(item.ROINumber), []) for item in ds.StructureSetROISequence]


def _grid_of(annotation: Path) -> Grid:
    """A grid over the contours, coarse enough to be quick."""
    ds = pydicom.dcmread(annotation, force=True)
    points = [
        np.array(contour.ContourData, dtype=float).reshape(-1, 3)
        for item in ds.get("ROIContourSequence", [])
        for contour in item.get("ContourSequence", [])
    ]
    low, high = np.concatenate(points).min(axis=0), np.concatenate(points).max(axis=0)
    planes = np.unique(np.concatenate(points)[:, 2])
    step = float(np.diff(planes).min()) if len(planes) > 1 else 1.0
    return Grid((32, 32, 8), (*np.maximum((high - low)[:2] / 31, 0.1), step), tuple(low))


def check_seg(damaged: list[Path], sound: list[Path]) -> None:
    """Without a new finding it is the mask of before, or has as many voxels per segment as pydicom's frames."""
    before = _mask_or_none(sound[0])
    for fractional in (False, True):
        try:
            mask = read_mask(damaged[0], fractional=fractional)
        except DicomError as error:
            assert str(error)
            continue
        assert mask.array.shape == (len(mask.names), *mask.grid.shape)
        if fractional or before is None or _codes(mask) - _codes(before):
            continue
        if not np.array_equal(mask.array, before.array):
            _compare_counts(mask, damaged[0])


def _mask_or_none(path: Path) -> Mask | None:
    """None where the file is refused as it is: real ones may be no SEG, or broken."""
    try:
        return read_mask(path)
    except DicomError:
        return None


def _compare_counts(mask: Mask, path: Path) -> None:
    judged = _judged(path)
    if judged is None or judged[0].get("SegmentationType") != "BINARY":  # a share has no count
        return
    ds, frames = judged
    frames = frames.reshape(-1, ds.Rows, ds.Columns)
    try:
        seen = {int(item.SegmentNumber): {} for item in ds.SegmentSequence}
    except NotImplementedError:  # a VR that pydicom does not know
        return
    for item, frame in zip(ds.PerFrameFunctionalGroupsSequence, frames, strict=False):
        groups = item if "SegmentIdentificationSequence" in item else ds.SharedFunctionalGroupsSequence[0]
        planes = seen[int(groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber)]
        place = tuple(item.PlanePositionSequence[0].ImagePositionPatient)
        planes[place] = frame | planes.get(place, frame)
    counts = [sum(int(plane.sum()) for plane in planes.values()) for planes in seen.values()]
    ours = mask.array.sum(axis=(1, 2, 3)).tolist()
    assert ours == counts, f"voxels per segment {ours}, in the frames {counts}"


def check_archive(damaged: list[Path], sound: list[Path]) -> None:
    """What comes out lies in its folder, keeps the limits, and of a zip is what went in."""
    path = damaged[0]
    kind = sound[0].suffix[1:]
    folder = path.parent / "out" / "members"
    before = sorted(path.parent.iterdir())
    content = 'multipart/related; type="application/dicom"; boundary=MARK'
    try:
        members = unpack(kind, path, folder, limits=Limits(members=100, size_bytes=MOST_BYTES), content_type=content)
    except SourceError as error:
        assert str(error)
        assert not folder.exists(), "something was left of an archive that was refused"
        return
    assert sum(member.size_bytes for member in members) <= MOST_BYTES
    assert sorted(folder.iterdir()) == sorted(member.path for member in members)
    assert sorted(set(path.parent.iterdir()) - {path.parent / "out"}) == sorted(set(before) - {path.parent / "out"})
    assert all(not Path(member.name).is_absolute() and ".." not in Path(member.name).parts for member in members)
    if kind == "zip":
        with zipfile.ZipFile(sound[0]) as opened:
            known = {hashlib.sha256(opened.read(name)).hexdigest() for name in opened.namelist()}
        assert {member.checksum.removeprefix("sha256:") for member in members} <= known, "a member has other bytes"


def check_dose(damaged: list[Path], sound: list[Path]) -> None:
    """Without a new finding it is the dose of before, or what pydicom's numbers make of its pixels, plane by plane."""
    before = _dose_or_none(sound[0])
    try:
        dose = read_dose(damaged[0])
    except DicomError as error:
        assert str(error)
        return
    assert dose.array.shape == dose.grid.shape
    assert np.isfinite(dose.array).all()
    assert dose.array.nbytes <= MOST_BYTES
    onto = read_dose(damaged[0], Grid((3, 4, 5), (9.0, 9.0, 9.0), (-10.0, -10.0, -10.0)))
    assert onto.array.shape == (5, 4, 3)
    if before is not None and (_codes(dose) - _codes(before) or _is_equal(dose, before)):
        return
    _compare_dose(dose, damaged[0])


def _dose_or_none(path: Path) -> Volume | None:
    try:
        return read_dose(path)
    except DicomError:
        return None


def _is_equal(one: Volume, other: Volume) -> bool:
    return one.grid == other.grid and np.array_equal(one.array, other.array)


def _compare_dose(dose: Volume, path: Path) -> None:
    judged = _judged(path)
    if judged is None:
        return
    ds, stored = judged
    values = stored.reshape(dose.array.shape) * float(ds.DoseGridScaling)
    offsets = np.array(ds.GridFrameOffsetVector, dtype=float) if len(values) > 1 else np.zeros(1)
    order = np.argsort(offsets, kind="stable")
    assert np.allclose(dose.array, values[order], rtol=1e-5, atol=1e-6), "the dose has other voxels"
    normal = np.cross(*np.array(ds.ImageOrientationPatient, dtype=float).reshape(2, 3))
    lowest = np.array(ds.ImagePositionPatient, dtype=float) + normal * (offsets.min() - offsets[0])
    off = np.abs(np.array(dose.grid.origin) - lowest).max()
    assert off <= NEAR, f"the first plane is {off} mm from where its header says"
    rows, columns = map(float, ds.PixelSpacing)
    assert np.allclose(dose.grid.spacing[:2], (columns, rows), rtol=NEAR), f"spacing {dose.grid.spacing}"


def check_registration(damaged: list[Path], sound: list[Path]) -> None:
    """Every matrix is the product of those that pydicom finds in its item; a moved grid keeps its voxels' size."""
    try:
        registration = read_registration(damaged[0])
    except DicomError as error:
        assert str(error)
        return
    ds = pydicom.dcmread(damaged[0], force=True)
    expected = {str(ds.FrameOfReferenceUID): np.eye(4)}
    for item in ds.get("RegistrationSequence") or []:
        whole = np.eye(4)
        for part in item.get("MatrixRegistrationSequence") or []:
            for matrix in part.get("MatrixSequence") or []:
                whole = np.array(matrix.FrameOfReferenceTransformationMatrix, dtype=float).reshape(4, 4) @ whole
        expected[str(item.FrameOfReferenceUID)] = whole
    assert registration.matrices.keys() == expected.keys()
    for frame, matrix in registration.matrices.items():
        assert np.allclose(matrix, expected[frame], rtol=1e-9, equal_nan=True), f"another matrix of {frame}"
        _check_move(registration, frame)


def _check_move(registration: Registration, frame: str) -> None:
    grid = Grid((4, 5, 6), (1.0, 2.0, 3.0), (10.0, 20.0, 30.0))
    volume = Volume(np.zeros(grid.shape, dtype=np.uint8), grid, metadata={"FrameOfReferenceUID": frame})
    try:
        moved = registration.move(volume, registration.frame_of_reference).grid
    except DicomError as error:
        assert str(error)
        return
    assert moved.spacing == grid.spacing
    expected = registration.matrix(frame, registration.frame_of_reference) @ [*grid.to_patient((3, 4, 5)), 1.0]
    scale = np.abs(expected).max()
    assert np.allclose(moved.to_patient((3, 4, 5)), expected[:3], atol=1e-3 * max(1.0, scale)), "the grid is elsewhere"


CHECKS = {
    "scan": check_scan,
    "series": check_series,
    "rtstruct": check_rtstruct,
    "seg": check_seg,
    "archive": check_archive,
    "dose": check_dose,
    "registration": check_registration,
}
