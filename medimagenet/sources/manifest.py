"""The file that tells where a collection outside the archives of DICOM is, and what may be done with it.

Users write it, as YAML::

    source: zenodo                    # zenodo, huggingface, s3, http or dropbox
    record: 7860267
    collection_id: spleens
    format: nifti                     # or dicom
    modality: CT
    license: CC-BY-4.0
    doi: 10.5281/zenodo.7860267
    classes: [spleen]

What each kind of source needs is said at the fields of `Manifest`.
"""

import fnmatch
import re
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal
from urllib.parse import urlsplit

import pydantic

from ..errors import RecipeError, SourceError
from ..preprocess.recipe_text import parse

_NEEDED = {
    "zenodo": ("record",),
    "huggingface": ("repo",),
    "s3": ("bucket",),
    "http": ("files",),
    "dropbox": ("files",),
}
_OWN = {
    "record": ("zenodo",),
    "repo": ("huggingface",),
    "revision": ("huggingface",),
    "bucket": ("s3",),
    "prefix": ("s3",),
    "region": ("s3",),
    "endpoint": ("s3",),
}

Text = Annotated[str, pydantic.StringConstraints(strip_whitespace=True, min_length=1)]


class _Strict(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)


class ManifestFile(_Strict):
    """One file."""

    path: Text
    """Where it belongs below the collection's folder, with forward slashes; at the source, its name."""
    url: str | None = None
    """Of http and dropbox."""
    bytes: Annotated[int, pydantic.Field(ge=0)] | None = None
    md5: Annotated[str, pydantic.StringConstraints(to_lower=True, pattern=r"^[0-9a-fA-F]{32}$")] | None = None
    sha256: Annotated[str, pydantic.StringConstraints(to_lower=True, pattern=r"^[0-9a-fA-F]{64}$")] | None = None

    @pydantic.field_validator("path")
    @classmethod
    def _stays_below(cls, path: str) -> str:
        place = PurePosixPath(path)
        if place.is_absolute() or ".." in place.parts or "\\" in path or not place.name:
            raise ValueError("must be a path below the collection's folder, with forward slashes and without '..'")
        return path

    @pydantic.field_validator("url")
    @classmethod
    def _is_address(cls, url: str | None) -> str | None:
        if url is not None and (urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname):
            raise ValueError("must be an address that begins with https:// or http://")
        return url

    @property
    def checksum(self) -> str | None:
        """As `RemoteFile` writes it; the stronger one where there are two."""
        return f"sha256:{self.sha256}" if self.sha256 else f"md5:{self.md5}" if self.md5 else None


class Pairs(_Strict):
    """How files of images and labels are called, where not as nnU-Net or most others do."""

    images: Text
    """Regular expression of whole paths, with a group ``(?P<case>...)``."""
    labels: Text
    """The same. An image and a label with the same case belong together."""

    @pydantic.field_validator("images", "labels")
    @classmethod
    def _has_case(cls, pattern: str) -> str:
        try:
            groups = re.compile(pattern).groupindex
        except re.error as error:
            raise ValueError(f"is no regular expression: {error}") from error
        if "case" not in groups:
            raise ValueError("needs a group (?P<case>...) that tells which files belong together")
        return pattern


class Manifest(_Strict):
    """One collection and its source."""

    source: Literal["zenodo", "huggingface", "s3", "http", "dropbox"]
    collection_id: Text
    format: Literal["dicom", "nifti"]
    """Of the files, also of those inside archives."""
    license: Text
    """Such as CC-BY-4.0. Where the source says another, that is an error."""
    doi: str | None = None
    citation: str | None = None
    agreement: str | None = None
    """Address of an agreement that users are bound by."""
    modality: str | None = None
    """Of images whose names tell none, as DICOM writes it: CT, MR, PT."""
    classes: tuple[str, ...] = ()
    """What is drawn in labels, by number, without the background."""
    pairs: Pairs | None = None
    include: tuple[str, ...] = ()
    """Patterns of paths, such as ``imagesTr/*``; everything where there are none."""
    files: tuple[ManifestFile, ...] = ()
    """Of zenodo, huggingface and s3 everything that is there, where none are listed."""

    record: int | None = None
    """Of zenodo: number of the record of one version, not the one that stands for all versions."""
    repo: str | None = None
    """Of huggingface: owner/name of a data set."""
    revision: str | None = None
    """Of huggingface: commit, branch or tag; the index names the commit."""
    bucket: str | None = None
    prefix: str = ""
    region: str = "us-east-1"
    endpoint: str | None = None
    """Of s3: where not at AWS."""

    @pydantic.model_validator(mode="after")
    def _fits_its_source(self) -> "Manifest":
        missing = [key for key in _NEEDED[self.source] if not getattr(self, key)]
        if missing:
            raise ValueError(f"source {self.source} needs {', '.join(missing)}")
        foreign = [key for key in _OWN if key in self.model_fields_set and self.source not in _OWN[key]]
        if foreign:
            raise ValueError(f"{foreign[0]} is of source {_OWN[foreign[0]][0]}, not of {self.source}")
        lacking = [file.path for file in self.files if self.source in ("http", "dropbox") and file.url is None]
        if lacking:
            raise ValueError(f"file {lacking[0]} needs a url")
        repeated = sorted({file.path for file in self.files if [f.path for f in self.files].count(file.path) > 1})
        if repeated:
            raise ValueError(f"file {repeated[0]} is there twice")
        return self

    def wants(self, path: str) -> bool:
        """Whether a file of the source is asked for, by `include` and `files`."""
        if self.include and not any(fnmatch.fnmatchcase(path, pattern) for pattern in self.include):
            return False
        return not self.files or path in {file.path for file in self.files}


def read_manifest_file(path: Path) -> Manifest:
    """Read and check a manifest.

    Raises
    ------
    SourceError
        It cannot be read, is no YAML, or says something wrong: with line, key and value.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"manifest {path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    try:
        document = parse(text, str(path))
    except RecipeError as error:  # the reader of recipes: the same rules of YAML
        raise SourceError(str(error)) from error
    try:
        return Manifest.model_validate(document.values)
    except pydantic.ValidationError as error:
        raise SourceError(document.explain(error).replace("recipe is", "manifest is")) from error
