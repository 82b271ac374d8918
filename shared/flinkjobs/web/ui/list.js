// The tab *Job instances*: the table, the jobs that are selected, its pages.

import { DEFAULT_LIMIT, LIMITS, NO_FILTERS, TEXT_FILTERS, isFiltered } from "./url_state.js";
import { commandLine, copyButton, h, healthBadge, reconcile, refill, setAttribute, setText, statusChip } from "./dom.js";
import { number, tickTimes } from "./format.js";
import { layout, tickElapsed } from "./columns.js";
import { createFilters, createViewOptions } from "./filters.js";
import { KINDS, createButtons, outcomeText, possible } from "./act.js";
import { t } from "./i18n.js";

const SUGGESTED = { template_id: "template_id", submitted_by: "submitted_by", cluster: "cluster" };

/**
 * @param {HTMLElement} root
 * @param {object} actions filter(patch), open(jobId), older(cursor), newer(), newest(), syncSeveral(jobIds, signal), ask(kind, jobs, acting, onEnd), refresh()
 */
export function createList(root, actions) {
  const filters = createFilters(actions);
  const options = createViewOptions({ ...actions, columnsChosen: () => arrange() });
  const selection = createSelection(actions, () => showSelection());
  const body = h("tbody", { role: "rowgroup" });
  const head = h("thead", { role: "rowgroup" });
  const table = h(
    "table",
    { class: "jobs", role: "table", "aria-labelledby": "jobs-caption" },
    h("caption", { class: "unseen", id: "jobs-caption" }, t("list.caption")),
    head,
    body,
  );
  const empty = h("div", { class: "empty" }, t("list.loading"));
  const sheet = h("div", { class: "sheet" }, table, empty);
  const pages = createPages(actions);
  let shown = null;
  let state = null;
  let arranged = layout();

  body.addEventListener("click", (event) => {
    const isText = !getSelection().isCollapsed; // an id is selected to be copied
    const row = event.target.closest("tr");
    if (row && !isText && !event.target.closest("a, button, input, label")) actions.open(row.dataset.key);
  });
  addEventListener("resize", () => {
    if (table.isConnected) arrange();
  });
  root.replaceChildren(
    filters.element,
    h("div", { class: "toolbar" }, selection.element, options.element),
    sheet,
    pages.element,
  );
  arrange();

  /** Shows the columns that are chosen, next to each other or, where they do not fit, each job as a card. */
  function arrange() {
    const next = layout();
    const isSame = next.columns.length === arranged.columns.length && next.columns.every((each, index) => each === arranged.columns[index]);
    arranged = next;
    setAttribute(sheet, "data-layout", arranged.isTable ? "table" : "cards");
    if (!isSame) body.replaceChildren();
    const { columns, size } = arranged;
    refill(head, [columns.map((column) => column.name), size, state?.sort], () => headings(columns, size, state?.sort ?? ""));
    if (shown && !isSame) showRows();
  }

  function showRows() {
    const keyOf = (job) => job.job_id;
    const create = (job) => createRow(job, arranged.columns, actions, selection);
    reconcile(body, shown.jobs, keyOf, create, (row, job) => updateRow(row, job, arranged.columns));
    showSelection();
    tick();
  }

  function showSelection() {
    for (const row of body.children) {
      const isSelected = selection.has(row.dataset.key);
      row.querySelector(".col-select input").checked = isSelected;
      setAttribute(row, "data-selected", isSelected);
    }
  }

  function tick() {
    tickElapsed(body);
    tickTimes(body);
  }

  return {
    /** Shows which filters are set. */
    setState(next) {
      const isOther = state && [...Object.keys(NO_FILTERS), "sort", "limit"].some((name) => String(state[name]) !== String(next[name]));
      if (isOther) selection.clear();
      state = next;
      filters.setState(next);
      options.setState(next);
      pages.setState(next);
      arrange();
    },
    setTemplates: (names) => filters.suggest("template_id", names),
    setClusters: (names) => filters.suggest("cluster", names),
    show(data, asked) {
      shown = data;
      filters.setCounts(data.counts, data.counts_more);
      for (const name of TEXT_FILTERS) {
        if (name in SUGGESTED) filters.suggest(name, data.jobs.map((job) => job[SUGGESTED[name]]));
      }
      selection.setJobs(data);
      table.hidden = data.jobs.length === 0;
      empty.hidden = data.jobs.length > 0;
      const isSearched = data.next_cursor === null;
      refill(empty, { isFiltered: isFiltered(asked), asked: asked.q, isSearched }, () =>
        isSearched ? nothing(asked, actions) : h("p", {}, t("list.empty.so_far")),
      );
      showRows();
      pages.show(data, asked);
    },
    /** Nothing has been loaded, which is not the same as nothing being there. */
    showNotLoaded() {
      if (!body.childElementCount) refill(empty, "not loaded", () => h("p", {}, t("list.not_loaded")));
    },
    setStale: (isStale) => setAttribute(root, "data-stale", isStale),
    tick,
    focusOn(jobId) {
      body.querySelector(`tr[data-key="${CSS.escape(jobId)}"] .details`)?.focus();
    },
  };
}

