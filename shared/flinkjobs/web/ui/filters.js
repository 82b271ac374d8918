// The filters of the list, and how it is shown: columns, times, order.

import { NO_FILTERS, RANGES, STATUSES, TEXT_FILTERS, isFiltered } from "./url_state.js";
import { h, reconcile, setAttribute, setText } from "./dom.js";
import { TIME_FORMS, chooseTimeForm, currentTimeForm, number, zone } from "./format.js";
import { COLUMNS, chooseColumns, forgetColumns, layout } from "./columns.js";
import { has, keysLike, t, tOr } from "./i18n.js";

const TYPING_MS = 300;
/** KEY=VALUE, once or more, separated by commas. */
const LABELS = " *([\\w.\\/\\-]+=[\\w.\\-]*)( *, *[\\w.\\/\\-]+=[\\w.\\-]*)* *";
/** These may end with `*`: what begins so. Anything that is no suggestion is taken for a beginning. */
const PREFIXES = new Set(["template_id", "submitted_by"]);
const WIDE = "(width >= 64rem)";

/** @param {object} actions filter(patch) */
export function createFilters(actions) {
  const choose = (status) => {
    const chosen = new Set(state.status);
    if (status && !chosen.delete(status)) chosen.add(status);
    actions.filter({ status: status ? STATUSES.filter((word) => chosen.has(word)) : [] });
  };
  let state = null;
  const chips = [null, ...STATUSES].map((status) => createChip(status, () => choose(status)));

  const search = h("input", {
    ...{ type: "search", id: "search", maxlength: 200, autocomplete: "off", spellcheck: "false" },
    placeholder: t("list.search.hint"),
    input: delayed(() => actions.filter({ q: search.value.trim() }, { isTyping: true })),
    change: () => actions.filter({ q: search.value.trim() }, { isTyping: true }),
  });
  const texts = Object.fromEntries(TEXT_FILTERS.map((name) => [name, createText(name, actions)]));
  const range = h(
    "select",
    { id: "range", change: () => actions.filter({ range: range.value, from: "", to: "" }) },
    ...["", ...Object.keys(RANGES), "custom"].map((name) => h("option", { value: name }, t(`range.${name || "all"}`))),
  );
  const between = ["from", "to"].map((name) =>
    h("input", {
      ...{ type: "datetime-local", step: "1", id: name },
      change: (event) => actions.filter({ [name]: isoOf(event.target.value) }),
    }),
  );
  const clear = h(
    "button",
    {
      ...{ type: "button", class: "clear" },
      click: () => {
        actions.filter({ ...NO_FILTERS });
        search.focus();
      },
    },
    t("list.clear"),
  );
  const attention = h(
    "button",
    {
      ...{ type: "button", class: "chip attention", "data-health": "unhealthy", "aria-pressed": "false" },
      title: t("list.attention.means"),
      click: () => actions.filter({ health: state.health ? "" : "unhealthy" }),
    },
    t("list.attention"),
  );
  const field = (input, key, ...more) =>
    h("div", { class: `field field-${input.id}` }, h("label", { for: input.id }, t(key)), input, ...more);
  const [from, to] = between.map((input) => field(input, `list.${input.id}`));
  const summary = h("summary", {}, t("list.more_filters"));
  const more = h(
    "details",
    { class: "more-filters", open: matchMedia(WIDE).matches },
    summary,
    h("div", { class: "fields" }, ...TEXT_FILTERS.map((name) => field(texts[name].input, `list.${name}`, texts[name].list))),
  );

  return {
    element: h(
      "div",
      { class: "filters", role: "search", "aria-label": t("list.filters") },
      h("div", { class: "chips", role: "group", "aria-label": t("list.statuses") }, ...chips, attention),
      h("div", { class: "fields first-fields" }, field(search, "list.search"), field(range, "list.range"), from, to, clear),
      more,
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
      for (const name of TEXT_FILTERS) texts[name].show(next[name]);
      const used = TEXT_FILTERS.filter((name) => next[name]).length;
      setText(summary, used ? t("list.more_filters.used", { n: used }) : t("list.more_filters"));
      range.value = next.range;
      for (const [input, shown] of [[between[0], from], [between[1], to]]) {
        shown.hidden = next.range !== "custom";
        if (document.activeElement !== input) input.value = localInput(next[input.id]);
      }
      clear.hidden = !isFiltered(next);
    },
    setCounts(counts, beyond = []) {
      const total = Object.values(counts).reduce((sum, count) => sum + count, 0);
      for (const chip of chips) {
        const count = chip.dataset.status ? (counts[chip.dataset.status] ?? 0) : total;
        const isLeast = chip.dataset.status ? beyond.includes(chip.dataset.status) : beyond.length > 0;
        setText(chip.querySelector(".count"), isLeast ? t("list.at_least", { n: number(count) }) : number(count));
        chip.classList.toggle("none", count === 0);
      }
    },
    /** Further values that a filter can have. */
    suggest(name, values) {
      texts[name].suggest(values);
    },
  };
}

