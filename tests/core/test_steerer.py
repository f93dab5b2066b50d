"""Steering over a workbench: keys to sources, runs that are kept, directions of one's own, and everything that refuses.

What a run computes is in `tests/core/techniques`; here are the ways to it.
"""

from __future__ import annotations

import dataclasses
import gc
import json
import math
import os
import random
import shutil
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from types import SimpleNamespace
from unittest.mock import patch

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from core.catalog.manifest import ModelSpec
from core.community.local import NAME
from core.errors import BadData, BadInput, Busy, NotAvailable, NotFound
from core.models import loading
from core.models.plain import Runner
from core.records import FeatureKey, Message, Push, SteerAsk, Step
from core.settings import Settings
from core.steerer import run_name, vector_key
from core.techniques.generate import Batch
from core.workbench import Workbench
from tests import tiny
from tests.core import naive
from tests.live import python

LONG = 60.0
HOOK = "blocks.1.hook_resid_pre"
PROMPT = "The capital of France"
KEY = FeatureKey("tiny", "1-res", 3)


def write(folder):
    """Weights, texts and configuration of a model with six sources."""
    tiny.model(folder / "model", scale=6.0, seed=3)
    tiny.sae(folder / "sae", bias=-0.3)
    tiny.sae(folder / "jump", "jumprelu", bias=-0.3, seed=4)
    tiny.sae(folder / "mid", hook="blocks.0.hook_resid_mid", bias=-0.3, seed=5)
    tiny.sae(folder / "tc", "transcoder", hook="blocks.0.mlp.hook_in", bias=-0.1)
    torch.manual_seed(5)
    save_file({"rows": torch.randn(3, 32)}, folder / "dirs.safetensors")
    (folder / "texts.txt").write_text(tiny.SEPARATOR.join(naive.texts(10)), encoding="utf-8")
    sources = [
        {"id": "1-res", "sae": {"path": "sae"}},
        {"id": "1-jump", "sae": {"path": "jump"}},
        {"id": "0-mid", "sae": {"path": "mid"}},
        {"id": "0-tc", "sae": {"path": "tc"}},
        {"id": "0-neurons", "neurons": "blocks.0.mlp.hook_post"},
        {"id": "1-dirs", "directions": {"path": "dirs.safetensors", "hook": HOOK}},
    ]
    config = {
        "model": {"id": "tiny", "path": "model"}, "sources": sources, "dataset": {"path": "texts.txt"}, "context": 24,
    }  # fmt: skip
    (folder / "build.yaml").write_text(yaml.safe_dump(config))
    Workbench(Settings(data=folder / "data", demo=None)).build(folder / "build.yaml")
    return folder


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    return write(tmp_path_factory.mktemp("steerer"))


@pytest.fixture
def root(built, tmp_path):
    """A copy of one's own: (weights and data)."""
    shutil.copytree(built, tmp_path / "own")
    return tmp_path / "own"


def opened(root, **options):
    return Workbench(Settings(data=root / "data", demo=None, **options))


@pytest.fixture
def bench(root):
    return opened(root)


@pytest.fixture(scope="module")
def shared(built):
    """One workbench for what writes nothing."""
    return opened(built)


def asked(features=None, prompt=PROMPT, **options):
    options = {"length": 8, "temperature": 1.0} | options
    return SteerAsk.of("tiny", prompt, {"tiny/1-res/3": 8.0} if features is None else features, **options)


def ids(text):
    return [one.token.id for one in text.tokens]


def until(holds) -> None:
    end = time.monotonic() + LONG
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.005)


def no_pass(*_, **__):
    raise AssertionError("the model was run")


class Gate:
    """Lets so many passes through, and those after it when it is opened; who waits holds no lock."""

    def __init__(self, free):
        self.passes, self.free, self.go, self.stuck = 0, free, threading.Event(), threading.Event()
        self._pass = Batch._pass

    def __enter__(self):
        gate = self

        def pass_(batch, *args, **options):
            gate.passes += 1
            if gate.passes > gate.free:
                gate.stuck.set()
                assert gate.go.wait(LONG)
            return gate._pass(batch, *args, **options)

        self._patch = patch.object(Batch, "_pass", pass_)
        self._patch.start()
        return self

    def __exit__(self, *_):
        self.go.set()
        self._patch.stop()


# -- a run -------------------------------------------------------------------------------------------------------------


def test_every_kind_of_source_steers(shared):
    features = {
        "tiny/1-res/3": 4.0, "tiny/1-jump/9": 4.0, "tiny/0-mid/7": 4.0, "tiny/0-tc/7": 4.0, "tiny/0-neurons/5": 2.0,
        "tiny/1-dirs/1": 4.0,
    }  # fmt: skip
    default = ids(shared.steer(asked()).default)
    hooks = {
        "1-res": HOOK, "1-jump": HOOK, "0-mid": "blocks.0.hook_resid_mid", "0-tc": "blocks.0.hook_mlp_out",
        "0-neurons": "blocks.0.hook_mlp_out", "1-dirs": HOOK,
    }  # fmt: skip
    for method in ("add", "orthogonal", "clamp", "cap", "ablate"):
        strengths = {name: -s if method == "cap" else s for name, s in features.items()}
        record = shared.steer(asked(strengths, method=method))
        assert ids(record.default) == default and record.effect.divergence > 0 and record.done
        for push in record.pushes:
            assert push.hook == hooks[push.key.source_id] and push.strength == strengths[str(push.key)]
            feature = shared.feature(push.key)
            assert (push.maximum, push.label) == (pytest.approx(feature.maximum), feature.label)
    folder = shared.settings.data.parent
    row = load_file(folder / "sae" / "sae_weights.safetensors")["W_dec"][3]
    assert shared.steer(asked()).pushes[0].norm == pytest.approx(float(row.norm()), rel=1e-6)


