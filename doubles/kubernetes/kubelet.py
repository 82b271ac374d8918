"""The node: takes pods, mounts their volumes, runs their containers, reports how they fare.

One `_Worker` per pod lives as long as the pod. Whatever ends a pod from outside (deletion, eviction,
deadline, the node's loss) interrupts the worker's ordinary course and takes another one to the end, so that
each course reads from top to bottom.
"""

import asyncio
import contextlib
import random
import shutil
import signal
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from pathlib import Path

from doubles.kubernetes import container_run, volumes
from doubles.kubernetes import image as kubernetes_image
from doubles.kubernetes.container_log import ContainerLog, LogBook
from doubles.kubernetes.deletion import delete
from doubles.kubernetes.events import EventRecorder
from doubles.kubernetes.faults import FaultBook, Outcome, PodEffect, PodFault, job_name_of
from doubles.kubernetes.image import Image
from doubles.kubernetes.job_controller import Backoff
from doubles.kubernetes.objects import CONFIG_MAPS, PODS, Key, Obj, key_of, pod_finished, true_condition
from doubles.kubernetes.pod_status import NODE, PodStatus
from doubles.kubernetes.selectors import Selector
from doubles.kubernetes.store import Change, Store
from doubles.kubernetes.validation import containers_of

RETRY = Backoff(base_seconds=0.2, max_seconds=1.0)
"""Delay before a mount, a pull or a configuration is tried again."""
SHUTDOWN_GRACE_SECONDS = 1.0
_ENDING: tuple[PodEffect, ...] = ("evict", "oom", "node-lost")


@dataclass(slots=True)
class Node:
    """What the node has and how it behaves."""

    image: Image
    state_dir: Path
    max_running: int = 4
    """Pods that run at once; further ones wait to be scheduled."""
    run: bool = True
    """False: containers are not run, they end as `outcome` says."""
    outcome: Outcome = field(default_factory=Outcome)
    backoff: Backoff = field(default_factory=Backoff)


@dataclass(frozen=True, slots=True)
class _End:
    """Why a pod is ended from outside."""

    kind: str
    """`deleted`, `shutdown`, `deadline`, or a pod fault's effect."""
    grace_seconds: float = 0.0


class Kubelet:
    """All pods of the cluster: there is one node."""

    def __init__(
        self,
        store: Store,
        events: EventRecorder,
        faults: FaultBook,
        logs: LogBook,
        node: Node,
        source: random.Random,
    ) -> None:
        """Args: what it watches and writes, and the node it plays."""
        self.store = store
        self.events = events
        self.faults = faults
        self.logs = logs
        self.node = node
        self.source = source
        self.slots = asyncio.Semaphore(node.max_running)
        self._workers: dict[str, _Worker] = {}
        self._unsubscribe = store.subscribe(self._notice)

    async def stop(self) -> None:
        """End every pod; their objects stay as they are."""
        self._unsubscribe()
        workers = list(self._workers.values())
        for worker in workers:
            worker.end(_End("shutdown", SHUTDOWN_GRACE_SECONDS))
        await asyncio.gather(*(worker.task for worker in workers), return_exceptions=True)

    def forget(self, uid: str) -> None:
        """The pod's worker has finished."""
        self._workers.pop(uid, None)

    def _notice(self, change: Change) -> None:
        if change.resource is not PODS:
            return
        metadata = change.obj["metadata"]
        uid = metadata["uid"]
        worker = self._workers.get(uid)
        if change.type == "ADDED":
            if not pod_finished(change.obj):
                self._workers[uid] = _Worker(self, change.obj)
        elif change.type == "DELETED":
            if worker is not None:
                worker.end(_End("deleted"))
            else:
                self.logs.drop(uid)
                shutil.rmtree(self.node.state_dir / uid, ignore_errors=True)
        elif metadata.get("deletionTimestamp") and worker is not None:
            worker.end(_End("deleted", metadata.get("deletionGracePeriodSeconds") or 0.0))


