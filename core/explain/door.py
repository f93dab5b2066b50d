"""Words on features, the one door: `Workbench.words`. Each job is a module of its own, loaded when first asked for.

Explanations come from several providers (annotations from the data, models' answers, people, imports); here they are
one list. Nothing here imports torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any

from core.explain.records import Annotation, Brief, Estimate, Explanation, MeaningRecord, Progress, Provider, Rank
from core.explain.redteam.records import SHARE, TEXTS, RedTeam
from core.records import FeatureKey, Records, SourceKey, Tell

if TYPE_CHECKING:
    from core.community.people import People
    from core.explain.annotation.provider import Annotations
    from core.explain.kept import ModelWords
    from core.explain.machine.client import Endpoint
    from core.explain.machine.door import Machines
    from core.explain.meaning.seeker import Seeker
    from core.explain.people import PeopleWords
    from core.explain.play.door import Playing
    from core.explain.redteam.hypothesis import Hypothesis
    from core.explain.scoring.later import Later
    from core.interchange.bulk.imported import ImportedWords
    from core.workbench import Workbench


class Words:
    """What is said of features, by whom, and how good it is."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench

    @cached_property
    def providers(self) -> tuple[Provider, ...]:
        """Where explanations come from, in the order in which they are shown where no score decides."""
        return (self._annotations, self._models, self._imports, self._people)

    def of(self, key: FeatureKey | str, *, people: People | None = None) -> Records[Explanation]:
        """Every explanation of a feature, with its votes; `people` is whoever asks, whose own votes are `mine`."""
        feature = key if isinstance(key, FeatureKey) else FeatureKey.parse(key)
        self._bench.source(feature.source)
        every = [found for one in self.providers for found in one.of(feature)]
        scored = self._models.kept(feature.source).scored(every)
        self.later.saw(scored)
        return Records(self._people.voted(feature, scored, people))

    def here(self, key: FeatureKey) -> Records[Explanation]:
        """Those that need nobody else to answer: from the data, models and imports, without votes."""
        every = [found for one in (self._annotations, self._models, self._imports) for found in one.of(key)]
        return Records(self._models.kept(key.source).scored(every))

    def twins(self, key: FeatureKey | str, text: str, *, beside: str = "") -> Records[Explanation]:
        """Explanations of a feature that say the same as a text in nearly the same words (`core.community.alike`).

        `beside` is the id of one that does not count, such as the one that is being edited.
        """
        from core.community import alike

        every = [one for one in self.of(key) if one.id != beside]
        return Records(every[at] for at in alike.twins(text, [one.text for one in every]))

    def annotation(self, key: FeatureKey | str) -> Annotation:
        """What the data say of a feature; see `core.explain.annotation`.

        Raises:
            NotFound: there is no such feature.
            NotAvailable: its source was not annotated.
        """
        return self._annotations.annotation(key if isinstance(key, FeatureKey) else FeatureKey.parse(key))

    def rule_scores(self, key: SourceKey | str) -> dict[str, Sequence[Any]]:
        """Every annotation's `score`, `control`, `kind` and counts of held-out tokens; empty without any."""
        return self._annotations.scores(key if isinstance(key, SourceKey) else SourceKey.parse(key))

    def judged(self, key: SourceKey | str, scorer: str) -> dict[int, tuple[float, str]]:
        """(value, judge) of every feature of which an explanation was scored so here, the newest."""
        return self._models.kept(key if isinstance(key, SourceKey) else SourceKey.parse(key)).newest(scorer)

    def annotate(self, key: SourceKey | str, *, tell: Callable[[float, float], None] | None = None) -> None:
        """Annotates a source from its activation store; a build does that by itself. `tell` gets (done, of) features.

        Raises:
            NotFound: there is no such source.
            NotAvailable: it was kept without its store, or nothing can be written.
        """
        self._annotations.annotate(key if isinstance(key, SourceKey) else SourceKey.parse(key), tell)

    @cached_property
    def _annotations(self) -> Annotations:
        from core.explain.annotation.provider import Annotations

        return Annotations(self._bench)

    # -- models --------------------------------------------------------------------------------------------------------

    @cached_property
    def machines(self) -> Machines:
        """Which endpoint for whom, features by number, explanations by id, taking away."""
        from core.explain.machine.door import Machines

        return Machines(self._bench, self, self._models)

    def estimate(self, features: Sequence[FeatureKey], method: str, endpoint: Endpoint) -> Estimate:
        """What explaining features would take; asks nobody. Raises `BadInput` for an unknown method."""
        return self.machines.estimate(features, method, endpoint)

    def explain(
        self, features: Sequence[FeatureKey], method: str, endpoint: Endpoint, *, budget: float | None = None,
        concurrency: int = 4, author: str = "", seconds: float | None = None,
    ) -> Iterator[Progress]:  # fmt: skip
        """Has a language model explain features; a step for each. Answers are kept at once, and none is paid twice.

        `budget` is in US dollars, `seconds` what an answer may take. Closing the iterator stops the run.

        Raises:
            BadInput: there is no such method, or a number is out of bounds.
            NotAvailable: the endpoint, its key or its model will not do, or nothing can be written.
            Busy: the endpoint fails again and again.
        """
        return self.machines.explain(
            features, method, endpoint, budget=budget, concurrency=concurrency, author=author, seconds=seconds
        )

    def estimate_scores(
        self, explanations: Sequence[Explanation], scorer: str, endpoint: Endpoint | None = None
    ) -> Estimate:
        """What scoring explanations would take; asks nobody."""
        return self.machines.estimate_scores(explanations, scorer, endpoint)

    def score(
        self, explanations: Sequence[Explanation], scorer: str, endpoint: Endpoint | None = None, *,
        budget: float | None = None, concurrency: int = 4, control: bool = True, seconds: float | None = None,
    ) -> Iterator[Progress]:  # fmt: skip
        """Scores explanations, whoever wrote them, on examples that no explainer saw; a step for each.

        `endpoint` judges (detection, fuzzing, simulation); embedding and rule need none. `control`: beside each what
        the explanation of another, random feature gets. Raises what `explain` does.
        """
        return self.machines.score(
            explanations, scorer, endpoint, budget=budget, concurrency=concurrency, control=control, seconds=seconds
        )

    @cached_property
    def later(self) -> Later:
        """Scores of what people wrote, made in the background of a server."""
        from core.explain.scoring.later import Later

        return Later(self._bench, self)

    def imported(self, key: SourceKey | str) -> Sequence[dict[str, Any]]:
        """Explanations that came with an import, as rows of its file."""
        return self._imports.rows(key if isinstance(key, SourceKey) else SourceKey.parse(key))

    @cached_property
    def _imports(self) -> ImportedWords:
        from core.interchange.bulk.imported import ImportedWords

        return ImportedWords(self._bench)

    @cached_property
    def _models(self) -> ModelWords:
        from core.explain.kept import ModelWords

        return ModelWords(self._bench)

    def redteam(
        self, key: FeatureKey | str, hypothesis: str | Hypothesis, *, share: float = SHARE, texts: int = TEXTS,
        seed: int = 0, makers: Sequence[str] = (), endpoint: Endpoint | None = None, ask: bool = True,
        budget: float | None = None, seconds: float | None = None, tell: Tell | None = None,
    ) -> RedTeam:  # fmt: skip
        """Tests a hypothesis about a feature with texts made to break it; see `core.explain.redteam.run`.

        A text fires where the feature's largest value is above `share` of its maximum. `makers` are some of
        `templates`, `letters`, `neighbours` and `corpus`, all unless said; a model behind `endpoint` writes texts too,
        within `budget` dollars, or with `ask=False` only what it wrote before is taken. Same seed, same texts.

        Raises:
            BadInput: the hypothesis cannot be read, or a number is out of bounds.
            NotFound: there is no such feature.
            NotAvailable: its weights are not here, it is dead, or the endpoint will not do.
            Busy: too many wait for the model, or the endpoint fails again and again.
        """
        from core.explain.redteam.run import redteam

        feature = key if isinstance(key, FeatureKey) else FeatureKey.parse(key)
        return redteam(
            self._bench, feature, hypothesis, share=share, texts=texts, seed=seed, makers=makers,
            embedder=lambda: self._seeker.embedder, kept=lambda: self._models.kept(feature.source), endpoint=endpoint,
            ask=ask, budget=budget, seconds=seconds, tell=tell,
        )  # fmt: skip

    def checked(self, key: FeatureKey | str, hypothesis: str) -> Hypothesis:
        """A hypothesis as it is read, of a feature that can be tested; raises what `redteam` does of the two."""
        from core.explain.redteam.run import checked

        return checked(self._bench, key if isinstance(key, FeatureKey) else FeatureKey.parse(key), hypothesis)

    def estimate_redteam(self, key: FeatureKey | str, hypothesis: str | Hypothesis, endpoint: Endpoint) -> Estimate:
        """What having a model write texts for a hypothesis would take; asks nobody."""
        from core.explain.redteam.hypothesis import parse
        from core.explain.redteam.writer import estimate

        feature = key if isinstance(key, FeatureKey) else FeatureKey.parse(key)
        said = parse(hypothesis) if isinstance(hypothesis, str) else hypothesis
        return estimate(said, endpoint, self._models.kept(feature.source))

    @cached_property
    def play(self) -> Playing:
        """Rounds of play, and what they teach."""
        from core.explain.play.door import Playing

        return Playing(self._bench)

    @cached_property
    def _people(self) -> PeopleWords:
        from core.explain.people import PeopleWords

        return PeopleWords(self._bench)

    def briefs(self, key: SourceKey | str) -> Sequence[Brief]:
        """Every explanation of a source, in brief."""
        source = key if isinstance(key, SourceKey) else SourceKey.parse(key)
        self._bench.source(source)
        return self._models.standing(source, [brief for one in self.providers for brief in one.briefs(source)])

    def briefs_here(self, key: SourceKey) -> Sequence[Brief]:
        """Those that need nobody else to answer: from the data, models and imports."""
        return [brief for one in (self._annotations, self._models, self._imports) for brief in one.briefs(key)]

    def mark(self, key: SourceKey) -> str:
        """Another text as soon as the explanations of a source changed."""
        return "/".join(one.mark(key) for one in self.providers)

    def find(
        self,
        query: str,
        *,
        model_id: str | None = None,
        sources: Sequence[SourceKey | str] = (),
        set_name: str | None = None,
        release: str | None = None,
        rank: Rank = "both",
        origins: Sequence[str] = (),
        methods: Sequence[str] = (),
        models: Sequence[str] = (),
        authors: Sequence[str] = (),
        densest: float | None = None,
        sparsest: float = 0.0,
        dead: bool = False,
        trusted: float | None = None,
        top: int = 20,
        offset: int = 0,
        patience: float | None = None,
        tell: Tell | None = None,
    ) -> MeaningRecord:
        """The explanations that answer a query, by meaning and by words, the best first; see `core.explain.meaning`.

        Over all sources that are here, or those of a model, a set, a release, or named. `rank` says what orders them;
        `densest`, `sparsest` and `dead` bound the feature's density, `trusted` the explanation's own score, and the
        others say who wrote it and how. At first need, and when explanations change, texts are embedded: `tell` gets
        each step, and `patience` (that of the settings unless said) bounds the wait.

        Raises:
            BadInput: the query is too short or too long, or a number is out of bounds.
            NotFound: there is no such model, source, set or release.
            NotAvailable: the embedder cannot be had; with `rank="words"` none is needed.
            Busy: texts are still being embedded, or the embedder does not answer now.
        """
        from core.explain.meaning.asking import check
        from core.explain.meaning.ranking import Wanted

        asked = Wanted(
            query=query, rank=rank, origins=tuple(origins), methods=tuple(methods), models=tuple(models),
            authors=tuple(authors), densest=densest, sparsest=sparsest, dead=dead, trusted=trusted, top=top,
            offset=offset,
        )  # fmt: skip
        check(asked, self._bench.settings.max_results)
        keys = self._scope(model_id, sources, set_name, release)
        wait = self._bench.settings.patience if patience is None else patience
        return self._seeker.find(keys, asked, patience=wait, tell=tell)

    def embed(
        self, sources: Sequence[SourceKey | str] = (), *, compact: bool = False, tell: Tell | None = None
    ) -> dict[SourceKey, int]:
        """Makes vectors of all explanations that have none, of every source or of some; of each how many it has.

        Nobody has to call this: `find` does it at first need. `compact` writes bytes, a quarter of the size. Raises
        what that does of the embedder.
        """
        keys = self._scope(None, sources, None, None)
        ready = self._seeker.ready(keys, patience=float("inf"), compact=compact, tell=tell)
        return {shelf.key: len(shelf) for shelf in ready}

    def warm(self) -> None:
        """Begins to load what a search by meaning needs, so that the first does not wait for all of it."""
        self._seeker.warm()

    def share_vectors(self, *, tell: Tell | None = None) -> tuple[int, int]:
        """Gives people's explanations vectors in the Supabase project; see `core.explain.meaning.shared`."""
        from core.explain.meaning.shared import push

        return push(self._bench.settings, self._seeker.embedder, tell)

    @cached_property
    def _seeker(self) -> Seeker:
        from core.explain.meaning.seeker import Seeker

        return Seeker(self._bench, lambda: self.providers)

    def _scope(
        self, model_id: str | None, sources: Sequence[SourceKey | str], set_name: str | None, release: str | None
    ) -> list[SourceKey]:
        from core.explain.meaning.asking import scope

        return scope(self._bench, model_id, sources, set_name, release)

    def export(
        self, sources: Sequence[SourceKey | str], *, offset: int = 0, limit: int | None = None
    ) -> Iterator[Explanation]:
        """Every explanation of some sources with its scores, by source, feature and id, one at a time; or a part."""
        keys = self._scope(None, sources, None, None)
        shelves = self._seeker.ready(keys, meaning=False, patience=float("inf"))
        every = ((shelf.key, brief) for shelf in shelves for brief in shelf.briefs)
        part = islice(every, offset, None if limit is None else offset + limit)
        for (key, index), its in groupby(part, key=lambda one: (one[0], one[1].index)):
            found = {one.id: one for one in self.of(FeatureKey(key.model_id, key.source_id, index))}
            yield from (found[brief.id] for _, brief in its if brief.id in found)
