"""Every reason code of a record, as a table: its statuses, its kind of problem, and its texts.

The one place where a code is described. `python -m deploy.reasons` writes the texts into the page's messages,
`docs/reference/codes.md` and `docs/how-to/operations.md`; doctor, the command line and the statistics read
it. A new code is one member of `ReasonCode`, one row of `REASONS`, and the rule that produces it.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

import msgspec

from flinkjobs.domain.flink_states import Status


class ReasonCode(StrEnum):
    """Why a record is not moving, or why it ended as it did."""

    IMAGE_PULL = "IMAGE_PULL"
    UNSCHEDULABLE = "UNSCHEDULABLE"
    CONFIG = "CONFIG"
    QUOTA = "QUOTA"
    MOUNT = "MOUNT"
    OOM = "OOM"
    EVICTED = "EVICTED"
    PREEMPTED = "PREEMPTED"
    POLICY = "POLICY"
    POD_START = "POD_START"
    K8S_REFUSED = "K8S_REFUSED"
    K8S_JOB_MISSING = "K8S_JOB_MISSING"
    CANCELLED_BEFORE_START = "CANCELLED_BEFORE_START"
    K8S_JOB_UNKNOWN = "K8S_JOB_UNKNOWN"
    K8S_JOB_SUSPENDED = "K8S_JOB_SUSPENDED"
    IMAGE_UNSUITABLE = "IMAGE_UNSUITABLE"
    SUBMIT_FAILED = "SUBMIT_FAILED"
    NO_JOB_SUBMITTED = "NO_JOB_SUBMITTED"
    LOG_UNAVAILABLE = "LOG_UNAVAILABLE"
    ID_UNCONFIRMED = "ID_UNCONFIRMED"
    JOB_FAILED = "JOB_FAILED"
    OUTCOME_UNKNOWN = "OUTCOME_UNKNOWN"
    SUBMIT_INCOMPLETE = "SUBMIT_INCOMPLETE"
    RESTARTING = "RESTARTING"
    WAITING_FOR_SLOTS = "WAITING_FOR_SLOTS"
    CHECKPOINTS_FAILING = "CHECKPOINTS_FAILING"


OF_SCRIPTS: Final = frozenset({ReasonCode.SUBMIT_FAILED, ReasonCode.NO_JOB_SUBMITTED})
"""Reasons of a failed submission that its author has to look into: the system has done its work."""


class ProblemKind(StrEnum):
    """The kinds of problems that the statistics count."""

    STAYS_CREATED = "STAYS_CREATED"
    NO_FLINK_JOB_ID = "NO_FLINK_JOB_ID"
    UNHEALTHY = "UNHEALTHY"
    """An open job that Flink runs, see `flinkjobs.domain.health`."""
    STATUS_LAGS = "STATUS_LAGS"
    """Of the whole system; no reason of a record is of this kind."""


class Text(msgspec.Struct, frozen=True):
    """A reason in one language. Names of settings, fields and commands are in backticks.

    Attributes:
        title: a few words for a list, without a full stop.
        meaning: what happened, in sentences.
        remedy: what to do, in sentences. In a command, `ID` stands for the id of the job.
    """

    title: str
    meaning: str
    remedy: str


class ReasonInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one code.

    Attributes:
        statuses: those that a record with this reason can have.
        accepted: whether Flink has accepted a job of the record; None where this cannot be known.
        problem: the kind of problem that the statistics count it as; None: it is not counted.
        en: the texts in English.
        zh: the texts in Chinese.
    """

    statuses: tuple[Status, ...]
    accepted: bool | None
    problem: ProblemKind | None
    en: Text
    zh: Text


