"""A list of features as files and as what people paste: JSON (there and back), CSV, Markdown, Neuronpedia's links.

JSON holds everything that a person wrote, so that reading it again makes the same list; what a feature fires on is in
it for the reader alone. In CSV a text that a spreadsheet would run gets an apostrophe in front.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pydantic import BaseModel, Field, ValidationError

from core.community import limits
from core.community.records import FeatureList, Item, Visibility
from core.errors import BadInput, WorkbenchError
from core.interchange.table import guarded
from core.records import FeatureKey, SourceKey

FORMAT = "featurescope-list"
QUICK = 150
"""Features of a quick list at most, as Neuronpedia's."""
_MARKS = re.compile(r"([\\`*_\[\]<>#|!~])")
Labels = Mapping[FeatureKey, str]


@dataclass(frozen=True, slots=True)
class Draft:
    """A list as somebody wrote it, before it is anybody's."""

    name: str
    about: str = ""
    visibility: Visibility = "public"
    test_text: str = ""
    items: tuple[Item, ...] = ()


class _Feature(BaseModel):
    feature: str
    note: str = ""
    weight: float = 1.0


class _List(BaseModel):
    format: str = FORMAT
    name: str
    about: str = ""
    visibility: Visibility = "public"
    test_text: str = ""
    features: list[_Feature] = Field(default_factory=list, max_length=limits.ITEMS)


# -- out ---------------------------------------------------------------------------------------------------------------


def to_json(found: FeatureList, labels: Labels) -> str:
    """Everything of the list; `labels` tell a reader what its features fire on."""
    one = found.card
    said = {
        "format": FORMAT, "name": one.name, "about": one.about, "visibility": one.visibility,
        "test_text": one.test_text, "by": one.owner_name, "made": one.made, "changed": one.changed,
        "features": [
            {
                "feature": str(item.feature), "note": item.note, "weight": item.weight,
                "label": labels.get(item.feature, ""),
            }
            for item in found.items
        ],
    }  # fmt: skip
    return json.dumps(said, ensure_ascii=False, indent=1)


def to_csv(found: FeatureList, labels: Labels) -> str:
    """A row a feature."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(("place", "feature", "model", "source", "index", "label", "weight", "note"))
    for place, item in enumerate(found.items, 1):
        key = item.feature
        cells = (
            place, str(key), key.model_id, key.source_id, key.index, labels.get(key, ""), item.weight, item.note,
        )  # fmt: skip
        writer.writerow([guarded(cell) for cell in cells])
    return out.getvalue()


def to_markdown(found: FeatureList, labels: Labels, address: str = "") -> str:
    """For notes and posts; `address` is where the server is reached, for links that work elsewhere."""
    one = found.card
    lines = [f"# {_plain(one.name)}", ""]
    if one.about:
        lines += [one.about, ""]
    for place, item in enumerate(found.items, 1):
        name = _plain(labels.get(item.feature, "") or str(item.feature))
        weight = "" if item.weight == 1 else f" × {item.weight:g}"
        lines.append(f"{place}. [{name}]({address}/feature?id={item.feature}) `{item.feature}`{weight}")
        lines += [f"   {line}".rstrip() for line in item.note.splitlines()]
    return "\n".join(lines) + "\n"


def _plain(text: str) -> str:
    """Text in which Markdown finds no marks."""
    return _MARKS.sub(r"\\\1", " ".join(text.split()))


# -- in ----------------------------------------------------------------------------------------------------------------


def from_json(text: str | bytes) -> Draft:
    """The list that a file holds.

    Raises:
        BadInput: it is no such file, or something in it cannot be read; the message says what and where.
    """
    try:
        found = _List.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise BadInput(f"This is no list that can be read: {f'{where}: ' if where else ''}{first['msg']}.") from error
    if found.format != FORMAT:
        raise BadInput(f"This is a file of another kind (“{found.format[:40]}”): a list says “{FORMAT}”.")
    items = []
    for place, one in enumerate(found.features, 1):
        try:
            items.append(Item(FeatureKey.parse(one.feature), one.note, one.weight))
        except WorkbenchError as error:
            raise BadInput(f"Feature {place} of the file: {error}") from error
    return Draft(found.name, found.about, found.visibility, found.test_text, tuple(items))


def read_ids(
    text: str, resolve: Callable[[str], FeatureKey | SourceKey], most: int = limits.ITEMS
) -> tuple[tuple[FeatureKey, ...], tuple[str, ...]]:
    """(features that pasted lines name, what is wrong with each of the others); commas separate as lines do."""
    found: dict[FeatureKey, None] = {}
    wrong: list[str] = []
    for part in filter(None, (part.strip() for part in re.split(r"[\n,;]", text))):
        try:
            key = resolve(part)
        except WorkbenchError as error:
            wrong.append(f"“{part[:80]}”: {error}")
            continue
        if isinstance(key, SourceKey):
            wrong.append(f"“{part[:80]}” is a whole source: add an index, such as {key}/0.")
        elif len(found) < most or key in found:
            found[key] = None
        else:
            wrong.append(f"“{part[:80]}” is one too many: at most {most:,}.")
    return tuple(found), tuple(wrong)


def read_quick(text: str) -> tuple[tuple[FeatureKey, ...], tuple[str, ...]]:
    """The same of a quick list's link: `[{"modelId": …, "layer": …, "index": …}, …]`, as Neuronpedia's.

    Raises:
        BadInput: it is no such list.
    """
    try:
        rows = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInput("“features” of the link is no JSON: [{modelId, layer, index}, …] or ids with commas.") from error
    if not isinstance(rows, list):
        raise BadInput("“features” of the link is a list: [{modelId, layer, index}, …], or ids with commas.")
    found: dict[FeatureKey, None] = {}
    wrong = [f"The link names {len(rows):,} features; the first {QUICK} are shown."] * (len(rows) > QUICK)
    for place, row in enumerate(rows[:QUICK], 1):
        try:
            found[FeatureKey.parse(f"{row['modelId']}/{row['layer']}/{row['index']}")] = None
        except (TypeError, KeyError):
            wrong.append(f"Feature {place} of the link has to have modelId, layer and index.")
        except WorkbenchError as error:
            wrong.append(f"Feature {place} of the link: {error}")
    return tuple(found), tuple(wrong)
