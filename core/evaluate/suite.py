"""Measures parts of a source's quality, of its baselines and controls, and keeps each as soon as it is there.

Knows which part needs what, and nothing of how a part is measured. What is kept on the same tokens, with the same
weights, is not measured again, so an interrupted run goes on with the part, and the subject, that is next. A part that
cannot be measured is told with its reason and stops no other. Cost: that of the parts; a model is held for the time,
and others may use it between two batches.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from core.catalog.catalog import Entry
from core.errors import BadInput, NotAvailable
from core.evaluate import keeping
from core.evaluate.absorption import absorption, letters, samples, uses
from core.evaluate.bootstrap import groups
from core.evaluate.files import write_figures
from core.evaluate.interp import interp
from core.evaluate.keeping import OWN
from core.evaluate.pooled import MOST, Kinds, Pooled, kinds, pooled
from core.evaluate.probing import probing
from core.evaluate.reconstruction import Progress, Tokens, catalogue, measure, moments
from core.evaluate.records import PARTS, Control, Evaluation, Part, Quality, Reconstruction, TokenSet
from core.evaluate.run import NO_RECONSTRUCTION, of
from core.evaluate.shape import activity, shape
from core.evaluate.subjects import Own, Subject, control, missing
from core.evaluate.texts import Texts, fewer, some
from core.evaluate.tpp import tpp
from core.models.capture import pad
from core.models.loading import LoadedModel
from core.sources.dictionary import Dictionary

if TYPE_CHECKING:
    from core.workbench import Workbench


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be measured."""

    parts: Sequence[str] = PARTS
    baselines: bool = True
    controls: Sequence[Control] = ()
    texts: Path | None = None
    tokens: int | None = None
    again: bool = False


