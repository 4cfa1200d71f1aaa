"""What can be asked of NBIA: its endpoints and their parameters (sources.md, 1.3 and 1.4).

Version 4 refuses a parameter that it does not know; so questions are made from this table alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass

ADVANCED = "advanced"
"""The interface without a version in its address, which wants a token."""

VERSIONS = ("v1", "v2", "v4", ADVANCED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """How to ask one question."""

    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    post: bool = False
    older: str = ""
    """Its name in version 1 and 2, where that is another."""
    versions: tuple[str, ...] = VERSIONS
    """That have it."""


_PLACE = ("Collection", "Modality", "BodyPartExamined")
_OLD = ("v1", "v2")
_NEW = ("v4", ADVANCED)
_SERIES = (
    *("Collection", "PatientID", "StudyInstanceUID", "Modality", "BodyPartExamined", "ManufacturerModelName"),
    *("Manufacturer", "SeriesInstanceUID"),
)
_MANIFEST = ("patientIDs", "studyUIDs", "seriesUIDs", "anyOrAll", "includeAnnotation")

ENDPOINTS: Mapping[str, Endpoint] = {
    # values
    "getCollectionValues": Endpoint(),
    "getModalityValues": Endpoint(optional=("Collection", "BodyPartExamined")),
    "getBodyPartValues": Endpoint(optional=("Collection", "Modality")),
    "getManufacturerValues": Endpoint(optional=_PLACE),
    "getCollectionValuesAndCounts": Endpoint(versions=_NEW),
    "getModalityValuesAndCounts": Endpoint(optional=("Collection", "BodyPartExamined"), versions=_NEW),
    "getBodyPartValuesAndCounts": Endpoint(optional=("Collection", "Modality"), versions=_NEW),
    "getManufacturerValuesAndCounts": Endpoint(optional=_PLACE, versions=_NEW),
    "getSpeciesValuesAndCounts": Endpoint(versions=_NEW),
    # patients, studies, series
    "getPatient": Endpoint(optional=("Collection", "PatientId")),
    "getPatientByCollectionAndModality": Endpoint(required=("Collection", "Modality")),
    "getPatientStudy": Endpoint(optional=("Collection", "PatientID", "StudyInstanceUID")),
    "getSeries": Endpoint(optional=_SERIES),
    "getUpdatedSeries": Endpoint(optional=("fromDate",)),
    "NewPatientsInCollection": Endpoint(required=("Collection", "fromDate")),
    "NewStudiesInPatientCollection": Endpoint(required=("Collection", "fromDate"), optional=("PatientID",)),
    "getSeriesMetadata": Endpoint(required=("list",), post=True, versions=_NEW),
    "getSeriesMetadata2": Endpoint(required=("list",), post=True, versions=(ADVANCED,)),
    "getSeriesMetadata3": Endpoint(required=("list",), post=True, versions=(ADVANCED,)),
    "getSeriesMetaData": Endpoint(required=("SeriesInstanceUID",), versions=_OLD),
    "getSeriesSize": Endpoint(required=("SeriesInstanceUID",)),
    "getSOPInstanceUIDs": Endpoint(required=("SeriesInstanceUID",)),
    "getDicomTags": Endpoint(required=("SeriesUID",), versions=_NEW),
    "getContentsByName": Endpoint(required=("name",), versions=_OLD),
    "getDeniedSeries": Endpoint(required=("seriesList",), optional=("userName",), post=True),
    # collections
    "getCollectionDescriptions": Endpoint(optional=("collectionName",), versions=_NEW),
    "getCollectionOrSeriesForDOI": Endpoint(
        required=("DOI",), optional=("CollectionOrSeries",), post=True, versions=_NEW
    ),
    "getLicenses": Endpoint(versions=_NEW),
    # manifests: answered as text
    "getManifestText": Endpoint(required=("list",), optional=("includeAnnotation",), post=True, versions=_NEW),
    "getManifestFromPatientStudySeries": Endpoint(optional=_MANIFEST, post=True, versions=_NEW),
    # images and their hashes
    "getImage": Endpoint(required=("SeriesInstanceUID",), optional=("NewFileNames", "IncludeMD5")),
    "getImageWithMD5Hash": Endpoint(required=("SeriesInstanceUID",), versions=_OLD),
    "getSingleImage": Endpoint(required=("SeriesInstanceUID", "SOPInstanceUID")),
    "getMD5HashForImage": Endpoint(required=("SOPInstanceUID",), older="getM5HashForImage"),
    "getMD5Hierarchy": Endpoint(
        optional=("SeriesInstanceUID", "StudyInstanceUID", "PatientID", "Collection"), post=True, versions=_NEW
    ),
}
"""By the name in version 4."""

OLDER_PARAMETERS = {
    ("getMD5HashForImage", "SOPInstanceUID"): "SOPInstanceUid",
    ("NewPatientsInCollection", "fromDate"): "Date",
    ("NewStudiesInPatientCollection", "fromDate"): "Date",
}
"""(endpoint, parameter of version 4) -> parameter of version 1 and 2, where that is another."""

DATE_FORMS = {"v4": "%m-%d-%Y", "getUpdatedSeries": "%d/%m/%Y", "": "%Y/%m/%d"}
"""Of a date in a question: of version 4, of one endpoint of the older ones, of their others."""
