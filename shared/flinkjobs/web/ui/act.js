// What a reader can do with jobs: the buttons, the question that comes first, and how far an action is.

import { FINAL } from "./url_state.js";
import { announce, copyButton, h, setText, statusChip } from "./dom.js";
import { local, timeElement } from "./format.js";
import { errorText } from "./notices.js";
import { t, tOr } from "./i18n.js";

/** What can be done with jobs that go on. */
const GOING_ON = ["savepoint", "stop", "cancel"];
const AGAIN = "run-again";
export const KINDS = [...GOING_ON, AGAIN];
const OPEN = new Set(["requested", "sent"]);
/** Actions of one job that are shown, the newest first. */
const SHOWN = 5;

/** The kinds of action that a job can still take. */
export function possible(job) {
  if (!job.status || job.status === "LOST") return [];
  if (FINAL.has(job.status)) return [AGAIN];
  return job.flink_job_id ? GOING_ON : ["cancel"];
}

/** Whether an action of the job is under way. */
export const isUnderWay = ({ actions = [] }) => actions.some((action) => OPEN.has(action.state));

/**
 * A button for each kind; `update` shows those that fit.
 * @param {(kind: string) => void} ask
 */
export function createButtons(ask) {
  const buttons = KINDS.map((kind) =>
    h("button", { type: "button", class: `act act-${kind}`, "aria-haspopup": "dialog", click: () => ask(kind) }, t(`action.button.${kind}`)),
  );
  const why = h("span", { class: "act-why" });
  const element = h("div", { class: "acts", role: "group", "aria-label": t("details.actions"), hidden: true }, ...buttons, why);
  return {
    element,
    /** @param {{allowed: boolean, user: string | null} | null} acting what the reader may do; null where there are no actions */
    update(acting, fitting, open = []) {
      element.hidden = !acting || !fitting.length;
      if (element.hidden) return;
      why.hidden = acting.allowed;
      const cause = t(acting.user ? "action.not_operator" : "action.not_signed_in", { user: acting.user });
      why.replaceChildren(t("action.not_allowed"), " ", cause);
      KINDS.forEach((kind, index) => {
        buttons[index].hidden = !fitting.includes(kind);
        buttons[index].disabled = !acting.allowed || open.includes(kind);
      });
    },
  };
}

/** The kinds that are under way: the same again would answer with the open one, and a cancel takes the others' place. */
export function underWay({ actions = [] }) {
  const open = actions.filter((action) => OPEN.has(action.state)).map((action) => action.kind);
  return open.includes("cancel") ? GOING_ON : open;
}

// --- the question -----------------------------------------------------------------------------------

/**
 * @param {HTMLDialogElement} dialog
 * @param {object} actions act(jobId, kind, body, key)
 */
export function createQuestion(dialog, actions) {
  return {
    /**
     * Asks, and then does it for each job.
     * @param {object[]} jobs as of the list or the details
     * @param {(answers: object[]) => void} onEnd gets what submit answered for each of the jobs
     */
    ask(kind, jobs, acting, onEnd) {
      const form = createForm(kind, jobs, acting, actions, (answers) => {
        if (form.isConnected) dialog.close();
        onEnd(answers);
      });
      form.addEventListener("reset", () => dialog.close());
      dialog.onclick = (event) => {
        if (event.target === dialog) dialog.close(); // outside the question
      };
      dialog.replaceChildren(form);
      dialog.showModal();
      form.querySelector("h2").focus(); // a key that is still held down confirms nothing
    },
  };
}

