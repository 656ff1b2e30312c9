"""Small pieces of HTML. Whatever comes from a file goes through `text`."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Iterable, Sequence
from typing import Any, Final

COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Okabe and Ito: told apart by colour-blind readers."""


def text(value: object) -> str:
    """Return a value as text that HTML shows as it is, also inside attributes."""
    return html.escape(str(value), quote=True)


def number(value: float | None, form: str = ".3f", unit: str = "") -> str:
    r"""Return a number for people; an en dash where there is none.

    Examples
    --------
    >>> number(0.4538, ".3f", "J/m²")
    '0.454\u202fJ/m²'
    >>> number(None)
    '–'
    """
    if value is None:
        return "–"
    digits = format(value, form).replace("-", "−")
    if form.startswith("+") and not digits.strip("+−0."):
        digits = "0"  # neither more nor less
    return f"{digits}\u202f{unit}" if unit else digits


def percent(share: float | None) -> str:
    r"""Return a share of 1 in per cent; small ones as less than one.

    Examples
    --------
    >>> percent(0.8461), percent(1e-9)
    ('85\u202f%', '<\u202f1\u202f%')
    """
    if share is None:
        return "–"
    return "<\u202f1\u202f%" if share < 0.005 else f"{100 * share:.0f}\u202f%"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, kind: str = "") -> str:
    """Return a table of HTML cells, which scrolls sideways where it must.

    Parameters
    ----------
    head : sequence of str
        HTML of the head; may be empty.
    rows : iterable of sequences of str
        HTML of the cells.
    kind : str
        Class of the table.
    """
    top = "".join(f"<th>{cell}</th>" for cell in head)
    body = "".join(
        "<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>\n" for row in rows
    )
    header = f"<thead><tr>{top}</tr></thead>" if head else ""
    return (
        f'<div class="wide"><table class="{text(kind)}">{header}'
        f"<tbody>{body}</tbody></table></div>"
    )


def bar(share: float, label: str, colour: str = COLOURS[0]) -> str:
    """Return a bar of a share of 1 with a label behind it."""
    width = 100 * min(max(share, 0.0), 1.0)
    return (
        f'<span class="bar"><i style="width:{width:.1f}%;background:{colour}"></i>'
        f"</span> {label}"
    )


def data_uri(kind: str, content: bytes) -> str:
    """Return bytes as an address that holds them."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def download(name: str, content: str | bytes, label: str, kind: str) -> str:
    """Return a link that saves a file."""
    raw = content.encode() if isinstance(content, str) else content
    return (
        f'<a class="file" download="{text(name)}" href="{data_uri(kind, raw)}">'
        f"{text(label)}</a>"
    )


def script_json(value: Any) -> str:
    """Return JSON that cannot end the script element it stands in."""
    dumped = json.dumps(value, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        dumped = dumped.replace(character, f"\\u{ord(character):04x}")
    return dumped


def section(key: str, title: str, body: str) -> str:
    """Return a section with its heading; nothing if it has no content."""
    if not body:
        return ""
    return f'<section id="{text(key)}"><h2>{text(title)}</h2>\n{body}\n</section>\n'