/** Why there is no job to show, and what to do next. */
function nothing(state, actions) {
  if (isFiltered(state)) {
    return [
      h("p", {}, t("list.empty.filtered")),
      h("button", { type: "button", "data-focus": "clear", click: () => actions.filter({ ...NO_FILTERS }) }, t("list.clear")),
    ];
  }
  return [h("p", {}, t("list.empty")), h("p", {}, t("list.empty.do")), commandLine("flinkjobs submit examples/word_count.py --wait")];
}

function headings(columns, size, sort) {
  const heading = (name, properties = {}, words = t(`col.${name}`)) =>
    h("th", { role: "columnheader", scope: "col", class: `col-${name}`, ...properties }, words);
  const cells = columns.map((column) => {
    const isOrder = column.sort !== undefined && column.sort === sort;
    const cell = heading(column.name, { "aria-sort": isOrder ? "descending" : null });
    cell.style.width = `${column[size]}rem`;
    return cell;
  });
  const select = h("span", { class: "unseen" }, t("col.select"));
  return h("tr", { role: "row" }, heading("select", {}, select), heading("status"), heading("job"), ...cells, heading("actions"));
}

// --- rows -------------------------------------------------------------------------------------------

function createRow(job, columns, actions, selection) {
  const cell = (name, ...children) =>
    h("td", { role: "cell", class: `col-${name}`, "data-label": t(`col.${name}`) }, ...children);
  const named = job.job_name || job.job_id;
  const box = h("input", {
    ...{ type: "checkbox", "aria-label": t("list.select.of", { job: named }) },
    change: (event) => selection.toggle(job.job_id, event.target.checked),
  });
  const details = h(
    "button",
    {
      ...{ type: "button", class: "details", "aria-label": t("list.details.of", { job: named }), "aria-haspopup": "dialog" },
      click: () => actions.open(job.job_id),
    },
    t("list.details"),
  );
  return h(
    "tr",
    { role: "row", animationend: (event) => event.currentTarget.classList.remove("moved") },
    cell("select", h("label", { class: "target" }, box)),
    cell("status"),
    cell("job", h("span", { class: "name" }), h("span", { class: "ids" })),
    ...columns.map((column) => cell(column.name)),
    cell("actions", details),
  );
}

function updateRow(row, job, columns) {
  const [, status, names, ...cells] = row.children;
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
  refill(ids, idsOf(job), () => idsOf(job).map(createId));
  columns.forEach((column, index) => column.fill(cells[index], job));
}

function idsOf(job) {
  const more = (job.flink_job_ids?.length ?? 0) - 1;
  return [
    job.job_name ? { key: "job", text: job.job_id } : null,
    job.flink_job_id ? { key: "flink", text: job.flink_job_id } : null,
    more > 0 ? { key: "more", text: t("list.more_ids", { n: more }) } : null,
  ].filter(Boolean);
}

function createId({ key, text }) {
  if (key !== "flink") return h("span", { class: `id id-${key}` }, text);
  return h("span", { class: "id-line" }, h("span", { class: "id id-flink" }, text), copyButton(text, t("fact.flink_job_id"), null));
}

// --- the jobs that are selected ------------------------------------------------------------------------

