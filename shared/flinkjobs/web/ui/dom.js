// Building and updating the document. Everything from outside becomes text or a checked address, never markup.

import { t, tOr } from "./i18n.js";

/**
 * Makes an element.
 * @param {string} tag
 * @param {Record<string, unknown>} properties attributes; a function is a listener by its event's name;
 *   null, undefined and false leave the attribute out.
 * @param {...(Node | string | null | undefined)} children strings become text
 */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else setAttribute(element, name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** Sets or removes an attribute, and touches the document only where it changes. */
export function setAttribute(element, name, value) {
  if (value === null || value === undefined || value === false) element.removeAttribute(name);
  else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value === true ? "" : value);
}

/** Sets the text; an unchanged text keeps the reader's selection. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * Makes the children of `parent` those of `items`, in this order, and leaves alone what is there already:
 * focus, selection and the place that was scrolled to stay.
 * @param {(item: any) => string} keyOf
 * @param {(item: any) => HTMLElement} create
 * @param {(element: HTMLElement, item: any) => void} update
 */
export function reconcile(parent, items, keyOf, create, update) {
  const known = Map.groupBy(parent.children, (child) => child.dataset.key);
  const elements = items.map((item) => {
    const key = String(keyOf(item));
    const element = known.get(key)?.shift() ?? create(item); // two records may have one id
    element.dataset.key = key;
    return element;
  });
  for (const child of [...known.values()].flat()) child.remove();
  let place = parent.firstElementChild;
  elements.forEach((element, index) => {
    update(element, items[index]);
    if (element === place) place = place.nextElementSibling;
    else parent.insertBefore(element, place);
  });
}

/**
 * Fills `element` anew only when the data behind it has changed, and puts the focus back on the element
 * with the same `data-focus`.
 */
export function refill(element, data, build) {
  const digest = JSON.stringify(data);
  if (element.dataset.digest === digest) return;
  const focused = element.contains(document.activeElement) ? document.activeElement.dataset.focus : undefined;
  element.replaceChildren(...[build()].flat().filter(Boolean));
  element.dataset.digest = digest;
  if (focused) element.querySelector(`[data-focus="${CSS.escape(focused)}"]`)?.focus();
}

/** An http or https address as it is; anything else is none: an address can also be a script. */
export function safeUrl(text) {
  try {
    const url = new URL(text);
    return url.protocol === "http:" || url.protocol === "https:" ? url.href : null;
  } catch {
    return null;
  }
}

/** A link to another site in a tab of its own, or only its text where the address is none. */
export function outsideLink(address, label) {
  const url = safeUrl(address);
  if (!url) return h("span", {}, label);
  return h(
    "a",
    { href: url, target: "_blank", rel: "noopener noreferrer", class: "button", title: t("flink.new_tab") },
    label,
    h("span", { "aria-hidden": "true" }, " ↗"),
  );
}

/** A link to the list of jobs with these filters; a plain click stays on the page. */
export function jobsLink(actions, filters, text, properties = {}) {
  const click = (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    actions.showJobs(filters);
  };
  return h("a", { ...properties, href: actions.address(filters), click }, text);
}

/** A button that copies `text`, and says whether it did; without words it is a picture. */
export function copyButton(text, what, words = t("details.copy")) {
  const label = words === null ? h("span", { class: "copy-picture", "aria-hidden": "true" }) : h("span", {}, words);
  const button = h(
    "button",
    {
      type: "button",
      class: "copy",
      "data-focus": `copy ${what} ${text}`,
      "aria-label": t("details.copy.of", { what }),
      click: async () => {
        const done = await copied(text);
        const said = t(done ? "details.copied" : "details.copy_failed");
        if (words !== null) setText(label, said);
        setAttribute(button, "data-copied", done);
        announce(said);
        setTimeout(() => {
          if (words !== null) setText(label, words);
          setAttribute(button, "data-copied", false);
        }, 1500);
      },
    },
    label,
  );
  return button;
}

/** A command to paste into a terminal. */
export function commandLine(text) {
  return h("p", { class: "command" }, h("code", {}, text), copyButton(text, text));
}

async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copiedBySelection(text); // a page that was not loaded over https has no clipboard
  }
}

function copiedBySelection(text) {
  const field = h("textarea", { class: "unseen", readonly: true });
  field.value = text;
  const before = document.activeElement;
  (document.querySelector("dialog[open]") ?? document.body).append(field);
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  before?.focus();
  return done;
}

/** Announces a text to a screen reader, without showing it. */
export function announce(text) {
  setText(document.getElementById("announce"), text);
}

/** A status as colour and word. */
export function statusChip(status) {
  const word = status ?? "unreadable";
  return h("span", { class: "chip", "data-status": word, title: statusTitle(word) }, t(`status.${word}`));
}

/** The badge next to the status; none of a job that is healthy or over. */
export function healthBadge(health) {
  if (!health || health.state === "healthy" || (health.state === "starting" && !health.since)) return null;
  const { state, code } = health;
  const means = code ? tOr(`reason.${code}.title`, code) : t(`health.${state}.means`);
  return h("span", { class: "chip badge", "data-health": state, title: means }, t(`health.${state}`));
}

function statusTitle(status) {
  return status === "unreadable" ? null : `${status}: ${t(`status.${status}.means`)}`;
}
