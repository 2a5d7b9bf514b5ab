"""A management command: `manage.py create_team NAME`. Save it as APP/management/commands/create_team.py."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from lockstep import ClusterClient, LockstepError


class Command(BaseCommand):
    """Creates a team's group on every host, or on none."""

    help = "Create a team's group on every host, or on none."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the team's name."""
        parser.add_argument("team")

    def handle(self, *args: Any, **options: Any) -> None:
        """Create it and wait. Lockstep has a Celery application of its own, which leaves yours alone."""
        try:
            with ClusterClient(created_by="django") as cluster:
                result = cluster.create_group(options["team"]).wait(timeout=60)
        except LockstepError as error:
            raise CommandError(str(error)) from None
        if not result.committed:
            raise CommandError(f"{options['team']} was not created: {result.reason}")
        self.stdout.write(self.style.SUCCESS(f"{options['team']} is on {len(result.hosts)} hosts"))
