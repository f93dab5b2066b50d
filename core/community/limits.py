"""How long, how many: every bound of what people write, in one place.

The SQLite store checks them before it writes; on Supabase the same bounds are constraints of the database
(`supabase/migrations`), so that they hold for whoever talks to it directly. A contract test writes the longest and one
more on both.
"""

from __future__ import annotations

import re

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{1,31}")
"""A person's name: it stands in addresses."""
ABOUT = 500
"""Characters a person may say about themselves."""
TITLE = 120
"""Characters of a list's or a suite's name."""
DESCRIPTION = 2_000
TEST_TEXT = 10_000
NOTE = 2_000
"""Characters of the note to a feature of a list."""
WEIGHT = 1_000.0
"""Of a feature of a list that steers as one unit, either way."""
ITEMS = 1_000
"""Features of a list."""
LISTS = 500
"""Lists of a person."""
COMMENT = 5_000
REASON = 500
"""Characters of a report, or of a moderator's reason."""
CASES = 200
"""Texts of a test suite."""
CASES_BYTES = 200_000
"""Of a suite's texts as JSON in UTF-8, which is how PostgreSQL writes them too."""
RESULTS_BYTES = 400_000
"""The same of a run's results."""
SUITES = 500
LINK = 16_000
SAVED_NAME = 200
SAVED = 2_000
"""Saved views of a person."""
RECORD_BYTES = 300_000
"""Of a steering run that is kept with its outputs."""
KEYS = 20
"""API keys of a person that are in force."""
KEY_NAME = 80
INDEX = 2**53 - 1
"""The largest index that JSON's numbers hold."""
EXPLANATION = 1_000
"""Characters of what a person says that a feature means."""
MEANINGS = 10
"""Of one explanation."""
PACES = {
    "explanations": (120, "explanations"), "explanation_votes": (1_200, "votes"), "explanation_marks": (600, "marks"),
    "plays": (240, "rounds"), "campaigns": (20, "campaigns"),
}  # fmt: skip
"""How many of a table a person adds in an hour, and what they are called."""
CAMPAIGN = 100
"""Sources of a campaign."""
ANSWER_BYTES = 4_000
"""Of an answer to a round as JSON."""
