"""Steering for a post, as Gradio blocks: a prompt, a strength, and what the model writes without and with it.

Both texts grow side by side from one run of the workbench. Runs wait in its line, with everybody else's
(`core.models.line`); Gradio's queue lets all through, as in `embeds.tester`, which says why the named endpoint is not
queued. Of a session one run is at work: another one, the stop button and a reader who leaves end it. What was written
whole is kept in memory for a while, so that a post with many readers runs the model once. Costs a thread a run.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import gradio as gr
from anyio import to_thread

from components.markup import Html, join
from components.steer_run import Lately, Run
from components.steer_view import View
from core.errors import WorkbenchError
from core.interchange import steering
from core.records import SteerAsk, SteerRecord
from core.workbench import Workbench
from embeds import drawing, steer_asked, steer_drawing
from embeds.page import About
from embeds.shared import LINE, gone, html, line, said, within
from embeds.steer_asked import NAMES

__all__ = ["NAMES", "about", "blocks"]

EVERY = 0.15
"""Seconds between two looks at a run."""
KEPT = 64
"""Whole runs kept in memory."""


@dataclass(frozen=True, slots=True)
class Steer:
    """The blocks' functions, over one workbench."""

    workbench: Workbench
    count: Callable[[gr.Request], None]
    """Counts a request that runs a model; raises a `WorkbenchError` if its client has had its share."""
    home: str = drawing.UP
    """Where the workbench is, to lead there; empty where these blocks stand alone."""
    usual: Mapping[str, str] = field(default_factory=dict)
    """What an address that names no feature stands for."""
    _runs: dict[str, Run] = field(default_factory=dict)
    """By session, what is at work."""
    _lately: Lately[SteerRecord] = field(default_factory=lambda: Lately(KEPT))

    # -- for programs --------------------------------------------------------------------------------------------------

    async def steer(  # noqa: D417  # nobody sends the request
        self,
        id: str,
        prompt: str,
        strength: str = "",
        method: str = "add",
        length: int = 48,
        temperature: float = 0.7,
        seed: int = 16,
        request: gr.Request = None,  # type: ignore[assignment]  # Gradio gives it
    ) -> dict[str, Any]:
        """Has the model go on from a prompt twice: as it is, and with features of it pinned up or down.

        Args:
            id: The feature as model/source/index, such as scribe-4l/2-res/78; several with commas between.
            prompt: How the text begins.
            strength: How strongly, in units of the feature's value: 30, or -30; of several features 30,-10, in their order. Without it one and a half times the feature's maximum.
            method: add (the feature's direction times the strength), orthogonal, clamp (its value to the strength), cap, or ablate.
            length: Tokens to generate at most.
            temperature: 0 to 2; 0 takes the likeliest token each time.
            seed: The same seed, the same texts.

        Returns:
            Neuronpedia's answer: STEERED and DEFAULT, what was generated without the prompt; the log-probability of each token; and effect, what steering does to the next token at the prompt's end.
        """  # noqa: E501  # each is one line in the descriptions that Gradio makes of it
        given = {
            "id": id, "prompt": prompt, "strength": strength, "method": method, "length": length,
            "temperature": temperature, "seed": seed,
        }  # fmt: skip
        try:
            ask = await to_thread.run_sync(steer_asked.ask, self.workbench, given)
            self.count(request)
            return await self._whole(ask, request)
        except Exception as error:
            raise gr.Error(said(error), print_exception=False) from error

    async def _whole(self, ask: SteerAsk, request: gr.Request) -> dict[str, Any]:
        run = self._run(ask)
        try:
            while not run.wait(0):
                await asyncio.sleep(EVERY)
                if await gone(request):
                    return {}
        finally:
            run.stop()
        if run.message:
            raise WorkbenchError(run.message)
        assert run.record is not None  # it ended well
        return steering.completion(run.record)

    # -- for readers ---------------------------------------------------------------------------------------------------

    async def opened(self, request: gr.Request) -> AsyncIterator[tuple[Any, ...]]:
        """The block as its address says; a prompt is gone on from at once."""
        given = {name: value for name, value in dict(request.query_params).items() if value.strip()}
        if not given.keys() & {"id", "features"}:
            given = {**self.usual, **given}
        async for state in self._shown(given, request):
            yield state

    async def named(self, id: str, prompt: str, request: gr.Request) -> AsyncIterator[tuple[Any, ...]]:
        """The block of a feature that was typed in."""
        async for state in self._shown({"id": id, "prompt": prompt}, request):
            yield state

    async def _shown(self, given: Mapping[str, str], request: gr.Request) -> AsyncIterator[tuple[Any, ...]]:
        """Everything there is to see, in the order of the blocks' outputs."""
        id, prompt = given.get("id", ""), given.get("prompt", "")
        asked, hidden = gr.update(visible=True), gr.update(visible=False)
        bare = ("", id, asked, "", gr.skip(), hidden, prompt, hidden, *_buttons(at_work=False))
        if not given.keys() & {"id", "features"} or not (id + given.get("features", "")).strip():
            yield drawing.nameless("Which feature?", home=self.home), *bare, drawing.unnamed()
            return
        try:
            view, wrong = await to_thread.run_sync(steer_asked.view, self.workbench, given)
        except Exception as error:
            yield drawing.nameless("Nothing to steer", home=self.home), *bare, drawing.message(said(error))
            return
        notes = steer_drawing.wrong(wrong)
        if not view.features:
            yield drawing.nameless("No such feature", home=self.home), *bare, notes or drawing.unnamed()
            return
        row, slider = _slider(view)
        block = (
            steer_asked.link(view), id, hidden, steer_drawing.strengths(view), slider, row, prompt, asked,
        )  # fmt: skip
        begin = join([notes, await to_thread.run_sync(self._beginning, view)])
        yield steer_drawing.head(view, self.home), *block, *_buttons(at_work=False), begin
        if prompt.strip():
            kept = (gr.skip(),) * len(block)  # the reader may be at them already
            async for head, write, stop, result in self._written(view, notes, request):
                yield head, *kept, write, stop, result

    async def written(
        self, link: object, prompt: object, amount: object, request: gr.Request
    ) -> AsyncIterator[tuple[Any, ...]]:
        """(head, the two buttons, result), as both texts grow. What it is given is what the browser sent."""
        try:
            given = steer_asked.unlink(str(link)) | {"prompt": str(prompt or "")}
            view, wrong = await to_thread.run_sync(steer_asked.view, self.workbench, given)
            view = steer_asked.turned(view, amount)
        except Exception as error:
            yield gr.skip(), *_buttons(at_work=False), drawing.message(said(error))
            return
        async for state in self._written(view, steer_drawing.wrong(wrong), request):
            yield state

    async def _written(self, view: View, notes: Html, request: gr.Request) -> AsyncIterator[tuple[Any, ...]]:
        session, head = request.session_hash or "", steer_drawing.head(view, self.home)
        if session in self._runs:
            self._runs[session].stop()
        try:
            ready = self.workbench.ready(view.ask.model_id)
            run = self._runs[session] = self._begun(view.ask, request)
        except Exception as error:
            yield head, *_buttons(at_work=False), drawing.message(said(error))
            return
        try:
            async for at_work in _looks(run, request):
                if self._runs.get(session) is not run:
                    return  # another one writes in its place
                result = steer_drawing.texts(run, ready=ready, before=notes)
                yield head, *_buttons(at_work=at_work), result
            if run.state == "done" and run.record is not None:
                self._lately.put(self._name(view.ask), run.record)
        finally:
            run.stop()
            if self._runs.get(session) is run:
                del self._runs[session]

    def stopped(self, request: gr.Request) -> None:
        """Ends the session's run where it is; what shows it then says so."""
        run = self._runs.get(request.session_hash or "")
        if run is not None:
            run.stop()

    # -- inside --------------------------------------------------------------------------------------------------------

    def _beginning(self, view: View) -> Html:
        """What stands where the texts will: how to begin, and where the feature fires by itself."""
        (known, *others), key = view.features, view.ask.pushes[0].key
        begin = Html('<p class="em-said">Write how a text begins: the model goes on, without steering and with it.</p>')
        if others or known.own or "dashboards" not in self.workbench.source(key.source).has:
            return begin
        return join([begin, drawing.strongest(self.workbench.feature(key))])

    def _begun(self, ask: SteerAsk, request: gr.Request) -> Run:
        """A run, at work or done before; raises what keeps it from being begun."""
        done = self._lately.get(self._name(ask))
        if done is None:
            self.count(request)
        return self._run(ask, done)

    def _run(self, ask: SteerAsk, done: SteerRecord | None = None) -> Run:
        context = contextvars.copy_context()
        return Run(lambda tell: within(context, self.workbench.steering(ask, tell=tell)), done)

    def _name(self, ask: SteerAsk) -> tuple[object, ...]:
        """What a run is known by: the ask, and which builds of the sources it is about."""
        known = {source.key: (source.built, source.dataset_sha256) for source in self.workbench.sources()}
        return ask, *(known.get(push.key.source) for push in ask.pushes)