def test_steer_is_the_end_of_steering(shared):
    *before, last = shared.steering(asked())
    assert last.done and not any(record.done for record in before) and len(before) == 9
    assert shared.steer(asked()) == last and last.run == ""


def test_another_process_writes_the_same(shared):
    code = f"""
import json
from core.records import SteerAsk
from core.settings import Settings
from core.workbench import Workbench
bench = Workbench(Settings(data={str(shared.settings.data)!r}, demo=None))
ask = SteerAsk.of("tiny", {PROMPT!r}, {{"tiny/1-res/3": 8.0}}, length=30, temperature=1.0, top_p=0.9)
record = bench.steer(ask)
print(json.dumps([[one.token.id for one in text.tokens] for text in (record.default, record.steered)]))
"""
    record = shared.steer(asked(length=30, top_p=0.9))
    assert json.loads(python(code)) == [ids(record.default), ids(record.steered)]


def test_watched_features(shared):
    keys = tuple(FeatureKey.parse(f"tiny/{name}") for name in ("1-res/3", "0-tc/7", "0-neurons/5", "1-res/40"))
    watched = shared.steer(asked(watch=keys)).effect.watched
    for one, key in zip(watched, keys, strict=True):
        (test,) = shared.test(key, PROMPT)
        assert one.key == key and one.label == shared.feature(key).label
        assert one.before == pytest.approx(test.values, rel=1e-4, abs=1e-4)
    assert watched[0].before != watched[0].after and watched[1].before == watched[1].after, "which comes before"


def test_clamping_to_what_a_test_says_changes_nothing(shared):
    """The value that a person sees, at the token where it is."""
    (test,) = shared.test("tiny/1-res/3", PROMPT)
    for n, value in enumerate(test.values):
        ask = asked({"tiny/1-res/3": value}, method="clamp", where="prompt", positions=(n,), special=True)
        record = shared.steer(ask)
        assert ids(record.default) == ids(record.steered) and record.effect.divergence < 1e-9


def test_a_sweep(shared):
    ask = asked()
    record = shared.sweep(ask)
    assert [row.factor for row in record.rows] == [-2.0, -1.0, 0.0, 0.5, 1.0, 2.0, 4.0]
    for row in record.rows:
        alone = shared.steer(asked({"tiny/1-res/3": 8.0 * row.factor}))
        assert ids(row.text) == ids(alone.steered)
    assert ids(record.rows[2].text) == ids(alone.default) and record.rows[2].divergence == 0
    assert record.pushes == shared.steer(ask).pushes and record.ask == ask


def test_a_sweep_says_how_far_it_is_and_ends_where_who_listens_raises(shared):
    told = []
    shared.sweep(asked(), tell=told.append)
    written = [step for step in told if step.doing == "writing"]
    assert [step.done for step in written] == list(range(1, len(written) + 1)) and written[-1].of == asked().length

    def stop(step):
        if step.doing == "writing" and step.done == 2:
            raise NotAvailable("It was stopped.")

    with pytest.raises(NotAvailable, match="stopped"):
        shared.sweep(asked(), tell=stop)
    assert not shared._steerer.line.at_work(), "its place is free"


# -- kept --------------------------------------------------------------------------------------------------------------


def test_a_kept_run_is_found_without_a_pass(root, bench):
    record = bench.steer(asked(), keep=True)
    assert len(record.run) == 20 and set(record.run) <= set("0123456789abcdef")
    assert replace(record, run="") == bench.steer(asked())
    with patch.object(Runner, "pass_", no_pass):
        assert list(bench.steering(asked(), keep=True)) == [record]
        again = opened(root)
        assert list(again.steering(asked(), keep=True)) == [record]
        assert bench.steered(record.run) == again.steered(record.run) == record
        assert opened(root).steered(record.run) == record, "and needs no model"


def test_what_is_not_to_be_kept_is_not(bench):
    bench.steer(asked())
    assert not (bench.settings.data / NAME).exists()
    kept = bench.steer(asked(), keep=True)
    with pytest.raises(AssertionError, match="the model was run"), patch.object(Runner, "pass_", no_pass):
        bench.steer(asked())
    assert bench.steered(kept.run) == kept


def test_a_run_that_was_stopped_is_not_kept(bench):
    items = bench.steering(asked(length=50), keep=True)
    list(islice(items, 3))
    items.close()
    until(lambda: bench._steerer.line.at_work() == 0)
    assert not (bench.settings.data / NAME).exists()


def test_runs_that_are_not_here(bench):
    for name in ("a" * 20, "", "\ud800", "x" * 5000):
        with pytest.raises(NotFound, match="There is no saved run"):
            bench.steered(name)


def test_a_kept_run_is_given_though_all_places_are_taken(root):
    bench = opened(root, generations=1)
    record = bench.steer(asked(), keep=True)
    with bench._steerer.line.place(1.0):
        assert bench.steer(asked(), keep=True) == record


def test_a_run_that_another_version_kept_is_run_anew(bench):
    record = bench.steer(asked(), keep=True)
    with sqlite3.connect(bench.settings.data / NAME) as db:
        db.execute("update steer_run set record = '{}'")
    with pytest.raises(BadData, match="kept by another version"):
        bench.steered(record.run)
    assert bench.steer(asked(), keep=True) == record
    assert bench.steered(record.run) == record, "and replaced"


