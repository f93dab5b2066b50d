"""What a Space says of itself: front matter and README, .gitattributes, and the Dockerfile made from this repository's.

Strings from records. What comes from a name or a label is written so that neither YAML nor Markdown reads it as its own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlencode

from core.errors import NotAvailable
from core.records import SourceRecord
from core.space.data import BUILT, WEIGHTS
from core.space.licences import UNKNOWN, Licence

App = Literal["tester", "steer", "workbench"]
TITLES: dict[App, str] = {"tester": "Feature tester", "steer": "Feature steering", "workbench": "Featurescope"}
DESCRIBED: dict[App, str] = {  # the hub shows some sixty characters
    "tester": "Test a sparse autoencoder's features on your own text",
    "steer": "Steer a language model with a sparse autoencoder",
    "workbench": "Look at what sparse autoencoders find in a model",
}
LARGE = ("*.safetensors", "*.arrow", "*.bin", "*.model")
"""Kept in large-file storage."""
FRAMERS = "https://huggingface.co https://*.hf.space"
"""Who may show the workbench in a frame: the page of the Space, and other Spaces."""
IN_IMAGE = {
    "FEATURESCOPE_DEMO": f"/app/{BUILT}", "FEATURESCOPE_THREADS": "2", "FEATURESCOPE_MEMORY_MB": "8192",
    "FRAME_ANCESTORS": f'"{FRAMERS}"', "FEATURESCOPE_PEOPLE": "shared", "FEATURESCOPE_FRAMED": "1",
}  # fmt: skip
"""Besides what the repository's Dockerfile sets. A container sees the whole machine's cores and memory, hence both."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a README is written from."""

    app: App
    title: str
    gradio: str
    """Its version."""
    sources: Sequence[SourceRecord]
    licences: Sequence[Licence]
    files: Mapping[Licence, str]
    """Where in the Space the text of a licence is."""
    hub: Sequence[str]
    usual: Mapping[str, str]


def readme(facts: Facts) -> str:
    """The README.md, with the lines at its top that make the folder a Space."""
    body = _docker(facts) if facts.app == "workbench" else _gradio(facts)
    return f"{front_matter(facts)}\n# {markdown(facts.title)}\n\n{body}\n\n{_licences(facts)}\n"


def front_matter(facts: Facts) -> str:
    """The lines of YAML; a JSON string is one of YAML's."""
    docker = facts.app == "workbench"
    lines = [f"title: {_yaml(facts.title)}", "colorFrom: green", "colorTo: gray"]
    if docker:
        lines += ["sdk: docker", "app_port: 7860"]
        if "id" in facts.usual:
            lines.append(f"base_path: {_yaml(_page(facts.usual))}")
    else:
        lines += ["sdk: gradio", f"sdk_version: {facts.gradio}", 'python_version: "3.11"', "app_file: app.py"]
    names = {licence.name.lower() for licence in facts.licences}
    lines += [
        f"license: {names.pop() if len(names) == 1 and names <= {'mit', 'apache-2.0', 'cc-by-4.0', 'cc0-1.0'} else 'other'}",
        f"short_description: {_yaml(DESCRIBED[facts.app])}",
    ]
    if facts.hub:
        own = sorted(set(facts.hub))
        lines += ["models:", *(f"  - {_yaml(name)}" for name in own)]
        if not docker:
            lines += ["preload_from_hub:", *(f"  - {_yaml(name)}" for name in own)]
    return "\n".join(["---", *lines, "---", ""])


def _page(usual: Mapping[str, str]) -> str:
    """The page of a feature, with a text in its test box."""
    given = {"id": usual["id"]} | ({"defaulttesttext": usual["text"]} if "text" in usual else {})
    return "/feature?" + urlencode(given, safe="/")


