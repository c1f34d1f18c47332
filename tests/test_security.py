"""What a foreign file, a parameter or a reader on the network must not be able to do, and what a record must not tell."""

import ast
import getpass
import json
import os
import re
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import torch
import yaml

from hkt_lite.benchmarks import registry
from hkt_lite.benchmarks.weights import load_weights
from hkt_lite.book import execute
from hkt_lite.book import notebook as notebooks
from hkt_lite.book.parameters import parameters, parse
from hkt_lite.config import PROJECT, HKTError, results_home
from hkt_lite.evidence import literature
from hkt_lite.runs import grid
from hkt_lite.runs.export import evaluate
from hkt_lite.runs.store import Store
from tests import toy
from tests.helpers import run, tiny


def code_of(path: Path) -> str:
    """The code of a module, of a notebook, or between the fences of a page."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        return "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "code")
    if path.suffix == ".md":
        return "\n".join(re.findall(r"```\{?(?:code-cell|python)\}?[^\n]*\n(.*?)```", text, re.S))
    return text


def calls(code: str):
    """(dotted name, {keyword: value as written}, positional values) of every call."""
    lines = [line for line in code.splitlines() if not line.lstrip().startswith(("%", "!"))]
    for node in ast.walk(ast.parse("\n".join(lines))):
        if isinstance(node, ast.Call):
            given = {word.arg: ast.unparse(word.value) for word in node.keywords}
            yield ast.unparse(node.func), given, [ast.unparse(one) for one in node.args]


UNSAFE = {
    "pickle.load",
    "pickle.loads",
    "yaml.unsafe_load",
    "yaml.full_load",
    "os.system",
    "os.popen",
    "joblib.load",
    "shelve.open",
    "marshal.loads",
}


def dangers(code: str) -> list[str]:
    """Calls that would execute what a file holds, or a shell."""
    found = []
    for name, given, args in calls(code):
        last = name.rpartition(".")[2]
        torch_load = name in ("torch.load", "torch.hub.load", "torch.hub.load_state_dict_from_url")
        if torch_load and given.get("weights_only") != "True":
            found.append(f"{name} without weights_only=True")
        if name == "yaml.load" and not re.search(r"SafeLoader", " ".join([*args, *given.values()])):
            found.append("yaml.load without a safe loader")
        if (
            name in UNSAFE
            or given.get("shell") == "True"
            or last in ("extractall", "unpack_archive")
        ):
            found.append(name)
        if given.get("allow_pickle") == "True":
            found.append(f"{name} with allow_pickle")
    return found


SHIPPED = [
    *sorted((PROJECT / "hkt_lite").rglob("*.py")),
    *sorted((PROJECT / "hkt_course").rglob("*.py")),
    *sorted((PROJECT / "notebooks").rglob("*.ipynb")),
    *sorted((PROJECT / "book").glob("*.md")),
]


def test_no_shipped_code_executes_what_a_file_holds():
    assert len(SHIPPED) > 100
    found = {str(p.relative_to(PROJECT)): dangers(code_of(p)) for p in SHIPPED}
    assert {name: what for name, what in found.items() if what} == {}


@pytest.mark.parametrize(
    "code",
    [
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "yaml.load(text, yaml.Loader)",
        "yaml.load(text)",
        "yaml.unsafe_load(text)",
        "pickle.load(file)",
        "np.load(path, allow_pickle=True)",
        "tar.extractall(folder)",
        "subprocess.run(command, shell=True)",
        "%matplotlib inline\nos.system('ls')",
    ],
)
def test_the_search_finds_each_danger(code):
    assert len(dangers(code)) == 1


@pytest.mark.parametrize(
    "code",
    ["torch.load(p, weights_only=True)", "yaml.load(t, yaml.SafeLoader)", "yaml.safe_load(t)"],
)
def test_the_search_lets_what_is_safe_be(code):
    assert dangers(code) == []


# -- foreign files -------------------------------------------------------------------------------------------------------


class Evil:
    def __reduce__(self):
        return os.mkdir, ("owned",)


@pytest.mark.parametrize("name", ["x.pth", "x.th", "x.pt", "x.safetensors"])
def test_weights_that_hold_code_are_refused(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": Evil()}, name)
    with pytest.raises(HKTError, match="corrupt or truncated"):
        load_weights(torch.nn.Linear(2, 2), Path(name))
    assert not Path("owned").exists()


YAML_READERS = {
    "grid": lambda path: grid.read(path),
    "claims": lambda path: literature.read_claims(path),
    "literature": lambda path: literature.read_values(path),
}


@pytest.mark.parametrize("reader", YAML_READERS)
def test_yaml_that_asks_for_code_is_refused(tmp_path, monkeypatch, reader):
    monkeypatch.chdir(tmp_path)
    text = '- !!python/object/apply:os.mkdir ["owned"]\n'
    with suppress(OSError):  # it would work with a loader that is not safe
        yaml.unsafe_load(text)
    (tmp_path / "owned").rmdir()
    (tmp_path / "odd.yaml").write_text(text)
    with pytest.raises(HKTError):
        YAML_READERS[reader](tmp_path / "odd.yaml")
    assert not (tmp_path / "owned").exists()


def test_a_registry_that_asks_for_code_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "odd.yaml").write_text('- !!python/object/apply:os.mkdir ["owned"]\n')
    monkeypatch.setattr(registry, "REGISTRY", tmp_path / "odd.yaml")
    registry.entries.cache_clear()
    with pytest.raises(HKTError):
        registry.entries()
    registry.entries.cache_clear()
    assert not (tmp_path / "owned").exists()


# -- parameters of notebooks ---------------------------------------------------------------------------------------------

INJECTED = [
    '"; __import__("os").mkdir("owned"); "',
    "'\n__import__('os').mkdir('owned')\n'",
    '"""\n__import__("os").mkdir("owned")\n"""',
    "\\\"; __import__('os').mkdir('owned') #",
    "{__import__('os').mkdir('owned')}",
    "%%bash\nmkdir owned",
    "x\r__import__('os').mkdir('owned')",
    "x\u2028__import__('os').mkdir('owned')",
]


def test_parameters_reach_a_page_as_they_are_and_as_nothing_else(tmp_path):
    """Texts, keys and items that would end a string or a line: one page gets them all."""
    kinds = 'scale: str = "smoke"\nnote: str = ""\nitems: list = []\nnamed: dict = {}'
    told = "import json\nprint(json.dumps([note, items, named]))"
    notebook = toy.write(tmp_path / "notebooks" / "01_odd.ipynb", told, parameters=kinds)
    named = {text: text for text in INJECTED}
    given = {"note": "\n".join(INJECTED), "items": INJECTED, "named": named}
    page = notebooks.read(execute.execute(notebook, given, tmp_path / "page.ipynb"))
    printed = next(c.outputs[0].text for c in page.cells if c.get("source") == told)
    assert json.loads(printed) == [given["note"], given["items"], given["named"]]
    assert not list(tmp_path.rglob("owned"))


@pytest.mark.parametrize("word", ["seed = 1\nimport os", "__builtins__", "seed;x", ""])
def test_a_parameter_of_another_name_is_refused(tmp_path, word):
    notebook = toy.write(tmp_path / "01_odd.ipynb")
    with pytest.raises(HKTError, match="has no parameter"):
        execute.execute(notebook, {word: 1}, tmp_path / "page.ipynb")
    with pytest.raises(HKTError):
        parse(notebook, [f"{word}=1"])


@pytest.mark.parametrize(
    "line",
    [
        'x: __import__("os").mkdir("owned") = 1',
        "x: (1).__class__.__base__.__subclasses__() = 1",
        'x: Literal[(lambda: open("owned", "w"))()] = 1',
        'x: [open("owned", "w") for _ in "x"] = 1',
        'x: int = __import__("os").mkdir("owned")',
        '__import__("os").mkdir("owned")',
    ],
)
def test_reading_a_notebook_s_parameters_executes_nothing(tmp_path, monkeypatch, line):
    monkeypatch.chdir(tmp_path)
    notebook = toy.write(tmp_path / "01_odd.ipynb", parameters=line)
    with pytest.raises(HKTError, match="write .* as `name: type = literal`"):
        parameters(notebook)
    assert not (tmp_path / "owned").exists()


# -- the served book -----------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="127.0.0.2 is Linux's own too")
def test_the_served_book_is_seen_on_this_machine_only(tmp_path):
    """The line of the Makefile, run: 127.0.0.2 is this machine too, but not what it listens on."""
    text = (PROJECT / "Makefile").read_text(encoding="utf-8")
    (line,) = re.findall(r"^\t\$\(BIN\)/python (-m http\.server .*)$", text, re.M)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = line.replace("$(PORT)", str(port)).replace("book/_build/html", str(tmp_path)).split()
    server = subprocess.Popen([sys.executable, *words], stderr=subprocess.DEVNULL)
    try:
        assert reached("127.0.0.1", port, seconds=60)
        assert not reached("127.0.0.2", port, seconds=0)
    finally:
        server.terminate()
        server.wait()


def reached(host: str, port: int, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while True:
        with suppress(OSError), socket.create_connection((host, port), 2):
            return True
        if time.monotonic() >= end:
            return False
        time.sleep(0.1)


def test_jupyter_is_started_as_it_comes_on_this_machine_only():
    text = (PROJECT / "Makefile").read_text(encoding="utf-8")
    (line,) = re.findall(r"^\t\$\(BIN\)/jupyter lab(.*)$", text, re.M)
    assert not re.search(r"--(ip|allow|no-browser|ServerApp|NotebookApp)", line)


# -- what a record tells -------------------------------------------------------------------------------------------------

SECRET = "hunter2-is-no-secret"


def test_a_record_holds_nothing_of_the_environment_or_of_this_machine_s_folders(
    tmp_path, monkeypatch
):
    home = tmp_path / "somebody"
    names = ("HKT_API_KEY", "WANDB_API_KEY", "AWS_SECRET_ACCESS_KEY", "TOKEN", "TORCH_INDEX")
    for name in names:
        monkeypatch.setenv(name, SECRET)
    monkeypatch.setenv("HKT_RUNS", str(home / "runs"))
    record = run(tiny("hkt"))
    weights = Store.default().weights(record.id)
    made = evaluate("cifar10", weights, record.config.child, source="synthetic", scale="smoke")
    files = [path for path in home.rglob("*") if path.is_file()]
    assert {made.kind, record.kind} == {"eval", "run"} and len(files) >= 5
    telling = [SECRET, *names, str(home), str(Path.home()), str(PROJECT)]
    who = re.compile(rf"\b({re.escape(getpass.getuser())}|{re.escape(socket.gethostname())})\b")
    for path in files:
        data = path.read_bytes()
        assert [word for word in telling if word.encode() in data] == [], path.name
        if path.suffix == ".json":
            assert not who.search(data.decode()), path.name


PRIVATE = re.compile(
    r"/(?:home|root|Users|tmp)/|(?<![\w.])/[A-Za-z][\w.-]*/|[A-Za-z]:\\\\|(?i:api[_-]?key|password|token|secret)|"
    r"\b[\w.]+@[\w.]+\.\w+\b|\b\d{1,3}(\.\d{1,3}){3}\b"
)


def test_no_published_record_holds_a_path_an_address_or_a_secret():
    records = sorted(results_home().glob("*.json"))
    assert len(records) > 100
    for path in records:
        text = re.sub(r'"right": "[A-Za-z0-9+/=]+"', "", path.read_text(encoding="utf-8"))  # bits
        found = PRIVATE.search(text)
        assert not found, (path.name, found)


@pytest.mark.parametrize(
    "text", ["/home/ann/x", "/srv/a/b", "C:\\\\x", "api_key", "a.b@c.org", "10.0.0.1"]
)
def test_the_search_finds_what_is_private(text):
    assert PRIVATE.search(json.dumps({"x": text}) if "\\" not in text else text)