def test_runs_are_bounded(root):
    bench = opened(root, max_runs=2)
    runs = [bench.steer(asked(seed=seed, length=1), keep=True).run for seed in range(4)]
    assert len(set(runs)) == 4
    for run in runs[:2]:
        with pytest.raises(NotFound, match="the oldest are deleted"):
            bench.steered(run)
    assert [bench.steered(run).ask.seed for run in runs[2:]] == [2, 3]


CHANGES = [
    {"prompt": "Another text"}, {"pushes": (Push(KEY, 8.5),)},
    {"pushes": (Push(FeatureKey("tiny", "1-res", 4), 8.0),)}, {"method": "clamp"}, {"unit": True}, {"where": "prompt"},
    {"positions": (2,)}, {"special": True}, {"length": 9}, {"temperature": 0.9}, {"top_p": 0.9},
    {"frequency_penalty": 0.5}, {"seed": 17}, {"seed": 2**63 - 1}, {"seed": 2**63 - 2}, {"alternatives": 4},
    {"watch": (KEY,)}, {"watch": (FeatureKey("tiny", "0-tc", 3),)},
]  # fmt: skip


def test_a_runs_name_is_of_all_that_was_asked_for(shared):
    model = shared._model_slot("tiny").get()
    names = [run_name(replace(asked(), **change), model, []) for change in ({}, *CHANGES)]
    assert len(set(names)) == len(names)
    assert {field.name for field in dataclasses.fields(SteerAsk)} == {
        "model_id", "messages", "steered_messages", *(name for change in CHANGES for name in change)
    }  # fmt: skip


def test_a_number_is_the_same_however_it_is_written(bench):
    record = bench.steer(asked(frequency_penalty=0.0), keep=True)
    ask = replace(asked(), temperature=1, top_p=1, frequency_penalty=0, pushes=(Push(KEY, 8),))
    with patch.object(Runner, "pass_", no_pass):
        assert bench.steer(ask, keep=True).run == record.run


def test_a_runs_name_is_of_the_weights_and_where_they_belong(shared):
    """Model, sources that steer and sources that are watched; their hooks; the dtype; what a template writes."""
    model = shared._model_slot("tiny").get()
    source = SimpleNamespace(hook="a", hook_out="b", sha256="c")
    first = run_name(asked(), model, [source])
    others = [
        run_name(asked(), replace(model, sha256="x"), [source]),
        run_name(asked(), replace(model, settings_sha256="x"), [source]),
        run_name(asked(), replace(model, dtype="bfloat16"), [source]),
        *(run_name(asked(), model, [SimpleNamespace(**(vars(source) | {name: "x"}))]) for name in vars(source)),
        run_name(asked(), model, [source, source]),
    ]
    assert len({first, *others}) == 8 and first == run_name(asked(), model, [source])
    with patch("core.techniques.steer.end_tokens", lambda model: (3,)):
        assert run_name(asked(), model, [source]) != first
    chat = replace(asked(), prompt="", messages=(Message("user", "hi"),))
    with patch("core.techniques.steer.chat_ids", lambda model, turns: [1, 2]):
        one = run_name(chat, model, [source])
    with patch("core.techniques.steer.chat_ids", lambda model, turns: [1, 2, 3]):
        assert run_name(chat, model, [source]) != one


@pytest.mark.parametrize("what", ["the model", "what steers", "what is watched"])
def test_other_weights_are_another_run(root, what):
    key = FeatureKey.parse("tiny/0-tc/3")
    record = opened(root).steer(asked(watch=(key,)), keep=True)
    name = {"the model": "model/model", "what steers": "sae/sae_weights", "what is watched": "tc/sae_weights"}[what]
    path = root / f"{name}.safetensors"
    tensors = load_file(path)
    save_file({k: v + 0.01 * torch.randn_like(v) for k, v in tensors.items()}, path, metadata={"format": "pt"})
    other = opened(root).steer(asked(watch=(key,)), keep=True)
    assert other.run != record.run
    assert opened(root).steered(record.run) == record, "whose link still shows what it showed"


# -- the line, and who goes away ---------------------------------------------------------------------------------------


def test_so_many_at_once_and_the_others_in_line(root):
    bench, told = opened(root, generations=1), []
    with Gate(2) as gate, ThreadPoolExecutor(2) as pool:
        first = pool.submit(bench.steer, asked())
        assert gate.stuck.wait(LONG)
        second = pool.submit(bench.steer, asked(seed=3), tell=told.append)
        until(lambda: told)
        assert told[0] == Step(doing="waiting", before=0) and bench._steerer.line.waiting() == 1
        with pytest.raises(Busy, match="The server is busy: 2 wait"):
            opened_patience(bench, 0.01, asked(seed=4))
        gate.go.set()
        assert first.result(LONG).done and second.result(LONG).done
    assert (bench._steerer.line.waiting(), bench._steerer.line.at_work()) == (0, 0)


def opened_patience(bench, seconds, ask):
    """A run of somebody with less patience."""
    with patch.object(bench, "settings", bench.settings.model_copy(update={"patience": seconds})):
        return bench.steer(ask)


@pytest.mark.parametrize("way", ["close", "let go"])
def test_who_goes_away_frees_the_place(root, way):
    bench = opened(root, generations=1)
    with Gate(4) as gate:
        items = bench.steering(asked(length=50))
        next(items)
        assert gate.stuck.wait(LONG) and bench._steerer.line.at_work() == 1
        if way == "close":
            items.close()
        del items
        gc.collect()
        gate.go.set()
        until(lambda: bench._steerer.line.at_work() == 0)
        assert gate.passes <= 6
    assert bench._model_slot("tiny").drop(), "and nobody holds the model"