async def _looks(run: Run, request: gr.Request) -> AsyncIterator[bool]:
    """Each time that there is more to see of a run: whether it is at work. Ends with it, or when nobody looks."""
    seen: object = None
    while not await gone(request):
        at_work = not run.ended
        now = (run.state, id(run.record), run.step)
        if now != seen:
            yield at_work
            seen = now
        if not at_work:
            return
        await asyncio.sleep(EVERY)


def _buttons(*, at_work: bool) -> tuple[Any, Any]:
    """Of the two buttons, which one is shown."""
    return gr.update(visible=not at_work), gr.update(visible=at_work)


def _slider(view: View) -> tuple[Any, Any]:
    """(whether the strengths are shown, the slider)."""
    knob = steer_asked.knob(view)
    shown = gr.update(visible=bool(view.features))
    if knob is None:
        return shown, gr.update(visible=False)
    label = "All strengths, times" if knob.times else "Strength"
    return shown, gr.update(
        visible=True, minimum=knob.low, maximum=knob.high, step=knob.step, value=knob.value, label=label
    )


def blocks(workbench: Workbench, count: Callable[[gr.Request], None], **alone: Any) -> gr.Blocks:
    """The page: a head, the prompt, the strengths, and both texts. Looks are in `embed.css`.

    `alone`: `home` and `usual` of `Steer`, where these blocks are all that is served.
    """
    do = Steer(workbench, count, **alone)
    with gr.Blocks(title="Featurescope: steering", analytics_enabled=False, fill_width=True) as page:
        head = html(drawing.nameless("Steering", home=do.home), "em-head")
        link = gr.Textbox(visible=False)
        with gr.Row(visible=False, elem_id="em-ask", elem_classes="em-row") as asked:
            identity = line("model/source/index, or a link to a feature", "Feature")
            show = gr.Button("Show", variant="primary", scale=0, min_width=72)
        with gr.Row(visible=False, elem_id="em-form", elem_classes="em-row") as form:
            prompt = line("How the text begins", "Prompt to go on from")
            write = gr.Button("Write", variant="primary", scale=0, min_width=72)
            stop = gr.Button("Stop", scale=0, min_width=72, visible=False, elem_id="em-stop")
        with gr.Row(visible=False, elem_id="em-strength", elem_classes="em-row") as row:
            slider = gr.Slider(label="Strength", container=False, buttons=[])
            strengths = html(Html(""), "em-pushes")
        result = html(drawing.waiting("Opening…"), "em-result")
        own = [head, write, stop, result]
        everything = [head, link, identity, asked, strengths, slider, row, prompt, form, write, stop, result]
        page.load(do.opened, None, everything, **LINE)
        gr.on([show.click, identity.submit], do.named, [identity, prompt], everything, **LINE)
        gr.on(
            [write.click, prompt.submit, slider.release], do.written, [link, prompt, slider], own,
            trigger_mode="multiple", preprocess=False, **LINE,
        )  # fmt: skip  # Gradio would refuse a strength beyond the slider with a message of its own
        stop.click(do.stopped, None, None, queue=False, **LINE)
        gr.api(do.steer, api_name="steer", queue=False, concurrency_limit=None)
    return page


def about(workbench: Workbench, given: Mapping[str, str]) -> About:
    """What a chat says of a steering embed that is linked to."""
    try:
        view, _ = steer_asked.view(workbench, given)
    except WorkbenchError:
        view = None
    if view is None or not view.features:
        return About("Steering", "Pin a feature of a language model up or down, and read what it then writes.")
    known = view.features[0]
    title = f"Steering: {known.label or known.key}" + (" and others" if len(view.features) > 1 else "")
    return About(title, "What the model writes without this feature pinned, and with it.")
