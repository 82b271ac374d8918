// The parts of the side panel, each made of what GET api/jobs/{id} answers.

import { FINAL } from "./url_state.js";
import { commandLine, copyButton, h, healthBadge, jobsLink, outsideLink } from "./dom.js";
import { duration, json, lastLine, local, number, timeElement } from "./format.js";
import { has, t, tOr } from "./i18n.js";

/** FAILED for one of these: Flink never had the job. With another reason this is not known. Written by `make reasons`. */
const NEVER_RAN = new Set(["K8S_REFUSED", "K8S_JOB_MISSING", "IMAGE_UNSUITABLE", "SUBMIT_FAILED", "NO_JOB_SUBMITTED"]);

const heading = (key, ...more) => h("h3", {}, t(key), ...more);

/** One sentence that answers the question. */
export function verdict(job) {
  const line = (key, values) => h("p", { class: "verdict" }, t(key, values));
  if (job.unreadable) return line("list.unreadable", { why: job.unreadable });
  const { status } = job;
  const title = job.reason ? reasonTitle(job.reason.code) : null;
  if (status === "CREATED") {
    return [
      h("p", { class: "verdict", "data-since": job.submitted_at, "data-words": "verdict.CREATED" }),
      title ? h("p", { class: "verdict-more" }, t("verdict.CREATED.reason", { title })) : null,
    ];
  }
  if (status === "RUNNING" && job.start_time) {
    return h("p", { class: "verdict", "data-since": job.start_time, "data-words": "verdict.RUNNING" });
  }
  const took = job.duration === null ? null : duration(job.duration, { decimals: 3 });
  const key = took === null && status === "FAILED" ? failedHow(job) : `verdict.${status}`;
  return [
    line(took === null && has(`${key}.unknown`) ? `${key}.unknown` : key, { duration: took }),
    job.reason ? h("p", { class: "verdict-more" }, (status !== "FINISHED" && errorLine(job.reason.message)) || title) : null,
  ];
}

/** The error at the end of a message of several lines; a message of one line is shown with the reason, once. */
const errorLine = (message) => (message.trim().includes("\n") ? lastLine(message) : "");

/** A job that failed after an unknown time: in Flink, before it, or is not even that known? */
function failedHow({ flink_job_id: id, reason: cause }) {
  if (id) return "verdict.FAILED.unknown";
  return NEVER_RAN.has(cause?.code) ? "verdict.FAILED.before" : "verdict.FAILED.unclear";
}

const reasonTitle = (code) => tOr(`reason.${code}.title`, code);

/** The cause: what it means, what to do, and the system's own words. */
export function reason({ reason: cause, status }) {
  return cause ? [heading("details.reason", " ", h("code", { class: "code" }, cause.code)), ...explanation(cause, status)] : null;
}

/** How an open job does, and the newest state that it can be resumed from. */
export function health({ health: found, latest_state: state, status }) {
  const { checkpoint, tasks } = found ?? {};
  const done = checkpoint?.completed_at ? timeElement(checkpoint.completed_at) : t("fact.checkpoint.none");
  const seen = checkpoint ? ` (${t("fact.observed", { time: local(checkpoint.observed_at) })})` : null;
  const deleted = state?.deleted ? ` · ${t(`state.${state.deleted}`)}` : null;
  const rows = [
    ["restarts", found?.restarts ? number(found.restarts) : null],
    ["tasks", tasks?.total ? `${number(tasks.running)} / ${number(tasks.total)}` : null],
    ["checkpoint", checkpoint ? h("span", {}, done, seen) : null],
    ["latest_state", state ? h("span", {}, `${t(`state.${state.kind}`)} `, copyable(state.path, "fact.latest_state"), " ", timeElement(state.at), deleted) : null],
  ].filter(([, value]) => value);
  if (!rows.length && !healthBadge(found)) return null;
  const entries = rows.map(([name, value]) => h("div", {}, h("dt", {}, t(`fact.${name}`)), h("dd", {}, value)));
  return [
    heading("details.health", " ", found ? t(`health.${found.state}`) : null, " ", found?.code ? h("code", { class: "code" }, found.code) : null),
    ...(found?.code ? explanation(found, status) : []),
    entries.length ? h("dl", { class: "facts-list" }, ...entries) : null,
  ];
}

