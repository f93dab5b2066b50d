"""The jobs with language models: which endpoint, for whom; estimates, explaining, scoring, and taking away.

`Words` hands these on. Whose key it is decides what may be asked: one's own goes anywhere on one's own machine, and on
a server that others reach to the endpoints of `configs/prices.yaml` alone, so that nobody has it call addresses of its
network. The server's own key is for who works at its machine, and for others if `llm_for_all` says so, within a quota.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property, lru_cache
from itertools import chain
from typing import TYPE_CHECKING

from core.errors import BadInput, Busy, NotAllowed, NotFound, NotSignedIn, WorkbenchError
from core.explain.kept import PREFIX, Kept, ModelWords
from core.explain.machine.client import OPENAI, Endpoint
from core.explain.machine.prices import Price, table
from core.explain.records import Brief, Estimate, Explanation, Progress, Scorer
from core.records import FeatureKey, SourceKey

if TYPE_CHECKING:
    from core.community.people import People
    from core.explain.door import Words
    from core.explain.meaning.embedder import Embedder
    from core.explain.scoring.score import Means
    from core.workbench import Workbench

QUOTA = "model"
"""What uses of the server's own model are called among those of a day."""


class Machines:
    """Explanations and scores by models. Safe to share between threads."""

    def __init__(self, bench: Workbench, words: Words, provider: ModelWords) -> None:
        self._bench, self._words, self._provider = bench, words, provider
        self._turns: dict[str, tuple[threading.Lock, int]] = {}
        self._lock = threading.Lock()  # guards _turns

    # -- what there is -------------------------------------------------------------------------------------------------

    @property
    def methods(self) -> dict[str, str]:
        """How a model may be asked: each method with what it does."""
        from core.explain.machine.methods import METHODS

        return {name: one.ABOUT for name, one in METHODS.items()}

    @property
    def scorers(self) -> dict[str, str]:
        """Each scorer with what it does."""
        from core.explain.scoring import NAMES

        return dict(NAMES)

    @property
    def providers(self) -> dict[str, str]:
        """Endpoints that people know by name, each with its address."""
        return {one.name: one.url for one in table().providers}

    @staticmethod
    def models(url: str) -> tuple[str, ...]:
        """Models of an endpoint that people know by name, as it calls them; some, the first a cheap one."""
        return next((one.models for one in table().providers if one.url.rstrip("/") == url.rstrip("/")), ())

    @staticmethod
    def named(model: str, url: str, key: str = "") -> Endpoint:
        """An endpoint as somebody named it, to estimate with; `visitor` says whether they may ask it."""
        return Endpoint(model, url, key)

    # -- who may ask what ------------------------------------------------------------------------------------------

    @cached_property
    def alone(self) -> bool:
        """Whether only this machine reaches the workbench, and it is one person's."""
        host = self._bench.settings.host
        return not self._bench.community.shared and (host in ("localhost", "::1") or host.startswith("127."))

    def endpoint(self, model: str = "", url: str = "", key: str = "", price: Price | None = None) -> Endpoint:
        """What is named, and of the settings what is not; a key of the settings goes to their address alone.

        Raises `BadInput` where no model is named, or a hosted one without a key.
        """
        settings = self._bench.settings
        address = (url or settings.llm_url).strip()
        model = model.strip() or (settings.llm if address == settings.llm_url else "")
        if not model:
            raise BadInput("Name a language model (--model, or FEATURESCOPE_LLM), for example gpt-4.1-mini.")
        if not key and address == settings.llm_url:
            key = settings.llm_key.get_secret_value()
        if not key and address.rstrip("/") == OPENAI:
            key = os.environ.get("OPENAI_API_KEY", "")
        hosted = {one.url.rstrip("/"): one.name for one in table().providers}.get(address.rstrip("/"))
        if hosted and not key.strip():
            raise BadInput(f"{hosted} answers nobody without a key: give yours, or the address of another endpoint.")
        return Endpoint(model, address, key.strip(), price)

    def visitor(self, people: People | None, model: str = "", url: str = "", key: str = "") -> Endpoint:
        """The endpoint for somebody at a page or the API; counts it where the server's own key is used.

        Raises:
            BadInput: a key without a model, or an address that visitors may not have the server call.
            NotSignedIn, NotAllowed: the server's key is not for whoever asks, or they had their share for today.
        """
        settings = self._bench.settings
        if self.alone:
            return self.endpoint(model, url, key)
        known = {one.url.rstrip("/") for one in table().providers} | {settings.llm_url.rstrip("/")}
        address = (url or settings.llm_url).strip()
        if address.rstrip("/") not in known:
            raise BadInput(f"This server asks only these: {', '.join(one.url for one in table().providers)}.")
        if key.strip():
            if not model.strip():
                raise BadInput("Name a language model, as the endpoint calls it, for example gpt-4.1-mini.")
            return Endpoint(model.strip(), address, key.strip())
        if model.strip() not in ("", settings.llm) or address != settings.llm_url:
            raise NotAllowed(f"The server has no key for {model.strip() or address}: give one of your own.")
        if not settings.llm_for_all or not settings.llm:
            raise NotAllowed("This server asks no language model at its own cost: give a key of your own.")
        if people is None or people.me is None:
            raise NotSignedIn("Sign in to ask with the server's key, or give one of your own.")
        self._count(people)
        return Endpoint(settings.llm, settings.llm_url, settings.llm_key.get_secret_value())

    def offers(self) -> bool:
        """Whether the server has a model of its own that whoever is allowed to may ask."""
        settings = self._bench.settings
        return bool(settings.llm) and (self.alone or settings.llm_for_all)

    def left(self, people: People | None) -> int | None:
        """How often the server's model may still be asked today by somebody; None where nobody counts."""
        if self.alone:
            return None
        most = self._bench.settings.llm_a_day
        return most if people is None or people.me is None else int(people.keys.quota(QUOTA, most).left)

    def _count(self, people: People) -> None:
        """Counts a use in the store of people's things, so that every process and server of theirs knows it."""
        most = self._bench.settings.llm_a_day
        if people.keys.quota(QUOTA, most).left < 1:
            raise NotAllowed(
                f"You had {most} explanations and scores of this server's model today. Give a key of your own, or "
                "come back after midnight UTC."
            )
        people.keys.use(QUOTA, 1, most)

    # -- explaining ------------------------------------------------------------------------------------------------

    def features(self, source: SourceKey, which: str) -> tuple[FeatureKey, ...]:
        """Features by number: `all` that are not dead, `0-99`, `3,7,10-12`; dead ones are left out."""
        living = self._bench.living(source)
        if which.strip().lower() == "all":
            return living
        width, wanted = self._bench.source(source).width, set[int]()
        for part in which.split(","):
            match = re.fullmatch(r"\s*(\d{1,12})\s*(?:-\s*(\d{1,12})\s*)?", part)
            if match is None:
                raise BadInput(f"“{part.strip()[:40]}” names no features: write all, 0-99 or 3,7,10-12.")
            first, last = int(match[1]), int(match[2] or match[1])
            if last >= width or first > last:
                raise NotFound(f"{source} has features 0 to {width - 1}; there is no {part.strip()}.")
            wanted.update(range(first, last + 1))
        return tuple(key for key in living if key.index in wanted)

    def estimate(self, features: Sequence[FeatureKey], method: str, endpoint: Endpoint) -> Estimate:
        """What explaining them would take; asks nobody."""
        from core.explain.machine import run
        from core.explain.machine.methods import method as named

        return run.estimate(self._bench, features, named(method), endpoint, self._of_feature())

    def explain(
        self, features: Sequence[FeatureKey], method: str, endpoint: Endpoint, *, budget: float | None,
        concurrency: int, author: str, seconds: float | None,
    ) -> Iterator[Progress]:  # fmt: skip
        """See `Words.explain`."""
        from core.explain.machine import run
        from core.explain.machine.asking import Asker
        from core.explain.machine.methods import method as named

        way = named(method)
        asker = Asker(endpoint, budget=_budget(budget), seconds=seconds)
        return run.explain(
            self._bench, features, way, asker, self._of_feature(), concurrency=concurrency, author=author
        )

    # -- scoring ---------------------------------------------------------------------------------------------------

    def estimate_scores(self, explanations: Sequence[Explanation], scorer: str, endpoint: Endpoint | None) -> Estimate:
        """What scoring them would take; asks nobody."""
        from core.explain.scoring import score

        name = score.check(scorer)
        judge = (
            endpoint.model if endpoint and name in score.JUDGED else self._embedder.name if name == "embedding" else ""
        )
        there = sum(self._has(one, score.identity(one, name, judge)) for one in explanations)
        return score.estimate(explanations, name, endpoint, there)

    def score(
        self, explanations: Sequence[Explanation], scorer: str, endpoint: Endpoint | None, *, budget: float | None,
        concurrency: int, control: bool, seconds: float | None,
    ) -> Iterator[Progress]:  # fmt: skip
        """See `Words.score`."""
        from core.explain.machine.asking import OverBudget
        from core.explain.machine.client import NoAnswer, Stopped
        from core.explain.machine.run import together
        from core.explain.scoring import score as scoring

        name = scoring.check(scorer)
        means = self.means(name, endpoint, budget=budget, seconds=seconds)
        asker, judge = means.asker, means.judge(name)
        todo = [one for one in explanations if not self._has(one, scoring.identity(one, name, judge))]
        there = len(explanations) - len(todo)
        kept = {one.feature.source: self.kept(one.feature.source) for one in todo}
        briefs = lru_cache(maxsize=None)(self._words.briefs)
        before = sum(one.hanging() for one in kept.values()) if asker is not None else 0

        def work(one: Explanation) -> Explanation | str:
            other = scoring.control(one, briefs(one.feature.source)) if control else None
            try:
                return self.scored(one, name, means, other)
            except WorkbenchError as error:
                if isinstance(error, OverBudget | Stopped | Busy | NoAnswer):
                    raise
                return f"{one.feature}: {error}"

        begun = Progress(done=there, of=len(explanations), there=there, before=before, usd=asker.usd if asker else 0.0)
        steps = together(todo, work, asker, concurrency, of=len(explanations), there=there, before=before)
        return chain([begun], steps)

    def means(
        self, scorer: Scorer, endpoint: Endpoint | None, *, budget: float | None = None, seconds: float | None = None
    ) -> Means:
        """What a scorer works with; raises `BadInput` for one that asks a model where none is named."""
        from core.explain.machine.asking import Asker
        from core.explain.scoring import score as scoring

        if scorer not in scoring.JUDGED:
            return scoring.Means(embed=self._embedder, embedder=self._embedder.name)
        if endpoint is None:
            raise BadInput(f"{scorer.capitalize()} asks a language model: name one.")
        return scoring.Means(asker=Asker(endpoint, budget=_budget(budget), seconds=seconds))

    def scored(self, one: Explanation, scorer: Scorer, means: Means, other: Brief | None) -> Explanation:
        """An explanation with this score, made now and kept; whoever asks for the same at once waits for it.

        `other` is the control's. Raises what `core.explain.scoring.score.score` does.
        """
        from core.explain.scoring import score as scoring

        id, kept = scoring.identity(one, scorer, means.judge(scorer)), self.kept(one.feature.source)
        with self._turn(id):
            if not self._has(_with_kept(one, kept), id):
                kept.add_score(one, scoring.score(self._bench, one, scorer, means, kept, other=other))
        return _with_kept(one, kept)

    @contextmanager
    def _turn(self, id: str) -> Iterator[None]:
        """One at a time makes what has this id."""
        with self._lock:
            lock, waiting = self._turns.get(id, (threading.Lock(), 0))
            self._turns[id] = lock, waiting + 1
        try:
            with lock:
                yield
        finally:
            with self._lock:
                waiting = self._turns[id][1] - 1
                if waiting:
                    self._turns[id] = lock, waiting
                else:
                    del self._turns[id]

    # -- one by one ------------------------------------------------------------------------------------------------

    def find(self, id: str) -> Explanation:
        """An explanation by its id, whoever wrote it; raises `NotFound`."""
        if id.startswith(PREFIX):
            for kept in self._provider.everywhere():
                if (found := kept.find(id)) is not None:
                    return self._whole(found)
        elif id.startswith("annotation:"):
            for one in self._words.of(id.removeprefix("annotation:")):
                if one.id == id:
                    return one
        else:
            from core.community.people import People

            store = self._bench.community.community
            worded = People(store, store.visit()).explanations.get(id)
            if worded.state == "shown":
                return self._whole(Explanation(
                    id=worded.id, feature=worded.feature, text=worded.text, origin="person", method="person",
                    author=worded.owner, author_name=worded.owner_name, made=worded.changed,
                ))  # fmt: skip
        raise NotFound(f"There is no explanation “{id[:60]}” here.")

    def remove(self, id: str, people: People) -> None:
        """Takes a model's explanation away, as whoever made it, the one person of a workbench, or a moderator."""
        found = self.find(id)
        if found.origin != "model":
            raise NotAllowed("Only what a model wrote is taken away here; what people wrote they take back themselves.")
        self._may(found.author, people)
        self.kept(found.feature.source).remove(id)

    def remove_score(self, id: str, people: People) -> None:
        """Takes a score away, likewise."""
        for kept in self._provider.everywhere():
            if (found := kept.score(id)) is not None:
                explanation = kept.find(found[0])
                self._may(explanation.author if explanation else "", people)
                kept.remove_score(id)
                return
        raise NotFound(f"There is no score “{id[:60]}” here.")

    def _may(self, author: str, people: People) -> None:
        me = people.me
        if self.alone or (me is not None and (me.moderates or (author and me.id == author))):
            return
        if me is None:
            raise NotSignedIn("Sign in to take this away.")
        raise NotAllowed("Only whoever asked for it, or a moderator, takes this away.")

    # -- inside ----------------------------------------------------------------------------------------------------

    def kept(self, source: SourceKey) -> Kept:
        """What is kept of a source."""
        return self._provider.kept(source)

    def _of_feature(self) -> Callable[[FeatureKey], Kept]:
        """Of a feature's source, looked up once a source."""
        found = lru_cache(maxsize=None)(self.kept)
        return lambda key: found(key.source)

    def _whole(self, found: Explanation) -> Explanation:
        return self.kept(found.feature.source).scored([found])[0]

    def _has(self, explanation: Explanation, id: str) -> bool:
        return any(one.id == id for one in explanation.scores)

    @property
    def _embedder(self) -> Embedder:
        """That of the search, so that it is in memory once."""
        return self._words._seeker.embedder


def _with_kept(one: Explanation, kept: Kept) -> Explanation:
    """With every score that is kept of it, each once."""
    (found,) = kept.scored([replace(one, scores=())])
    return replace(one, scores=tuple({score.id: score for score in (*one.scores, *found.scores)}.values()))


def _budget(budget: float | None) -> float | None:
    if budget is not None and not 0 < budget < 1e6:
        raise BadInput("A budget is more than 0 US dollars.")
    return budget
