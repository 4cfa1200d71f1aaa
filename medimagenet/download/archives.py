"""Archives that a user has already, such as case zips of NMDID: unpacked, each whole or not at all.

What is inside is as little trusted as what a server sends: names are checked, number and size have limits.
"""

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from ..errors import SourceError
from .unpack import Limits, Member, unpack

_ENDINGS = {".zip": "zip", ".tar": "tar", ".tgz": "tar", ".gz": "tar", ".bz2": "tar", ".xz": "tar"}


def unpack_archives(
    archives: Iterable[Path | str],
    folder: Path | str,
    *,
    limits: Limits | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Unpack zips and tars into a folder each, which has the name of its archive.

    One that is there already is passed over. What an archive has below a single folder of its own name comes without
    that folder twice: ``case-100010.zip`` gives ``case-100010/omi/...``.

    Parameters
    ----------
    archives
        Files that end in .zip, .tar, .tgz, .tar.gz, .tar.bz2 or .tar.xz.
    folder
        Is made where it is not there, readable by the user alone.
    limits
        Of number and size of what comes out.
    progress
        Called with the number of archives done and of all.

    Returns
    -------
    folders : one per archive, in their order; also of those that were there.

    Raises
    ------
    SourceError
        An archive is missing, damaged, hostile or larger than the limits; those before it stay unpacked.
    """
    folder = Path(folder)
    each = [Path(one) for one in archives]
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    places = []
    for done, archive in enumerate(each):
        if progress is not None:
            progress(done, len(each))
        place = folder / _stem(archive)
        if not place.exists():
            _unpack_one(archive, place, limits)
        places.append(place)
    if progress is not None:
        progress(len(each), len(each))
    return places


def _stem(archive: Path) -> str:
    if archive.suffix.lower() not in _ENDINGS:
        raise SourceError(f"{archive.name} is no zip or tar by its name: {', '.join(_ENDINGS)}")
    stem = archive.name[: -len(archive.suffix)]
    return stem.removesuffix(".tar") or "archive"


def _unpack_one(archive: Path, place: Path, limits: Limits | None) -> None:
    if not archive.is_file():
        raise SourceError(f"no archive at {archive}: check the path")
    work = place.with_name(f".{place.name}.tmp")
    shutil.rmtree(work, ignore_errors=True)  # of a run that was killed
    try:
        members = unpack(_ENDINGS[archive.suffix.lower()], archive, work / "members", limits=limits)
        if not members:
            raise SourceError(f"{archive.name} is empty")
        _arrange(members, work / "tree")
        inner = work / "tree" / place.name
        alone = inner.is_dir() and len(list((work / "tree").iterdir())) == 1
        (inner if alone else work / "tree").rename(place)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _arrange(members: Iterable[Member], tree: Path) -> None:
    """Give members the names that they had, which were checked."""
    for member in members:
        target = tree / member.name
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():  # names that this disk takes for one, such as A and a
            raise SourceError(f"two members of an archive have the name {member.name!r} on this disk")
        member.path.rename(target)
