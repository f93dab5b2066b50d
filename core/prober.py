"""Training probes over a workbench: from pasted texts to a direction that is kept, tested, searched and steered with.

`core.workbench` is the door to it; the arithmetic is `core.techniques.probe`, what is kept `core.sources.probes`. Cost:
a pass over the texts to the hook, and the fits.
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from core.errors import BadConfig, BadInput, NotAvailable, NotFound
from core.records import BuildReport, FeatureKey, Records, SourceKey, Step, Tell
from core.sources import probes
from core.sources.probe_records import ProbeRecord, ProbeText
from core.techniques.probe import FEWEST, METHODS, MOST, POOLED, SAMPLES, Samples, train

if TYPE_CHECKING:
    from core.models.loading import LoadedModel
    from core.workbench import Progress, Workbench

FOLDER = ".directions"
"""Below a model's folder: the rows of sources made of directions."""


class Prober:
    """Trains probes. Safe to share between threads."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench

    def train(
        self, model_id: str, hook: str, positive: Sequence[str], negative: Sequence[str], *, method: str, pooled: str,
        label: str, seed: int, keep: bool, tell: Tell | None,
    ) -> ProbeRecord:  # fmt: skip
        """See `Workbench.train_probe`."""
        for name, value, known in (("method", method, METHODS), ("pooled", pooled, POOLED)):
            if value not in known:
                raise BadInput(f"{name} is one of {', '.join(known)}; there is no “{value}”.")
        if not 0 <= seed < 2**32:
            raise BadInput("seed is a whole number from 0 to 4,294,967,295.")
        texts, labels, dropped = self._texts(positive, negative)
        self._bench.model(model_id)
        samples, dtype = self._samples(model_id, hook, texts, labels, pooled, tell)

        def shuffled(done: int, of: int) -> None:
            if tell is not None:
                tell(Step(doing="reading", what="shuffled labels", done=done, of=of))

        found = train(samples, method, seed, tell=shuffled)  # type: ignore[arg-type]  # looked at above
        values = tuple(np.asarray(found.fit.direction, np.float32).tolist())
        name = label.strip() or f"probe: {method}, {int(labels.sum())} against {int((~labels).sum())} texts"
        vector = self._bench._steerer.made(model_id, hook, values, name, found.distance)
        before = None if label.strip() else self._bench._kept.vector(vector.key)
        if before is not None:
            vector = replace(vector, label=before.label)  # trained once more without a name: it has one
        record = ProbeRecord(
            key=vector.key, label=vector.label, hook=hook, method=method, pooled=pooled, seed=seed, auc=found.auc,
            control=found.control, p=found.p, shuffles=found.shuffles, folds=found.folds,
            threshold=found.fit.threshold, distance=found.distance,
            texts=tuple(
                ProbeText(text=text, positive=bool(side), score=float(score))
                for text, side, score in zip(texts, labels, found.held_out, strict=True)
            ),
            dropped=dropped, samples=len(samples.x), dtype=dtype, values=values,
            made=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        )  # fmt: skip
        if keep:
            self._bench._kept.keep_vector(vector)
            probes.keep(self._bench.settings.data, record)
        return record

    def kept(self, key: FeatureKey) -> ProbeRecord:
        """See `Workbench.probe`."""
        vector = self._bench._kept.vector(key)
        found = None if vector is None else probes.kept(self._bench.settings.data, key, vector.values)
        if vector is None or found is None:
            raise NotFound(f"There is no probe {key} here.")
        return replace(found, label=vector.label)

    def all(self, model_id: str | None) -> Records[ProbeRecord]:
        """See `Workbench.probes`."""
        vectors = self._bench._kept.vectors(model_id)
        found = (probes.kept(self._bench.settings.data, one.key, one.values) for one in vectors)
        return Records(one for one in found if one is not None)

    def source(
        self, keys: Sequence[FeatureKey], name: str, like: SourceKey | None, progress: Progress | None
    ) -> BuildReport:
        """See `Workbench.vectors_source`."""
        from safetensors.numpy import save_file

        from core.build.config import BuildConfig

        vectors = [self._bench.vector(key) for key in dict.fromkeys(keys)]
        places = sorted({(one.key.model_id, one.hook) for one in vectors})
        if len(places) != 1:
            said = ", ".join(f"{hook} of {model}" for model, hook in places)
            told = f"The directions are at several places ({said}): a source has one."
            raise BadInput(told if vectors else "Name at least one direction.")
        (model_id, hook), data = places[0], self._bench.settings.data
        key = SourceKey(model_id, f"{vectors[0].key.source.layer}-{name}")
        there = self._bench.sources(model_id=model_id)
        if any(one.key == key and one.kind != "directions" for one in there):
            raise BadInput(f"{key} is a source already: take another name.")
        if like is None:
            prompts = [one for one in there if "dashboards" in one.has and one.key != key]
            if not prompts:
                raise NotAvailable(f"No source of {model_id} has prompts here that directions could be run on.")
            like = max(prompts, key=lambda one: one.tokens).key
        of = self._bench.source(like)
        rows = np.array([one.values for one in vectors], np.float32)
        digest = hashlib.sha256(rows.tobytes()).hexdigest()[:12]
        path = data / model_id / FOLDER / f"{key.source_id}-{digest}.safetensors"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            save_file({"rows": rows}, path)
        except OSError as error:
            raise NotAvailable(f"{path.parent} cannot be written: {error.strerror or error}.") from error
        spec = self._bench._model_spec(model_id)
        model = {"id": model_id, "name": self._bench.model(model_id).name}
        model |= {n: v for n in ("path", "hub", "transformer_lens", "revision") if (v := getattr(spec, n))}
        config = BuildConfig.model_validate({
            "model": model, "release": {"name": "directions", "description": "; ".join(one.label for one in vectors)},
            "sources": [{"id": key.source_id, "directions": {"path": str(path), "hook": hook}}],
            "dataset": {"like": like.source_id}, "prompts": of.prompts, "context": of.context, "dtype": of.dtype,
            "map": "none", "folder": data,
        })  # fmt: skip
        return self._bench._built(config, progress)

    def _texts(
        self, positive: Sequence[str], negative: Sequence[str]
    ) -> tuple[list[str], np.ndarray[tuple[int], np.dtype[np.bool_]], int]:
        """(texts, whether each is positive, how many stood twice)."""
        sides = []
        for name, given in (("positive", positive), ("negative", negative)):
            some = list(dict.fromkeys(text.strip() for text in given if text.strip()))
            if not FEWEST <= len(some) <= MOST:
                raise BadInput(
                    f"There are {len(some)} different {name} texts: give {FEWEST} to {MOST}, so that some can be held "
                    "out."
                )
            sides.append(some)
        if both := set(sides[0]) & set(sides[1]):
            raise BadInput(f"A text stands on both sides: “{min(both)[:80]}”.")
        texts, most = [*sides[0], *sides[1]], self._bench.settings.max_characters
        for n, text in enumerate(texts):
            if len(text) > most:
                raise BadInput(f"Text {n + 1} is too long: {len(text):,} characters, and at most {most:,} are read.")
        count = sum(1 for text in (*positive, *negative) if text.strip())
        return texts, np.arange(len(texts)) < len(sides[0]), count - len(texts)

    def _samples(
        self, model_id: str, hook: str, texts: Sequence[str], labels: np.ndarray[tuple[int], np.dtype[np.bool_]],
        pooled: str, tell: Tell | None,
    ) -> tuple[Samples, str]:  # fmt: skip
        """What is told apart, and the dtype that the model ran in."""
        from core.models.capture import check_hooks

        model, rows = self._bench._tokens_here(model_id, texts, tell)
        try:
            check_hooks(model, [hook])
            found = self._bench._reader(model_id).activations(rows, hook)
        except BadConfig as error:
            raise BadInput(str(error)) from error
        parts, owners = [], []
        for n, (ids, x) in enumerate(zip(rows, found, strict=True)):
            own = _own(model, ids)
            if not own:
                raise BadInput(f"Text {n + 1} has special tokens only, and those are left out.")
            some = x[own].double().cpu().numpy()
            some = {"mean": some.mean(0, keepdims=True), "last": some[-1:], "each": some}[pooled]
            parts.append(some)
            owners += [n] * len(some)
        if len(owners) > SAMPLES:
            raise BadInput(
                f"The texts have {len(owners):,} tokens, and at most {SAMPLES:,} are told apart one by one: take the "
                "mean of each text."
            )
        return Samples(np.concatenate(parts), np.array(owners), labels), model.dtype


def _own(model: LoadedModel, ids: Sequence[int]) -> list[int]:
    """The places of a text's own tokens: BOS and the like are left out."""
    special = set(model.manifest.special)
    return [n for n, i in enumerate(ids) if i not in special]
