"""A feature tester for a post, as Gradio blocks: one feature, a text, and the text coloured by the feature's values.

What it runs waits in the workbench's own line, with everybody else's (`core.models.turns`); Gradio's queue lets all
through (`concurrency_limit=None`), so that there is one limit and one place in line to show. The named endpoints do not
need that queue at all (`queue=False`), which keeps Gradio's MCP server from calling itself over HTTP, at an address
that a request names.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import gradio as gr
from anyio import to_thread

from components import steps
from components.jobs import Job
from components.markup import Html
from core.errors import WorkbenchError
from core.interchange import neuronpedia
from core.records import FeatureKey, FeatureRecord, Tell, TestRecord
from core.workbench import Workbench
from embeds import drawing
from embeds.page import About
from embeds.shared import LINE, feature_key, html, line, said

AT_ONCE, EVERY = 0.3, 0.2
"""Seconds before a reader is told that the test waits, and between two looks at it."""


@dataclass(frozen=True, slots=True)
class Tester:
    """The blocks' functions, over one workbench."""

    workbench: Workbench
    count: Callable[[gr.Request], None]
    """Counts a request that runs a model; raises a `WorkbenchError` if its client has had its share."""
    home: str = drawing.UP
    """Where the workbench is, to lead there; empty where these blocks stand alone."""
    usual: Mapping[str, str] = field(default_factory=dict)
    """What an address that names no feature stands for."""

    # -- for programs --------------------------------------------------------------------------------------------------

    def test(self, id: str, text: str, request: gr.Request) -> dict[str, Any]:  # noqa: D417  # nobody sends the request
        """Runs the model on a text and gives one feature's value at every token.

        Args:
            id: The feature as model/source/index, such as scribe-4l/2-res/78.
            text: A sentence or a paragraph, in plain text.

        Returns:
            Neuronpedia's activation: tokens and values (one a token), maxValue and maxValueTokenIndex.
        """
        try:
            self.count(request)
            return neuronpedia.activation(self._run(feature_key(self.workbench, id), text, None))
        except Exception as error:
            raise gr.Error(said(error), print_exception=False) from error

    def feature(self, id: str) -> dict[str, Any]:
        """Says what a feature is: its label, how often it is active, and the tokens that it promotes.

        Args:
            id: The feature as model/source/index, such as scribe-4l/2-res/78.

        Returns:
            id, label, density (fraction of tokens), maximum, hook, promotes and suppresses (tokens), testable.
        """
        try:
            return _facts(self._feature(id))
        except Exception as error:
            raise gr.Error(said(error), print_exception=False) from error

    # -- for readers ---------------------------------------------------------------------------------------------------

    async def opened(self, request: gr.Request) -> AsyncIterator[tuple[Any, ...]]:
        """The block as its address says, `?id=…&text=…`; a text is tested at once."""
        given = dict(request.query_params)
        if not given.get("id", "").strip():
            given = {**self.usual, **{name: value for name, value in given.items() if value.strip()}}
        async for state in self.named(given.get("id", ""), given.get("text", ""), request):
            yield state

    async def named(self, id: str, text: str, request: gr.Request) -> AsyncIterator[tuple[Any, ...]]:
        """(head, feature, whether it is asked for, text, whether one may be tested, result)."""
        asked, hidden = gr.update(visible=True), gr.update(visible=False)
        if not id.strip():
            yield drawing.nameless("Which feature?", home=self.home), id, asked, text, hidden, drawing.unnamed()
            return
        try:
            record = await to_thread.run_sync(self._feature, id)
        except Exception as error:
            head = drawing.nameless("No such feature", home=self.home)
            yield head, id, asked, text, hidden, drawing.message(said(error))
            return
        testable = "weights" in record.source.has
        form = gr.update(visible=testable)
        body = drawing.strongest(record) if testable else drawing.untestable(record)
        yield drawing.head(record, text, home=self.home), str(record.key), hidden, text, form, body
        if testable and text.strip():
            async for head, result in self.tested(str(record.key), text, request):
                yield head, str(record.key), hidden, text, form, result

    async def tested(self, id: str, text: str, request: gr.Request) -> AsyncIterator[tuple[Html, Html]]:
        """(head, result): how far the test is, and then what came of it."""
        head = gr.skip()
        try:
            record = await to_thread.run_sync(self._feature, id)
            head = drawing.head(record, text, home=self.home)
            self.count(request)
            context = contextvars.copy_context()
            job = Job(lambda tell: context.run(self._run, record.key, text, tell))
            async for stage in _stages(job, ready=self.workbench.ready(record.key.model_id)):
                yield head, drawing.waiting(stage)
            found = job.outcome()
            yield head, drawing.message(found) if isinstance(found, str) else drawing.tested(record, found)
        except Exception as error:
            yield head, drawing.message(said(error))

    # -- inside --------------------------------------------------------------------------------------------------------

    def _feature(self, id: str) -> FeatureRecord:
        return self.workbench.feature(feature_key(self.workbench, id))

    def _run(self, key: FeatureKey, text: str, tell: Tell | None) -> TestRecord:
        (record,) = self.workbench.test(key, text, tell=tell)
        return record


