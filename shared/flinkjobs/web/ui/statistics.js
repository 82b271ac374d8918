// The tab *Statistics*: tiles, plots and a table per template, over one window of time.

import { FINAL, STATUSES, WINDOWS } from "./url_state.js";
import { commandLine, h, jobsLink, reconcile, refill, setAttribute, setText } from "./dom.js";
import { duration, local, localParts, number, percent, span, zone } from "./format.js";
import { t } from "./i18n.js";

const OVER_TIME = ["FINISHED", "FAILED", "LOST", "CANCELLED", "RUNNING", "SUSPENDED", "CREATED"];
const DAY_MS = 86_400_000;
/** Templates in an answer at most. */
const MOST = 20;

/**
 * @param {HTMLElement} root
 * @param {object} actions chooseWindow(name), address(filters), showJobs(filters)
 */
export function createStatistics(root, actions) {
  const windows = WINDOWS.map((name) =>
    h("button", { type: "button", "data-window": name, "aria-pressed": "false", click: () => actions.chooseWindow(name) }, t(`window.${name}`)),
  );
  const chooser = h("div", { class: "segments", role: "group", "aria-label": t("statistics.window") }, ...windows);
  const tiles = h("ul", { class: "tiles", "aria-label": t("statistics.tiles") });
  const plots = {
    distribution: createPlot("distribution"),
    over_time: createPlot("over_time"),
    durations: createPlot("durations"),
  };
  const charts = h("div", { class: "plots" }, ...Object.values(plots).map((plot) => plot.element));
  const templates = h("section", { class: "templates sheet-card" });
  const content = h("div", { hidden: true }, tiles, charts, templates);
  const empty = h("div", { class: "empty" }, t("statistics.loading"));
  const since = h("p", { class: "since" });
  root.replaceChildren(h("div", { class: "statistics-head" }, chooser, since), empty, content);

  return {
    setState(state) {
      for (const button of windows) {
        setAttribute(button, "aria-pressed", String(button.dataset.window === state.window));
      }
    },
    async show(data, state) {
      const statistics = data.windows[state.window];
      const isEmpty = data.windows.all.jobs === 0;
      content.hidden = false;
      empty.hidden = !isEmpty;
      const begin = statistics.from ? t("statistics.since", { time: minute(statistics.from), zone: zone() }) : "";
      setText(since, [begin, ...(statistics.approximate ?? []).map(approximation)].filter(Boolean).join(" · "));
      refill(empty, "none", () => [h("p", {}, t("list.empty")), commandLine("flinkjobs submit examples/word_count.py --wait")]);
      showTiles(tiles, statistics, data);
      refill(templates, [statistics.templates, statistics.from], () => templateTable(statistics.templates, statistics.from, actions));
      await plots.distribution.show(distribution(statistics));
      await plots.over_time.show(overTime(statistics));
      await plots.durations.show(durations(statistics));
    },
    showNotLoaded() {
      if (content.hidden) refill(empty, "not loaded", () => h("p", {}, t("statistics.not_loaded")));
    },
    setStale: (isStale) => setAttribute(root, "data-stale", isStale),
    /** Draws again, in the colours that are now the page's. */
    recolour() {
      for (const plot of Object.values(plots)) plot.redraw();
    },
    close() {
      for (const plot of Object.values(plots)) plot.close();
    },
  };
}

// --- tiles ------------------------------------------------------------------------------------------

function showTiles(root, statistics, { sync, cleanup }) {
  reconcile(
    root,
    tilesOf(statistics, sync, cleanup),
    (tile) => tile.key,
    () => h("li", { class: "tile" }, h("h3", {}), h("p", { class: "value" }), h("p", { class: "hint" })),
    (element, tile) => {
      const [title, value, hint] = element.children;
      setText(title, t(`statistics.${tile.key}`));
      setText(value, tile.value);
      setText(hint, tile.hint);
      setAttribute(element, "data-level", tile.level);
    },
  );
}

/** What is not exact; the median says it for both percentiles. */
const approximation = (name) => (name === "p95" ? "" : t(`statistics.approximate.${name}`));

function tilesOf(statistics, sync, cleanup) {
  const { durations: took, by_status: by } = statistics;
  const open = STATUSES.filter((word) => !FINAL.has(word)).reduce((sum, word) => sum + (by[word] ?? 0), 0);
  const ago = (seconds) => (seconds === null ? t("statistics.never_ran") : t("statistics.ago", { ago: span(seconds) }));
  const about = (name, text) => (statistics.approximate?.includes(name) && took.count ? t("statistics.about", { text }) : text);
  const tile = (key, value, hint, level = null) => ({ key, value, hint, level });
  return [
    tile("jobs", number(statistics.jobs), t(open ? "statistics.jobs.hint" : "statistics.jobs.hint.none", { n: number(open) })),
    tile("rate", percent(statistics.failure_rate_percent), t("statistics.rate.hint")),
    tile("flink_rate", percent(statistics.flink_failure_rate_percent), t("statistics.flink_rate.hint")),
    tile("never", number(statistics.never_submitted), t("statistics.never.hint")),
    tile("lost", number(statistics.lost), t("statistics.lost.hint")),
    tile("stopped", number(statistics.stopped), t("statistics.stopped.hint")),
    tile(
      "average",
      duration(took.average),
      took.count
        ? t("statistics.average.hint", { n: number(took.count), min: duration(took.min), max: duration(took.max) })
        : t("statistics.average.none"),
    ),
    tile("median", about("p50", duration(took.p50)), t(took.count ? "statistics.median.hint" : "statistics.average.none", { n: took.count })),
    tile("p95", about("p95", duration(took.p95)), t(took.count ? "statistics.p95.hint" : "statistics.average.none", { n: took.count })),
    tile("sync", ago(sync.age_seconds), t("statistics.sync.hint", { period: span(sync.period_seconds) }), sync.stale ? "bad" : null),
    tile("cleanup", ago(cleanup.age_seconds), t("statistics.cleanup.hint")),
  ];
}

