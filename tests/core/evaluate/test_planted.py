"""What is planted is found: a feature of a kind of text, an absorbed letter, a feature that one probe hangs on."""

from __future__ import annotations

import numpy as np
import pytest

from core.errors import NotAvailable
from core.evaluate.absorption import Uses, absorption, letters, uses
from core.evaluate.accuracy import Judge
from core.evaluate.interp import interp
from core.evaluate.logistic import f1, fit
from core.evaluate.pooled import Kinds, kinds
from core.evaluate.probing import probing, strongest
from core.evaluate.records import TokenSet
from core.evaluate.texts import Texts, fewer, some
from core.evaluate.tpp import tpp

ON = TokenSet(name="planted", sha256="", tokens=0, prompts=0, documents=0)
PROMPTS, WIDTH, D = 240, 40, 24


def texts() -> Texts:
    """Three kinds of text, two prompts a document."""
    parts = [("novels", "python", "speeches")[n % 3] for n in range(PROMPTS)]
    rows = [[0, *range(1, 6)] for _ in range(PROMPTS)]
    return Texts(rows, np.arange(PROMPTS) // 6 * 3 + np.arange(PROMPTS) % 3, parts, "planted")


def planted(told: Kinds) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(features, x, decoder): feature 7 is of novels, 8 of python, 9 of speeches; the others are noise."""
    draw = np.random.default_rng(0)
    decoder = draw.normal(size=(WIDTH, D))
    decoder /= np.linalg.norm(decoder, axis=1, keepdims=True)
    features = draw.random((PROMPTS, WIDTH)) * 0.1
    features[:, 7:10] += 2.0 * told.labels
    return features, features @ decoder, decoder


def test_documents_are_held_out_whole() -> None:
    told = kinds(texts())
    assert told.names == ("novels", "python", "speeches")
    for document in set(told.documents.tolist()):
        assert len(set(told.held_out[told.documents == document].tolist())) == 1
    assert 0.2 < told.held_out.mean() < 0.4
    few = Texts([[0, 1]] * 5, np.arange(5), ["a", "a", "a", "a", "b"], "few")
    assert kinds(few).names == () and kinds(few).rare == ("a", "b")


def test_a_planted_feature_is_found_with_one() -> None:
    told = kinds(texts())
    features, x, _ = planted(told)
    found = probing(features, x, told, ON, "")
    assert [task.features[0] for task in found.tasks] == [7, 8, 9]
    assert found.k1.value == found.full.value == 1
    assert 0.3 < found.shuffled.value < 0.7
    noise = probing(features[:, 10:], x, told, ON, "")
    assert noise.k1.value < 0.75, "other features do not tell the kinds"


def test_perturbing_one_kinds_features_hurts_its_own_probe() -> None:
    told = kinds(texts())
    features, x, decoder = planted(told)
    found = tpp(features, x, decoder, told, ON, "")
    assert found.accuracy == (1.0, 1.0, 1.0)
    first = found.effects[0]
    assert first.k == 2 and first.intended > 0.4 and first.score.value > 0.2
    for i, row in enumerate(first.drops):
        assert row[i] == max(row)
    idle = tpp(np.zeros_like(features), x, decoder, told, ON, "")
    assert idle.score.value == 0, "features that are silent take nothing away"


def test_one_kind_of_text_cannot_be_told_apart() -> None:
    one = texts()
    alone = Texts(one.rows, one.documents, ["novels"] * PROMPTS, "one")
    features, x, _ = planted(kinds(one))
    with pytest.raises(NotAvailable, match="Texts of two kinds"):
        probing(features, x, kinds(alone), ON, "")


# -- absorption --------------------------------------------------------------------------------------------------------


def words(count: int = 3, per: int = 30, each: int = 4) -> tuple[Uses, list[str]]:
    """Made-up words of some first letters, each used some times; two of five held out."""
    names = [f" {chr(97 + letter)}{word:02d}" for letter in range(count) for word in range(per)]
    word = np.repeat(np.arange(len(names)), each)
    return Uses(word, word // per, word % 5 < 2, {}), names


def absorbed(share: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, Uses, list[str], int]:
    """A feature a letter; of letter a, `share` of the held-out words have a feature of their own that took it over."""
    where, names = words()
    width = 3 + len(names)
    decoder = np.zeros((width, 3 + len(names)))
    decoder[:3, :3] = np.eye(3)
    decoder[3:, 3:] = np.eye(len(names))
    codes = np.zeros((len(where.word), width), np.float32)
    codes[np.arange(len(codes)), where.letter] = 1.0
    codes[np.arange(len(codes)), 3 + where.word] = 0.5
    own = [w for w in range(30) if w % 5 < 2]
    took = own[: round(share * len(own))]
    for word in took:
        decoder[3 + word, 0] = 2.0  # its row has the letter's direction in it, at 0.5 as strong as the letter's feature
        codes[where.word == word, 0] = 0.0
    return codes, codes.astype(np.float64) @ decoder, decoder, where, names, len(took) * 4


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_planted_absorption_is_recovered(share: float) -> None:
    codes, x, decoder, where, names, count = absorbed(share)
    found = absorption(codes, x, letters(x, where), decoder, where, names, ON, "")
    a, b, c = found.letters
    assert (a.letter, a.features, a.absorbed, a.words) == ("a", (0,), count, 48)
    assert a.rate == share and b.rate == c.rate == 0
    assert found.rate.value == pytest.approx(share / 3)
    assert a.fraction == pytest.approx(share, abs=0.05)
    if share:
        assert a.absorbers[0] == (" a00", 3)


def test_a_letter_that_two_features_share_is_split() -> None:
    codes, x, decoder, where, names, _ = absorbed(0.0)
    split = np.concatenate([codes, np.zeros_like(codes[:, :1])], 1)
    half = (where.letter == 0) & (where.word % 2 == 0)
    split[half, -1], split[half, 0] = 1.0, 0.0
    found = absorption(
        split, x, letters(x, where), np.concatenate([decoder, decoder[:1]]), where, names, ON, ""
    )
    assert set(found.letters[0].features) == {0, len(split[0]) - 1}
    assert found.letters[0].f1 < 0.9 and found.letters[0].absorbed == 0
    assert [len(one.features) for one in found.letters[1:]] == [1, 1]


def test_letters_that_nothing_tells_are_left_out() -> None:
    _, x, _, where, _, _ = absorbed(0.0)
    noise = np.random.default_rng(0).normal(size=x.shape)
    with pytest.raises(NotAvailable, match="No letter can be read"):
        letters(noise, where)


def test_words_are_tokens_of_a_space_and_letters() -> None:
    pieces = [b"<bos>", b" Apple", b"apple", b" at", b" bee", " é".encode(), b" c3po", b" ape\n"]
    where = uses([[0, 1, 2, 3, 4, 5, 6, 7], [0, 4, 1], [1] * 9], pieces)
    assert where.word.tolist() == [1, 4, 4, 1] + [1] * 4
    assert where.letter.tolist() == [0, 1, 1, 0] + [0] * 4
    assert where.at == {0: [1, 4], 1: [1, 2], 2: [0, 1, 2, 3]}


# -- small parts -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("few", [512, 0], ids=["newton", "descent"])
def test_logistic_regression_is_scikit_learns(few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from sklearn.linear_model import LogisticRegression

    monkeypatch.setattr("core.evaluate.logistic.FEW", few)
    draw = np.random.default_rng(0)
    x = draw.normal(size=(300, 5)) * [1, 2, 3, 4, 5]
    y = x @ [1, -0.5, 0.2, 0, 0] + draw.normal(size=300) > 0.5
    scaled = (x - x.mean(0)) / x.std(0)
    theirs = LogisticRegression(C=1.0, class_weight="balanced", tol=1e-8, max_iter=1000).fit(scaled, y)
    ours = fit(x, y[:, None])
    assert ours.weights[:, 0] * x.std(0) == pytest.approx(theirs.coef_[0], rel=1e-3, abs=1e-4)
    assert ours.logits(x)[:, 0] == pytest.approx(theirs.decision_function(scaled), rel=1e-3, abs=1e-3)


def test_f1_and_balanced_accuracy() -> None:
    said, truth = np.array([1, 1, 0, 0, 0], bool), np.array([1, 0, 1, 0, 0], bool)
    assert f1(said, truth) == 0.5
    assert f1(~said & said, ~truth & truth) == 0
    assert Judge(np.arange(5))(said, truth).value == pytest.approx((1 / 2 + 2 / 3) / 2)


def test_the_strongest_features_are_those_whose_means_differ() -> None:
    x = np.array([[0.0, 5.0, 1.0], [0.0, 5.0, 2.0], [9.0, 5.0, 0.0]])
    assert strongest(x, np.array([False, False, True]), 2).tolist() == [0, 2]


def test_token_sets_name_their_tokens() -> None:
    one = texts()
    on = one.token_set({0})
    assert (on.tokens, on.prompts, on.documents) == (PROMPTS * 5, PROMPTS, 120)
    assert one.token_set({0}) == on
    other = Texts([*one.rows[:-1], [0, 1, 2, 3, 4, 6]], one.documents, one.parts, one.name)
    moved = Texts(one.rows, one.documents + (np.arange(PROMPTS) > 5), one.parts, one.name)
    assert len({on.sha256, other.token_set({0}).sha256, moved.token_set({0}).sha256}) == 3
    less = some(one, 100)
    assert sum(map(len, less.rows)) == 100
    assert set(less.kinds()) == {"novels", "python", "speeches"}, "every kind keeps its share"
    assert len(fewer(one, 10).rows) == 10 and fewer(one, 1000) is one


def test_annotations_put_together() -> None:
    nan = float("nan")
    rules = {
        "score": [0.9, 0.8, nan, 0.6], "control": [0.5, 0.5, 0.4, nan], "train_active": [90, 90, 4, 0],
        "test_active": [100, 100, 0, 0], "kind": ["phrase", "phrase", "unclear", "too rare"],
        "found": [85, 80, 0, 0], "false": [50, 200, 0, 0], "test_tokens": [1000] * 4,
    }  # fmt: skip
    found = interp(rules, {1: (0.7, "judge"), 2: (0.9, "judge")}, ON, "")
    assert found.features == 3, "the fourth never fires"
    assert found.annotation.value == 0.8
    assert found.annotation_control.value == 0.5
    assert found.annotation_good.value == pytest.approx(2 / 3)
    assert [(one.name, one.features) for one in found.classes] == [("phrase", 2), ("unclear", 1)]
    assert found.detection.value == 0.8 and found.detection_judges == ("judge",)
    with pytest.raises(NotAvailable, match="no annotations"):
        interp({}, {}, ON, "")
