"""synthetic: takes a seed, a size and a spacing; gives phantom patients with known truth; on disk DICOM files.

The patients are standard-conforming DICOM (CT, MR, PET, RTSTRUCT, SEG, RTPLAN, RTDOSE) of a body whose organs are
analytic shapes, so that true volumes, masks, HU, SUV and Gy are known without reading a file. They are the demo's
data and much of the tests'. Named defects can be planted in them.
"""

from typing import TYPE_CHECKING

from .._lazy import lazy_names

if TYPE_CHECKING:
    from .defects import DEFECTS as DEFECTS
    from .defects import Defect as Defect
    from .patient import write_patient as write_patient
    from .patients import write_patients as write_patients
    from .phantom import Organ as Organ
    from .phantom import Phantom as Phantom
    from .phantom import random_phantom as random_phantom
    from .shapes import Ellipsoid as Ellipsoid
    from .shapes import Shape as Shape
    from .shapes import Shell as Shell
    from .shapes import Torus as Torus
    from .truth import DoseField as DoseField
    from .truth import PatientTruth as PatientTruth

_HOMES = {
    "DEFECTS": "defects",
    "Defect": "defects",
    "DoseField": "truth",
    "Ellipsoid": "shapes",
    "Organ": "phantom",
    "PatientTruth": "truth",
    "Phantom": "phantom",
    "Shape": "shapes",
    "Shell": "shapes",
    "Torus": "shapes",
    "random_phantom": "phantom",
    "write_patient": "patient",
    "write_patients": "patients",
}

__all__ = [
    "DEFECTS",
    "Defect",
    "DoseField",
    "Ellipsoid",
    "Organ",
    "PatientTruth",
    "Phantom",
    "Shape",
    "Shell",
    "Torus",
    "random_phantom",
    "write_patient",
    "write_patients",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
