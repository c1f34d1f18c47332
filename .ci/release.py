"""What a release hands out, with checksums.   python .ci/release.py [OUT [HTML]]   (`make release`)

Needs a built and checked book (`hkt book`).  OUT, build/release by default, gets

hkt-companion-V.tar.gz           all in one archive: the site and what follows, with SHA256SUMS
hkt-companion-V.pdf              the book on paper (pdf.py)
hkt-companion-V-notebooks.zip    all notebooks with what they need: install, open, run
hkt-companion-V-assignments.zip  what students get, where `make release` installed nbgrader
results.csv  results.json        all published records as one table
claims.json                      the verdicts and what they rest on
SHA256SUMS                       of these files: sha256sum -c SHA256SUMS

The archives are the same bytes for the same contents: their files are sorted and dated by the
commit ($SOURCE_DATE_EPOCH where it is set).
"""

import gzip
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(PROJECT), str(Path(__file__).parent)]

import address  # noqa: E402
import pdf  # noqa: E402

from hkt_lite import __version__  # noqa: E402
from hkt_lite.config import HKTError  # noqa: E402
from hkt_lite.files import files_below, sha256  # noqa: E402

NAME = f"hkt-companion-{__version__}"
TABLES = ("results.csv", "results.json", "claims.json")
HANDED_OUT = (  # what the notebooks need, of the files that the project keeps
    "notebooks/*.ipynb",
    "hkt_lite",
    "hkt_course",
    "data",
    "pyproject.toml",
    "constraints.txt",
    "LICENSE",
    "CITATION.cff",
)
WITHOUT = ("notebooks/assignments/", "data/cluster/")
VARIANT = "2026"
README = """# The HKT companion {version}: notebooks

All notebooks of the book *The HKT companion*, with the package, the published records and the small
synthetic parents that they use. Needed: Python 3.11 or newer. No GPU, no data set.

```bash
pip install -e ".[book,lits,lab]" -c constraints.txt
jupyter lab notebooks
```

in this folder, best in a new environment (`python -m venv .venv`, then `. .venv/bin/activate`). The
folder stays where it is: the package reads `data/` beside it. On Linux pip takes the CUDA build of
torch, several GB; for the small one install it first:
`pip install torch torchvision -c constraints.txt --index-url https://download.pytorch.org/whl/cpu`.
Without a network, from a folder of wheels: add `--no-index --find-links FOLDER` to the first
command (and `--no-build-isolation`, with setuptools installed).

A notebook runs at its smallest scale (`scale = "smoke"`, seconds) unless its first cell says
otherwise. Without JupyterLab:

```bash
papermill notebooks/04_genetic_attention.ipynb made.ipynb -p scale quick
```

Code BSD 3-Clause, text and records CC BY 4.0: LICENSE. How to cite: CITATION.cff.
"""


def tracked(*patterns: str) -> list[str]:
    """The files under version control that match, without what is not handed out."""
    return [name for name in _git("ls-files", *patterns).split("\n") if name and _wanted(name)]


def _wanted(name: str) -> bool:
    return not name.startswith(WITHOUT) and (PROJECT / name).is_file()


def _git(*words: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(PROJECT), *words], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise HKTError(f"A release is made from a checkout of the project: {done.stderr.strip()}")
    return done.stdout.strip()


def epoch() -> int:
    """Seconds since 1970 that every file of a release is dated by."""
    given = os.environ.get("SOURCE_DATE_EPOCH")
    return int(given or _git("log", "-1", "--format=%ct"))


# -- archives that are the same bytes each time ----------------------------------------------------


def zipped(files: dict[str, bytes], when: int) -> bytes:
    """A zip of name -> content."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in sorted(files.items()):
            entry = zipfile.ZipInfo(name, time.gmtime(when)[:6])
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system, entry.external_attr = 3, 0o100644 << 16
            archive.writestr(entry, content)
    return made.getvalue()


def tarred(folder: Path, out: Path, when: int) -> None:
    """A tar.gz of all files below `folder`, under its name."""
    with (
        open(out, "wb") as file,
        gzip.GzipFile("", "wb", mtime=when, fileobj=file) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for path in files_below(folder):
            entry = tarfile.TarInfo(f"{folder.name}/{path.relative_to(folder).as_posix()}")
            entry.size, entry.mtime, entry.mode = path.stat().st_size, when, 0o644
            with open(path, "rb") as content:
                archive.addfile(entry, content)


def sums(folder: Path) -> None:
    """SHA256SUMS of all files below `folder`, as `sha256sum -c` reads it."""
    target = folder / "SHA256SUMS"
    files = [path for path in files_below(folder) if path != target]
    lines = [f"{sha256(path)}  {path.relative_to(folder).as_posix()}" for path in files]
    target.write_text("\n".join(lines) + "\n", encoding="utf-8")


# -- what is handed out ----------------------------------------------------------------------------


def notebooks(when: int) -> bytes:
    """The zip of the notebooks: one folder that is installed and run where it is unpacked."""
    root = f"{NAME}-notebooks"
    names = tracked(*HANDED_OUT)
    files = {f"{root}/{name}": (PROJECT / name).read_bytes() for name in names}
    files[f"{root}/README.md"] = README.format(version=__version__).encode()
    return zipped(files, when)


def assignments(when: int) -> bytes | None:
    """The students' zips in one; None where nbgrader's environment is missing."""
    hkt = PROJECT / ".venv" / "course" / "bin" / "hkt"
    if not hkt.is_file():
        print("No assignments: .venv/course is missing; `make release` installs it.")
        return None
    with tempfile.TemporaryDirectory() as folder:
        command = [str(hkt), "course", "release", folder, "--variant", VARIANT]
        done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
        if done.returncode:
            raise HKTError(f"The assignments were not released: {done.stderr.strip()[-500:]}")
        files = {path.name: path.read_bytes() for path in Path(folder, "zips").glob("*.zip")}
    return zipped(files, when)


def make(out: Path, html: Path) -> list[Path]:
    """Fill `out` with a release of the book rendered in `html`; its files.

    Raises HKTError with what is missing; `out` is then as it was.
    """
    from hkt_lite.book.render import flaws

    if found := [problem.sentence for problem in flaws(html.parents[2])]:
        raise HKTError(found[0])
    when = epoch()
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".release-") as folder:
        whole = Path(folder) / NAME
        site = shutil.copytree(html, whole / "book")
        for name in TABLES:
            shutil.copyfile(site / name, whole / name)
        pdf.make(html, whole / f"{NAME}.pdf", address.addresses()[1])
        (whole / f"{NAME}-notebooks.zip").write_bytes(notebooks(when))
        if (packed := assignments(when)) is not None:
            (whole / f"{NAME}-assignments.zip").write_bytes(packed)
        sums(whole)
        tarred(whole, Path(folder) / f"{NAME}.tar.gz", when)
        shutil.rmtree(site)
        (Path(folder) / f"{NAME}.tar.gz").rename(whole / f"{NAME}.tar.gz")
        sums(whole)
        shutil.rmtree(out, ignore_errors=True)
        whole.rename(out)
    return files_below(out)


def main(out: str = "build/release", html: str = "book/_build/html") -> None:
    for made in make(PROJECT / out, PROJECT / html):
        print(f"{made.stat().st_size / 2**20:8.2f} MB  {made}")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:3])
    except HKTError as error:
        sys.exit(str(error))
