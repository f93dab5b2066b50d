"""How the command line writes: tables on standard output, a progress bar with rate and time left on standard error."""

from __future__ import annotations

import shutil
import sys
import time
import unicodedata
from collections.abc import Iterable, Sequence
from typing import TextIO

BAR = 24


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Columns as wide as they need to be; numbers to the right."""
    cells = [[_cell(value) for value in row] for row in rows]
    numeric = [all(_is_number(row[i]) for row in cells) and bool(cells) for i in range(len(header))]
    widths = [max(len(line[i]) for line in [list(header), *cells]) for i in range(len(header))]
    columns = list(zip(widths, numeric, strict=True))
    lines = [
        "  ".join(cell.rjust(w) if right else cell.ljust(w) for cell, (w, right) in zip(line, columns, strict=True))
        for line in [list(header), *cells]
    ]
    return "\n".join(line.rstrip() for line in lines)


def facts(pairs: Iterable[tuple[str, object]]) -> str:
    """Name and value, a line each."""
    known = [(name, _cell(value)) for name, value in pairs]
    width = max((len(name) for name, _ in known), default=0)
    return "\n".join(f"{name.ljust(width)}  {value}".rstrip() for name, value in known)


def visible(text: str) -> str:
    """A text on one line: line breaks and control characters shown, so that a corpus cannot steer the terminal."""
    return "".join("↵" if char == "\n" else char if char.isprintable() else "·" for char in text)


def visible_lines(text: str) -> str:
    """The same of a text that keeps its lines."""
    return "\n".join(visible(line) for line in text.split("\n"))


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int):
        return f"{value:,}"
    return visible(str(value))


def _is_number(cell: str) -> bool:
    return cell in {"", "-"} or cell.replace(",", "").replace(".", "").replace("e-", "").lstrip("-").isdigit()


class Bar:
    """Draws what a long job reports. On a terminal one line, redrawn; in a log a line now and then."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stderr
        self._live = self._out.isatty()
        self._what = ""
        self._began = self._drawn = 0.0
        self._first = 0.0

    def __call__(self, what: str, done: float, of: float) -> None:
        """Reports that `done` of `of` is done of `what`."""
        now = time.monotonic()
        if what != self._what:
            self._break()
            self._what, self._began, self._drawn, self._first = what, now, 0.0, done
        finished = done >= of > 0
        if not finished and now - self._drawn < (0.1 if self._live else 10.0):
            return
        self._drawn = now
        self._write(self._line(done, of, now - self._began))
        if finished:
            self._break()

    def close(self) -> None:
        """Ends the line that is being redrawn."""
        self._break()

    def _line(self, done: float, of: float, seconds: float) -> str:
        if of <= 1:  # a step that cannot be counted
            return self._what
        share = min(1.0, done / of)
        size = BAR
        rate = (done - self._first) / seconds if seconds > 0 else 0.0
        parts = [self._what, "", f"{done:,.0f} of {of:,.0f}"]
        if rate > 0:  # the first report of a step says nothing of its rate
            parts.append(f"{rate:,.0f}/s")
            parts.append(f"{_duration(seconds)} in all" if done >= of else f"{_duration((of - done) / rate)} left")
        if self._live:  # a line that wraps cannot be drawn over: the bar gives way, then the counts, then the end
            columns = shutil.get_terminal_size().columns - 1
            room = columns - len("  ".join(parts)) - 5
            if room < 4:
                room += len(parts.pop(2)) + 2
            size = max(4, min(BAR, room))
        parts[1] = f"{'█' * round(share * size):·<{size}} {share:4.0%}"
        line = "  ".join(parts)
        return line[:columns] if self._live else line

    def _write(self, line: str) -> None:
        self._out.write(f"\r\x1b[K{line}" if self._live else f"{line}\n")
        self._out.flush()

    def _break(self) -> None:
        if self._live and self._what:
            self._out.write("\n")
        self._what = ""


class Growing:
    """Draws a text that grows, over what it drew before; on a terminal only."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stderr
        self._live = self._out.isatty()
        self._lines = 0

    def __call__(self, text: str) -> None:
        """Shows the text so far, its end where it is longer than the terminal."""
        if not self._live:
            return
        columns, rows = shutil.get_terminal_size()
        lines = folded(text, columns - 1)[1 - rows :]
        self._write("\n".join(lines))
        self._lines = len(lines)

    def close(self) -> None:
        """Leaves nothing behind: whoever drew writes the whole at its place."""
        if self._lines:
            self._write("")
        self._lines = 0

    def _write(self, text: str) -> None:
        up = f"\x1b[{self._lines - 1}A" if self._lines > 1 else ""
        self._out.write(f"\r{up}\x1b[J{text}")
        self._out.flush()


def folded(text: str, columns: int) -> list[str]:
    """Its lines, cut where they are wider than so many columns."""
    lines = []
    for line in visible_lines(text).split("\n"):
        begin, width = 0, 0
        for at, char in enumerate(line):
            wide = _width(char)
            if width + wide > columns and at > begin:
                lines.append(line[begin:at])
                begin, width = at, 0
            width += wide
        lines.append(line[begin:])
    return lines


def _width(char: str) -> int:
    """Columns that a terminal gives it."""
    return 0 if unicodedata.combining(char) else 1 + (unicodedata.east_asian_width(char) in "WF")


def _duration(seconds: float) -> str:
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
