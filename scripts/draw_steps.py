"""Draw what each preprocessing step does to a synthetic patient: docs/images/steps-*.png.

python scripts/draw_steps.py
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from medimagenet.geometry import Grid
from medimagenet.preprocess.steps import (
    ClipPercentile,
    CropBody,
    CropForeground,
    CropMask,
    CropNonzero,
    CropPad,
    Denoise,
    HistogramMatch,
    LargestComponent,
    MergeLabels,
    MonaiTransform,
    N4BiasCorrection,
    Orient,
    Resample,
    ResampleTo,
    SelectRois,
    SimpleItkFilter,
    Suv,
    ToCtGrid,
    ToPetGrid,
    fit_landmarks,
)
from medimagenet.synthetic import random_phantom
from medimagenet.viz import Plane, Row, Tile, case_tiles, write_montage
from medimagenet.volume import Case, Mask, Volume

IMAGES = Path(__file__).parents[1] / "docs" / "images"
CT_GRID = Grid((128, 112, 40), (3.6, 3.6, 9.0), (-228.6, -199.8, -175.5))
PT_GRID = Grid((64, 56, 40), (7.2, 7.2, 9.0), (-226.8, -198.0, -175.5))
WINDOW = (-200.0, 300.0)
REGIONS = ("spine", "liver", "GTV")
TUMOUR_SLICE = int(random_phantom(PT_GRID, seed=4).masks(PT_GRID, ["GTV"]).array[0].sum(axis=(1, 2)).argmax())
Limits = tuple[float, float] | None


def main() -> None:
    """Write the pictures."""
    space, values, masks = _space(), _values(), _masks()
    legends = {"space": ["liver"], "values": [], "masks": ["first class", "second class", "third class"]}
    for name, rows in (("space", space), ("values", values), ("masks", masks)):
        write_montage(IMAGES / f"steps-{name}.png", rows, legends[name])


def _patient(noise: float = 12.0) -> Case:
    phantom = random_phantom(CT_GRID, seed=4)
    random = np.random.default_rng(0)
    ct = phantom.image(CT_GRID, "CT") + random.normal(0, noise, CT_GRID.shape)
    mr = np.maximum(phantom.image(CT_GRID, "MR") + random.normal(0, noise, CT_GRID.shape), 0)
    images = {
        "CT": Volume(np.rint(ct).astype(np.int16), CT_GRID, "HU"),
        "MR": Volume(mr.astype(np.float32), CT_GRID),
        "PT": Volume(phantom.image(PT_GRID, "PT").astype(np.float32), PT_GRID, "SUVbw g/ml"),
    }
    liver = phantom.masks(CT_GRID, ["liver"])
    return Case(sample_id="synthetic", patient_id="synthetic", images=images, mask=liver)


def _only(case: Case, name: str) -> Case:
    return replace(case, images={name: case.images[name]})


def _row(title: str, before: Case, after: Case, name: str, limits: Limits = WINDOW, words: str = "") -> Row:
    """The axial slice with the mask before and after a step, both in one window."""
    tiles = [_tile(case, name, limits, said) for case, said in ((before, "before"), (after, words or "after"))]
    return Row(title, tuple(tiles))


def _tile(case: Case, name: str, limits: Limits, caption: str) -> Tile:
    image = case.images[name]
    masks = np.zeros((1, *image.grid.shape), bool) if case.mask is None else case.mask.array
    on_grid = masks if masks.shape[1:] == image.grid.shape else np.zeros((len(masks), *image.grid.shape), bool)
    (tile,) = case_tiles(image.array, image.grid, on_grid, limits=limits, planes=(Plane.AXIAL,))
    return replace(tile, caption=caption)


def _space() -> list[Row]:
    case = _patient()
    ct = _only(case, "CT")
    both = replace(case, images={"CT": case.images["CT"], "PT": case.images["PT"]})
    fine = Resample(spacing=(8.0, 8.0, 9.0))(ct)
    return [
        _orient(ct),
        _row("Resample: 3.6 mm to 8 mm", ct, fine, "CT", words="spacing [8, 8, 9]"),
        _row("CropBody: the largest part above -300 HU", ct, CropBody()(ct), "CT", words="box of the body"),
        _foreground(both),
        _nonzero(ct),
        _row("CropMask: the classes and 30 mm", ct, CropMask(margin_mm=30)(ct), "CT", words="margin_mm 30"),
        _row("CropPad: 96 x 128 voxels", ct, CropPad(size=(96, 128, None))(ct), "CT", words="cut in x, padded in y"),
        _resample_to(both),
        _row("ToPetGrid: CT and mask on the grid of the PET", both, ToPetGrid()(both), "CT", words="7.2 mm"),
        _to_ct_grid(both),
    ]


def _foreground(both: Case) -> Row:
    masks = random_phantom(PT_GRID, seed=4).masks(PT_GRID, ["liver"])
    pet = replace(both, images={"PT": both.images["PT"]}, mask=masks)
    kept = CropForeground(threshold=1.5)(pet)
    return _row("CropForeground: above 1.5 g/ml", pet, kept, "PT", (0.0, 8.0), "box of the uptake")


def _nonzero(ct: Case) -> Row:
    """A CT whose surroundings are zero, as after a skull strip."""
    image = ct.images["CT"]
    body = np.where(image.array > -300, image.array, 0)
    zeros = replace(ct, images={"CT": image.with_array(body.astype(np.int16))})
    return _row("CropNonzero: what is not zero, and 10 mm", zeros, CropNonzero(margin_mm=10)(zeros), "CT", (-50, 300))


def _to_ct_grid(both: Case) -> Row:
    """The PET leads, and comes onto the grid of the CT all the same."""
    pet_first = replace(
        both,
        images={"PT": both.images["PT"], "CT": both.images["CT"]},
        mask=random_phantom(PT_GRID, seed=4).masks(PT_GRID, ["liver"]),
    )
    return _row(
        "ToCtGrid: PET and mask on the grid of the CT", pet_first, ToCtGrid()(pet_first), "PT", (0.0, 8.0), "3.6 mm"
    )


def _orient(case: Case) -> Row:
    """The slice as it lies in memory: towards right and anterior, as NIfTI often has it, and after the step."""
    turned = Orient(orientation="RAS")(case)
    back = Orient()(turned)

    def in_memory(each: Case, caption: str) -> Tile:
        assert each.mask is not None
        image, mask = replace(each.images["CT"], grid=CT_GRID), replace(each.mask, grid=CT_GRID)
        return _tile(replace(each, images={"CT": image}, mask=mask), "CT", WINDOW, caption)

    stored = replace(in_memory(turned, "in memory, RAS"), sides=("L", "R"))
    return Row("Orient: x, y, z to left, posterior, superior", (stored, in_memory(back, "in memory, LPS")))


def _resample_to(both: Case) -> Row:
    """Before it the mask is drawn on the grid of the PET, to show the same slice."""
    on_pet = replace(both, mask=random_phantom(PT_GRID, seed=4).masks(PT_GRID, ["liver"]))
    tiles = _tile(on_pet, "PT", (0.0, 8.0), "7.2 mm"), _tile(ResampleTo(image="PT")(both), "PT", (0.0, 8.0), "3.6 mm")
    return Row("ResampleTo: the PET on the grid of the CT", tiles)


def _values() -> list[Row]:
    case = replace(_patient(25.0), mask=None)
    ct, mr = _only(case, "CT"), _only(_patient(4.0), "MR")
    mr = replace(mr, mask=None)
    x = np.linspace(-1, 1, CT_GRID.size[0])
    bright = mr.images["MR"].array * np.exp(0.7 * x).astype(np.float32)
    biased = replace(mr, images={"MR": mr.images["MR"].with_array(bright)})
    other = replace(mr, images={"MR": mr.images["MR"].with_array(mr.images["MR"].array * 0.55 + 40)})
    gradient = SimpleItkFilter(image="MR", filter="GradientMagnitudeImageFilter")
    smooth = MonaiTransform(image="CT", transform="GaussianSmooth", settings={"sigma": (2.0, 2.0, 0.1)})
    matched = HistogramMatch(image="MR", landmarks=fit_landmarks([mr.images["MR"]], high=400.0, above=20.0), above=45.0)
    return [
        Row(
            "Normalize by a window: the voxels stay, the network sees 0 to 120 HU as 0 to 1",
            (_tile(ct, "CT", (-1000.0, 1000.0), "stored"), _tile(ct, "CT", (0.0, 120.0), "as it is seen")),
        ),
        _row("Denoise, median of 3 x 3 x 3", ct, Denoise(image="CT", method="median")(ct), "CT", (-100.0, 150.0)),
        _row("ClipPercentile, 40 to 90", ct, ClipPercentile(image="CT", lower=40, upper=90)(ct), "CT", (-400.0, 400.0)),
        _row("N4BiasCorrection", biased, N4BiasCorrection(shrink=2)(biased), "MR", (0.0, 450.0)),
        _row("HistogramMatch (Nyul)", other, matched(other), "MR", (0.0, 400.0)),
        _suv(),
        Row(
            "SimpleItkFilter: GradientMagnitudeImageFilter",
            (_tile(mr, "MR", (0.0, 450.0), "before"), _tile(gradient(mr), "MR", (0.0, 60.0), "0 to 60 per mm")),
        ),
        _row("MonaiTransform: GaussianSmooth, 2 voxels in x and y", ct, smooth(ct), "CT", (-100.0, 150.0)),
    ]


def _suv() -> Row:
    """The same PET in Bq/ml and in SUV, each in the window of 0 to 8 g/ml, in which all activity is white."""
    case = replace(_only(_patient(), "PT"), mask=None)
    step = Suv(weight_kg=70, injected_bq=3.5e8, minutes=60)
    at_liver = slice(TUMOUR_SLICE - 2, TUMOUR_SLICE + 3)
    suv, grid = case.images["PT"].array[at_liver], replace(PT_GRID, size=(*PT_GRID.size[:2], 5))
    activity = suv * (3.5e8 * 0.5 ** (60 / step.half_life_min)) / 70_000
    before = replace(case, images={"PT": Volume(activity.astype(np.float32), grid, "Bq/ml")})
    highest = float(activity.max())
    return _row(
        f"Suv: from Bq/ml, up to {highest:,.0f}, to g/ml", before, step(before), "PT", (0.0, 8.0), "SUV, 0 to 8 g/ml"
    )


def _masks() -> list[Row]:
    case = _only(_patient(), "CT")
    assert case.mask is not None
    torn = case.mask.array.copy()
    torn[:, :, 20:24, 20:24] = True
    torn[:, :, 80:90, 95:100] = True
    parts = replace(case, mask=Mask(torn, case.mask.grid, case.mask.names))
    named = _random_regions()
    chosen = SelectRois(classes={"organ": ("liver",), "tumour": ("GTV.*",)})(named)
    merged = MergeLabels(classes=("GTV",), into="liver", keep=False)(named)
    return [
        _row("SelectRois: liver and GTV become two classes", named, chosen, "CT", words="organ, tumour"),
        _row("MergeLabels: the GTV becomes a part of the liver", named, merged, "CT", words="one class less"),
        _row("LargestComponent", parts, LargestComponent()(parts), "CT"),
    ]


def _random_regions() -> Case:
    """With three regions, in the order of their file."""
    case = _only(_patient(), "CT")
    masks = random_phantom(CT_GRID, seed=4).masks(CT_GRID, REGIONS)
    order = {name: masks[name] for name in REGIONS}
    order["liver"] = order["liver"] & ~order["GTV"]
    return replace(case, mask=Mask(np.stack(list(order.values())), CT_GRID, REGIONS))


if __name__ == "__main__":
    main()
