"""The folder of a Space as `python -m core space` writes it: its files, its words, what stays untouched."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from core.__main__ import main
from core.catalog.manifest import read_model, read_source, write_model, write_source
from core.errors import BadInput, NotAvailable, NotFound
from core.settings import Settings
from core.space import code, licences, words, write_space
from core.space.write import DISK, MEMORY
from core.workbench import Workbench
from tests import tiny
from tests.live import ROOT
from tests.spaces import dockerfile, listing

FEATURE = f"{tiny.SAE}/3"
APPS = ("tester", "steer", "workbench")


@pytest.fixture(scope="module")
def written(bench, tmp_path_factory) -> dict[str, Path]:
    """One Space of each kind, over the tiny model."""
    folder = tmp_path_factory.mktemp("spaces")
    for app in APPS:
        write_space(bench, folder / app, app=app, feature=FEATURE, text="A “text” & more")
    return {app: folder / app for app in APPS}


def front_matter(folder: Path) -> dict[str, object]:
    head, body = (folder / "README.md").read_text(encoding="utf-8").removeprefix("---\n").split("\n---\n", 1)
    assert body.startswith("\n# ")
    return yaml.safe_load(head)


def bench_of(folder: Path, data: Path) -> Workbench:
    return Workbench(Settings(data=data, demo=folder / "built"))


# -- what is in it -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("app", APPS)
def test_its_sources_are_whole_and_need_nothing_outside(written, app, tmp_path, bench):
    """Moved elsewhere, so that a path that leads back would be found out."""
    there = tmp_path / "moved" / "to" / app
    shutil.copytree(written[app], there)
    own = bench_of(there, tmp_path / "data")
    (report,) = [one for one in own.check() if one.name == tiny.SAE]
    assert report.ok, report.problems
    assert [str(source.key) for source in own.sources()] == [tiny.SAE]
    for text in ("It’s Paris", "My fellow citizens"):
        (here,), (home,) = own.test(FEATURE, text), bench.test(FEATURE, text)
        assert here == home
    texts = [path.read_text(encoding="utf-8") for path in (there / "built").rglob("*.json")]
    assert texts and not any(str(bench.settings.data.parent) in text for text in texts), "no path of this machine"


def test_without_its_store_a_feature_says_the_same(written, tmp_path, bench):
    own = bench_of(written["workbench"], tmp_path)
    assert "store" in bench.source(tiny.SAE).has and "store" not in own.source(tiny.SAE).has
    assert not list(written["workbench"].rglob("store/*.npy"))
    home = bench.feature(FEATURE)
    assert dataclasses.replace(own.feature(FEATURE), source=home.source) == home
    found = own.search("tiny", "It’s Paris", measure="value")
    assert [(h.key, h.maximum) for h in found.hits] == [
        (h.key, h.maximum) for h in bench.search("tiny", "It’s Paris", measure="value", sources=[tiny.SAE]).hits
    ]


def test_only_what_is_needed_is_there(written):
    for app in ("tester", "steer"):
        names = {path.relative_to(written[app]).parts[0] for path in written[app].rglob("*") if path.is_file()}
        assert names == {
            ".gitattributes", ".gitignore", "LICENSE", "README.md", "app.py", "built", "components", "core", "embeds",
            "requirements.txt", "space.json", "weights",
        }  # fmt: skip
    files = set(listing(written["tester"]))
    for not_needed in ("components/resources.py", "api", "pages", "core/__main__.py", "core/space", "embeds/mount.py"):
        assert not [name for name in files if name.startswith(not_needed)], not_needed
    whole = set(listing(written["workbench"]))
    assert {"app.py", "Dockerfile", "pages/_router.py", ".streamlit/config.toml", "api/server.py"} <= whole
    assert not [name for name in files | whole if "__pycache__" in name or name.startswith(("tests", "demo", "data"))]


def test_the_code_is_that_of_the_repository(written):
    for app in APPS:
        for name in listing(written[app]):
            if name.endswith(".py"):
                origin = ROOT / ("embeds/space/app.py" if app != "workbench" and name == "app.py" else name)
                assert (written[app] / name).read_bytes() == origin.read_bytes(), name


def test_what_a_module_reads_comes_along():
    for module, read in code.READ.items():
        text = (ROOT / module).read_text(encoding="utf-8")
        for name in read:
            assert (ROOT / name).is_file() and Path(name).name in text
    assert set(code.closure("embeds/server.py", ROOT)) >= {"embeds/embed.css", "embeds/tester.py", "core/workbench.py"}


def test_a_checkout_that_lacks_a_file_is_refused(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "__init__.py").write_text("")
    (tmp_path / "a" / "b.py").write_text("import a.c\nfrom a import d")
    assert set(code.closure("a/b.py", tmp_path)) == {"a/__init__.py", "a/b.py"}
    with pytest.raises(NotAvailable, match=r"a/c\.py is missing"):
        code.closure("a/c.py", tmp_path)


def test_the_requirements_are_pinned_as_here_and_enough(written):
    ours = {
        Requirement(line).name: line for line in (ROOT / "requirements.txt").read_text().splitlines() if "==" in line
    }
    for app in ("tester", "steer"):
        lines = (written[app] / "requirements.txt").read_text().splitlines()
        assert set(lines) <= set(ours.values())
        assert {"torch", "gradio", "sae-lens", "transformer-lens", "numpy", "PyYAML"} <= {
            Requirement(x).name for x in lines
        }
        assert not {"streamlit", "plotly", "altair"} & {Requirement(line).name for line in lines}
    assert (written["workbench"] / "requirements.txt").read_text() == (ROOT / "requirements.txt").read_text()


# -- what it says ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("app", ["tester", "steer"])
def test_the_front_matter_of_the_gradio_sdk(written, app):
    front = front_matter(written[app])
    (gradio,) = re.findall(r"^gradio==(.*)$", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    assert (front["sdk"], front["sdk_version"], front["app_file"]) == ("gradio", gradio, "app.py")
    assert front["python_version"] == "3.11", "as text: YAML would read 3.10 as 3.1"
    assert front["title"] and len(front["short_description"]) <= 60
    assert {"colorFrom", "colorTo", "license"} <= set(front)


def test_the_front_matter_of_the_docker_sdk(written):
    front = front_matter(written["workbench"])
    assert (front["sdk"], front["app_port"]) == ("docker", 7860) and "sdk_version" not in front
    assert front["base_path"] == f"/feature?id={FEATURE}&defaulttesttext=A+%E2%80%9Ctext%E2%80%9D+%26+more"
    assert len(front["short_description"]) <= 60


def test_large_files_go_into_large_file_storage(written):
    for app in APPS:
        patterns = [line.split()[0] for line in (written[app] / ".gitattributes").read_text().splitlines()]
        for path in written[app].rglob("*"):
            if path.is_file() and (path.stat().st_size > 10_000_000 or path.suffix in {".arrow", ".safetensors"}):
                assert any(path.match(pattern) for pattern in patterns), path


def test_every_licence_is_stated_or_said_to_be_missing(bench, tmp_path):
    record = write_space(bench, tmp_path / "a", app="steer", feature=FEATURE)
    parts = {one.part: one.name for one in record.licences}
    assert parts == {
        "code": "MIT", "model tiny": "not stated", f"dictionary {tiny.SAE}": "not stated",
        "passages of texts.txt": "not stated",
    }  # fmt: skip
    text = (tmp_path / "a" / "README.md").read_text()
    assert "model tiny, dictionary tiny/1-res, passages of texts.txt | **not stated: say it here" in text
    assert front_matter(tmp_path / "a")["license"] == "other"
    assert sum("licence of the" in one for one in record.warnings()) == 3


def test_the_demos_licences_are_found_and_go_along(tmp_path):
    bench = Workbench(Settings(data=tmp_path / "data"))
    record = write_space(bench, tmp_path / "a", app="tester", feature="scribe-4l/2-res/78")
    assert {one.part: one.name for one in record.licences} == {
        "code": "MIT", "model scribe-4l": "MIT", "dictionary scribe-4l/2-res": "MIT",
        "passages of texts/*.txt.xz": "several",
    }  # fmt: skip
    (texts,) = (tmp_path / "a" / "licences").iterdir()
    assert texts.read_bytes() == (ROOT / "demo" / "texts" / "LICENCES.md").read_bytes()
    assert f"licences/{texts.name}" in (tmp_path / "a" / "README.md").read_text()
    assert not record.warnings()


def test_where_a_licence_is_looked_for(tmp_path):
    def of(name):
        return licences.of_folder("x", tmp_path / name).name

    for name, file, text in (
        ("a", "LICENSE", "Apache License\nVersion 2.0"), ("b", "README.md", "---\nlicense: cc-by-4.0\n---\n# A"),
        ("c", "README.md", "license: mit"), ("d", "LICENCE.txt", "You may."),
        ("e", "LICENCES.md", "MIT License and others"),
        ("f", "notes.txt", "MIT License"),
    ):  # fmt: skip
        (tmp_path / name).mkdir()
        (tmp_path / name / file).write_text(text)
    assert [of(name) for name in "abcdef"] == [
        "Apache-2.0", "cc-by-4.0", "not stated", "see the file", "several", "not stated",
    ]  # fmt: skip
    assert of("nowhere") == "not stated"
    assert licences.of_hub("x", "a/b").link == "https://huggingface.co/a/b"


def test_a_name_is_data_in_yaml_and_in_markdown(bench, tmp_path):
    title = 'a: "b" [x](y) <script> | # {}\n--- & \\'
    write_space(bench, tmp_path / "a", app="tester", feature=FEATURE, title=title)
    assert front_matter(tmp_path / "a")["title"] == " ".join(title.split())
    text = (tmp_path / "a" / "README.md").read_text()
    assert "<script>" not in text.split("\n---\n", 1)[1] and "[x](y)" not in text.split("\n---\n", 1)[1]
    assert words.markdown("a|b*c") == r"a\|b\*c"


def test_what_is_on_the_hub_stays_there(bench, tiny_root, tmp_path):
    """A model and an SAE of the hub: named in the front matter, and no file of theirs is copied."""
    root = tmp_path / "root"
    shutil.copytree(tiny_root / "tiny", root / "tiny")
    model = read_model(root / "tiny" / "model.json")
    spec = dataclasses.replace(model.spec, path=None, hub="org/model", revision="abc")
    write_model(root / "tiny" / "model.json", dataclasses.replace(model, spec=spec))
    source = read_source(root / "tiny" / "1-res" / "source.json")
    weights = dataclasses.replace(source.weights, path=None, hub="org/saes", folder="layer_1")
    record = dataclasses.replace(source.record, dataset="some/corpus")
    write_source(root / "tiny" / "1-res" / "source.json", dataclasses.replace(source, weights=weights, record=record))
    made = write_space(Workbench(Settings(data=root, demo=None)), tmp_path / "a", app="tester", feature=FEATURE)
    front = front_matter(tmp_path / "a")
    assert front["models"] == front["preload_from_hub"] == ["org/model", "org/saes"]
    assert made.fetched == ("org/model@abc", "org/saes/layer_1")
    assert not (tmp_path / "a" / "weights").exists()
    own = bench_of(tmp_path / "a", tmp_path / "data")
    assert own.catalog.model("tiny")[0].spec == spec
    links = {one.part: one.link for one in made.licences}
    assert links["passages of some/corpus"] == "https://huggingface.co/datasets/some/corpus"
    assert links["model tiny"] == "https://huggingface.co/org/model" and not made.warnings()
    write_space(Workbench(Settings(data=root, demo=None)), tmp_path / "b", app="workbench")
    assert ("COPY", "weights weights") not in dockerfile(tmp_path / "b")


def test_of_a_model_only_what_loading_reads_is_copied(tiny_root, tmp_path):
    root = tmp_path / "parent" / "root"
    shutil.copytree(tiny_root, root)
    place = (tiny_root / read_model(tiny_root / "tiny" / "model.json").spec.path).resolve()
    own = tmp_path / "parent" / "model"
    shutil.copytree(place, own)
    for name in ("optimizer.pt", "trainer_state.json", "pytorch_model.bin", "notes.secret", "LICENSE"):
        (own / name).write_text("MIT License")
    (own / "checkpoint-1").mkdir()
    model = read_model(root / "tiny" / "model.json")
    write_model(
        root / "tiny" / "model.json", dataclasses.replace(model, spec=dataclasses.replace(model.spec, path=str(own)))
    )
    bench = Workbench(Settings(data=root, demo=None))
    made = write_space(bench, tmp_path / "a", app="tester", sources=["tiny/0-neurons"])
    copied = {path.name for path in (tmp_path / "a" / "weights" / "tiny" / "model").iterdir()}
    assert copied >= {"config.json", "model.safetensors", "tokenizer.json", "LICENSE"}
    assert not copied & {"optimizer.pt", "trainer_state.json", "pytorch_model.bin", "notes.secret", "checkpoint-1"}
    assert {one.part: one.name for one in made.licences}["model tiny"] == "MIT"
    shutil.rmtree(own)
    with pytest.raises(NotAvailable, match="The weights of tiny are not at"):
        write_space(bench, tmp_path / "b", app="tester", sources=["tiny/0-neurons"])
    assert not (tmp_path / "b").exists() and not list(tmp_path.glob(".b*")), "whole or not there"


# -- the container -----------------------------------------------------------------------------------------------------


def test_the_dockerfile_is_the_repositorys_with_the_spaces_data(written):
    ours, theirs = dockerfile(ROOT), dockerfile(written["workbench"])
    assert [one for one in theirs if one not in ours] == [
        ("COPY", "weights weights"), ("COPY", "built built"), next(one for one in theirs if "FRAME_ANCESTORS" in one[1])
    ]  # fmt: skip
    assert ("COPY", "demo demo") not in theirs and ("ARG", 'PIP_ARGS=""') in theirs
    assert any(word == "RUN" and "--uid 1000" in rest for word, rest in theirs) and ("USER", "user") in theirs
    (environment,) = [rest for word, rest in theirs if word == "ENV" and "FRAME_ANCESTORS" in rest]
    assert 'FRAME_ANCESTORS="https://huggingface.co https://*.hf.space"' in environment
    assert "FEATURESCOPE_DEMO=/app/built" in environment and "PORT=7860" in environment
    Settings(FRAME_ANCESTORS=words.FRAMERS)
    for word, rest in theirs:
        if word == "COPY" and not rest.startswith("--from"):
            assert (written["workbench"] / rest.split()[0]).exists()


def test_a_dockerfile_that_has_changed_is_refused():
    with pytest.raises(NotAvailable, match="has no line “COPY demo demo”"):
        words.dockerfile("ARG PYTHON=x\nFROM x", ["built"])


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "error", "says"),
    [
        ({"app": "tester"}, BadInput, "Say what it is to show"),
        ({"app": "nothing", "feature": FEATURE}, BadInput, "app is one of tester, steer, workbench"),
        ({"app": "tester", "sources": ["tiny/9-res"]}, NotFound, "has no source “9-res”"),
        ({"app": "tester", "sources": ["nonsense"]}, BadInput, "nonsense"),
        ({"app": "steer", "feature": "nobody/1-x/2"}, NotFound, "is not here"),
        ({"app": "steer", "feature": f"{tiny.SAE}/64"}, NotFound, "features 0 to 63"),
        ({"app": "steer", "feature": tiny.SAE}, BadInput, "A feature has an index too"),
        ({"app": "tester", "sources": [tiny.SAE], "text": "x"}, BadInput, "--text needs the --feature"),
    ],
)
def test_what_cannot_be_shown_is_refused(bench, tmp_path, asked, error, says):
    with pytest.raises(error, match=re.escape(says)):
        write_space(bench, tmp_path / "a", **asked)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("app", APPS)
def test_a_source_without_weights_is_refused(tiny_root, tmp_path, app):
    root = tmp_path / "root"
    shutil.copytree(tiny_root / "tiny", root / "tiny")
    path = root / "tiny" / "1-res" / "source.json"
    source = read_source(path)
    write_source(path, dataclasses.replace(source, record=dataclasses.replace(source.record, has=("dashboards",))))
    bench = Workbench(Settings(data=root, demo=None))
    with pytest.raises(NotAvailable, match="without its weights"):
        write_space(bench, tmp_path / "a", app=app, sources=[tiny.SAE])
    assert not (tmp_path / "a").exists()


def test_the_workbench_leaves_them_out_and_says_so(tiny_root, tmp_path):
    root = tmp_path / "here" / "root"
    shutil.copytree(tiny_root / "tiny", root / "tiny")
    model = read_model(root / "tiny" / "model.json")
    place = (tiny_root / model.spec.path).resolve()
    write_model(
        root / "tiny" / "model.json", dataclasses.replace(model, spec=dataclasses.replace(model.spec, path=str(place)))
    )
    path = root / "tiny" / "1-res" / "source.json"
    source = read_source(path)
    write_source(path, dataclasses.replace(source, record=dataclasses.replace(source.record, has=("dashboards",))))
    record = write_space(Workbench(Settings(data=root, demo=None)), tmp_path / "a", app="workbench")
    assert [str(key) for key in record.sources] == ["tiny/0-neurons"]
    assert any("Left out" in one and tiny.SAE in one for one in record.warnings())


def test_a_folder_that_is_not_empty_is_left_alone(bench, tmp_path):
    there = tmp_path / "a"
    there.mkdir()
    write_space(bench, there, app="tester", feature=FEATURE)
    before = listing(there)
    with pytest.raises(BadInput, match="is not empty"):
        write_space(bench, there, app="tester", feature=FEATURE)
    foreign = tmp_path / "b"
    foreign.mkdir()
    (foreign / "thesis.tex").write_text("years of work")
    for force in (False, True):
        with pytest.raises(BadInput, match="is not empty"):
            write_space(bench, foreign, app="tester", feature=FEATURE, force=force)
    (tmp_path / "c").write_text("")
    with pytest.raises(BadInput, match="is no folder"):
        write_space(bench, tmp_path / "c", app="tester", feature=FEATURE, force=True)
    assert listing(there) == before and [p.name for p in foreign.iterdir()] == ["thesis.tex"]


OUTSIDE = json.dumps({"files": {"../../x": hashlib.sha256(b"outside").hexdigest()}})


@pytest.mark.parametrize("told", ["{", "[]", '{"files": 3}', OUTSIDE])
def test_a_list_of_files_that_is_none_gives_no_leave(bench, tmp_path, told):
    """Nor does one that names files outside, by their very bytes."""
    (tmp_path / "x").write_text("outside")
    there = tmp_path / "a" / "b"
    there.mkdir(parents=True)
    (there / "space.json").write_text(told)
    (there / "own.txt").write_text("mine")
    try:
        write_space(bench, there, app="tester", feature=FEATURE, force=True)
    except BadInput:
        pass
    assert (tmp_path / "x").read_text() == "outside" and (there / "own.txt").read_text() == "mine"


def test_force_goes_over_what_was_written_and_keeps_what_was_changed(bench, tmp_path):
    there = tmp_path / "a"
    write_space(bench, there, app="workbench")
    (there / "README.md").write_text("mine now")
    (there / "notes.md").write_text("and mine")
    (there / "extra").mkdir()
    (there / "extra" / "file").write_text("mine too")
    made = write_space(bench, there, app="tester", feature=FEATURE, force=True)
    assert made.kept == ("README.md",) and any("README.md" in one for one in made.warnings())
    assert (there / "README.md").read_text() == "mine now"
    assert (there / "notes.md").exists() and (there / "extra" / "file").exists()
    assert not (there / "Dockerfile").exists() and not (there / "pages").exists(), "what is not needed any more is gone"
    fresh = tmp_path / "b"
    write_space(bench, fresh, app="tester", feature=FEATURE)
    assert set(listing(there)) - {"notes.md", "extra/file"} == set(listing(fresh))
    assert (there / "app.py").read_bytes() == (fresh / "app.py").read_bytes()
    assert not list(tmp_path.glob(".*")), "nothing is left beside"


def test_the_same_twice_is_the_same(bench, tmp_path):
    for name in "ab":
        write_space(bench, tmp_path / name, app="steer", feature=f"{FEATURE}=4", text="x")
    one, two = ({n: (tmp_path / name / n).read_bytes() for n in listing(tmp_path / name)} for name in "ab")
    assert one == two
    assert json.loads(one["space.json"])["usual"] == {"id": FEATURE, "strength": "4", "prompt": "x"}


# -- the command -------------------------------------------------------------------------------------------------------


def test_the_command_says_the_size_and_what_to_do(tiny_root, tmp_path, capsys):
    there = tmp_path / "my space"
    asked = [
        "space",
        str(there),
        "--app",
        "steer",
        "--feature",
        f"{FEATURE}=4",
        "--text",
        "Once",
        "--data",
        str(tiny_root),
    ]
    assert main(asked) == 0
    said = capsys.readouterr().out
    size = sum(path.stat().st_size for path in there.rglob("*") if path.is_file())
    assert f"{size / 2**20:.1f} MiB" in said
    assert "2 cores, 16 GB of memory and 50 GB of disk" in said
    assert "hf repos create NAME --type space --sdk gradio" in said
    assert f"hf upload NAME '{there}' . --type space" in said
    assert main([*asked, "--json"]) == 2
    assert "is not empty" in capsys.readouterr().err
    assert main([*asked, "--json", "--force"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["bytes"] == size and found["app"] == "steer" and found["sources"] == [tiny.SAE]


def test_its_own_push_commands_exist():
    """As far as they can be tried without an account: the client knows these words."""
    hf = Path(sys.executable).with_name("hf")
    if not hf.exists():
        pytest.skip("huggingface_hub's command is not beside this Python")
    for verb, options in (("repos create", ("--type", "--sdk")), ("upload", ("--type",))):
        said = subprocess.run([hf, *verb.split(), "--help"], capture_output=True, text=True, check=True).stdout
        assert all(option in said for option in options)


def test_what_is_too_large_for_a_free_space_is_said(bench, tmp_path):
    made = write_space(bench, tmp_path / "a", app="tester", feature=FEATURE)
    assert not any("free Space" in one for one in made.warnings())
    large = dataclasses.replace(made, memory=MEMORY, bytes=DISK + 1)
    assert sum("free Space" in one for one in large.warnings()) == 2
    assert any("the hub may refuse" in one for one in dataclasses.replace(made, bytes=2 * 10**9).warnings())


def test_writing_imports_no_torch_and_no_interface(tmp_path, tiny_root):
    check = (
        "import sys\nfrom core.__main__ import main\n"
        f"main(['space', {str(tmp_path / 'a')!r}, '--app', 'steer', '--feature', {FEATURE!r}, "
        f"'--data', {str(tiny_root)!r}])\n"
        "assert not {'torch', 'gradio', 'streamlit', 'transformers'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", check], cwd=ROOT, check=True, capture_output=True, timeout=120)
