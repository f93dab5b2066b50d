"""Presets: what a file of them may say, what is refused, and that those of the repository are of the demo."""

from __future__ import annotations

import pytest

from core.errors import BadConfig
from core.presets import FILE, read_presets
from core.records import FeatureKey, Push, SteerAsk
from core.settings import HERE, Settings
from core.workbench import Workbench


def written(tmp_path, text):
    path = tmp_path / "steer.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_an_entry_is_an_ask(tmp_path):
    path = written(
        tmp_path,
        "- {name: Family, note: Who is who., model: tiny, prompt: One day, method: clamp, seed: 3, length: 7,\n"
        "   features: [{id: tiny/1-res/3, strength: 4}, {id: tiny/0-neurons/5, strength: -2.5}]}\n"
        "- {name: Gone, model: tiny, features: [{id: tiny/1-res/3}], method: ablate}\n",
    )
    family, gone = read_presets(path)
    pushes = (Push(FeatureKey("tiny", "1-res", 3), 4.0), Push(FeatureKey("tiny", "0-neurons", 5), -2.5))
    assert (family.name, family.note) == ("Family", "Who is who.")
    assert family.ask == SteerAsk(model_id="tiny", prompt="One day", pushes=pushes, method="clamp", seed=3, length=7)
    assert gone.note == "" and gone.ask.pushes[0].strength == 0 and gone.ask.method == "ablate"


def test_no_file_has_none(tmp_path):
    assert read_presets(tmp_path / "missing.yaml") == () == read_presets(written(tmp_path, ""))


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("a: 1", "no list"), ("- 3", "entry 1"), ("- {name: x}", "entry 1"), ("[", "cannot be read"),
        ("- {name: x, model: tiny, features: [{id: nonsense}]}", "entry 1"),
        ("- {name: x, model: tiny, features: [{id: tiny/1-res/3}], colour: red}", "colour"),
        ("- {name: x, model: tiny, features: [{id: tiny/1-res/3, strength: much}]}", "much"),
    ],
)  # fmt: skip
def test_what_is_no_preset(tmp_path, text, word):
    with pytest.raises(BadConfig, match=word):
        read_presets(written(tmp_path, text))


def test_those_of_the_repository_work_on_the_demo(tmp_path):
    """Each can be asked as it is, and does something."""
    demo = Workbench(Settings(data=tmp_path, demo=HERE / "demo" / "data"))
    if not demo.sources() or not FILE.is_file():
        pytest.skip("the demo's data, or configs/steer.yaml, is not here")
    found = [one for one in read_presets() if one.ask.model_id in {model.model_id for model in demo.models()}]
    assert list(demo.presets()) == found
    for one in found:
        record = demo.steer(one.ask)
        assert record.steered.text != record.default.text, one.name