function explanation({ code, message, since }, status) {
  const explained = (name) => {
    const key = `reason.${code}.${name}`;
    return has(key) ? [h("dt", {}, t(`details.${name}`)), h("dd", {}, t(key))] : [];
  };
  return [
    message ? said(message, FINAL.has(status) && status !== "FINISHED") : null,
    h("dl", { class: "explained" }, ...explained("means"), ...explained("do")),
    since && !FINAL.has(status) ? h("p", { class: "since" }, t("details.since", { time: local(since) })) : null,
  ];
}

/** The message; of several lines whose last one is shown already, folded. */
function said(message, isShown) {
  const text = h("pre", { class: "said", tabindex: "0", role: "region", "aria-label": t("details.said") }, message);
  return isShown && errorLine(message) ? h("details", { class: "whole" }, h("summary", { "data-focus": "said" }, t("details.said.whole")), text) : text;
}

/** The timeline, oldest first; of an open job, up to now. */
export function timeline({ timeline: events, job }) {
  let earlier = null;
  const items = events.map((event) => {
    const item = storyItem(event, earlier);
    if (event.at) earlier = event.at;
    return item;
  });
  if (job.status && !FINAL.has(job.status)) {
    const since = job.start_time ?? job.submitted_at;
    items.push(
      h(
        "li",
        { "data-event": "now", "data-status": job.status },
        h("p", { class: "what" }, t(`timeline.now.${job.status}`)),
        h("p", { class: "when" }, t("timeline.now"), " ", since ? h("span", { class: "after", "data-since": since }) : null),
      ),
    );
  }
  return [heading("details.timeline"), h("ol", { class: "timeline" }, ...items)];
}

function storyItem({ at, event, data = {} }, earlier) {
  const ended = `timeline.ended.${data.status}`;
  const waits = event === "pod" && data.phase === "Pending";
  const label = event === "ended" && has(ended) ? t(ended) : tOr(waits ? "timeline.pod.Pending" : `timeline.${event}`, event);
  const after = at && earlier ? (Date.parse(at) - Date.parse(earlier)) / 1000 : null;
  const when = [
    at ? timeElement(at) : t("timeline.time_unknown"),
    after !== null && after >= 0 ? h("span", { class: "after" }, ` ${t("timeline.after", { duration: duration(after) })}`) : null,
    data.noticed ? ` · ${t("timeline.noticed")}` : null,
  ];
  return h(
    "li",
    { "data-event": event, "data-status": data.status ?? null },
    h("p", { class: "what" }, label),
    h("p", { class: "facts" }, ...timelineFacts(event, data)),
    at || event === "ended" ? h("p", { class: "when" }, ...when.filter(Boolean)) : null, // no record says when an id is found
  );
}

/** A user; one that the sign-in proxy named is marked, of any other a request said so. */
const person = (name, verified) => (verified ? t("who.verified", { name }) : name);

/** What an event is worth saying beyond its name; of an event that the page does not know, all of it. */
function timelineFacts(event, data) {
  const id = (text) => (text ? h("span", { class: "id" }, text) : null);
  const shown = {
    submitted: () => [
      id(data.k8s_job_name),
      data.by ? t("timeline.submitted.by", { by: person(data.by, data.verified) }) : null,
    ],
    adopted: () => [data.by ? t("timeline.adopted.by", { by: person(data.by, data.verified) }) : null],
    action_requested: () => [tOr(`action.${data.kind}`, data.kind), data.by ? t("timeline.action.by", { by: person(data.by, data.verified) }) : null],
    action_ended: () => [
      `${tOr(`action.${data.kind}`, data.kind)}: ${tOr(`action.state.${data.state}`, data.state)}`,
      id(data.path),
      data.code ? `${data.code}: ${data.message}` : null,
    ],
    pod: () => [id(data.pod), data.phase],
    id_found: () => [id(data.flink_job_id), data.source ? tOr(`flink.source.${data.source}`, data.source) : null],
    started: () => [id(data.flink_job_id)],
    missing: () => [id(data.flink_job_id)],
    flink_ended: () => [id(data.flink_job_id), data.state],
    moved: () => [
      `${tOr(`status.${data.was}`, data.was)} → ${tOr(`status.${data.status}`, data.status)}`,
      data.code ? reasonTitle(data.code) : null,
    ],
    waiting: () => [data.code ? reasonTitle(data.code) : null],
    stuck: () => [data.code ? reasonTitle(data.code) : null],
    recovered: () => [],
    unhealthy: () => [data.code ? reasonTitle(data.code) : null],
    healthy: () => [],
    ended: () => [
      data.duration !== null && data.duration !== undefined ? duration(data.duration, { decimals: 3 }) : null,
      data.code ? reasonTitle(data.code) : null,
    ],
  };
  const found = Object.hasOwn(shown, event)
    ? shown[event]()
    : Object.entries(data).map(([name, value]) => (value === null ? null : `${name}: ${value}`));
  return found.filter(Boolean).flatMap((fact, index) => (index ? [" · ", fact] : [fact]));
}