class Suite:
    """One run over one source."""

    def __init__(
        self, bench: Workbench, entry: Entry, model: LoadedModel, source: Dictionary, asked: Asked, *,
        progress: Progress | None, turn: AbstractContextManager[None],
    ) -> None:  # fmt: skip
        for part in asked.parts:
            if part not in PARTS:
                raise BadInput(f"There is no part “{part}”. There are: {', '.join(PARTS)}.")
        if asked.tokens is not None and asked.tokens < 2:
            raise BadInput(f"--tokens {asked.tokens}: at least 2 are needed.")
        self._bench, self._entry, self._model, self._asked, self._turn = bench, entry, model, asked, turn
        self._key = entry.record.key
        self._texts = some(of(entry, bench._open.get(entry.folder), model, asked.texts), asked.tokens)
        self._special = model.manifest.special
        self._on = self._texts.token_set(self._special)
        self._tokens = tensors(self._texts, self._special)
        self._say: Progress = progress or (lambda what, done, of: None)
        self._what = ""
        self._own = Own(self._key, model, source, self._tokens, progress=self._tell, turn=turn)
        self._lacking: dict[str, str] = {}

    def run(self) -> Evaluation:
        """Measures what is not kept yet, and returns all of it.

        Raises:
            NotFound, NotAvailable, BadConfig, BadInput: a control is not there or cannot be one.
        """
        _ = self._controls  # made now, so that what is wrong with one is said before any work
        found: dict[str, Quality] = {}
        jobs: dict[Part, Callable[[], dict[str, Quality]]] = {
            "reconstruction": self._reconstruction, "features": self._features, "absorption": self._absorption,
            "probing": self._probing, "tpp": self._tpp, "interp": self._interp,
        }  # fmt: skip
        for part in asked_in_order(self._asked.parts):
            try:
                made = jobs[part]()
            except NotAvailable as error:
                self._lacking[part] = str(error)
                continue
            for name, quality in made.items():
                values: dict[str, Any] = {part: getattr(quality, part)}
                found[name] = replace(found[name], **values) if name in found else quality
        found.setdefault(OWN, self._own.subject.head)
        return keeping.evaluation(self._key, found, self._lacking)

    # -- who -----------------------------------------------------------------------------------------------------------

    @cached_property
    def _controls(self) -> list[Subject]:
        return [control(self._bench, self._own, one, nullcontext) for one in self._asked.controls]

    @cached_property
    def _baselines(self) -> list[Subject]:
        return self._own.baselines() if self._asked.baselines else []

    def _everybody(self, there: Collection[str]) -> list[Subject]:
        """All subjects, but for baselines of which every one is there: making them takes passes."""
        known = self._own.baseline_names if self._asked.baselines else ()
        some = [] if all(name in there for name in known) else self._baselines
        return [self._own.subject, *some, *self._controls]

    def _tell(self, what: str, done: float, of: float) -> None:
        self._say(f"{self._what}: {what}" if self._what else what, done, of)

    def _each(
        self, part: Part, on: TokenSet, work: Callable[[list[Subject]], Sequence[Any]],
        alone: Subject | None = None,
    ) -> dict[str, Quality]:  # fmt: skip
        """Of each subject, or of one alone, its part: kept, or what `work` makes of those on one model that lack it."""
        made = keeping.made_from(part, self._entry.manifest.build, on.sha256)
        folders = [root / self._key.model_id / self._key.source_id for root in self._bench.catalog.roots]
        there = {} if self._asked.again else keeping.kept(folders, made)
        why = {} if self._asked.again else keeping.refused(folders, made)
        subjects = self._everybody({*there, *why}) if alone is None else [alone]
        left = []
        for one in missing(subjects, there):
            weights, reason = why.get(one.head.name, (None, ""))
            if weights == one.head.weights_sha256:
                self._lack(part, one.head.name, reason)
            else:
                left.append(one)
        named = {s.head.name for s in subjects}
        if alone is None and self._asked.baselines:
            named |= set(self._own.baseline_names)
        found = {name: quality for name, quality in there.items() if name in named}
        for bridge in dict.fromkeys(id(s.bridge) for s in left):
            together = [s for s in left if id(s.bridge) == bridge]
            self._what = f"{part}, {', '.join(s.head.name for s in together)}"
            for subject, record in zip(together, work(together), strict=True):
                if isinstance(record, str):
                    self._lack(part, subject.head.name, record)
                    keeping.refuse(self._folder, made, subject.head, record)
                    continue
                values: dict[str, Any] = {part: record}
                quality = found[subject.head.name] = replace(subject.head, **values)
                keeping.keep(self._folder, made, quality)
        return found

    def _lack(self, part: Part, name: str, why: str) -> None:
        self._lacking[part if name == OWN else f"{part} of {name}"] = why

    @property
    def _folder(self) -> Path:
        return self._bench.settings.data / self._key.model_id / self._key.source_id

    # -- parts ---------------------------------------------------------------------------------------------------------

    def _reconstruction(self) -> dict[str, Quality]:
        if not self._own.subject.rebuilds:
            kind = self._own.source.kind
            raise NotAvailable(f"{self._key} is no autoencoder: {NO_RECONSTRUCTION[kind]}.")

        def work(subjects: list[Subject]) -> list[Reconstruction]:
            first = subjects[0]
            out = first.dictionary.hook_out
            mine = first.bridge is self._model.bridge
            own = self._own.moments if mine else moments(first.bridge, out, self._tokens, progress=self._tell)
            sums = measure(
                first.bridge, [s.dictionary for s in subjects], self._tokens, means=(own.mean, own.mean_with_bos),
                progress=self._tell, turn=first.turn,
            )  # fmt: skip
            if first.head.name == OWN:
                both = [catalogue(one, self._on.name) for one in sums[0]]
                write_figures(self._folder, both[0], self._own.source.sha256, {"with_bos": both[1]})
            return [
                Reconstruction(on=self._on, made=now(), figures=plain.figures(), with_bos=whole.figures())
                for plain, whole in sums
            ]

        return self._each("reconstruction", self._on, work)

    def _features(self) -> dict[str, Quality]:
        def work(subjects: list[Subject]) -> list[Any]:
            first = subjects[0]
            counts, total = activity(
                first.bridge, [s.dictionary for s in subjects], self._tokens, progress=self._tell, turn=first.turn
            )
            if not total:
                raise BadInput("There is nothing to evaluate: no token of the texts counts.")
            return [
                shape(count, total, s.dictionary.W_dec, s.encoder, self._on, now())
                for s, count in zip(subjects, counts, strict=True)
            ]

        return self._each("features", self._on, work)

    def _absorption(self) -> dict[str, Quality]:
        where = uses(self._texts.rows, self._model.vocabulary.pieces)
        names = [piece.decode("utf-8", "replace") for piece in self._model.vocabulary.pieces]

        def work(subjects: list[Subject]) -> list[Any]:
            first = subjects[0]
            hook = first.dictionary.hook_out
            found = samples(
                first.bridge, [s.dictionary for s in subjects], hook, self._tokens, where, progress=self._tell,
                turn=first.turn,
            )  # fmt: skip
            read = _or_why(letters, found.x, where)
            if isinstance(read, str):
                return [read] * len(subjects)
            return [
                _or_why(absorption, codes, found.x, read, _Rows(s), where, names, self._on, now())
                for s, codes in zip(subjects, found.codes, strict=True)
            ]

        return self._each("absorption", self._on, work)

    @cached_property
    def _kinds(self) -> tuple[Texts, TokenSet, Kinds]:
        texts = fewer(self._texts, MOST)
        return texts, texts.token_set(self._special), kinds(texts)

    @cached_property
    def _means(self) -> dict[str, tuple[Pooled, int]]:
        """Of each subject, where its means are; filled as they are asked for."""
        return {}

    def _pooled(self, subjects: list[Subject]) -> list[tuple[Pooled, int]]:
        texts, _, _ = self._kinds
        left = [s for s in subjects if s.head.name not in self._means]
        if left:
            hooks = sorted({h for s in left for h in (s.dictionary.hook, s.dictionary.hook_out)})
            found = pooled(
                left[0].bridge, [s.dictionary for s in left], hooks, tensors(texts, self._special),
                progress=self._tell, turn=left[0].turn,
            )  # fmt: skip
            self._means.update({s.head.name: (found, n) for n, s in enumerate(left)})
        return [self._means[s.head.name] for s in subjects]

    def _probing(self) -> dict[str, Quality]:
        _, on, told = self._kinds

        def work(subjects: list[Subject]) -> list[Any]:
            return [
                _or_why(probing, means.features[n], means.x[s.dictionary.hook], told, on, now())
                for s, (means, n) in zip(subjects, self._pooled(subjects), strict=True)
            ]

        return self._each("probing", on, work)

    def _tpp(self) -> dict[str, Quality]:
        _, on, told = self._kinds

        def work(subjects: list[Subject]) -> list[Any]:
            return [
                _or_why(tpp, means.features[n], means.x[s.dictionary.hook_out], _Rows(s), told, on, now())
                for s, (means, n) in zip(subjects, self._pooled(subjects), strict=True)
            ]

        return self._each("tpp", on, work)

    def _interp(self) -> dict[str, Quality]:
        found: dict[str, Quality] = {}
        for subject in [self._own.subject, *(c for c in self._controls if c.built)]:
            key = subject.built
            assert key is not None
            rules, scored = self._bench.words.rule_scores(key), self._bench.words.judged(key, "detection")
            mark = hashlib.sha256(json.dumps([rules, sorted(scored.items())]).encode()).hexdigest()
            tokens = next(iter(rules.get("test_tokens", [])), 0)
            on = TokenSet(name="held-out documents of the build", sha256=mark, tokens=tokens, prompts=0, documents=0)
            if subject.head.name == OWN:
                own = on
            found |= self._each(
                "interp", own, partial(_interp_of, rules, scored, on), subject
            )  # fmt: skip
        return found


