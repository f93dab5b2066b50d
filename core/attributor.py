"""Direct feature attribution over a workbench's sources: the same records, with where their values came from.

`core.workbench` is the door to it; the arithmetic is `core.techniques.dfa`. Tests and hits of sources on attention
heads get it by themselves, at the token that they are about; a source that lacks it, or whose layer does not show it,
is left without. Nothing here imports torch before such a source is at work. Cost: for each text and layer one more
pass, kept in the cache; some small products.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from core.errors import BadInput, Busy, NotAvailable, WorkbenchError
from core.records import Attribution, DfaRecord, FeatureKey, Records, SearchRecord, SourceKey, TestRecord, Token
from core.sources.heads import attention_layer, is_attributable

if TYPE_CHECKING:
    from core.workbench import Workbench

Asked = tuple[int, int]
"""(target token, feature)."""


class Attributor:
    """Adds attributions to records. Safe to share between threads."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench

    def tests(self, records: Iterable[TestRecord]) -> Records[TestRecord]:
        """The records, those that are active with their attribution at the strongest token."""
        found = list(records)
        at = {n: (one.key.source, one.tokens, one.position, one.key.index) for n, one in enumerate(found)}
        made = self._all(at)
        return Records(replace(one, dfa=made[n]) if n in made else one for n, one in enumerate(found))

    def hits(self, record: SearchRecord) -> SearchRecord:
        """The search, its hits with their attribution at the token that each is strongest on."""
        at = {n: (hit.key.source, record.tokens, hit.position, hit.key.index) for n, hit in enumerate(record.hits)}
        made = self._all(at)
        if not made:
            return record
        hits = (replace(hit, dfa=made[n]) if n in made else hit for n, hit in enumerate(record.hits))
        return replace(record, hits=tuple(hits))

    def one(self, key: FeatureKey, text: str, position: int | None) -> DfaRecord:
        """See `Workbench.dfa`."""
        from core.techniques.dfa import unknown

        source = self._bench._source_of(key)
        if not is_attributable(source.architecture, source.hook):
            raise NotAvailable(unknown(source.architecture, source.hook))
        (test,) = self._bench.test(key, text)
        target = test.position if position is None else position
        if target is None:
            raise BadInput(f"{key} is active on no token of this text: say which token it is to be about.")
        if not 0 <= target < len(test.tokens):
            raise BadInput(f"The text has tokens 0 to {len(test.tokens) - 1}, BOS counted; there is no {target}.")
        (found,) = self._found(key.source, test.tokens, [(target, key.index)], by_head=True)
        return DfaRecord(
            key=key, text=test.text, tokens=test.tokens, bos=test.bos, value=test.values[target], dfa=found
        )

    def _all(self, at: Mapping[int, tuple[SourceKey, tuple[Token, ...], int | None, int]]) -> dict[int, Attribution]:
        """The attribution of each number of `at` that has one; those of one source and text together."""
        if self._bench.engine is not None:  # the model is elsewhere
            return {}
        groups: dict[tuple[SourceKey, tuple[Token, ...]], list[int]] = {}
        for n, (key, tokens, position, _) in at.items():
            if position is not None and self._reads_heads(key):
                groups.setdefault((key, tokens), []).append(n)
        made: dict[int, Attribution] = {}
        for (key, tokens), members in groups.items():
            asked = [(at[n][2] or 0, at[n][3]) for n in members]
            try:
                made |= zip(members, self._found(key, tokens, asked), strict=True)
            except Busy:
                raise
            except WorkbenchError:  # its values are known all the same
                continue
        return made

    def _reads_heads(self, key: SourceKey) -> bool:
        source = self._bench.source(key)
        return is_attributable(source.architecture, source.hook)

    def _found(
        self, key: SourceKey, tokens: Sequence[Token], asked: Sequence[Asked], *, by_head: bool = False
    ) -> list[Attribution]:
        from core.techniques.dfa import attributions

        source = self._bench.source(key)
        layer = attention_layer(source.hook)
        assert layer is not None
        attention = self._bench._reader(key.model_id).attended([token.id for token in tokens], layer)
        with self._bench._source_slot(source).held() as encoder:
            return attributions(encoder.source, attention, asked, by_head=by_head)
