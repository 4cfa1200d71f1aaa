"""train: takes loaders, gives MONAI, Lightning and TensorFlow objects; on disk: their checkpoints.

`DataModule` hands a store to Lightning; `monai_adapter` joins MONAI's inference and DataLoader with our datasets;
`train_segmentation` is a whole small training.
"""

from typing import TYPE_CHECKING

from .._lazy import lazy_names

if TYPE_CHECKING:
    from .datamodule import DataModule as DataModule
    from .fit import TrainingReport as TrainingReport
    from .fit import TrainingSettings as TrainingSettings
    from .fit import draw_training as draw_training
    from .fit import predict_masks as predict_masks
    from .fit import train_segmentation as train_segmentation
    from .monai_adapter import EpochLoader as EpochLoader
    from .monai_adapter import predict_volume as predict_volume
    from .monai_adapter import to_stored_order as to_stored_order
    from .predict import PredictedVolumes as PredictedVolumes
    from .segmentation import SegmentationModule as SegmentationModule
    from .tensorflow import to_tf_dataset as to_tf_dataset

_HOMES = {
    "DataModule": "datamodule",
    "EpochLoader": "monai_adapter",
    "PredictedVolumes": "predict",
    "SegmentationModule": "segmentation",
    "TrainingReport": "fit",
    "TrainingSettings": "fit",
    "draw_training": "fit",
    "predict_masks": "fit",
    "predict_volume": "monai_adapter",
    "to_stored_order": "monai_adapter",
    "to_tf_dataset": "tensorflow",
    "train_segmentation": "fit",
}

__all__ = [
    "DataModule",
    "EpochLoader",
    "PredictedVolumes",
    "SegmentationModule",
    "TrainingReport",
    "TrainingSettings",
    "draw_training",
    "predict_masks",
    "predict_volume",
    "to_stored_order",
    "to_tf_dataset",
    "train_segmentation",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
