// The tab *Job instances*: filters, the table, its pages.

import { FINAL, RANGES, STATUSES, isFiltered } from "./url_state.js";
import { h, healthBadge, reconcile, setAttribute, setText, statusChip } from "./dom.js";
import { duration, lastLine, number, setTime, ticking, timeElement, utc, zone } from "./format.js";
import { clock } from "./polling.js";
import { t, tOr } from "./i18n.js";

const TYPING_MS = 300;
/** KEY=VALUE, once or more, separated by commas. */
const LABELS = " *([\\w.\\/\\-]+=[\\w.\\-]*)( *, *[\\w.\\/\\-]+=[\\w.\\-]*)* *";
const COLUMNS = ["status", "job", "template", "submitted", "duration", "reason", "actions"];

/**
 * @param {HTMLElement} root
 * @param {object} actions filter(patch), open(jobId), older(cursor), newer(), newest()
 */
export function createList(root, actions) {
  const filters = createFilters(actions);
  const body = h("tbody", { role: "rowgroup" });
  const table = h(
    "table",
    { class: "jobs", role: "table", "aria-labelledby": "jobs-caption" },
    h("caption", { class: "unseen", id: "jobs-caption" }, t("list.caption")),
    h("thead", { role: "rowgroup" }, headings()),
    body,
  );
  const empty = h("p", { class: "empty" }, t("list.loading"));
  const pages = createPages(actions);
  body.addEventListener("click", (event) => {
    const isText = !getSelection().isCollapsed; // an id is selected to be copied
    const row = event.target.closest("tr");
    if (row && !isText && !event.target.closest("a, button")) actions.open(row.dataset.key);
  });
  root.replaceChildren(filters.element, h("div", { class: "sheet" }, table, empty), pages.element);

  return {
    /** Shows which filters are set. */
    setState(state) {
      filters.setState(state);
      pages.setState(state);
    },
    setTemplates: filters.setTemplates,
    show(data, state) {
      filters.setCounts(data.counts);
      reconcile(body, data.jobs, (job) => job.job_id, (job) => createRow(job, actions), updateRow);
      table.hidden = data.jobs.length === 0;
      empty.hidden = data.jobs.length > 0;
      setText(empty, t(isFiltered(state) ? "list.empty.filtered" : "list.empty"));
      pages.show(data, state);
      tick(body);
    },
    /** Nothing has been loaded, which is not the same as nothing being there. */
    showNotLoaded() {
      if (!body.childElementCount) setText(empty, t("list.not_loaded"));
    },
    setStale(isStale) {
      setAttribute(root, "data-stale", isStale);
    },
    tick: () => tick(body),
    focusOn(jobId) {
      body.querySelector(`tr[data-key="${CSS.escape(jobId)}"] button`)?.focus();
    },
  };
}

function headings() {
  const cells = COLUMNS.map((name) =>
    h(
      "th",
      { role: "columnheader", scope: "col", class: `col-${name}` },
      t(`col.${name}`),
      ...(name === "submitted" ? [" ", h("small", {}, zone())] : []),
    ),
  );
  return h("tr", { role: "row" }, ...cells);
}

// --- rows -------------------------------------------------------------------------------------------

function createRow(job, actions) {
  const cell = (name, ...children) =>
    h("td", { role: "cell", class: `col-${name}`, "data-label": t(`col.${name}`) }, ...children);
  const details = h(
    "button",
    {
      type: "button",
      class: "details",
      "aria-label": t("list.details.of", { job: job.job_name || job.job_id }),
      "aria-haspopup": "dialog",
      click: () => actions.open(job.job_id),
    },
    t("list.details"),
  );
  const row = h(
    "tr",
    { role: "row", animationend: () => row.classList.remove("moved") },
    cell("status"),
    cell("job", h("span", { class: "name" }), h("span", { class: "ids" })),
    cell("template"),
    cell("submitted", timeElement(job.submitted_at)),
    cell("duration", h("span", { class: "elapsed" })),
    cell("reason", h("span", { class: "reason" })),
    cell("actions", details),
  );
  return row;
}

