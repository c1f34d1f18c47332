"""Segmentation as LiTS measures it: Dice, surface distances in mm, lesions found.

    scores([prediction, …], [truth, …], [spacing, …], classes=3)  # maps (Z, H, W)

Regions, as in LiTS (Bilic et al., 2023): the *liver* is every label above 0, the *lesion* is label
2; with two classes there is one, the *foreground*.  A case whose truth and prediction are both
empty has no Dice and no distance and is left out of the mean; where only one of them is empty, Dice
is 0 and distances are the volume's diagonal, their upper bound.
"""

from collections.abc import Sequence

import numpy as np

# classes -> region -> lowest label in it
REGIONS = {2: {"foreground": 1}, 3: {"liver": 1, "lesion": 2}}


def counts(prediction: np.ndarray, truth: np.ndarray) -> tuple[int, int, int]:
    """(voxels in both, in the prediction, in the truth) of two boolean masks of one shape."""
    if prediction.shape != truth.shape:
        raise ValueError(f"{prediction.shape} cannot be compared with a truth {truth.shape}.")
    return int((prediction & truth).sum()), int(prediction.sum()), int(truth.sum())


def dice(both: float, predicted: float, true: float) -> float:
    """2 |A n B| / (|A| + |B|); nan where both masks are empty."""
    return 2 * both / (predicted + true) if predicted + true else float("nan")


def surface(
    prediction: np.ndarray, truth: np.ndarray, spacing: Sequence[float]
) -> tuple[float, float]:
    """(average symmetric surface distance, larger of the two directions' 95th percentiles) of masks
    (Z, H, W) or (H, W) in the units of `spacing`, by MONAI."""
    import warnings

    import torch
    from monai.metrics.utils import get_edge_surface_distance

    if not prediction.any() and not truth.any():
        return float("nan"), float("nan")
    if not prediction.any() or not truth.any():
        diagonal = float(np.sqrt(sum((n * mm) ** 2 for n, mm in zip(truth.shape, spacing))))
        return diagonal, diagonal
    masks = torch.from_numpy(prediction), torch.from_numpy(truth)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of a call that MONAI makes itself
        _, distances, _ = get_edge_surface_distance(*masks, spacing=spacing, symmetric=True)
    hd95 = max(torch.quantile(direction, 0.95).item() for direction in distances)
    return torch.cat(distances).mean().item(), hd95


def lesionwise(prediction: np.ndarray, truth: np.ndarray) -> tuple[int, int, int]:
    """(lesions found, lesions, false alarms) of two boolean masks.

    A lesion is a connected component of the truth (diagonals connect), found if at least half of
    its voxels are predicted; a false alarm is one of the prediction that touches none.
    """
    from scipy import ndimage

    joined = np.ones((3,) * truth.ndim)
    lesions, number = ndimage.label(truth, joined)
    shares = ndimage.mean(prediction, lesions, np.arange(1, number + 1)) if number else []
    alarms, found = ndimage.label(prediction, joined)
    touching = np.unique(alarms[truth & prediction])
    return int(np.sum(np.asarray(shares) >= 0.5)), int(number), int(found - len(touching))


def largest_component(labels: np.ndarray) -> np.ndarray:
    """The label map with only its largest connected foreground left, for there is one liver."""
    from scipy import ndimage

    parts, number = ndimage.label(labels > 0, np.ones((3,) * labels.ndim))
    if number < 2:
        return labels
    largest = 1 + int(np.bincount(parts.ravel())[1:].argmax())
    return np.where(parts == largest, labels, 0).astype(labels.dtype)


def scores(
    predictions: Sequence[np.ndarray],
    truths: Sequence[np.ndarray],
    spacings: Sequence[Sequence[float]] | None = None,
    classes: int = 3,
) -> dict[str, float]:
    """Means over volumes of label maps (Z, H, W), without those that no volume defines.

    'dice_REGION' is the mean over volumes, 'dice_REGION_global' that of all voxels, 'dice' the mean
    of the regions' means.  `spacings` in mm (nan if not known) add 'assd_REGION' and 'hd95_REGION'
    of the volumes whose spacing is known, 'lesion_recall' (of lesions), 'false_alarms' a volume.
    """
    found: dict[str, float] = {"dice": float("nan")}  # the first in the dictionary
    regions = REGIONS[classes]
    for region, low in regions.items():
        masks = [(p >= low, t >= low) for p, t in zip(predictions, truths)]
        each = [counts(*pair) for pair in masks]
        found[f"dice_{region}"] = _mean([dice(*case) for case in each])
        found[f"dice_{region}_global"] = dice(*np.sum(each, axis=0))
        if spacings is not None:
            known = [(*pair, mm) for pair, mm in zip(masks, spacings) if np.isfinite(mm).all()]
            distances = [surface(*case) for case in known]
            found[f"assd_{region}"] = _mean([assd for assd, _ in distances])
            found[f"hd95_{region}"] = _mean([hd95 for _, hd95 in distances])
        if spacings is not None and region == "lesion":
            hits, lesions, alarms = np.sum([lesionwise(*pair) for pair in masks], axis=0)
            found["lesion_recall"] = hits / lesions if lesions else float("nan")
            found["false_alarms"] = alarms / len(masks)
    found["dice"] = _mean([found[f"dice_{region}"] for region in regions])
    return {name: float(value) for name, value in found.items() if np.isfinite(value)}


def _mean(values: Sequence[float]) -> float:
    """Mean of those that are defined, nan if none is."""
    defined = [value for value in values if not np.isnan(value)]
    return float(np.mean(defined)) if defined else float("nan")
