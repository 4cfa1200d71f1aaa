"""Every series of a folder of odd DICOM, read by us and by others: who is right, and what we say of it.

    python -m benchmarks.robustness --data DIR [--peers ENVIRONMENT] [--out docs/robustness.md]

The judge is the header: pydicom decodes each frame, and its pixels, rescaled, must stand in the volume where position,
orientation and spacing of that frame say, all of them, once each. PET counts as right up to one factor per series, as
readers give other units. Where headers place no frame (a mosaic) a reference NIfTI beside the series judges its values,
whatever their order. Where there is no judge a reader that gave something is counted apart.
"""

import argparse
import json
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import SimpleITK
from numpy.typing import NDArray

from medimagenet import index_directory
from medimagenet.dicom import read_volumes
from medimagenet.errors import DicomError
from medimagenet.sources.base import SINGLE_OBJECTS

OURS = "medimagenet"
READERS = (OURS, "SimpleITK", "MONAI", "med-imagetools")
PEER_SCRIPT = Path(__file__).parent / "peers" / "read_series.py"
PLACE_TOLERANCE = 0.1
"""A frame's corner may lie this far from a voxel's centre, in voxels: as far as a slice may be from its place."""
VALUE_TOLERANCE = 1e-4
"""Of the largest value: readers compute in float32."""
RIGHT, WRONG, REFUSED, NO_JUDGE = "right", "**wrong**", "refused", "read, no judge"

Array = NDArray[Any]
Read = list[tuple[Array, Array]]
"""Volumes (Z, Y, X) or (C, Z, Y, X), each with its affine: index x, y, z to LPS mm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    corners: Array
    """(3, 3), LPS mm: centres of the first voxel, the last of the first row, the last of the first column."""
    values: Array
    """(rows, columns), rescaled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    name: str
    modality: str
    files: list[Path]
    uid: str
    findings: str


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--peers", type=Path, default=Path(".venv-peers"))
    parser.add_argument("--out", type=Path, default=Path("docs/robustness.md"))
    options = parser.parse_args()
    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)
    data = options.data.resolve()
    series = list(_series(data))
    with tempfile.TemporaryDirectory() as name:
        by_peers = _read_by_peers(series, options.peers, Path(name))
        rows = [_row(each, data, by_peers) for each in series]
    options.out.write_text(_page(rows))


def _series(data: Path) -> Iterator[Series]:
    """Every series of images, by place."""
    found = []
    for row in index_directory(data).rows():
        if row["Modality"] in SINGLE_OBJECTS or row["file_format"] is not None or row["Modality"] is None:
            continue
        files = [(Path(row["uri"]) / name).resolve() for name in row["files"]]
        name = min(files).relative_to(data).as_posix() if len(files) == 1 else _folder(files, data)
        codes = " ".join(f"`{finding['code']}`" for finding in row["findings"])
        uid = row["SeriesInstanceUID"]
        found.append(Series(name=name, modality=row["Modality"], files=files, uid=uid, findings=codes))
    return iter(sorted(found, key=lambda each: each.name))


def _folder(files: Sequence[Path], data: Path) -> str:
    return min(files).parent.relative_to(data).as_posix()


def _row(series: Series, data: Path, by_peers: dict[tuple[str, str], Read | str]) -> dict[str, str]:
    judge, judged_by = _judge(series, data)
    row = {"series": series.name, "modality": series.modality, "findings": series.findings, "judge": judged_by}
    for reader, read in ((OURS, _read_by_us), ("SimpleITK", _read_by_simpleitk)):
        row[reader] = _verdict(read(series), judge)
    for reader in READERS[2:]:
        row[reader] = _verdict(by_peers[series.name, reader], judge) if by_peers else "-"
    return row


def _verdict(read: Read | str, judge: Callable[[Read], bool] | None) -> str:
    if isinstance(read, str):
        return f"{REFUSED}: {read}" if read else REFUSED
    if judge is None:
        return NO_JUDGE
    return RIGHT if judge(read) else WRONG


def _read_by_us(series: Series) -> Read | str:
    try:
        volumes = read_volumes(series.files)
    except DicomError as error:
        return " ".join(dict.fromkeys(f"`{finding.code}`" for finding in getattr(error, "findings", ())))
    return [
        (volume.array, _affine(volume.grid.origin, volume.grid.spacing, volume.grid.direction)) for volume in volumes
    ]