function createForm(kind, jobs, acting, actions, onDone) {
  const named = jobs.length === 1 ? nameOf(jobs[0]) : t("action.jobs", { n: jobs.length });
  const words = t(`action.do.${kind}`);
  const { fields, body: bodyOf } = createFields(kind, jobs);
  const isHarmless = kind === "savepoint" || kind === AGAIN;
  const submit = h("button", { type: "submit", class: isHarmless ? "primary" : "primary danger" }, words);
  const problem = h("div", { class: "act-problem", role: "alert" });
  const keys = new Map();
  const answers = [];
  let left = jobs;

  /** The same request again has the same key: it is done once, even if only its answer was lost. */
  function keyOf(job, body) {
    const request = `${job.job_id} ${JSON.stringify(body)}`;
    if (!keys.has(request)) keys.set(request, randomKey());
    return keys.get(request);
  }

  /** Once the reader has closed the question, nothing more is sent. */
  const isShown = () => submit.closest("dialog[open]") !== null;

  async function send() {
    const body = bodyOf();
    submit.disabled = true;
    problem.replaceChildren();
    const failed = [];
    for (const [index, job] of left.entries()) {
      if (!isShown()) break;
      setText(submit, t("action.sending", { i: index + 1, n: left.length }));
      try {
        answers.push(await actions.act(job.job_id, kind, body, keyOf(job, body)));
      } catch (error) {
        failed.push({ job, why: errorText(error) });
      }
    }
    submit.disabled = false;
    setText(submit, words);
    if (!failed.length || !isShown()) {
      if (!answers.length) return;
      announce(outcomeText(kind, answers.length));
      onDone(answers);
      return;
    }
    left = failed.map(({ job }) => job);
    problem.replaceChildren(...failed.map(({ job, why }) => h("p", {}, t("action.not_requested", { job: nameOf(job), why }))));
    submit.focus();
  }

  return h(
    "form",
    {
      ...{ class: "question", "aria-labelledby": "act-title", method: "dialog" },
      submit: (event) => {
        event.preventDefault();
        if (!submit.disabled) send();
      },
    },
    h("h2", { id: "act-title", tabindex: "-1" }, t(`action.ask.${kind}`, { job: named })),
    h("ul", { class: "act-jobs", tabindex: jobs.length > 1 ? "0" : null }, ...jobs.map(jobLine)),
    h("p", { class: "act-lost" }, lost(kind, jobs)),
    ...fields,
    acting?.user ? h("p", { class: "hint" }, t("action.as", { user: acting.user })) : null,
    problem,
    h("div", { class: "act-buttons" }, submit, h("button", { type: "reset" }, t("action.back"))),
  );
}

/** What came of it for `n` jobs, in a sentence. */
export const outcomeText = (kind, n) => t(kind === AGAIN ? "action.run_again.of" : "action.requested.of", { n });

/** What can be said with an action, and the request that comes of it. */
function createFields(kind, jobs) {
  if (kind === "cancel") return { fields: [], body: () => ({}) };
  if (kind === AGAIN) return jobs.length > 1 ? createStarts(jobs) : createStart(jobs[0]);
  const [directory, ...around] = textField("directory", { maxlength: "1000", pattern: "\\S+" });
  const where = () => (directory.value ? { savepoint_directory: directory.value } : {});
  if (kind === "savepoint") return { fields: around, body: where };
  const drain = h("input", { type: "checkbox", id: "act-drain" });
  const label = h("label", { for: drain.id, class: "act-choice" }, drain, h("span", {}, t("action.drain")));
  return { fields: [...around, label], body: () => ({ ...where(), drain: drain.checked }) };
}

/** Where jobs that run again start, each with the script and the arguments that it had. */
function createStarts(jobs) {
  const canResume = jobs.some((job) => newestState(job) !== null);
  const { group, from } = createFrom({ latest: t(canResume ? "action.from.latest.several" : "action.from.none.several"), nothing: t("action.from.nothing") }, canResume);
  return { fields: [group], body: () => ({ from: from() }) };
}

/** Where a job that runs again starts, and what is different. */
function createStart(job) {
  const state = newestState(job);
  const newest = state ? t("action.from.latest", { kind: t(`state.${state.kind}`), time: local(state.at) }) : t("action.from.none");
  const choices = { latest: newest, path: t("action.from.path"), nothing: t("action.from.nothing") };
  const { group: where, from } = createFrom(choices, state !== null, () => show());
  const [path, ...aroundPath] = textField("path", { maxlength: "2000", pattern: "\\S+" });
  const [parallelism, ...aroundParallelism] = textField("parallelism", { type: "number", min: "1", max: "10000" });
  const [args, ...aroundArgs] = textField("args", { rows: "3" }, "textarea");
  const group = h("div", { class: "field-group" }, ...aroundPath);
  const show = () => {
    group.hidden = from() !== "path";
    path.required = !group.hidden;
    path.disabled = group.hidden;
  };
  show();
  return {
    fields: [where, group, ...aroundParallelism, ...aroundArgs],
    body: () => ({
      from: from() === "path" ? path.value : from(),
      ...(parallelism.value ? { parallelism: Number(parallelism.value) } : {}),
      ...(args.value.trim() ? { args: args.value.split("\n").map((line) => line.trim()).filter(Boolean) } : {}),
    }),
  };
}