async def _stages(job: Job[TestRecord], *, ready: bool) -> AsyncIterator[str]:
    """What to say while the job is not done, each once; `ready`: the model is in memory."""
    told, waited = "", 0.0
    while not job.wait(0):
        pause = 0.02 if waited < AT_ONCE else EVERY
        await asyncio.sleep(pause)
        waited += pause
        stage = steps.words(job.step, ready=ready)
        if waited >= AT_ONCE and stage != told:
            yield (told := stage)


def blocks(workbench: Workbench, count: Callable[[gr.Request], None], **alone: Any) -> gr.Blocks:
    """The page: a head, a line to write in, and what came of it. Looks are in `embed.css`.

    `alone`: `home` and `usual` of `Tester`, where these blocks are all that is served.
    """
    do = Tester(workbench, count, **alone)
    with gr.Blocks(title="Featurescope: feature tester", analytics_enabled=False, fill_width=True) as page:
        head = html(drawing.nameless("Feature tester", home=do.home), "em-head")
        with gr.Row(visible=False, elem_id="em-ask", elem_classes="em-row") as asked:
            identity = line("model/source/index, or a link to a feature", "Feature")
            show = gr.Button("Show", variant="primary", scale=0, min_width=72)
        with gr.Row(visible=False, elem_id="em-form", elem_classes="em-row") as form:
            text = line("A sentence of your own", "Text to test on this feature")
            go = gr.Button("Test", variant="primary", scale=0, min_width=72)
        result = html(drawing.waiting("Opening…"), "em-result")
        everything = [head, identity, asked, text, form, result]
        page.load(do.opened, None, everything, **LINE)
        gr.on([show.click, identity.submit], do.named, [identity, text], everything, **LINE)
        gr.on([go.click, text.submit], do.tested, [identity, text], [head, result], **LINE)
        gr.api(do.test, api_name="test", queue=False, concurrency_limit=None)
        gr.api(do.feature, api_name="feature", queue=False, concurrency_limit=None)
    return page


def about(workbench: Workbench, given: Mapping[str, str]) -> About:
    """What a chat says of a tester that is linked to."""
    try:
        record = workbench.feature(feature_key(workbench, given.get("id", "")))
    except WorkbenchError:
        return About("Feature tester", "Test a feature of a sparse autoencoder on a text of your own.")
    title = f"{record.label} · {record.key}" if record.label else str(record.key)
    return About(title, "Test this feature on a text of your own.")


def _facts(record: FeatureRecord) -> dict[str, Any]:
    source = record.source
    return {
        "id": str(record.key),
        "label": record.label,
        "density": record.density,
        "maximum": record.maximum,
        "kind": source.kind,
        "hook": source.hook,
        "promotes": [one.token.text for one in record.top_logits[:10]],
        "suppresses": [one.token.text for one in record.bottom_logits[:10]],
        "testable": "weights" in source.has,
    }
