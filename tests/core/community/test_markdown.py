"""What strangers write is shown, and never runs: Markdown as HTML of a few harmless tags."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from core.community import markdown
from tests import xss

MARKS = "\n", "\n\n", " ", "> ", "* ", "1. ", "`", "```", "[", "](", ")", "![", "<", ">", '"', "'", "&", "#", "|"
PIECES = [*xss.ALL, *MARKS]


def test_the_corpus_is_large_and_says_nothing_twice():
    assert len(xss.ALL) >= 60 and len(set(xss.ALL)) == len(xss.ALL)


@pytest.mark.parametrize("text", xss.ALL)
def test_no_known_attack_gets_a_tag_through(text):
    assert xss.dangers(markdown.html(text)) == []


@settings(deadline=None)
@given(some.lists(some.one_of(some.sampled_from(PIECES), some.text(max_size=12)), max_size=14).map("".join))
def test_nothing_at_all_gets_a_tag_through(text):
    assert xss.dangers(markdown.html(text)) == []


def test_the_check_would_notice():
    """A test that cannot fail is none: the same check finds what is wrong in HTML that is not made safe."""
    found = [text for text in (*xss.TAGS, *xss.HANDLERS, *xss.FRAMES) if "<" in text and xss.dangers(text)]
    assert len(found) > 55
    assert xss.dangers('<a href="//evil.example" rel="nofollow ugc noopener">x</a>')
    assert xss.dangers('<a href="https://example.org">x</a>')


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("*a* **b** `c < d`", "<p><em>a</em> <strong>b</strong> <code>c &lt; d</code></p>"),
        ("one\ntwo", "<p>one<br />\ntwo</p>"),
        ("~~gone~~", "<p><s>gone</s></p>"),
        ("```python\na < b\n```", "<pre><code>a &lt; b\n</code></pre>"),
        ("# large", "<h4>large</h4>"),
        ("###### small", "<h6>small</h6>"),
        ("<b>bold</b>", "<p>&lt;b&gt;bold&lt;/b&gt;</p>"),
        ("[here](/feature?id=m/3-res/7)", f'<p><a href="/feature?id=m/3-res/7" rel="{markdown.REL}">here</a></p>'),
        (
            "<https://example.org/?a=1&b=2>",
            f'<p><a href="https://example.org/?a=1&amp;b=2" rel="{markdown.REL}" target="_blank">'
            "https://example.org/?a=1&amp;b=2</a></p>",
        ),
        (
            "<me@example.org>",
            f'<p><a href="mailto:me@example.org" rel="{markdown.REL}" target="_blank">me@example.org</a></p>',
        ),
        (
            "![a cat](https://x.org/cat.png)",
            f'<p><a href="https://x.org/cat.png" rel="{markdown.REL}" target="_blank">a cat</a></p>',
        ),
        ("[![a cat](https://x.org/c.png)](/home)", f'<p><a href="/home" rel="{markdown.REL}">a cat</a></p>'),
        (
            "![](https://x.org/c.png)",
            f'<p><a href="https://x.org/c.png" rel="{markdown.REL}" target="_blank">https://x.org/c.png</a></p>',
        ),
        ("[x](javascript:alert(1))", "<p>[x](javascript:alert(1))</p>"),
        ("", ""),
    ],
)
def test_what_becomes_of(text, html):
    assert markdown.html(text) == html


def test_no_heading_is_larger_than_the_pages():
    tags = {tag for level in range(1, 7) for tag, _ in xss.Reader(markdown.html("#" * level + " x")).tags}
    assert tags == {"h4", "h5", "h6"}


def test_an_image_is_never_loaded():
    for text in ("![x](https://evil.example/p.png)", "[![x](https://evil.example/p.png)](https://example.org)"):
        assert "<img" not in markdown.html(text)


def test_words_without_their_marks():
    assert markdown.plain("# One\n\n*two* [three](https://x.org) `four`\nfive") == "One two three four five"
    assert markdown.plain("![a cat](https://x.org/c.png) and <b>more</b>") == "a cat and <b>more</b>"
    assert markdown.plain("one two three", 8) == "one two…"
    assert markdown.plain("") == ""


def test_deep_nesting_is_cheap():
    for text in (">" * 5000, "*" * 5000, "[" * 5000, "`" * 5000, "![" * 2500, "- " * 2500):
        assert xss.dangers(markdown.html(text)) == []