// --- what the plots show: labels, series, and the same as a table -------------------------------------

function distribution({ jobs, by_status: by, other = 0 }) {
  const rows = STATUSES.map((status) => ({ status, word: t(`status.${status}`), count: by[status] ?? 0 }));
  if (other) rows.push({ status: "LOST", word: t("statistics.other"), count: other });
  return {
    title: t("statistics.distribution"),
    none: jobs ? null : t("statistics.none"),
    summary: rows.filter((row) => row.count).map((row) => `${row.word} ${number(row.count)}`).join(", "),
    horizontal: true,
    labels: rows.map((row) => `${row.word}  ${number(row.count)}`),
    series: [{ label: t("statistics.count"), data: rows.map((row) => row.count), colours: rows.map((row) => row.status) }],
    head: [t("col.status"), t("statistics.count"), t("statistics.share")],
    rows: rows.map((row) => [row.word, number(row.count), percent(jobs ? (row.count * 100) / jobs : null)]),
  };
}

function overTime({ over_time: buckets }) {
  const title = t("statistics.over_time");
  if (!buckets) return { title, none: t("statistics.over_time.none") };
  const present = OVER_TIME.filter((status) => buckets.some((bucket) => bucket.by_status[status]));
  const totals = present.map((status) => ({
    status,
    word: t(`status.${status}`),
    data: buckets.map((bucket) => bucket.by_status[status] ?? 0),
  }));
  const sum = (data) => data.reduce((total, count) => total + count, 0);
  return {
    title,
    none: present.length ? null : t("statistics.none"),
    summary: totals.map((each) => `${each.word} ${number(sum(each.data))}`).join(", "),
    stacked: true,
    labels: buckets.map(bucketLabel),
    series: totals.map((each) => ({ label: each.word, data: each.data, colours: each.status })),
    head: [t("statistics.period"), ...totals.map((each) => each.word)],
    rows: buckets.map((bucket, index) => [bucketPeriod(bucket), ...totals.map((each) => number(each.data[index]))]),
  };
}

/** A bucket begins at a whole hour; a day's bucket is named by the day that it ends in. */
function bucketLabel({ from, to }) {
  const isDay = Date.parse(to) - Date.parse(from) >= DAY_MS;
  return isDay ? localParts(new Date(Date.parse(to) - 1).toISOString()).date : localParts(from).time.slice(0, 5);
}

const bucketPeriod = ({ from, to }) => t("statistics.period.of", { from: minute(from), to: minute(to) });

const minute = (iso) => local(iso).slice(0, -3);

function durations({ duration_histogram: bars = [] }) {
  const title = t("statistics.durations");
  const label = (bar) => (bar.le === null ? t("statistics.above") : t("statistics.up_to", { duration: span(bar.le) }));
  const rows = bars.map((bar) => [label(bar), number(bar.count)]);
  const isEmpty = bars.every((bar) => bar.count === 0);
  return {
    title,
    none: isEmpty ? t("statistics.durations.none") : null,
    summary: rows.filter((_, index) => bars[index].count).map((row) => row.join(" ")).join(", "),
    labels: bars.map(label),
    series: [{ label: t("statistics.count"), data: bars.map((bar) => bar.count), colours: "FINISHED" }],
    head: [t("col.duration"), t("statistics.count")],
    rows,
  };
}

// --- plots --------------------------------------------------------------------------------------------

function createPlot(name) {
  const title = h("h3", {});
  const canvas = h("canvas", { role: "img" });
  const frame = h("div", { class: "frame" }, canvas);
  const none = h("p", { class: "empty" });
  const table = h("details", {}, h("summary", {}, t("statistics.as_table")), h("div", { class: "scroll" }));
  const element = h("section", { class: `plot sheet-card plot-${name}` }, title, frame, none, table);
  let chart = null;
  let drawn = "";
  let latest = null;

  const draw = async () => {
    const Chart = await chartLibrary();
    const configuration = configure(latest);
    if (!chart) chart = new Chart(canvas, configuration);
    else {
      chart.data = configuration.data;
      chart.options = configuration.options;
      chart.update("none");
    }
  };

  return {
    element,
    async show(plot) {
      latest = plot;
      setText(title, plot.title);
      const isEmpty = plot.none !== null;
      none.hidden = !isEmpty;
      frame.hidden = table.hidden = isEmpty;
      if (isEmpty) {
        setText(none, plot.none);
        return;
      }
      setAttribute(canvas, "aria-label", t("statistics.chart", { title: plot.title, summary: plot.summary }));
      refill(table.lastElementChild, [plot.head, plot.rows], () => dataTable(plot.head, plot.rows, plot.title));
      const digest = JSON.stringify([plot.labels, plot.series]);
      if (digest === drawn) return;
      drawn = digest;
      await draw();
    },
    redraw() {
      if (chart) draw();
    },
    close() {
      chart?.destroy();
      chart = null;
    },
  };
}

