"""Segmentation as LiTS measures it: Dice a case and over all cases, surface distances in mm, lesions found.

    scores([prediction, …], [truth, …], [spacing, …], classes=3, full=True)       # label maps (Z, H, W); {'dice': …, 'dice_liver': …, …}

Regions, as in LiTS (Bilic et al., 2023): the *liver* is every label above 0, lesions included; the *lesion* is label 2.  With two classes there
is one region, the *foreground*.

Where a mask is empty: truth and prediction both empty: the case has no Dice and no distance, and is left out of the mean of cases (nan here).
Only one of them empty: Dice 0, distances the diagonal of the volume, their upper bound.  Global Dice adds voxels up before dividing and needs no
rule but for no voxel at all (nan).  Lesion recall is over lesions, not cases.  A metric that no case defines is left out of the dictionary.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

REGIONS = {
    2: {"foreground": 1},
    3: {"liver": 1, "lesion": 2},
}  # classes -> region -> lowest label in it


def counts(prediction: np.ndarray, truth: np.ndarray) -> tuple[int, int, int]:
    """(voxels in both, in the prediction, in the truth) of two boolean masks of one shape; ValueError otherwise."""
    if prediction.shape != truth.shape:
        raise ValueError(
            f"A prediction {prediction.shape} cannot be compared with a truth {truth.shape}."
        )
    return int((prediction & truth).sum()), int(prediction.sum()), int(truth.sum())


def dice(both: float, predicted: float, true: float) -> float:
    """2 |A n B| / (|A| + |B|); nan where both masks are empty."""
    return 2 * both / (predicted + true) if predicted + true else float("nan")


def surface(
    prediction: np.ndarray, truth: np.ndarray, spacing: Sequence[float]
) -> tuple[float, float]:
    """(ASSD, HD95) in the units of `spacing`: average symmetric surface distance and 95th percentile of the Hausdorff distance, by MONAI.

    Masks (Z, H, W) or (H, W).  HD95 is the larger of the two directions' percentiles.  nan where both are empty.
    """
    import warnings

    import torch
    from monai.metrics import compute_average_surface_distance, compute_hausdorff_distance

    if not prediction.any() and not truth.any():
        return float("nan"), float("nan")
    if not prediction.any() or not truth.any():
        diagonal = float(np.sqrt(sum((n * mm) ** 2 for n, mm in zip(truth.shape, spacing))))
        return diagonal, diagonal
    box = tuple(
        slice(max(int(places.min()) - 1, 0), int(places.max()) + 2)
        for places in np.nonzero(prediction | truth)
    )
    pair = [
        torch.from_numpy(np.pad(mask[box], 1).astype(np.float32))[None, None]
        for mask in (prediction, truth)
    ]
    spacing = [float(mm) for mm in spacing]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # MONAI's, of its own call
        assd = compute_average_surface_distance(
            *pair, include_background=True, symmetric=True, spacing=spacing
        )
        hd95 = compute_hausdorff_distance(
            *pair, include_background=True, percentile=95, spacing=spacing
        )
    return float(assd), float(hd95)


def lesionwise(
    prediction: np.ndarray, truth: np.ndarray, covered: float = 0.5
) -> tuple[int, int, int]:
    """(lesions found, lesions, false alarms) of two boolean masks.

    A lesion is a connected component of the truth (diagonals connect); it is found if at least the share `covered` of its voxels is predicted.
    A false alarm is a component of the prediction that touches no true voxel.
    """
    from scipy import ndimage

    joined = np.ones((3,) * truth.ndim)
    lesions, number = ndimage.label(truth, joined)
    shares = ndimage.mean(prediction, lesions, np.arange(1, number + 1)) if number else []
    alarms, found = ndimage.label(prediction, joined)
    touching = np.unique(alarms[truth & prediction])
    return int(np.sum(np.asarray(shares) >= covered)), int(number), int(found - len(touching))


def largest_component(labels: np.ndarray) -> np.ndarray:
    """Label map with nothing outside the largest connected component of what is not background: there is one liver.  An option, off by default."""
    from scipy import ndimage

    parts, number = ndimage.label(labels > 0, np.ones((3,) * labels.ndim))
    if number < 2:
        return labels
    return np.where(parts == 1 + int(np.bincount(parts.ravel())[1:].argmax()), labels, 0).astype(
        labels.dtype
    )


def by_volume(
    predictions: Sequence[np.ndarray], truths: Sequence[np.ndarray], classes: int
) -> dict[str, list[float]]:
    """{'dice_liver': [one value a volume, nan where undefined], 'dice_lesion': …}, for plots in which every volume is visible."""
    return {
        f"dice_{region}": [dice(*counts(p >= low, t >= low)) for p, t in zip(predictions, truths)]
        for region, low in REGIONS[classes].items()
    }


def scores(
    predictions: Sequence[np.ndarray],
    truths: Sequence[np.ndarray],
    spacings: Sequence[Sequence[float]] = (),
    classes: int = 3,
    full: bool = False,
) -> dict[str, float]:
    """Means over volumes of label maps (Z, H, W).

    'dice' is the mean over the regions of the mean over volumes, 'dice_REGION' that of one region, 'dice_REGION_global' over all voxels.
    `full` adds 'assd_REGION' and 'hd95_REGION' in mm (for volumes whose spacing is known), 'lesion_recall' and 'false_alarms' a volume.
    """
    found, regions = {}, REGIONS[classes]
    for region, low in regions.items():
        each = np.array(
            [counts(p >= low, t >= low) for p, t in zip(predictions, truths)], dtype=float
        )
        found[f"dice_{region}"] = _mean([dice(*case) for case in each])
        found[f"dice_{region}_global"] = dice(*each.sum(0))
        if full and len(spacings):
            pairs = [
                surface(p >= low, t >= low, mm)
                for p, t, mm in zip(predictions, truths, spacings)
                if np.isfinite(mm).all()
            ]
            found[f"assd_{region}"], found[f"hd95_{region}"] = (
                _mean([pair[k] for pair in pairs]) for k in (0, 1)
            )
    if full and "lesion" in regions:
        hits = np.array(
            [lesionwise(p >= 2, t >= 2) for p, t in zip(predictions, truths)], dtype=float
        )
        found["lesion_recall"] = (
            hits[:, 0].sum() / hits[:, 1].sum() if hits[:, 1].sum() else float("nan")
        )
        found["false_alarms"] = hits[:, 2].mean()
    found = {"dice": _mean([found[f"dice_{region}"] for region in regions]), **found}
    return {name: float(value) for name, value in found.items() if np.isfinite(value)}


def _mean(values: Sequence[float]) -> float:
    """Mean of those that are defined, nan if none is."""
    defined = [value for value in values if not np.isnan(value)]
    return float(np.mean(defined)) if defined else float("nan")
