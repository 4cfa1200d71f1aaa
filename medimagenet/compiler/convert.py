"""Convert DICOM, NIfTI or a store into files that other programs read: NIfTI, HDF5, nnU-Net raw.

A sample is there when its document is: its files are written below a temporary folder, moved to their places, and the
document is moved last. So a conversion may be killed at any moment, and the next one continues where it was.
"""

import importlib
import json
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

from .. import store as stores
from .._version import __version__
from ..errors import ExportError, RecipeError
from ..export._files import whole_file
from ..export.nifti import COMPRESSION_LEVEL
from ..export.nnunet import check_folder_name, dataset_json, write_json
from ..findings import Finding
from ..index import Index, open_index
from ..preprocess import Recipe
from ..store import attribution_markdown
from ..store.hdf5_files import first_file
from .agreements import check_agreements
from .convert_files import PARTIAL, Settings, is_whole
from .convert_plan import ConvertPlan, Item, To, plan_of_index, plan_of_store, settings_hash
from .convert_table import table_rows, to_csv, to_table
from .pseudonyms import Pseudonyms, key_table_path, user_key, write_private
from .report import CompileReport, Outcome, Result, State
from .run import Progress
from .workers import Tell, Workers

if TYPE_CHECKING:
    from ..store import Store  # would load all that reads one, which an index does without