/** Which event was sent to which channel, and when. */
export function sent(events) {
  if (!events?.length) return null;
  const items = events.map(({ channel, type, at }) =>
    h("li", {}, h("strong", {}, channel ?? "–"), ` · ${eventWord(type)} · `, at ? timeElement(at) : t("timeline.time_unknown")),
  );
  return [heading("details.sent"), h("ul", { class: "sent" }, ...items)];
}

/** `flinkjobs.job.failed` in the words of the page. */
function eventWord(type) {
  const what = type?.split(".").at(-1) ?? "";
  return tOr(`status.${what.toUpperCase()}`, tOr(`timeline.${what}`, type ?? "–"));
}

export function facts(job, actions) {
  const rows = [
    ["job_id", copyable(job.job_id, "fact.job_id")],
    ["job_name", job.job_name],
    ["template_id", job.template_id],
    ["k8s_job_name", copyable(job.k8s_job_name, "fact.k8s_job_name")],
    ["flink_job_id", copyable(job.flink_job_id, "fact.flink_job_id")],
    ["cluster", job.cluster],
    ["submitted_by", job.submitted_by ? person(job.submitted_by, job.submitted_by_verified) : null],
    ["labels", labels(job.labels, actions)],
    ["submitted_at", job.submitted_at ? timeElement(job.submitted_at) : null],
    ["start_time", job.start_time ? timeElement(job.start_time) : null],
    ["end_time", job.end_time ? timeElement(job.end_time) : null],
    ["ended_by", job.ended_by ? tOr(`action.${job.ended_by}`, job.ended_by) : null],
    ["duration", typeof job.duration === "number" ? duration(job.duration, { decimals: 3 }) : null],
    ["updated_at", job.updated_at ? timeElement(job.updated_at) : null],
  ];
  const shown = rows.filter(([, value]) => value);
  const entries = shown.map(([name, value]) => h("div", {}, h("dt", {}, t(`fact.${name}`)), h("dd", {}, value)));
  return [heading("details.facts"), h("dl", { class: "facts-list" }, ...entries)];
}

/** Each label leads to the jobs that have it. */
function labels(all, actions) {
  const pairs = Object.entries(all ?? {}).map(([key, value]) => `${key}=${value}`);
  if (!pairs.length) return null;
  const link = (label) => jobsLink(actions, { label }, label, { class: "label", title: t("details.label") });
  return h("span", { class: "labels" }, ...pairs.map(link));
}

function copyable(text, key) {
  return text ? h("span", { class: "copyable" }, h("span", { class: "id" }, text), copyButton(text, t(key))) : null;
}

export function flink({ flink_jobs: jobs, twins, job }) {
  const over = NEVER_RAN.has(job.reason?.code) ? "flink.none.over" : "flink.none.unknown";
  const none = FINAL.has(job.status) ? over : "flink.none";
  if (!jobs.length) return [heading("details.flink"), h("p", { class: "none" }, t(none))];
  return [heading("details.flink"), h("ul", { class: "cards" }, ...jobs.map(flinkJob)), ...twins.map(twin)];
}

/** A running Flink job of the same name that belongs to no record. */
function twin({ flink_job_id: id, ui_url: url }) {
  return h("p", { class: "warn-text twin" }, t("flink.twin"), " ", url ? outsideLink(url, id) : h("span", { class: "id" }, id));
}

