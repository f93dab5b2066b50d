"""Keys: what is a name and what is not, and that writing and reading agree."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import BadInput
from core.records import FeatureKey, Histogram, SourceKey

models = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)
sets = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9.-]{0,12}(_[A-Za-z0-9.-]{1,5})?", fullmatch=True)
suffixes = st.one_of(st.just(""), st.from_regex(r"__[A-Za-z0-9.-]{1,8}", fullmatch=True))
layers = st.integers(0, 200)


@given(models, layers, sets, suffixes)
def test_a_source_key_reads_what_it_writes(model, layer, name, suffix):
    key = SourceKey(model, f"{layer}-{name}{suffix}")
    assert SourceKey.parse(str(key)) == key
    assert SourceKey.of(model, key.source_id) == SourceKey.of("other", str(key)) == key
    assert key.layer == layer
    assert key.set_name == name


@given(models, layers, sets, st.integers(0, 10**11))
def test_a_feature_key_reads_what_it_writes(model, layer, name, index):
    key = FeatureKey(model, f"{layer}-{name}", index)
    assert FeatureKey.parse(str(key)) == key
    assert FeatureKey.parse(f" /{key}/ ") == key
    assert key.source == SourceKey(model, f"{layer}-{name}")


@given(st.text(max_size=40))
def test_any_text_is_a_key_or_a_readable_refusal(text):
    for parse in (SourceKey.parse, FeatureKey.parse):
        try:
            key = parse(text)
        except BadInput as error:
            assert str(error)
        else:
            assert parse(str(key)) == key


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "a/b",
        "a/1-x",
        "a/1-x/",
        "a/1-x/-1",
        "a/1-x/1.5",
        "a/1-x/٣",
        "a/x/1",
        "../1-x/1",
        "a/1-x/1/2",
        "a b/1-x/1",
    ],
)
def test_what_is_no_feature(text):
    with pytest.raises(BadInput):
        FeatureKey.parse(text)


def test_a_negative_index_is_refused():
    with pytest.raises(BadInput, match="0 or more"):
        FeatureKey("a", "1-x", -1)


def test_indices_sort_as_numbers():
    keys = [FeatureKey("a", "1-x", index) for index in (10, 2, 1)]
    assert [key.index for key in sorted(keys)] == [1, 2, 10]


def test_centres_of_a_histogram():
    assert Histogram(low=0.0, high=4.0, counts=(1, 2, 3, 4)).centres == (0.5, 1.5, 2.5, 3.5)
