"""The import contracts that pyproject.toml uses: allow-lists, so that what is not listed is forbidden.

The contracts that import-linter brings forbid what they name; a module written later would be free of them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output


class MayImport(Contract):
    """Each of `modules`, with all below it, imports of this project only itself and `ours`.

    `third_party`, where given, is all that it may import besides those and the standard library.
    A module that does not exist breaks nothing.
    """

    modules = fields.ListField(subfield=fields.StringField())
    ours = fields.ListField(subfield=fields.StringField())
    third_party = fields.ListField(subfield=fields.StringField(), required=False)

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        """The imports that no rule allows, each with its line."""
        broken = sorted(
            {
                (importer, imported, detail["line_number"])
                for importer, imported in self._forbidden(graph)
                for detail in graph.get_import_details(importer=importer, imported=imported)
            }
        )
        return ContractCheck(kept=not broken, metadata={"broken": broken})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Print one line for each import that is not allowed."""
        for importer, imported, line in check.metadata["broken"]:
            output.print_error(f"{importer}, line {line}, must not import {imported}", bold=False)
        output.new_line()

    def _forbidden(self, graph: ImportGraph) -> Iterator[tuple[str, str]]:
        for module in _strings(self.modules):
            for importer in graph.modules:
                if _within(importer, module):
                    for imported in graph.find_modules_directly_imported_by(importer):
                        if not self._allows(module, imported):
                            yield importer, imported

    def _allows(self, module: str, imported: str) -> bool:
        root = imported.partition(".")[0]
        if root in self.session_options["root_packages"]:
            return any(_within(imported, allowed) for allowed in (module, *_strings(self.ours)))
        third_party: object = self.third_party
        return third_party is None or root in sys.stdlib_module_names or root in _strings(third_party)


class OnlyBelow(Contract):
    """`third_party` is imported by `modules`, with all below them, and by nothing else."""

    third_party = fields.StringField()
    modules = fields.ListField(subfield=fields.StringField())

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        """The modules that import it and may not."""
        name = str(self.third_party)
        importers = graph.find_modules_that_directly_import(name)
        allowed = _strings(self.modules)
        broken = sorted(each for each in importers if not any(_within(each, one) for one in allowed))
        return ContractCheck(kept=not broken, metadata={"broken": broken})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Print one line for each."""
        for importer in check.metadata["broken"]:
            output.print_error(f"{importer} must not import {self.third_party}", bold=False)
        output.new_line()


def _strings(field: object) -> list[str]:
    """A field's value: import-linter puts the parsed option where the field stood."""
    if not isinstance(field, Iterable):
        raise TypeError(f"expected a list of names, got {field!r}")
    return [str(one) for one in field]


def _within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")