function flinkJob(job) {
  const state = job.forgotten ? t("flink.forgotten") : (job.state ?? t("flink.unconfirmed"));
  return h(
    "li",
    {},
    h(
      "p",
      { class: "card-head" },
      copyable(job.flink_job_id, "fact.flink_job_id"),
      h("span", { class: "raw-state", title: t("fact.flink_state") }, state),
      h(
        "span",
        { class: "card-links" },
        job.ui_url ? outsideLink(job.ui_url, t("flink.open")) : null,
        job.history_url ? outsideLink(job.history_url, t("flink.history")) : null,
      ),
    ),
    h(
      "p",
      { class: "card-facts" },
      ...(job.start_time ? [timeElement(job.start_time), " → ", job.end_time ? timeElement(job.end_time) : "…"] : []),
      job.source ? ` · ${t("flink.source", { source: tOr(`flink.source.${job.source}`, job.source) })}` : null,
    ),
    job.missing_since ? h("p", { class: "warn-text" }, t("flink.missing", { time: local(job.missing_since) })) : null,
  );
}

export function kubernetes({ job_name: name, found, error, phase, pods = [], kubectl = [] }) {
  if (!name) return [heading("details.kubernetes"), h("p", { class: "none" }, t("k8s.none"))];
  const parts = [];
  if (found === false) parts.push(h("p", { class: "none" }, t("k8s.gone")));
  if (found === null || error) parts.push(h("p", { class: "warn-text" }, t("k8s.unknown", { error: error ?? "" })));
  if (found) {
    parts.push(
      h(
        "dl",
        { class: "facts-list" },
        h("div", {}, h("dt", {}, t("k8s.phase")), h("dd", {}, phase ? tOr(`k8s.phase.${phase.toUpperCase()}`, phase) : "–")),
        h("div", {}, h("dt", {}, t("k8s.pods")), h("dd", {}, ...(pods.length ? pods.map(pod) : [t("k8s.pods.none")]))),
      ),
    );
  }
  if (kubectl.length) {
    parts.push(h("h4", {}, t("k8s.commands")), h("ul", { class: "commands" }, ...kubectl.map((line) => h("li", {}, commandLine(line)))));
  }
  return [heading("details.kubernetes"), ...parts];
}

function pod({ name, phase, started_at: started, ended_at: ended }) {
  return h(
    "span",
    { class: "pod" },
    h("span", { class: "id" }, name),
    ` ${phase ?? ""} `,
    ...(ended ? [t("k8s.pod.ended"), " ", timeElement(ended)] : started ? [t("k8s.pod.started"), " ", timeElement(started)] : []),
  );
}

export function log(data) {
  return [...logText(data), ...(data.log_url ? [h("p", {}, outsideLink(data.log_url, t("log.store")))] : [])];
}

function logText({ log_tail: tail, job, kubernetes: { error, pods } }) {
  if (!tail) {
    if (!job.k8s_job_name) return [heading("details.log"), h("p", { class: "none" }, t("k8s.none"))];
    if (error) return [heading("details.log"), h("p", { class: "warn-text" }, t("log.unknown"))];
    const none = job.status === "CREATED" ? "log.none.yet" : pods.length ? "log.none.pod" : "log.none";
    return [heading("details.log"), h("p", { class: "none" }, t(none))];
  }
  const from = tail.source === "record" ? t("log.source.record") : tail.pod ? t("log.source.pod", { pod: tail.pod }) : null;
  if (tail.error) return [heading("details.log"), h("p", { class: "warn-text" }, t("log.unreadable", { error: tail.error }))];
  const notes = [from, tail.truncated ? t("log.truncated") : null].filter(Boolean).join(" · ");
  return [
    heading("details.log", " ", h("small", {}, notes), " ", copyButton(tail.text, t("details.log"))),
    block(tail.text || t("log.empty"), "details.log", "log"),
  ];
}

export function spec(submitted) {
  if (!submitted) return [heading("details.spec"), h("p", { class: "none" }, t("details.spec.none"))];
  const text = json(submitted);
  const script = submitted.script?.inline;
  return [
    ...(typeof script === "string"
      ? [heading("details.script", " ", copyButton(script, t("details.script"))), block(script, "details.script", "script")]
      : []),
    heading("details.spec", " ", copyButton(text, t("details.spec"))),
    block(text, "details.spec", "json"),
  ];
}

/** Text that scrolls by itself: reachable by keyboard, named for a screen reader. */
function block(text, key, kind) {
  return h("pre", { class: kind, tabindex: "0", role: "region", "aria-label": t(key), "data-focus": key }, text);
}