function updateRow(row, job) {
  const [status, names, template, submitted, , reason] = row.children;
  const before = row.dataset.status;
  const now = job.status ?? "unreadable";
  const health = `${job.health?.state} ${job.health?.code}`;
  if (before !== now || row.dataset.health !== health) {
    status.replaceChildren(...[statusChip(job.status), healthBadge(job.health)].filter(Boolean));
    row.dataset.status = now;
    row.dataset.health = health;
    row.classList.toggle("moved", before !== undefined && before !== now);
  }
  const [name, ids] = names.children;
  setText(name, job.job_name || job.job_id);
  setAttribute(name, "title", job.job_name || job.job_id);
  reconcile(ids, idsOf(job), (id) => id.key, createId, (element, id) => setText(element, id.text));
  setText(template, job.template_id ?? "–");
  setAttribute(template, "title", job.template_id);
  setTime(submitted, job.submitted_at);
  updateReason(reason.firstElementChild, job);
  Object.assign(row.dataset, {
    start: job.start_time ?? "",
    submitted: job.submitted_at ?? "",
    duration: job.duration ?? "",
  });
}

function idsOf(job) {
  const more = (job.flink_job_ids?.length ?? 0) - 1;
  return [
    job.job_name ? { key: "job", text: job.job_id } : null,
    job.flink_job_id ? { key: "flink", text: job.flink_job_id } : null,
    more > 0 ? { key: "more", text: t("list.more_ids", { n: more }) } : null,
    job.k8s_job_name ? { key: "k8s", text: job.k8s_job_name } : null,
  ].filter(Boolean);
}

const createId = (id) => h("span", { class: `id id-${id.key}` });