def tensors(texts: Texts, special: Sequence[int]) -> Tokens:
    """Prompts as tensors, with the group of each."""
    lengths = torch.tensor([len(row) for row in texts.rows])
    return Tokens(pad(texts.rows), lengths, torch.from_numpy(groups(texts.documents)), special)


def asked_in_order(parts: Sequence[str]) -> list[Part]:
    """Those that are asked for, each once."""
    return [part for part in PARTS if part in parts]


def now() -> str:
    """ISO date and time, UTC."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _interp_of(rules: Any, scored: Any, on: TokenSet, subjects: list[Subject]) -> list[Any]:
    return [_or_why(interp, rules, scored, on, now()) for _ in subjects]


def _or_why(work: Callable[..., Any], *given: Any) -> Any:
    """What it makes, or why it cannot be made."""
    try:
        return work(*(one() if isinstance(one, _Rows) else one for one in given))
    except NotAvailable as error:
        return str(error)


@dataclass(frozen=True, slots=True)
class _Rows:
    """A subject's decoder rows in float64, when they are called for."""

    subject: Subject

    def __call__(self) -> Any:
        rows = self.subject.decoder
        if rows is None:
            raise NotAvailable("What a feature writes depends on the token: its decoder is scaled by the input's norm.")
        return rows.detach().double().cpu().numpy()
