"""SAEBench's result files: what is written is read, and every bad file is refused by its name and key."""

from __future__ import annotations

import copy
import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core import __main__ as cli
from core.errors import BadInput, NotFound, WorkbenchError
from core.evaluate.foreign import OURS
from core.evaluate.records import FIGURES
from core.interchange import sae_bench
from core.settings import Settings
from core.workbench import Workbench
from tests import tiny

CORE = {
    "eval_type_id": "core",
    "eval_config": {"model_name": "gpt2-small", "n_eval_reconstruction_batches": 200, "dataset": "openwebtext"},
    "eval_id": "0c057d5e-973e-410e-8e32-32569323b5e6",
    "datetime_epoch_millis": 1734000000000,
    "eval_result_metrics": {
        "model_behavior_preservation": {"kl_div_score": 0.97, "kl_div_with_ablation": 10.0, "kl_div_with_sae": 0.3},
        "model_performance_preservation": {
            "ce_loss_score": 0.98, "ce_loss_with_ablation": 12.0, "ce_loss_with_sae": 3.4, "ce_loss_without_sae": 3.3,
        },
        "reconstruction_quality": {"explained_variance": 0.8, "mse": 0.01, "cossim": 0.93},
        "shrinkage": {
            "l2_norm_in": 90.0, "l2_norm_out": 85.0, "l2_ratio": 0.94, "relative_reconstruction_bias": 1.01,
        },
        "sparsity": {"l0": 57.5, "l1": 120.0},
        "token_stats": {"total_tokens_eval_reconstruction": 4000, "total_tokens_eval_sparsity_variance": 4000},
        "misc_metrics": {"frac_alive": 0.96},
    },
    "eval_result_details": [{"index": 0, "feature_density": 0.1}],
    "sae_bench_commit_hash": "57e9be0ac9199dba6b9f87fe92f80532e9aefced",
    "sae_lens_id": "blocks.8.hook_resid_pre",
    "sae_lens_release_id": "gpt2-small-res-jb",
    "sae_lens_version": "6.54.2",
    "sae_cfg_dict": {"d_sae": 24576, "hook_name": "blocks.8.hook_resid_pre", "architecture": "standard"},
}  # fmt: skip
ABSORPTION = CORE | {
    "eval_type_id": "absorption_first_letter",
    "datetime_epoch_millis": "1729834113150",
    "eval_result_metrics": {"mean": {"mean_full_absorption_score": 0.03, "mean_absorption_fraction_score": 0.1}},
}


def body(data: object) -> bytes:
    return json.dumps(data).encode()


def changed(path: str, value: object) -> dict:
    """The core result with one key changed, or, by `...`, without it."""
    made = copy.deepcopy(CORE)
    *steps, last = path.split(".")
    inside = made
    for step in steps:
        inside = inside[step]
    if value is ...:
        del inside[last]
    else:
        inside[last] = value
    return made


def test_what_a_file_says_is_kept():
    found = sae_bench.read(body(CORE), "core.json")
    assert (found.release, found.sae_id, found.model) == ("gpt2-small-res-jb", "blocks.8.hook_resid_pre", "gpt2-small")
    assert (found.width, found.hook, found.architecture) == (24576, "blocks.8.hook_resid_pre", "standard")
    assert found.made == "2024-12-12" and "57e9be0ac919" in found.version and not found.unknown
    assert dict(found.metrics) == {
        f"core/{category}/{metric}": value
        for category, inside in CORE["eval_result_metrics"].items()
        for metric, value in inside.items()
    }
    ours = found.figures()
    assert (ours["l0"], ours["ce_loss_score"], ours["kl_score"]) == (57.5, 0.98, 0.97)
    assert ours["dead_fraction"] == pytest.approx(0.04)
    assert dict(found.config)["n_eval_reconstruction_batches"] == "200"