def test_who_goes_away_while_waiting_leaves_the_line(root):
    """At once, not when its turn comes."""
    bench, told = opened(root, generations=1), threading.Event()
    bench.steer(asked())
    with bench._steerer.line.place(1.0):
        from core.steerer import detached as real

        begun = []

        def watched(begin):
            def kept(gone):
                begun.append(gone)
                return begin(gone)

            return real(kept)

        with patch("core.steerer.detached", watched):
            items = bench.steering(asked(length=50), tell=lambda step: told.set())
            with ThreadPoolExecutor(1) as pool:
                reader = pool.submit(next, items)
                assert told.wait(LONG) and bench._steerer.line.waiting() == 1
                begun[0].__self__.set()  # as an interrupt does, which closes the iterator
                until(lambda: bench._steerer.line.waiting() == 0)
                with pytest.raises(Busy):
                    reader.result(LONG)
        assert bench._steerer.line.at_work() == 1
    assert bench.steer(asked()).done


def test_a_reader_that_is_slow_holds_nothing(root):
    bench = opened(root, generations=1)
    items = bench.steering(asked(length=30))
    next(items)
    assert bench.steer(asked(seed=2)).done, "the next one is served though nobody reads the first"
    until(lambda: bench._steerer.line.at_work() == 0)
    assert len(list(items)) == 31


def test_what_is_wrong_is_said_at_once(shared):
    """Where it needs no model: before the first item is asked for."""
    with pytest.raises(BadInput, match="temperature"):
        shared.steering(asked(temperature=9.0))


# -- memory ------------------------------------------------------------------------------------------------------------


def test_the_model_stays_while_it_is_at_work(root):
    """Everything that nobody works with is let go in the midst of a run; the run ends as it would."""
    bench = opened(root, memory_mb=1)
    expected = bench.steer(asked(length=20))
    with Gate(5) as gate:
        items = bench.steering(asked(length=20))
        next(items)
        assert gate.stuck.wait(LONG)
        bench._pool.clear()
        held = {one.name for one in bench.residents() if one.state == "ready"}
        assert {"tiny", "tiny/1-res"} <= held
        gate.go.set()
        *_, last = items
    assert last == expected
    bench._pool.clear()
    assert not any(one.state == "ready" for one in bench.residents())
    assert bench.steer(asked(length=20)) == expected


def test_a_model_that_is_built_anew_during_a_run(root):
    bench = opened(root)
    expected = bench.steer(asked(length=20))
    with Gate(5) as gate:
        items = bench.steering(asked(length=20))
        next(items)
        assert gate.stuck.wait(LONG)
        os.utime(root / "data" / "tiny" / "model.json", (1, 1))
        gate.go.set()
        *_, last = items
    assert last == expected and bench.steer(asked(length=20)) == expected


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), MemoryError(),
     RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried to")],
)  # fmt: skip
@pytest.mark.parametrize("sweeps", [False, True])
def test_memory_that_runs_out_is_a_message(root, error, sweeps):
    """And everything that nobody works with is let go."""
    bench = opened(root)
    expected = bench.steer(asked())
    real, passes = Runner.pass_, []

    def pass_(self, *args, **options):
        passes.append(1)
        if len(passes) == 4:
            raise error
        return real(self, *args, **options)

    with patch.object(Runner, "pass_", pass_), pytest.raises(Busy, match="not enough memory"):
        bench.sweep(asked()) if sweeps else bench.steer(asked())
    assert not any(one.state == "ready" for one in bench.residents())
    assert (bench._steerer.line.waiting(), bench._steerer.line.at_work()) == (0, 0)
    assert bench.steer(asked()) == expected


# -- directions --------------------------------------------------------------------------------------------------------


def test_a_direction_of_numbers(root, bench):
    values = np.random.default_rng(0).normal(size=32)
    made = bench.new_vector("tiny", HOOK, values.tolist(), label="  mine ", strength=3.5)
    assert (made.label, made.hook, made.strength, made.key.source) == (
        "mine", HOOK, 3.5, FeatureKey.parse("tiny/1-vectors-resid-pre/0").source,
    )  # fmt: skip
    assert made.values == tuple(np.float32(values).tolist())
    assert opened(root).vector(str(made.key)) == made and list(opened(root).vectors("tiny")) == [made]
    record = bench.steer(SteerAsk.of("tiny", PROMPT, {made.key: 6.0}, length=8))
    (push,) = record.pushes
    assert (push.maximum, push.label, push.hook) == (None, "mine", HOOK)
    assert push.norm == pytest.approx(np.linalg.norm(values), rel=1e-6)
    assert record.effect.divergence > 0
    assert bench.new_vector("tiny", HOOK, [1.0] * 32).label == "a direction"


