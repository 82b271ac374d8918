// The side panel: everything about one job, as the answer to "what happened to it?".

import { FINAL, PARTS } from "./url_state.js";
import { copyButton, h, healthBadge, refill, setAttribute, setText, statusChip } from "./dom.js";
import { tickTimes, ticking, zone } from "./format.js";
import { clock } from "./polling.js";
import { errorText } from "./notices.js";
import { facts, flink, health, kubernetes, log, reason, sent, spec, timeline, verdict } from "./details_parts.js";
import { createButtons, isUnderWay, possible, progress, underWay } from "./act.js";
import { t } from "./i18n.js";

/** The sections of each tab. */
const SECTIONS = {
  story: ["verdict", "acts", "reason", "health", "timeline", "facts", "sent"],
  flink: ["flink"],
  kubernetes: ["kubernetes"],
  log: ["log"],
  spec: ["spec"],
};

/**
 * @param {HTMLDialogElement} dialog
 * @param {object} actions close(), sync(jobId, signal), ask(kind, jobs, acting, onEnd), open(jobId), refresh(), choosePart(name), address(filters), showJobs(filters)
 */
export function createDetails(dialog, actions) {
  const title = h("h2", { id: "details-title", tabindex: "-1" }, t("details.title"));
  const chip = h("span", { class: "chip-place" });
  const sync = h("button", { type: "button", class: "sync primary", hidden: true }, t("details.sync"));
  const acts = createButtons((kind) =>
    actions.ask(kind, [{ ...shown.job, actions: shown.actions }], shown.acting, ([{ job_id: id }]) => {
      if (id !== shown.job.job_id) {
        actions.open(id); // it runs again, with a record of its own
        return;
      }
      actions.refresh();
      actions.choosePart("");
      title.focus();
    }),
  );
  const copies = h("span", { class: "link-place" });
  const close = h(
    "button",
    { type: "button", class: "close", "aria-label": t("details.close"), title: t("details.close"), click: () => dialog.close() },
    h("span", { "aria-hidden": "true" }, "✕"),
  );
  const result = h("p", { class: "sync-result", role: "status" });
  const problem = h("div", { class: "panel-error", role: "alert", hidden: true });
  const parts = {};
  const panels = {};
  for (const [name, sections] of Object.entries(SECTIONS)) {
    for (const section of sections) parts[section] = h("section", { class: `part part-${section}` });
    const names = { id: `part-${name}`, role: "tabpanel", "aria-labelledby": `part-tab-${name}`, tabindex: "0" };
    panels[name] = h("div", { class: "panel-body", ...names }, ...sections.map((section) => parts[section]));
  }
  const tabs = createTabs(panels, actions);
  const zoned = h("small", { class: "panel-zone" }, t("details.zone", { zone: zone() }));
  let shown = null;
  let waiting = null;

  sync.addEventListener("click", async () => {
    if (waiting) {
      waiting.abort();
      return;
    }
    waiting = new AbortController();
    setText(sync, t("details.sync.cancel"));
    setText(result, t("details.syncing"));
    const said = await actions.sync(shown.job.job_id, waiting.signal);
    waiting = null;
    setText(sync, t("details.sync"));
    setText(result, said);
  });
  dialog.onclose = () => {
    waiting?.abort();
    document.title = t("page.title");
    actions.close();
  };
  dialog.onclick = (event) => {
    if (event.target === dialog) dialog.close(); // outside the panel
  };
  dialog.replaceChildren(
    h(
      "div",
      { class: "panel" },
      h("header", { class: "panel-head" }, chip, title, sync, copies, close, acts.element, result),
      problem,
      h("div", { class: "panel-tabs" }, tabs.element, zoned),
      ...Object.values(panels),
    ),
  );

  return {
    /** Opens the panel for an id, whose timeline is still to come. */
    open(id, part) {
      shown = null;
      setText(title, id);
      chip.replaceChildren();
      refill(copies, null, () => null);
      setText(result, "");
      sync.hidden = true;
      acts.element.hidden = true;
      problem.hidden = true;
      for (const name of Object.keys(parts)) refill(parts[name], { id }, () => null);
      refill(parts.verdict, { id, loading: true }, () => h("p", { class: "verdict" }, t("details.loading")));
      tabs.choose(part);
      if (!dialog.open) dialog.showModal();
      title.focus();
    },
    close() {
      if (dialog.open) dialog.close();
    },
    choosePart: (part) => tabs.choose(part),
    show(data) {
      const { job } = data;
      shown = data;
      problem.hidden = true;
      setText(title, job.job_name || job.job_id);
      document.title = `${title.textContent} · ${t("page.title")}`;
      refill(chip, [job.status, job.health], () => [statusChip(job.status), healthBadge(job.health)]);
      refill(copies, job.job_id, () => copyButtons(job.job_id));
      setAttribute(dialog, "data-status", job.status ?? "unreadable");
      sync.hidden = !data.sync_now || (FINAL.has(job.status) && job.status !== "LOST"); // a lost job may reappear
      const fill = (name, part, build) => {
        refill(parts[name], part, build);
        parts[name].hidden = !parts[name].childElementCount;
      };
      fill("verdict", [job.status, job.reason, job.duration, job.start_time, job.unreadable], () => verdict(job));
      acts.update(data.acting, possible(job), underWay(data));
      fill("acts", data.actions, () => progress(data));
      fill("reason", [job.reason, FINAL.has(job.status)], () => reason(job));
      fill("health", [job.health, job.latest_state], () => health(job));
      fill("timeline", [data.timeline, job], () => timeline(data));
      fill("sent", data.notifications, () => sent(data.notifications));
      fill("facts", job, () => facts(job, actions));
      fill("flink", [data.flink_jobs, data.twins, job.flink_state, job.status], () => flink(data));
      fill("kubernetes", data.kubernetes, () => kubernetes(data.kubernetes));
      fill("log", [data.log_tail, data.log_url, job.status, data.kubernetes], () => log(data));
      fill("spec", [data.spec], () => spec(data.spec));
      this.tick();
    },
    showError(error) {
      const id = title.textContent;
      const isUnknown = error.status === 404;
      const text = isUnknown ? t("details.not_found", { id }) : t("details.not_loaded", { why: errorText(error) });
      if (!shown) refill(parts.verdict, { text }, () => null);
      refill(problem, { text }, () => [
        h("p", {}, text),
        isUnknown ? h("button", { type: "button", click: () => actions.showJobs({ q: id }) }, t("details.search")) : null,
      ]);
      problem.hidden = false;
    },
    isFinal: () => Boolean(shown && FINAL.has(shown.job.status) && !isUnderWay(shown)),
    status: () => shown?.job.status ?? null,
    tick() {
      tickTimes(dialog);
      for (const element of dialog.querySelectorAll("[data-since]")) {
        const elapsed = ticking((clock.now() - Date.parse(element.dataset.since)) / 1000);
        setText(element, element.dataset.words ? t(element.dataset.words, { duration: elapsed }) : elapsed);
      }
    },
  };
}

