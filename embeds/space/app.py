"""A Hugging Face Space of the Gradio SDK: one of Featurescope's embeds by itself.

`python -m core space` copies this file into the Space's folder, where `space.json` says which embed it is.
"""

from __future__ import annotations

try:  # of a ZeroGPU Space; it has to come before torch does
    import spaces
except ImportError:
    spaces = None

from pathlib import Path

from embeds import alone

demo = alone.blocks(Path(__file__).parent, gpu=getattr(spaces, "GPU", None))

if __name__ == "__main__":
    alone.launch(demo)
