"""HKT companion: Hereditary Knowledge Transfer on compact, readable parts.

    hkt run cifar10 hkt --scale quick

Importing this package is quick; torch is imported by the modules that need it.
"""

import sys

__version__ = "0.1.0"


def torchvision():
    """The torchvision module, also where its wheel was linked against another torch build.

    A wheel made for CUDA dies beside a CPU-only torch with "operator torchvision::nms does not
    exist", because the operators' schemas are missing.  Only on that failure the two schemas are
    declared and the import is tried once more.
    """
    import importlib

    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
    import torch

    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[name]  # half-imported parts must not survive
    library = torch.library.Library("torchvision", "DEF")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    torchvision.library = library  # the definitions live as long as this object
    return importlib.import_module("torchvision")
