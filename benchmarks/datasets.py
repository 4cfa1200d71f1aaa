"""What benchmarks run on, named once: sets of the real test data, or synthetic patients of realistic size."""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from medimagenet.synthetic import write_patients


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """A folder of DICOM in which each sample is a CT with its RTSTRUCT."""

    name: str
    about: str
    """For the report; without a place of any machine."""
    folder: Path
    rois: dict[str, str]
    """Class -> one pattern, understood alike by us and by the peers."""

    @property
    def files(self) -> int:
        return sum(path.is_file() for path in self.folder.rglob("*"))


def repeated(dataset: Dataset, times: int, work: Path) -> Dataset | None:
    """The CT patients of a set several times over, each copy with UIDs and PatientIDs of its own; None if it cannot be.

    In the bytes of the files the ids are replaced by others of equal length, wherever they stand, so that references
    still hold and nothing else changes.
    """
    if dataset.name != "sts":
        return None
    folder = work / "sts_repeated"
    for number in range(times):
        for path in sorted(dataset.folder.glob("*/CT/*/*")):
            content = path.read_bytes().replace(b".5.2.1.5168.1900.", b".5.2.1.5168.19%02d." % (number + 1))
            patient = f"ST{chr(ord('A') + number)}{path.relative_to(dataset.folder).parts[0][3:]}"
            copy = folder / patient / "/".join(path.relative_to(dataset.folder).parts[1:])
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(content.replace(b"STS_0", patient[:5].encode()))
    about = f"the CTs and structures of sts {times} times, each copy with ids of its own: a cohort of {11 * times}"
    return Dataset(name=f"sts_x{times}", about=about, folder=folder, rois=dataset.rois)


@contextmanager
def datasets(data: Path | None, work: Path) -> Iterator[list[Dataset]]:
    """The sets in `data`, or synthetic ones. What has to be unpacked or written goes below `work`."""
    yield [_synthetic(work)] if data is None else [_sts(data), _nsclc_radiomics(data, work)]


def _sts(data: Path) -> Dataset:
    about = "11 sarcoma patients: CT, PET and MR, cropped, one RTSTRUCT each (Soft-tissue-Sarcoma, CC BY 3.0)"
    return Dataset(name="sts", about=about, folder=_present(data / "sts"), rois={"gtv": "GTV_Mass.*"})


def _nsclc_radiomics(data: Path, work: Path) -> Dataset:
    folder = work / "nsclc_radiomics"
    with zipfile.ZipFile(_present(data / "nsclc_radiomics" / "LUNG1-001.zip")) as archive:
        archive.extractall(folder)
    about = "one lung patient: 512 x 512 x 134 CT, RTSTRUCT of four ROIs (NSCLC-Radiomics, CC BY-NC 3.0)"
    return Dataset(name="nsclc_radiomics", about=about, folder=folder, rois={"lungs": "Lung.*", "gtv": "GTV.*"})


def _synthetic(work: Path) -> Dataset:
    folder = work / "synthetic"
    write_patients(folder, 4, size=(512, 512, 100), spacing=(0.8, 0.8, 3.0))
    about = "4 synthetic patients: 512 x 512 x 100 CT with RTSTRUCT"
    return Dataset(name="synthetic", about=about, folder=folder, rois={"liver": "liver", "tumour": "gtv.*"})


def _present(path: Path) -> Path:
    if not path.exists():
        raise SystemExit(f"{path} is not there: --data names the folder that holds sts/ and nsclc_radiomics/")
    return path