def test_names_lead_to_figures_that_we_have():
    assert set(OURS.values()) <= {figure.key for figure in FIGURES}


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("eval_result_metrics", ..., "“eval_result_metrics” is missing"),
        ("eval_result_metrics", [], "“eval_result_metrics” is a list"),
        ("eval_result_metrics", {}, "has no number"),
        ("eval_result_metrics.sparsity", 5, "“eval_result_metrics.sparsity” is a number; it should be an object"),
        ("eval_result_metrics.sparsity.l0", "many", "“eval_result_metrics.sparsity.l0” is text"),
        ("eval_result_metrics.sparsity.l0", True, "is true or false"),
        ("eval_result_metrics.sparsity.l0", -1, "0 or more"),
        ("eval_result_metrics.misc_metrics.frac_alive", 1.5, "between 0 and 1"),
        ("eval_type_id", 7, "“eval_type_id” is a number; it should be text"),
        ("datetime_epoch_millis", "yesterday", "milliseconds since 1970"),
        ("datetime_epoch_millis", -5, "milliseconds since 1970"),
        ("datetime_epoch_millis", 10**39, "milliseconds since 1970"),
        ("sae_cfg_dict", "none", "“sae_cfg_dict” is text"),
        ("sae_cfg_dict.d_sae", 0, "number of features"),
        ("sae_cfg_dict.hook_name", 8, "“sae_cfg_dict.hook_name” is a number"),
        ("eval_config.model_name", [], "“eval_config.model_name” is a list"),
        ("sae_lens_release_id", {}, "“sae_lens_release_id” is an object"),
    ],
)
def test_a_bad_file_is_refused_by_name_and_key(path, value, says):
    with pytest.raises(BadInput, match=r"^bad\.json") as refused:
        sae_bench.read(body(changed(path, value)), "bad.json")
    assert says in str(refused.value)


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"", "not JSON"), (b"{", "line 1, column"), (b"[1, 2]", "is a list"), (b"\xff\xfe", "not UTF-8"),
        (b"[" * 100_000, "nested too deep"), (b"null", "is null"),
        (body(changed("sae_lens_id", ...) | {"sae_lens_release_id": None}), "of which SAE"),
    ],
)  # fmt: skip
def test_what_is_no_result_is_refused(raw, says):
    with pytest.raises(BadInput, match=r"^some\.json") as refused:
        sae_bench.read(raw, "some.json")
    assert says in str(refused.value)


def test_unknown_keys_are_reported_and_their_numbers_kept():
    data = changed("eval_result_metrics.new_things", {"shine": 0.5, "why": "because"}) | {"mood": "good"}
    data["eval_result_metrics"]["sparsity"]["l1"] = math.nan
    data["eval_result_metrics"]["sparsity"]["gini"] = None
    found = sae_bench.read(body(data), "new.json")
    assert dict(found.metrics)["core/new_things/shine"] == 0.5
    named = " ".join(found.unknown)
    assert all(one in named for one in ("mood", "new_things.why", "sparsity.l1=nan")) and "gini" not in named
    assert "core/sparsity/l1" not in dict(found.metrics)


def test_early_files_do_not_say_their_type():
    assert sae_bench.read(body(changed("eval_type_id", ...)), "old.json").eval_type == "core"
    assert sae_bench.read(body(ABSORPTION), "a.json").made == "2024-10-25"


leaf = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
anything = st.recursive(leaf, lambda kids: st.lists(kids, max_size=3) | st.dictionaries(st.text(max_size=6), kids))
shaped = st.fixed_dictionaries(
    {},
    optional={
        key: anything | st.dictionaries(st.text(max_size=6) | st.sampled_from(["sparsity", "mean", "l0"]), anything)
        for key in sorted(sae_bench.KEYS)
    },
)


@settings(max_examples=300, deadline=None)
@given(shaped | anything)
def test_any_json_is_read_or_refused(data):
    check(json.dumps(data).encode("utf-8", "surrogatepass"))


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(raw):
    check(raw)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from([p for p in CORE if p != "eval_result_metrics"]), anything)