def test_a_sum_of_features_is_the_sum_of_their_rows(bench):
    features = [Push(FeatureKey.parse("tiny/1-res/3"), 2.0), Push(FeatureKey.parse("tiny/1-jump/9"), -1.5)]
    made = bench.new_vector("tiny", features=features)
    folder = bench.settings.data.parent
    rows = [load_file(folder / name / "sae_weights.safetensors")["W_dec"] for name in ("sae", "jump")]
    assert np.allclose(made.values, 2.0 * rows[0][3] - 1.5 * rows[1][9], atol=1e-6) and made.hook == HOOK
    by_sum = bench.steer(SteerAsk.of("tiny", PROMPT, {made.key: 1.5}, length=8))
    by_features = bench.steer(SteerAsk.of("tiny", PROMPT, {"tiny/1-res/3": 3.0, "tiny/1-jump/9": -2.25}, length=8))
    assert ids(by_sum.steered) == ids(by_features.steered)
    assert by_sum.effect.divergence == pytest.approx(by_features.effect.divergence, rel=1e-3)
    again = bench.new_vector("tiny", features=[Push(made.key, 2.0), features[0]])
    assert np.allclose(again.values, 2 * np.array(made.values) + 2 * rows[0][3].numpy(), atol=1e-5), (
        "also of directions"
    )


def test_a_sum_where_little_may_be_generated(root):
    """How long a text may be says nothing of a direction."""
    bench = opened(root, max_length=4)
    assert bench.new_vector("tiny", features=[Push(FeatureKey.parse("tiny/1-res/3"), 1.0)]).values


def test_directions_are_listed_replaced_and_dropped(root, bench):
    one = bench.new_vector("tiny", HOOK, [1.0] * 32, label="one")
    two = bench.new_vector("tiny", "blocks.0.mlp.hook_post", [1.0] * 128, label="two")
    assert two.key.source_id == "0-vectors-mlp-post" and {v.label for v in bench.vectors()} == {"one", "two"}
    again = bench.new_vector("tiny", HOOK, [1.0] * 32, label="again", strength=-2.0)
    assert again.key == one.key and bench.vector(one.key) == again and len(bench.vectors()) == 2
    bench.drop_vector(str(one.key))
    assert list(bench.vectors("tiny")) == [two] and list(bench.vectors("another")) == []
    for ask in (lambda: bench.vector(one.key), lambda: bench.drop_vector(one.key)):
        with pytest.raises(NotFound, match=f"There is no direction {one.key} here"):
            ask()
    with pytest.raises(NotFound):
        bench.steer(SteerAsk.of("tiny", PROMPT, {one.key: 1.0}))


def test_a_key_is_of_the_numbers_and_of_the_place(bench):
    keys = {
        vector_key("tiny", hook, values)
        for hook in (HOOK, "blocks.0.hook_resid_pre", "blocks.1.hook_resid_post", "blocks.1.ln1.hook_in",
                     "blocks.1.ln2.hook_in", "blocks.1.ln1.hook_out")
        for values in ([1.0] * 32, [1.0] * 31 + [1.1])
    }  # fmt: skip
    assert len(keys) == 12
    assert vector_key("tiny", HOOK, [1 / 3]) == vector_key("tiny", HOOK, [float(np.float32(1 / 3))])


@pytest.mark.parametrize("family", ["gpt2", "qwen3", "gemma2", "mixtral"])
def test_every_hook_has_a_key_that_can_be_read(tmp_path, family):
    model = loading.load(ModelSpec(id="tiny", path=str(tiny.model(tmp_path / "m", family))))
    for hook in model.bridge.hook_dict:
        if hook.startswith("blocks."):
            key = vector_key("tiny", hook, [1.0, 2.0])
            assert FeatureKey.parse(str(key)) == key and key.source.layer == int(hook.split(".")[1])


NUMBERS = {"hook": HOOK, "values": [1.0] * 32}
PUSHES = [Push(FeatureKey("tiny", "1-res", n), 1.0) for n in range(20)]
REFUSED = [
    ({}, BadInput, "Give the numbers of a direction, or the features"),
    (NUMBERS | {"features": PUSHES[:1]}, BadInput, "Give the numbers of a direction, or the features"),
    (NUMBERS | {"label": "x" * 121}, BadInput, "label is too long: 121 characters, and at most 120"),
    (NUMBERS | {"label": "\ud800"}, BadInput, "label is not Unicode"),
    (NUMBERS | {"strength": math.nan}, BadInput, "strength is no finite number"),
    (NUMBERS | {"strength": math.inf}, BadInput, "strength is no finite number"),
    (NUMBERS | {"values": [1.0] * 31}, BadInput, rf"The direction has 31 numbers, and {HOOK} of tiny has 32"),
    (NUMBERS | {"values": [1.0]}, BadInput, "has 1 numbers"),
    (NUMBERS | {"values": [0.0] * 32}, BadInput, "is 0 everywhere"),
    (NUMBERS | {"values": [1e-20] * 32}, BadInput, "shorter than 1e-15: multiply"),
    (NUMBERS | {"values": [1e-60] * 32}, BadInput, "shorter than 1e-15: multiply"),
    (NUMBERS | {"values": [math.nan] * 32}, BadInput, "not finite"),
    (NUMBERS | {"values": [1.0] * 31 + [math.inf]}, BadInput, "not finite"),
    (NUMBERS | {"values": [1.0] * 31 + [-1e16]}, BadInput, r"larger than 1e\+15"),
    (NUMBERS | {"hook": ""}, BadInput, "is no hook of a block"),
    (NUMBERS | {"hook": "ln_final.hook_normalized"}, BadInput, "is no hook of a block"),
    (NUMBERS | {"hook": "blocks.9.hook_resid_pre"}, BadInput, r"no hook “blocks\.9\.hook_resid_pre”: it has 2 layers"),
    (NUMBERS | {"hook": "blocks.1.attn.hook_pattern"}, BadInput, "no vector a token"),
    (NUMBERS | {"hook": "blocks.1.hook_attn_in"}, BadInput, "nothing passes through it"),
    ({"features": PUSHES[:17]}, BadInput, "17 features are too many at once: at most 16"),
    ({"features": [*PUSHES[:2], PUSHES[0]]}, BadInput, "tiny/1-res/0 is named twice"),
    ({"features": [Push(PUSHES[0].key, 0.0)]}, BadInput, "is 0 everywhere"),
    ({"features": [Push(PUSHES[0].key, math.nan)]}, BadInput, "not nan"),
    ({"features": [Push(FeatureKey("tiny", "1-res", 64), 1.0)]}, NotFound, "features 0 to 63; there is no 64"),
    ({"features": [Push(FeatureKey("tiny", "1-none", 0), 1.0)]}, NotFound, "1-none"),
    ({"features": [Push(FeatureKey("other", "1-res", 0), 1.0)]}, BadInput, "is not a feature of tiny"),
    (
        {"features": [PUSHES[0], Push(FeatureKey("tiny", "0-mid", 1), 1.0)]}, BadInput,
        r"write at different places \(.*mid",
    ),
    ({"features": [Push(FeatureKey("tiny", "1-vectors-resid-pre", 5), 1.0)]}, NotFound, "1-vectors-resid-pre"),
    ({"features": [Push(FeatureKey("tiny", "1-vectors-resid-pre", 10**30), 1.0)]}, NotFound, "1-vectors-resid-pre"),
]  # fmt: skip


