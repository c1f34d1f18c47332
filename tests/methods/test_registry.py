"""A new method is one file, and the folder works where it is copied to."""

import ast
import subprocess
import sys
from pathlib import Path
from shutil import copytree, ignore_patterns

import hkt_lite.methods as methods
from hkt_lite.methods import METHODS

FOLDER = Path(methods.__file__).parent
GRAM = '''
import torch

from .method import Method
from .options import number


class Gram(Method):
    """L_c + beta |G_c - G_p|^2 with G the inner products of the batch."""

    name, title, order = "gram", "Gram", 25
    needs_sites = True

    class Options(Method.Options):
        beta: float = number(3.0)

    def forward(self, batch):
        output, own, inherited = self.features(batch)
        gram = [z.flatten(1) @ z.flatten(1).T for z in (own["1"][0], inherited.features["1"][0])]
        return {
            "L_c": self.loss(output, batch),
            "L_gram": self.options.beta * (gram[0] - gram[1]).square().mean(),
        }
'''
USE = """
import sys
import torch
from torch import nn
from borrowed import METHODS, Site


def network(width):
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 3)]
    return nn.Sequential(nn.Conv2d(2, width, 1), nn.ReLU(), *head)


assert not [name for name in sys.modules if name.startswith("hkt_lite")]
assert list(METHODS)[:4] == ["plain", "kd", "fitnet", "gram"], list(METHODS)
for make in METHODS.values():
    child, batch = network(4), torch.randn(6, 2, 5, 5)
    wide = 7 if make.begins_alike else 4  # whose modules are its parent's
    method = make(
        child,
        network(wide),
        sites=[Site("0", "0"), Site("1", "1")],
        predict=lambda model, batch: model(batch),
        loss=lambda output, batch: output.square().mean(),
        imitate=lambda mine, theirs, temperature: (mine - theirs).square().mean(),
        target=lambda batch: torch.arange(6) % 3,
    )
    method.setup(batch)
    sum(method(batch).values()).backward()
    assert all(p.grad is not None for p in child.parameters()), make
"""


def copied(tmp_path: Path, **files: str) -> Path:
    folder = copytree(FOLDER, tmp_path / "borrowed", ignore=ignore_patterns("__pycache__"))
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    return folder


def python(tmp_path: Path, code: str) -> subprocess.CompletedProcess:
    """In a process of its own, without this project on the path."""
    return subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n{code}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={"PATH": "", "OMP_NUM_THREADS": "1", "PYTHONUTF8": "1"},
    )


def test_the_methods_are_found_in_the_order_of_tables():
    assert [(name, m.title, m.order) for name, m in METHODS.items()] == [
        ("plain", "plain", 0),
        ("kd", "KD", 10),
        ("fitnet", "FitNet", 20),
        ("at", "AT", 30),
        ("sp", "SP", 40),
        ("rkd", "RKD", 45),
        ("dkd", "DKD", 50),
        ("dist", "DIST", 55),
        ("lskd", "LSKD", 60),
        ("reviewkd", "ReviewKD", 65),
        ("simkd", "SimKD auxiliary", 70),
        ("hkt", "HKT", 100),
        ("aligned", "aligned HKT", 105),
        ("heir", "heir HKT", 107),
        ("heir_kd", "heir KD", 108),
        ("lepoket", "LePoKet", 110),
    ]
    assert all(
        methods.get(name) is METHODS[name] and METHODS[name].name == name for name in METHODS
    )


def test_which_methods_replace_or_record_modules():
    """torch.compile does not see that, so whoever compiles must refuse these."""
    assert {name for name, method in METHODS.items() if method.needs_sites} == {
        "fitnet",
        "at",
        "sp",
        "rkd",
        "reviewkd",
        "simkd",
        "hkt",
        "aligned",
        "heir",
        "lepoket",
    }


def test_every_method_has_a_name_in_tables_by_its_defaults():
    assert all(method.label({}, None).startswith(method.title) for method in METHODS.values())
    assert METHODS["lepoket"].label({"terms": ["L_c", "L_c*"]}) == "LePoKet, terms L_c+L_c*"


def test_which_methods_need_logits():
    assert {name for name, method in METHODS.items() if method.needs_logits} == {
        "dkd",
        "dist",
        "lskd",
    }


def test_which_methods_need_maps():
    needing = {name for name, m in METHODS.items() if m.needs_maps(methods.options(name, {}))}
    assert needing == {"at", "reviewkd"} and METHODS["hkt"].needs_maps({"kind": "softmax"})
    assert {name for name, m in METHODS.items() if m.aligns} == {"aligned"}


def test_the_folder_needs_torch_and_the_standard_library_only():
    allowed = {*sys.stdlib_module_names, "torch"}
    for path in FOLDER.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                assert node.level < 2, f"{path.name} imports from above its folder"
                found = [node.module] if node.level == 0 else []
            else:
                found = [one.name for one in node.names] if isinstance(node, ast.Import) else []
            assert {name.split(".")[0] for name in found} <= allowed, (path.name, found)


def test_a_copied_folder_with_one_more_file_has_one_more_method(tmp_path):
    copied(tmp_path, gram=GRAM)
    done = python(tmp_path, USE)
    assert done.returncode == 0, done.stderr


def test_two_methods_of_one_name_are_refused(tmp_path):
    copied(tmp_path, gram=GRAM, other=GRAM)
    done = python(tmp_path, "import borrowed")
    assert done.returncode and "Two methods are called 'gram'; rename one." in done.stderr
