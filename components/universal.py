"""The page of universality at work: reads its view from the URL and fetches what it shows."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace

import streamlit as st

from components import controls, links, paging, resources, source_panels, universal_panels, universal_view
from components.markup import Html, card, link
from components.universal_view import PAGE, View
from core.atlas.universal.records import MatchesRecord
from core.errors import WorkbenchError
from core.records import FeatureKey, SourceKey


def lines(features: Iterable[FeatureKey]) -> dict[FeatureKey, str]:
    """What the data say of some features, or the label of those that have no annotation."""
    bench, found = resources.workbench(), {}
    for key in features:
        with suppress(WorkbenchError):  # it is shown by its number
            found[key] = bench.words.annotation(key).line
    return found


def panel(key: FeatureKey) -> Html:
    """A feature's twins in other models, drawn; nothing where nobody has looked for them."""
    try:
        matches = resources.workbench().atlas.universal(key)
    except WorkbenchError as error:
        return universal_panels.failed(str(error))
    return universal_panels.panel(matches, lines(match.feature for match in matches))


def beside(key: SourceKey) -> Html:
    """On a source's page: how much of it another model has too; nothing where nobody has compared them."""
    with suppress(WorkbenchError):  # the page of universality says what is wrong with the file
        return universal_panels.beside(resources.workbench().atlas.universal_source(key))
    return Html("")


def view(source: SourceKey) -> View:
    """The view that the URL names; says what it names wrongly."""
    found, wrong = universal_view.read(st.query_params.to_dict(), source)
    for message in wrong:
        controls.say(message)
    return found


def head(asked: View) -> None:
    """The title, and the way back."""
    key = asked.source
    crumbs = [str(link(links.model(key.model_id), key.model_id)), str(link(links.source(key), key.source_id))]
    title = f"{key.source_id} in {asked.other}" if asked.other else f"{key.source_id} in other models"
    st.html(source_panels.title(title, universal_panels.LEAD, crumbs, source_panels.COPY))


def results(asked: View) -> None:
    """All figures of the source; with another source chosen, which features the two have in common."""
    bench = resources.workbench()
    kept = controls.attempt(lambda: bench.atlas.universal_source(asked.source))
    if kept is None:
        return
    if asked.other is None or not kept:
        st.html(universal_panels.overview(kept))
        return
    st.html(universal_panels.also(asked, kept))
    record = controls.attempt(lambda: _page(asked))
    if record is None:
        return
    page, beyond = paging.within(asked.page, -(-record.total // PAGE))
    if beyond:
        controls.say(beyond)
        asked = replace(asked, page=page)
        record = _page(asked)
    keys: list[FeatureKey] = [key for one in record.matches for key in (one.of, one.feature)]
    st.html(card(universal_panels.numbers(record.pair) + universal_panels.distribution(record.pair)))
    st.html(card(universal_panels.tools(asked) + universal_panels.table(asked, record, lines(keys))))


def _page(asked: View) -> MatchesRecord:
    assert asked.other is not None
    return resources.workbench().atlas.universal_matches(
        asked.source, asked.other, by=asked.by, mutual=asked.mutual, beyond=not asked.every, top=PAGE,
        offset=(asked.page - 1) * PAGE,
    )  # fmt: skip
