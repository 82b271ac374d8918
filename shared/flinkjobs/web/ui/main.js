// The page: what the address says is shown, and kept fresh.

import { NO_FILTERS, TABS, href, listParameters, read } from "./url_state.js";
import { createQuestion } from "./act.js";
import { get, post } from "./api.js";
import { createDetails } from "./details.js";
import { announce, setAttribute, setText } from "./dom.js";
import { createStatistics } from "./statistics.js";
import { span, tickTimes } from "./format.js";
import { createList, totalOf } from "./list.js";
import { Poller, clock } from "./polling.js";
import { createNotices, failureNotice, problemNotices, syncSentence } from "./notices.js";
import { createUnmanaged } from "./unmanaged.js";
import { currentLanguage, preferredLanguage, recall, remember, speak, t } from "./i18n.js";

/** With what the function itself takes, a change is seen within two seconds, and a failure within five. */
const LIST_MS = 1_500;
const ANSWER_MS = 3_400;
const HIDDEN_LIST_MS = 30_000;
const STATISTICS_MS = 15_000;
const NOTICES_MS = 30_000;
const UNMANAGED_MS = 15_000;
/** Jobs without a record that are shown: as many as one answer holds. */
const UNMANAGED_SHOWN = 200;
const DETAILS_MS = 2_000;
const FINAL_DETAILS_MS = 30_000;
const TICK_MS = 1_000;

const THEME = "flinkjobs.theme";
const THEMES = ["auto", "light", "dark"];

const byId = (id) => document.getElementById(id);

let state = read();
let theme = THEMES.includes(recall(THEME)) ? recall(THEME) : "auto";
let views = null;
let announceNext = false;
const latest = { list: null, metrics: null, unmanaged: null };

// --- what is asked for ------------------------------------------------------------------------------

const jobs = new Poller({
  load: async (signal) => {
    const parameters = listParameters(state, clock.now());
    // Only the first answer may take its time: the function may have to start.
    const timeoutMs = jobs.loadedAt ? Math.max(ANSWER_MS, 3 * jobs.tookMs) : undefined;
    const answer = await get("api/jobs", parameters, { signal, timeoutMs });
    if (answer === latest.list?.answer) return latest.list;
    return { ...answer, answer, asked: { parameters, state } };
  },
  everyMs: () => (state.tab === "jobs" ? LIST_MS : HIDDEN_LIST_MS),
  onData(data) {
    latest.list = data;
    showList();
    if (announceNext) announce(t("list.result", { total: totalOf(data, state) }));
    announceNext = false;
    showFreshness();
  },
  onError() {
    views.list.showNotLoaded();
    showFreshness();
  },
});

const metrics = new Poller({
  load: (signal) => get("api/metrics", {}, { signal }),
  everyMs: () => (state.tab === "statistics" ? STATISTICS_MS : NOTICES_MS),
  onData(data) {
    latest.metrics = data;
    showMetrics();
    showFreshness();
  },
  onError() {
    views.statistics.showNotLoaded();
    showFreshness();
  },
});

/** Asked only while its tab is shown. */
const unmanaged = new Poller({
  load: (signal) => get("api/flink-jobs", { unmanaged: "true", limit: UNMANAGED_SHOWN }, { signal }),
  everyMs: () => UNMANAGED_MS,
  onData(data) {
    latest.unmanaged = data;
    views.unmanaged.show(data);
    showFreshness();
  },
  onError() {
    views.unmanaged.showNotLoaded();
    showFreshness();
  },
});

const details = new Poller({
  load: (signal) => get(`api/jobs/${encodeURIComponent(state.job)}`, {}, { signal }),
  everyMs: () => (views.details.isFinal() ? FINAL_DETAILS_MS : DETAILS_MS),
  onData: (data) => views.details.show(data),
  onError: (error) => views.details.showError(error),
});

// --- where one goes ---------------------------------------------------------------------------------

/** Shows another state, as a step that Back undoes. `trail` is what `newerPages` will be there. */
function go(patch, { trail = newerPages(), isReplacing = false, isPanel = false } = {}) {
  const next = { ...state, ...patch };
  if (href(next) === href(state)) return;
  const kept = { trail, isPanel };
  if (isReplacing) history.replaceState(kept, "", href(next));
  else history.pushState(kept, "", href(next));
  arrive();
}