/** Where the job is found: by a link to this page, by the HTTP interface, by the command. */
function copyButtons(jobId) {
  const shell = (text) => `'${text.replaceAll("'", "'\\''")}'`;
  const address = new URL(`api/jobs/${encodeURIComponent(jobId)}`, location.href).href;
  return [
    copyButton(location.href, t("details.copy_link"), t("details.copy_link")),
    copyButton(`curl -s ${shell(address)}`, t("details.copy_curl"), t("details.copy_curl")),
    copyButton(`flinkjobs show ${/^[\w.-]+$/.test(jobId) ? jobId : shell(jobId)}`, t("details.copy_command"), t("details.copy_command")),
  ];
}

/** One tab for each panel; the first where none is chosen. */
function createTabs(panels, actions) {
  const tabs = PARTS.map((name) =>
    h(
      "button",
      { type: "button", role: "tab", id: `part-tab-${name}`, "aria-controls": `part-${name}`, click: () => actions.choosePart(name) },
      t(`part.${name}`),
    ),
  );
  const step = (event) => {
    const by = { ArrowRight: 1, ArrowLeft: PARTS.length - 1 }[event.key];
    if (!by) return;
    const next = (tabs.indexOf(event.target) + by) % PARTS.length;
    actions.choosePart(PARTS[next]);
    tabs[next].focus();
  };
  return {
    element: h("div", { class: "parts", role: "tablist", "aria-label": t("details.parts"), keydown: step }, ...tabs),
    choose(part) {
      const chosen = PARTS.includes(part) ? part : PARTS[0];
      PARTS.forEach((name, index) => {
        setAttribute(tabs[index], "aria-selected", String(name === chosen));
        setAttribute(tabs[index], "tabindex", name === chosen ? "0" : "-1");
        panels[name].hidden = name !== chosen;
      });
    },
  };
}