REASONS: Final[Mapping[ReasonCode, ReasonInfo]] = MappingProxyType(
    {
        # the submitter's pod does not start, or was stopped
        ReasonCode.IMAGE_PULL: ReasonInfo(
            statuses=(Status.CREATED,),
            accepted=False,
            problem=ProblemKind.STAYS_CREATED,
            en=Text(
                "the image cannot be pulled",
                "Kubernetes cannot pull the submitter's image, or refuses its signature.",
                "Check the image's name and tag (`FLINK_IMAGE`), the registry and the pull secret "
                "(`K8S_IMAGE_PULL_SECRETS`). Kubernetes retries: the job continues once the image can be "
                "pulled. If the name was wrong, correct it, delete the Kubernetes Job and submit again.",
            ),
            zh=Text(
                "镜像拉取失败",
                "Kubernetes 无法拉取提交器的镜像，或镜像签名校验未通过。",
                "检查镜像名称和标签（`FLINK_IMAGE`）、镜像仓库和拉取密钥（`K8S_IMAGE_PULL_SECRETS`）。"
                "Kubernetes 会持续重试，镜像可用后作业会自动继续。"
                "如果镜像名称有误，请更正后删除该 Kubernetes Job 并重新提交。",
            ),
        ),
        ReasonCode.UNSCHEDULABLE: ReasonInfo(
            statuses=(Status.CREATED,),
            accepted=False,
            problem=ProblemKind.STAYS_CREATED,
            en=Text(
                "the pod cannot be scheduled",
                "No node meets the resource requests or scheduling constraints of the submitter's pod.",
                "Free resources, add a node, or request less in `resources` and submit again. Check the "
                "nodes' taints and the autoscaler as well. The pod starts once a node fits.",
            ),
            zh=Text(
                "Pod 无法调度",
                "没有节点满足提交器 Pod 的资源请求或调度约束。",
                "释放资源、增加节点，或在 `resources` 中减少申请量后重新提交；"
                "同时检查节点污点（taint）和自动扩缩容。有合适的节点后，Pod 会自动启动。",
            ),
        ),
        ReasonCode.CONFIG: ReasonInfo(
            statuses=(Status.CREATED,),
            accepted=False,
            problem=ProblemKind.STAYS_CREATED,
            en=Text(
                "the container's configuration is not valid",
                "The container refers to a Secret, a ConfigMap or a key that does not exist, or cannot be "
                "created as configured.",
                "Create the object that the message names: the pod then starts without further action. If a "
                "setting is wrong, correct it, delete the Kubernetes Job and submit again.",
            ),
            zh=Text(
                "容器配置无效",
                "容器引用了不存在的 Secret、ConfigMap 或键，或无法按配置创建。",
                "创建原始信息中指出的对象，Pod 会随后自动启动。"
                "如果是配置有误，请更正后删除该 Kubernetes Job 并重新提交。",
            ),
        ),
        ReasonCode.QUOTA: ReasonInfo(
            statuses=(Status.CREATED,),
            accepted=False,
            problem=ProblemKind.STAYS_CREATED,
            en=Text(
                "the quota is used up",
                "The namespace's ResourceQuota does not allow another pod.",
                "Wait until other Jobs end, let cleanup delete finished Jobs, raise the ResourceQuota, or "
                "request less in `resources` and submit again.",
            ),
            zh=Text(
                "配额已用尽",
                "命名空间的资源配额（ResourceQuota）不允许再创建 Pod。",
                "等待其他 Job 结束、通过清理删除已结束的 Job、提高配额，"
                "或在 `resources` 中减少申请量后重新提交。",
            ),
        ),
        ReasonCode.MOUNT: ReasonInfo(
            statuses=(Status.CREATED,),
            accepted=False,
            problem=ProblemKind.STAYS_CREATED,
            en=Text(
                "a volume cannot be mounted",
                "A volume of the submitter's pod cannot be mounted, usually because the script's ConfigMap "
                "does not exist.",
                "Check that the ConfigMap, Secret or volume claim that the message names exists. If the "
                "script's ConfigMap is missing, repeat the submission with the same idempotency key; "
                "otherwise sync deletes the Kubernetes Job.",
            ),
            zh=Text(
                "卷挂载失败",
                "提交器 Pod 的某个卷无法挂载，通常是因为脚本的 ConfigMap 不存在。",
                "确认原始信息中提到的 ConfigMap、Secret 或存储卷声明（PVC）存在。"
                "如果缺少脚本的 ConfigMap，请用相同的幂等键重新提交，否则状态同步会删除该 Kubernetes Job。",
            ),
        ),
        ReasonCode.OOM: ReasonInfo(
            statuses=(Status.CREATED,),
            accepted=False,
            problem=ProblemKind.STAYS_CREATED,
            en=Text(
                "out of memory",
                "The submitter exceeded its memory limit and was killed.",
                "Submit again with a larger `resources.memory`.",
            ),
            zh=Text(
                "内存不足",
                "提交器超出内存限制，已被终止。",
                "调大 `resources.memory` 后重新提交。",
            ),
        ),
        ReasonCode.EVICTED: ReasonInfo(
            statuses=(Status.CREATED,),
            accepted=False,
            problem=ProblemKind.STAYS_CREATED,
            en=Text(
                "the pod was evicted",
                "The node ran short of a resource and evicted the submitter's pod.",
                "Submit again. If it happens often, check the memory and the disks of the nodes.",
            ),
            zh=Text(
                "Pod 被驱逐",
                "节点资源不足，提交器的 Pod 被驱逐。",
                "重新提交。如果经常发生，请检查节点的内存和磁盘。",
            ),
        ),
        ReasonCode.PREEMPTED: ReasonInfo(
            statuses=(Status.CREATED,),
            accepted=False,
            problem=ProblemKind.STAYS_CREATED,
            en=Text(
                "the pod was preempted",
                "The cluster stopped the submitter's pod: for a more important pod, or because its node was "
                "drained, shut down or lost. The script is not the cause.",
                "Submit again. If it happens often, provide nodes that are not preemptible.",
            ),
            zh=Text(
                "Pod 被抢占或随节点终止",
                "集群终止了提交器的 Pod：为更高优先级的 Pod 让出资源，或所在节点被排空、关机或失联。"
                "与脚本无关。",
                "重新提交。如果经常发生，请为集群提供非抢占式节点。",
            ),
        ),
        ReasonCode.POLICY: ReasonInfo(
            statuses=(Status.CREATED,),
            accepted=False,
            problem=ProblemKind.STAYS_CREATED,
            en=Text(
                "a policy forbids the pod",
                "An admission policy of the cluster refuses the submitter's pod: a webhook, Pod Security or "
                "a LimitRange.",
                "Correct what the message names: `resources` of the job, or the policy, with the cluster's "
                "administrator. Then delete the Kubernetes Job and submit again.",
            ),
            zh=Text(
                "Pod 被策略拒绝",
                "集群的准入策略（Webhook、Pod Security 或 LimitRange）拒绝了提交器的 Pod。",
                "按原始信息修正作业的 `resources`，或联系集群管理员调整策略；"
                "然后删除该 Kubernetes Job 并重新提交。",
            ),
        ),
        ReasonCode.POD_START: ReasonInfo(
            statuses=(Status.CREATED,),
            accepted=False,
            problem=ProblemKind.STAYS_CREATED,
            en=Text(
                "the pod cannot start",
                "Kubernetes cannot create or start the submitter's pod; the message quotes Kubernetes.",
                "Read the message, then the output of `kubectl describe pod`.",
            ),
            zh=Text(
                "Pod 无法启动",
                "Kubernetes 无法创建或启动提交器的 Pod，原始信息来自 Kubernetes。",
                "先看原始信息，再用 `kubectl describe pod` 查看 Pod 事件。",
            ),
        ),
        # the Kubernetes Job
        ReasonCode.K8S_REFUSED: ReasonInfo(
            statuses=(Status.FAILED,),
            accepted=False,
            problem=ProblemKind.STAYS_CREATED,
            en=Text(
                "Kubernetes refused the Job",
                "Kubernetes refused to create the Job, so nothing was submitted.",
                "Correct what the message names (an admission policy, a quota, an invalid value) and submit "
                "again.",
            ),
            zh=Text(
                "Kubernetes 拒绝创建 Job",
                "Kubernetes 拒绝创建该 Job，没有提交任何作业。",
                "按原始信息修正（准入策略、配额或无效的取值）后重新提交。",
            ),
        ),
        ReasonCode.K8S_JOB_MISSING: ReasonInfo(
            statuses=(Status.FAILED,),
            accepted=False,
            problem=ProblemKind.STAYS_CREATED,
            en=Text(
                "the Kubernetes Job was never created",
                "The submission was cut off before the Kubernetes Job was created, and no Flink job has the "
                "record's name.",
                "Submit again.",
            ),
            zh=Text(
                "Kubernetes Job 从未创建",
                "提交在创建 Kubernetes Job 之前中断，Flink 中也没有与记录同名的作业。",
                "重新提交即可。",
            ),
        ),
        ReasonCode.CANCELLED_BEFORE_START: ReasonInfo(
            statuses=(Status.CANCELLED,),
            accepted=False,
            problem=None,
            en=Text(
                "cancelled before it started",
                "The job was cancelled before its submit container had started: its Kubernetes Job was "
                "deleted, and no Flink job has the record's name.",
                "Nothing. Submit again if the job is wanted after all.",
            ),
            zh=Text(
                "启动前已取消",
                "作业在提交容器启动之前被取消：Kubernetes Job 已删除，Flink 中没有与记录同名的作业。",
                "无需处理。如仍需要该作业，请重新提交。",
            ),
        ),
        ReasonCode.K8S_JOB_UNKNOWN: ReasonInfo(
            statuses=(Status.CREATED,),
            accepted=None,
            problem=ProblemKind.STAYS_CREATED,
            en=Text(
                "the record names no Kubernetes Job",
                "The record names neither a Kubernetes Job nor a Flink job, so its status cannot be "
                "determined.",
                "If you know its `k8s_job_name` or `flink_job_id`, add it to the record: the next pass "
                "follows it. Otherwise delete the record.",
            ),
            zh=Text(
                "记录中没有 Kubernetes Job",
                "记录中既没有 Kubernetes Job，也没有 Flink 作业，无法确定状态。",
                "如果知道 `k8s_job_name` 或 `flink_job_id`，请补到记录中，下次状态同步会继续跟踪；"
                "否则请删除该记录。",
            ),
        ),
        ReasonCode.K8S_JOB_SUSPENDED: ReasonInfo(
            statuses=(Status.CREATED,),
            accepted=False,
            problem=ProblemKind.STAYS_CREATED,
            en=Text(
                "the Kubernetes Job is suspended",
                "A person or a queueing system has set `spec.suspend` of the Kubernetes Job.",
                "If the message names a queue of Kueue, wait: Kueue starts the Job when its quota allows, "
                "and undoes a change by hand. Otherwise set `spec.suspend` of the Job to `false`.",
            ),
            zh=Text(
                "Kubernetes Job 被挂起",
                "有人或队列系统设置了该 Kubernetes Job 的 `spec.suspend`。",
                "如果原始信息中提到 Kueue 队列，请等待：配额允许时 Kueue 会自动放行，手动修改会被撤销。"
                "否则请将该 Job 的 `spec.suspend` 设为 `false`。",
            ),
        ),
        # the submitter has ended without a Flink Job ID
        ReasonCode.IMAGE_UNSUITABLE: ReasonInfo(
            statuses=(Status.FAILED,),
            accepted=False,
            problem=ProblemKind.NO_FLINK_JOB_ID,
            en=Text(
                "the image is unsuitable",
                "The submitter's image lacks a program that the submitter needs, which the message names; "
                "`flink run` was not started.",
                "Use an image that holds `bash`, the `timeout` of GNU coreutils, GNU `sed`, Python and the "
                "program that `FLINK_BIN` names, as the official Flink images do with Python added. Correct "
                "`FLINK_IMAGE` or `FLINK_BIN`, and submit again.",
            ),
            zh=Text(
                "镜像不符合要求",
                "提交器的镜像缺少必需的程序（见原始信息），因此没有启动 `flink run`。",
                "镜像必须包含 `bash`、GNU coreutils 的 `timeout`、GNU `sed`、Python 以及 `FLINK_BIN` "
                "指定的程序；"
                "官方 Flink 镜像加上 Python 即可。请更正 `FLINK_IMAGE` 或 `FLINK_BIN` 后重新提交。",
            ),
        ),
        ReasonCode.SUBMIT_FAILED: ReasonInfo(
            statuses=(Status.FAILED,),
            accepted=False,
            problem=ProblemKind.NO_FLINK_JOB_ID,
            en=Text(
                "the submission failed",
                "`flink run` or the script ended with an error before Flink accepted a job; the message "
                "holds the error lines of the log.",
                "Correct the script, its arguments or the JobManager's address, and submit again. "
                "`flinkjobs logs ID` prints the whole log.",
            ),
            zh=Text(
                "提交失败",
                "在 Flink 接受作业之前，`flink run` 或脚本已报错退出；原始信息是日志中的报错部分。",
                "修正脚本、参数或 JobManager 地址后重新提交。完整日志可用 `flinkjobs logs ID` 查看。",
            ),
        ),
        ReasonCode.NO_JOB_SUBMITTED: ReasonInfo(
            statuses=(Status.FAILED,),
            accepted=False,
            problem=ProblemKind.NO_FLINK_JOB_ID,
            en=Text(
                "the script submitted no job",
                "The script ended without an error and without submitting a Flink job.",
                'Call `execute()` or `execute_sql("INSERT …")` in the script, and submit again. '
                "`flinkjobs logs ID` prints the whole log.",
            ),
            zh=Text(
                "脚本没有提交作业",
                "脚本正常结束，但没有向 Flink 提交作业。",
                '确认脚本调用了 `execute()` 或 `execute_sql("INSERT …")`，然后重新提交。'
                "完整日志可用 `flinkjobs logs ID` 查看。",
            ),
        ),
        ReasonCode.LOG_UNAVAILABLE: ReasonInfo(
            statuses=(Status.FAILED,),
            accepted=None,
            problem=ProblemKind.NO_FLINK_JOB_ID,
            en=Text(
                "the submitter's log is not available",
                "The submitter has ended, its output is gone or too long to be read, and no Flink job has "
                "the record's name.",
                "Look for the job in Flink's web UI before you submit again: it may be running. Let sync run "
                "before pods and their logs are removed.",
            ),
            zh=Text(
                "提交器日志不可用",
                "提交器已结束，其输出已丢失或过长而无法读取，Flink 中也没有与记录同名的作业。",
                "重新提交前，先在 Flink Web UI 中查找该作业：它可能正在运行。"
                "请确保 Pod 及其日志在状态同步读取之后再删除。",
            ),
        ),
        # Flink
        ReasonCode.ID_UNCONFIRMED: ReasonInfo(
            statuses=(Status.CREATED, Status.RUNNING),
            accepted=None,
            problem=ProblemKind.NO_FLINK_JOB_ID,
            en=Text(
                "Flink does not confirm the id",
                "The submitter printed a Flink Job ID that Flink has not confirmed.",
                "Usually the next pass confirms it. If not, check that pods submit (`FLINK_JOBMANAGER`) to "
                "the cluster that sync asks (`FLINK_REST_URL`), and that it is the record's `cluster`.",
            ),
            zh=Text(
                "Flink 尚未确认该 ID",
                "提交器打印了 Flink Job ID，但 Flink 尚未确认。",
                "通常下次状态同步即可确认。若持续存在，请检查 Pod 提交的目标（`FLINK_JOBMANAGER`）与状态同步"
                "查询的集群（`FLINK_REST_URL`）是否一致，并且就是记录中的 `cluster`。",
            ),
        ),
        ReasonCode.JOB_FAILED: ReasonInfo(
            statuses=(Status.FAILED,),
            accepted=True,
            problem=None,
            en=Text(
                "the job failed in Flink",
                "Flink ran the job and it failed; the message is Flink's root exception.",
                "Correct what the exception names, and submit again. Flink's web UI shows the whole stack "
                "trace while it keeps the job.",
            ),
            zh=Text(
                "作业在 Flink 中失败",
                "Flink 运行了该作业，但作业失败；原始信息是 Flink 的根异常。",
                "根据异常修正后重新提交。在 Flink 保留该作业期间，可在 Flink Web UI 中查看完整堆栈。",
            ),
        ),
        ReasonCode.OUTCOME_UNKNOWN: ReasonInfo(
            statuses=(Status.CREATED, Status.LOST),
            accepted=None,
            problem=ProblemKind.NO_FLINK_JOB_ID,
            en=Text(
                "the outcome is unknown",
                "The outcome of the job is unknown. Either Flink no longer knows it, usually because the "
                "JobManager was restarted without high availability; or the submitter ended without printing "
                "a Flink Job ID, and no Flink job has the record's name.",
                "Look for the job in Flink's web UI, and check its output, before you submit again: it may "
                "be running under another name. To prevent this, enable high availability for the JobManager "
                "and set `FLINK_HISTORY_URL` to a History Server.",
            ),
            zh=Text(
                "最终状态未知",
                "无法得知该作业的结果：要么 Flink 中已查不到该作业（通常是 JobManager 在未启用高可用（HA）的"
                "情况下重启），要么提交器结束时没有打印 Flink Job ID，且 Flink 中没有与记录同名的作业。",
                "重新提交前，先在 Flink Web UI 中查找该作业并检查其输出：它可能以其他名称运行。"
                "为避免这种情况，请为 JobManager 启用高可用，并配置 History Server（`FLINK_HISTORY_URL`）。",
            ),
        ),
        ReasonCode.SUBMIT_INCOMPLETE: ReasonInfo(
            statuses=(Status.CREATED, Status.RUNNING, Status.SUSPENDED, Status.FINISHED, Status.LOST),
            accepted=True,
            problem=ProblemKind.NO_FLINK_JOB_ID,
            en=Text(
                "the submission is incomplete",
                "The script failed after it had submitted a job. That job is followed; what the script was "
                "to submit or do after it is missing.",
                "Correct the script by the message. Submit again only what is missing: the submitted job is "
                "not affected.",
            ),
            zh=Text(
                "提交不完整",
                "脚本在提交作业之后出错。已提交的作业会继续跟踪，但脚本后续要提交或执行的内容缺失。",
                "根据原始信息修正脚本，只重新提交缺失的部分；已提交的作业不受影响。",
            ),
        ),
        # health of a running job
        ReasonCode.RESTARTING: ReasonInfo(
            statuses=(Status.RUNNING,),
            accepted=True,
            problem=ProblemKind.UNHEALTHY,
            en=Text(
                "it restarts again and again",
                "Flink restarted the job at least `HEALTH_MAX_RESTARTS` times within "
                "`HEALTH_WINDOW_SECONDS`; the message is the latest root exception.",
                "Correct what the exception names, then stop the job and run it again from its latest state. "
                "Flink's web UI lists the exceptions.",
            ),
            zh=Text(
                "反复重启",
                "Flink 在 `HEALTH_WINDOW_SECONDS` 内至少重启了该作业 `HEALTH_MAX_RESTARTS` 次；"
                "原始信息是最近一次的根异常。",
                "根据异常修正后停止作业，并从最新状态重新运行。异常列表见 Flink Web UI。",
            ),
        ),
        ReasonCode.WAITING_FOR_SLOTS: ReasonInfo(
            statuses=(Status.RUNNING,),
            accepted=True,
            problem=ProblemKind.UNHEALTHY,
            en=Text(
                "it waits for slots",
                "Tasks of the job have had no slot for longer than `HEALTH_WAIT_SECONDS`, or it restarts "
                "because the cluster has too few slots.",
                "Check that all TaskManagers run. Add TaskManagers, free slots by stopping other jobs, or "
                "run the job with a lower parallelism.",
            ),
            zh=Text(
                "等待 slot",
                "作业的任务等待 slot 超过 `HEALTH_WAIT_SECONDS`，或因集群 slot 不足而重启。",
                "检查 TaskManager 是否全部在运行；增加 TaskManager、停止其他作业以释放 slot，"
                "或降低该作业的并行度。",
            ),
        ),
        ReasonCode.CHECKPOINTS_FAILING: ReasonInfo(
            statuses=(Status.RUNNING,),
            accepted=True,
            problem=ProblemKind.UNHEALTHY,
            en=Text(
                "its checkpoints fail",
                "Three checkpoints in a row failed, or none completed within three intervals and the "
                "timeout. After a failure the job would go back to the last one that completed.",
                "Check that the checkpoint directory exists and can be written. Where checkpoints expire, "
                "look for backpressure in Flink's web UI, or raise `execution.checkpointing.timeout`.",
            ),
            zh=Text(
                "Checkpoint 失败",
                "连续三次 checkpoint 失败，或在三个间隔加超时时间内没有 checkpoint 完成。"
                "若作业失败，将回退到最近一次完成的 checkpoint。",
                "检查 checkpoint 目录是否存在且可写。若 checkpoint 超时，请在 Flink Web UI 中查看反压，"
                "或调大 `execution.checkpointing.timeout`。",
            ),
        ),
    }
)
"""Every code has its row. The order is that of `docs/reference/codes.md`."""

ENDED_WITHOUT_ID: Final = tuple(
    code for code, info in REASONS.items() if Status.FAILED in info.statuses and not info.accepted
)
"""The reasons of a record that FAILED without a job that Flink is known to have accepted."""
