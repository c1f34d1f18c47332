"""Claims: one owner at a time, dead ones are noticed by anybody's own clock, nobody is robbed."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from hkt_lite.config import HKTError
from hkt_lite.runs import claim
from hkt_lite.runs.claim import Busy, claimed


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run" / "claim"


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(claim, "BEAT", 0.02)
    monkeypatch.setattr(claim, "PATIENCE", 0.5)


def left_by(path, pid: int, machine: str) -> None:
    """The claim of another process, which says nothing more."""
    path.parent.mkdir(exist_ok=True)
    path.with_name("claim-1").write_text(f"{7:012d}\n{pid}\n{machine}\n")


def dead_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_second_one_is_refused_with_the_owners_name_and_gets_it_afterwards(path):
    with claimed(path):
        with pytest.raises(Busy, match=f"worked on by process {os.getpid()} on"):
            with claimed(path, wait=False):
                pass
    with claimed(path, wait=False) as own:
        own.check()
    assert not path.parent.exists(), "nothing was made in it"


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="a place where nobody can make folders")
def test_a_folder_that_can_never_be_made_is_an_answer():
    """It looks like one that its last owner has just removed, again and again."""
    with pytest.raises(HKTError, match="Could not make /proc/nowhere/run; choose another folder"):
        with claimed(Path("/proc/nowhere/run/claim")):
            pass


def test_a_number_can_be_taken_once(path):
    first = claim.Claim(_made(path), 1)
    with pytest.raises(FileExistsError):
        claim.Claim(path, 1)
    assert claim._taken(path, 0, "") is None
    first.check()
    first.release()


def test_what_was_made_stays(path):
    with claimed(path):
        path.with_name("record.json").write_text("{}")
    assert [one.name for one in path.parent.iterdir()] == ["record.json"]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a dead process is known by silence")
def test_a_dead_process_of_this_machine_is_noticed_at_once(path):
    left_by(path, dead_process(), claim._machine())
    with claimed(path, wait=False) as own:
        assert own.number == 2
    assert not path.parent.exists()


def test_a_process_of_another_machine_is_dead_when_it_has_long_been_silent(path, impatient):
    left_by(path, dead_process(), "elsewhere 0 pid:[0]")
    began = time.monotonic()
    with pytest.raises(Busy, match="on elsewhere"):
        with claimed(path, wait=False):
            pass
    with claimed(path) as own:
        assert own.number == 2 and time.monotonic() - began > 0.5


@pytest.mark.parametrize("years", [-30, 30])
def test_a_beating_owner_is_waited_for_whatever_the_clocks_say(path, impatient, years):
    left_by(path, dead_process(), "elsewhere 0 pid:[0]")
    file, stop, taken = path.with_name("claim-1"), threading.Event(), []

    def beat() -> None:
        for count in range(8, 10_000):
            file.write_text(f"{count:012d}\n1\nelsewhere 0 pid:[0]\n")
            os.utime(file, (time.time() + years * 3e7,) * 2)
            if stop.wait(0.02):
                return

    def wait() -> None:
        with claimed(path):
            taken.append(True)

    threads = [threading.Thread(target=beat), threading.Thread(target=wait)]
    for thread in threads:
        thread.start()
    time.sleep(2)  # four times the patience
    assert not taken
    stop.set()
    for thread in threads:
        thread.join(30)
    assert taken


def test_an_owner_that_stood_still_learns_that_it_was_taken_over(path, impatient):
    first = claim.Claim(_made(path), 1)
    first.ended.set()  # its heart stops
    first.pulse.join()
    path.with_name("claim-1").write_text(path.with_name("claim-1").read_text().replace(
        claim._machine(), "elsewhere 0 pid:[0]"))  # fmt: skip
    with claimed(path) as second:
        with pytest.raises(Busy, match="Another process took over"):
            first.check()
        first.release()
        second.check()
    assert not path.parent.exists()


def test_a_claim_whose_file_others_removed_leaves_nothing_open(path):
    first = claim.Claim(_made(path), 1)
    path.with_name("claim-1").unlink()
    first.release()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(first.descriptor)


def _made(path):
    path.parent.mkdir()
    return path


def test_a_judgement_that_is_out_of_date_takes_nothing(path):
    """Judged dead, but released by who took it over, and made anew by another, meanwhile."""
    left_by(path, dead_process(), "elsewhere 0 pid:[0]")
    judged = claim._said(path, 1)
    path.with_name("claim-1").unlink()
    with claimed(path) as own:
        assert claim._taken(path, 1, judged) is None
        own.check()


def test_a_folder_that_cannot_be_is_one_sentence(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    for path in (file / "claim", file / "below" / "claim", tmp_path / ("x" * 300) / "claim"):
        with pytest.raises(HKTError) as error:
            with claimed(path):
                pass
        assert str(tmp_path) in str(error.value) and "\n" not in str(error.value)
