"""fetch, verify and status against a server on this machine; a failure is one sentence and leaves nothing behind."""

import errno
import gzip
import hashlib
import io
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import yaml

from hkt_lite.benchmarks import registry
from hkt_lite.benchmarks.cifar10.network import resnet
from hkt_lite.benchmarks.weights import load_weights
from hkt_lite.config import HKTError

FILES = {"one": b"first file " * 300, "two": bytes(range(256)) * 20}


def sha(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def packed(*odd: tarfile.TarInfo, folder: str = "things", **changes) -> bytes:
    """FILES in an archive, some of them changed; `odd` members come last and hide earlier ones."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, data in {**FILES, **changes}.items():
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
        for member in odd:
            tar.addfile(member)
    return buffer.getvalue()


ARCHIVE = packed(extra=b"not listed, so not unpacked")
WEIGHTS = b"numbers" * 1000


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        data, announced = self.server.serves.get(self.path, (None, 0))
        if data is None:
            return self.send_error(404)
        self.send_response(200)
        self.send_header("Content-Length", str(announced or len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *words):
        pass


@pytest.fixture(scope="module")
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as one:
        threading.Thread(target=one.serve_forever, daemon=True).start()
        yield one
        one.shutdown()


@pytest.fixture
def served(server, tmp_path, monkeypatch):
    """The server with fresh contents, a registry of two entries that point to it, and an empty data folder."""
    server.serves = {"/things.tar.gz": (ARCHIVE, 0), "/net.th": (WEIGHTS, 0)}
    server.asked, server.data = [], tmp_path / "data"  # requests it saw; the user's data folder
    common = {"licence": "none", "citation": "us", "home": "http://here", "gated": False}
    address = f"http://127.0.0.1:{server.server_port}"
    server.things = {
        "id": "things",
        "path": "things",
        "archive": "things.tar.gz",
        "urls": [f"{address}/things.tar.gz"],
        "hash": sha(ARCHIVE),
        "bytes": len(ARCHIVE),
        **common,
        "files": {name: sha(data) for name, data in FILES.items()},
    }
    server.net = {
        "id": "net",
        "path": "weights/net.th",
        "urls": [f"{address}/net.th"],
        "hash": sha(WEIGHTS)[:15],
        **common,
    }

    def write():
        registry.entries.cache_clear()
        (tmp_path / "registry.yaml").write_text(yaml.safe_dump([server.things, server.net]))

    server.write = write
    write()
    monkeypatch.setattr(registry, "REGISTRY", tmp_path / "registry.yaml")
    monkeypatch.setenv("HKT_DATA", str(server.data))
    monkeypatch.setenv("NO_PROXY", "*")
    yield server
    registry.entries.cache_clear()


def remains(served) -> list[str]:
    found = (path for path in served.data.rglob("*") if path.is_file() or path.name.startswith("."))
    return sorted(str(path.relative_to(served.data)) for path in found)


def test_archive_is_fetched_unpacked_and_not_fetched_twice(served):
    assert registry.fetch("things") == served.data / "things"
    assert remains(served) == ["things/one", "things/two"]
    assert (served.data / "things/one").read_bytes() == FILES["one"]
    assert registry.fetch("things") == served.data / "things" and served.asked == ["/things.tar.gz"]
    assert set(registry.verify("things").values()) == {"ok"} and len(registry.verify("things")) == 2


def test_single_file_is_checked_by_the_digits_that_are_known(served):
    assert registry.fetch("net").read_bytes() == WEIGHTS
    served.net["hash"] = "sha256:00000000"
    served.write()
    assert registry.verify("net") == {str(served.data / "weights/net.th"): "wrong checksum"}


def test_status_tells_absent_damaged_and_intact(served):
    rows = [(row["name"], row["present"], row["verified"]) for row in registry.status()]
    assert rows == [("things", False, None), ("net", False, None)]
    registry.fetch("things")
    registry.fetch("net").write_bytes(b"damaged")
    rows = registry.status()
    assert [(row["present"], row["verified"]) for row in rows] == [(True, True), (True, False)]
    assert (
        rows[0]["size"] == len(ARCHIVE)
        and rows[0]["licence"] == "none"
        and rows[0]["gated"] is False
    )


def test_damaged_files_are_named_and_replaced(served):
    registry.fetch("things")
    (served.data / "things/two").write_bytes(b"damaged")
    (served.data / "things/one").unlink()
    verdicts = {"one": "missing", "two": "wrong checksum"}
    assert registry.verify("things") == {
        str(served.data / "things" / name): word for name, word in verdicts.items()
    }
    registry.fetch("things")
    assert set(registry.verify("things").values()) == {"ok"} and remains(served) == [
        "things/one",
        "things/two",
    ]


def test_archive_put_there_by_hand_is_used_without_network(served):
    served.data.mkdir()
    (served.data / "things.tar.gz").write_bytes(ARCHIVE)
    assert registry.verify("things") == {str(served.data / "things.tar.gz"): "ok"}
    registry.fetch("things")
    assert served.asked == [] and (served.data / "things/two").read_bytes() == FILES["two"]


def test_second_address_is_tried(served):
    served.net["urls"] = ["http://127.0.0.1:9/net.th", *served.net["urls"]]
    served.write()
    assert registry.fetch("net").read_bytes() == WEIGHTS


def test_second_address_is_tried_when_the_first_serves_something_else(served):
    address = served.net["urls"][0]
    served.serves["/other.th"] = (b"another file", 0)
    served.net["urls"] = [address.replace("net.th", "other.th"), address]
    served.write()
    assert registry.fetch("net").read_bytes() == WEIGHTS
    assert served.asked == ["/other.th", "/net.th"] and remains(served) == ["weights/net.th"]


def test_every_address_that_failed_is_named(served):
    address = served.net["urls"][0]
    served.serves["/net.th"] = (b"another file", 0)
    served.net["urls"] = [address.replace("net.th", "gone.th"), address]
    served.write()
    refused(served, "net", "gone.th answers 404 .*, and the download of .*net.th does not have the")


def refused(served, name, words):
    with pytest.raises(HKTError, match=words) as caught:
        registry.fetch(name)
    message = str(caught.value)
    assert "\n" not in message and message.endswith((".", "?"))
    assert remains(served) == []
    return message


def test_no_network(served):
    served.things["urls"] = ["http://127.0.0.1:9/things.tar.gz"]
    served.write()
    message = refused(
        served, "things", "http://127.0.0.1:9/things.tar.gz cannot be reached; check the network"
    )
    assert f"put the file at {served.data / 'things.tar.gz'} by hand and fetch again" in message


def test_server_without_the_file(served):
    served.serves = {}
    refused(served, "net", "net could not be fetched: .*net.th answers 404")


@pytest.mark.parametrize("name", ["things", "net"])
def test_connection_that_breaks_off(served, name):
    served.serves = {path: (data[:100], len(data)) for path, (data, _) in served.serves.items()}
    refused(
        served,
        name,
        f"{name} could not be fetched: the download of http:.* broke off; check the network and try",
    )


def test_truncated_download(served):
    served.serves["/things.tar.gz"] = (ARCHIVE[:200], 0)
    refused(served, "things", rf"is truncated \(200 of {len(ARCHIVE)} bytes\) and was thrown away")


def test_wrong_checksum(served):
    served.serves = {
        "/things.tar.gz": (packed(one=b"x" * 9000), 0),
        "/net.th": (WEIGHTS[:-1] + b"!", 0),
    }
    served.things["bytes"] = None
    served.write()
    refused(
        served, "things", f"does not have the checksum {served.things['hash']} and was thrown away"
    )
    refused(served, "net", "does not have the checksum sha256:")


@pytest.mark.parametrize(
    "data", [ARCHIVE[: len(ARCHIVE) - 60], b"no archive at all", packed(folder="elsewhere")]
)
def test_archive_that_cannot_be_unpacked(served, data):
    served.serves["/things.tar.gz"] = (data, 0)
    served.things |= {"hash": sha(data), "bytes": len(data)}
    served.write()
    refused(served, "things", "archive things.tar.gz of things is truncated or damaged")


def test_wrong_file_inside_the_archive(served):
    data = packed(two=b"other")
    served.serves["/things.tar.gz"] = (data, 0)
    served.things["hash"] = sha(data)
    served.write()
    served.things["bytes"] = None
    served.write()
    refused(
        served,
        "things",
        r"archive things.tar.gz of things is truncated or damaged \(two in it does not have the",
    )


def serve(served, data: bytes) -> None:
    """An archive whose checksum is the registry's, whatever is in it."""
    served.serves["/things.tar.gz"] = (data, 0)
    served.things |= {"hash": sha(data), "bytes": len(data)}
    served.write()


KINDS = ["SYMTYPE", "LNKTYPE", "CHRTYPE", "BLKTYPE", "FIFOTYPE", "DIRTYPE"]


@pytest.mark.parametrize("kind", KINDS)
def test_links_pipes_and_devices_are_refused(served, kind, tmp_path):
    (tmp_path / "secret").write_bytes(FILES["two"])
    link = tarfile.TarInfo("things/two")
    link.type, link.linkname = getattr(tarfile, kind), str(tmp_path / "secret")
    serve(served, packed(link))
    refused(served, "things", "things is truncated or damaged .two is a link, a device or full")


@pytest.mark.parametrize("kind", ["SYMTYPE", "LNKTYPE"])
@pytest.mark.parametrize("ring", [["one", "two"], ["one", "aside", "further"], ["one", "one"]])
def test_links_in_a_ring_are_refused(served, kind, ring):
    odd = []
    for name, to in zip(ring, [*ring[1:], ring[0]]):
        link = tarfile.TarInfo(f"things/{name}")
        link.type, link.linkname = (
            getattr(tarfile, kind),
            to if kind == "SYMTYPE" else f"things/{to}",
        )
        odd.append(link)
    serve(served, packed(*odd))
    refused(served, "things", "one is a link, a device or full of holes")


def test_a_file_full_of_holes_is_refused(served):
    """A sparse member: a header of 512 bytes that says it is a terabyte."""
    size = 2**40
    sparse = tarfile.TarInfo("things/two")
    sparse.type = tarfile.GNUTYPE_SPARSE
    head = bytearray(sparse.tobuf(tarfile.GNU_FORMAT))
    head[386:410] = b"%011o\0%011o\0" % (0, 0)  # one stretch of data, empty
    head[483:495] = b"\x80" + size.to_bytes(11, "big")
    head[148:156] = b"%06o\0 " % (sum(head[:148]) + sum(head[156:]) + 8 * ord(" "))
    with tarfile.open(fileobj=io.BytesIO(head + bytes(1024))) as tar:
        assert tar.getmember("things/two").size == size
    served.things["files"] = {"two": served.things["files"]["two"]}
    serve(served, gzip.compress(bytes(head) + bytes(1024)))
    refused(served, "things", "two is a link, a device or full of holes")


def swollen(kind: str) -> bytes:
    """100 MB of zeros in 100 kB: as a member that nobody asked for, as one that is listed, or as
    the header of one."""
    zeros = bytes(100 * 2**20)
    if kind != "header":
        return packed(**{kind: zeros})
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", format=tarfile.PAX_FORMAT) as tar:
        member = tarfile.TarInfo("things/one")
        member.pax_headers = {"comment": zeros.decode()}
        tar.addfile(member)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["unlisted", "two", "header"])
