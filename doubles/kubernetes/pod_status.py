"""A pod's status as a kubelet reports it, kept as data while the pod lives."""

import re
from datetime import datetime

from doubles.kubernetes.objects import Obj, clone, stamp

EPOCH = "1970-01-01T00:00:00Z"
NODE = "local-node"
ADDRESS = "127.0.0.1"


class PodStatus:
    """The status of one pod, with what is needed to derive its phase and conditions."""

    def __init__(self, pod: Obj) -> None:
        """Begin with what the pod's status says already."""
        self._spec = pod["spec"]
        self._uid: str = pod["metadata"]["uid"]
        self._status: Obj = clone(pod.get("status", {}))
        self._failed_from_outside = False
        self._sidecars = {
            one["name"]
            for one in self._spec.get("initContainers", ())
            if one.get("restartPolicy") == "Always"
        }

    def value(self, now: datetime) -> Obj:
        """The status object; a condition's time moves only when the condition does."""
        status = self._status
        status["phase"] = self.phase
        if "hostIP" in status:
            self._set_conditions(now)
        result: Obj = clone(status)
        return result

    # --- the pod as a whole -------------------------------------------------------------------------------

    def unschedulable(self, message: str, now: datetime) -> None:
        """No node takes the pod."""
        self._condition("PodScheduled", now, holds=False, reason="Unschedulable", message=message)

    def scheduled(self, now: datetime) -> None:
        """The node has taken the pod; its containers wait."""
        self._condition("PodScheduled", now, holds=True)
        self._status |= {
            "hostIP": ADDRESS,
            "hostIPs": [{"ip": ADDRESS}],
            "startTime": stamp(now),
        }
        init = self._spec.get("initContainers", ())
        reason = "PodInitializing" if init else "ContainerCreating"
        if init:
            self._status["initContainerStatuses"] = [_new_status(one, "PodInitializing") for one in init]
        self._status["containerStatuses"] = [_new_status(one, reason) for one in self._spec["containers"]]

    def networked(self) -> None:
        """The pod's sandbox is up: it has an address."""
        self._status |= {"podIP": ADDRESS, "podIPs": [{"ip": ADDRESS}]}

    def ended(self, reason: str = "", message: str = "") -> None:
        """The pod has failed by what came from outside: eviction, deadline, deletion."""
        self._failed_from_outside = True
        if reason:
            self._status["reason"] = reason
        if message:
            self._status["message"] = message

    def disrupted(self, reason: str, message: str, now: datetime) -> None:
        """The pod is about to end through no fault of its own."""
        self._condition("DisruptionTarget", now, holds=True, reason=reason, message=message)

    @property
    def finished(self) -> bool:
        """Whether the pod has ended by its containers or from outside."""
        return self.phase in ("Succeeded", "Failed")

    @property
    def phase(self) -> str:
        """The phase as of now."""
        return "Failed" if self._failed_from_outside else self._phase()

    # --- one container ------------------------------------------------------------------------------------

    def container(self, name: str) -> Obj:
        """The status of one container, to be read."""
        for one in [
            *self._status.get("initContainerStatuses", ()),
            *self._status.get("containerStatuses", ()),
        ]:
            if one["name"] == name:
                found: Obj = one
                return found
        raise KeyError(name)

    def waiting(self, name: str, reason: str, message: str = "") -> None:
        """The container does not run, for this reason; an end it had is remembered as the last."""
        status = self.container(name)
        if "terminated" in status["state"]:
            status["lastState"] = status["state"]
        status["state"] = {"waiting": {"reason": reason} | ({"message": message} if message else {})}
        status["ready"] = status["started"] = False

    def running(self, name: str, started: datetime) -> None:
        """The container runs."""
        status = self.container(name)
        status["state"] = {"running": {"startedAt": stamp(started)}}
        status["containerID"] = self.container_id(name)
        status["imageID"] = f"local/{status['image']}"
        status["ready"] = status["started"] = True

    def terminated(
        self,
        name: str,
        *,
        code: int,
        reason: str,
        message: str,
        started: datetime | None,
        finished: datetime,
    ) -> None:
        """The container has ended; without a start it never ran."""
        status = self.container(name)
        end: Obj = {
            "exitCode": code,
            "reason": reason,
            "startedAt": stamp(started) if started else EPOCH,
            "finishedAt": stamp(finished),
            "containerID": self.container_id(name),
        }
        if message:
            end["message"] = message
        status["state"] = {"terminated": end}
        status["containerID"] = end["containerID"]
        status["started"] = False
        is_init = any(one["name"] == name for one in self._spec.get("initContainers", ()))
        status["ready"] = is_init and code == 0

    def restarted(self, name: str) -> int:
        """Count one more restart of the container; returns how many there were."""
        status = self.container(name)
        status["restartCount"] += 1
        count: int = status["restartCount"]
        return count

    def container_id(self, name: str) -> str:
        """A runtime's id for the present run of the container."""
        run = self.container(name)["restartCount"]
        digits = re.sub("[^0-9a-f]", "", self._uid)
        return f"containerd://{digits}{run:04x}{name.encode().hex():0<28.28}"

    # --- derived ------------------------------------------------------------------------------------------

    def _phase(self) -> str:
        init = self._status.get("initContainerStatuses", ())
        main = self._status.get("containerStatuses", ())
        policy = self._spec["restartPolicy"]
        if not main:
            return "Pending"
        if policy == "Never" and any(
            _exit_code(one) not in (None, 0) for one in init if one["name"] not in self._sidecars
        ):
            return "Failed"
        codes = [_exit_code(one) for one in main]
        sidecars_run = any("running" in one["state"] for one in init)
        if (
            None not in codes
            and not sidecars_run
            and (policy == "Never" or (policy == "OnFailure" and not any(codes)))
        ):
            return "Failed" if any(codes) else "Succeeded"
        untouched = all(
            code is None and "running" not in one["state"] for one, code in zip(main, codes, strict=True)
        )
        return "Pending" if untouched and not any(one["restartCount"] for one in main) else "Running"

    def _set_conditions(self, now: datetime) -> None:
        phase = self._status["phase"]
        init = self._status.get("initContainerStatuses", ())
        incomplete = [one["name"] for one in init if not self._init_done(one)]
        unready = [one["name"] for one in self._status["containerStatuses"] if not one["ready"]]
        self._condition("PodReadyToStartContainers", now, holds="podIP" in self._status and not self.finished)
        text = f"containers with incomplete status: [{' '.join(incomplete)}]" if incomplete else ""
        reason = "ContainersNotInitialized" if incomplete else ""
        if phase == "Succeeded":
            reason, text, incomplete = "PodCompleted", "", []
        self._condition("Initialized", now, holds=not incomplete, reason=reason, message=text)
        text = f"containers with unready status: [{' '.join(unready)}]" if unready else ""
        reason = "ContainersNotReady" if unready else ""
        if phase in ("Succeeded", "Failed"):
            reason, text = ("PodCompleted" if phase == "Succeeded" else "PodFailed"), ""
            unready = unready or ["all"]
        for kind in ("Ready", "ContainersReady"):
            self._condition(kind, now, holds=not unready, reason=reason, message=text)

    def _init_done(self, status: Obj) -> bool:
        if status["name"] in self._sidecars:
            return "waiting" not in status["state"]
        return _exit_code(status) == 0

    def _condition(
        self, kind: str, now: datetime, *, holds: bool, reason: str = "", message: str = ""
    ) -> None:
        conditions: list[Obj] = self._status.setdefault("conditions", [])
        new: Obj = {
            "type": kind,
            "status": str(holds),
            "lastProbeTime": None,
            "lastTransitionTime": stamp(now),
        }
        new |= {key: text for key, text in (("reason", reason), ("message", message)) if text}
        for place, old in enumerate(conditions):
            if old["type"] == kind:
                if old["status"] == new["status"]:
                    new["lastTransitionTime"] = old["lastTransitionTime"]
                conditions[place] = new
                return
        conditions.append(new)


def _new_status(container: Obj, reason: str) -> Obj:
    return {
        "name": container["name"],
        "image": container["image"],
        "imageID": "",
        "ready": False,
        "started": False,
        "restartCount": 0,
        "state": {"waiting": {"reason": reason}},
        "lastState": {},
    }


def _exit_code(status: Obj) -> int | None:
    end = status["state"].get("terminated")
    return None if end is None else int(end["exitCode"])
