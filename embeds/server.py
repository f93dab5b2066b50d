"""The Gradio application that `app.py` mounts at /embed: a feature tester, for now, at /embed/tester.

Every event that runs a model has the same concurrency id, so one of them runs at a time, whichever embed it comes from.
Importing this imports Gradio (4 s on two cores); `embeds.mount` does so when somebody first asks.
"""

from __future__ import annotations

import os

# Before the import: Gradio reads it there, and otherwise tells its makers that it was started.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

import gradio as gr
from fastapi import FastAPI
from starlette.responses import RedirectResponse

from core.errors import WorkbenchError
from core.interchange import neuronpedia
from core.records import TestRecord
from core.workbench import Workbench

MODEL = "model"
"""The concurrency id of all events that run a model."""

SANS = ["Inter", "DejaVu Sans", "system-ui", "sans-serif"]
MONO = ["JetBrains Mono", "DejaVu Sans Mono", "monospace"]


def create(workbench: Workbench) -> FastAPI:
    """The embeds over one workbench."""
    app = FastAPI(title="Featurescope embeds", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_api_route("/", lambda: RedirectResponse("tester/"), include_in_schema=False)
    # Fonts by name: the default theme would fetch them from a font service.
    theme = gr.themes.Default(primary_hue="emerald", font=SANS, font_mono=MONO)
    return gr.mount_gradio_app(
        app, tester(workbench), path="/tester", theme=theme, footer_links=["api"], run_history=False
    )


def tester(workbench: Workbench) -> gr.Blocks:
    """A feature's id and a text; the answer is the text with the feature's values."""

    def test(identity: str, text: str) -> tuple[str, list[tuple[str, float | None]], dict[str, object]]:
        """Runs the model on the text and gives the feature's value at every token."""
        try:
            (record,) = workbench.test(identity.strip(), text)
        except WorkbenchError as error:
            raise gr.Error(str(error), print_exception=False) from error
        return _sentence(record), _coloured(record), neuronpedia.activation(record)

    def from_link(request: gr.Request) -> tuple[str, str]:
        """The fields as the link gives them, `?id=…&text=…`; a living feature where it names none."""
        given = dict(request.query_params)
        return given.get("id") or _some_feature(workbench), given.get("text", "")

    with gr.Blocks(title="Featurescope: feature tester", analytics_enabled=False) as blocks:
        identity = gr.Textbox(label="Feature", info="model/source/index")
        text = gr.Textbox(label="Text", lines=3)
        button = gr.Button("Test", variant="primary")
        summary = gr.Textbox(label="Result", interactive=False)
        strip = gr.HighlightedText(label="Tokens", combine_adjacent=False)
        with gr.Accordion("As JSON", open=False):
            answer = gr.JSON(label="Activation")
        fields, shown = [identity, text], [summary, strip, answer]
        gr.on(
            [button.click, text.submit], test, fields, shown, api_name="test", concurrency_id=MODEL, concurrency_limit=1
        )
        blocks.load(from_link, None, fields, api_visibility="private")
    return blocks


def _some_feature(workbench: Workbench) -> str:
    try:
        return str(workbench.random_feature())
    except WorkbenchError:
        return ""


def _sentence(record: TestRecord) -> str:
    if record.position is None:
        return "The feature is silent on this text."
    return f"Maximum {record.maximum:.4g} at “{record.tokens[record.position].text}” (position {record.position})."


def _coloured(record: TestRecord) -> list[tuple[str, float | None]]:
    """Tokens with their share of the text's maximum, which is what the strip colours by."""
    scale = abs(record.maximum) or 1.0
    pairs = zip(record.tokens, record.values, strict=True)
    return [(token.text, value / scale or None) for token, value in pairs if not token.special]
