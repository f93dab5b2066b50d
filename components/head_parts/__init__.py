"""The style of the pages of attention heads, as one tag."""

from __future__ import annotations

from pathlib import Path

STYLE = f"<style>\n{(Path(__file__).parent / 'page.css').read_text()}\n</style>"
