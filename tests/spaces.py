"""Runs the folder of a Space as Hugging Face would, but with this Python: by itself, from its own files alone."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx

from core.settings import Settings
from core.space import write_space
from core.workbench import Workbench
from tests.live import ROOT, free_port

WRAPPER = """
import json, runpy, signal, sys
sys.path[0] = "."
def tell(*_):
    files = {name: getattr(module, "__file__", None) for name, module in list(sys.modules.items())}
    with open(sys.argv[1] + ".part", "w") as out:
        json.dump({name: file for name, file in files.items() if file}, out)
    import os
    os.replace(sys.argv[1] + ".part", sys.argv[1])
signal.signal(signal.SIGUSR1, tell)
runpy.run_path("app.py", run_name="__main__")
"""
FEATURE, TEXT, PROMPT = "scribe-4l/2-res/78", "My mother and her father.", "The old house was"
ASKED: dict[str, dict[str, Any]] = {
    "tester": {"feature": FEATURE, "text": TEXT}, "steer": {"feature": f"{FEATURE}=30", "text": PROMPT},
    "workbench": {"sources": ["scribe-4l/2-res", "scribe-4l/1-neurons"]},
}  # fmt: skip
OWN = {"app", "api", "components", "core", "embeds", "pages", "tests", "demo", "benchmarks"}


class Space:
    """A Space that runs; `folder` is its files, `work` a folder for what it writes."""

    def __init__(self, folder: Path, work: Path, **more: str) -> None:
        self.folder, self.work, self.port = folder, work, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        kept = ("PATH", "LANG", "LD_LIBRARY_PATH", "OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "VIRTUAL_ENV")
        self.environment = {name: os.environ[name] for name in kept if name in os.environ} | {
            "HOME": str(work), "FEATURESCOPE_DATA": str(work / "data"), "PYTHONDONTWRITEBYTECODE": "1",
            "NUMBA_CACHE_DIR": str(work / "numba"), "GRADIO_SERVER_PORT": str(self.port), "PORT": str(self.port),
            "HF_HUB_OFFLINE": "1", "GRADIO_ANALYTICS_ENABLED": "False", **more,
        }  # fmt: skip
        self.output = ""

    def __enter__(self) -> Space:
        self.work.mkdir(parents=True, exist_ok=True)
        wrapper = self.work / "wrapper.py"
        wrapper.write_text(WRAPPER, encoding="utf-8")
        self.before = listing(self.folder)
        self._log = (self.work / "log").open("w+", encoding="utf-8")
        self.process = subprocess.Popen(
            [sys.executable, str(wrapper), str(self.work / "modules.json")], cwd=self.folder, env=self.environment,
            stdout=self._log, stderr=subprocess.STDOUT,
        )  # fmt: skip
        began = time.monotonic()
        while True:
            try:
                httpx.get(self.url, timeout=30)
                return self
            except httpx.TransportError:
                if self.process.poll() is not None or time.monotonic() - began > 240:
                    self._end()
                    raise RuntimeError(f"The Space did not start:\n{self.output}") from None
                time.sleep(0.1)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._end()

    def modules(self) -> dict[str, str]:
        """Every module that the process has, with its file."""
        out = self.work / "modules.json"
        out.unlink(missing_ok=True)
        self.process.send_signal(signal.SIGUSR1)
        end = time.monotonic() + 60
        while not out.exists():
            assert time.monotonic() < end
            time.sleep(0.05)
        return json.loads(out.read_text())

    def most_memory(self) -> int:
        """Bytes that the process had in memory at most."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024

    def stands_alone(self) -> None:
        """Nothing of this repository was imported but its own copy, and the copy is as it was."""
        found = self.modules()
        here = {name: path for name, path in found.items() if name.split(".")[0] in OWN}
        assert here, found
        outside = {
            n: p for n, p in here.items() if not (self.folder / p).resolve().is_relative_to(self.folder.resolve())
        }
        assert not outside
        prefixes = {Path(sys.prefix).resolve(), Path(sys.base_prefix).resolve(), *map(Path, sys.path[1:])} - {ROOT}
        strangers = {
            name: path for name, path in found.items()
            if Path(path).is_absolute() and Path(path).is_relative_to(ROOT)
            and not any(Path(path).is_relative_to(prefix) for prefix in prefixes)
        }  # fmt: skip
        assert not strangers
        assert listing(self.folder) == self.before

    def _end(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._log.seek(0)
        self.output = self._log.read()
        self._log.close()


class Spaces:
    """A Space of each kind, of the demo, written and started when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._made, self._stack = folder, {}, ExitStack()
        self.bench = Workbench(Settings(data=folder / "data"))

    def __enter__(self) -> Spaces:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def __call__(self, app: str) -> Space:
        """The Space of this kind."""
        if app not in self._made:
            folder, work = self._folder / app / "space", self._folder / app / "work"
            write_space(self.bench, folder, app=app, **ASKED[app])
            # of one the variables that a Space has, of one the package that most have
            more = {"steer": {"SYSTEM": "spaces", "SPACE_ID": "someone/steering"}, "tester": stand_in(folder.parent)}
            image = image_environment(folder, work) if app == "workbench" else more[app]
            self._made[app] = self._stack.enter_context(Space(folder, work, **image))
        return self._made[app]


def stand_in(folder: Path) -> dict[str, str]:
    """The environment in which a stand-in for `spaces` is found; it writes into $SAID what it is used for."""
    (folder / "packages" / "spaces").mkdir(parents=True)
    (folder / "packages" / "spaces" / "__init__.py").write_text(STAND_IN, encoding="utf-8")
    return {"PYTHONPATH": str(folder / "packages"), "SAID": str(folder / "said")}


def listing(folder: Path) -> dict[str, int]:
    """Every file of a folder and when it was last written."""
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def dockerfile(folder: Path) -> list[tuple[str, str]]:
    """(instruction, arguments) of its Dockerfile, continued lines joined and comments left out."""
    lines = [line for line in (folder / "Dockerfile").read_text().splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [
        (word.upper(), rest.strip()) for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line)
    ]


def image_environment(folder: Path, work: Path) -> dict[str, str]:
    """What the last stage of its Dockerfile sets, with the places of an image as places here."""
    instructions = dockerfile(folder)
    last = max(n for n, (word, _) in enumerate(instructions) if word == "FROM")
    said = " ".join(rest for word, rest in instructions[last:] if word == "ENV")
    found = {name: quoted or bare for name, quoted, bare in re.findall(r'(\w+)=(?:"([^"]*)"|(\S+))', said)}
    found.pop("PATH"), found.pop("PORT")
    assert found.pop("HOST") == "0.0.0.0"
    there = {"/app/": f"{folder}/", "/data": str(work / "data"), "/tmp/": f"{work}/"}
    for name, value in found.items():
        for place, here in there.items():
            if value.startswith(place):
                found[name] = here + value.removeprefix(place)
    return found | {"HOST": "127.0.0.1"}


STAND_IN = '''
"""What Hugging Face's `spaces` does on ZeroGPU, as far as it can be seen from a function that it marks: the function
runs in a process that is forked when it is first called and serves later calls too, in a thread of it; what goes in and
out is pickled; of an exception only its name is told. Whose call it is it learns from Gradio's own context."""
import inspect, os, pickle, threading, time, traceback
from functools import wraps
from multiprocessing import get_context

FORK = get_context("fork")
marked, forked = [], False


def GPU(task):
    marked.append(task.__name__)
    workers, lock = [], threading.Lock()

    def serve(asked, told, parent):
        global forked
        forked = True

        def watch():
            while os.getppid() == parent:
                time.sleep(0.3)
            os._exit(0)  # nobody is left to be served

        threading.Thread(target=watch, daemon=True).start()
        while True:
            args, kwargs = pickle.loads(asked.get())
            def run():
                try:
                    if inspect.isgeneratorfunction(task):
                        for item in task(*args, **kwargs):
                            told.put(pickle.dumps(("item", item)))
                        told.put(pickle.dumps(("end", None)))
                    else:
                        told.put(pickle.dumps(("item", task(*args, **kwargs))))
                except BaseException as error:
                    traceback.print_exc()
                    told.put(pickle.dumps(("error", type(error).__name__)))
            thread = threading.Thread(target=run)
            thread.start()
            thread.join()

    def call(args, kwargs):
        from gradio.context import LocalContext
        with open(os.environ["SAID"], "a") as said:
            said.write(f"{task.__name__} {LocalContext.request.get(None) is not None}\\n")
        with lock:
            if not workers:
                asked, told = FORK.Queue(), FORK.Queue()
                process = FORK.Process(target=serve, args=(asked, told, os.getpid()), daemon=True)
                process.start()
                workers.append((asked, told))
            asked, told = workers[0]
            asked.put(pickle.dumps((args, kwargs)))
            while True:
                kind, value = pickle.loads(told.get(timeout=200))
                if kind == "error":
                    raise RuntimeError(f"ZeroGPU worker error: {value}")
                if kind == "end":
                    return
                yield value
                if not inspect.isgeneratorfunction(task):
                    return

    if inspect.isgeneratorfunction(task):
        @wraps(task)
        def handler(*args, **kwargs):
            yield from call(args, kwargs)
    else:
        @wraps(task)
        def handler(*args, **kwargs):
            return next(call(args, kwargs))
    return handler
'''
