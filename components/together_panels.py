"""What fires together with a feature, and what never does, as HTML. Functions from records; draws nothing itself."""

from __future__ import annotations

from collections.abc import Sequence

from components import links
from components.feature_panels import word
from components.markup import Html, card, esc, join, link, number, percent
from components.search_panels import pill
from components.similar_view import View
from core.atlas.together.records import Mate, Mates, Together
from core.records import FeatureKey, FeatureRecord, LeftOut, Related

WINDOWS = (0, 1, 2, 4, 8, 16)
"""Tokens on either side; a link may name any up to what the workbench takes."""
FIRST = 3
"""Lines of another source on the feature's page."""


def glance(record: FeatureRecord, found: Together | None) -> Html:
    """The card on a feature's page: its own source's best, and those of the others one click away."""
    more = link(links.similar(id=str(record.key), view="together"), "all, with counts →", "fs-act")
    name, aside = word("Fires together with", "fires together"), word("correlation")
    blocks, folded = [], []
    for one in found.sources if found else ():
        lines = [_line(record.key, mate.feature, mate.label, mate.correlation, mate) for mate in one.correlated]
        if one.source == record.key.source:
            blocks += lines
        elif lines:
            folded.append(f'<p class="fs-soft fs-small">{esc(one.source.source_id)}</p>{join(lines[:FIRST])}')
    if record.correlated_features and (record.source.signed or not blocks):  # the build's own, over every token
        blocks = [_related(record.key, one) for one in record.correlated_features[:6]]
    if not blocks and not folded:
        return Html("")
    others = f'<details class="fs-more"><summary>In other sources</summary>{join(folded)}</details>' if folded else ""
    body = f'<div class="fs-list">{join(blocks)}</div>{others}<p class="fs-small">{more}</p>'
    return card(body, name, aside)


def _line(here: FeatureKey, key: FeatureKey, label: str, value: float | None, mate: Mate) -> str:
    about = f"{key.source_id} {key.index}" + (f": {label}" if label else "") + f"\n{_told(mate)}"
    return (
        f'<a class="fs-rel" href="{esc(links.feature(key))}" data-tip="{esc(about)}"><span>{key.index}</span>'
        f'<span class="l">{esc(label) or "<i class=fs-soft>no label</i>"}</span>'
        f"<span>{'–' if value is None else number(value)}</span></a>"
    )


def _related(here: FeatureKey, item: Related) -> str:
    key = FeatureKey(here.model_id, here.source_id, item.index)
    cosine = "" if item.cosine is None else f", cosine {item.cosine:+.3f}"
    about = f"feature {item.index}" + (f": {item.label}" if item.label else "")
    about += f"\ncorrelation {item.value:+.3f}{cosine}, over every token"
    return (
        f'<a class="fs-rel" href="{esc(links.feature(key))}" data-tip="{esc(about)}"><span>{item.index}</span>'
        f'<span class="l">{esc(item.label) or "<i class=fs-soft>no label</i>"}</span>'
        f"<span>{number(item.value)}</span></a>"
    )


def _told(mate: Mate) -> str:
    lift = f", {number(mate.lift)} times what chance gives" if mate.expected else ""
    return f"{mate.both:,} tokens in common of {mate.active:,}{lift}"


def controls(view: View, live: bool) -> Html:
    """The window, where there are stores to look into."""
    if not live and not view.window:
        return Html("")
    every = sorted({*WINDOWS, view.window})
    pills = join(pill(view.to(window=w), "same token" if w == 0 else f"± {w}", on=view.window == w) for w in every)
    return Html(
        f'<div class="fs-card fs-tools"><span class="fs-facet"><span class="fs-soft">{word("Window", "window")}</span>'
        f'<span class="fs-pills">{pills}</span></span></div>'
    )


def whole(view: View, found: Together) -> Html:
    """Every source with its three lists."""
    about = (
        f'<p class="fs-soft fs-small">Active on {found.active:,} of {found.tokens:,} counted tokens. {_said(found)}</p>'
    )
    own = found.feature.source
    order = sorted(found.sources, key=lambda one: (one.source != own, "neurons" in one.source.set_name))
    parts = join(_source(found, one) for one in order)
    return Html(f"{about}{parts}{_left(found.left_out)}")


