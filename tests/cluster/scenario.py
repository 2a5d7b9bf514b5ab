"""Day two, step by step; each method says what must come of it."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from pathlib import Path

import yaml

from tests.cluster.control_plane import ControlPlane, api
from tests.cluster.figure import Timeline
from tests.cluster.hosts import Hosts, inventory
from tests.cluster.installation import OPTIONS, STARTED_WITHIN, WORKERS, Installation
from tests.cluster.kubelet import Kubelet
from tests.cluster.load import Load
from tests.cluster.standstill import restarts_workers_that_stand_still
from tests.ship.helm import find_helm
from tests.ship.rendered import LOCAL, MANIFESTS
from tests.waits import eventually

HOSTS, MORE_HOSTS = 300, 10


class Scenario(Installation):
    """One run on a control plane that has just been started."""

    def __init__(self, folder: Path, plane: ControlPlane, kubelet: Kubelet) -> None:
        super().__init__(folder, plane, kubelet)
        self.hosts = Hosts(HOSTS + MORE_HOSTS)
        self.inventory.write_text(inventory(HOSTS))
        self.load = Load(self.hosts, self.inventory, (LOCAL / "secrets/producer").read_text(), size=HOSTS)
        self.timeline = Timeline(self.hosts, kubelet)
        self.rates: dict[int, float] = {}
        """Hosts a second, by the number of workers."""

    def play(self) -> None:
        """Everything, in order."""
        self.applies_without_a_warning_and_again_without_a_change()
        self.timeline.start()
        self.load.begin()
        self.follows_the_number_of_workers()
        self.rolls_out_while_it_works()
        self.drains_a_machine()
        self.evicts_within_the_budget()
        self.takes_a_changed_inventory_without_a_restart()
        self.loses_worker_pods()
        self.has_workers_that_stand_still()
        self.loses_redis_for_a_while()
        self.timeline.mark("no new operations")
        ends = self.load.end()
        self.timeline.stopped.set()
        assert not self.load.wrong, self.load.wrong
        assert set(ends) == {"committed"}, ends
        print(f"       {ends['committed']} operations, all committed, all hosts as recorded", flush=True)
        self.repeats_the_job()
        self.restores_a_backup()
        self.hands_over_to_an_autoscaler_and_back()
        self.enlarges_the_disk()
        self.keeps_the_record_when_the_rest_goes()
        self.installs_by_the_chart()

    def applies_without_a_warning_and_again_without_a_change(self) -> None:
        whole = self.overlay()
        first = self.apply(whole)
        assert set(first.values()) == {"created"}, first
        self.rolled_out("worker-operations", "worker-rollback", "beat", "flower", "mock-cluster", "toolbox")
        before = self.versions()
        changed = [name for name, how in self.apply(whole).items() if how != "unchanged"]
        # kubectl sends the selector of a budget each time, for the API says that it is replaced as a whole.
        assert {name.partition(".")[0] for name in changed} <= {"poddisruptionbudget"}, changed
        assert self.versions() == before, "the second apply changed something"
        self.apply(whole, "--server-side")
        assert self.versions() == before, "an apply by the server changed something"
        self.plane.kubectl(*OPTIONS, "scale", f"deployment/{WORKERS}", "--replicas=3")
        self.rolled_out(WORKERS)
        self.apply(whole)
        self.apply(whole, "--server-side")
        assert self.replicas(WORKERS) == 3, "an apply undid the scaling"
        self.apply(self.small())
        self.plane.kubectl(*OPTIONS, "scale", f"deployment/{WORKERS}", "--replicas=1")
        self.rolled_out(WORKERS)

    # Under load

    def follows_the_number_of_workers(self) -> None:
        for workers, seconds in ((1, 16), (6, 20), (2, 16)):
            self.plane.kubectl(*OPTIONS, "scale", f"deployment/{WORKERS}", f"--replicas={workers}")
            self.timeline.mark(f"{workers} worker{'s' * (workers > 1)}")
            self.rolled_out(WORKERS)
            if workers == 6:
                self.apply(self.small())
                assert self.replicas(WORKERS) == 6, "an apply undid the scaling"
            eventually(lambda n=workers: len(self.kubelet.of(WORKERS)) == n, "as many pods run")  # type: ignore[misc]
            self.rates[workers] = self.measured(seconds)
        print(f"       hosts a second by workers: {self.rates}", flush=True)
        assert self.rates[6] > 2 * self.rates[1], self.rates
        assert self.rates[6] > 1.5 * self.rates[2], self.rates

    def measured(self, seconds: int) -> float:
        """Return hosts a second over so many seconds from now on, but for the first few."""
        begun = len(self.timeline.rows) + 4
        eventually(lambda: len(self.timeline.rows) > begun + seconds, "it was measured", 120, latest=0.2)
        self.load.look()
        return self.timeline.rate(begun)

    def rolls_out_while_it_works(self) -> None:
        self.timeline.mark("rolling update")
        names = [f"deployment/{name}" for name in (WORKERS, "worker-rollback", "beat")]
        self.plane.kubectl(*OPTIONS, "rollout", "restart", *names)
        self.rolled_out(WORKERS, "worker-rollback", "beat")

    def drains_a_machine(self) -> None:
        machine = self.kubelet.of(WORKERS)[0].seen["spec"]["nodeName"]
        self.timeline.mark("drain")
        page = (LOCAL.parents[2] / "docs/kubernetes.md").read_text("utf-8")
        (options,) = re.findall(r"kubectl drain NODE ([^`]*)`", page)
        self.plane.kubectl("drain", machine, *options.split(), "--timeout=120s")
        left = [pod.name for pod in self.kubelet.of(WORKERS) if pod.seen["spec"]["nodeName"] == machine]
        assert not left, left
        self.plane.kubectl("uncordon", machine)
        self.rolled_out(WORKERS, "worker-rollback")

    def evicts_within_the_budget(self) -> None:
        self.timeline.mark("evictions")
        self.budget_has(WORKERS, disruptionsAllowed=1)
        one, two = self.kubelet.of(WORKERS)
        assert self.evict(one) == 201
        assert self.evict(two) == 429, "a second worker was taken while the first was not replaced"
        self.rolled_out(WORKERS)
        self.budget_has(WORKERS, disruptionsAllowed=1)
        workers = self.kubelet.of(WORKERS)
        for pod in workers:
            pod.unready = True
        self.budget_has(WORKERS, disruptionsAllowed=0, currentHealthy=0)
        assert [self.evict(pod) for pod in workers] == [201, 201], "workers that are not ready keep a machine"
        eventually(lambda: not set(self.names()) & {pod.name for pod in workers}, "both are replaced", 60)
        self.rolled_out(WORKERS)

    def takes_a_changed_inventory_without_a_restart(self) -> None:
        self.timeline.mark(f"{MORE_HOSTS} more hosts")
        before = self.names()
        self.inventory.write_text(inventory(HOSTS + MORE_HOSTS))
        self.apply(self.small())
        self.load.size = HOSTS + MORE_HOSTS
        self.load.one("with-more-hosts")
        assert self.load.ended["create-with-more-hosts"] == "committed"
        assert self.names() == before, "a worker was restarted for it"

    def loses_worker_pods(self) -> None:
        self.timeline.mark("kill -9, and a pod deleted by force")
        killed, deleted = self.kubelet.of(WORKERS)
        killed.signal(signal.SIGKILL)
        at_once = {"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0}
        assert api("DELETE", deleted.path, at_once)[0] == 200
        eventually(lambda: deleted.name not in self.names() and len(self.names()) == 2, "it is replaced", 60)
        self.rolled_out(WORKERS)

    def has_workers_that_stand_still(self) -> None:
        self.timeline.mark("a worker wedged, another frozen")
        restarts_workers_that_stand_still(self, self.load)

    def loses_redis_for_a_while(self) -> None:
        self.timeline.mark("Redis' pod deleted")
        self.plane.kubectl(*OPTIONS, "delete", "pod", "redis-0", "--wait=true")
        self.plane.kubectl(*OPTIONS, "rollout", "status", "statefulset/redis", f"--timeout={STARTED_WITHIN}s")
        assert self.measured(12) > 0

    # Afterwards

    def repeats_the_job(self) -> None:
        template = self.plane.kubectl(
            "kustomize", str(self.overlay().parent / "manifests/examples/create-group")
        )
        objects = [each for each in yaml.safe_load_all(template) if each["kind"] == "CronJob"]
        (wanted,) = (each for each in objects if each["metadata"]["name"] == "create-group")
        name = next(n for n in self.versions() if n.startswith("ConfigMap/lockstep-settings")).split("/")[1]
        text = re.sub(r"lockstep-settings-\w+", name, yaml.safe_dump(wanted))
        for number in (1, 2):
            self.plane.kubectl("apply", "-f", "-", told=text)
            job = f"again-{number}"
            self.plane.kubectl(*OPTIONS, "create", "job", "--from=cronjob/create-group", job)
            self.plane.kubectl(*OPTIONS, "wait", "--for=condition=complete", f"job/{job}", "--timeout=120s")
            assert self.hosts.holding("team-a", self.load.size) == self.load.size
            text = text.replace("memory: 192Mi", "memory: 256Mi")  # a template that changed is no hindrance

    def restores_a_backup(self) -> None:
        """What the nightly job copies is put back as the runbook says, and work goes on from there."""
        self.plane.kubectl(*OPTIONS, "create", "job", "--from=cronjob/redis-backup", "copy")
        self.plane.kubectl(*OPTIONS, "wait", "--for=condition=complete", "job/copy", "--timeout=120s")
        self.load.one("after-the-copy")
        self.apply(self.small("stopped"))
        eventually(lambda: not self.names() + self.kubelet.of("worker-rollback"), "workers have ended", 90)
        redis = self.kubelet.one("redis")
        put_back = "rm -rf /data/appendonlydir && tar -C /data -xf /backups/redis-*.tar"
        done = redis.inside("sh", "-c", put_back)
        assert done.returncode == 0, done.stderr
        redis.inside("sh", "-c", "valkey-cli $CLI_OPTIONS shutdown nosave")
        known = eventually(
            lambda: self.load.known("create-team-a-1", "create-after-the-copy"), "Redis is back"
        )
        assert known == [True, False], "what was there when the copy was made, and nothing else"
        self.apply(self.small())
        self.rolled_out(WORKERS, "worker-rollback", "beat")
        self.load.one("after-the-restore")
        assert self.load.ended["create-after-the-restore"] == "committed"

    def hands_over_to_an_autoscaler_and_back(self) -> None:
        self.plane.kubectl(*OPTIONS, "scale", f"deployment/{WORKERS}", "--replicas=4")
        self.rolled_out(WORKERS)
        before = self.names()
        self.apply(self.small("hpa"))
        self.plane.kubectl(
            *OPTIONS, "wait", "--for=jsonpath={.status.currentReplicas}=4", f"hpa/{WORKERS}", "--timeout=60s"
        )
        assert (self.replicas(WORKERS), self.names()) == (4, before), "switching autoscaling on lost pods"
        self.plane.kubectl(*OPTIONS, "delete", "hpa", "--all")
        self.apply(self.small())
        assert (self.replicas(WORKERS), self.names()) == (4, before), "switching it off lost pods"

    def enlarges_the_disk(self) -> None:
        redis = self.kubelet.of("redis")[0].name, self.kubelet.of("redis")[0].seen["metadata"]["uid"]
        self.plane.kubectl(*OPTIONS, "delete", "statefulset", "redis", "--cascade=orphan")
        size = {
            "op": "replace",
            "path": "/spec/volumeClaimTemplates/0/spec/resources/requests/storage",
            "value": "16Gi",
        }
        patches = [{"target": {"kind": "StatefulSet", "name": "redis"}, "patch": json.dumps([size])}]
        self.apply(self.small(patches=patches))
        self.plane.kubectl(*OPTIONS, "rollout", "status", "statefulset/redis", "--timeout=60s")
        pod = self.kubelet.one("redis")
        assert (pod.name, pod.seen["metadata"]["uid"]) == redis, "Redis was restarted for it"

    def keeps_the_record_when_the_rest_goes(self) -> None:
        page = (LOCAL.parents[2] / "docs/kubernetes.md").read_text("utf-8")
        (command,) = re.findall(r"^kubectl (-n lockstep delete deployment,.*)$", page, re.MULTILINE)
        self.plane.kubectl(*command.split())
        eventually(
            lambda: not self.kubelet.of(WORKERS) and not self.kubelet.of("redis"), "all have ended", 60
        )
        said = self.plane.kubectl(*OPTIONS, "get", "pvc", "-o", "name")
        assert {"persistentvolumeclaim/data-redis-0", "persistentvolumeclaim/redis-backups"} <= set(
            said.split()
        )

    def installs_by_the_chart(self) -> None:
        """In a namespace of its own; `helm test` asks the doctor, and an upgrade undoes no scaling."""
        program = find_helm()
        if program is None:
            print("       the chart was not installed: there is no helm", flush=True)
            return
        place, secrets = ("-n", "charted"), LOCAL / "secrets"
        self.plane.kubectl("create", "namespace", "charted")
        self.plane.kubectl("label", "namespace", "charted", "pod-security.kubernetes.io/enforce=restricted")
        self.plane.kubectl(*place, "create", "secret", "generic", "lockstep-redis", f"--from-file={secrets}")
        flower = "--from-literal=basic-auth=local:local-only"
        self.plane.kubectl(*place, "create", "secret", "generic", "lockstep-flower", flower)
        nodes = yaml.safe_load((LOCAL / "inventory.yaml").read_text("utf-8"))
        values = {"image": {"tag": "dev"}, "mockCluster": True, "inventory": nodes}
        (self.folder / "values.yaml").write_text(yaml.safe_dump(values))

        def helm(*words: str) -> None:
            command = [program, f"--kubeconfig={self.plane.kubeconfig}", *place, *words]
            done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
            assert done.returncode == 0, done.stdout + done.stderr

        given = (str(MANIFESTS / "chart"), f"--values={self.folder}/values.yaml")
        helm("install", "lockstep", *given, "--wait", "--timeout=150s")
        helm("test", "lockstep", "--timeout=90s")
        self.plane.kubectl(*place, "scale", f"deployment/{WORKERS}", "--replicas=2")
        helm("upgrade", "lockstep", *given, "--wait", "--timeout=90s")
        _, found = api("GET", f"/apis/apps/v1/namespaces/charted/deployments/{WORKERS}")
        assert found["spec"]["replicas"] == 2, "an upgrade undid the scaling"
        helm("uninstall", "lockstep")

    def measured_in_words(self) -> str:
        """Return what the page of Kubernetes says of the run."""
        rows = "".join(f"| {workers} | {rate:.0f} |\n" for workers, rate in sorted(self.rates.items()))
        ended = (
            f"{len(self.load.ended)} operations on {HOSTS} hosts, then {HOSTS + MORE_HOSTS}: all committed."
        )
        return f"| workers | hosts changed a second |\n| ---: | ---: |\n{rows}\n{ended}\n"