def test_any_change_of_a_key_is_read_or_refused(key, value):
    check(json.dumps(CORE | {key: value}).encode("utf-8", "surrogatepass"))


def check(raw: bytes) -> None:
    try:
        found = sae_bench.read(raw, "some.json")
    except BadInput as error:
        assert str(error).startswith("some.json")
        return
    assert found.metrics and all(math.isfinite(value) for _, value in found.metrics)
    json.dumps([*found.unknown, *found.config, found.name], ensure_ascii=False).encode()


# -- kept, and found again ---------------------------------------------------------------------------------------------


@pytest.fixture
def own(tiny_root, tmp_path) -> Workbench:
    """A workbench that reads the tiny sources and writes elsewhere."""
    return Workbench(Settings(data=tmp_path / "data", demo=tiny_root))


def put(folder, name: str, data: object):
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}_eval_results.json"
    path.write_bytes(body(data))
    return path


def test_results_are_kept_once_and_make_one_row(own, tmp_path):
    folder = tmp_path / "results"
    put(folder, "core", CORE)
    put(folder, "absorption", ABSORPTION)
    assert len(own.quality.bring_in(folder)) == 2
    own.quality.bring_in(folder)
    assert len(own.quality.brought_in()) == 2, "twice is once"
    (row,) = own.quality.elsewhere()
    assert row.source is None and row.of is None and row.name == "gpt2-small-res-jb / blocks.8.hook_resid_pre"
    assert {name: one.value for name, one in row.figures.items()} | {"l0": 57.5, "absorption_rate": 0.03} == {
        name: one.value for name, one in row.figures.items()
    }
    assert "core_eval_results.json" in row.provenance and row.layer == 8 and row.width == 24576
    assert not any(r.provenance != "" and r.source is None for r in own.quality.leaderboard()), "never mixed with ours"
    own.quality.forget(own.quality.brought_in()[0].id)
    assert len(own.quality.brought_in()) == 1
    with pytest.raises(NotFound):
        own.quality.forget("nothing")


def test_a_person_says_which_source_it_is_of(own, tmp_path):
    own.quality.bring_in(put(tmp_path, "core", CORE), of=tiny.SAE)
    (row,) = own.quality.elsewhere()
    assert str(row.of) == tiny.SAE and own.quality.elsewhere("tiny") and not own.quality.elsewhere("other")
    with pytest.raises(NotFound):
        own.quality.bring_in(tmp_path / "core_eval_results.json", of="tiny/9-none")


def test_a_damaged_file_of_ours_counts_as_absent(own, tmp_path):
    own.quality.bring_in(put(tmp_path, "core", CORE))
    (kept,) = (own.settings.data / ".sae_bench").glob("*.json")
    kept.write_text("{}")
    assert own.quality.brought_in() == () and own.quality.elsewhere() == ()


def test_the_command_line_keeps_the_good_and_names_the_bad(tiny_root, tmp_path, capsys):
    good, bad = put(tmp_path, "good", CORE), put(tmp_path, "bad", changed("sae_cfg_dict.d_sae", "wide"))
    data = ["--data", str(tmp_path / "data")]
    assert cli.main(["import-sae-bench", str(good), str(bad), *data, "--json"]) == 2
    out, err = capsys.readouterr()
    answer = json.loads(out)
    assert len(answer["results"]) == 1 and "bad_eval_results.json: “sae_cfg_dict.d_sae”" in err
    assert answer["results"][0]["metrics"]["core/sparsity/l0"] == 57.5
    assert cli.main(["import-sae-bench", *data]) == 0
    assert "gpt2-small-res-jb" in capsys.readouterr().out
    assert cli.main(["import-sae-bench", "--forget", answer["results"][0]["id"], *data]) == 0
    assert cli.main(["import-sae-bench", str(tmp_path / "none.json"), *data]) == 2
    assert issubclass(BadInput, WorkbenchError)
