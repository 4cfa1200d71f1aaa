"""Compile: a selection and a recipe become a store.

=====  ======================  =========  ============================================
stage  takes                   gives      on disk
=====  ======================  =========  ============================================
here   `Index` and `Recipe`    `Store`    Zarr shards; report and patient key beside it
=====  ======================  =========  ============================================

What joins stages that may not import one another (decode, preprocess, store, viz) lives here.
"""

from typing import TYPE_CHECKING

from .._lazy import lazy_names

if TYPE_CHECKING:
    from .convert import ConvertReport as ConvertReport
    from .convert import convert_dataset as convert_dataset
    from .decode import read_case as read_case
    from .fingerprint import nnunet_fingerprint as nnunet_fingerprint
    from .pairs import index_pairs as index_pairs
    from .report import CompileReport as CompileReport
    from .report import Outcome as Outcome
    from .run import compile_store as compile_store

_HOMES = {
    "CompileReport": "report",
    "ConvertReport": "convert",
    "Outcome": "report",
    "compile_store": "run",
    "convert_dataset": "convert",
    "index_pairs": "pairs",
    "nnunet_fingerprint": "fingerprint",
    "read_case": "decode",
}

__all__ = [
    "CompileReport",
    "ConvertReport",
    "Outcome",
    "compile_store",
    "convert_dataset",
    "index_pairs",
    "nnunet_fingerprint",
    "read_case",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
