"""What this machine has and lacks for the package: versions, codecs, hardware, caches. Takes: nothing. Gives: `Report`.

Each check is a small function that gives `Check` rows; one that fails is itself a row, so that a broken machine still
gets a report. Nothing is left behind: what is written to measure the disk is removed.
"""

import ctypes.util
import importlib
import importlib.metadata
import importlib.util
import os
import platform
import re
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from ._optional import is_installed
from ._places import CACHE_VARIABLE, CONFIG_VARIABLE, cache_dir, config_dir
from ._version import __version__

DISTRIBUTION = "medimagenet"
EXTRAS = ("train", "tensorflow", "dask", "notebook", "radiomics")
MODULES = {  # what is imported, where it is called otherwise than the distribution with "_" for "-"
    "pyjpegls": "jpeg_ls",
    "pylibjpeg-libjpeg": "libjpeg",
    "pylibjpeg-openjpeg": "openjpeg",
    "pyyaml": "yaml",
    "simpleitk": "SimpleITK",
}
TRANSFER_SYNTAXES = {  # DICOM PS3.6 table A-1: those that archives of radiology images hold
    "JPEGBaseline8Bit": "JPEG baseline",
    "JPEGExtended12Bit": "JPEG extended, 12 bit",
    "JPEGLossless": "JPEG lossless",
    "JPEGLosslessSV1": "JPEG lossless, first order",
    "JPEGLSLossless": "JPEG-LS lossless",
    "JPEGLSNearLossless": "JPEG-LS near-lossless",
    "JPEG2000Lossless": "JPEG 2000 lossless",
    "JPEG2000": "JPEG 2000",
    "HTJ2KLossless": "High-throughput JPEG 2000 lossless",
    "RLELossless": "RLE",
}
LITTLE_MEMORY = 4e9  # bytes: one uncompressed 512 x 512 x 600 CT with its masks and copies takes about 2 GB
LITTLE_DISK = 10e9  # bytes: a small public collection with its store
SLOW_DISK = 50e6  # bytes/s: compiling writes about this much per core
FEW_FILES = 1024  # open files: a store of a thousand samples keeps a shard of each open
PROBE_BYTES = 32 * 2**20  # written once to measure the disk: long enough to see it, short enough not to wait


class Status(StrEnum):
    """What a check found."""

    OK = "ok"
    WARN = "warn"
    """It works, but something will be slow or may run out."""
    MISSING = "missing"
    """It is not there or does not work; `Check.remedy` says how to get it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was looked at."""

    area: str
    """"versions", "codecs", "machine", "disk", "GPU" or "caches"."""
    name: str
    status: Status
    detail: str
    remedy: str = ""
    """What to do, empty where there is nothing to do."""
    required: bool = False
    """Whether indexing, compiling and loading need it."""


@dataclass(frozen=True, slots=True)
class Report:
    """All checks, area by area."""

    checks: tuple[Check, ...]

    @property
    def is_ready(self) -> bool:
        """Whether everything that is required works."""
        return not any(check.required and check.status is Status.MISSING for check in self.checks)

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {"ready": self.is_ready, "checks": [asdict(check) for check in self.checks]}


def examine(folder: Path | None = None) -> Report:
    """Look at everything.

    Parameters
    ----------
    folder : where data will be written; its disk is measured. None takes the present one.
    """
    place = folder or Path.cwd()
    looks: list[tuple[str, Callable[[], Iterable[Check]]]] = [
        ("versions", _python),
        ("versions", _core_packages),
        ("versions", _extras),
        ("codecs", _transfer_syntaxes),
        ("codecs", _store_codec),
        ("codecs", _hdf5_codec),
        ("machine", _processor),
        ("machine", _memory),
        ("machine", _open_files),
        ("disk", lambda: _disk(place)),
        ("GPU", _gpu),
        ("caches", _caches),
        ("caches", _kernels),
    ]
    return Report(tuple(check for area, look in looks for check in _guarded(area, look)))


def _guarded(area: str, look: Callable[[], Iterable[Check]]) -> Iterator[Check]:
    """The checks of one look; where it fails, the failure as a check."""
    try:
        yield from look()
    except Exception as error:
        name = look.__name__.strip("_<>")
        detail = f"could not be looked at: {type(error).__name__}: {error}"
        yield Check(area=area, name=name, status=Status.WARN, detail=detail)


# ---- versions