CONVERSION = "conversion.json"
"""Says what the folder holds; a conversion with other settings does not write into it."""
REPORT = "report.csv"
RECORDS: Mapping[To, str] = {"nifti": "*/*/sample.json", "hdf5": "*/*.json", "nnunet": "metadata/*.json"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvertReport(CompileReport):
    """What a conversion did. `path` is the folder."""

    def to_dict(self) -> dict[str, Any]:
        """JSON values: counts, and the rows."""
        values = CompileReport.to_dict(self)
        return {"out": values.pop("store"), **values}


def convert_dataset(
    source: "Index | Store | Path | str",
    out: Path | str,
    *,
    to: To = "nifti",
    recipe: Recipe | Path | str | None = None,
    jobs: int | None = None,
    level: int | None = COMPRESSION_LEVEL,
    keep_patient_ids: bool = False,
    accept_licenses: Sequence[str] = (),
    executor: Executor | None = None,
    progress: Progress | None = None,
    step_progress: Tell | None = None,
) -> ConvertReport:
    """Write the samples of a folder, an index or a store as files.

    A conversion of the same settings at `out` is continued: samples whose input is unchanged stay, the others are
    made, samples that are no longer in the source leave.

    Parameters
    ----------
    source : a folder of DICOM or NIfTI, an index, a store, or a CSV of image-label pairs (`index_pairs`)
    out : folder to write. For nnU-Net it is called ``DatasetXXX_NAME``
    to : "nifti" (a folder per patient and sample), "hdf5" (a file per sample) or "nnunet" (nnU-Net's raw format)
    recipe : what becomes of the samples of an index. None converts every image series as it is, on its own grid, with
        every region of the annotations that belong to it. A store was made by its recipe already
    jobs : workers; one per core where None. Threads where the input is small, else processes
    level : of compression, 0 to 3; None compresses nothing
    keep_patient_ids : original PatientIDs instead of pseudonyms for local data. The table that leads from
        pseudonyms back lies beside the folder, readable by the user alone: ``<out>.patients.csv``
    accept_licenses : agreements that the user has signed and says yes to, by address or name, where data are bound
        by one
    progress : called with (samples done, samples in all)
    step_progress : as `compile_store` takes it

    Raises
    ------
    LicenseError
        Data are bound by an agreement that is not in `accept_licenses`, or that keeps original IDs out.
    RecipeError, IndexFileError, SourceError
        From reading `recipe` and `source`; RecipeError also where nnU-Net has no classes to learn.
    ExportError
        `out` is taken by something else, a file cannot be written, or no sample could be converted at all.
    """
    started = time.monotonic()
    recipe = recipe if recipe is None or isinstance(recipe, Recipe) else Recipe.load(Path(recipe))
    pseudonyms = None if keep_patient_ids else Pseudonyms(user_key())
    opened = open_source(source, jobs=jobs)
    check_agreements(opened, accept_licenses, keep_patient_ids=keep_patient_ids, what="a copy in another format")
    settings = _settings(Path(out), to, recipe, opened, level)
    plan = make_convert_plan(opened, to, recipe, pseudonyms, frozen=_splits_there(settings))
    _claim(settings)
    outcomes, documents = _convert(plan, settings, Workers(jobs, executor, tell=step_progress), progress)
    report = ConvertReport(
        path=settings.out,
        outcomes=tuple(outcomes[name] for name in sorted(outcomes)),
        not_formed=plan.not_formed,
        seconds=time.monotonic() - started,
    )
    _finish(report, [documents[name] for name in sorted(documents)], settings, opened)
    if pseudonyms is not None and not pseudonyms.is_empty:
        write_private(key_table_path(settings.out), pseudonyms.to_csv())
    return report


def open_source(source: "Index | Store | Path | str", *, jobs: int | None = None) -> "Index | Store":
    """The store, the index or, of a folder of images, the index made now.

    Raises
    ------
    SourceError, IndexFileError, StoreError
        What is there is none of them.
    """
    if not isinstance(source, Path | str):
        return source
    path = Path(source)
    if (path / "zarr.json").is_file() or first_file(path) is not None:
        return stores.open_store(path)
    if path.suffix.lower() == ".csv":
        pairs = importlib.import_module(f"{__package__}.pairs")  # brings nibabel, which other inputs can do without
        opened: Index = pairs.index_pairs(path)
        return opened
    if not path.is_dir():
        return open_index(path)
    build = importlib.import_module(f"{__package__.partition('.')[0]}.index.build")  # brings the scan of headers
    indexed: Index = build.index_directory(path, jobs=jobs)
    return indexed


def make_convert_plan(
    source: "Index | Store",
    to: To,
    recipe: Recipe | None,
    pseudonyms: Pseudonyms | None,
    *,
    frozen: Mapping[str, tuple[str, int | None]] | None = None,
) -> ConvertPlan:
    """What would be written, without writing it. `frozen` is as `make_plan` takes it.

    Raises
    ------
    RecipeError
        The recipe does not fit; a store is given one; nnU-Net has no classes to learn.
    SourceError
        There is nothing to convert.
    """
    if isinstance(source, Index):
        plan = plan_of_index(source, recipe, pseudonyms, frozen=frozen)
        classes = () if recipe is None else recipe.classes
    else:
        if recipe is not None:
            raise RecipeError(
                f"recipe {recipe.name!r} cannot be applied to store {source.path}, which a recipe has made: "
                "leave it out, or convert the index"
            )
        plan, classes = plan_of_store(source), source.classes
    if to == "nnunet" and not classes:
        raise RecipeError(
            "nnU-Net needs classes to learn: give a recipe whose rois say which region names make which class"
        )
    return plan


def _settings(out: Path, to: To, recipe: Recipe | None, source: "Index | Store", level: int | None) -> Settings:
    if to == "nnunet":
        check_folder_name(out)
        if level is None:
            raise ValueError("nnU-Net's raw format is .nii.gz: level must be 0 to 3, got None")
        if recipe is not None:  # so that overlaps that the map loses are a finding
            recipe = recipe.model_copy(update={"label": "map"})
    of_store = "" if isinstance(source, Index) else f"{source.recipe_hash}"
    stamp = settings_hash(to, recipe, of_store, {"level": level})
    return Settings(out=out, to=to, recipe=recipe, level=level, settings_hash=stamp)


def _claim(settings: Settings) -> None:
    """Make the folder, or see that it holds a conversion of these settings; remove what a killed one left."""
    out, place = settings.out, settings.out / CONVERSION
    name = None if settings.recipe is None else settings.recipe.name
    own = {"to": settings.to, "recipe": name, "settings_hash": settings.settings_hash}
    try:
        if place.is_file():
            there = json.loads(place.read_bytes())
            if there.get("settings_hash") != own["settings_hash"]:
                raise ExportError(
                    f"{out} holds a conversion to {there.get('to')} by recipe {there.get('recipe')} with other "
                    f"settings than this one, to {settings.to} by recipe {name}: choose another folder"
                )
        elif out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise ExportError(f"{out} is there and is no conversion: choose another folder, or empty it")
        shutil.rmtree(out / PARTIAL, ignore_errors=True)
        write_json(place, {**own, "medimagenet": __version__})
    except (OSError, ValueError) as error:
        raise ExportError(f"{place} cannot be read or written: {error}") from error


def _splits_there(settings: Settings) -> dict[str, tuple[str, int | None]]:
    """Patient -> split and fold of an earlier conversion, which stay as they are."""
    return {row["patient_id"]: (row["split"] or "", row["fold"]) for _, row in _documents_there(settings)}


def _documents_there(settings: Settings) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """Documents in the folder that can be read, each with its place."""
    for record in sorted(settings.out.glob(RECORDS[settings.to])):
        try:
            row = json.loads(record.read_bytes())
            complete = {"sample_id", "patient_id", "split", "fold", "files"} <= set(row)
        except (OSError, ValueError, TypeError):
            continue
        if complete:
            yield record, row


def _convert(
    plan: ConvertPlan, settings: Settings, workers: Workers, progress: Progress | None
) -> tuple[dict[str, Outcome], dict[str, Mapping[str, Any]]]:
    """Outcomes and documents by sample."""
    outcomes: dict[str, Outcome] = {}
    documents: dict[str, Mapping[str, Any]] = {}
    todo = []
    for item in plan.items:
        there = None if item.obstacles else is_whole(item, settings)
        if item.obstacles:
            outcomes[item.sample_id] = Outcome(sample_id=item.sample_id, state="skipped", findings=item.findings)
        elif there is not None:
            documents[item.sample_id] = there
            findings = tuple(map(Finding.from_row, there["findings"]))
            outcomes[item.sample_id] = Outcome(sample_id=item.sample_id, state="unchanged", findings=findings)
        else:
            todo.append(item)
    for sample_id in _remove_others(settings, {item.sample_id for item in plan.items}, set(outcomes) - set(documents)):
        outcomes.setdefault(sample_id, Outcome(sample_id=sample_id, state="removed"))
    sized = replace(workers, input_bytes=sum(item.input_bytes for item in todo))
    for done, result in enumerate(sized.run(_convert_item, todo, settings), start=1):
        state: State = "skipped" if result.row is None else "written"
        outcomes[result.sample_id] = Outcome(sample_id=result.sample_id, state=state, findings=result.findings)
        if result.row is not None:
            documents[result.sample_id] = result.row
        if progress is not None:
            progress(done, len(todo))
    return outcomes, documents


def _convert_item(item: Item, settings: Settings, *tell: Tell) -> Result:
    """Runs in a worker, which alone needs the decoders and the compiled code."""
    result: Result = importlib.import_module(f"{__package__}.convert_sample").convert_sample(item, settings, *tell)
    return result


def _remove_others(settings: Settings, wanted: set[str], unwanted: set[str]) -> Iterable[str]:
    """Remove samples that are no longer in the source, or must not be made any more: the files their document names."""
    removed = []
    for record, row in list(_documents_there(settings)):
        sample_id = row["sample_id"]
        if sample_id in wanted and sample_id not in unwanted:
            continue
        record.unlink()
        for name in row["files"]:
            (settings.out / name).unlink(missing_ok=True)
        removed.append(sample_id)
    return removed


def _finish(
    report: ConvertReport, documents: Sequence[Mapping[str, Any]], settings: Settings, source: "Index | Store"
) -> None:
    out = settings.out
    shutil.rmtree(out / PARTIAL, ignore_errors=True)
    write_private(out / REPORT, report.to_csv())
    rows = table_rows(documents)
    with whole_file(out / "metadata.parquet") as file:
        pq.write_table(to_table(rows), file, compression="zstd")
    with whole_file(out / "metadata.csv") as file:
        file.write(to_csv(rows).encode())
    with whole_file(out / "ATTRIBUTION.md") as file:
        file.write(attribution_markdown(_attributed(documents)).encode())
    if settings.to == "nnunet":
        _finish_nnunet(documents, settings, source)
    if not documents:
        reasons = sorted({finding.code for outcome in report.skipped for finding in outcome.findings})
        raise ExportError(
            f"none of {len(report.skipped)} samples could be converted ({', '.join(reasons)}): "
            f"{out / REPORT} says why for each"
        )


def _attributed(documents: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            "sample_id": one["sample_id"],
            "series": [{**each, "series_uid": each["SeriesInstanceUID"]} for each in one["series"]],
        }
        for one in documents
    ]


