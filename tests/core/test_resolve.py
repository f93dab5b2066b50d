"""What a person pastes: every form that is understood, and only messages for the rest."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.catalog.resolve import resolve
from core.errors import BadInput, NotFound, WorkbenchError
from core.records import FeatureKey, SourceKey

NAMES = ("gpt2-small/8-res-jb", "gpt2-small/0-neurons", "gpt2-small/8-res_x__32k", "gemma-2.2b/0-neurons")
KNOWN = [SourceKey.parse(name) for name in NAMES]
JB, HERE = KNOWN[0], FeatureKey("gpt2-small", "8-res-jb", 5)


@pytest.mark.parametrize(
    "text",
    [
        "gpt2-small/8-res-jb/123", "/gpt2-small/8-res-jb/123/", " gpt2-small / 8-res-jb/ 123 \n",
        "gpt2-small@8-res-jb:123", "gpt2-small/8-res-jb:123", "gpt2-small 8-res-jb 123",
        "8-res-jb:123", "8-res-jb/123", "8-res-jb 123", "8-res-jb/000123",
        "https://www.neuronpedia.org/gpt2-small/8-res-jb/123",
        "https://neuronpedia.org/gpt2-small/8-res-jb/123?embed=true&embedplots=false#top",
        "www.neuronpedia.org/gpt2-small/8-res-jb/123", "neuronpedia.org/gpt2-small/8-res-jb/123/",
        "https://www.neuronpedia.org/api/feature/gpt2-small/8-res-jb/123", "http://localhost:8501/gpt2-small/8-res-jb/123",
        "localhost:8501/gpt2-small/8-res-jb/123", "127.0.0.1:8501/f/gpt2-small/8-res-jb/123",
        "http://127.0.0.1:8501/f/gpt2-small/8-res-jb/123", "http://[::1]:8501/feature?id=gpt2-small/8-res-jb/123",
        "http://localhost:8501/feature?id=gpt2-small%2F8-res-jb%2F123&text=a/b?c",
        "localhost:8501/feature?id=gpt2-small/8-res-jb/123", "/feature?id=gpt2-small/8-res-jb/123",
        "feature?text=x&id=gpt2-small/8-res-jb/123",
        "http://h/embed/tester?id=gpt2-small/8-res-jb/123&text=hi",
        "http://h/embed/steer?id=gpt2-small/8-res-jb/123&strength=4",
    ],
)  # fmt: skip
def test_a_feature_in_every_form(text):
    assert resolve(text, KNOWN) == FeatureKey("gpt2-small", "8-res-jb", 123)


@pytest.mark.parametrize(
    "text",
    ["8-res-jb", "gpt2-small/8-res-jb", "https://www.neuronpedia.org/gpt2-small/8-res-jb", "gpt2-small@8-res-jb"],
)
def test_a_source(text):
    assert resolve(text, KNOWN) == JB


def test_an_index_beside_what_is_shown():
    assert resolve("7", KNOWN, JB) == resolve(" 7 ", KNOWN, HERE) == FeatureKey("gpt2-small", "8-res-jb", 7)
    with pytest.raises(BadInput, match="of which source"):
        resolve("7", KNOWN)


def test_a_model_with_a_dot_is_no_host():
    assert resolve("gemma-2.2b/0-neurons/5", KNOWN) == FeatureKey("gemma-2.2b", "0-neurons", 5)


def test_the_model_at_hand_decides_between_two():
    with pytest.raises(NotFound, match="Several models"):
        resolve("0-neurons:3", KNOWN)
    assert resolve("0-neurons:3", KNOWN, HERE) == FeatureKey("gpt2-small", "0-neurons", 3)
    assert resolve("8-res_x__32k:1", KNOWN, SourceKey("gemma-2.2b", "0-neurons")).model_id == "gpt2-small"


@pytest.mark.parametrize("text", ["gpt2-small/9-res-jb/1", "9-res-jb:1", "other/8-res-jb/1"])
def test_what_is_not_here_says_what_is(text):
    with pytest.raises(NotFound, match="8-res-jb"):
        resolve(text, KNOWN)
    with pytest.raises(NotFound, match="Nothing has been built"):
        resolve(text, [])


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "/", "//", "a/b/c/d/5", "http://[", "http://[x]:9/feature", "//\u2100/", "../../etc/passwd",
        "a/../5", "?", "?id=", "5/5", "-3",
    ],
)  # fmt: skip
def test_nonsense_is_a_message(text):
    with pytest.raises(WorkbenchError):
        resolve(text, KNOWN)


pieces = st.sampled_from([
    "gpt2-small", "8-res-jb", "0-neurons", "123", "9" * 20, "/", "//", "@", ":", "?", "id=", "#", "&", "%2F",
    "%", "%ff", "http:", "[", "]", "localhost:8501", "neuronpedia.org", "..", " ", "\n", "\x00", "٣-res", "²", "f",
    "feature", "api/feature/", "é", "\ud800", "9-res",
])  # fmt: skip


@settings(max_examples=600, deadline=None)
@given(
    text=st.one_of(st.text(max_size=40), st.lists(pieces, max_size=8).map("".join)),
    near=st.sampled_from([None, JB, HERE]),
)
def test_anything_pasted_is_a_key_or_a_message(text, near):
    try:
        found = resolve(text, KNOWN, near)
    except WorkbenchError as error:
        assert str(error)
        return
    source = found.source if isinstance(found, FeatureKey) else found
    assert source in KNOWN
    assert not isinstance(found, FeatureKey) or 0 <= found.index < 10**12


@pytest.mark.parametrize(
    "source_id", ["٣-res", "9" * 5000 + "-res", "8-", "-res", "8-res__", "8-res\n", "8-.res", "8-res/..", "..", ""]
)
def test_no_source_id(source_id):
    with pytest.raises(BadInput):
        SourceKey("m", source_id)


@pytest.mark.parametrize("model_id", ["..", ".", "", "a/b", "a\\b", "a\n", "é", "-a", "a b"])
def test_no_model_id(model_id):
    with pytest.raises(BadInput):
        SourceKey(model_id, "8-res")
