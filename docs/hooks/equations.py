"""Equations of a page as vector graphics in the page itself.

Matplotlib sets them, so that a built page needs no script and no network. A page asks
for it with `equations: true` in its head; then `$...$` is an equation in the line and
`$$...$$`, on lines of its own, a displayed one.
"""

from __future__ import annotations

import html
import re
from functools import cache
from typing import Any

_FENCE = re.compile(r"^(```|~~~).*?^\1[ \t]*$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`[^`\n]+`")
_DISPLAYED = re.compile(r"^\$\$\n?(.+?)\n?\$\$$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"(?<![\\$])\$([^$\n]+?)\$")
_TOKEN = "\ue000{}\ue001"
"""Stands for an equation while the page is Markdown; no text has these characters."""
_SIZE = 12.0
"""Type size in which equations are set [points]."""
_PER_EM = 1.08
"""Size of equations over that of the text around them."""

_of_page: list[str] = []


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Put a token in the place of each equation."""
    _of_page.clear()
    if not page.meta.get("equations"):
        return markdown
    kept: list[str] = []

    def keep(match: re.Match[str]) -> str:
        kept.append(match[0])
        return f"\ue002{len(kept) - 1}\ue003"

    def displayed(match: re.Match[str]) -> str:
        tex = " ".join(match[1].split()).replace(r"\frac", r"\dfrac")
        return f"\n{_token(_svg(tex), 'displayed')}\n"

    def inline(match: re.Match[str]) -> str:
        return _token(_svg(match[1]), "inline")

    text = _CODE.sub(keep, _FENCE.sub(keep, markdown))
    text = _INLINE.sub(inline, _DISPLAYED.sub(displayed, text))
    # Inline code was taken out of a text in which fences were tokens: in that order.
    for k in reversed(range(len(kept))):
        text = text.replace(f"\ue002{k}\ue003", kept[k])
    return text


def on_page_content(page_html: str = "", **arguments: Any) -> str:
    """Put the equations in the place of their tokens."""
    text = arguments.get("html", page_html)
    for k, drawn in enumerate(_of_page):
        token = _TOKEN.format(k)
        text = text.replace(f"<p>{token}</p>", drawn).replace(token, drawn)
    return text


def _token(svg: str, kind: str) -> str:
    tag = "div" if kind == "displayed" else "span"
    _of_page.append(f'<{tag} class="equation-{kind}">{svg}</{tag}>')
    return _TOKEN.format(len(_of_page) - 1)


@cache
def _svg(tex: str) -> str:
    """Return an equation as the text of an SVG element, its baseline on the text's."""
    import matplotlib as mpl
    from matplotlib.font_manager import FontProperties
    from matplotlib.mathtext import MathTextParser
    from matplotlib.textpath import TextPath

    with mpl.rc_context({"mathtext.fontset": "stix"}):
        font = FontProperties(size=_SIZE)
        parsed = MathTextParser("path").parse(f"${tex}$", dpi=72, prop=font)
        path = TextPath((0, 0), f"${tex}$", size=_SIZE, prop=font)
    width, height, depth = parsed[:3]
    scale = _PER_EM / _SIZE
    margin = 0.6  # strokes of glyphs reach a little beyond their boxes
    low, tall, wide = -depth - margin, height + 2 * margin, width + 2 * margin
    return (
        f'<svg role="img" aria-label="{html.escape(tex)}" '
        f'style="width:{wide * scale:.3f}em;height:{tall * scale:.3f}em;'
        f'vertical-align:{low * scale:.3f}em" '
        f'viewBox="{-margin} {-(height - depth) - margin:.2f} {wide:.2f} {tall:.2f}">'
        f'<path d="{_outline(path)}" fill="currentColor"/></svg>'
    )


def _outline(path: Any) -> str:
    """Return the d of an SVG path, y down."""
    letters = {1: "M", 2: "L", 3: "Q", 4: "C", 79: "Z"}
    parts = []
    for points, code in path.iter_segments(simplify=False):
        pairs = points.reshape(-1, 2) * (1, -1)
        numbers = "" if code == 79 else " ".join(f"{v:.2f}" for v in pairs.ravel())
        parts.append(letters[int(code)] + numbers)
    return "".join(parts)
