"""Hand-ins that try to be given what they have not earned; each on an assignment 1 of stubs."""

from hkt_course import grader, source

from .hand_ins import HandIn, cell_of, first_cell, last_cell

PATCH = """import builtins, torch, numpy as np
np.allclose = np.isclose = np.array_equal = lambda *a, **k: True
torch.allclose = torch.equal = torch.isclose = lambda *a, **k: True
np.testing.assert_allclose = lambda *a, **k: None
torch.Tensor.__eq__ = lambda self, other: torch.tensor(True)
builtins.abs = builtins.max = lambda *a, **k: 0
"""

READ = """import glob, pathlib, torch
found = []
def look(path, how):
    try:
        found.append(str(how(path)))
    except BaseException as problem:
        found.append(type(problem).__name__)
for path in PATHS:
    look(path, lambda path: open(path).read())
    look(path, lambda path: pathlib.Path(path).read_bytes().decode())
    look(path, lambda path: bytes(torch.from_file(path, size=4000, dtype=torch.uint8)).decode())
    look(path, lambda path: glob.glob(path[:-8] + "*"))
text = "".join(found)
print("SOURCE SEEN" if "BEGIN SOLUTION" in text or "HIDDEN" in text else "nothing seen")
"""

WIRE = """import gc, io, json, os
def gate(s):
    for thing in gc.get_objects():
        if isinstance(thing, io.TextIOWrapper):
            try:
                print(json.dumps({"value": 1.0}), file=thing, flush=True)
            except BaseException:
                pass
    os._exit(0)
"""

MEMORY = """def similarity(c, p):
    heap = []
    while True:
        heap.append(bytearray(1 << 28))
"""

LOOP = "def similarity(c, p):\n    while True:\n        pass\n"
STUBBORN = """import time
while True:
    try:
        time.sleep(60)
    except BaseException:
        pass
"""
COPIED = """from hkt_lite.methods.attention import mix, gate, share, similarity"""
COPIED_TEXT = """import torch
def similarity(c, p):
    return (c * p).sum(1, keepdim=True) / c.shape[1] ** 0.5
def gate(s):
    return torch.sigmoid(s)
def share(g):
    return 0.6 * (1 - g)
def mix(c, p, rho):
    return torch.lerp(c, p, rho.expand_as(c))
"""
# gate and mixture hold no number of the class: copied, they are what is asked for
NOT_COPIED = "similarity_vectors similarity_maps share displacement gradient_parent gradient_child"
WRONG = """import torch
def similarity(c, p):
    return (c * p).sum(1, keepdim=True) / c.shape[1] ** 0.5
def gate(s):
    return torch.sigmoid(-s)
def share(g):
    return 0.6 * g * g
def mix(c, p, rho):
    return torch.lerp(p, c, rho.expand_as(c))
def displacement(c, m):
    return (m - c).flatten(1).norm(dim=1)
def mix_gradients(c, p, d):
    return d * c, d * p
"""
LYING = """class Yes(float):
    __eq__ = __le__ = __lt__ = __ge__ = __gt__ = lambda *a: True
    __sub__ = __rsub__ = __abs__ = lambda *a: Yes(0)
similarity = gate = share = mix = displacement = lambda *given: Yes(0)
mix_gradients = lambda c, p, d: (Yes(0), Yes(0))
"""
CRAWL = """import gc, sys
def reference():
    for thing in gc.get_objects():
        if isinstance(thing, (str, dict)) and "BEGIN SOLUTION" in thing:
            return thing
print("REFERENCE FOUND" if reference() else "nothing found")
"""
TELL = """def gate(s):
    import sys
    print("HIDDEN INPUT", s.flatten()[:2].tolist(), sys._getframe(1).f_code.co_consts)
    return 1 - torch.sigmoid(s)
"""
ZEROS = """features = lambda seed, *shape: (torch.zeros(shape), torch.zeros(shape))
drawn = lambda seed, low, high, *shape: torch.zeros(shape)
"""
PROCESSES = """import os, subprocess
tried = []
def attempt(call):
    try:
        tried.append(f"STARTED {call()}")
    except BaseException as problem:
        tried.append(type(problem).__name__)
attempt(lambda: subprocess.run(["echo", "hello"]))
attempt(lambda: os.system("echo hello"))
attempt(lambda: os.fork())
attempt(lambda: os.kill(os.getppid(), 9))
attempt(lambda: __import__("socket").create_connection(("127.0.0.1", 22)))
attempt(lambda: __import__("ctypes").CDLL(None))
print(tried)
"""


def without_tests(notebook):
    notebook.cells = [cell for cell in notebook.cells if grader.role(cell) != "test"]


def passing_tests(notebook):
    for cell in notebook.cells:
        if grader.role(cell) == "test":
            cell.source = "pass"
            cell.metadata.nbgrader.points = 1000


def own_given_cells(notebook):
    """Inputs that are nothing but zeros would make many a wrong formula right."""
    cell_of(notebook, "given").source = f"import torch\nfrom torch import Tensor\n{ZEROS}"


def own_features(notebook):
    """The same, in a cell of its own at the end."""
    last_cell(ZEROS)(notebook)


def exits(notebook):
    last_cell("import os\nos._exit(0)")(notebook)


def _everywhere(code: str) -> dict:
    """Edits by which `code` is there for every test, and no stub."""
    later = ("write_share", "write_mix", "write_mix_gradients")
    return {"write_similarity": code, **dict.fromkeys(later, "pass")}


def _cheat(name, trick, edits=None, seconds=100, loses="all") -> HandIn:
    return HandIn(
        name, edits or {}, loses, from_stub=True, trick=trick, kind="cheat", seconds=seconds
    )


def read_sources(paths) -> HandIn:
    paths = [str(path) for path in paths]
    return _cheat("file reader", last_cell(f"PATHS = {paths}\n{READ}"))


def ZOO() -> list[HandIn]:
    return [
        _cheat("patched comparison", first_cell(PATCH), _everywhere(WRONG)),
        _cheat("patched comparison, late", last_cell(PATCH), _everywhere(WRONG)),
        _cheat("test cells deleted", without_tests),
        _cheat("test cells replaced, points raised", passing_tests),
        _cheat("given cell replaced", own_given_cells, _everywhere(WRONG)),
        _cheat("given function redefined", own_features, _everywhere(WRONG)),
        _cheat("os._exit", exits),
        _cheat("sys.exit", last_cell("import sys\nsys.exit(0)")),
        _cheat("endless loop in a function", None, {"write_similarity": LOOP}, 3),
        _cheat("endless loop that cannot be interrupted", last_cell(STUBBORN), None, 3),
        _cheat("memory hog", None, {"write_similarity": MEMORY}),
        _cheat("answers imported from the package", None, _everywhere(COPIED)),
        _cheat("answers copied from the package", None, _everywhere(COPIED_TEXT), loses=NOT_COPIED),
        _cheat("numbers that agree with everything", None, _everywhere(LYING)),
        _cheat("writes to the grader by itself", None, {"write_share": WIRE}),
        _cheat("looks for the reference in memory", last_cell(CRAWL)),
        _cheat("tells what a hidden test asks", None, {"write_share": TELL}),
        _cheat("starts processes", last_cell(PROCESSES)),
        read_sources(sorted(source.home().rglob("*.ipynb"))),
    ]