def _said(found: Together) -> str:
    if found.window:
        return (
            f"Common tokens, lift and shares are of this feature’s tokens that have the other within {found.window} "
            "tokens in the same prompt; correlations are of the same token."
        )
    return "Two features have a token in common if both are active on it."


def _source(found: Together, one: Mates) -> Html:
    same = one.source == found.feature.source
    name = f"{esc(one.source.source_id)}{' · its own source' if same else ''}"
    kept = "" if one.live else " · the kept best; with the activation stores lists have any length and window"
    tails = " · of dense sources values in the tails count, the rest as 0" if one.tails else ""
    compare = "" if same else link(
        links.compare(sources=f"{found.feature.source_id},{one.source.source_id}", model=one.source.model_id),
        "compare the sources", "fs-act",
    )  # fmt: skip
    beside = {mate.feature: mate for mate in (*one.correlated, *one.together)}
    order = sorted(beside.values(), key=lambda mate: (-(mate.correlation or 0.0), mate.feature))
    if not order and not one.never:
        return card(f'<span class="fs-soft">No feature of it shares three tokens with this one.{kept}</span>', name)
    table = _table(
        found,
        (
            (word("Fires together", "fires together"), order),
            (word("Never together, or hardly", "never together"), one.never),
        ),
    )
    note = f'<p class="fs-soft fs-fine">{esc((kept + tails).removeprefix(" · "))}</p>' if kept or tails else ""
    return card(f"{table}{note}", name, compare)


def _table(found: Together, parts: Sequence[tuple[Html, Sequence[Mate]]]) -> str:
    heads = (
        ("feature", "", ""), ("r", "correlation", "n"), ("common", "common tokens", "n"),
        ("expected", "expected tokens", "n fs-hide-narrow"), ("lift", "lift", "n"),
        ("of its tokens", "conditional share", "n fs-hide-narrow"),
        ("G²", "evidence", "n fs-hide-narrow"), ("p", "corrected p of fisher", "n fs-hide-narrow"), ("", "", ""),
    )  # fmt: skip
    row = join(f'<th class="{cls}">{word(text, term) if term else text}</th>' for text, term, cls in heads)
    body = ""
    for name, mates in parts:
        if mates:
            body += f'<tr><td colspan="{len(heads)}" class="fs-cmp-part">{name}</td></tr>'
            body += join(_row(found, mate) for mate in mates)
    head = f"<thead><tr>{row}</tr></thead>"
    return f'<div class="fs-wide"><table class="fs-table">{head}<tbody>{body}</tbody></table></div>'


def _row(found: Together, mate: Mate) -> str:
    key = mate.feature
    r = "–" if mate.correlation is None else number(mate.correlation)
    about = (
        f"{percent(mate.share)} of this feature’s tokens have it, and {percent(mate.share_back)} of its "
        f"{mate.active:,} have this feature"
    )
    versus = link(links.compare(ids=f"{found.feature},{key}"), "against", "fs-act")
    return (
        f'<tr><td><a class="main" href="{esc(links.feature(key))}">{esc(mate.label) or "no label"}</a> '
        f'<span class="fs-soft fs-small">{key.index}</span></td><td class="n">{r}</td>'
        f'<td class="n">{mate.both:,}</td><td class="n fs-hide-narrow">{number(mate.expected)}</td>'
        f'<td class="n">{number(mate.lift)}</td>'
        f'<td class="n fs-hide-narrow" data-tip="{esc(about)}">{percent(mate.share)}</td>'
        f'<td class="n fs-hide-narrow">{number(mate.evidence)}</td>'
        f'<td class="n fs-hide-narrow">{chance(mate.log10_p)}</td><td>{versus}</td></tr>'
    )


def chance(log10_p: float) -> str:
    """A p-value that may be too small for a float."""
    if log10_p > -3:
        return number(10**log10_p)
    return f"10<sup>{round(log10_p):,}</sup>".replace("-", "−")


def _left(left_out: Sequence[LeftOut]) -> str:
    if not left_out:
        return ""
    rows = join(f"<li><b>{esc(one.key.source_id)}</b> {esc(one.why)}</li>" for one in left_out)
    return f'<div class="fs-note" role="status">Not compared:<ul class="fs-play-tips">{rows}</ul></div>'
