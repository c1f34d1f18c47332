"""The CIFAR-10 page's pictures hand over what they show."""

import numpy as np

from hkt_lite.evidence import style
from hkt_lite.figures import cifar10

IMAGES = np.random.default_rng(0).integers(0, 255, (12, 3, 32, 32), dtype=np.uint8)
LABELS, CLASSES = np.arange(12) % 3, ["a", "b", "c"]


def test_gallery_counts_the_classes():
    fig, alt, table = cifar10.gallery(IMAGES, LABELS, CLASSES)
    assert (
        list(table["images in this set"]) == [4, 4, 4]
        and "a, b, c" in alt
        and style.svg(fig).count("<image") == 6
    )


def test_pair_names_both_networks_and_their_sizes():
    fig, alt, table = cifar10.pair("resnet56", "resnet20", (855_770, 269_722), 64)
    assert "resnet56 with 855,770" in alt and list(table["parameters"]) == [855_770, 269_722]
    style.svg(fig)


def test_worst_cases_are_the_least_likely_truths_in_order():
    probabilities = np.full((12, 3), 0.3)
    probabilities[np.arange(12), LABELS] = 0.4
    probabilities[7] = [0.9, 0.01, 0.09]  # image 7 is a b
    probabilities[2] = [0.8, 0.1, 0.1]  # image 2 is a c
    fig, alt, table = cifar10.worst(IMAGES, LABELS, probabilities, CLASSES, count=2)
    assert (
        list(table["image"]) == [7, 2]
        and list(table["said"]) == ["a", "a"]
        and "b taken for a; c taken for a" in alt
    )
    style.svg(fig)
