"""CIFAR ResNets: sizes, names, and files that do not fit."""

import pickle

import pytest
import torch
from safetensors.torch import save_file

from hkt_lite.benchmarks.cifar10.network import resnet
from hkt_lite.benchmarks.weights import load_weights, parameters
from hkt_lite.config import HKTError, data_home

WEIGHTS = data_home() / "weights"
PUBLIC = {
    "resnet20": "resnet20-12fca82f.th",
    "resnet32": "resnet32-d509ac18.th",
    "resnet44": "resnet44-014dd654.th",
    "resnet56": "resnet56-4bfd9763.th",
}


def public(name: str):
    path = WEIGHTS / name
    if not path.is_file():
        pytest.skip(f"the public checkpoint {name} is not under {WEIGHTS}")
    return path


@pytest.mark.parametrize(
    "name, count",
    [("resnet8", 75_290), ("resnet20", 269_722), ("resnet56", 853_018), ("resnet110", 1_727_962)],
)
def test_parameter_counts(name, count):
    assert parameters(resnet(name)) == count


@pytest.mark.parametrize("name", ["resnet8", "resnet20"])
def test_shapes_and_the_pooled_site(name):
    net = resnet(name).eval()
    x = torch.randn(2, 3, 32, 32)
    assert net(x).shape == (2, 10)
    z = torch.relu(net.bn1(net.conv1(x)))
    shapes = []
    for stage in (net.layer1, net.layer2, net.layer3):
        z = stage(z)
        shapes.append(tuple(z.shape[1:]))
    assert shapes == [(16, 32, 32), (32, 16, 16), (64, 8, 8)]
    torch.testing.assert_close(net.avgpool(z), z.mean((2, 3)))
    torch.testing.assert_close(net(x), net.linear(z.mean((2, 3))))


def test_width_classes_and_reproducible_initialisation():
    net = resnet("resnet8", width=4, classes=7)
    assert net(torch.randn(2, 3, 16, 16)).shape == (2, 7) and net.linear.in_features == 16
    made = []
    for _ in range(2):
        torch.manual_seed(3)
        made.append(resnet("resnet8").state_dict())
    assert all(torch.equal(a, b) for a, b in zip(made[0].values(), made[1].values()))


def test_shortcuts_are_option_a():
    """With the block's own path silenced, the old channels are every second pixel of the input and the new ones 0."""
    block = resnet("resnet8").layer2[0].eval()
    assert not [
        name for name, _ in block.named_parameters() if "shortcut" in name or "downsample" in name
    ]
    torch.nn.init.zeros_(block.bn2.weight)
    x = torch.rand(1, 16, 8, 8)
    y = block(x)
    assert y.shape == (1, 32, 4, 4) and torch.equal(y[:, 8:24], x[:, :, ::2, ::2])
    assert float(y[:, :8].abs().max()) == 0 == float(y[:, 24:].abs().max())


@pytest.mark.parametrize(
    "name",
    [
        "resnet18",
        "resnet2",
        "resnet",
        "vgg16",
        "resnet20x",
        "resnet-20",
        "resnet9999998",
        "resnet²",
    ],
)
def test_other_depths_are_refused(name):
    with pytest.raises(HKTError, match=rf"no CIFAR ResNet '{name}'; the depth must be 6n \+ 2"):
        resnet(name)


@pytest.mark.real
@pytest.mark.parametrize("name", PUBLIC)
def test_keys_equal_the_public_checkpoints(name):
    state = torch.load(public(PUBLIC[name]), map_location="cpu", weights_only=True)["state_dict"]
    theirs = {key.removeprefix("module."): tuple(value.shape) for key, value in state.items()}
    ours = {key: tuple(value.shape) for key, value in resnet(name).state_dict().items()}
    assert theirs == {key: shape for key, shape in ours.items() if key in theirs}
    assert all(
        key.endswith("num_batches_tracked") for key in set(ours) - set(theirs)
    )  # old files lack the counter


