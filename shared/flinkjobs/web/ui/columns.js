// The columns of the list, as a table: a further column is one more row.

import { FINAL } from "./url_state.js";
import { h, setAttribute, setText } from "./dom.js";
import { duration, lastLine, setTime, ticking, utc } from "./format.js";
import { clock } from "./polling.js";
import { recall, remember, t, tOr } from "./i18n.js";

const KEPT = "flinkjobs.columns";

/**
 * name: of its heading, `col.` and it, and of its cells' class · rem: its least width · most: its width where
 * every column has as much · from: the width of the page, in
 * rem, from which on it is shown to a reader who has not chosen; without it, only a choice shows it ·
 * fill(cell, job): what a cell shows · sort: the order of the list that it stands for.
 */
export const COLUMNS = [
  { name: "template", rem: 8.5, most: 12.5, from: 80, fill: words("template_id") },
  { name: "owner", rem: 7, most: 9, from: 115, fill: words("submitted_by") },
  { name: "cluster", rem: 6.5, most: 8, fill: words("cluster") },
  { name: "health", rem: 8, most: 11, fill: health },
  { name: "submitted", rem: 7.5, most: 9.5, from: 0, fill: time("submitted_at"), sort: "" },
  { name: "start", rem: 7.5, most: 9.5, fill: time("start_time") },
  { name: "end", rem: 7.5, most: 9.5, from: 115, fill: time("end_time"), sort: "end_time" },
  { name: "duration", rem: 7.5, most: 9, from: 0, fill: elapsed },
  { name: "k8s", rem: 12, most: 16, fill: words("k8s_job_name", "id") },
  { name: "reason", rem: 11, most: 17, from: 0, fill: reason },
];

/** What a row always has, and the edges of the page: in rem. */
const FIXED_REM = 37;

/** The names of the columns that the reader has chosen; null where they have not. */
export function chosenColumns() {
  try {
    const kept = JSON.parse(recall(KEPT));
    return Array.isArray(kept) ? kept : null;
  } catch {
    return null;
  }
}

export const chooseColumns = (names) => remember(KEPT, JSON.stringify(names));
export const forgetColumns = () => remember(KEPT, "null");

/** The columns to show, whether they fit next to each other at this width, and then how wide each of them is. */
export function layout() {
  const width = (rem) => matchMedia(`(width >= ${rem}rem)`).matches;
  const chosen = chosenColumns();
  const shown = COLUMNS.filter(({ name, from }) => (chosen ? chosen.includes(name) : from !== undefined && width(from)));
  const fits = (size) => width(FIXED_REM + shown.reduce((sum, column) => sum + column[size], 0));
  return { columns: shown, isTable: fits("rem"), size: fits("most") ? "most" : "rem" };
}

// --- cells ------------------------------------------------------------------------------------------

function words(field, className = null) {
  return (cell, job) => {
    const text = job[field] ?? "–";
    if (!cell.firstElementChild) cell.append(h("span", { class: className }));
    setText(cell.firstElementChild, text);
  };
}

function time(field) {
  return (cell, job) => setTime(cell, job[field]);
}

/** What changes by the second is written by `tickElapsed`. */
function elapsed(cell, job) {
  if (!cell.firstElementChild) cell.append(h("span", { class: "elapsed" }));
  const { start_time: start, submitted_at: submitted, duration: over, status } = job;
  Object.assign(cell.firstElementChild.dataset, { start: start ?? "", submitted: submitted ?? "", over: over ?? "", status: status ?? "" });
}

export function tickElapsed(root) {
  for (const cell of root.querySelectorAll(".elapsed")) {
    const { status, start, submitted, over } = cell.dataset;
    const seconds = (since) => (clock.now() - Date.parse(since)) / 1000;
    if (over !== "") {
      setText(cell, duration(Number(over)));
      setAttribute(cell, "title", `${over} s`);
    } else if (start && !FINAL.has(status)) {
      setText(cell, ticking(seconds(start)));
      setAttribute(cell, "title", utc(start));
    } else if (status === "CREATED" && submitted) {
      setText(cell, t("list.waiting", { duration: ticking(seconds(submitted)) }));
    } else setText(cell, "–");
    setAttribute(cell, "data-ticks", status === "RUNNING" && Boolean(start));
  }
}

function health(cell, { health: found }) {
  setText(cell, found ? t(`health.${found.state}`) : "–");
  setAttribute(cell, "title", found?.code ? tOr(`reason.${found.code}.title`, found.code) : null);
}

function reason(cell, job) {
  if (!cell.firstElementChild) cell.append(h("span", { class: "reason" }));
  const element = cell.firstElementChild;
  const { unreadable } = job;
  const cause = causeOf(job);
  const code = cause?.code ?? "";
  const message = unreadable ? t("list.unreadable", { why: unreadable }) : (cause?.message ?? "");
  const digest = `${code} ${message}`;
  if (element.dataset.digest === digest) return;
  element.dataset.digest = digest;
  element.title = message;
  element.replaceChildren(
    ...(code ? [h("span", { class: "code" }, code), " "] : []),
    h("span", { class: "message" }, inOneLine(job, message)),
  );
}

/** Why a job is not moving or has ended so; else why it is unhealthy. */
const causeOf = (job) => job.reason ?? (job.health?.code ? job.health : null);

/** What fails ends with its error; what waits or has finished is shown in our words: an error begins with names. */
function inOneLine(job, message) {
  const { status } = job;
  const cause = causeOf(job);
  const title = (FINAL.has(status) && status !== "FINISHED") || !cause ? "" : tOr(`reason.${cause.code}.title`, "");
  return title ? `${title} · ${lastLine(message)}` : lastLine(message);
}