@pytest.mark.parametrize(("options", "error", "message"), REFUSED)
def test_what_is_no_direction(shared, options, error, message):
    with pytest.raises(error, match=message):
        shared.new_vector("tiny", **options)
    assert not (shared.settings.data / NAME).exists(), "and nothing was kept"


def test_a_direction_of_a_model_that_is_not_here(shared):
    with pytest.raises(NotFound, match="nobody"):
        shared.new_vector("nobody", HOOK, [1.0] * 32)


def test_directions_are_bounded(root):
    bench = opened(root, max_vectors=2)
    for n in (1.0, 2.0):
        bench.new_vector("tiny", HOOK, [n] * 32)
    with pytest.raises(BadInput, match="There are 2 directions here already: delete one first"):
        bench.new_vector("tiny", HOOK, [3.0] * 32)
    assert bench.new_vector("tiny", HOOK, [1.0] * 32, label="new").label == "new", "replacing one needs no room"


@pytest.mark.parametrize("method", ["add", "orthogonal", "clamp", "cap", "ablate"])
@pytest.mark.parametrize("unit", [False, True])
@pytest.mark.parametrize("length", [1e-14, 1e14])
def test_directions_of_extreme_length(bench, method, unit, length):
    """Numbers, or a message; never a text that was not steered as it was asked for."""
    made = bench.new_vector("tiny", HOOK, (length * np.random.default_rng(1).normal(size=32) / 6).tolist())
    usual = bench.new_vector("tiny", HOOK, np.random.default_rng(1).normal(size=32).tolist())
    try:
        record = bench.steer(SteerAsk.of("tiny", PROMPT, {made.key: 3.0}, method=method, unit=unit, length=4))
    except BadInput as error:
        assert "take a smaller strength" in str(error)
        assert not unit and (method, length) in {("add", 1e14), ("clamp", 1e-14)}
        return
    if unit or method in ("orthogonal", "cap", "ablate"):
        same = bench.steer(SteerAsk.of("tiny", PROMPT, {usual.key: 3.0}, method=method, unit=unit, length=4))
        assert record.effect.divergence == pytest.approx(same.effect.divergence, rel=1e-3, abs=1e-9)
        assert ids(record.steered) == ids(same.steered)


# -- what refuses ------------------------------------------------------------------------------------------------------

