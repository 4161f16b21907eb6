"""Reads what was written for people and programs with the parsers of Python's own library: mails, HTML, CSV, Markdown.

One JSON object a line comes in, `{"kind": ..., "text": ...}`, and one goes out with what the parser found.
"""

import csv
import email
import email.policy
import html
import html.parser
import io
import json
import re
import sys


class Page(html.parser.HTMLParser):
    """Tags in their order, attributes, and what people see of the text."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.tags, self.attributes, self.text, self.hidden = [], [], [], 0

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [[tag, name, value or ""] for name, value in attrs]
        self.hidden += tag in ("style", "title")

    def handle_endtag(self, tag):
        self.hidden -= tag in ("style", "title")

    def handle_data(self, data):
        if not self.hidden:
            self.text.append(data)

    def handle_comment(self, data):
        self.tags.append("!comment")

    def unknown_decl(self, data):
        self.tags.append("!declaration")


def read_html(text):
    page = Page()
    page.feed(text)
    page.close()
    return {"tags": page.tags, "attributes": page.attributes, "text": " ".join("".join(page.text).split())}


def read_mail(text):
    mail = email.message_from_bytes(text.encode("ascii"), policy=email.policy.default)
    defects = [str(defect) for part in mail.walk() for defect in part.defects]
    defects += [str(defect) for value in mail.values() for defect in getattr(value, "defects", ())]
    parts = []
    for part in mail.walk():
        if part.get_content_maintype() == "text":
            parts.append([part.get_content_type(), part.get_content()])
    pages = [read_html(content) for kind, content in parts if kind == "text/html"]
    return {
        "headers": list(mail.keys()),
        "subject": str(mail["Subject"]),
        "from": [str(address) for address in mail["From"].addresses],
        "to": [str(address) for address in mail["To"].addresses],
        "defects": defects,
        "kinds": [part.get_content_type() for part in mail.walk()],
        "plain": [content for kind, content in parts if kind == "text/plain"],
        "pages": pages,
    }


def read_csv(text):
    return list(csv.reader(io.StringIO(text, newline=""), strict=True))


def read_markdown(text):
    """A table: cells between pipes that no backslash stands before, escapes undone."""
    rows = []
    for line in text.splitlines():
        rows.append([html.unescape(re.sub(r"\\([\\|\[\]`*])", r"\1", cell)) for cell in split(line)])
    return rows


def split(line):
    cells, cell, escaped = [], "", False
    for c in line:
        if c == "|" and not escaped:
            cells.append(cell)
            cell = ""
        else:
            cell += c
        escaped = c == "\\" and not escaped
    cells.append(cell)
    # Before the first pipe and behind the last one nothing may stand.
    if len(cells) < 3 or cells[0].strip() or cells[-1].strip():
        raise ValueError(f"not a row of a table: {line!r}")
    return [cell[1:-1] for cell in cells[1:-1]]


READERS = {"mail": read_mail, "html": read_html, "csv": read_csv, "markdown": read_markdown}

for line in sys.stdin:
    asked = json.loads(line)
    print(json.dumps(READERS[asked["kind"]](asked["text"])))
