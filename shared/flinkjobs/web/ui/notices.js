// What is wrong with the system itself, in three kinds of problem; and what to check.

import { h, reconcile, refill } from "./dom.js";
import { local, number, span } from "./format.js";
import { t, tOr } from "./i18n.js";

const SHOWN_JOBS = 3;

/**
 * @param {HTMLElement} root
 * @param {object} actions open(jobId), retry(), reload()
 */
export function createNotices(root, actions) {
  const show = (notices) =>
    reconcile(
      root,
      notices,
      (notice) => notice.key,
      (notice) => h("section", { class: `strip ${notice.level}`, role: notice.role }),
      (element, notice) => refill(element, notice, () => build(notice, actions)),
    );
  return { show };
}

function build(notice, actions) {
  const { title, causes, check, retry } = notice;
  return [
    h("h2", {}, title),
    h("ul", {}, ...causes.map((cause) => h("li", {}, cause.text, ...jobLinks(cause, actions)))),
    check ? h("p", { class: "check" }, t("notice.check", { what: check })) : null,
    retry
      ? h("button", { type: "button", "data-focus": "retry", click: actions[retry] }, t(`error.${retry}`))
      : null,
  ];
}

function jobLinks({ jobs = [], count = 0 }, actions) {
  const shown = jobs.slice(0, SHOWN_JOBS);
  const buttons = shown.map((id) =>
    h("button", { type: "button", class: "link", "data-focus": id, click: () => actions.open(id) }, id),
  );
  const more = count - shown.length;
  return [
    ...buttons.flatMap((button) => [" ", button]),
    shown.length && more > 0 ? ` ${t("notice.more", { n: number(more) })}` : null,
  ];
}

/** The strip that says that what is shown is not up to date, and why. */
export function failureNotice(error, loadedAt) {
  const asOf = loadedAt ? t("error.shown", { time: local(loadedAt) }) : t("error.nothing");
  const isRefused = error.status === 400;
  return {
    key: "failure",
    level: "bad",
    role: "alert",
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

const PROBLEMS = { STATUS_LAGS: "bad", STAYS_CREATED: "warn", NO_FLINK_JOB_ID: "warn", UNHEALTHY: "warn" };

/** One notice for each of the kinds of problem that exist now. */
export function problemNotices(problems) {
  return Object.entries(PROBLEMS).flatMap(([name, level]) => {
    const causes = problems.filter((each) => each.problem === name).map(name === "STATUS_LAGS" ? lag : held);
    if (!causes.length) return [];
    const checks = new Set(causes.map((cause) => cause.check).filter(Boolean));
    return {
      key: name,
      level,
      role: null,
      title: t(`problem.${name}.title`),
      causes,
      check: checks.size ? [...checks].join(" ") : t(`problem.${name}.check`),
      retry: null,
    };
  });
}

function held({ code, count, job_ids: jobs }) {
  const why = tOr(`reason.${code}.title`, code);
  return { text: t("notice.held", { count: t("notice.count", { n: count }), why }), jobs, count };
}

function lag({ code, data, job_ids: jobs, count }) {
  const values = {
    ...data,
    code,
    error: data.error ?? "",
    since: data.since ? local(data.since) : "",
    ago: typeof data.age_seconds === "number" ? span(data.age_seconds) : "",
    period: typeof data.period_seconds === "number" ? span(data.period_seconds) : "",
  };
  return { text: tOr(`lag.${code}`, t("lag.other", values), values), check: tOr(`lag.${code}.check`, null), jobs, count };
}