BAD = [
    ({"pushes": ()}, BadInput, "Choose at least one feature"),
    ({"pushes": tuple(PUSHES[:17])}, BadInput, "17 features are too many at once: at most 16"),
    ({"pushes": (Push(KEY, 1.0), Push(KEY, 2.0))}, BadInput, "named twice"),
    *[({"pushes": (Push(KEY, s),)}, BadInput, r"strength of tiny/1-res/3 is a number between -1,000,000 and 1,000,000")
      for s in (math.nan, math.inf, -math.inf, 1.1e6, -1e300)],
    ({"pushes": (Push(FeatureKey("other", "1-res", 3), 1.0),)}, BadInput, "other/1-res/3 is not a feature of tiny"),
    ({"pushes": (Push(FeatureKey("tiny", "1-res", 64), 1.0),)}, NotFound, "features 0 to 63; there is no 64"),
    ({"pushes": (Push(FeatureKey("tiny", "1-res", 10**40), 1.0),)}, NotFound, "features 0 to 63"),
    ({"pushes": (Push(FeatureKey("tiny", "5-none", 0), 1.0),)}, NotFound, "5-none"),
    ({"pushes": (Push(FeatureKey("tiny", "1-vectors-resid-pre", 5), 1.0),)}, NotFound, "1-vectors-resid-pre"),
    ({"length": 0}, BadInput, "length is 1 to 256 tokens, not 0"),
    ({"length": 257}, BadInput, "length is 1 to 256 tokens, not 257"),
    *[({"temperature": t}, BadInput, "temperature is 0 to 2") for t in (-0.1, 2.1, math.nan, math.inf)],
    *[({"top_p": p}, BadInput, "top-p is more than 0 and at most 1") for p in (0.0, -1.0, 1.1, math.nan)],
    *[({"frequency_penalty": p}, BadInput, "frequency penalty is -2 to 2") for p in (-2.1, 2.1, math.nan)],
    *[({"seed": s}, BadInput, "seed is a whole number from 0 to 9223372036854775807") for s in (-1, 2**63, 10**40)],
    *[({"alternatives": n}, BadInput, "alternatives is 0 to 20") for n in (-1, 21)],
    ({"method": "magic"}, BadInput, "method is one of add, .*; there is no “magic”"),
    ({"where": "nowhere"}, BadInput, "where is one of all, .*; there is no “nowhere”"),
    ({"watch": tuple(push.key for push in PUSHES[:17])}, BadInput, "17 features are too many to watch: at most 16"),
    ({"watch": (FeatureKey("other", "1-res", 3),)}, BadInput, "other/1-res/3 is not a feature of tiny"),
    ({"watch": (FeatureKey("tiny", "1-res", 64),)}, NotFound, "there is no 64"),
    ({"messages": (Message("user", "hi"),)}, BadInput, "Give a prompt or the messages of a chat, not both"),
    ({"prompt": "", "messages": (Message("user", "hi"),)}, BadInput, "tiny is no chat model"),
    ({"prompt": "", "messages": (Message("boss", "hi"),)}, BadInput, r"Message 1: a role is one of .*no “boss”"),
    ({"prompt": "", "messages": (Message("user", "x" * 10_001),)}, BadInput, "chat is too long: at most 10,000"),
    ({"steered_messages": (Message("user", "hi"),)}, BadInput, "A steered chat needs the default chat"),
    ({"prompt": "x" * 10_001}, BadInput, "prompt is too long: 10,001 characters"),
    *[({"prompt": p}, BadInput, "The text is") for p in ("", " \n", "\ud800")],
    ({"prompt": "!" * 60}, BadInput, "leaves no room: it has .* tiny reads at most 64"),
    ({"positions": (44,)}, BadInput, "The prompt has no token 44"),
    ({"positions": (-1,)}, BadInput, "The prompt has no token -1"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "error", "message"), BAD)
def test_what_cannot_be_steered(shared, change, error, message):
    ask = replace(asked(), **change)
    ways = [lambda: shared.steer(ask), lambda: shared.steer(ask, keep=True), lambda: list(shared.steering(ask))]
    if not ask.watch:
        ways.append(lambda: shared.sweep(ask))
    for way in ways:
        with pytest.raises(error, match=message):
            way()
    assert (shared._steerer.line.waiting(), shared._steerer.line.at_work()) == (0, 0)
    assert not (shared.settings.data / NAME).exists()


def test_a_model_that_is_not_here(shared):
    with pytest.raises(NotFound, match="nobody"):
        shared.steer(SteerAsk.of("nobody", "x", {"nobody/1-res/3": 1.0}))


@pytest.mark.parametrize(
    ("factors", "message"),
    [((), "1 to 15 strengths, not 0"), ([1.0] * 16, "1 to 15 strengths, not 16"), ([1001.0], "not 1001"),
     ([math.nan], "not nan"), ([0.5, -math.inf], "not -inf")],
)  # fmt: skip
def test_sweeps_that_cannot_be(shared, factors, message):
    with pytest.raises(BadInput, match=message):
        shared.sweep(asked(), factors)


def test_the_whole_range_of_strengths_is_numbers_or_a_message(shared):
    random.seed(1)
    for method in ("add", "orthogonal", "clamp", "cap", "ablate"):
        for name in ("1-res/3", "0-mid/7", "0-tc/7", "0-neurons/5", "1-dirs/1"):
            for strength in (1e6, -1e6, 1e-30):
                try:
                    record = shared.steer(asked({f"tiny/{name}": strength}, method=method, length=3))
                except BadInput as error:
                    assert "take a smaller strength" in str(error) and abs(strength) == 1e6
                    continue
                numbers = [x for one in record.steered.tokens for x in (one.logprob, one.other)]
                assert np.isfinite(numbers).all() and math.isfinite(record.effect.divergence)
    with pytest.raises(BadInput, match="take a smaller strength"):
        shared.sweep(asked({"tiny/1-res/3": 1e6}), [1000.0])


def test_weights_that_are_gone(root):
    bench = opened(root)
    (root / "sae").rename(root / "away")
    for ran in (lambda: bench.steer(asked()), lambda: bench.sweep(asked()),
                lambda: bench.steer(asked({"tiny/1-jump/3": 1.0}, watch=(KEY,))),
                lambda: bench.new_vector("tiny", features=PUSHES[:1])):  # fmt: skip
        with pytest.raises(NotAvailable, match=r"not at .*sae any more"):
            ran()
    assert bench.steer(asked({"tiny/1-jump/3": 1.0})).done and bench._steerer.line.at_work() == 0
    (root / "away").rename(root / "sae")
    assert bench.steer(asked()).done, "and what is back is found again"
    (root / "model").rename(root / "gone")
    with pytest.raises(NotAvailable, match=r"not at .*model any more"):
        opened(root).steer(asked())


def test_a_source_that_was_brought_without_weights(root):
    path = root / "data" / "tiny" / "1-jump" / "source.json"
    manifest = json.loads(path.read_text())
    manifest["source"]["has"].remove("weights")
    path.write_text(json.dumps(manifest))
    with pytest.raises(NotAvailable, match="tiny/1-jump was imported without its weights"):
        opened(root).steer(asked({"tiny/1-jump/3": 1.0}))


