"""What an item holds when it is decoded: images, and masks one at a time."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import store as stores
from ..dicom import read_mask
from ..dicom.mask import read_regions
from ..errors import DicomError
from ..findings import Finding
from ..geometry import Grid
from ..index import Index
from ..preprocess import Recipe, preprocess
from ..preprocess.pipeline import StepProgress
from ..volume import Volume
from .convert_plan import Item
from .decode import NIFTI, exactly, read_by_recipe, read_case, read_nifti_regions
from .plan import ANNOTATIONS

if TYPE_CHECKING:
    from ..store import ArrayReader  # would load all that reads a store, which an index does without

LABEL = "label"
MASK_BYTES = 1 << 28
"""Of masks that are in memory at once, where a file has many regions."""


@dataclass(slots=True, kw_only=True)
class Content:
    """Images by modality, the leading one first, and the way to its masks."""

    images: dict[str, Volume]
    masks: Callable[[], Iterator[tuple[str, NDArray[Any]]]]
    """Name and (Z, Y, X), bool or uint8 of 0 and 1, on the leading grid. An array is only good until the next comes."""
    label: NDArray[np.uint8] | None = None
    """(Z, Y, X), a map of all classes, in place of masks."""
    classes: tuple[str, ...] = ()
    """Of the values 1, 2, ... of the map."""
    findings: list[Finding] = field(default_factory=list)
    """Grows while masks come."""
    provenance: list[Any] = field(default_factory=list)

    @property
    def grid(self) -> Grid:
        """Of the leading image and all masks."""
        return next(iter(self.images.values())).grid


def read_content(item: Item, recipe: Recipe | None, *, as_map: bool, progress: StepProgress | None = None) -> Content:
    """Decode an item, and preprocess it where there is a recipe.

    Parameters
    ----------
    as_map : one label map in place of a mask per class; the later class wins where they overlap
    progress : of the recipe's steps that take long, as `preprocess` takes it

    Raises
    ------
    DicomError
        A series cannot be decoded.
    """
    if item.store is not None:
        content = _of_store(item, as_map=as_map)
    elif recipe is not None:
        content = _of_recipe(item, recipe, progress, as_map=as_map)
    else:
        content = _as_it_is(item)
    content.findings[:0] = item.findings
    return content


def _of_recipe(item: Item, recipe: Recipe, progress: StepProgress | None, *, as_map: bool) -> Content:
    case = preprocess(read_by_recipe(_sample(item), recipe), recipe, progress=progress)
    mask = case.mask
    content = Content(
        images=dict(case.images),
        masks=lambda: iter(() if mask is None or as_map else zip(mask.names, mask.array, strict=True)),
        findings=list(case.all_findings()),
        provenance=list(case.provenance),
    )
    if mask is not None and as_map:
        content.label, content.classes = mask.to_label_map(), mask.names
    return content


def _as_it_is(item: Item) -> Content:
    """Every image on its own grid, every region of every annotation on that of the leading one."""
    sample = _sample(item)
    images = {name: row for name, row in sample.series.items() if name not in ANNOTATIONS}
    case = read_case(replace(sample, series=images))
    content = Content(images=dict(case.images), masks=lambda: iter(()), findings=list(case.all_findings()))
    content.masks = lambda: _regions(item, content)
    return content


def _regions(item: Item, content: Content) -> Iterator[tuple[str, NDArray[Any]]]:
    """Regions in the order of their files, as many at once as fit: forty would take gigabytes.

    An annotation that cannot be read is a finding; the images are written without it.
    """
    image = next(iter(content.images.values()))
    at_once = max(1, MASK_BYTES // prod(image.grid.shape))
    for modality, row in _sample(item).series.items():
        if modality not in ANNOTATIONS:
            continue
        try:
            path = Index.paths(row)[0]
            if row["file_format"] == NIFTI:
                for mask in read_nifti_regions(row, image):
                    content.findings += mask.findings
                    yield from zip(mask.names, mask.array, strict=True)
                continue
            names = read_regions(path).names
            for start in range(0, len(names), at_once):
                mask = read_mask(path, image, exactly(names[start : start + at_once]))
                content.findings += mask.findings
                yield from zip(mask.names, mask.array, strict=True)
        except DicomError as error:
            content.findings += [*error.findings, Finding(code="not_decodable", message=f"{modality}: {error}")]


def _of_store(item: Item, *, as_map: bool) -> Content:
    store = stores.open_store(item.store or "")
    row = store.row(item.sample_id)
    modalities = {series["modality"].lower(): series["modality"] for series in row["series"] or ()}
    leading = next(iter(modalities.values()), "image")
    images: dict[str, Volume] = {}
    for name in store.names(item.sample_id):
        if name != LABEL:
            key = leading if name == "image" else modalities.get(name, name.upper())
            images[key] = _stored_volume(store.array(item.sample_id, name))
    content = Content(images=images, masks=lambda: iter(()))
    if LABEL in store.names(item.sample_id):
        array = store.array(item.sample_id, LABEL).read()
        _set_label(content, array, store.label_kind, store.classes, as_map=as_map)
    return content


def _set_label(content: Content, array: NDArray[Any], kind: str, classes: Sequence[str], *, as_map: bool) -> None:
    """(C, Z, Y, X) of a store as a map or as masks, whichever is wanted."""
    if kind == "map":
        content.label, content.classes = array[0], tuple(classes)
    elif as_map:
        label = np.zeros(array.shape[1:], dtype=np.uint8)
        for value, channel in enumerate(array, start=1):
            label[channel > 0] = value
        content.label, content.classes = label, tuple(classes)
    else:
        content.masks = lambda: zip(classes, array, strict=True)


def _stored_volume(reader: "ArrayReader") -> Volume:
    array = reader.read()
    array = array[0] if len(array) == 1 else array
    return Volume(array, reader.grid, reader.attributes.get("unit"), normalization=reader.normalization)


def _sample(item: Item) -> Any:
    if item.sample is None:
        raise ValueError(f"item {item.sample_id} comes from no index")
    return item.sample
