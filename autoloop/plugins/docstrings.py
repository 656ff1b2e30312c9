"""What a docstring in the form of numpydoc says, and of each attribute or parameter."""

from __future__ import annotations

import inspect
import re

_HEADING = re.compile(r"^(?P<title>\S[^\n]*)\n-{3,}\n", re.MULTILINE)
_ITEM = re.compile(
    r"^(?P<names>\w[\w, ]*?) : [^\n]*\n(?P<text>(?:[ ]+[^\n]*\n?|\n)*)", re.M
)


def summary(thing: object) -> str:
    """Return the first paragraph of a docstring as one line; "" if there is none.

    Examples
    --------
    >>> summary(summary)
    'Return the first paragraph of a docstring as one line; "" if there is none.'
    """
    return _joined(_prose(thing).partition("\n\n")[0])


def description(thing: object) -> str:
    """Return the paragraphs after the first, up to the first section."""
    paragraphs = _prose(thing).split("\n\n")[1:]
    return "\n\n".join(_joined(paragraph) for paragraph in paragraphs if paragraph)


def meanings(thing: object, section: str) -> dict[str, str]:
    """Return what a section of a docstring says of each name, each as one line.

    Parameters
    ----------
    thing : object
        Whose docstring is read.
    section : str
        ``Attributes`` or ``Parameters``.

    Examples
    --------
    >>> meanings(meanings, "Parameters")["section"]
    '``Attributes`` or ``Parameters``.'
    """
    text = inspect.cleandoc(getattr(thing, "__doc__", None) or "") + "\n"
    headings = list(_HEADING.finditer(text))
    ends = [*(heading.start() for heading in headings[1:]), len(text)]
    found = {}
    for heading, end in zip(headings, ends, strict=False):
        if heading["title"] != section:
            continue
        body = text[heading.end() : end]
        for item in _ITEM.finditer(body):
            for name in item["names"].split(","):
                found[name.strip()] = _joined(item["text"])
    return found


def _prose(thing: object) -> str:
    text = inspect.cleandoc(getattr(thing, "__doc__", None) or "")
    heading = _HEADING.search(text)
    return (text[: heading.start()] if heading else text).strip()


def _joined(text: str) -> str:
    return " ".join(text.split())
