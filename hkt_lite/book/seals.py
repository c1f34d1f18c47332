"""What was fixed before the runs it judges, against the digests in data/SEALS.json.   hkt check

Claims, splits and the small parents.  Whoever means to change one enters the new digest, which the
problem names, so that the change is seen in a review; a claim gets an erratum beside it.
"""

import json
from collections.abc import Iterator
from itertools import combinations

from .. import config
from ..config import HKTError, canonical
from ..evidence import literature
from ..files import read_json, sha256, sha256_of
from .problem import Problem

SEALS = "SEALS.json"
REMARKS = {"note", "beside"}  # of a claim: what does not judge


def seals() -> dict[str, str]:
    """What there is of each fixed thing today -> its sha256.  Raises HKTError for unfit claims."""
    home, found = config.PROJECT / "data", {}
    if (home / "claims.yaml").is_file():
        for claim in literature.read_claims(home / "claims.yaml", home / "literature.yaml"):
            said = json.loads(claim.model_dump_json(exclude=REMARKS))
            if not claim.rule.first:  # a field that is younger than the seals
                del said["rule"]["first"]
            found[f"claims.yaml, {claim.id}"] = _digest(said)
    for path in sorted([*home.glob("splits/*.json"), *home.glob("parents/*.safetensors")]):
        name = path.relative_to(home).as_posix()
        found[name] = sha256(path) if path.suffix != ".json" else _digest(read_json(path, "split"))
    return found


def _digest(value) -> str:
    return sha256_of(canonical(value).encode())


def seal_problems() -> Iterator[Problem]:
    """Fixed things that are missing, new or other than they were fixed."""
    path = config.PROJECT / "data" / SEALS
    try:
        now = seals()
        fixed = read_json(path, "list of digests") if now or path.exists() else {}
    except HKTError as error:
        yield Problem("data", SEALS, str(error))
        return
    for name in sorted(now.keys() | fixed.keys()):
        if name not in now:
            yield Problem("data", name, f"{name} is gone, but {path} lists it; restore it.")
        elif name not in fixed:
            said = f"{name} is new; enter {now[name]} in {path}, which fixes it from then on."
            yield Problem("data", name, said)
        elif now[name] != fixed[name]:
            yield Problem(
                "data",
                name,
                f"{name} is not what {path} says was fixed; restore it, or, where the change is "
                f"meant, enter {now[name]} there (and an erratum for a claim that had judged).",
            )


def split_problems() -> Iterator[Problem]:
    """No example is in two lists of a split, nor twice in one."""
    for path in sorted((config.PROJECT / "data" / "splits").glob("*.json")):
        try:
            split = read_json(path, "split")
        except HKTError as error:
            yield Problem("data", path.name, str(error))
            continue
        lists = {name: value for name, value in split.items() if isinstance(value, list)}
        for name, value in lists.items():
            if len(set(value)) != len(value):
                said = f"The split {path} names an example of {name!r} twice; restore it."
                yield Problem("data", path.name, said)
        for one, other in combinations(lists, 2):
            shared = sorted(set(lists[one]) & set(lists[other]))
            if shared:
                said = f"{len(shared)} examples, such as {shared[0]}, are in {one!r} and {other!r}"
                yield Problem("data", path.name, f"The split {path}: {said}; restore it.")
