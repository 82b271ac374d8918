// What is wrong with the system itself, in kinds of problem; and what to check.

import { h, jobsLink, reconcile, refill } from "./dom.js";
import { local, number, span } from "./format.js";
import { recall, remember, t, tOr } from "./i18n.js";

const SHOWN_JOBS = 3;
const KEPT = "flinkjobs.notices";
const NARROW = "(width < 48rem)";

/**
 * @param {HTMLElement} root
 * @param {object} actions open(jobId), address(filters), showJobs(filters), retry(), reload()
 */
export function createNotices(root, actions) {
  const show = (notices) =>
    reconcile(
      root,
      notices,
      (notice) => notice.key,
      (notice) => (notice.retry ? h("section", { class: `strip ${notice.level}`, role: "alert" }) : foldable(notice)),
      (element, notice) => {
        if (!notice.retry) unfold(element, notice);
        refill(element, notice, () => build(notice, actions));
      },
    );
  return { show };
}

// --- folded until the cause changes ---------------------------------------------------------------------

function foldable(notice) {
  const element = h("details", { class: `strip ${notice.level}` });
  // Only what the reader does is kept: a notice that is opened by the page is not.
  element.addEventListener("click", (event) => {
    if (event.target.closest("summary")) keepFolded({ ...folded(), [notice.key]: { cause: element.dataset.cause, open: !element.open } });
  });
  return element;
}

/** On a phone a notice is one line until it is opened, so that the list stays in sight. */
function unfold(element, { key, cause }) {
  if (element.dataset.cause === cause) return;
  element.dataset.cause = cause;
  const kept = folded()[key];
  element.open = kept?.cause === cause ? kept.open : !matchMedia(NARROW).matches;
}

function folded() {
  try {
    return JSON.parse(recall(KEPT)) ?? {};
  } catch {
    return {};
  }
}

const keepFolded = (kept) => remember(KEPT, JSON.stringify(kept));

// --- what a notice says -----------------------------------------------------------------------------------

function build(notice, actions) {
  const { title, causes, check, retry } = notice;
  const heading = h("h2", {}, title);
  return [
    retry ? heading : h("summary", { "data-focus": "fold" }, heading),
    h("ul", {}, ...causes.map((cause) => h("li", {}, ...sentence(cause, actions), ...jobLinks(cause, actions)))),
    check ? h("p", { class: "check" }, t("notice.check", { what: check })) : null,
    retry
      ? h("button", { type: "button", "data-focus": "retry", click: actions[retry] }, t(`error.${retry}`))
      : null,
  ];
}

function sentence({ text, count, filter }, actions) {
  if (!filter) return [text];
  const counted = t("notice.count", { n: number(count) });
  return [jobsLink(actions, filter, counted, { class: "count-link", "data-focus": `count ${filter.reason}` }), text];
}

function jobLinks({ jobs = [] }, actions) {
  const shown = jobs.slice(0, SHOWN_JOBS);
  const buttons = shown.map((id) =>
    h("button", { type: "button", class: "link", "data-focus": id, click: () => actions.open(id) }, id),
  );
  return buttons.flatMap((button) => [" ", button]);
}

/** The strip that says that what is shown is not up to date, and why. */
export function failureNotice(error, loadedAt) {
  const asOf = loadedAt ? t("error.shown", { time: local(loadedAt) }) : t("error.nothing");
  const isRefused = error.status === 400;
  return {
    key: "failure",
    level: "bad",
    title: t(isRefused ? "error.refused" : "error.title"),
    causes: [{ text: isRefused ? errorText(error) : `${errorText(error)} ${asOf}` }],
    check: null,
    retry: error.kind === "login" || error.kind === "not_json" ? "reload" : "retry",
  };
}

/** What went wrong with a request, in a sentence. */
export function errorText(error) {
  const said = error.detail ? ` ${error.detail}` : "";
  if (error.kind === "problem") return `${t("error.status", { status: error.status })}${said}`;
  return error.kind ? t(`error.${error.kind}`, { status: error.status }) : String(error);
}

/** What came of *sync now*, in a sentence; without an error and a report, the reader stopped waiting. */
export function syncSentence({ report, error, before, after }) {
  if (error) return error.kind === "timeout" ? t("details.sync.timeout") : t("details.sync.failed", { why: errorText(error) });
  if (!report) return t("details.sync.cancelled");
  const away = Object.entries(report.clusters ?? {}).find(([, cluster]) => !cluster.reachable);
  if (away) return t("details.synced.unreachable", { cluster: away[0] });
  const first = report.errors?.[0];
  if (first) return t("details.synced.errors", { message: `${first.code}: ${first.message}` });
  const moved = Object.values(report.changed ?? {}).reduce((sum, count) => sum + count, 0);
  if (!before) return t(moved ? "list.synced.changed" : "details.synced.same", { n: moved });
  return after !== before ? t("details.synced.changed", { status: t(`status.${after}`) }) : t("details.synced.same");
}

/** The kinds of problem. A submission that was refused has failed: it does not stay CREATED. */
const KINDS = { STATUS_LAGS: "bad", STAYS_CREATED: "warn", NOT_SUBMITTED: "warn", NO_FLINK_JOB_ID: "warn", UNHEALTHY: "warn" };

/** One notice for each of the kinds of problem that exist now. What only scripts did wrong is none of the system. */
export function problemNotices(problems) {
  const ours = problems.filter((each) => !each.of_script);
  return Object.entries(KINDS).flatMap(([kind, level]) => {
    const those = ours.filter((each) => kindOf(each) === kind);
    if (!those.length) return [];
    const causes = those.map(kind === "STATUS_LAGS" ? lag : held);
    const checks = new Set(causes.map((cause) => cause.check).filter(Boolean));
    return {
      key: kind,
      level,
      cause: those.map(({ code, data }) => `${code} ${data.cluster ?? ""}`).toSorted().join(),
      title: t(`problem.${kind}.title`, { n: those.reduce((sum, each) => sum + each.count, 0) }),
      causes,
      check: checks.size ? [...checks].join(" ") : t(`problem.${kind}.check`),
      retry: null,
    };
  });
}

function kindOf({ problem, filter }) {
  return problem === "STAYS_CREATED" && filter?.status === "FAILED" ? "NOT_SUBMITTED" : problem;
}

function held({ code, count, job_ids: jobs, filter }) {
  const { status, reason, health = "", ...times } = filter;
  const range = Object.keys(times).length ? { range: "custom", ...times } : {};
  return { text: t("notice.cause", { cause: tOr(`reason.${code}.title`, code) }), jobs, count, filter: { status: status ? [status] : [], reason, health, ...range } };
}

function lag({ code, data, job_ids: jobs }) {
  const values = {
    ...data,
    code,
    error: data.error ?? "",
    since: data.since ? local(data.since) : "",
    ago: typeof data.age_seconds === "number" ? span(data.age_seconds) : "",
    period: typeof data.period_seconds === "number" ? span(data.period_seconds) : "",
  };
  return { text: tOr(`lag.${code}`, t("lag.other", values), values), check: tOr(`lag.${code}.check`, null), jobs };
}