/** Shows what the address now says. */
function arrive() {
  const before = state;
  state = read();
  showState();
  const behind = (each) => href({ ...each, job: "", part: "" });
  if (behind(before) !== behind(state)) {
    if (state.tab === "jobs") jobs.now();
    followUnmanaged(before);
    if (state.tab !== before.tab) metrics.now();
    else if (latest.metrics) showMetrics();
  }
  if (state.job === before.job) {
    if (state.job) views.details.choosePart(state.part);
    return;
  }
  if (state.job) openDetails();
  else views.details.close();
}

function followUnmanaged(before) {
  if (state.tab === "unmanaged" && before.tab !== "unmanaged") unmanaged.start();
  if (state.tab !== "unmanaged") unmanaged.stop();
}

const actions = {
  filter(patch, { isTyping = false } = {}) {
    announceNext = true;
    const isAtTyping = isTyping && Boolean(state.q) && Boolean(patch.q);
    const begins = "range" in patch ? {} : anchored("");
    go({ ...begins, ...patch, cursor: "" }, { isReplacing: isAtTyping, trail: [] });
  },
  open: (id) => go({ job: id, part: "" }, { isPanel: true }),
  choosePart: (part) => go({ part }, { isReplacing: true, isPanel: history.state?.isPanel }),
  close() {
    details.stop();
    if (!state.job) return;
    const { job } = state;
    if (history.state?.isPanel) history.back();
    else go({ job: "", part: "" }, { isReplacing: true });
    if (document.activeElement === document.body) views.list.focusOn(job);
  },
  older(cursor) {
    const asked = latest.list.asked.parameters;
    go({ cursor, ...anchored(asked.from) }, { trail: [...newerPages(), state.cursor] });
    scrollTo({ top: 0 });
  },
  newer() {
    const trail = newerPages();
    const cursor = trail.pop() ?? "";
    go({ cursor, ...(cursor ? {} : anchored("")) }, { trail });
  },
  newest: () => go({ cursor: "", ...anchored("") }, { trail: [] }),
  chooseWindow: (name) => go({ window: name }),
  address: (filters) => href(unfiltered(filters)),
  showJobs(filters) {
    go(unfiltered(filters), { trail: [] });
    metrics.now(); // a notice and the list behind its link say the same
  },
  retry() {
    jobs.now();
    metrics.now();
    if (state.tab === "unmanaged") unmanaged.now();
  },
  /** Asks for the whole page anew: only then a login can be shown. */
  reload: () => location.reload(),
  /** Synchronises one job; returns what came of it in a sentence. */
  async sync(jobId, signal) {
    const before = views.details.status();
    try {
      const report = await post(`api/jobs/${encodeURIComponent(jobId)}/sync`, { signal });
      await details.now();
      jobs.now();
      return syncSentence({ report, before, after: views.details.status() });
    } catch (error) {
      return syncSentence({ error: signal.aborted ? null : error });
    }
  },
  async syncSeveral(jobIds, signal) {
    try {
      const report = await post("api/sync", { body: { job_ids: jobIds }, signal });
      await jobs.now();
      return syncSentence({ report });
    } catch (error) {
      return syncSentence({ error: signal.aborted ? null : error });
    }
  },
  /** Asks before an action on jobs, and shows how far it is afterwards. */
  ask: (kind, chosen, acting, onEnd) => views.question.ask(kind, chosen, acting, onEnd),
  act: (jobId, kind, body, key) => post(`api/jobs/${encodeURIComponent(jobId)}/${kind}`, { body, key }),
  refresh() {
    if (state.job) details.now();
    jobs.now();
  },
  /** Builds the page anew after a choice of how it is shown, and returns the focus there. */
  rebuild(focused) {
    build();
    byId(focused)?.focus();
  },
};

/** The list with these filters and no others. */
const unfiltered = (filters) => {
  return { ...state, tab: "jobs", ...NO_FILTERS, job: "", part: "", ...filters };
};

/** The cursors of the pages that led here, the newest first; none where a link led here. */
const newerPages = () => [...(history.state?.trail ?? [])];

/** The fixed beginning that a range which moves with the clock gets on older pages. */
const anchored = (from) => (state.range === "custom" ? {} : { from: (state.range && from) || "" });

// --- what is seen -----------------------------------------------------------------------------------

