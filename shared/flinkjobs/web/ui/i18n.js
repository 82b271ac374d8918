// What the page says, in English or Chinese. The tables messages.en.json and messages.zh.json hold the same keys.

const KEPT = "flinkjobs.language";
const LANGUAGES = { en: "en", zh: "zh-CN" };

let table = {};
let language = "en";

/** The language in use: `en` or `zh`. */
export const currentLanguage = () => language;

/** The first language of the reader's that the page speaks, unless they chose one before. */
export function preferredLanguage() {
  const kept = recall(KEPT);
  if (kept in LANGUAGES) return kept;
  const wanted = navigator.languages.map((tag) => tag.toLowerCase().split("-")[0]);
  return wanted.find((tag) => tag in LANGUAGES) ?? "en";
}

/** Loads a language's table and words the static part of the page in it. */
export async function speak(wanted, { keep = false } = {}) {
  const answer = await fetch(`assets/messages.${wanted}.json`);
  if (!answer.ok) throw new Error(`messages.${wanted}.json: ${answer.status}`);
  table = await answer.json();
  language = wanted;
  if (keep) remember(KEPT, wanted);
  document.documentElement.lang = LANGUAGES[wanted];
  document.title = t("page.title");
  for (const element of document.querySelectorAll("[data-t]")) element.textContent = t(element.dataset.t);
  for (const element of document.querySelectorAll("[data-t-label]")) {
    element.setAttribute("aria-label", t(element.dataset.tLabel));
  }
}

/** Whether the table has this key: codes and events may be newer than the page. */
export const has = (key) => Object.hasOwn(table, key);

/** The words of a key, its {placeholders} filled in. The form that the language has for the number `n`, `….one`, goes first. */
export function t(key, values = {}) {
  const form = `${key}.${new Intl.PluralRules(LANGUAGES[language]).select(Number(values.n))}`;
  const chosen = "n" in values && has(form) ? form : key;
  const words = has(chosen) ? table[chosen] : key;
  return words.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
}

/** What the pattern's group is in each key that it matches. */
export const keysLike = (pattern) => Object.keys(table).flatMap((key) => pattern.exec(key)?.[1] ?? []);

/** The words of a key, or what stands for it where there are none. */
export const tOr = (key, otherwise, values) => (has(key) ? t(key, values) : otherwise);

/** What the reader chose on an earlier visit; a browser may forbid keeping anything. */
export function recall(name) {
  try {
    return localStorage.getItem(name);
  } catch {
    return null;
  }
}

export function remember(name, value) {
  try {
    localStorage.setItem(name, value);
  } catch {
    // The choice then lasts as long as the page.
  }
}
