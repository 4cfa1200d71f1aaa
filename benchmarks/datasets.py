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