function updateReason(element, job) {
  const { unreadable } = job;
  const reason = causeOf(job);
  const code = reason?.code ?? "";
  const message = unreadable ? t("list.unreadable", { why: unreadable }) : (reason?.message ?? "");
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
const causeOf = ({ reason, health }) => reason ?? (health?.code ? health : null);

/** What fails ends with its error; what waits or has finished is shown in our words: an error begins with names. */
function inOneLine(job, message) {
  const { status } = job;
  const reason = causeOf(job);
  const title = (FINAL.has(status) && status !== "FINISHED") || !reason ? "" : tOr(`reason.${reason.code}.title`, "");
  return title ? `${title} · ${lastLine(message)}` : lastLine(message);
}

/** Writes what changes by the second. */
function tick(body) {
  for (const row of body.children) {
    const cell = row.querySelector(".elapsed");
    const { status, start, submitted, duration: over } = row.dataset;
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

// --- filters ----------------------------------------------------------------------------------------

function createFilters(actions) {
  let state = null;
  const chips = [null, ...STATUSES].map((status) => createChip(status, () => choose(status)));
  const choose = (status) => {
    const chosen = new Set(state.status);
    if (status && !chosen.delete(status)) chosen.add(status);
    actions.filter({ status: status ? STATUSES.filter((word) => chosen.has(word)) : [] });
  };

  const search = h("input", {
    type: "search",
    id: "search",
    maxlength: 200,
    autocomplete: "off",
    spellcheck: "false",
    placeholder: t("list.search.hint"),
    input: delayed(() => actions.filter({ q: search.value.trim() }, { isTyping: true })),
    change: () => actions.filter({ q: search.value.trim() }, { isTyping: true }),
  });
  const templates = h("datalist", { id: "templates" });
  const template = h("input", {
    id: "template",
    list: "templates",
    maxlength: 200,
    autocomplete: "off",
    spellcheck: "false",
    placeholder: t("list.template.hint"),
    change: () => actions.filter({ template_id: template.value.trim() }),
  });
  const labels = h("input", {
    id: "label",
    maxlength: 2000,
    pattern: LABELS,
    title: t("list.label.format"),
    autocomplete: "off",
    spellcheck: "false",
    placeholder: t("list.label.hint"),
    change: () => labels.reportValidity() && actions.filter({ label: labels.value.replaceAll(" ", "") }),
  });
  const range = h(
    "select",
    { id: "range", change: () => actions.filter({ range: range.value, from: "", to: "" }) },
    ...["", ...Object.keys(RANGES), "custom"].map((name) =>
      h("option", { value: name }, t(`range.${name || "all"}`)),
    ),
  );
  const between = ["from", "to"].map((name) =>
    h("input", {
      type: "datetime-local",
      step: "1",
      id: name,
      change: (event) => actions.filter({ [name]: isoOf(event.target.value) }),
    }),
  );
  const attention = h(
    "button",
    {
      type: "button",
      class: "chip attention",
      "data-health": "unhealthy",
      "aria-pressed": "false",
      title: t("list.attention.means"),
      click: () => actions.filter({ health: state.health ? "" : "unhealthy" }),
    },
    t("list.attention"),
  );
  const clear = h(
    "button",
    {
      type: "button",
      class: "clear",
      click: () => {
        actions.filter({ status: [], health: "", q: "", template_id: "", label: "", range: "", from: "", to: "" });
        search.focus();
      },
    },
    t("list.clear"),
  );
  const field = (input, label, ...more) =>
    h("div", { class: `field field-${input.id}` }, h("label", { for: input.id, class: label }, t(`list.${input.id}`)), input, ...more);
  const [from, to] = between.map((input) => field(input, null));

  return {
    element: h(
      "div",
      { class: "filters", role: "search", "aria-label": t("list.filters") },
      h("div", { class: "chips", role: "group", "aria-label": t("list.statuses") }, ...chips, attention),
      h(
        "div",
        { class: "fields" },
        field(search, "unseen"),
        field(template, "unseen", templates),
        field(labels, "unseen"),
        field(range, "unseen"),
        from,
        to,
        clear,
      ),
    ),
    setState(next) {
      state = next;
      for (const chip of chips) {
        const { status } = chip.dataset;
        const isOn = status ? next.status.includes(status) : next.status.length === 0;
        setAttribute(chip, "aria-pressed", String(isOn));
      }
      setAttribute(attention, "aria-pressed", String(Boolean(next.health)));
      if (document.activeElement !== search) search.value = next.q;
      if (document.activeElement !== template) template.value = next.template_id;
      if (document.activeElement !== labels) labels.value = next.label;
      range.value = next.range;
      for (const [input, shown] of [[between[0], from], [between[1], to]]) {
        shown.hidden = next.range !== "custom";
        if (document.activeElement !== input) input.value = localInput(next[input.id]);
      }
      clear.hidden = !isFiltered(next);
    },
    setCounts(counts) {
      const total = Object.values(counts).reduce((sum, count) => sum + count, 0);
      for (const chip of chips) {
        const count = chip.dataset.status ? (counts[chip.dataset.status] ?? 0) : total;
        setText(chip.querySelector(".count"), number(count));
        chip.classList.toggle("none", count === 0);
      }
    },
    setTemplates(names) {
      reconcile(templates, names, (name) => name, (name) => h("option", { value: name }), () => {});
    },
  };
}

function createChip(status, choose) {
  return h(
    "button",
    {
      type: "button",
      class: "chip",
      "data-status": status,
      "aria-pressed": "false",
      title: status ? `${status}: ${t(`status.${status}.means`)}` : null,
      click: choose,
    },
    h("span", {}, t(status ? `status.${status}` : "list.all")),
    h("span", { class: "count" }, "–"),
  );
}

function delayed(act) {
  let timer = null;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(act, TYPING_MS);
  };
}

/** A local time of an input as ISO 8601 UTC; empty where it is incomplete. */
const isoOf = (text) => (text ? new Date(text).toISOString() : "");

function localInput(iso) {
  const at = new Date(iso);
  if (!iso || Number.isNaN(at.getTime())) return "";
  return new Date(at.getTime() - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
}

// --- pages ------------------------------------------------------------------------------------------

function createPages(actions) {
  let next = null;
  const button = (name, act) => h("button", { type: "button", class: name, click: act }, t(`list.${name}`));
  const newest = button("newest", () => actions.newest());
  const newer = button("newer", () => actions.newer());
  const older = button("older", () => actions.older(next));
  const shown = h("p", { class: "shown" });
  return {
    element: h("nav", { class: "pages", "aria-label": t("list.pages") }, shown, newest, newer, older),
    setState(state) {
      newest.disabled = !state.cursor;
      newer.disabled = !state.cursor;
    },
    show(data, state) {
      next = data.next_cursor;
      older.disabled = !next;
      const total = totalOf(data, state);
      const key = state.cursor ? "list.shown.older" : "list.shown";
      setText(shown, t(key, { n: number(data.jobs.length), total: number(total) }));
    },
  };
}

/** How many jobs match, by the counts that come with a list. */
export function totalOf(data, state) {
  const words = state.status.length ? state.status : Object.keys(data.counts);
  return words.reduce((sum, word) => sum + (data.counts[word] ?? 0), 0);
}
