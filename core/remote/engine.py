"""What a server asks of an engine that has the weights: tokens, codes, and steered texts.

`FEATURESCOPE_ENGINE=http://…` names one: another instance of this server, started with the same data (or a copy) and
the same `FEATURESCOPE_ENGINE_KEY`. This server then keeps the pages, the dashboards, the people and every technique
over codes, and imports no torch for tests, searches and steering; many such servers may share one engine, which reads
what arrives together together. What the protocol does not carry (DFA, probes, comparisons of weights, evaluations) is
done here, where the weights are here too.

Published at `/api/docs` under “engine”: POST /engine/v1/tokens, /codes, /steer and /sweep (`core.remote.wire` has the
form of codes). Cost: a request each; codes of a text are some kilobytes a source.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from core.errors import BadInput
from core.models.vocabulary import Vocabulary
from core.records import SourceKey, SteerAsk, SteerRecord, SweepRecord

if TYPE_CHECKING:
    from core.settings import Settings
    from core.sources.codes import Codes

Found = dict[SourceKey, "Codes"]
"""The codes of one text."""


@dataclass(frozen=True, slots=True)
class Far:
    """What is known of a model whose weights are elsewhere: how its tokens are drawn, and where texts begin."""

    vocabulary: Vocabulary
    bos: int | None


class Engine(Protocol):
    """Whoever has the weights. Every method raises the errors of `core.errors`; `Busy` where nobody answers."""

    def tokens(self, model_id: str, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text, BOS first if the model has one."""

    def codes(
        self, model_id: str, rows: Sequence[Sequence[int]], sources: Mapping[SourceKey, int]
    ) -> tuple[list[Found], dict[SourceKey, str]]:
        """(the codes of each text, why there are none of a source); `sources` have their widths."""

    def steer(self, ask: SteerAsk, *, keep: bool) -> Iterator[SteerRecord]:
        """A run as its texts grow; closing the iterator stops it."""

    def sweep(self, ask: SteerAsk, factors: Sequence[float]) -> SweepRecord:
        """The same prompt at several strengths."""


def connect(settings: Settings) -> Engine | None:
    """The engine that the settings name.

    Raises:
        BadInput: its address is none.
    """
    if not settings.engine:
        return None
    if not settings.engine.startswith(("http://", "https://")):
        raise BadInput(f"FEATURESCOPE_ENGINE is {settings.engine!r}: an address begins with http:// or https://.")
    if settings.engine_speaks == "neuronpedia":
        from core.remote.neuronpedia import Neuronpedia

        return Neuronpedia(settings.engine, settings.engine_key.get_secret_value(), settings.patience)
    from core.remote.ours import Ours

    return Ours(settings.engine, settings.engine_key.get_secret_value(), settings.patience)
