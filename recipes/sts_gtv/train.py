"""Train a small UNet on the store of this recipe, and report validation Dice before and after.

    python recipes/sts_gtv/train.py sts.zarr --out sts-model [--steps 300]

The whole training is `medimagenet.train.train_segmentation`; its source is a short Lightning example to start from.
"""

import argparse
from pathlib import Path

from medimagenet import open_store
from medimagenet.train import TrainingSettings, draw_training, train_segmentation


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path, help="the compiled store, such as sts.zarr")
    parser.add_argument("--out", type=Path, default=Path("sts-model"), help="folder for weights, report and curve")
    parser.add_argument("--steps", type=int, default=300, help="training steps, about half a second each on two cores")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    _, report = train_segmentation(
        open_store(options.store),
        options.out,
        TrainingSettings(patch_size=(64, 64, 32), inputs=("image", "pt"), steps=options.steps, seed=options.seed),
    )
    draw_training(report, options.out / "loss.png")
    quarter = max(1, len(report.losses) // 4)
    first, last = report.losses[:quarter], report.losses[-quarter:]
    print(f"training loss  {sum(first) / quarter:.3f} (first quarter)  ->  {sum(last) / quarter:.3f} (last quarter)")
    for name in report.classes:
        print(
            f"validation Dice of {name} on {report.validated} held-out patients: "
            f"untrained {report.dice_before[name]:.3f}, best constant {report.dice_constant[name]:.3f}, "
            f"trained {report.dice_after[name]:.3f}"
        )


if __name__ == "__main__":
    main()
