"""Options: ranges, names, and the dictionaries that record ids are made of."""

import dataclasses
import math

import pytest

import hkt_lite.methods as methods
from hkt_lite.methods import METHODS, MethodError
from hkt_lite.methods.method import Options
from hkt_lite.methods.options import number
from tests.methods.nets import PARTS, POOLED, networks

DEFAULTS = {
    "plain": {"weight": 1.0},
    "kd": {"alpha": 0.9, "temperature": 4.0},
    "fitnet": {"beta": 1.0},
    "at": {"beta": 1000.0},
    "sp": {"beta": 3000.0},
    "rkd": {"distance": 25.0, "angle": 50.0},
    "dkd": {"alpha": 1.0, "beta": 8.0, "temperature": 4.0},
    "dist": {"beta": 1.0, "gamma": 1.0, "temperature": 1.0},
    "lskd": {"alpha": 0.1, "beta": 9.0, "temperature": 2.0},
    "reviewkd": {"beta": 1.0},
    "simkd": {"beta": 1.0, "head": 1.0},
    "lepoket": {"terms": ["L_c*"]},
    "aligned": {"kind": "gate", "lam": 0.6, "terms": ["L_c", "L_c*", "L_p*"], "beta": 1000.0},
    "hkt": {"kind": "gate", "lam": 0.6, "terms": ["L_c", "L_c*", "L_p*"]},
    "heir": {"kind": "gate", "lam": 0.6, "terms": ["L_c", "L_c*", "L_p*"]},
    "heir_kd": {"alpha": 0.9, "temperature": 4.0},
}
NO_NUMBERS = (True, "0.5", None, [0.5], math.nan, math.inf, -math.inf, 10**400)
WEIGHTS = [  # finite numbers of at least 0
    *[("fitnet", "beta"), ("at", "beta"), ("sp", "beta"), ("rkd", "distance"), ("rkd", "angle")],
    *[("dkd", "alpha"), ("dkd", "beta"), ("dist", "beta"), ("dist", "gamma")],
    *[("lskd", "alpha"), ("lskd", "beta"), ("reviewkd", "beta")],
    *[("simkd", "beta"), ("simkd", "head"), ("aligned", "beta")],
]
TEMPERATURES = [(name, "temperature") for name in ("kd", "heir_kd", "dkd", "dist", "lskd")]
REFUSED = {
    **dict.fromkeys(WEIGHTS, (-1, -1e-9, *NO_NUMBERS)),
    **dict.fromkeys(TEMPERATURES, (0, 0.0, -1, *NO_NUMBERS)),
    ("plain", "weight"): (0, -1.0, *NO_NUMBERS),
    ("kd", "alpha"): (-0.01, 1.01, 2, *NO_NUMBERS),
    ("hkt", "lam"): (-0.1, 1.1, *NO_NUMBERS),
    ("hkt", "kind"): ("gates", "", None, 1, ["gate"], ("gate",)),
    ("lepoket", "terms"): ([], "L_c*", ["L_p*"], ["L_c*", "L_c"], None),
    ("hkt", "terms"): (
        [],
        (),
        "L_c",
        ["L_x"],
        ["L_c", "L_x"],
        ["L_c*", "L_c"],  # another order
        ["L_c", "L_c"],
        [["L_c"]],
        {"L_c": 1},
        None,
    ),
}
ACCEPTED = {
    **dict.fromkeys(WEIGHTS, (0, 1e6)),
    **dict.fromkeys(TEMPERATURES, (1e-3, 20)),
    ("plain", "weight"): (1e-9, 3, 3.0),
    ("kd", "alpha"): (0, 1, 0.5),
    ("hkt", "lam"): (0, 1, 0.25),
    ("hkt", "kind"): ("gate", "forward_gate", "static", "softmax", "constant"),
    ("lepoket", "terms"): (["L_c"], ("L_c", "L_c*"), ["L_c*"]),
    ("hkt", "terms"): (["L_p*"], ("L_c", "L_p*"), ["L_c", "L_c*", "L_p*"]),
}


for table in (REFUSED, ACCEPTED):
    for kin in ("aligned", "heir"):
        table.update({(kin, name): table["hkt", name] for name in ("kind", "lam", "terms")})
    table["heir_kd", "alpha"] = table["kd", "alpha"]


def cases(table):
    return [(*key, value) for key, values in table.items() for value in values]


def test_every_option_is_in_these_tables():
    known = {(name, option) for name in METHODS for option in methods.options(name, {})}
    assert known == set(REFUSED) == set(ACCEPTED)


@pytest.mark.parametrize("name, option, value", cases(REFUSED))
def test_out_of_range_is_one_sentence(name, option, value):
    with pytest.raises(MethodError) as error:
        methods.options(name, {option: value})
    said = str(error.value)
    assert said.startswith(f"Option {option!r} of {METHODS[name].__name__} must be a ")
    assert f"got {value!r}." in said


@pytest.mark.parametrize("name, option, value", cases(ACCEPTED))
def test_in_range(name, option, value):
    found = methods.options(name, {option: value})
    assert found == {**DEFAULTS[name], option: list(value) if option == "terms" else value}
    assert type(found[option]) is type(DEFAULTS[name][option])  # 1 becomes 1.0, a tuple a list


