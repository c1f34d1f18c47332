"""Optical flow: Sintel and KITTI, RAFT and smaller RAFTs."""

from ...config import HKTError, nearest


def choose(what: str, name: str, choices: dict):
    """choices[name]; HKTError with the nearest name where there is no such `what`."""
    if name not in choices:
        raise HKTError(f"There is no {what} {name!r}.{nearest(name, choices)}")
    return choices[name]