def _finish_nnunet(documents: Sequence[Mapping[str, Any]], settings: Settings, source: "Index | Store") -> None:
    """dataset.json, and the recipe's split in the form that nnU-Net takes as splits_final.json."""
    training = [one for one in documents if one["split"] != "test"]
    channels = [image["name"] for image in documents[0]["images"]] if documents else []
    of_recipe = settings.recipe.classes if settings.recipe else ()
    classes = of_recipe if isinstance(source, Index) else source.classes
    licenses = sorted({one["license"] or "unknown" for one in documents})
    more = {"licence": ", ".join(licenses), "converted_by": f"medimagenet {__version__}"}
    name = settings.out.name.partition("_")[2]
    write_json(settings.out / "dataset.json", dataset_json(name, channels, classes, len(training), more))
    write_json(settings.out / "splits_final.json", _nnunet_splits(training))


def _nnunet_splits(training: Sequence[Mapping[str, Any]]) -> list[dict[str, list[str]]]:
    """One pair of train and val per fold; where there are no folds, the one split of the recipe."""
    folds = sorted({one["fold"] for one in training if one["fold"] is not None})
    if not folds:
        parts = [{one["sample_id"]: one["split"] == "val" for one in training}]
    else:
        parts = [{one["sample_id"]: one["fold"] == fold for one in training} for fold in folds]
    return [
        {
            "train": sorted(name for name, is_val in part.items() if not is_val),
            "val": sorted(name for name, is_val in part.items() if is_val),
        }
        for part in parts
    ]
