"""A configuration in words: the names and phrases that tables, figures and pages share."""

from ..benchmarks import get, method_class
from ..config import Config
from .literature import Variant

PRECISIONS = {"fp32": "float32", "bf16": "bfloat16"}


def metric_name(task: str, metric: str) -> tuple[str, int]:
    """A metric's name with its unit, and the decimals it is shown with."""
    return get(task).shown.get(metric, (metric, 3))


def sign(task: str) -> int:
    """1 where a larger metric is better, else -1."""
    return get(task).sign()


def label(variant: Config | Variant) -> str:
    """The name of a variant in tables and figures."""
    return method_class(variant.method).label(variant.options, variant.sites)


def newborn(config: Config) -> bool:
    """Whether its parent is a network that has learnt nothing."""
    return config.parent_weights == "random"


def deviation(field: str, value: object) -> str:
    """What is unusual in a recipe."""
    words = {"sam": "SAM", "weight_decay": "weight decay"}
    return value if field == "schedule" else f"{words[field]} {value:g}"


def examples(config: Config) -> str:
    """How many training examples, and of a curriculum whence."""
    whence = f" from {corpora(config)}" if config.stages else ""
    return f"{config.train_size:,} training examples{whence}"


def corpora(config: Config) -> str:
    """What a child learnt from, in order: the corpora of a curriculum, else the source."""
    stages = dict.fromkeys(stage.corpus for stage in config.stages or ())
    return ", then ".join(stages) or config.source