def _yaml(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def markdown(text: str) -> str:
    """Text as data in Markdown: neither emphasis nor a link nor HTML comes of it."""
    return re.sub(r"([\\`*_{}\[\]<>#|~&!])", r"\\\1", " ".join(text.split()))


SHOWN = {
    "tester": "Write a sentence: each token is coloured by how active a feature of a sparse autoencoder is on it.",
    "steer": (
        "Write how a text begins, and move the slider: the model goes on twice, as it is and with a feature of a sparse "
        "autoencoder pinned. Colours say which tokens that made likelier, and which less likely."
    ),
}
PARAMETERS = {
    "tester": "`?id=MODEL/SOURCE/INDEX&text=…`",
    "steer": "`?id=MODEL/SOURCE/INDEX&prompt=…&strength=30` (several: `id=a,b&strength=30,-10`; also `method`, `length`, `temperature`, `seed`)",
}
CALLS = {
    "tester": 'client.predict(id="{id}", text="{text}", api_name="/test")',
    "steer": 'client.predict(id="{id}", prompt="{text}", strength="30", api_name="/steer")',
}


def _gradio(facts: Facts) -> str:
    app = facts.app
    identity = facts.usual.get("id") or f"{facts.sources[0].key}/0"
    call = CALLS[app].format(id=identity.split(",")[0], text="The old house was")
    return f"""{SHOWN[app]}

{_sources(facts)}

What it shows is in its address, {PARAMETERS[app]}, so a post can have it in a frame:

```html
<iframe src="https://USER-NAME.hf.space/?id={identity}" width="540" height="{300 if app == "tester" else 420}" style="border:0"></iframe>
```

`__theme=light` or `dark` chooses how it looks. A program calls the same thing, and so does an agent, at `/gradio_api/mcp/`:

```python
from gradio_client import Client

client = Client("USER/NAME")
{call}
```

It runs on the free hardware (2 cores, 16 GB). Variables of the Space: `FEATURESCOPE_THREADS` (2) and
`FEATURESCOPE_MEMORY_MB` (8192) for larger hardware, `FEATURESCOPE_DEVICE=cuda` for hardware with a graphics card; on ZeroGPU
it asks for one by itself. Written by `python -m core space`."""


def _docker(facts: Facts) -> str:
    return f"""A workbench for people who study language models with sparse autoencoders: what each feature responds to, what it
does, and what it makes of your own text.

{_sources(facts)}

`PIP_ARGS`, a variable of the Space that is handed to the build, can name an index of CPU wheels (`--index-url …`), which makes
the image much smaller. Persistent storage, mounted at `/data`, keeps saved runs and what is built there. For larger hardware
set `FEATURESCOPE_THREADS` (2) and `FEATURESCOPE_MEMORY_MB` (8192).

Stars, lists, comments and test suites are switched off, since whoever opens a Space would be the same person. They are
there with a Supabase project behind the Space: set its `SUPABASE_URL` and `SUPABASE_KEY` (and the secret `SUPABASE_SECRET_KEY`
for API keys) in the Space's settings, and `FEATURESCOPE_ADDRESS` to `https://USER-NAME.hf.space`.

On the hub's page the workbench is in a frame of another site, which `FRAME_ANCESTORS` allows to `{FRAMERS}` and nobody else. A
browser may keep that frame's cookies from it. Signing in needs one, and Streamlit's protection against forged uploads does:
open `https://USER-NAME.hf.space` itself if something asks for a cookie. Links are to be shared from there too, since
the hub's page does not show the workbench's address. Written by `python -m core space`."""


def _sources(facts: Facts) -> str:
    rows = [
        f"| `{one.key}` | {one.kind} | `{one.hook}` | {one.width:,} | {markdown(one.release.name)} |"
        for one in facts.sources
    ]
    return "\n".join(["| source | kind | hook | features | release |", "|---|---|---|---|---|", *rows])


def _licences(facts: Facts) -> str:
    """A row a licence, with all parts that stand under it."""
    rows: dict[tuple[str, str, str], list[str]] = {}
    for one in facts.licences:
        rows.setdefault((one.name, facts.files.get(one, ""), one.link), []).append(one.part)
    lines = ["## Licences", "", "| what | licence |", "|---|---|"]
    for (name, file, link), parts in rows.items():
        said = "**not stated: say it here before you make this Space public**" if name == UNKNOWN else markdown(name)
        more = f" ([text]({file}))" if file else f" (<{link}>)" if link else ""
        lines.append(f"| {markdown(', '.join(parts))} | {said}{more} |")
    return "\n".join(lines)


def gitattributes() -> str:
    """Large files go into large-file storage, as the hub wants it of everything above 10 MB."""
    return "".join(f"{pattern} filter=lfs diff=lfs merge=lfs -text\n" for pattern in LARGE)


def dockerfile(own: str, folders: Sequence[str]) -> str:
    """This repository's Dockerfile for the Space: its data in place of the demo, and who may frame it.

    Raises:
        NotAvailable: it is not as it was when this was written.
    """
    copies = "\n".join(f"COPY {folder} {folder}" for folder in folders if folder in (BUILT, WEIGHTS))
    more = " ".join(f"{name}={value}" for name, value in IN_IMAGE.items())
    head = (
        "# The workbench as a Hugging Face Space; written by `python -m core space` from Featurescope's own Dockerfile.\n"
        '#   docker build -t space --build-arg PIP_ARGS="--index-url <an index of CPU wheels>" .\n\n'
    )
    text = own[own.index("ARG PYTHON") :] if "ARG PYTHON" in own else own
    for there, wanted in (
        ("COPY demo demo\n", f"{copies}\n"),
        ("ENV PATH=/venv/bin:$PATH ", f"ENV PATH=/venv/bin:$PATH {more} "),
    ):
        if text.count(there) != 1:
            raise NotAvailable(f"The Dockerfile has no line “{there.strip()}” to put the Space's own in its place.")
        text = text.replace(there, wanted)
    return head + text
