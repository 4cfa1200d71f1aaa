"""Collections outside the archives of DICOM: Zenodo, HuggingFace, S3, Dropbox and plain links, by a manifest.

What a user writes behind ``archive:`` is the path of a manifest, see `manifest`. Each NIfTI file is a row, an image or
the label of one. Of archives and loose files of DICOM only the outside is known: each is a row, of the format "zip",
"tar" or "file". Once it is here, indexing its folder tells the series.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any, Literal
from urllib.parse import urlsplit

from ..errors import SourceError
from .archive_listing import ArchiveFile, Listing, huggingface_url, list_archive, zenodo_url
from .base import RemoteFile, SeriesRecord
from .http import Limits
from .manifest import Manifest, Pairs, read_manifest_file
from .nifti_names import NiftiName, is_nifti, read_name
from .nifti_rows import NiftiCollection, NiftiFile, made_uid, nifti_records

_Package = Literal["none", "zip", "tar"]
_PACKAGES: Mapping[str, _Package] = {"zip": "zip", "tar": "tar"}
_TAR = (".tar", ".tar.gz", ".tgz")
_WORDS = re.compile(r"[\s_-]+")


class Archive:
    """A `Source` and a `RemoteSource`.

    Parameters
    ----------
    argument
        Path of a manifest; empty where only `remote_files` is asked.
    limits
        How the server is treated.
    """

    name = "archive"

    def __init__(self, argument: str = "", *, limits: Limits | None = None) -> None:
        self._path = Path(argument) if argument else None
        self._limits = limits

    def series(self) -> Iterator[SeriesRecord]:
        """List the files, sorted by case and path.

        Raises
        ------
        SourceError
            The manifest is wrong, or contradicts its source; the source cannot be asked.
        """
        if self._path is None:
            raise SourceError('which collection? write the path of a manifest, "archive:manifest.yaml"')
        manifest = read_manifest_file(self._path)
        listing = list_archive(manifest, self._limits)
        _check_license(manifest, listing, self._path)
        files = list(_wanted(manifest, listing, self._path))
        packages = [file for file in files if manifest.format == "dicom" or not is_nifti(file.path)]
        images = [file for file in files if manifest.format == "nifti" and is_nifti(file.path)]
        yield from _nifti_rows(images, manifest, listing)
        yield from (_package_row(file, manifest, listing) for file in packages if _is_data(file.path, manifest))

    def remote_files(self, row: Mapping[str, Any]) -> list[RemoteFile]:
        """The one file of a row."""
        package = _PACKAGES.get(row["file_format"], "none")
        return [
            RemoteFile(
                url=row["uri"],
                path=row["files"][0] if row["files"] else "",
                package=package,
                size_bytes=row["size_bytes"] or None,
                checksum=row["checksums"][0] if row["checksums"] else None,
                service=_service_of(row["uri"]),
            )
        ]


def _wanted(manifest: Manifest, listing: Listing, path: Path) -> Iterator[ArchiveFile]:
    """The files that the manifest asks for, with all that it or the source knows."""
    said = {file.path: file for file in manifest.files}
    absent = sorted(said.keys() - {file.path for file in listing.files})
    if absent:
        raise SourceError(f"manifest {path}: {listing.place} has no file {absent[0]!r}")
    for file in sorted(listing.files, key=lambda file: file.path):
        if not manifest.wants(file.path):
            continue
        told = said.get(file.path)
        if told is None:
            yield file
            continue
        _check_same(f"manifest {path}, file {file.path}: bytes", told.bytes, file.size_bytes)
        of_kind = {"md5": told.md5, "sha256": told.sha256}.get((file.checksum or "").partition(":")[0])
        _check_same(f"manifest {path}, file {file.path}: checksum", of_kind, (file.checksum or "").partition(":")[2])
        size = file.size_bytes if file.size_bytes is not None else told.bytes
        yield replace(file, size_bytes=size, checksum=told.checksum or file.checksum)


def _check_same(what: str, told: Any, found: Any) -> None:
    if told not in (None, "") and found not in (None, "") and told != found:
        raise SourceError(f"{what} is {told}, the source says {found}: the manifest is of another version")


def _check_license(manifest: Manifest, listing: Listing, path: Path) -> None:
    if listing.license and _words(listing.license) != _words(manifest.license):
        raise SourceError(
            f"manifest {path}: license is {manifest.license!r}, {listing.place} says {listing.license!r}: "
            "correct the manifest"
        )


def _words(license_name: str) -> list[str]:
    return _WORDS.split(license_name.strip().casefold())


def _origin(manifest: Manifest, listing: Listing) -> dict[str, str | None]:
    return {
        "collection_id": manifest.collection_id,
        "license": manifest.license,
        "doi": manifest.doi or listing.doi,
        "citation": manifest.citation,
        "agreement": manifest.agreement,
    }


def _nifti_rows(files: list[ArchiveFile], manifest: Manifest, listing: Listing) -> Iterator[SeriesRecord]:
    names = [(file, _name(file.path, manifest.pairs)) for file in files]
    collection = NiftiCollection(
        source=Archive.name,
        place=listing.place,
        modality=manifest.modality,
        classes=manifest.classes,
        origin=_origin(manifest, listing),
    )
    yield from nifti_records(
        (
            NiftiFile(
                name=name,
                uri=file.url,
                file=file.path,
                size_bytes=file.size_bytes or 0,
                content=file.checksum or f"{file.url} {file.size_bytes}",
                checksum=file.checksum,
            )
            for file, name in names
            if name is not None
        ),
        collection,
    )


def _name(path: str, pairs: Pairs | None) -> NiftiName | None:
    """What a name tells; by the manifest's patterns where it has them, and then only of files that match."""
    if pairs is None:
        return read_name(path)
    for pattern, is_label in ((pairs.images, False), (pairs.labels, True)):
        match = re.fullmatch(pattern, path)
        if match is not None:
            return NiftiName(path=path, group="", case=match["case"], is_label=is_label)
    return None