def test_an_archive_that_explodes_is_refused_before_it_is_unpacked(served, kind):
    import tracemalloc

    serve(served, swollen(kind))
    tracemalloc.start()
    refused(served, "things", "damaged .it is more than 4 times as large inside")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 30 * 2**20


def test_an_archive_of_too_many_members_is_refused(served, monkeypatch):
    monkeypatch.setattr(registry, "MEMBERS", 50)
    serve(served, packed(*[tarfile.TarInfo(f"things/{number}") for number in range(48)]))
    registry.fetch("things")
    (served.data / "things/one").unlink()
    serve(served, packed(*[tarfile.TarInfo(f"things/{number}") for number in range(49)]))
    with pytest.raises(HKTError, match="it has more than 50 members"):
        registry.fetch("things")


def test_a_server_that_sends_too_much_is_cut_off_and_the_next_one_tried(served, monkeypatch):
    address = served.net["urls"][0]
    served.serves["/other.th"] = (bytes(10**8), 0)
    served.net |= {"urls": [address.replace("net.th", "other.th")], "bytes": len(WEIGHTS)}
    served.write()
    written = []
    write = registry._Bounded.write
    monkeypatch.setattr(
        registry._Bounded, "write", lambda self, data: written.append(write(self, data))
    )
    refused(served, "net", f"other.th sends more than {len(WEIGHTS)} bytes, which was cut off")
    assert sum(written) <= len(WEIGHTS)
    served.net["urls"].append(address)
    served.write()
    assert registry.fetch("net").read_bytes() == WEIGHTS


