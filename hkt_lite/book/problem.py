"""What a check finds."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """What is wrong (record, manifest, data, notebook, page, number, audit, html or nbval), where,
    and one sentence that names both and says what to do."""

    what: str
    where: str
    sentence: str

    def __str__(self) -> str:
        return self.sentence