@pytest.mark.parametrize("name", METHODS)
def test_defaults_are_those_that_record_ids_are_made_of(name):
    found = methods.options(name, {})
    assert found == DEFAULTS[name] and list(found) == list(DEFAULTS[name])
    assert methods.options(name, found) == found


def test_a_number_whose_default_is_whole_is_whole():
    class Some(Options):
        steps: int = number(2, 1, 5)

    assert Some(steps=3.0).plain() == {"steps": 3}
    for value in (2.7, math.nan, True, 6):
        with pytest.raises(MethodError, match="must be a whole number from 1 to 5"):
            Some(steps=value)


def test_unknown_names_come_with_the_nearest():
    for name, option, words in [
        ("hkt", "knd", "HKT has no option 'knd'; it has kind, lam, terms. Did you mean 'kind'?"),
        ("plain", "zzzzz", "Plain has no option 'zzzzz'; it has weight."),
        ("kd", "self", "KD has no option 'self'; it has alpha, temperature."),
        ("at", "sites", "AT has no option 'sites'; it has beta."),
    ]:
        with pytest.raises(MethodError) as error:
            methods.options(name, {option: 1})
        assert str(error.value) == words
    with pytest.raises(MethodError, match="'gates'. Did you mean 'gate'?"):
        methods.options("hkt", {"kind": "gates"})
    with pytest.raises(MethodError, match="no method 'fitnt'; known: .* Did you mean 'fitnet'?"):
        methods.get("fitnt")
    with pytest.raises(
        MethodError,
        match="no method 'zzz'; known: plain, kd, .*, aligned, heir, heir_kd, lepoket.$",
    ):
        methods.options("zzz", {})


@pytest.mark.parametrize("name", METHODS)
def test_options_are_frozen_dataclasses(name):
    made = METHODS[name].Options()
    assert isinstance(made, Options) and dataclasses.is_dataclass(made)
    field = dataclasses.fields(made)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(made, field, 1)
    with pytest.raises(MethodError, match="must be"):
        dataclasses.replace(made, **{field: "zzz"})
    assert made == METHODS[name].Options() and dataclasses.replace(made) == made


def test_options_of_a_method_without_any():
    assert Options().plain() == {} and methods.method.Method.Options().plain() == {}
    with pytest.raises(MethodError, match="has no option 'x'; it has none."):
        methods.method.Method.Options(x=1)


@pytest.mark.parametrize("name, option, value", cases(REFUSED))
def test_a_method_made_directly_is_checked_alike(name, option, value):
    child, parent = networks()
    with pytest.raises(MethodError, match=f"{option!r} of"):
        parts = {**PARTS, "imitate": lambda *_: 0, "target": lambda *_: 0}
        METHODS[name](child, parent, sites=POOLED, **parts, **{option: value})


@pytest.mark.parametrize(
    "name, options, sites, label",
    [
        ("plain", {}, None, "plain"),
        ("plain", {"weight": 3}, None, "plain ×3 loss"),
        ("kd", {}, None, "KD"),
        ("kd", {"temperature": 2, "alpha": 0.5}, None, "KD, alpha 0.5, temperature 2"),
        ("fitnet", {"beta": 0.001}, "2hkt", "FitNet, at 2hkt, beta 0.001"),
        ("at", {"beta": 1000}, None, "AT"),
        ("hkt", {}, None, "HKT gate"),
        ("hkt", {"kind": "static", "lam": 0.3}, "2hkt", "HKT static, at 2hkt, lam 0.3"),
        ("hkt", {"terms": ["L_c", "L_p*"]}, None, "HKT gate, terms L_c+L_p*"),
        ("hkt", {"lam": 0, "terms": ["L_c", "L_p*"]}, None, "parent's head alone"),
        (
            "hkt",
            {"lam": 0, "kind": "forward_gate", "terms": ["L_c", "L_p*"]},
            "layers",
            "parent's head alone, at layers",
        ),
        ("at", {"beta": 333}, "blocks", "AT, at blocks, beta 333"),
        ("hkt", {"lam": 0, "terms": ["L_p*"]}, None, "HKT gate, lam 0, terms L_p*"),
        (
            "hkt",
            {"lam": 0, "kind": "static", "terms": ["L_c", "L_p*"]},
            None,
            "HKT static, lam 0, terms L_c+L_p*",
        ),
    ],
)
def test_labels(name, options, sites, label):
    assert METHODS[name].label(options, sites) == label
    assert METHODS[name].label(methods.options(name, options), sites) == label


def test_ranks_follow_the_kinds():
    ranks = [METHODS["hkt"].rank({"kind": kind}) for kind in ACCEPTED["hkt", "kind"]]
    assert ranks == [0, 1, 2, 3, 4] and METHODS["hkt"].rank({}) == METHODS["kd"].rank({}) == 0


def test_an_option_without_a_range_is_refused_where_it_is_written():
    with pytest.raises(MethodError, match=r"Option 'alpha' of .*Bare has no range; give it one"):

        class Bare(Options):
            alpha: float = 0.9
