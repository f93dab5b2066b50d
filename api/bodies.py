"""What a request may name, and how: a feature, a source, a whole number.

Neuronpedia's routes and clients call a source `layer`, `source` or `sourceId`, and send an index as a number or as
text; all are read everywhere. The examples work as they are on the demo.
"""

from __future__ import annotations

import json
import re
from typing import Annotated, Any

from pydantic import AfterValidator, AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field

from core.records import FeatureKey, SourceKey

MODEL, SOURCE, INDEX = "scribe-4l", "2-res", 78
"""The feature of the examples."""
TEXT = "My mother and her father."


def _whole(value: Any) -> int:
    """0, 1, 2, … as a number or as digits; neither true nor 1.5, which pydantic's own integers would let pass or round.

    Raises:
        ValueError: it is something else.
    """
    if isinstance(value, str) and re.fullmatch(r"\s*[0-9]{1,12}\s*", value, re.ASCII):
        return int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # 3.0, as some languages write 3
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**12:
        return value
    raise ValueError(f"{_short(value)} is not a whole number of 0 or more")


def _short(value: Any) -> str:
    """A value of a request as a message shows it."""
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "an object"
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:40]}…"


Whole = Annotated[int, BeforeValidator(_whole, json_schema_input_type=int | str)]
"""A whole number of 0 or more, sent as a number or as text."""


def _unicode(value: str) -> str:
    """Text as it is; half of a surrogate pair, as JSON can carry it, is none.

    Raises:
        ValueError: it has one.
    """
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ValueError("it is not Unicode text: it has half of a surrogate pair") from error
    return value


Unicode = Annotated[str, AfterValidator(_unicode)]
"""Text that can be written down."""

SourceId = Annotated[
    str,
    Field(
        validation_alias=AliasChoices("source", "layer", "sourceId"),
        description="the source, for example 2-res; also read as layer or sourceId",
        examples=[SOURCE],
    ),
]
ModelId = Annotated[str, Field(description="the model", examples=[MODEL])]


class SourceReference(BaseModel):
    """Which source."""

    model_config = ConfigDict(populate_by_name=True)

    modelId: ModelId
    source: SourceId

    def source_key(self) -> SourceKey:
        """As the workbench names it."""
        return SourceKey(self.modelId, self.source)


class FeatureReference(SourceReference):
    """Which feature."""

    index: Annotated[Whole, Field(description="the feature's number, as a number or as text", examples=[str(INDEX)])]

    def key(self) -> FeatureKey:
        """As the workbench names it."""
        return FeatureKey(self.modelId, self.source, self.index)
