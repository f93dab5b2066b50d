"""What an embed shows, as HTML: the feature's name, a tested text, a message. Functions from records; no Gradio.

Every text that comes from outside is escaped by `components.markup`. Addresses are relative to the embed's own,
`/embed/<name>/`, so that they hold behind any proxy, and open in a tab of their own: an embed is never navigated.
"""

from __future__ import annotations

from components import charts, links, markup
from components.markup import Html, esc, number
from core.records import FeatureRecord, TestRecord

UP = "../.."
"""From an embed to the root of the server."""


def out(address: str, label: str, about: str, extra: str = "", *, home: str = UP) -> Html:
    """A link of the workbench, in a tab of its own; `address` begins with a slash.

    `home` is where the workbench is; where it is empty there is none, and its pages cannot be led to.
    """
    if not home:
        return Html(f'<span class="{extra}" title="{esc(label)}">{esc(label)}</span>')
    return Html(
        f'<a class="{extra}" href="{esc(home + address)}" target="_blank" rel="noopener" title="{esc(about)}">'
        f"{esc(label)}</a>"
    )


def head(record: FeatureRecord, text: str = "", *, home: str = UP) -> Html:
    """The feature's name, which leads to its page with the text in its test box."""
    title = markup.title(record)
    page = links.feature(record.key, text) if text.strip() else links.feature(record.key)
    name = out(page, title, f"{title}: its page, in a new tab", "em-title", home=home)
    way = out(page, "Open ↗", "The page of this feature, in a new tab", "em-open", home=home) if home else ""
    return Html(f'<div class="em-head"><h1>{name}</h1><span class="em-id">{esc(record.key)}</span>{way}</div>')


def nameless(title: str, *, home: str = UP) -> Html:
    """The head where there is no feature to name."""
    way = out("/", "Featurescope ↗", "The workbench, in a new tab", "em-open", home=home) if home else ""
    return Html(f'<div class="em-head"><h1>{esc(title)}</h1><span class="em-id"></span>{way}</div>')


def tested(record: FeatureRecord, test: TestRecord) -> Html:
    """A text with the feature's values, coloured on the scale of its examples, and the strongest of these below."""
    reach = charts.scale(record) or abs(test.maximum)
    strip = charts.strip(
        test.tokens, test.values, reach, position=test.position, signed=record.source.signed, tips=True
    )
    found = test.position is not None
    share = f" · {abs(test.maximum) / reach * 100:.0f} % of its maximum" if found and record.active else ""
    said = f"max {number(test.maximum)}{share}" if found else "not active on this text"
    if test.dfa is not None:
        strip = Html(f"{strip}{charts.sources(test.tokens, test.dfa)}")
    result = f'<span class="em-max{"" if found else " none"}">{esc(said)}</span>'
    also = f'<div class="em-also">{strongest(record, 12, 9)}</div>' if record.active else _scale(record, reach)
    return Html(f'<div role="status">{strip}{result}</div>{also}')


def strongest(record: FeatureRecord, before: int = 24, after: int = 16) -> Html:
    """The feature's strongest example, so many tokens on either side; what stands there before the first test."""
    example = next((group.examples[0] for group in record.groups if group.examples), None)
    if example is None:
        return Html('<p class="em-said">Nothing in the build’s texts activates it. Yours may.</p>')
    reach = charts.scale(record)
    strip = charts.strip(
        example.tokens, example.values, reach, position=example.position, before=before, after=after,
        signed=record.source.signed, tips=True,
    )  # fmt: skip
    strip = charts.covered(strip, example.tokens)
    said = f'<span class="em-said">Strongest in the build’s texts</span>{_scale(record, reach)}'
    return Html(f'<div class="em-under">{said}</div>{strip}')


def _scale(record: FeatureRecord, reach: float) -> Html:
    """What the depth of the colour means."""
    low, signed = (number(-reach), " signed") if record.source.signed else ("0", "")
    return Html(f'<span class="em-said">{low}<i class="em-scale{signed}"></i>{number(reach)}</span>')


def waiting(said: str) -> Html:
    """How far a test is."""
    return Html(f'<p class="em-wait" role="status">{esc(said)}</p>')


def message(said: str) -> Html:
    """What was wrong, and what would do."""
    said = said.encode("utf-8", "replace").decode()  # half a surrogate pair can be asked for, and not be answered
    return Html(f'<div class="em-note" role="alert">{esc(said)}</div>')


def unnamed() -> Html:
    """An address without a feature."""
    return Html(
        '<div class="em-note" role="status">The address of this embed names no feature. End it with '
        "<code>?id=model/source/index</code>, or name one above.</div>"
    )


def untestable(record: FeatureRecord) -> Html:
    """A feature that no text can be run through, with what is known of it."""
    said = "This source came without its weights, so it cannot be run on new text."
    return Html(f'<div class="em-note" role="status">{esc(said)}</div>{strongest(record)}')