@pytest.mark.real
@pytest.mark.parametrize(
    "file, accuracy", [("HKT-RestNet20.pth", 92.40), ("resnet20-12fca82f.th", 91.73)]
)
def test_public_checkpoints_recognise_real_images(file, accuracy):
    from hkt_lite.benchmarks.cifar10 import data as cifar10
    from hkt_lite.benchmarks.cifar10.task import MEAN, STD

    path = public(file)
    if not cifar10.present(data_home()):
        pytest.skip(f"the CIFAR-10 images are not under {data_home()}")
    found = cifar10.load(data_home(), "test", 1000)
    mean, std = (torch.tensor(value).view(1, 3, 1, 1) for value in (MEAN, STD))
    net = load_weights(resnet("resnet20"), path).eval()
    with torch.no_grad():
        right = [
            net((x / 255 - mean) / std).argmax(1) == y
            for x, y in zip(found.x.split(250), found.y.split(250))
        ]
    assert abs(100 * torch.cat(right).float().mean().item() - accuracy) < 2.5  # 3 standard errors


# -- files -----------------------------------------------------------------------------------------------------------


def test_round_trips(tmp_path):
    net = resnet("resnet8")
    state = {key: value.contiguous() for key, value in net.state_dict().items()}
    wrapped = {f"module.{key}": value for key, value in state.items()}
    torch.save({"state_dict": wrapped, "best_prec1": 92.4}, tmp_path / "a.th")
    torch.save(state, tmp_path / "b.pth")
    save_file(state, tmp_path / "c.safetensors")
    for path in tmp_path.iterdir():
        other = load_weights(resnet("resnet8"), path)
        assert all(torch.equal(value, state[key]) for key, value in other.state_dict().items()), (
            path.name
        )
    halves = {
        key: value.half() if value.is_floating_point() else value for key, value in state.items()
    }
    save_file(halves, tmp_path / "d.safetensors")
    half = load_weights(resnet("resnet8"), tmp_path / "d.safetensors")
    assert half.conv1.weight.dtype == torch.float32
    torch.testing.assert_close(half.conv1.weight, net.conv1.weight, rtol=2**-10, atol=1e-6)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(
        HKTError, match=r"no weights at .*nowhere\.pth; fetch them with `hkt data fetch`"
    ):
        load_weights(resnet("resnet8"), tmp_path / "nowhere.pth")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("keep", [0, 10, 0.5, 0.99])
def test_a_truncated_file_is_named(tmp_path, suffix, keep):
    path = tmp_path / f"weights{suffix}"
    state = {key: value.contiguous() for key, value in resnet("resnet8").state_dict().items()}
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    data = path.read_bytes()
    path.write_bytes(data[: keep if keep > 1 else int(keep * len(data))])
    with pytest.raises(HKTError, match=rf"weights{suffix} are corrupt or truncated") as caught:
        load_weights(resnet("resnet8"), path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("file", ["resnet20", "narrow"])
def test_weights_of_another_network_change_nothing(tmp_path, file):
    other = resnet("resnet20") if file == "resnet20" else resnet("resnet8", width=8)
    torch.save(other.state_dict(), tmp_path / "other.pth")
    net = resnet("resnet8")
    before = {key: value.clone() for key, value in net.state_dict().items()}
    with pytest.raises(HKTError, match=r"other\.pth do not fit this network") as caught:
        load_weights(net, tmp_path / "other.pth")
    assert "\n" not in str(caught.value)
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items()), (
        "left half loaded"
    )


class Evil:
    def __reduce__(self):
        return print, ("this must not be executed",)


@pytest.mark.parametrize("content", ["a tensor", "a number", "no tensors", "code", "text"])
def test_files_that_hold_something_else_are_named(tmp_path, content, capsys):
    path = tmp_path / "odd.pth"
    if content == "code":
        path.write_bytes(pickle.dumps(Evil()))
    elif content == "text":
        path.write_text("<html>404</html>")
    else:
        torch.save(
            {"a tensor": torch.zeros(3), "a number": 3, "no tensors": {"epoch": 3, "name": "x"}}[
                content
            ],
            path,
        )
    with pytest.raises(HKTError, match=r"odd\.pth"):
        load_weights(resnet("resnet8"), path)
    assert "must not" not in capsys.readouterr().out
