"""Commands about kinds: which there are, what one says, and whether a host does what it says."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lockstep.producer.cli.exits import Exit, Session
from lockstep.producer.cli.options import command, debug_option, kept, option
from lockstep.producer.cli.output import answer, answer_json, answer_table, document, note
from lockstep.worker.operation.errors import InvalidInput, LockstepError
from lockstep.worker.operation.host import Auth, Host, parse_url
from lockstep.worker.operation.model import HostName
from lockstep.worker.settings.environment import read_text

if TYPE_CHECKING:
    from lockstep.worker.inventory import Inventory
    from lockstep.worker.kinds import Kinds
    from lockstep.worker.kinds.kind import Kind
    from lockstep.worker.settings import Settings

HEADER = ("KIND", "ID", "FIELDS", "ABOUT")
WIDTH = 20


def _catalogue() -> tuple[Kinds, Settings, Inventory | None]:
    """Return the kinds that the settings name; hosts are not needed for that."""
    from lockstep.producer.discovery import default_settings
    from lockstep.worker.inventory import load_inventory
    from lockstep.worker.kinds import kinds_of

    settings = default_settings()
    inventory = load_inventory(settings) if settings.inventory or settings.hosts else None
    return kinds_of(inventory.kinds if inventory else "", settings.kinds), settings, inventory


def _find(session: Session, given: str) -> Kind:
    """Return a kind of a file, or, by its digest, one that only an operation keeps."""
    try:
        return _catalogue()[0].find(given)
    except InvalidInput:
        name, _, digest = given.partition("@")
        with suppress(LockstepError):  # what is wrong with the record is not what was asked
            if digest and (kept := session.client().kept_kind(name, digest)) is not None:
                return kept
        raise


@click.pass_context
def _listed(context: click.Context) -> Exit:
    if context.invoked_subcommand is not None:
        return Exit.OK
    kinds, _, _ = _catalogue()
    found, broken = [], kinds.lacking()
    for name in kinds.names():
        try:
            found.append(kinds.find(name))
        except InvalidInput as error:
            broken.append(str(error))
    if context.ensure_object(Session).as_json:
        answer_json({"kinds": [_document(each) for each in found], "broken": broken})
    else:
        answer_table(HEADER, [_row(each) for each in found])
        for each in broken:
            note(f"lockstep: {each}")
    return Exit.FOUND if broken else Exit.OK


def _row(kind: Kind) -> tuple[str, ...]:
    parts = "/".join(part.upper() for part in kind.definition.id.parts)
    return kind.title, f"{kind.name}/{parts}", ", ".join(kind.fields) or "-", kind.definition.about or ""


def _document(kind: Kind) -> dict[str, object]:
    fields = {name: each.model_dump(exclude_unset=True) for name, each in kind.fields.items()}
    names = "kind=name digest about=definition.about file parts=definition.id.parts"
    return {**document(kind, names), "fields": fields}


@command()
@click.argument("kind")
def show(session: Session, kind: str) -> Exit:
    """Print the file of KIND; NAME@DIGEST is an older one that is here, or that an operation keeps.

    Examples:
      lockstep kinds show rabbitmq-user
      lockstep kinds show rabbitmq-user > kinds/rabbitmq-user.yaml
      lockstep kinds show vhost@3f2a
    """
    found = _find(session, kind)
    text = found.source.rstrip("\n")
    return session.show(lambda: {**_document(found), "text": found.source}, lambda: answer(text))


@command()
def schema(session: Session) -> Exit:
    """Print the JSON Schema of kind files, for an editor.

    Examples:
      lockstep kinds schema > kind.schema.json
    """
    from lockstep.worker.kinds.file import schema as made

    answer(json.dumps(made(), indent=1))
    return Exit.OK


@command()
@click.argument("file")
@option("--host URL", "Walk the kind there; a name of the inventory will do too.")
@option("--id ID", "The scratch id, as behind KIND/.  [default: of its examples]", "given")
@option("--login FILE", "Log in with the `user:password` of this file.")
@option("--token FILE", "Log in with the bearer token of this file.")
@option("--key HEADER=FILE", "Send what this file holds as this header.")
def check(
    session: Session,
    file: str,
    host: str | None,
    given: str | None,
    login: str | None,
    token: str | None,
    key: str | None,
) -> Exit:
    """Check the FILE of a kind, or a kind by name; with --host, walk it on a real host.

    Examples:
      lockstep kinds check kinds/vhost.yaml
      lockstep kinds check rabbitmq-vhost --host http://127.0.0.1:15672 --login guest.login
      lockstep kinds check powerdns-zone --host dns1 --id lockstep.example

    The walk makes a thing that is absent, looks, makes it again, changes it, and deletes it, with each undo
    in between, and deletes it again: on that host and that id alone.
    Exit codes: 0 all is well, 1 there are warnings or failures, 2 the file breaks rules, 4 the host gave no
    usable answer.
    """
    from lockstep.worker.kinds.kind import Kind
    from lockstep.worker.kinds.rules import BadKind

    kinds, settings, inventory = _catalogue()
    by_name = not file.endswith((".yaml", ".yml")) and "/" not in file
    try:
        kind = kinds.find(file) if by_name else Kind(file, read_text(f"kind file {file}", file))
    except BadKind as error:
        for fault in error.faults:
            note(f"{error.file}:{fault.line}: {fault}")
        return Exit.USAGE
    thing = given or kind.definition.examples.id
    if Path(kind.file).name.partition("@")[0].removesuffix(".yaml") != kind.name:
        note(f"in a folder of kinds it has to be called {kind.name}.yaml")
    if host is None:
        text = f"{kind.title}: the file keeps every rule"
        return session.done(text, lambda: {"kind": kind.name, "digest": kind.digest, "healthy": True})
    if thing is None:
        raise InvalidInput(f"{kind.file} has no examples.id: give a free id with --id")
    from lockstep.producer.doctor.kinds import Walk

    reached = _host(host, inventory, _auth(login, key), token)
    walk = Walk(kind, kind.parse(f"{kind.name}/{thing}"), reached, settings)
    note(f"{walk.thing} is made on {reached.name}, changed and deleted again")

    def about() -> dict[str, object]:
        named = {"kind": kind.name, "digest": kind.digest, "host": reached.name, "thing": str(walk.thing)}
        return {**named, "left": walk.left}

    return session.judge(walk.run(), WIDTH, about)


def _auth(login: str | None, key: str | None) -> Auth | None:
    header, equals, file = (key or "").partition("=")
    if key and not (header and equals and file):
        raise InvalidInput(f"--key {key} is no HEADER=FILE")
    return Auth(login, basic=True) if login else Auth(file, header) if key else None


def _host(given: str, inventory: Inventory | None, auth: Auth | None, token: str | None) -> Host:
    if "://" in given:
        return Host(HostName(given), parse_url(given), token_file=token, auth=auth)
    if inventory is None:
        raise InvalidInput(f"host {given} is no URL, and there is no inventory: give http://HOST:PORT")
    return inventory.select([given])[0]


kinds = click.Group(
    "kinds",
    commands=[show, check, schema],
    callback=_listed,
    invoke_without_command=True,
    help="List the kinds of things that there are: shipped ones, and your own.",
    epilog="\b\nExamples:\n  lockstep kinds\n  lockstep kinds show rabbitmq-user\n"
    "  lockstep kinds check kinds/vhost.yaml --host http://127.0.0.1:15672",
)
debug_option(kept("--json", "Print one JSON document.", "as_json")(kinds))