def test_a_download_of_unknown_size_has_a_limit_too(served, monkeypatch):
    monkeypatch.setattr(registry, "LARGEST", len(WEIGHTS) - 1)
    refused(served, "net", f"net.th sends more than {len(WEIGHTS) - 1} bytes")


def test_members_that_lead_elsewhere_stay_in_the_archive(served, tmp_path):
    odd = [tarfile.TarInfo(name) for name in ("../escaped", "things/../../escaped", "/escaped")]
    way = tarfile.TarInfo("things/way")
    way.type, way.linkname = tarfile.SYMTYPE, str(tmp_path)
    data = packed(*odd, way, tarfile.TarInfo("things/way/escaped"))
    served.serves["/things.tar.gz"] = (data, 0)
    served.things |= {"hash": sha(data), "bytes": len(data)}
    served.write()
    registry.fetch("things")
    assert remains(served) == ["things/one", "things/two"] and not (tmp_path / "escaped").exists()


def test_damaged_data_stays_until_something_better_came(served):
    registry.fetch("things")
    (served.data / "things/two").write_bytes(b"damaged")
    served.serves = {}
    with pytest.raises(HKTError, match="answers 404"):
        registry.fetch("things")
    assert remains(served) == ["things/one", "things/two"]


def test_full_disk(served, monkeypatch):
    def full(*words, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(registry.os, "replace", full)
    refused(
        served,
        "things",
        r"The disk of .* is full while fetching things \(0 MB to download\); free some space",
    )


def test_full_disk_in_the_middle_of_the_download(served, monkeypatch):
    import pooch

    def full(self, url, file, *words, **options):
        file.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pooch.HTTPDownloader, "__call__", full)
    refused(served, "net", "is full while fetching net")