def test_a_source_with_a_dead_row(root):
    path = root / "sae" / "sae_weights.safetensors"
    tensors = load_file(path)
    tensors["W_dec"][3] = 0
    save_file(tensors, path)
    bench = opened(root)
    with pytest.raises(BadInput, match=r"Feature 3 has a decoder row of length 0: there is no direction"):
        bench.steer(asked())
    assert bench.steer(asked({"tiny/1-res/4": 1.0})).done


@pytest.mark.parametrize("damage", [b"no database" * 900, b"\0" * 9000])
def test_a_damaged_file_of_what_is_kept(bench, damage):
    """Features need it not; what does says so."""
    (bench.settings.data / NAME).write_bytes(damage)
    assert bench.steer(asked()).done and bench.sweep(asked()).rows
    for ran in (lambda: bench.steered("a" * 20), bench.vectors, lambda: bench.vector("tiny/1-vectors-resid-pre/3"),
                lambda: bench.steer(asked({"tiny/1-vectors-resid-pre/3": 1.0}))):  # fmt: skip
        with pytest.raises(BadData, match=f"{NAME} cannot be read"):
            ran()
    for ran in (lambda: bench.steer(asked(), keep=True), lambda: bench.new_vector("tiny", HOOK, [1.0] * 32)):
        with pytest.raises(NotAvailable, match=f"{NAME} cannot be written"):
            ran()


def test_a_data_root_that_cannot_be_written(built, tmp_path):
    """What is read is read, texts are written, and that they are not kept is said at the end."""
    (tmp_path / "file").write_text("")
    bench = Workbench(Settings(data=tmp_path / "file" / "data", demo=built / "data"))
    assert bench.steer(asked()).done
    records = []
    with pytest.raises(NotAvailable, match=r"cannot be written .* so nothing was kept"):
        for record in bench.steering(asked(), keep=True):
            records.append(record)
    assert len(ids(records[-1].steered)) == 8 and bench._steerer.line.at_work() == 0
    with pytest.raises(NotAvailable, match="so nothing was kept"):
        bench.new_vector("tiny", HOOK, [1.0] * 32)


# -- many at once ------------------------------------------------------------------------------------------------------


def test_sixteen_threads_steer_test_and_search(root):
    """Every result is what it is when it is asked for alone."""
    texts = ["Paris", "It’s a fine day 🙂", "def add(a, b):\n    return a + b\n", "My fellow citizens"]
    jobs = []
    for n in range(12):
        names = ("1-res/3", "1-jump/9", "0-mid/7", "0-tc/7", "0-neurons/5", "1-dirs/1")
        method = ("add", "clamp", "orthogonal", "ablate", "cap")[n % 5]
        ask = asked({f"tiny/{names[n % 6]}": 5.0, f"tiny/{names[(n + 1) % 6]}": -2.0}, method=method, seed=n, length=5,
                    prompt=texts[n % 4], watch=(KEY,))  # fmt: skip
        jobs.append(lambda bench, ask=ask: bench.steer(ask))
        jobs.append(lambda bench, n=n, name=names[n % 6]: bench.test(f"tiny/{name}", texts[n % 4])[0])
        jobs.append(lambda bench, n=n: bench.search("tiny", texts[n % 4], top=5))
    jobs.append(lambda bench: bench.sweep(asked(length=4), (0.0, 1.0)))
    alone = opened(root)
    expected = [job(alone) for job in jobs]
    together = opened(root, generations=3)
    order = list(range(len(jobs)))
    random.Random(0).shuffle(order)
    with ThreadPoolExecutor(16) as pool:
        found = dict(zip(order, pool.map(lambda n: jobs[n](together), order), strict=True))
    for n, one in enumerate(expected):
        same(found[n], one)
    assert (together._steerer.line.waiting(), together._steerer.line.at_work()) == (0, 0)
    model = together._model_slot("tiny").get()
    assert all(not point.fwd_hooks for point in model.bridge.hook_dict.values())


def same(found, expected) -> None:
    """Equal, numbers up to the order of sums."""
    if dataclasses.is_dataclass(expected):
        assert type(found) is type(expected)
        for field in dataclasses.fields(expected):
            same(getattr(found, field.name), getattr(expected, field.name))
    elif isinstance(expected, tuple | list):
        assert len(found) == len(expected)
        for a, b in zip(found, expected, strict=True):
            same(a, b)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=1e-3, abs=1e-4)
    else:
        assert found == expected


def test_keeping_from_many_threads(root):
    bench = opened(root)
    asks = [asked(seed=n % 3, length=3) for n in range(12)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda ask: bench.steer(ask, keep=True), asks))
    assert len({record.run for record in found}) == 3
    for record in found:
        assert bench.steered(record.run).steered == record.steered


def test_a_test_goes_on_between_the_passes_of_a_run(root):
    """Who tests does not wait for the whole text."""
    bench = opened(root)
    (expected,) = bench.test(KEY, "Paris")
    bench._cache = None
    with Gate(3) as gate:
        items = bench.steering(asked(length=40))
        next(items)
        assert gate.stuck.wait(LONG)
        (found,) = bench.test(KEY, "Paris")
        assert bench._steerer.line.at_work() == 1 and not gate.go.is_set()
        items.close()
    assert found.values == pytest.approx(expected.values)


def test_an_unforeseen_error_leaves_nothing_behind(root):
    bench = opened(root, generations=1)
    broken = patch("core.techniques.steer.effect", side_effect=RuntimeError("unforeseen"))
    with broken, pytest.raises(RuntimeError, match="unforeseen"):
        bench.steer(asked())
    until(lambda: bench._steerer.line.at_work() == 0)
    assert bench.steer(asked()).done
    assert bench._model_slot("tiny").drop()