def _read_by_simpleitk(series: Series) -> Read | str:
    try:
        if len(series.files) == 1:
            image = SimpleITK.ReadImage(str(series.files[0]))
        else:
            folder = str(min(series.files).parent)
            names = SimpleITK.ImageSeriesReader.GetGDCMSeriesFileNames(folder, series.uid)
            image = SimpleITK.ReadImage(names)
    except RuntimeError:
        return ""
    array, spacing, origin = SimpleITK.GetArrayFromImage(image), image.GetSpacing(), image.GetOrigin()
    direction = np.array(image.GetDirection()).reshape(image.GetDimension(), -1)
    return [(array, _affine(origin[:3], spacing[:3], direction[:3, :3]))]


def _affine(origin: Any, spacing: Any, direction: Any) -> Array:
    affine = np.eye(4)
    affine[:3, :3] = np.asarray(direction, float).reshape(3, 3) * np.asarray(spacing, float)
    affine[:3, 3] = origin
    return affine


def _read_by_peers(series: Sequence[Series], peers: Path, work: Path) -> dict[tuple[str, str], Read | str]:
    program = peers / "bin" / "python"
    if not program.is_file():
        print(f"no {program}: MONAI and med-imagetools are left out; `make bench` installs them")
        return {}
    tasks = [
        {
            "folder": str(min(each.files).parent),
            "uid": each.uid,
            "files": [str(path) for path in each.files],
            "out": str(work / str(number)),
        }
        for number, each in enumerate(series)
    ]
    (work / "tasks.json").write_text(json.dumps(tasks))
    subprocess.run([str(program), str(PEER_SCRIPT), str(work / "tasks.json")], check=True, capture_output=True)
    found: dict[tuple[str, str], Read | str] = {}
    for number, each in enumerate(series):
        for reader in READERS[2:]:
            path = work / f"{number}-{reader}.npz"
            found[each.name, reader] = ""
            if path.is_file():
                with np.load(path) as result:
                    found[each.name, reader] = [(result["array"], result["affine"])]
    return found


# --- Judges -----------------------------------------------------------------------------------------------------------


def _judge(series: Series, data: Path) -> tuple[Callable[[Read], bool] | None, str]:
    reference = _reference(series, data)
    if reference is not None:
        return lambda read: _same_values(read, reference), "reference NIfTI, values"
    try:
        frames = [frame for path in series.files for frame in _frames(path)]
    except (AttributeError, KeyError, TypeError, ValueError, RuntimeError, NotImplementedError):
        return None, ""
    is_scaled = series.modality == "PT"
    return (lambda read: _frames_in_place(read, frames, is_scaled)), "headers and pydicom"


def _reference(series: Series, data: Path) -> Array | None:
    """Of mosaics, whose headers do not say where each tile is."""
    folder = data / series.name if (data / series.name).is_dir() else (data / series.name).parent
    names = [folder / "reference" / "1.nii"]
    if "mosaic" in folder.parts:
        names.append(folder.with_name(f"{folder.name}_ground_truth.nii.gz"))
        names += folder.with_name(f"{folder.name}_reference").glob("*.nii")
    found = [name for name in names if name.is_file()]
    return np.asarray(nibabel.load(found[0]).dataobj) if found else None