def test_data_folder_that_cannot_be_made(served, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("HKT_DATA", str(tmp_path / "file"))
    with pytest.raises(HKTError, match="HKT_DATA is .*file, which is no folder; set another"):
        registry.fetch("things")


def test_what_no_program_may_fetch(served):
    served.net["gated"] = True
    served.things |= {"urls": [], "note": "it was never uploaded"}
    served.write()
    refused(served, "net", "its owners ask for a registration.*http://here and put it at .*net.th")
    refused(served, "things", "it was never uploaded.*put it at .*things.tar.gz")
    assert served.asked == []


def test_unknown_name_and_nothing_to_verify(served):
    refused(served, "thing", "no entry 'thing'. Did you mean 'things'?")
    with pytest.raises(
        HKTError, match="nothing to verify: net does not lie at .*run `hkt data fetch net`"
    ):
        registry.verify("net")


def test_a_set_without_a_known_checksum_is_brought_by_hand(served):
    del served.things["hash"], served.things["files"], served.things["archive"]
    served.things["note"] = "no checksum is known"
    served.write()
    refused(
        served,
        "things",
        "things cannot be fetched by a program .no checksum is known.; get it from http://here and put it at .*things",
    )
    with pytest.raises(HKTError, match="nothing to verify: no checksum of things is known"):
        registry.verify("things")
    (served.data / "things").mkdir(parents=True)
    assert registry.fetch("things") == served.data / "things" and served.asked == []
    row = registry.status()[0]
    assert (row["present"], row["verified"]) == (True, None)


def test_broken_registry_is_named(served, tmp_path):
    del served.net["licence"]
    served.write()
    with pytest.raises(HKTError, match=r"data registry .*registry.yaml cannot be read \(.*licence"):
        registry.status()


def test_the_committed_registry():
    known = registry.entries()
    from hkt_lite.benchmarks.cifar10 import data as cifar10
    from hkt_lite.benchmarks.cifar10.task import PUBLIC

    assert {name: f"md5:{digest}" for name, digest in cifar10.MD5.items()}.items() <= known[
        "cifar10"
    ].files.items()
    assert known["cifar10"].path == cifar10.FOLDER
    for name, file in PUBLIC.items():
        assert known[name].path == f"weights/{file}"
        assert (
            known[name]
            .hash.removeprefix("sha256:")
            .startswith(file.split("-")[1].removesuffix(".th"))
        )
    from hkt_lite.benchmarks.flow import data as flow

    for corpus, layout in flow.LAYOUTS.items():
        name = corpus.split("-")[0]
        assert known[name].path == layout.folder.split("/")[0] and known[name].note
    for one in known.values():
        assert (
            one.licence
            and one.citation
            and one.home.startswith("https://")
            and (one.urls or one.note)
        )
        if not one.hash:
            assert one.note and not one.archive and not one.files
            continue
        algorithm, digits = one.hash.split(":")
        assert algorithm in hashlib.algorithms_guaranteed and set(digits) <= set("0123456789abcdef")
        assert len(digits) in (8, 32, 64)


def test_raft_weights_are_the_ones_torchvision_names():
    from hkt_lite import torchvision

    models, known, found = torchvision().models.optical_flow, registry.entries(), set()
    for kind, weights in (
        ("raft_large", models.Raft_Large_Weights),
        ("raft_small", models.Raft_Small_Weights),
    ):
        for one in weights:
            entry = known[f"{kind}_{one.name}"]
            assert entry.urls == [one.url] and entry.path == "weights/" + one.url.rsplit("/", 1)[1]
            assert entry.hash == "sha256:" + one.url.rsplit("-", 1)[1].removesuffix(".pth")
            found.add(entry.id)
    assert found == {name for name in known if name.startswith("raft_")} and len(found) == 8


@pytest.mark.real
@pytest.mark.parametrize("name", ["resnet20", "resnet32", "resnet44", "resnet56", "hkt-resnet20"])
def test_real_checkpoints(name):
    one = registry.entry(name)
    if not one.download.is_file():
        pytest.skip(f"{one.download} is not here (set HKT_DATA)")
    assert registry.verify(name) == {str(one.download): "ok"}
    assert one.download.stat().st_size == one.bytes
    load_weights(resnet(name.removeprefix("hkt-")), one.download)
