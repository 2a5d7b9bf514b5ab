"""`make picture`: draw what the README shows: acts of the demo, and commands on three RabbitMQ servers.

Tests play the same, and compare the pictures with what is said then, times and counts apart.
"""

from __future__ import annotations

import html
import io
import re
import shlex
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rich.console import Console
from rich.markup import escape
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from lockstep.producer.demo.play import SEED, SETTINGS, play
from lockstep.producer.stack import Stack
from lockstep.worker.settings import PREFIX

if TYPE_CHECKING:
    from tests.kinds.test_verbs import Rig

DOCS = Path(__file__).parents[1] / "docs"
WIDTH = 92
SHOWN = {
    DOCS / "demo.svg": re.compile(r"^1\. .*?(?=^3\. )", re.MULTILINE | re.DOTALL),
    DOCS / "waves.svg": re.compile(r"^5\. .*?(?=^All )", re.MULTILINE | re.DOTALL),
}
"""Which acts each picture shows."""
RABBITMQ = DOCS / "rabbitmq.svg"
PROGRESS = re.compile(r"^(?:node\d  |(?:create|delete) \S+: )")
"""What a demo without a terminal says while an operation goes on."""

THEME = TerminalTheme(
    (22, 27, 34),
    (214, 222, 235),
    [
        (22, 27, 34),
        (255, 123, 114),
        (86, 211, 100),
        (227, 179, 65),
        (121, 192, 255),
        (210, 168, 255),
        (86, 212, 221),
        (214, 222, 235),
    ],
)

# As rich draws it, without its web fonts: a page that is read offline must need nothing from elsewhere.
SVG = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-label="make demo">
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace;
  font-size: {char_height}px; line-height: {line_height}px; white-space: pre; }}
.{unique_id}-title {{ font-family: sans-serif; font-size: 18px; font-weight: bold; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/>
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def shown(text: str, acts_of: re.Pattern[str]) -> list[str]:
    """Return the lines of a picture in what the demo said; digits but those of names are masked."""
    acts = acts_of.search(text)
    lines = acts.group().splitlines() if acts else []
    return [masked(line) for line in lines if line.strip() and not PROGRESS.match(line)]


def drawn(svg: str) -> list[str]:
    """Return the lines of a picture, masked likewise."""
    rows: dict[float, dict[float, str]] = {}
    for x, y, words in re.findall(
        r'<text class="demo-r[^>]*? x="([\d.]+)" y="([\d.]+)"[^>]*>(.*?)</text>', svg
    ):
        rows.setdefault(float(y), {})[float(x)] = html.unescape(words).replace("\xa0", " ")
    lines = ["".join(row[x] for x in sorted(row)) for _, row in sorted(rows.items())]
    return [masked(line) for line in lines if line.strip() and not line.startswith("$ ")]


def masked(line: str) -> str:
    """Leave out what differs from run to run: ids, times, counts, and how wide they are."""
    line = re.sub(r"\b[0-9a-f]{12}\b", "ID", line)
    line = re.sub(r"(?<![\w(])\d+(?:\.\d+)?", "N", line)
    return re.sub(r"\s+", " ", line.replace("N ms", "N s")).strip()


def on_rabbitmq(rig: Rig) -> Iterator[str]:
    """Play what the second screen shows, on a virtual host that no server has; yield each line of it."""
    thing, path = "rabbitmq-vhost/team-a", "/api/vhosts/team-a"

    def run(command: str) -> Iterator[str]:
        yield f"[bold]$ {command}[/]"
        ran = rig.cli(*shlex.split(command)[1:])
        said = ran.stdout or ran.stderr.splitlines()[-1]
        yield from map(escape, said.splitlines())
        yield ""

    def asked() -> Iterator[str]:
        yield "[dim]# what each server itself says now[/]"
        for server in rig.servers:
            held = server.ask("GET", path).json()
            yield f"{server.name}  {held['description']:<8}  {', '.join(held['tags'])}"
        yield ""

    yield from run(f'lockstep create {thing} --set description="Team A" --set tags=a,b')
    rig.gate.refuses = True
    yield "[dim]# rabbitmq3 refuses every write from here on[/]"
    yield from run(f'lockstep set {thing} --set description="Team B"')
    rig.gate.refuses = False
    yield from asked()
    rig.servers[0].ask("PUT", path, json={"description": "by hand", "tags": ["a", "b"]})
    yield "[dim]# somebody changed it on rabbitmq1[/]"
    yield from run(f"lockstep drift {thing}")
    yield from run(f"lockstep repair {thing}")
    yield from asked()


def plain_of(lines: Iterable[str]) -> list[str]:
    """Return such lines without their style, masked, but for the commands."""
    texts = [Text.from_markup(line).plain for line in lines]
    return [masked(each) for each in texts if each and not each.startswith("$ ")]


def draw_rabbitmq() -> None:
    """Draw the commands on three servers of RabbitMQ, if it is installed."""
    from tests.kinds import servers
    from tests.kinds.test_verbs import Rig

    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        try:
            made = servers.rabbitmq(Path(folder), 3)
        except pytest.skip.Exception as why:
            print(why)
            return
        running = stack.enter_context(servers.running(made))
        (Path(folder) / "rig").mkdir()
        picture = Console(record=True, width=WIDTH, highlight=False, file=io.StringIO())
        for line in on_rabbitmq(Rig(stack, Path(folder) / "rig", running)):
            picture.print(line)
        save(picture, RABBITMQ, "three RabbitMQ servers")
    print(f"{RABBITMQ}: drawn")


def main() -> int:
    """Draw the pictures; return what the demo ended with."""
    draw_rabbitmq()
    env = {PREFIX + name.upper(): value for name, value in SETTINGS.items()}
    said = Console(record=True, width=WIDTH, highlight=False, file=io.StringIO())
    with redirect_stdout(io.StringIO()):  # what it says while an operation goes on
        code = play(Stack(env=env, seed=SEED), said)
    plain, styled = (said.export_text(styles=styles, clear=False) for styles in (False, True))
    for path, acts in SHOWN.items():
        draw(path, acts, plain, styled)
    print(f"{', '.join(map(str, SHOWN))}: of a demo that ended with {code}")
    return code


def draw(path: Path, acts: re.Pattern[str], plain: str, styled: str) -> None:
    """Draw some acts of a demo that said this."""
    begin, end = (plain[:at].count("\n") for at in acts.search(plain).span())  # type: ignore[union-attr]
    picture = Console(record=True, width=WIDTH, highlight=False, file=io.StringIO())
    picture.print("[bold]$ make demo[/]\n")
    for line in styled.splitlines()[begin:end]:
        picture.print(Text.from_ansi(line))
    save(picture, path, "make demo")


def save(picture: Console, path: Path, title: str) -> None:
    """Write what was printed as a picture."""
    code = SVG.replace('aria-label="make demo"', f'aria-label="{title}"')
    path.write_text(picture.export_svg(title=title, theme=THEME, code_format=code, unique_id="demo"), "utf-8")


if __name__ == "__main__":
    sys.exit(main())
