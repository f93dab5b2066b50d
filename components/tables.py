"""Tables as HTML: sources, features, figures. Pure functions; ordering and paging are links, so a view is its URL."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from components import links, paging, ticks
from components.feature_panels import KINDS, hooks, kind, rank, word
from components.markup import Html, card, esc, join, link, number, percent
from components.search_view import short
from core.records import FeatureKey, Figures, ModelRecord, SourceKey, SourceRecord

PAGE = 50
"""Rows of a page of features."""
COLUMNS = {
    "index": ("index", "index", True),
    "label": ("fires on", "label", False),
    "promotes": ("promotes", "promotes", False),
    "density": ("density", "density", True),
    "maximum": ("maximum", "maximum", True),
    "active": ("active tokens", "active tokens", True),
}
"""Column: what its heading says, its term in the glossary, whether it can be sorted by."""


def arranged(records: Iterable[SourceRecord]) -> list[SourceRecord]:
    """Sources as a reader looks for them: by model, `rank`, set and layer."""
    return sorted(records, key=lambda r: (r.key.model_id, rank(r), r.key.set_name, r.layer, r.key))



def facts(rows: Sequence[tuple[str, str]]) -> Html:
    """Names and values, both HTML."""
    return Html('<dl class="fs-facts">' + join(f"<dt>{a}</dt><dd>{b}</dd>" for a, b in rows) + "</dl>")


def sources(records: Sequence[SourceRecord]) -> Html:
    """One line a source, with its quality where it was measured."""
    if not records:
        return Html(
            '<div class="fs-empty"><b>No sources here</b>Build one with <code>python -m core build CONFIG</code>.</div>'
        )
    measured = any(r.figures for r in records)
    heads = [
        ("source", "source", ""),
        ("kind", "kind", ""),
        ("width", "width", "n"),
        ("alive", "alive", "n"),
        ("hook point", "hook point", "fs-hide-narrow"),
    ]
    if measured:
        heads += [("L0", "l0", "n"), ("expl. var.", "explained variance", "n"), ("CE score", "ce loss score", "n")]
    head = join(f'<th class="{cls}">{word(text, entry)}</th>' for text, entry, cls in heads)
    body = []
    for r in arranged(records):
        cells = [
            f"<td>{link(links.source(r.key), r.key.source_id, 'main')}</td>",
            f"<td>{esc(KINDS[r.kind])}</td>",
            f'<td class="n">{r.width:,}</td>',
            f'<td class="n">{percent(r.alive / r.width if r.width else 0)}</td>',
            f'<td class="tok fs-hide-narrow">{esc(r.hook)}</td>',
        ]
        if measured:
            f = r.figures
            cells += [
                f'<td class="n">{v}</td>'
                for v in ((f"{f.l0:.1f}", f"{f.explained_variance:.3f}", f"{f.ce_loss_score:.3f}") if f else ("–",) * 3)
            ]
        body.append(f"<tr>{join(cells)}</tr>")
    return Html(
        f'<div class="fs-wide"><table class="fs-table"><thead><tr>{head}</tr></thead>'
        f"<tbody>{join(body)}</tbody></table></div>"
    )


def model_card(record: ModelRecord, its: Sequence[SourceRecord]) -> Html:
    """A model in the catalog, with its sources."""
    name = link(links.model(record.model_id), record.name, "fs-name")
    about = f"{record.layers} layers · {record.d_model} wide · {_size(record.parameters)} parameters"
    return card(sources(its), name, esc(about))


def _size(parameters: int) -> str:
    return f"{number(parameters / 1e6)} M" if parameters >= 1e6 else f"{parameters:,}"


def model_facts(r: ModelRecord) -> Html:
    """What a model is."""
    return facts(
        [
            (word("architecture"), esc(r.architecture)),
            (word("layers"), str(r.layers)),
            (word("d_model"), f"{r.d_model:,}"),
            (word("d_mlp"), f"{r.d_mlp:,}"),
            (word("heads"), str(r.heads)),
            (word("vocabulary"), f"{r.d_vocab:,} tokens"),
            (word("context"), f"{r.context:,} tokens"),
            (word("parameters"), f"{r.parameters:,}"),
            (word("weights"), esc(r.origin or "not here: it was imported")),
        ]
    )


def source_facts(r: SourceRecord) -> Html:
    """What a source is and what its data was made from."""
    return facts(
        [
            (word("kind"), esc(kind(r))),
            *hooks(r),
            (word("width"), f"{r.width:,} features over {r.d_in:,} dimensions"),
            (word("alive"), f"{r.alive:,} ({percent(r.alive / r.width if r.width else 0)})"),
            (word("active"), esc(r.active)),
            (word("dataset"), esc(r.dataset)),
            (word("prompts"), f"{r.prompts:,} of up to {r.context} tokens"),
            (word("tokens counted"), f"{r.tokens:,}"),
            (word("release"), link(links.release(r.release.name), r.release.name)),
            (word("weights"), esc(r.origin if "weights" in r.has else "not here: it was imported")),
            (word("built"), esc(r.built[:10])),
        ]
    )


def figures(f: Figures) -> Html:
    """How good a source is, each figure with its definition."""
    return facts(
        [
            (word("L0", "l0"), f"{f.l0:.2f} features a token"),
            (word("explained variance"), f"{f.explained_variance:.4f}"),
            (word("CE loss score", "ce loss score"), f"{f.ce_loss_score:.4f}"),
            (word("CE loss", "ce loss"), f"{f.ce_loss:.3f} nats"),
            (word("… with reconstruction", "ce loss spliced"), f"{f.ce_loss_spliced:.3f} nats"),
            (word("… with zeros", "ce loss zero"), f"{f.ce_loss_zero:.3f} nats"),
            (word("dead features", "dead"), percent(f.dead_fraction)),
            (word("measured on", "dataset"), f"{f.tokens:,} tokens of {esc(f.dataset)}, {esc(f.made[:10])}"),
        ]
    )


def chosen(frame: pd.DataFrame, query: str, least: float, most: float, maximum: float, active: int) -> pd.DataFrame:
    """The rows whose tokens contain the words of `query` (or whose index it is) and whose numbers lie within bounds."""
    keep = (
        (frame["density"] >= least)
        & (frame["density"] <= most)
        & (frame["maximum"] >= maximum)
        & (frame["active"] >= active)
    )
    for part in query.casefold().split():
        text = frame["label"].str.casefold() + "\n" + frame["promotes"].str.casefold()
        hit = text.str.contains(part, regex=False)
        keep &= hit | (frame["index"] == int(part)) if part.isdecimal() and len(part) < 9 else hit
    return frame[keep]


def ordered(frame: pd.DataFrame, order: str) -> pd.DataFrame:
    """Rows by a column; a leading minus means largest first. Ties go by index."""
    column = order.lstrip("-")
    return frame.sort_values([column, "index"], ascending=[not order.startswith("-"), True], kind="stable")


@dataclass(frozen=True, slots=True)
class Picked:
    """The features that are picked in a source's table."""

    key: SourceKey
    view: Mapping[str, str]
    """The table's, with its order and page."""
    picked: tuple[FeatureKey, ...]

    def picking(self, key: FeatureKey) -> str:
        """The address with one more of them, or one less."""
        left = tuple(one for one in self.picked if one != key)
        return self._to(left if len(left) < len(self.picked) else (*self.picked, key))

    def clear(self) -> str:
        """The address without any."""
        return self._to(())

    def _to(self, picked: Sequence[FeatureKey]) -> str:
        return links.source(self.key, **{**self.view, "picked": ",".join(map(short, picked))})


