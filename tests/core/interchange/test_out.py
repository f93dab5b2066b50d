"""Downloads, a dataset for the hub, the command line, and a server's folder: each a whole way from one to the other."""

from __future__ import annotations

import contextlib
import functools
import http.server
import io
import json
import os
import shutil
import tarfile
import threading

import pyarrow.parquet as pq
import pytest
import yaml
from starlette.testclient import TestClient

from core.__main__ import main
from core.community.records import Item
from core.errors import Unreachable, WorkbenchError
from core.interchange import lists
from core.interchange.bulk import places
from core.interchange.bulk.publish import plain
from tests import tiny
from tests.core.interchange.conftest import tree


def test_a_stream_is_the_export(bench, exported, tmp_path, fresh):
    for form in ("neuronpedia", "parquet"):
        path = tmp_path / f"{form}.tar"
        path.write_bytes(b"".join(bench.exchange.stream(tiny.SAE, form)))
        with tarfile.open(path) as archive:
            archive.extractall(tmp_path / form, filter="data")
        (made,) = fresh(f"root-{form}").exchange.bring_in(path)
        assert made.width == 64
        assert fresh(f"root-{form}").feature(f"{tiny.SAE}/3").label == bench.feature(f"{tiny.SAE}/3").label
    assert tree(tmp_path / "neuronpedia" / "v1" / "tiny" / "1-res") == tree(exported)


def test_explanations_alone_as_a_stream(bench, copy, fresh, tmp_path):
    """They are attached where their source is, as those of a folder are."""
    path = tmp_path / "said.tar"
    path.write_bytes(b"".join(bench.exchange.stream(tiny.SAE, "explanations")))
    with tarfile.open(path) as archive:
        assert {name.split("/")[3] for name in archive.getnames()} == {"explanations", "scores"}
    for name in ("explanations", "scores"):
        shutil.rmtree(copy / name)
    (copy / "featurescope.json").unlink()
    other = fresh()
    other.exchange.bring_in(copy)
    assert not other.words.of(f"{tiny.SAE}/3")
    (made,) = other.exchange.bring_in(path)
    assert made.format == "explanations" and made.explanations > 0
    theirs, ours = ([one.text for one in w.words.of(f"{tiny.SAE}/3")] for w in (other, bench))
    assert theirs == ours


def test_over_http(bench, exported):
    from api.server import create

    client = TestClient(create(bench))
    answer = client.get(f"/export/{tiny.SAE}")
    assert answer.status_code == 200 and "tiny_1-res_neuronpedia.tar" in answer.headers["content-disposition"]
    with tarfile.open(fileobj=io.BytesIO(answer.content)) as archive:
        names = archive.getnames()
    assert names[0] == "v1/tiny/1-res/release.jsonl" and len(names) == len(tree(exported))
    for path, status in (
        ("/export/tiny/7-none", 404), ("/export/no/1-res", 404), ("/export/tiny/..", 404), ("/export/tiny/x", 400),
        (f"/export/{tiny.SAE}?format=exe", 422),
    ):  # fmt: skip
        found = client.get(path)
        assert 400 <= found.status_code < 500 and (found.status_code == status or status == 422), path
    said = client.get(f"/export/{tiny.SAE}?format=explanations")
    assert said.status_code == 200 and "tiny_1-res_explanations.tar" in said.headers["content-disposition"]
    for _ in range(5):  # room is given back
        assert client.get(f"/export/{tiny.SAE}?format=parquet").status_code == 200


def test_published(bench, tmp_path, fresh):
    made = bench.exchange.publish([tiny.SAE, "tiny/0-neurons"], tmp_path / "set", title="A: “b” #c", licence="mit")
    assert [one.format for one in made] == ["parquet", "parquet"]
    text = (tmp_path / "set" / "README.md").read_text()
    front = yaml.safe_load(text.split("---")[1])
    assert (front["pretty_name"], front["license"]) == ("A: “b” #c", "mit")
    files = {one["config_name"]: one["data_files"] for one in front["configs"]}
    assert files["tiny.1-res.features"] == "tiny/1-res/features.parquet"
    for path in files.values():
        assert pq.read_metadata(tmp_path / "set" / path).num_rows
    said = pq.read_table(tmp_path / "set" / files["tiny.1-res.explanations"]).to_pandas()
    assert set(said["text"]) == {e.text for e in bench.words.export([tiny.SAE])}
    assert "A: “b” \\#c" in text and "64" in text and str(tmp_path) not in text
    other = fresh()
    assert [str(one.key) for one in other.exchange.bring_in(tmp_path / "set")] == ["tiny/0-neurons", "tiny/1-res"]
    assert all(report.ok for report in other.check())


