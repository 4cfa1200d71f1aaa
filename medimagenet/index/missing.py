"""Why a row is in no sample, in a sentence."""

from collections.abc import Sequence

from ..sources.idc import NAME as PUBLIC_SOURCE
from .graph import Graph, Row
from .links import ANNOTATIONS, REGISTRATION
from .sides import UNTOLD_FRAME, untold_reference


def lead_reason(graph: Graph, lead: Row, absent: Sequence[str]) -> str:
    """Why a leading series has no candidate for the modalities `absent`."""
    return "; ".join(_absence(graph, lead, modality) for modality in absent)


def _absence(graph: Graph, lead: Row, modality: str) -> str:
    if modality not in graph.modalities:
        return f"no {modality} in the index"
    if modality not in ANNOTATIONS:
        if not lead["FrameOfReferenceUID"]:
            return _no_frame(lead, modality)
        return f"no {modality} has the frame of reference of the {lead['Modality']}{_registered(graph)}"
    if graph.is_annotated(lead, modality):
        return f"the {modality} belongs to another copy of the {lead['Modality']}, nearer to it in the folder tree"
    if graph.is_untold(lead, modality):
        return untold_reference(modality)
    beside = graph.in_frame(lead, modality)
    if beside:
        return f"the {modality} of its frame of reference belongs to other images ({_images(graph, beside)})"
    return f"no {modality} refers to the {lead['Modality']}"


def _registered(graph: Graph) -> str:
    """Where there are registrations, that they lead elsewhere."""
    return ", and no REG leads to it" if REGISTRATION in graph.modalities else ""


def _no_frame(row: Row, wanted: str) -> str:
    if row["source"] == PUBLIC_SOURCE:
        return UNTOLD_FRAME
    return f"the {row['Modality']} has no FrameOfReferenceUID (0020,0052), by which its {wanted} would be found"


def row_reason(graph: Graph, row: Row, lead: str) -> str:
    """Why a row that does not lead is in no sample led by the modality `lead`."""
    if row["Modality"] not in ANNOTATIONS:
        if not row["FrameOfReferenceUID"]:
            return _no_frame(row, lead)
        if not graph.in_frame(row, lead) and not graph.registered(row, lead):
            return f"no {lead} has the frame of reference of the {row['Modality']}{_registered(graph)}"
        return f"the {lead} of its frame of reference formed no sample"
    if graph.is_untold(row, row["Modality"]) and row["source"] == PUBLIC_SOURCE:
        return untold_reference(row["Modality"])
    images = [origin for origin in graph.origins(row).values() if origin["Modality"] not in ANNOTATIONS]
    if any(image["Modality"] == lead for image in images):
        return f"the {lead} that the {row['Modality']} refers to formed no sample"
    if images:
        return f"the {row['Modality']} belongs to other images ({_images(graph, [row])})"
    if graph.in_frame(row, lead):
        return f"the {lead} of its frame of reference formed no sample"
    return f"the images of the {row['Modality']} are not in the index, and no {lead} has its frame of reference"


def _images(graph: Graph, annotations: Sequence[Row]) -> str:
    """Modalities of the images that annotations were made from."""
    origins = [origin for row in annotations for origin in graph.origins(row).values()]
    names = sorted({str(origin["Modality"]) for origin in origins if origin["Modality"] not in ANNOTATIONS})
    return ", ".join(names) or "not in the index"