def _is_data(path: str, manifest: Manifest) -> bool:
    """Whether a file that is no NIfTI is a row: archives always, others as files of DICOM or where they are listed."""
    if _package_of(path) != "none":
        return True
    is_dicom = manifest.format == "dicom" and PurePosixPath(path).suffix.lower() in (".dcm", ".dicom", "")
    return is_dicom or path in {file.path for file in manifest.files}


def _package_row(file: ArchiveFile, manifest: Manifest, listing: Listing) -> SeriesRecord:
    uid = made_uid(listing.place, "file", file.path)
    content = file.checksum or f"{file.url} {file.size_bytes}"
    package = _package_of(file.path)
    return SeriesRecord(
        key=f"{uid}:{made_uid(uid, content).rpartition('.')[2][:16]}",
        source=Archive.name,
        **_origin(manifest, listing),  # type: ignore[arg-type]
        SeriesInstanceUID=uid,
        SeriesDescription=file.path,
        Modality=manifest.modality,
        uri=file.url,
        files=() if package != "none" else (file.path,),
        n_instances=0,
        size_bytes=file.size_bytes or 0,
        content_hash=made_uid(content).rpartition(".")[2],
        file_format=package if package != "none" else "file",
        checksums=() if file.checksum is None else (file.checksum,),
    )


def _package_of(path: str) -> _Package:
    name = path.lower()
    if name.endswith(".zip"):
        return "zip"
    return "tar" if name.endswith(_TAR) else "none"


def _service_of(url: str) -> str:
    """Whose limits and credentials apply."""
    host = urlsplit(url).netloc
    services = {urlsplit(zenodo_url()).netloc: "zenodo", urlsplit(huggingface_url()).netloc: "huggingface"}
    return services.get(host, "")