def test_a_card_shows_text_as_it_is():
    assert plain("a|b\n# <i>[x](y)</i> *z*") == r"a\|b \# \<i\>\[x\]\(y\)\</i\> \*z\*"


@pytest.fixture
def served(exported):
    """The export on a server that lists folders; and one that breaks off the first answer of each file."""
    broken = {"on": False, "seen": set()}

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def copyfile(self, source, out):
            data = source.read()
            if broken["on"] and self.path.endswith(".gz") and self.path not in broken["seen"]:
                broken["seen"].add(self.path)
                data = data[: len(data) // 2]
            out.write(data)

    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Handler, directory=exported.parent.parent)
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", broken
    server.shutdown()
    server.server_close()


def test_http(served, exported, fresh):
    address, broken = served
    a, b = fresh("a"), fresh("b")
    a.exchange.bring_in(exported)
    broken["on"] = True
    tries = 0
    while True:
        try:
            b.exchange.bring_in(f"{address}/tiny/1-res/")
            break
        except Unreachable as error:
            assert "same command" in str(error) or "again" in str(error)
            tries += 1
    assert tries == len(broken["seen"]) > 2  # each file broke off once, and was fetched again
    mine, theirs = (tree(w.settings.data / "tiny" / "1-res") for w in (a, b))
    assert mine["examples.arrow"] == theirs["examples.arrow"] and mine["rows.arrow"] == theirs["rows.arrow"]
    with pytest.raises(Unreachable):
        fresh("c").exchange.bring_in("http://127.0.0.1:9/nothing/")