def _python() -> Iterator[Check]:
    detail = f"{__version__}, Python {platform.python_version()} at {sys.executable}, {platform.platform()}"
    yield Check(area="versions", name=DISTRIBUTION, status=Status.OK, detail=detail, required=True)


def _core_packages() -> Iterator[Check]:
    for name, oldest, extra in _requirements():
        if extra is None:
            yield _package(name, oldest)


def _package(name: str, oldest: str) -> Check:
    """Whether a required package is there, new enough, and can be imported."""
    remedy = f'pip install "{name}>={oldest}"'
    try:
        version = importlib.metadata.version(name)
        importlib.import_module(MODULES.get(name, name.replace("-", "_")))
    except Exception as error:  # whatever an import of a damaged package raises
        status, detail = Status.MISSING, f"{type(error).__name__}: {error}"
    else:
        is_old = _numbers(version) < _numbers(oldest)
        status = Status.WARN if is_old else Status.OK
        detail = f"{version}, older than {oldest}" if is_old else version
    remedy = "" if status is Status.OK else remedy
    return Check(area="versions", name=name, status=status, detail=detail, remedy=remedy, required=True)


def _extras() -> Iterator[Check]:
    packages: dict[str, list[str]] = {extra: [] for extra in EXTRAS}
    for name, _, extra in _requirements():
        if extra in packages:
            packages[extra].append(name)
    for extra, names in packages.items():
        lacking = [name for name in names if _version(name) is None]
        remedy = f'pip install "{DISTRIBUTION}[{extra}]"' if lacking else ""
        listed = ", ".join(f"{name} {_version(name) or 'not installed'}" for name in names)
        status = Status.MISSING if lacking else Status.OK
        yield Check(area="versions", name=f"extra [{extra}]", status=status, detail=listed, remedy=remedy)


def _requirements() -> Iterator[tuple[str, str, str | None]]:
    """Name, oldest version and extra of what the installed package requires; of an extra's extras nothing."""
    for line in importlib.metadata.requires(DISTRIBUTION) or ():
        found = re.match(r"([\w.-]+)\s*(?:>=\s*([\d.]+))?", line)
        extra = re.search(r"extra\s*==\s*['\"]([\w-]+)['\"]", line)
        if found:
            yield found[1].lower(), found[2] or "0", extra[1] if extra else None


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _numbers(version: str) -> tuple[int, ...]:
    """The release part of a version: (2, 13, 0) of "2.13.0+cpu"."""
    release = re.match(r"[\d.]+", version)
    return tuple(int(part) for part in release[0].split(".") if part) if release else ()


# ---- codecs


def _transfer_syntaxes() -> Iterator[Check]:
    uids = importlib.import_module("pydicom.uid")
    decoders = importlib.import_module("pydicom.pixels")
    for keyword, title in TRANSFER_SYNTAXES.items():
        decoder = decoders.get_decoder(getattr(uids, keyword))
        if decoder.is_available:
            detail = f"by {', '.join(decoder.available_plugins)}"
            yield Check(area="codecs", name=title, status=Status.OK, detail=detail)
        else:
            lacking = "; ".join(decoder.missing_dependencies)
            detail = f"DICOM files of this transfer syntax ({keyword}) cannot be decoded"
            yield Check(area="codecs", name=title, status=Status.MISSING, detail=detail, remedy=f"any of: {lacking}")


def _store_codec() -> Iterator[Check]:
    """What the writer compresses must be what the reader's library gives back."""
    codec = importlib.import_module("numcodecs").Blosc(cname="lz4", shuffle=2)
    text = bytes(range(256)) * 4096
    packed = codec.encode(text)
    library = importlib.import_module("blosc2")
    is_equal = library.decompress(packed) == text and codec.decode(packed) == text
    status = Status.OK if is_equal else Status.MISSING
    remedy = "" if is_equal else 'pip install --force-reinstall "blosc2" "numcodecs"'
    outcome = "gives the bytes back" if is_equal else "gives other bytes"
    detail = f"blosc2 {library.__version__}, LZ4 with bitshuffle: a round trip {outcome}"
    yield Check(area="codecs", name="Zarr store", status=status, detail=detail, remedy=remedy, required=True)


def _hdf5_codec() -> Iterator[Check]:
    plugins = importlib.import_module("hdf5plugin")
    h5py = importlib.import_module("h5py")
    has_blosc = bool(h5py.h5z.filter_avail(plugins.Blosc.filter_id))
    status = Status.OK if has_blosc else Status.MISSING
    detail = f"h5py {h5py.__version__}, Blosc {'is' if has_blosc else 'is not'} among its filters"
    remedy = "" if has_blosc else "pip install --force-reinstall hdf5plugin"
    yield Check(area="codecs", name="HDF5 store", status=status, detail=detail, remedy=remedy)