let library = null;

/** Chart.js, loaded when the first plot is drawn. Its file is a script that leaves `Chart` behind. */
async function chartLibrary() {
  library ??= import("./chart.umd.min.js");
  await library;
  return globalThis.Chart;
}

function configure({ labels, series, stacked = false, horizontal = false }) {
  const ink = colour("--ink-soft");
  const line = colour("--line");
  const colourOf = (status) => colour(`--${status.toLowerCase()}-solid`);
  const counts = { beginAtZero: true, ticks: { precision: 0, color: ink }, grid: { color: line }, border: { display: false }, stacked };
  const names = { ticks: { color: ink, autoSkip: !horizontal, maxRotation: 0 }, grid: { display: false }, border: { color: line }, stacked };
  return {
    type: "bar",
    data: {
      labels,
      datasets: series.map(({ label, data, colours }) => ({
        label,
        data,
        backgroundColor: Array.isArray(colours) ? colours.map(colourOf) : colourOf(colours),
        borderRadius: stacked ? 0 : 3,
        maxBarThickness: horizontal ? 26 : 72,
        categoryPercentage: 0.86,
        barPercentage: 0.9,
      })),
    },
    options: {
      animation: false,
      maintainAspectRatio: false,
      indexAxis: horizontal ? "y" : "x",
      font: { family: getComputedStyle(document.body).fontFamily },
      scales: horizontal ? { x: { ...counts, display: false }, y: names } : { x: names, y: counts },
      plugins: {
        legend: { display: series.length > 1, position: "bottom", labels: { color: ink, boxWidth: 10, boxHeight: 10 } },
        tooltip: { intersect: false, mode: "index", axis: horizontal ? "y" : "x" },
      },
    },
  };
}

/** The colour that a custom property has now, in this theme. */
function colour(name) {
  const probe = h("span", { hidden: true });
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const value = getComputedStyle(probe).color;
  probe.remove();
  return value;
}

// --- tables -------------------------------------------------------------------------------------------

function dataTable(head, rows, caption) {
  return h(
    "table",
    { class: "data" },
    h("caption", { class: "unseen" }, caption),
    h("thead", {}, h("tr", {}, ...head.map((word) => h("th", { scope: "col" }, word)))),
    h("tbody", {}, ...rows.map(([first, ...rest]) => h("tr", {}, h("th", { scope: "row" }, first), ...rest.map((text, index) => h("td", { "data-label": head[index + 1] }, text))))),
  );
}

/** Each template leads to its jobs of the same time, and its failures to those that failed. */
function templateTable(templates, from, actions) {
  const link = (text, filters, label = null) => {
    const jobs = { ...filters, ...(from ? { range: "custom", from } : {}) };
    return jobsLink(actions, jobs, text, { "aria-label": label });
  };
  const hint = t(templates.length < MOST ? "statistics.templates.hint.all" : "statistics.templates.hint", { n: number(templates.length) });
  const title = h("h3", {}, t("statistics.templates"), " ", h("small", {}, hint));
  if (!templates.length) return [title, h("p", { class: "empty" }, t("statistics.none"))];
  const head = [
    ...[t("col.template"), t("statistics.jobs"), t("status.FINISHED"), t("status.FAILED"), t("status.LOST")],
    ...[t("statistics.rate"), t("statistics.flink_rate"), t("statistics.average"), t("statistics.median"), t("statistics.p95")],
  ];
  const count = ({ template_id, by_status: by }, status) => {
    const shown = number(by[status] ?? 0);
    const label = `${template_id}, ${t(`status.${status}`)}: ${shown}`;
    return by[status] && template_id ? link(shown, { template_id, status: [status] }, label) : shown;
  };
  const rows = templates.map((each) => [
    each.template_id ? link(each.template_id, { template_id: each.template_id }) : t("statistics.no_template"),
    ...[number(each.jobs), ...["FINISHED", "FAILED", "LOST"].map((status) => count(each, status))],
    percent(each.failure_rate_percent),
    percent(each.flink_failure_rate_percent),
    ...[each.durations.average, each.durations.p50, each.durations.p95].map((seconds) => duration(seconds)),
  ]);
  const scroll = h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": t("statistics.templates"), "data-focus": "templates" });
  scroll.append(dataTable(head, rows, t("statistics.templates")));
  return [title, scroll];
}
