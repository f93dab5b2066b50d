"""The Dockerfile, as far as it can be checked where there is no Docker.

Its instructions are parsed; what it copies is in the repository and is let in by .dockerignore; and everything that the
server reads gets in. The server is run from just those files, in a folder that it cannot write.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

from tests.live import ROOT


def instructions() -> list[tuple[str, str]]:
    """(instruction, arguments), continued lines joined and comments left out."""
    lines = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [
        (word.upper(), rest.strip()) for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line)
    ]


def stages() -> list[list[tuple[str, str]]]:
    """The instructions of each stage, its FROM first."""
    found: list[list[tuple[str, str]]] = []
    for instruction in instructions():
        if instruction[0] == "FROM":
            found.append([])
        if found:
            found[-1].append(instruction)
    return found


def environment_of(stage: list[tuple[str, str]]) -> dict[str, str]:
    return dict(re.findall(r"(\w+)=(\S+)", " ".join(rest for word, rest in stage if word == "ENV")))


def tracked() -> list[str]:
    """Files of the repository; those of the folder where this is no checkout."""
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        return [path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*") if path.is_file()]
    return [name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


def let_in(path: str) -> bool:
    """Whether .dockerignore lets a file in: of the patterns that match it or a folder above it, the last decides."""
    inside = True
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.strip()
        if not pattern or pattern.startswith("#"):
            continue
        again, pattern = pattern.startswith("!"), pattern.removeprefix("!").removeprefix("/")
        parts = path.split("/")
        if any(matches("/".join(parts[: n + 1]), pattern) for n in range(len(parts))):
            inside = again
    return inside


def matches(path: str, pattern: str) -> bool:
    if pattern.startswith("**/"):
        return fnmatch(path.rsplit("/", 1)[-1], pattern[3:])
    return path.count("/") == pattern.count("/") and fnmatch(path, pattern)


def context() -> list[str]:
    """The files that `docker build` would be given."""
    return [name for name in tracked() if let_in(name)]


# -- the file ----------------------------------------------------------------------------------------------------------


def test_every_instruction_is_known_and_shell_continues():
    known = {"FROM", "ARG", "ENV", "COPY", "RUN", "WORKDIR", "USER", "EXPOSE", "HEALTHCHECK", "CMD"}
    assert {word for word, _ in instructions()} <= known
    assert all(rest for _, rest in instructions())


def test_two_stages_of_one_pinned_python():
    first, last = stages()
    assert first[0][1].endswith("AS installed") and first[0][1].split()[0] == last[0][1]
    (python,) = [rest for word, rest in instructions() if word == "ARG" and rest.startswith("PYTHON=")]
    assert python == "PYTHON=3.11-slim-bookworm", "the Python that the versions were tested with"


def test_what_is_copied_is_there():
    given = context()
    for word, rest in instructions():
        if word == "COPY" and not rest.startswith("--from="):
            *sources, _ = [part for part in rest.split() if not part.startswith("--")]
            for source in sources:
                assert source == "." or any(name == source or name.startswith(f"{source}/") for name in given), source


def test_pip_takes_its_arguments_from_outside():
    (first, _) = stages()
    assert ("ARG", 'PIP_ARGS=""') in first
    (install,) = [rest for word, rest in first if word == "RUN" and "pip install" in rest]
    assert "${PIP_ARGS} -r /requirements.txt" in install and "PIP_NO_CACHE_DIR" in environment_of(first)
    assert not re.search(r"https?://(?!127\.0\.0\.1)", (ROOT / "Dockerfile").read_text()), "no host is named"


def test_it_runs_as_user_1000_on_port_7860_with_its_data_outside():
    _, last = stages()
    words = [word for word, _ in last]
    assert any("useradd" in rest and "--uid 1000" in rest for word, rest in last if word == "RUN")
    assert ("USER", "user") in last and "RUN" not in words[words.index("USER") :], "nothing is installed as the user"
    environment = environment_of(last)
    assert (environment["HOST"], environment["PORT"]) == ("0.0.0.0", "7860") and ("EXPOSE", "7860") in last
    assert environment["FEATURESCOPE_DATA"] == "/data" and environment["NUMBA_CACHE_DIR"].startswith("/tmp/")
    assert 'host: str = Field("127.0.0.1"' in (ROOT / "core" / "settings.py").read_text(), "open only in the container"


def test_health_and_command_are_lists_that_run(live):
    _, last = stages()
    command = json.loads(next(rest for word, rest in last if word == "CMD"))
    assert command == ["python", "app.py"]
    health = next(rest for word, rest in last if word == "HEALTHCHECK")
    ask = json.loads(health[health.index("CMD") + 3 :])
    run = [shutil.which("python3") or "python3", *ask[1:]]
    assert subprocess.run(run, env={"PORT": str(live.port)}, check=False).returncode == 0
    assert subprocess.run(run, env={"PORT": "1"}, check=False, capture_output=True).returncode == 1


def test_the_readme_gives_a_space_its_header():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "sdk: docker" in text and "app_port: 7860" in text


# -- what gets in ------------------------------------------------------------------------------------------------------


def test_only_what_the_server_reads_gets_in():
    given = context()
    top = {name.split("/")[0] for name in given}
    assert top == {
        ".streamlit", "LICENSE", "api", "app.py", "components", "configs", "core", "demo", "embeds", "pages",
        "requirements.txt",
    }  # fmt: skip
    assert not [name for name in given if "training" in name or name.endswith(".pyc") or "secrets" in name]
    for name in (".env", ".streamlit/secrets.toml", "data/a/1-x/source.json", ".git/config", "core/__pycache__/x.pyc"):
        assert not let_in(name), name


def test_every_module_of_the_server_gets_in():
    given = set(context())
    for folder in ("api", "components", "configs", "core", "embeds", "pages"):
        missing = {name for name in tracked() if name.startswith(f"{folder}/")} - given
        assert not missing
    assert {"demo/data/scribe-4l/model.json", "demo/weights/model/model.safetensors", "demo/demo.yaml"} <= given


def test_the_server_runs_from_just_those_files_and_writes_none_beside_them(tmp_path):
    """What COPY would copy, in a fresh folder: in the container that folder is root's, and the server is not root."""
    code = """
import sys
sys.path.insert(0, ".")
from starlette.testclient import TestClient
import app
with TestClient(app.app) as client:
    assert client.get("/healthz").json()["sources"] >= 3
    assert client.get("/feature?id=scribe-4l/2-res/78").status_code == 200
    assert client.get("/api/feature/scribe-4l/2-res/78").status_code == 200
    tested = {"feature": {"modelId": "scribe-4l", "source": "2-res", "index": "78"}, "customText": "His mother."}
    assert max(client.post("/api/activation/new", json=tested).json()["values"]) > 1
    assert client.get("/embed/tester/?id=scribe-4l/2-res/78").status_code == 200
"""
    app = tmp_path / "app"
    for name in context():
        (app / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, app / name)
    before = listing(app)
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("FEATURESCOPE_", "PYTHON"))}
    mine = {"FEATURESCOPE_DATA": str(tmp_path / "data"), "HOME": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    mine["NUMBA_CACHE_DIR"] = str(tmp_path / "numba")  # as the image has it, elsewhere
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=app,
        env=clean | mine,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert listing(app) == before


def listing(folder: Path) -> dict[str, int]:
    """Every file of a folder and when it was last written."""
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*")}