function showState() {
  for (const tab of TABS) {
    const isShown = state.tab === tab;
    const link = byId(`tab-${tab}`);
    setAttribute(link, "aria-selected", String(isShown));
    setAttribute(link, "tabindex", isShown ? "0" : "-1");
    setAttribute(link, "href", href({ ...state, tab, job: "", part: "" }));
    byId(`view-${tab}`).hidden = !isShown;
  }
  views.list.setState(state);
  views.statistics.setState(state);
}

function showList() {
  const data = latest.list;
  if (data) views.list.show(data, data.asked.state);
}

function showMetrics() {
  const data = latest.metrics;
  views.list.setTemplates(data.windows.all.templates.map((each) => each.template_id).filter(Boolean));
  views.list.setClusters(Object.keys(data.sync.clusters));
  if (state.tab === "statistics") views.statistics.show(data, state);
}

function showFreshness() {
  const shown = { jobs: [jobs, views.list], statistics: [metrics, views.statistics], unmanaged: [unmanaged, views.unmanaged] };
  const [poller, view] = shown[state.tab];
  const failing = poller.error ? poller : [jobs, metrics].find((each) => each.error);
  const ago = poller.loadedAt ? span((Date.now() - poller.loadedAt) / 1000) : null;
  const word = poller.error ? (ago ? "failed" : "never") : ago ? "updated" : "loading";
  setText(byId("fresh-text"), t(`fresh.${word}`, { ago }));
  setAttribute(byId("fresh"), "data-level", poller.error ? "bad" : "good");
  view.setStale(Boolean(poller.error) && poller.loadedAt !== null);
  views.notices.show([
    ...(failing ? [failureNotice(failing.error, failing.loadedAt)] : []),
    ...(latest.metrics ? problemNotices(latest.metrics.problems) : []),
  ]);
}

function openDetails() {
  views.details.open(state.job, state.part);
  details.start();
}

/** Builds the views in the language that is spoken now, and fills them with what is known. */
function build() {
  views?.statistics.close();
  views = {
    list: createList(byId("view-jobs"), actions),
    statistics: createStatistics(byId("view-statistics"), actions),
    unmanaged: createUnmanaged(byId("view-unmanaged"), actions),
    details: createDetails(byId("details"), actions),
    question: createQuestion(byId("question"), actions),
    notices: createNotices(byId("notices"), actions),
  };
  byId("notices").replaceChildren();
  const other = currentLanguage() === "en" ? "zh-CN" : "en";
  const language = byId("language");
  setText(language, t("language.other"));
  setAttribute(language, "lang", other);
  setAttribute(language, "aria-label", t("language.switch"));
  showTheme();
  showState();
  showList();
  if (latest.metrics) showMetrics();
  if (latest.unmanaged) views.unmanaged.show(latest.unmanaged);
  showFreshness();
}

function showTheme() {
  setAttribute(document.documentElement, "data-theme", theme);
  setAttribute(byId("theme"), "aria-label", t(`theme.${theme}`));
  setAttribute(byId("theme"), "title", t(`theme.${theme}`));
}

// --- the beginning ----------------------------------------------------------------------------------

async function start() {
  await speak(preferredLanguage());
  build();
  setAttribute(document.documentElement, "data-ready", true);

  byId("language").addEventListener("click", async () => {
    await speak(currentLanguage() === "en" ? "zh" : "en", { keep: true });
    build();
  });
  byId("theme").addEventListener("click", () => {
    theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
    remember(THEME, theme);
    showTheme();
    views.statistics.recolour();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => views.statistics.recolour());
  const tabs = document.querySelector("[role=tablist]");
  tabs.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey || !event.target.id) return;
    event.preventDefault();
    go({ tab: event.target.id.replace("tab-", "") });
  });
  tabs.addEventListener("keydown", (event) => {
    if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
    const step = event.key === "ArrowRight" ? 1 : TABS.length - 1;
    const tab = TABS[(TABS.indexOf(state.tab) + step) % TABS.length];
    go({ tab });
    byId(`tab-${tab}`).focus();
  });
  addEventListener("popstate", arrive);
  setInterval(() => {
    views.list.tick();
    views.details.tick();
    tickTimes(byId("view-unmanaged"));
    showFreshness();
  }, TICK_MS);
  jobs.start();
  metrics.start();
  if (state.tab === "unmanaged") unmanaged.start();
  if (state.job) openDetails();
}

start().catch(() => {
  // Without its words the page can say only this.
  byId("notices").append("The page could not be loaded completely: load it again. / 页面未能完整加载，请重新加载。");
});