/** A filter that is a text, with suggestions. */
function createText(name, actions) {
  const known = new Set(name === "reason" ? keysLike(/^reason\.(\w+)\.title$/) : []);
  const list = h("datalist", { id: `${name}-values` });
  const fill = () =>
    reconcile(
      list,
      [...known].toSorted(),
      (value) => value,
      (value) => h("option", { value, label: name === "reason" ? tOr(`reason.${value}.title`, null) : null }),
      () => {},
    );
  const given = () => {
    const text = input.value.replaceAll(name === "label" ? " " : "\n", "").trim();
    const isBeginning = PREFIXES.has(name) && text && !text.endsWith("*") && !known.has(text);
    return isBeginning ? `${text}*` : name === "reason" ? text.toUpperCase() : text;
  };
  const input = h("input", {
    ...{ id: name, list: list.id, maxlength: name === "label" ? 2000 : 200, autocomplete: "off", spellcheck: "false" },
    pattern: name === "label" ? LABELS : null,
    title: has(`list.${name}.format`) ? t(`list.${name}.format`) : null,
    placeholder: t(`list.${name}.hint`),
    change: () => input.reportValidity() && actions.filter({ [name]: given() }),
  });
  fill();
  return {
    input,
    list,
    show(value) {
      if (document.activeElement !== input) input.value = value;
    },
    suggest(values) {
      const before = known.size;
      for (const value of values) if (value) known.add(value);
      if (known.size > before) fill();
    },
  };
}

function createChip(status, choose) {
  return h(
    "button",
    {
      ...{ type: "button", class: "chip", "data-status": status, "aria-pressed": "false" },
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

// --- how the list is shown ----------------------------------------------------------------------------

/**
 * Order, form of the times, columns.
 * @param {object} actions show(patch), rebuild()
 */
export function createViewOptions(actions) {
  const select = (id, options, change) =>
    h("select", { id, change: (event) => change(event.target.value) }, ...options.map(([value, words]) => h("option", { value }, words)));
  const sort = select("sort", [["", t("sort.submitted")], ["end_time", t("sort.ended")]], (value) => actions.filter({ sort: value }));
  const times = select(
    "times",
    TIME_FORMS.map((form) => [form, t(`times.${form}`, { zone: zone() })]),
    (form) => {
      chooseTimeForm(form);
      actions.rebuild("times");
    },
  );
  times.value = currentTimeForm();
  const labelled = (input, key) => h("div", { class: "field" }, h("label", { for: input.id }, t(key)), input);
  const shown = new Set(layout().columns.map((column) => column.name));
  const boxes = COLUMNS.map(({ name }) => {
    const box = h("input", {
      ...{ type: "checkbox", id: `column-${name}`, checked: shown.has(name) },
      change: () => {
        chooseColumns(COLUMNS.filter((each) => document.getElementById(`column-${each.name}`).checked).map((each) => each.name));
        actions.columnsChosen();
      },
    });
    return h("label", { for: box.id }, box, " ", t(`col.${name}`));
  });
  const reset = h(
    "button",
    {
      type: "button",
      click: () => {
        forgetColumns();
        actions.rebuild("columns");
      },
    },
    t("columns.reset"),
  );
  const columns = h(
    "details",
    {
      class: "columns",
      keydown: (event) => {
        if (event.key !== "Escape") return;
        columns.open = false;
        columns.firstElementChild.focus();
      },
    },
    h("summary", { class: "button", id: "columns" }, t("columns.choose")),
    h("div", { class: "column-choice", role: "group", "aria-label": t("columns.choose") }, ...boxes, reset),
  );
  document.addEventListener("click", (event) => {
    if (columns.isConnected && !columns.contains(event.target)) columns.open = false;
  });
  return {
    element: h("div", { class: "view-options" }, labelled(sort, "list.sort"), labelled(times, "list.times"), columns),
    setState(state) {
      sort.value = state.sort;
    },
  };
}
