"""A plain HTML page of the API, from its OpenAPI description, without other resources."""

import base64
import hashlib
from collections.abc import Mapping
from html import escape
from typing import Any

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;"
    "padding:0 1rem;color:#1c1f24;background:#fff}"
    "code{font-family:ui-monospace,monospace}"
    "section{border-top:1px solid #d4d8de;padding:.5rem 0}"
    "td,th{text-align:left;padding:.1rem 1rem .1rem 0;vertical-align:top}"
    "@media(prefers-color-scheme:dark){body{color:#e6e8eb;background:#16181c}"
    "a{color:#8ab4f8}section{border-color:#3a3f47}}"
)

# Allows this style, by its hash, and nothing else: a script in a description would not run.
POLICY = (
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "style-src 'sha256-"
    + base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    + "'"
)


def write_document(description: Mapping[str, Any]) -> str:
    """Returns the page as HTML.

    Args:
        description: OpenAPI description of the API.
    """
    about = description["info"]
    title = escape(f"{about['title']} {about['version']}")
    sections = [
        _section(path, method, route)
        for path, methods in description["paths"].items()
        for method, route in methods.items()
    ]
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}'
        '</title><meta name="viewport" content="width=device-width">'
        f"<style>{_STYLE}</style></head><body><h1>{title}</h1>"
        f"<p>{escape(about.get('description', ''))}</p>"
        '<p>For programs: <a href="openapi.json">openapi.json</a></p>'
        + "".join(sections)
        + "</body></html>"
    )


def _section(path: str, method: str, route: Mapping[str, Any]) -> str:
    parts = [
        f"<h2><code>{escape(method.upper())} {escape(path)}</code></h2>",
        f"<p>{escape(route.get('description', ''))}</p>",
    ]
    rows = [
        (parameter["name"], f"{_kind(parameter['schema'])}, in the {parameter['in']}")
        for parameter in route.get("parameters", [])
    ]
    for kind, body in route.get("requestBody", {}).get("content", {}).items():
        rows.append((kind, _kind(body.get("schema", {}))))
    for status, response in route["responses"].items():
        rows.append((status, response.get("description", "")))
    cells = "".join(
        f"<tr><th><code>{escape(name)}</code></th><td>{escape(text)}</td></tr>"
        for name, text in rows
    )
    return f"<section>{''.join(parts)}<table>{cells}</table></section>"


def _kind(schema: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        return schema["$ref"].rpartition("/")[2]
    if "anyOf" in schema:
        return " or ".join(_kind(option) for option in schema["anyOf"])
    if "enum" in schema:
        return " or ".join(map(str, schema["enum"]))
    return str(schema.get("type", "anything"))
