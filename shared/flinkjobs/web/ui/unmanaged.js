// The tab *Without a record*: running Flink jobs that belong to no record, as sync has seen them.

import { commandLine, copyButton, h, outsideLink, reconcile, refill, setAttribute, setText } from "./dom.js";
import { local, number, timeElement } from "./format.js";
import { t } from "./i18n.js";

/**
 * @param {HTMLElement} root
 * @param {object} actions open(jobId)
 */
export function createUnmanaged(root, actions) {
  const clusters = h("ul", { class: "unmanaged-clusters" });
  const cards = h("ul", { class: "cards", "aria-label": t("unmanaged.caption") });
  const sheet = h("div", { class: "sheet-card unmanaged-sheet" }, cards);
  const empty = h("div", { class: "empty" }, t("unmanaged.loading"));
  const more = h("p", { class: "shown" });
  root.replaceChildren(h("p", { class: "intro" }, t("unmanaged.intro")), clusters, sheet, empty, more);
  sheet.hidden = true;

  return {
    show(data) {
      const jobs = data.flink_jobs;
      refill(clusters, data.clusters, () => Object.entries(data.clusters).map(cluster));
      reconcile(cards, jobs, keyOf, () => h("li"), (element, job) => refill(element, job, () => card(job, actions)));
      sheet.hidden = jobs.length === 0;
      empty.hidden = jobs.length > 0;
      const isKnown = Object.keys(data.clusters).length > 0;
      refill(empty, isKnown, () => (isKnown ? h("p", {}, t("unmanaged.empty")) : [h("p", {}, t("unmanaged.unknown")), commandLine("flinkjobs sync")]));
      setText(more, data.next_cursor ? t("unmanaged.more", { n: number(jobs.length), total: number(data.total) }) : "");
    },
    /** Nothing has been loaded, which is not the same as nothing being there. */
    showNotLoaded() {
      if (sheet.hidden) refill(empty, "not loaded", () => h("p", {}, t("unmanaged.not_loaded")));
    },
    setStale: (isStale) => setAttribute(root, "data-stale", isStale),
  };
}

const keyOf = (job) => `${job.cluster} ${job.flink_job_id}`;

function cluster([name, { unmanaged: count, seen_at: at }]) {
  return h("li", {}, t("unmanaged.cluster", { cluster: name, n: number(count), time: local(at) }));
}

function card(job, actions) {
  const command = `flinkjobs adopt ${job.flink_job_id} --template-id `;
  return [
    h(
      "p",
      { class: "card-head" },
      h("span", { class: "name" }, job.name ?? t("unmanaged.nameless")),
      h("span", { class: "raw-state", title: t("fact.flink_state") }, job.state),
      h(
        "span",
        { class: "card-links" },
        copyButton(command, t("unmanaged.adopt"), t("unmanaged.adopt")),
        job.ui_url ? outsideLink(job.ui_url, t("flink.open")) : null,
      ),
    ),
    h("p", { class: "card-facts" }, h("span", { class: "id" }, job.flink_job_id)),
    h("p", { class: "card-facts" }, job.cluster, ...(job.start_time ? [" · ", timeElement(job.start_time)] : [])),
    job.twin_of.length
      ? h("p", { class: "warn-text" }, t("unmanaged.twin_of"), ...job.twin_of.flatMap((id) => [" ", twin(id, actions)]))
      : null,
  ];
}

/** Opens the record of the same name. */
function twin(jobId, actions) {
  return h("button", { type: "button", class: "link", "aria-haspopup": "dialog", click: () => actions.open(jobId) }, jobId);
}
