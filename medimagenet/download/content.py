"""Whether what arrived is the series that was asked for: instances counted, UIDs compared, every header read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..dicom.header_scan import FileProblem, InstanceHeader, scan
from ..errors import SourceError
from .layout import is_uid, safe_name
from .unpack import Member

WHOLE = frozenset({"zip", "tar"})
"""Formats of rows that are archives of which only the outside is known: all that is in them belongs to the row."""


class WrongContentError(SourceError):
    """What arrived is not the series that was asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """A series that is right: its files, called as they shall be, and what is odd about it."""

    members: tuple[Member, ...]
    instances: int
    notes: tuple[str, ...] = ()


def check_content(row: Mapping[str, Any], members: Sequence[Member], *, packed: bool) -> Content:
    """Compare what arrived with the row of the index that it was asked for.

    A file that is damaged as DICOM is refused, unless its checksum is the archive's: then it is what the archive has,
    and a note says what is odd.

    Parameters
    ----------
    row
        Of the index.
    members
        The files.
    packed
        Whether they were in archives. Then DICOM objects are called by their SOPInstanceUID, since the names inside
        archives mean nothing; what else was packed with them, such as a licence, keeps its name.

    Raises
    ------
    WrongContentError
        Files are missing, too many, of another series, twice the same instance, damaged, or no DICOM.
    """
    if row["file_format"] is not None:
        return _check_files(row, members)
    results = scan([member.path for member in members], jobs=1)
    instances: dict[str, Member] = {}
    others: list[Member] = []
    notes: list[str] = []
    for member, result in zip(members, results, strict=True):
        if isinstance(result, InstanceHeader):
            uid = _check_header(row, member, result, instances)
            instances[uid] = replace(member, name=f"{uid}.dcm") if packed and is_uid(uid) else member
        elif packed and result.finding.code == "not_dicom":
            others.append(replace(member, name=_name_beside(row, member.name)))
        else:
            notes.append(_damaged(member, result))
            instances[member.name] = member
    count = row["n_instances"]
    if count and len(instances) != count:
        raise WrongContentError(f"{_name(row)} has {len(instances)} instances, its index says {count}")
    if not instances:
        raise WrongContentError(f"{_name(row)}: nothing that arrived is DICOM")
    return Content(members=(*instances.values(), *others), instances=len(instances), notes=tuple(notes))


def _check_header(row: Mapping[str, Any], member: Member, header: InstanceHeader, seen: Mapping[str, Member]) -> str:
    """The SOPInstanceUID of a file that belongs to the series."""
    series, uid = header.values["SeriesInstanceUID"], header.values.get("SOPInstanceUID") or member.name
    if series != row["SeriesInstanceUID"]:
        raise WrongContentError(f"{member.name} is of series {series}, {row['SeriesInstanceUID']} was asked for")
    if uid in seen:
        raise WrongContentError(f"{member.name} and {seen[uid].name} are both instance {uid}")
    if row["SOPInstanceUID"] and row["n_instances"] == 1 and uid != row["SOPInstanceUID"]:
        raise WrongContentError(f"{member.name} is instance {uid}, {row['SOPInstanceUID']} was asked for")
    return str(uid)


def _damaged(member: Member, problem: FileProblem) -> str:
    text = f"{member.name}: {problem.finding.message}"
    if not member.verified:
        raise WrongContentError(text)
    return f"{text}; its checksum is that of the archive, so it is kept"


def _check_files(row: Mapping[str, Any], members: Sequence[Member]) -> Content:
    """Files of other formats: those that the row names, with the checksums that it gives."""
    named = [] if row["file_format"] in WHOLE else list(row["files"])
    wanted = named or [member.name for member in members]
    by_name = {member.name: member for member in members}
    missing = [name for name in wanted if name not in by_name]
    if missing:
        raise WrongContentError(f"{_name(row)} lacks {len(missing)} of {len(wanted)} files, such as {missing[0]}")
    return Content(members=tuple(by_name[name] for name in wanted), instances=len(wanted))


def _name_beside(row: Mapping[str, Any], name: str) -> str:
    """Name of what is no DICOM: with the series' UID, as several series may share a folder."""
    return f"{row['SeriesInstanceUID']}.{safe_name(name.rpartition('/')[2])}"


def _name(row: Mapping[str, Any]) -> str:
    return f"series {row['SeriesInstanceUID']}"
