"""`python -m core steer`: two texts for a person, the API's JSON for a program, growing text on a terminal alone."""

from __future__ import annotations

import io
import json
import re

import pytest
from starlette.testclient import TestClient

from api import server
from core import __main__ as cli
from core.records import SteerAsk
from core.settings import Settings
from core.terminal import Growing, folded
from core.workbench import SWEEP, Workbench
from tests import tiny

PROMPT = "My fellow citizens, it’s 🙂"
USUAL = ("steer", "tiny", PROMPT, "--feature", f"{tiny.SAE}/3=4", "0-neurons/5=-2.5", "--length", "9")


@pytest.fixture
def own(tiny_root, tmp_path):
    return Workbench(Settings(data=tmp_path, demo=tiny_root))


@pytest.fixture
def run(capfdbinary, tiny_root, tmp_path, monkeypatch):
    """Runs the verb; gives (status, standard output, standard error)."""
    monkeypatch.setenv("FEATURESCOPE_DEMO", str(tiny_root))

    def go(*arguments):
        capfdbinary.readouterr()
        status = cli.main([*arguments, "--data", str(tmp_path)])
        out, err = capfdbinary.readouterr()
        return status, out.decode(), err.decode()

    return go


def ask(**more):
    return SteerAsk.of("tiny", PROMPT, {f"{tiny.SAE}/3": 4.0, f"{tiny.NEURONS}/5": -2.5}, **{"length": 9} | more)


def test_json_is_the_apis_alone(run, own):
    status, out, err = run(*USUAL, "--json")
    assert (status, err) == (0, "")
    features = [{"source": "1-res", "index": 3, "strength": 4}, {"source": "0-neurons", "index": 5, "strength": -2.5}]
    body = {"modelId": "tiny", "prompt": PROMPT, "n_tokens": 9, "features": features}
    answer = TestClient(server.create(own)).post("/steer", json=body).json()
    assert json.loads(out) == answer | {"shareUrl": f"/steer?run={answer['id']}"}


def test_every_option_is_the_asks(run, own):
    options = "--method clamp --where generated --temperature 0.4 --top-p 0.7 --penalty 1.5 --seed 9 --unit --json"
    _, out, _ = run(*USUAL, *options.split())
    more = {"method": "clamp", "where": "generated", "temperature": 0.4, "top_p": 0.7, "frequency_penalty": 1.5,
            "seed": 9, "unit": True}  # fmt: skip
    record = own.steer(ask(**more), keep=True)
    found = json.loads(out)
    assert (found["STEERED"], found["DEFAULT"], found["id"]) == (record.steered.text, record.default.text, record.run)


def test_for_a_person(run, own):
    status, out, err = run(*USUAL)
    record = own.steer(ask(), keep=True)
    assert (status, err) == (0, "") and "\x1b" not in out
    shown = re.sub(r"[·↵\n]", "", out)
    for name, text in (("default", record.default.text), ("steered", record.steered.text)):
        assert name in out and "".join(c for c in text if c.isprintable()) in shown
    assert f"{tiny.SAE}/3" in out and "blocks.1.hook_resid_pre" in out and f"/steer?run={record.run}" in out
    assert f"{record.effect.divergence:.4g} nats" in out
    assert f"“{record.effect.gains[0].token.text}”" in out or not record.effect.gains[0].token.text.isprintable()


def test_a_sweep(run, own):
    status, out, _ = run(*USUAL, "--sweep", "--json")
    record = own.sweep(ask())
    found = json.loads(out)["results"]
    assert status == 0 and [(row["factor"], row["text"]) for row in found] == [
        (row.factor, row.text.text) for row in record.rows
    ]
    _, out, _ = run(*USUAL, "--sweep")
    table = out.split("\n\n", 1)[1].splitlines()
    assert [float(line.split()[0]) for line in table[1:]] == list(SWEEP)
    assert [line.split()[2] for line in table[1:]] == [f"{row.perplexity:.4g}".replace(",", "") for row in record.rows]