/** The choice where a job starts; by its newest state only where there is one. */
function createFrom(choices, canResume, onChange = () => {}) {
  const boxes = Object.keys(choices).map((name) =>
    h("input", { type: "radio", name: "from", value: name, id: `act-from-${name}`, disabled: name === "latest" && !canResume, change: onChange }),
  );
  boxes.at(canResume ? 0 : -1).checked = true;
  const labels = boxes.map((box) => h("label", { for: box.id, class: "act-choice" }, box, h("span", {}, choices[box.value])));
  return {
    group: h("fieldset", {}, h("legend", {}, t("action.from")), ...labels),
    from: () => boxes.find((box) => box.checked).value,
  };
}

/** The newest state that is still there: what sync has seen, or what an action has made. */
function newestState({ latest_state: seen, actions = [] }) {
  const made = actions.filter((action) => action.state === "done" && action.savepoint_path && !action.drain);
  const states = made.map((action) => ({ kind: "savepoint", at: action.ended_at }));
  if (seen && !seen.deleted) states.push(seen);
  return states.toSorted((one, other) => Date.parse(one.at) - Date.parse(other.at)).at(-1) ?? null;
}

/** A field, and all that belongs to it: its label, itself, its hint. */
function textField(name, properties, tag = "input") {
  const hint = h("p", { class: "hint", id: `act-${name}-hint` }, t(`action.${name}.hint`));
  const type = tag === "input" ? { type: "text" } : {};
  const field = h(tag, { ...type, id: `act-${name}`, autocomplete: "off", spellcheck: "false", "aria-describedby": hint.id, ...properties });
  return [field, h("label", { for: field.id }, t(`action.${name}`)), field, hint];
}

const nameOf = (job) => job.job_name || job.job_id;

const jobLine = (job) => h("li", {}, statusChip(job.status), " ", h("span", { class: "id" }, job.job_id));

/** What will be lost, in a sentence. */
function lost(kind, jobs) {
  if (kind !== "cancel") return t(`action.lost.${kind}`, { n: jobs.length });
  if (jobs.length > 1) return t("action.lost.cancel.several");
  const [{ flink_job_id: id, latest_state: state }] = jobs;
  if (!id) return t("action.lost.cancel.before");
  if (!state) return t("action.lost.cancel.all");
  const values = { kind: t(`state.${state.kind}`), time: local(state.at) };
  return t(state.deleted ? "action.lost.cancel.deleted" : "action.lost.cancel.since", values);
}

/** 128 random bits; `crypto.randomUUID` is there only for a page that came over https. */
function randomKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

// --- how far it is ----------------------------------------------------------------------------------

/** The actions of a job, the newest first, each with its steps. */
export function progress({ actions = [] }) {
  if (!actions.length) return null;
  const newest = actions.toReversed().slice(0, SHOWN);
  return [h("h3", {}, t("details.actions")), h("ul", { class: "cards" }, ...newest.map(card))];
}

function card(action) {
  const { kind, state, requested_at: requested, sent_at: sent, ended_at: ended, requested_by: by } = action;
  const steps = [
    ["requested", requested],
    ["sent", sent],
    [state === "failed" ? "failed" : "done", ended],
  ];
  return h(
    "li",
    { class: "action", "data-kind": kind, "data-state": state },
    h("p", { class: "card-head" }, h("strong", {}, tOr(`action.${kind}`, kind)), action.drain ? h("span", {}, t("action.drained")) : null),
    h("ol", { class: "steps" }, ...steps.map(([name, at]) => step(name, at, name === state))),
    by ? h("p", { class: "hint" }, t("timeline.action.by", { by })) : null,
    action.savepoint_path
      ? h("p", { class: "copyable" }, h("span", { class: "id" }, action.savepoint_path), copyButton(action.savepoint_path, t("action.path")))
      : null,
    action.message ? h("p", { class: "warn-text" }, h("code", { class: "code" }, action.code ?? ""), " ", action.message) : null,
    action.code && tOr(`action.code.${action.code}`, null) ? h("p", { class: "hint" }, t(`action.code.${action.code}`)) : null,
  );
}

const step = (name, at, isCurrent) =>
  h("li", { "data-step": name, "data-reached": String(Boolean(at)), "aria-current": isCurrent ? "step" : null }, t(`action.state.${name}`), at ? " " : null, at ? timeElement(at) : null);