def features(
    key: SourceKey,
    frame: pd.DataFrame,
    order: str,
    page: int,
    view: Mapping[str, str],
    picked: tuple[FeatureKey, ...] = (),
) -> Html:
    """A page of a source's features; headings and page numbers are links that keep the rest of the view."""
    picking = Picked(key, {**view, "sort": order, "page": str(page) if page > 1 else ""}, picked)
    pages = max(1, -(-len(frame) // PAGE))
    heads = ['<th class="fs-narrow"></th>']
    promotes = bool(frame["promotes"].any())  # none does where the decoder does not write to the residual stream
    for name, (text, entry, sortable) in COLUMNS.items():
        if name == "promotes" and not promotes:
            continue
        inner = str(word(text, entry))
        mark = ""
        if sortable:
            down = order == f"-{name}"
            mark = " ▾" if down else (" ▴" if order == name else "")
            turned = name if down or (name == "index" and order != name) else f"-{name}"
            inner = f'<a href="{esc(links.source(key, **{**view, "sort": turned, "page": ""}))}">{inner}{mark}</a>'
        aria = f' aria-sort="{"descending" if order.startswith("-") else "ascending"}"' if mark else ""
        classes = ["fs-hide-narrow"] * (name in ("promotes", "active")) + ["n"] * (sortable and name != "index")
        heads.append(f'<th class="{" ".join(classes)}"{aria}>{inner}</th>')
    body = []
    for row in frame.iloc[(page - 1) * PAGE : page * PAGE].itertuples():
        own = FeatureKey(key.model_id, key.source_id, int(row.index))
        href = esc(links.feature(own))
        name = esc(row.label) or (
            "<span class=fs-soft>never active</span>" if not row.active else "<span class=fs-soft>no label</span>"
        )
        raised = f'<td class="tok fs-hide-narrow">{esc(row.promotes)}</td>' if promotes else ""
        body.append(
            f'<tr><td>{ticks.tick(picking, own, row.label or "no label")}</td>'
            f'<td class="n" style="text-align:left"><a href="{href}">{row.index}</a></td>'
            f'<td><a class="main" href="{href}">{name}</a></td>'
            f'{raised}<td class="n">{percent(row.density)}</td><td class="n">{number(row.maximum)}</td>'
            f'<td class="n fs-hide-narrow">{int(row.active):,}</td></tr>'
        )
    if not body:
        return Html(
            '<div class="fs-empty"><b>No feature fits</b>Use fewer words or wider bounds: the filter looks in the '
            "tokens a feature fires on and those it promotes.</div>"
        )

    def to(there: int) -> str:
        return links.source(key, **{**view, "sort": order, "page": str(there) if there > 1 else ""})

    first = (page - 1) * PAGE + 1
    said = f"{first:,} to {min(first + PAGE - 1, len(frame)):,} of {len(frame):,} features"
    foot = paging.turn(page, pages, to, said)
    return Html(
        f'<table class="fs-table fs-ticked"><thead><tr>{join(heads)}</tr></thead><tbody>{join(body)}</tbody></table>'
        f"{foot}"
        f"{ticks.chosen(picked, picking.clear())}"
    )