def _same_values(read: Read, reference: Array) -> bool:
    """A series that holds the image of the reference several times, in several encodings, has its values so often."""
    values = np.concatenate([array.reshape(-1) for array, _ in read])
    if values.size % reference.size or not values.size:
        return False
    expected = np.repeat(np.sort(reference, axis=None), values.size // reference.size)
    return bool(np.allclose(np.sort(values), expected, atol=1e-3))


def _frames(path: Path) -> Iterator[Frame]:
    """Frames of one file, where its header places them."""
    dataset = pydicom.dcmread(path, force=True)
    if "MOSAIC" in dataset.get("ImageType", []):
        raise ValueError("the header does not say where the tiles of a mosaic are")
    pixels = dataset.pixel_array
    if int(dataset.get("SamplesPerPixel", 1)) != 1:
        raise ValueError("colour")
    stack = pixels if pixels.ndim == 3 else pixels[None]
    for number, values in enumerate(stack):
        groups = _groups(dataset, number)
        position = np.array(_element(groups, "ImagePositionPatient"), float)
        row, column = np.array(_element(groups, "ImageOrientationPatient"), float).reshape(2, 3)
        between_rows, between_columns = map(float, _element(groups, "PixelSpacing"))
        slope, intercept = (
            float(_element(groups, key, default)) for key, default in (("RescaleSlope", 1), ("RescaleIntercept", 0))
        )
        rows, columns = values.shape
        along_row, along_column = row * between_columns * (columns - 1), column * between_rows * (rows - 1)
        corners = np.stack([position, position + along_row, position + along_column])
        yield Frame(corners=corners, values=values * slope + intercept)


def _groups(dataset: pydicom.Dataset, number: int) -> list[pydicom.Dataset]:
    """Where an attribute of a frame may be: its own groups, those of all frames, the data set."""
    found = []
    if "PerFrameFunctionalGroupsSequence" in dataset:
        found.append(dataset.PerFrameFunctionalGroupsSequence[number])
    if "SharedFunctionalGroupsSequence" in dataset:
        found.append(dataset.SharedFunctionalGroupsSequence[0])
    return [*found, dataset]


def _element(groups: Sequence[pydicom.Dataset], keyword: str, default: Any = None) -> Any:
    for group in groups:
        if keyword in group:
            return group[keyword].value
        for element in group:
            if (
                element.VR == "SQ"
                and not element.tag.is_private
                and len(element.value) == 1
                and keyword in element.value[0]
            ):
                return element.value[0][keyword].value
    if default is None:
        raise KeyError(keyword)
    return default


def _frames_in_place(read: Read, frames: Sequence[Frame], is_scaled: bool) -> bool:
    """Every frame in its place, and no more slices than frames."""
    slices = sum(array[..., 0, 0].size for array, _ in read)
    if slices != len(frames):
        return False
    factor = _factor(read, frames) if is_scaled else 1.0
    return all(any(_holds(array, affine, frame, factor) for array, affine in read) for frame in frames)


def _factor(read: Read, frames: Sequence[Frame]) -> float:
    total = sum(float(frame.values.sum(dtype=np.float64)) for frame in frames)
    ours = sum(float(array.sum(dtype=np.float64)) for array, _ in read)
    return ours / total if total else 1.0


def _holds(array: Array, affine: Array, frame: Frame, factor: float) -> bool:
    index = np.linalg.solve(affine[:3, :3], (frame.corners - affine[:3, 3]).T).T  # x, y, z of each corner
    whole = np.rint(index)
    size = array.shape[-3:][::-1]
    if np.abs(index - whole).max() > PLACE_TOLERANCE or (whole < 0).any() or (whole >= size).any():
        return False
    rows, columns = frame.values.shape
    steps = (whole[1] - whole[0]) / max(columns - 1, 1), (whole[2] - whole[0]) / max(rows - 1, 1)
    r, c = np.mgrid[:rows, :columns]
    x, y, z = (np.rint(whole[0][k] + c * steps[0][k] + r * steps[1][k]).astype(int) for k in range(3))
    expected = frame.values * factor
    tolerance = VALUE_TOLERANCE * max(1.0, float(np.abs(expected).max()))
    channels = array if array.ndim == 4 else array[None]
    return any(float(np.abs(channel[z, y, x] - expected).max()) <= tolerance for channel in channels)


# --- The page ---------------------------------------------------------------------------------------------------------


def _page(rows: Sequence[dict[str, str]]) -> str:
    description = " ".join((__doc__ or "").split("    python")[0].split())
    judge = (__doc__ or "").split("robustness.md]")[1].strip()
    lines = [
        "# Robustness",
        "",
        description,
        "",
        judge,
        "",
        "Made by `python -m benchmarks.robustness --data DIR`.",
        "",
    ]
    lines += ["| reader | right | wrong | refused | read, no judge |", "|---|---|---|---|---|"]
    for reader in READERS:
        counts = Counter(row[reader].split(":")[0] for row in rows)
        lines.append(
            f"| {reader} | " + " | ".join(str(counts[kind]) for kind in (RIGHT, WRONG, REFUSED, NO_JUDGE)) + " |"
        )
    lines += [
        "",
        f"| series | modality | {' | '.join(READERS)} | judge | our findings |",
        "|---" * (len(READERS) + 4) + "|",
    ]
    for row in rows:
        cells = [row["series"], row["modality"], *(row[reader] for reader in READERS), row["judge"], row["findings"]]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