# ---- machine


def _processor() -> Iterator[Check]:
    model, flags = _cpu_info()
    useful = [name for name in ("avx2", "avx512f", "f16c", "bmi2", "neon", "asimd") if name in flags]
    cores = len(os.sched_getaffinity(0))
    detail = f"{model or platform.machine()}, {cores} of {os.cpu_count()} cores may be used"
    if useful:
        detail += f", has {', '.join(useful)}"
    quota = _cgroup_number("cpu.max")
    if quota is not None and quota < cores:
        remedy = f"--jobs {max(1, round(quota))}, or raise the container's CPU limit"
        detail += f", but the container may use {quota:g}"
        yield Check(area="machine", name="processor", status=Status.WARN, detail=detail, remedy=remedy)
    else:
        yield Check(area="machine", name="processor", status=Status.OK, detail=detail)
    threads = {name: os.environ[name] for name in ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS") if name in os.environ}
    set_threads = ", ".join(f"{name}={value}" for name, value in threads.items()) or "not set"
    numba = importlib.import_module("numba")
    detail = f"numba uses {numba.config.NUMBA_NUM_THREADS}; thread variables: {set_threads}"
    yield Check(area="machine", name="threads", status=Status.OK, detail=detail)


def _cpu_info() -> tuple[str, frozenset[str]]:
    """Model and features of the processor, where the system tells them."""
    path = Path("/proc/cpuinfo")
    text = path.read_text() if path.exists() else ""
    model = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    flags = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", text, re.MULTILINE)
    return model[1] if model else "", frozenset(flags[1].split() if flags else ())


def _cgroup_number(name: str) -> float | None:
    """A limit of the container (cgroup v2): cores of cpu.max, bytes of memory.max. None where there is no limit."""
    path = Path("/sys/fs/cgroup") / name
    words = path.read_text().split() if path.exists() else ["max"]
    if words[0] == "max":
        return None
    return float(words[0]) / float(words[1]) if len(words) > 1 else float(words[0])


def _memory() -> Iterator[Check]:
    text = Path("/proc/meminfo").read_text()
    sizes = {name: int(kibibytes) * 1024 for name, kibibytes in re.findall(r"^(\w+):\s+(\d+) kB", text, re.MULTILINE)}
    limit = _cgroup_number("memory.max")
    free = min(sizes["MemAvailable"], limit or sizes["MemAvailable"])
    detail = f"{_gigabytes(free)} of {_gigabytes(sizes['MemTotal'])} available"
    if limit is not None:
        detail += f", the container's limit is {_gigabytes(limit)}"
    remedy = "" if free >= LITTLE_MEMORY else "use --jobs 1, and end other programs"
    yield Check(area="machine", name="memory", status=_warn_if(free < LITTLE_MEMORY), detail=detail, remedy=remedy)
    shared = shutil.disk_usage("/dev/shm") if Path("/dev/shm").is_dir() else None
    if shared is not None:
        is_small = shared.free < 1e9  # a container's default is 64 MB: torch DataLoader workers then die
        remedy = "start the container with --shm-size=8g, or use PatchLoader, which needs none" if is_small else ""
        detail = f"{_gigabytes(shared.free)} free at /dev/shm"
        yield Check(area="machine", name="shared memory", status=_warn_if(is_small), detail=detail, remedy=remedy)


def _open_files() -> Iterator[Check]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    is_small = 0 <= soft < FEW_FILES
    remedy = f"ulimit -n {hard if hard > 0 else 65536}" if is_small else ""
    detail = f"a process may open {soft} files (at most {hard})"
    yield Check(area="machine", name="open files", status=_warn_if(is_small), detail=detail, remedy=remedy)


def _disk(folder: Path) -> Iterator[Check]:
    free = shutil.disk_usage(folder).free
    remedy = "" if free >= LITTLE_DISK else "free some space, or write to another disk"
    detail = f"{_gigabytes(free)} free at {folder}"
    yield Check(area="disk", name="space", status=_warn_if(free < LITTLE_DISK), detail=detail, remedy=remedy)
    if not os.access(folder, os.W_OK):
        detail = f"{folder} cannot be written"
        yield Check(area="disk", name="speed", status=Status.WARN, detail=detail, remedy="run where you may write")
    elif free > 10 * PROBE_BYTES:
        speed = _write_speed(folder)
        detail = f"writes {speed / 1e6:.0f} MB/s to {folder} (one file of {PROBE_BYTES >> 20} MiB, flushed)"
        remedy = "write stores to a local disk" if speed < SLOW_DISK else ""
        yield Check(area="disk", name="speed", status=_warn_if(speed < SLOW_DISK), detail=detail, remedy=remedy)


def _write_speed(folder: Path) -> float:
    """Bytes per second of one file, flushed to the disk. Random bytes: some file systems compress."""
    block = os.urandom(PROBE_BYTES)
    with tempfile.TemporaryFile(dir=folder) as file:
        start = time.perf_counter()
        file.write(block)
        file.flush()
        os.fsync(file.fileno())
        return PROBE_BYTES / (time.perf_counter() - start)


def _gpu() -> Iterator[Check]:
    if not is_installed("torch"):
        remedy = f'pip install "{DISTRIBUTION}[train]"'
        yield Check(area="GPU", name="torch", status=Status.MISSING, detail="torch is not installed", remedy=remedy)
        return
    torch = importlib.import_module("torch")
    devices = range(torch.cuda.device_count()) if torch.cuda.is_available() else range(0)
    for number in devices:
        known = torch.cuda.get_device_properties(number)
        detail = f"{known.name}, {_gigabytes(known.total_memory)}, torch {torch.__version__}"
        yield Check(area="GPU", name=f"cuda:{number}", status=Status.OK, detail=detail)
    if not devices:
        yield _no_gpu(torch)


def _no_gpu(torch: Any) -> Check:
    """Why torch sees no GPU: there is none, its driver is missing, or this torch was built without CUDA."""
    has_card = Path("/dev/nvidiactl").exists() or bool(ctypes.util.find_library("cuda"))
    if has_card and torch.version.cuda is None:
        detail = f"there is an NVIDIA driver, but torch {torch.__version__} was built without CUDA"
        remedy = "install a CUDA build of torch: https://pytorch.org/get-started/locally"
    elif has_card:
        detail = f"there is an NVIDIA driver, but torch {torch.__version__} (CUDA {torch.version.cuda}) cannot use it"
        remedy = "update the driver, and see that CUDA_VISIBLE_DEVICES names a device"
    else:
        detail, remedy = f"none: torch {torch.__version__} trains on the processor", ""
    return Check(area="GPU", name="GPU", status=Status.WARN, detail=detail, remedy=remedy)


# ---- caches


def _caches() -> Iterator[Check]:
    for name, folder, variable in (
        ("cache", cache_dir(), CACHE_VARIABLE),
        ("settings and pseudonym key", config_dir(), CONFIG_VARIABLE),
    ):
        can_write = _can_write(folder)
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else 0
        detail = f"{folder}: {size / 1e6:.1f} MB, {'can' if can_write else 'cannot'} be written"
        remedy = "" if can_write else f"set {variable} to a folder that can be written"
        yield Check(area="caches", name=name, status=_warn_if(not can_write), detail=detail, remedy=remedy)


def _can_write(folder: Path) -> bool:
    """Whether a file can be made in a folder that exists or can be made."""
    nearest = next(path for path in (folder, *folder.parents) if path.exists())
    return nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)


def _kernels() -> Iterator[Check]:
    """Whether numba compiles and runs our code here, and how long the first call takes."""
    start = time.perf_counter()
    numpy = importlib.import_module("numpy")
    rasterize = importlib.import_module(".kernels.rasterize", __package__)
    square = numpy.array([[1.0, 1.0], [1.0, 3.0], [3.0, 3.0], [3.0, 1.0]])
    filled = int(rasterize.fill_contours([square], (5, 5)).sum())
    seconds = time.perf_counter() - start
    status = Status.OK if filled == 4 else Status.MISSING
    detail = f"compiled code runs; its first call took {seconds:.2f} s" if filled == 4 else f"filled {filled} of 4"
    remedy = "" if filled == 4 else "pip install --force-reinstall numba llvmlite"
    yield Check(area="caches", name="compiled kernels", status=status, detail=detail, remedy=remedy, required=True)


def _warn_if(is_short: bool) -> Status:
    return Status.WARN if is_short else Status.OK


def _gigabytes(count: float) -> str:
    return f"{count / 1e9:.1f} GB"