def test_s3_listing_to_its_last_page(exported, fresh):
    """More files than one page of a listing holds, as S3 lists them without an account."""
    files = tree(exported)
    keys = [f"v1/tiny/1-res/{name}" for name in files]
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_GET(self):
            from urllib.parse import parse_qs, urlsplit

            split = urlsplit(self.path)
            query = parse_qs(split.query)
            if "list-type" in query:
                asked.append(query)
                begin = int(query.get("continuation-token", ["0"])[0])
                page = [k for k in keys if k.startswith(query["prefix"][0])][begin : begin + 3]
                more = begin + 3 < len(keys)
                rows = "".join(f"<Contents><Key>{k}</Key><Size>{len(files[k[14:]])}</Size><ETag>e</ETag></Contents>"
                               for k in page)  # fmt: skip
                token = f"<NextContinuationToken>{begin + 3}</NextContinuationToken>" if more else ""
                body = f'<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{rows}{token}</ListBucketResult>'
                data = body.encode()
            else:
                data = files[split.path[1:].removeprefix("v1/tiny/1-res/")]
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        address = f"http://127.0.0.1:{server.server_port}/?prefix=v1/tiny/1-res"
        (made,) = fresh().exchange.bring_in(address)
    finally:
        server.shutdown()
        server.server_close()
    assert made.features == 64 and len(asked) == -(-len(files) // 3)


ENDLESS = b"<a href='http://[bad'>x</a><a href='../../etc/passwd'>y</a>"
ANSWERS = {
    "same": b"<ListBucketResult><NextContinuationToken>a</NextContinuationToken></ListBucketResult>",
    "size": b"<L><Contents><Key>v1/x.txt</Key><Size>many</Size></Contents></L>",
    "out": b"<L><Contents><Key>v1/../../x</Key><Size>1</Size></Contents></L>",
    "none": b"<L", "laughs": b'<!DOCTYPE l [<!ENTITY a "' + b"ha" * 9 + b'">'
    + b"".join(b'<!ENTITY %c "%s">' % (98 + n, b"&%c;" % (97 + n) * 10) for n in range(12)) + b"]><l>&m;</l>",
}  # fmt: skip


@pytest.fixture
def hostile():
    """A server that lists without end, what is no listing, and files that it does not have."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_GET(self):
            name = self.path[1:].partition("?")[0].partition("/")[0]
            self.send_response(200)
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(ANSWERS.get(name, ENDLESS))
                while name == "long":
                    self.wfile.write(bytes(1 << 16))

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("same/?prefix=v1", "lists without end"), ("size/?prefix=v1", "x.txt|nothing"), ("out/?prefix=v1", "leads out"),
        ("none/?prefix=v1", "no listing as S3"), ("laughs/?prefix=v1", "no listing as S3"), ("long/", "longer than"),
        ("index/", "nothing at"), ("long/x.zip", "needs about"),
    ],
)  # fmt: skip
def test_servers_that_mean_harm(hostile, fresh, monkeypatch, path, says):
    monkeypatch.setattr(places, "LISTING", 1 << 20)
    if path.endswith(".zip"):  # an archive without end, on a disk that is nearly full
        monkeypatch.setattr(places, "LEFT", 1 << 62)
    with pytest.raises(WorkbenchError, match=says):
        fresh().exchange.bring_in(f"{hostile}/{path}")
    assert not fresh().sources()


@pytest.mark.parametrize("where", ["http://[x", "http://exa mple/x", "http://\ud800/", "https://", "http://:0/"])
def test_what_is_no_address(fresh, where):
    with pytest.raises(WorkbenchError):
        fresh().exchange.bring_in(where)


def test_names_that_are_no_text(exported, fresh, tmp_path):
    """Linux's names may be any bytes; what comes of Latin-1 is not UTF-8."""
    bad = tmp_path / os.fsdecode(b"caf\xe9")
    shutil.copytree(exported, bad / "tiny" / "1-res")
    with pytest.raises(WorkbenchError, match="no UTF-8"):
        fresh().exchange.bring_in(bad)
    (bad / "tiny" / "1-res" / os.fsdecode(b"n\xe9.jsonl")).write_text("{}")
    good = shutil.move(bad, tmp_path / "good")
    with pytest.raises(WorkbenchError, match="no UTF-8"):
        fresh().exchange.bring_in(good)


# -- a stranger's task -------------------------------------------------------------------------------------------------


def test_a_stranger_brings_an_export_finds_a_feature_by_meaning_and_takes_a_list(bench, exported, tmp_path, capsys):
    """On the command line: import, find; then the list, as a page's export gives it."""
    root = ["--data", str(tmp_path / "root")]
    assert main(["import", str(exported), "--as", "theirs", "--json", *root]) == 0
    (source,) = json.loads(capsys.readouterr().out)["sources"]
    assert (source["modelId"], source["features"], source["findings"]) == ("theirs", 64, [])
    assert source["needsWeights"]
    assert main(["sources", *root]) == 0 and "theirs/1-res" in capsys.readouterr().out
    text = bench.words.annotation(f"{tiny.SAE}/3").line
    assert main(["find", text, "--json", *root]) == 0
    found = json.loads(capsys.readouterr().out)["results"]
    names = [f"{one['modelId']}/{one['layer']}/{one['index']}" for one in found[:3]]
    assert "theirs/1-res/3" in names
    from core.settings import Settings
    from core.workbench import Workbench

    other = Workbench(Settings(data=tmp_path / "root", demo=None))
    people = other.community.people()
    made = people.lists.new("Found", items=[Item(other.feature(name).key) for name in names])
    out = lists.to_json(people.lists.get(made), {})
    assert [str(item.feature) for item in lists.from_json(out).items] == names


def test_the_command_line_says_what_was_wrong(exported, copy, tmp_path, capsys):
    root = ["--data", str(tmp_path / "root")]
    path = copy / "activations" / "batch-0.jsonl.gz"
    path.write_bytes(path.read_bytes()[:-50])
    assert main(["import", str(copy), *root]) == 2
    said = capsys.readouterr().err
    assert "activations/batch-0.jsonl.gz" in said and "nothing of it was imported" in said
    assert main(["import", str(copy), "--leave-out", *root]) == 0
    assert "were left out" in capsys.readouterr().out
    assert main(["export", "tiny/1-res", str(tmp_path / "out"), *root]) == 0
    assert "64 features" in capsys.readouterr().out
    assert main(["export", "tiny/1-res", str(tmp_path / "out"), *root]) == 2
    assert "--again" in capsys.readouterr().err