class _Worker:
    """The life of one pod."""

    def __init__(self, kubelet: Kubelet, pod: Obj) -> None:
        self._kubelet = kubelet
        self._store = kubelet.store
        self._node = kubelet.node
        self._pod = pod
        self._key: Key = key_of(pod)
        self._uid: str = pod["metadata"]["uid"]
        self._spec: Obj = pod["spec"]
        self._status = PodStatus(pod)
        self._runs: dict[str, container_run.Run] = {}
        self._starting: set[asyncio.Task[None]] = set()
        self._directory = kubelet.node.state_dir / self._uid
        self._mounted: dict[str, Path] = {}
        self._holds_slot = False
        self._end: asyncio.Future[_End] = asyncio.get_running_loop().create_future()
        self.task = asyncio.create_task(self._live())

    def end(self, end: _End) -> None:
        """End the pod from outside; a second call can only take the rest of the grace period away."""
        if not self._end.done():
            self._end.set_result(end)
        elif end.grace_seconds == 0:
            for run in self._runs.values():
                run.signal(signal.SIGKILL)

    async def _live(self) -> None:
        try:
            course = asyncio.create_task(self._course())
            self._end.add_done_callback(lambda _: course.cancel())
            with contextlib.suppress(asyncio.CancelledError):
                await course
            if self._end.done():
                await self._end_from_outside(self._end.result())
        finally:
            self._release_slot()
            self._kubelet.forget(self._uid)
            if self._present() is None:
                self._kubelet.logs.drop(self._uid)
                shutil.rmtree(self._directory, ignore_errors=True)

    # --- the ordinary course ------------------------------------------------------------------------------

    async def _course(self) -> None:
        await self._schedule()
        watch = asyncio.create_task(self._watch_for_interference())
        try:
            await self._mount()
            self._status.networked()
            await self._pull()
            for container in self._spec.get("initContainers", ()):
                if not await self._run_init(container):
                    self._write()
                    return
            for container in self._spec["containers"]:
                if self._spec.get("initContainers"):
                    self._status.waiting(container["name"], "ContainerCreating")
            await self._run_main()
        finally:
            watch.cancel()

    async def _schedule(self) -> None:
        while self._fault("unschedulable"):
            message = (
                "0/1 nodes are available: 1 Insufficient memory. preemption: 0/1 nodes are available: "
                "1 No preemption victims found for incoming pod."
            )
            self._status.unschedulable(message, self._store.now())
            self._write()
            self._event("FailedScheduling", message, warning=True)
            await self._kubelet.faults.wait_for_change(RETRY.max_seconds)
        await self._take_slot()
        self._status.scheduled(self._store.now())

        def bind(pod: Obj) -> None:
            pod["spec"]["nodeName"] = NODE
            pod["status"] = self._status.value(self._store.now())

        self._pod = self._store.modify(PODS, self._key, bind) or self._pod
        namespace, name = self._key
        self._event("Scheduled", f"Successfully assigned {namespace}/{name} to {NODE}")

    async def _mount(self) -> None:
        for failures in count(1):
            try:
                self._mounted = volumes.mount(self._pod, self._directory / "volumes", self._config_maps())
            except volumes.MountError as error:
                self._event("FailedMount", str(error), warning=True)
                await self._pause(RETRY.delay(failures))
            else:
                return

    async def _pull(self) -> None:
        for container in containers_of(self._spec):
            name, reference, failures = container["name"], container["image"], 0
            while problem := self._pull_problem(reference):
                failures += 1
                reason, message, text = problem
                self._status.waiting(name, reason, message)
                self._write()
                event = "Failed" if reason == "ErrImagePull" else "InspectFailed"
                self._event(event, text, warning=True, container=container)
                self._event("Failed", f"Error: {reason}", warning=True, container=container)
                await self._pause(RETRY.delay(failures))
                if reason == "ErrImagePull":
                    self._status.waiting(
                        name,
                        "ImagePullBackOff",
                        f'Back-off pulling image "{reference}": ErrImagePull: {message}',
                    )
                    self._write()
                    self._event("BackOff", f'Back-off pulling image "{reference}"', container=container)
                    self._event("Failed", "Error: ImagePullBackOff", warning=True, container=container)
                    await self._pause(RETRY.delay(failures))
            self._event(
                "Pulled", f'Container image "{reference}" already present on machine', container=container
            )

    def _pull_problem(self, reference: str) -> tuple[str, str, str] | None:
        """The container's waiting reason and message, and the event's text."""
        if not kubernetes_image.image_name_is_valid(reference):
            message = (
                f'Failed to apply default image tag "{reference}": couldn\'t parse image name "{reference}": '
                "invalid reference format"
            )
            return "InvalidImageName", message, message
        if self._node.image.available(reference) and not self._fault("image-pull"):
            return None
        full = reference if "/" in reference else f"docker.io/library/{reference}"
        message = (
            f'rpc error: code = NotFound desc = failed to pull and unpack image "{full}": failed to resolve '
            f'reference "{full}": {full}: not found'
        )
        return "ErrImagePull", message, f'Failed to pull image "{reference}": {message}'

    async def _run_init(self, container: Obj) -> bool:
        """Run one init container to its end (a sidecar: to its start); false when the pod has failed."""
        name = container["name"]
        sidecar = container.get("restartPolicy") == "Always"
        while True:
            started = await self._start(container)
            if started and sidecar:
                return True
            if started:
                await self._finish(container)
            if self._status.container(name)["state"].get("terminated", {}).get("exitCode") == 0:
                self._write()
                return True
            if self._spec["restartPolicy"] == "Never":
                return False
            await self._back_off(container)

    async def _run_main(self) -> None:
        """Run all containers until each has ended for good, then stop the sidecars."""
        async with asyncio.TaskGroup() as group:
            for container in self._spec["containers"]:
                group.create_task(self._run_container(container))
        sidecars = [one for one in self._spec.get("initContainers", ()) if one["name"] in self._runs]
        await container_run.stop([self._runs[one["name"]] for one in sidecars], self._grace())
        for one in sidecars:
            await self._finish(one)
        self._write()

    async def _run_container(self, container: Obj) -> None:
        while True:
            if await self._start(container):
                await self._finish(container)
            code = self._status.container(container["name"])["state"]["terminated"]["exitCode"]
            policy = self._spec["restartPolicy"]
            if policy == "Never" or (policy == "OnFailure" and code == 0):
                self._write()
                return
            await self._back_off(container)

    async def _back_off(self, container: Obj) -> None:
        """Wait before a container is started again; each restart doubles the delay."""
        name = container["name"]
        delay = self._node.backoff.delay(self._status.container(name)["restartCount"] + 1)
        self._write()
        pod = f"{self._key[1]}_{self._key[0]}({self._uid})"
        message = f"back-off {delay:g}s restarting failed container={name} pod={pod}"
        self._status.waiting(name, "CrashLoopBackOff", message)
        self._write()
        self._event(
            "BackOff", f"Back-off restarting failed container {name}", warning=True, container=container
        )
        await asyncio.sleep(delay)
        self._status.restarted(name)

    # --- one container ------------------------------------------------------------------------------------

    async def _start(self, container: Obj) -> bool:
        """Start a container; false when it could not be and is reported as ended."""
        name = container["name"]
        declared = await self._environment(container)
        log = self._kubelet.logs.open(self._uid, name)
        try:
            self._event("Created", f"Created container: {name}", container=container)
            if self._node.run:
                start = asyncio.create_task(self._start_process(container, declared, log))
                self._starting.add(start)
                start.add_done_callback(self._starting.discard)
                await asyncio.shield(start)
            else:
                self._runs[name] = container_run.InstantRun.start(
                    self._node.outcome, job_name_of(self._pod), log
                )
        except container_run.StartError as error:
            log.end()
            self._event("Failed", f"Error: {error}", warning=True, container=container)
            self._status.terminated(
                name,
                code=128,
                reason="StartError",
                message=str(error),
                started=None,
                finished=self._store.now(),
            )
            return False
        self._status.running(name, self._runs[name].started)
        self._event("Started", f"Started container {name}", container=container)
        self._write()
        fault = self._fault(*_ENDING)
        if fault is not None and not fault.after_seconds:
            self.end(_End(fault.effect))
            await asyncio.get_running_loop().create_future()  # the end from outside cancels this course
        return True

    async def _start_process(self, container: Obj, declared: dict[str, str], log: ContainerLog) -> None:
        """Start the process; never interrupted half-way, so that no process is left unknown."""
        name = container["name"]
        root = self._directory / "root" / name
        root.mkdir(parents=True, exist_ok=True)
        message = self._message_file(name)
        message.write_bytes(b"")
        directories = {**self._node.image.paths, **volumes.mount_points(container, self._mounted)}
        paths = kubernetes_image.PathMap(directories, {container["terminationMessagePath"]: message})
        environment = kubernetes_image.local_environment(
            self._node.image, {"HOSTNAME": self._key[1], **declared}, paths, root
        )
        directory = Path(paths.apply(container["workingDir"])) if "workingDir" in container else root
        if not directory.is_dir():
            missing = f"chdir to cwd ({container['workingDir']!r}) failed: no such file or directory"
            raise container_run.StartError(f"{container_run.START_FAILED}: {missing}: unknown")
        command = container_run.Command(
            kubernetes_image.arguments(container, declared, paths), environment, directory
        )
        self._runs[name] = await container_run.ProcessRun.start(command, log, message)

    async def _environment(self, container: Obj) -> dict[str, str]:
        """The container's variables; waits while an object they refer to is missing."""
        failures = 0
        while True:
            try:
                if self._fault("config-error"):
                    raise kubernetes_image.MissingReferenceError('configmap "missing" not found')  # noqa: TRY301 one handling
                return kubernetes_image.container_environment(self._current(), container, self._config_maps())
            except kubernetes_image.MissingReferenceError as error:
                self._status.waiting(container["name"], "CreateContainerConfigError", str(error))
                self._write()
                self._event("Failed", f"Error: {error}", warning=True, container=container)
                failures += 1
                await self._pause(RETRY.delay(failures))

    async def _finish(self, container: Obj, *, reason: str = "") -> None:
        """Wait for a container's end and report it."""
        name = container["name"]
        ended = await self._runs[name].wait()
        del self._runs[name]
        log = self._kubelet.logs.get(self._uid, name)
        message = ended.message
        if log is not None:
            message = container_run.termination_message(ended, container["terminationMessagePolicy"], log)
        self._status.terminated(
            name,
            code=ended.code,
            reason=reason or ("Error" if ended.code else "Completed"),
            message=message,
            started=ended.started,
            finished=ended.finished,
        )

    def _message_file(self, name: str) -> Path:
        file: Path = self._directory / f"termination-{name}"
        return file

    # --- ends from outside --------------------------------------------------------------------------------

    async def _watch_for_interference(self) -> None:
        """End the pod by a fault, or by its own deadline."""
        deadline = self._spec.get("activeDeadlineSeconds")
        loop = asyncio.get_running_loop()
        over = None if deadline is None else loop.time() + deadline
        while True:
            fault = self._fault(*_ENDING) if self._runs else None
            if fault is not None:
                await asyncio.sleep(fault.after_seconds)
                self.end(_End(fault.effect))
                return
            left = None if over is None else over - loop.time()
            if left is not None and left <= 0:
                self.end(_End("deadline", self._grace()))
                return
            await self._kubelet.faults.wait_for_change(
                min(RETRY.base_seconds if not self._runs else 60.0, left or 60.0)
            )

    async def _end_from_outside(self, end: _End) -> None:
        await asyncio.gather(*self._starting, return_exceptions=True)
        await container_run.stop(list(self._runs.values()), end.grace_seconds)
        if end.kind == "shutdown":
            return
        containers = containers_of(self._spec)
        for container in containers:
            if container["name"] in self._runs:
                await self._finish(container, reason="OOMKilled" if end.kind == "oom" else "")
        now = self._store.now()
        match end.kind:
            case "oom":
                self._status.ended()
                self._write()
            case "evict":
                message = (
                    "The node was low on resource: memory. Threshold quantity: 100Mi, available: 50Mi. "
                    f"Container {containers[-1]['name']} was using 200Mi, request is 0, has larger "
                    "consumption of memory. "
                )
                self._status.disrupted("TerminationByKubelet", message, now)
                self._status.ended("Evicted", message)
                self._write()
                self._event("Evicted", message, warning=True)
            case "deadline":
                message = "Pod was active on the node longer than the specified deadline"
                self._status.ended("DeadlineExceeded", message)
                self._write()
                self._event("DeadlineExceeded", message)
            case "node-lost":
                self._lose(now)
            case _:
                self._conclude_deletion()

    def _lose(self, now: datetime) -> None:
        """The node is gone: the control plane fails the pod and deletes it."""
        message = "PodGC: node no longer exists"
        self._status.disrupted("DeletionByPodGC", message, now)
        self._status.ended()
        self._write()
        if (pod := self._present()) is not None:
            delete(self._store, PODS, pod, grace_seconds=0)

    def _conclude_deletion(self) -> None:
        """The containers have stopped: report how, then let the object go."""
        if not self._status.finished:
            self._status.ended()
        self._write()

        def release(pod: Obj) -> None:
            pod["metadata"]["deletionGracePeriodSeconds"] = 0

        if self._present() is not None:
            self._store.modify(PODS, self._key, release)

    # --- helpers ------------------------------------------------------------------------------------------

    async def _take_slot(self) -> None:
        if self._node.run:
            await self._kubelet.slots.acquire()
            self._holds_slot = True

    def _release_slot(self) -> None:
        if self._holds_slot:
            self._kubelet.slots.release()
            self._holds_slot = False

    async def _pause(self, seconds: float) -> None:
        """Wait without keeping others from running."""
        self._release_slot()
        await self._kubelet.faults.wait_for_change(seconds)
        await self._take_slot()

    def _grace(self) -> float:
        return float(self._spec.get("terminationGracePeriodSeconds", 30))

    def _fault(self, *effects: PodEffect) -> PodFault | None:
        metadata = self._pod["metadata"]
        return self._kubelet.faults.for_pod(
            effects, uid=self._uid, name=job_name_of(self._pod), labels=metadata.get("labels", {})
        )

    def _present(self) -> Obj | None:
        """The pod as the store holds it; None once it is gone, whatever has its name now."""
        pod = self._store.get(PODS, self._key)
        return pod if pod is not None and pod["metadata"]["uid"] == self._uid else None

    def _config_maps(self) -> dict[str, Obj]:
        found = self._store.select(CONFIG_MAPS, self._key[0], Selector())
        return {one["metadata"]["name"]: one for one in found}

    def _current(self) -> Obj:
        """The pod with the status as it is about to be."""
        return {**self._pod, "status": self._status.value(self._store.now())}

    def _event(
        self, reason: str, message: str, *, warning: bool = False, container: Obj | None = None
    ) -> None:
        record = self._kubelet.events.warning if warning else self._kubelet.events.normal
        where = ""
        if container is not None:
            group = "containers" if container in self._spec["containers"] else "initContainers"
            where = f"spec.{group}{{{container['name']}}}"
        record(PODS, self._pod, reason, message, container=where)

    def _write(self) -> None:
        """Publish the status, if the pod is still there."""
        present = self._present()
        if present is None:
            return
        disruption = true_condition(present.get("status", {}).get("conditions", ()), "DisruptionTarget")
        if disruption is not None:  # an eviction by the API writes it
            self._status.disrupted(disruption["reason"], disruption["message"], self._store.now())

        def change(pod: Obj) -> None:
            pod["status"] = self._status.value(self._store.now())

        self._pod = self._store.modify(PODS, self._key, change) or self._pod
