"""Makes the tables of docs/kinds.md, and the first lines of each kind's page.

Run as a module it writes them all. What a walk found there `tests/kinds` compares with what it finds.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lockstep.producer.cli.commands.kinds import WIDTH
from lockstep.producer.cli.output import LEVEL_WIDTH
from lockstep.producer.doctor import Finding
from lockstep.worker.kinds import SHIPPED, kinds_of
from lockstep.worker.kinds.file import FieldFile, KindFile
from lockstep.worker.kinds.kind import Kind

ROOT = Path(__file__).parents[3]
PAGE, SHIPPED_PAGE, PAGES = (ROOT / "docs" / name for name in ("kinds.md", "shipped.md", "kinds"))
MEASURED = {
    "rabbitmq": "RabbitMQ 3.10.8",
    "powerdns": "PowerDNS 4.7.3",
    "etcd": "etcd 3.4.23",
    "influxdb": "InfluxDB 1.6.7",
    "group": "nodes of the mock",
}
"""On which server each family of kinds was walked."""
BEGIN, END = "<!-- reference: made from the grammar -->\n", "<!-- end of the reference -->"
SECTIONS = {
    "KindFile": "The file",
    "IdFile": "`id`",
    "FieldFile": "`fields.NAME`",
    "LookFile": "`look`",
    "WriteFile": "`create`, `update`, `delete`",
    "AnswerFile": "An answer",
    "ExamplesFile": "`examples`",
}


def reference() -> str:
    """The tables of the page."""
    found = KindFile.model_json_schema(by_alias=True)
    models = {"KindFile": found, **found["$defs"]}
    return "\n".join(_table(title, models[name]) for name, title in SECTIONS.items())


def _table(title: str, model: dict[str, Any]) -> str:
    rows = [f"### {title}\n", "| key | meaning | default |", "| --- | --- | --- |"]
    (either, *_) = model.get("anyOf", [model])  # a write has a request, or is like another
    required = either.get("required", [])
    for key, each in model["properties"].items():
        default = "required" if key in required else _default(each.get("default"))
        rows.append(f"| `{key}` | {each.get('description', '').replace('|', chr(92) + '|')} | {default} |")
    return "\n".join(rows) + "\n"


def _default(value: Any) -> str:
    match value:
        case None:
            return ""
        case [{"status": _}, *_]:
            return ", ".join(str(each["status"]) for each in value)
        case [] | {} | {"id": None, "contents": []}:
            return "none"
        case {"parts": _}:
            return "`{parts: [id]}`"
    return f"`{json.dumps(value) if not isinstance(value, str) else value}`"


def page() -> str:
    """The page as it is, with the tables as they ought to be."""
    head, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
    return f"{head}{BEGIN}\n{reference()}\n{END}{rest.partition(END)[2]}"


def kind_pages() -> dict[Path, str]:
    """The pages of shipped kinds as they are, with the first lines as they ought to be."""
    pages = {PAGES / f"{path.stem}.md": kinds_of().find(path.stem) for path in sorted(SHIPPED.glob("*.yaml"))}
    return {
        path: "\n\n".join((f"# {kind.name}", _facts(kind), path.read_text("utf-8").split("\n\n", 2)[2]))
        for path, kind in pages.items()
    }


def walk_text(found: Iterable[Finding]) -> str:
    """What `lockstep kinds check KIND --host URL` prints."""
    lines = []
    for each in found:
        lines.append(f"{each.level:<{LEVEL_WIDTH}} {each.subject:<{WIDTH}} {each.text}\n")
        if each.remedy:
            lines.append(f"{'':{LEVEL_WIDTH + WIDTH + 2}}-> {each.remedy}\n")
    return "".join(lines)


def _facts(kind: Kind) -> str:
    parts = "/".join(part.upper() for part in kind.definition.id.parts)
    fields = "; ".join(
        f"`{name}`: {each.type}{f', {rule}' if (rule := _rule(each)) else ''}"
        for name, each in kind.fields.items()
    )
    lost = ", ".join(kind.loses("delete")) or "nothing"
    server = MEASURED.get(kind.name.partition("-")[0])
    measured = f"**Measured on {server}.**" if server else "**Not measured.**"
    known = f"*Id* `{kind.name}/{parts}`. *Fields* {fields or 'none'}"
    return f"{known}. *Lost by an undone delete* {lost}. {measured}"


def _rule(field: FieldFile) -> str:
    told = [name for name in ("required", "secret", "sensitive", "rewritten") if getattr(field, name)]
    if "default" in field.model_fields_set:
        told.append(f"by default `{json.dumps(field.default)}`")
    return ", ".join(told)


if __name__ == "__main__":
    for path, text in kind_pages().items():
        path.write_text(text, "utf-8")
    PAGE.write_text(page(), "utf-8")