function createSelection(actions, onChange) {
  const chosen = new Set();
  let listed = [];
  let jobs = [];
  let acting = null;
  let waiting = null;
  const all = h("input", {
    ...{ type: "checkbox", id: "select-all" },
    change: () => {
      for (const id of listed) if (all.checked) chosen.add(id);
      if (!all.checked) chosen.clear();
      changed();
    },
  });
  const count = h("span", { class: "selected-count" });
  const result = h("span", { class: "sync-result", role: "status" });
  const sync = h("button", { type: "button", class: "primary sync-selected", click: () => (waiting ? waiting.abort() : run()) });
  const acts = createButtons((kind) =>
    actions.ask(kind, those(kind), acting, (answers) => {
      actions.refresh();
      setText(result, outcomeText(kind, answers.length));
      all.focus();
    }),
  );
  const bar = h("span", { class: "selection-bar" }, count, sync, acts.element);
  const element = h("div", { class: "selection" }, h("label", { for: all.id, class: "select-all" }, all, " ", t("list.select_all")), bar, result);

  async function run() {
    waiting = new AbortController();
    changed();
    setText(result, t("details.syncing"));
    setText(result, await actions.syncSeveral([...chosen], waiting.signal));
    waiting = null;
    changed();
  }

  /** The selected jobs that can take this action. */
  const those = (kind) => jobs.filter((job) => chosen.has(job.job_id) && possible(job).includes(kind));

  function changed() {
    const isAll = listed.length > 0 && listed.every((id) => chosen.has(id));
    all.checked = isAll;
    all.indeterminate = !isAll && chosen.size > 0;
    bar.hidden = chosen.size === 0;
    setText(count, t("list.selected", { n: chosen.size }));
    acts.update(acting, KINDS.filter((kind) => those(kind).length));
    setText(sync, t(waiting ? "details.sync.cancel" : "details.sync"));
    onChange();
  }

  return {
    element,
    has: (id) => chosen.has(id),
    toggle(id, isOn) {
      if (isOn) chosen.add(id);
      else chosen.delete(id);
      changed();
    },
    clear() {
      chosen.clear();
      setText(result, "");
      changed();
    },
    /** The jobs of the page; those that are no longer there are no longer selected. */
    setJobs(data) {
      ({ jobs, acting } = data);
      listed = jobs.map((job) => job.job_id);
      for (const id of chosen) if (!listed.includes(id)) chosen.delete(id);
      sync.hidden = !data.sync_now;
      document.body.toggleAttribute("data-can-select", jobs.length > 0 && Boolean(data.sync_now || acting));
      changed();
    },
  };
}

// --- pages ------------------------------------------------------------------------------------------

function createPages(actions) {
  let next = null;
  const button = (name, act) => h("button", { type: "button", class: name, click: act }, t(`list.${name}`));
  const newest = button("newest", () => actions.newest());
  const newer = button("newer", () => actions.newer());
  const older = button("older", () => actions.older(next));
  const shown = h("p", { class: "shown" });
  const size = h(
    "select",
    { id: "limit", change: () => actions.filter({ limit: size.value === DEFAULT_LIMIT ? "" : size.value }) },
    ...LIMITS.map((limit) => h("option", { value: limit }, limit)),
  );
  const sizes = h("div", { class: "field" }, h("label", { for: "limit" }, t("list.limit")), size);
  return {
    element: h("nav", { class: "pages", "aria-label": t("list.pages") }, shown, sizes, newest, newer, older),
    setState(state) {
      newest.disabled = !state.cursor;
      newer.disabled = !state.cursor;
      size.value = state.limit || DEFAULT_LIMIT;
    },
    show(data, state) {
      next = data.next_cursor;
      older.disabled = !next;
      const isMore = wordsOf(data, state).some((word) => data.counts_more?.includes(word));
      const position = positionOf(data, totalOf(data, state), isMore);
      setText(shown, data.from_secondary ? `${position} · ${t("list.secondary")}` : position);
    },
  };
}

/** 51–100 of 3,011; beyond what is counted, only how many are shown. */
function positionOf({ jobs, first }, total, isLeast) {
  if (!jobs.length) return "";
  const all = (n) => (isLeast ? t("list.at_least", { n: number(n) }) : number(n));
  if (first === null) return t("list.shown.far", { count: number(jobs.length), n: all(total) });
  const last = first + jobs.length - 1;
  const span = first === last ? number(first) : `${number(first)}–${number(last)}`;
  return t("list.shown", { span, n: all(Math.max(total, last)) });
}

const wordsOf = (data, state) => (state.status.length ? state.status : Object.keys(data.counts));

/** How many jobs match, by the counts that come with a list. */
export function totalOf(data, state) {
  return wordsOf(data, state).reduce((sum, word) => sum + (data.counts[word] ?? 0), 0);
}
