"""Create a group on every host, or on none: `python script.py team-a`."""

import sys

from lockstep import ClusterClient, LockstepError

group = sys.argv[1] if len(sys.argv) > 1 else "team-a"
try:
    with ClusterClient(created_by="script.py") as cluster:
        # From here on the operation is carried to its end, even if this process dies.
        operation = cluster.create_group(group)
        result = operation.wait(timeout=60)
except LockstepError as error:  # one line that names the value, the rule and the remedy
    sys.exit(f"error: {error}")

print(f"{group}: {result.state} (operation {operation.id})")
for host in result.hosts:
    print(f"  {host.host}: {host.story.text}")
if not result.committed:  # every host is as it was before, or listed in pending_hosts
    sys.exit(f"because {result.reason}; still to be restored: {', '.join(result.pending_hosts) or 'none'}")