def test_ablation_needs_no_strength(run, own):
    record = own.steer(SteerAsk.of("tiny", PROMPT, {f"{tiny.SAE}/3": 0.0}, length=9, method="ablate"))
    for feature in ("1-res/3", f"{tiny.SAE}/3="):
        _, out, _ = run("steer", "tiny", PROMPT, "--feature", feature, "--method", "ablate", "--length", "9", "--json")
        assert json.loads(out)["STEERED"] == record.steered.text


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("--feature", "1-res/3"), "write 1-res/3=30"),
        (("--feature", "1-res/3=much"), "has no strength"),
        (("--feature", "1-res/3=nan"), "not nan"),
        (("--feature", "1-res/3=1", "tiny/1-res/3=2"), "named twice"),
        (("--feature", "3=1"), "does not name a feature"),
        (("--feature", "1-res/64=1"), "63"),
        (("--feature", "other/1-res/3=1"), "not a feature of tiny"),
        (("--feature", "1-res/3=1", "--length", "0"), "length"),
        (("--feature", "1-res/3=1", "--length", "60"), "leaves no room"),
        (("--feature", "1-res/3=1", "--temperature", "3"), "temperature"),
        (("--feature", "1-res/3=1", "--seed", "-1"), "seed"),
    ],
)
@pytest.mark.parametrize("form", [(), ("--json",)])
def test_errors_are_one_line(run, arguments, word, form):
    status, out, err = run("steer", "tiny", PROMPT, *arguments, *form)
    assert (status, out) == (2, "") and err.startswith("error: ") and err.count("\n") == 1 and word in err


def test_without_a_feature_it_says_how_it_is_called(run):
    with pytest.raises(SystemExit) as stopped:
        run("steer", "tiny", PROMPT)
    assert stopped.value.code == 2


class Terminal(io.StringIO):
    def isatty(self):
        return True


def screen(written, columns=80):
    """What a terminal shows after it: a small one that knows the codes we use."""
    lines, row, column = [[]], 0, 0
    for part in re.findall(r"\x1b\[\d*[AJ]|.|\n", written, re.DOTALL):
        if part == "\n":
            row, column = row + 1, 0
            lines += [[]] * (row + 1 - len(lines))
            lines[row] = []
        elif part == "\r":
            column = 0
        elif part.endswith("A") and part.startswith("\x1b"):
            row -= int(part[2:-1])
            assert row >= 0
        elif part == "\x1b[J":
            lines = [*lines[:row], lines[row][:column]]
        else:
            assert column < columns, "it would wrap"
            lines[row] = [*lines[row][:column], part]
            column += 1
    return "\n".join("".join(line) for line in lines)


def test_on_a_terminal_the_texts_grow_and_leave_nothing_behind(run, own, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr("core.__main__.Growing", lambda: Growing(terminal))
    _, out, _ = run(*USUAL, "--json")
    assert json.loads(out)["STEERED"], "standard output is the JSON alone"
    drawn = terminal.getvalue()
    assert drawn.count("\x1b[J") > 9, "a drawing a token"
    assert screen(drawn) == ""
    last = drawn[: drawn.rindex("\x1b[J")].rsplit("\x1b[", 1)[0]
    assert "steered" in screen(last)


def test_a_text_longer_than_the_terminal_shows_its_end(monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    monkeypatch.setenv("LINES", "5")
    terminal = Terminal()
    shown = Growing(terminal)
    for n in range(1, 60):
        shown("\n".join(f"line {i} " + "日本" * 6 for i in range(n)) + "\x1b[31m")
        visible = screen(terminal.getvalue(), 20).split("\n")
        assert len(visible) <= 4 and visible[-1].endswith("·[31m")
    shown.close()
    assert screen(terminal.getvalue(), 20) == ""


def test_what_is_no_terminal_gets_no_drawing():
    out = io.StringIO()
    shown = Growing(out)
    shown("text")
    shown.close()
    assert out.getvalue() == ""


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", [""]), ("abcdef", ["abcd", "ef"]), ("ab\n\ncd", ["ab", "", "cd"]), ("日本語", ["日本", "語"]),
        ("a日本", ["a日", "本"]), ("e\u0301" * 5, ["e\u0301" * 4, "e\u0301"]), ("a\tb\x1bc", ["a·b·", "c"]),
    ],
)  # fmt: skip
def test_lines_are_folded_by_columns(text, lines):
    assert folded(text, 4) == lines


def test_an_interrupt_stops_the_run(run, own, monkeypatch):
    closed = []

    class Stopped(Workbench):
        def steering(self, *given, **more):
            try:
                yield next(super().steering(*given, **more))
                raise KeyboardInterrupt
            finally:
                closed.append(True)

    monkeypatch.setattr("core.__main__.Workbench", Stopped)
    status, out, err = run(*USUAL)
    assert (status, out) == (130, "") and "interrupted" in err and closed
