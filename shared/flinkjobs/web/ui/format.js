// Times, durations and numbers as people read them: local time, with UTC as the title.

import { h, setAttribute, setText } from "./dom.js";
import { currentLanguage, recall, remember, t } from "./i18n.js";
import { clock } from "./polling.js";

const TIMES = "flinkjobs.times";
/** How times are shown: the date and the time of day, or how long ago. */
export const TIME_FORMS = ["absolute", "relative"];

let timeForm = TIME_FORMS.includes(recall(TIMES)) ? recall(TIMES) : "absolute";

export const currentTimeForm = () => timeForm;

export function chooseTimeForm(form) {
  timeForm = form;
  remember(TIMES, form);
}

const MINUTE = 60;
const HOUR = 3600;
const DAY = 86400;

const two = (number) => String(number).padStart(2, "0");

/** 1,234 in the reader's language. */
export const number = (value) => new Intl.NumberFormat(currentLanguage()).format(value);

/** 12.3 %; a dash where there is nothing to divide by. */
export const percent = (value) =>
  value === null || value === undefined
    ? "–"
    : t("unit.percent", {
        n: new Intl.NumberFormat(currentLanguage(), { minimumFractionDigits: 1, maximumFractionDigits: 1 }).format(value),
      });

/** A duration in seconds, in its two largest units; below a minute with as many decimals as asked for. */
export function duration(seconds, { decimals = 1 } = {}) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 1 && seconds > 0) return t("unit.ms", { n: Math.round(seconds * 1000) });
  const scale = 10 ** decimals;
  if (Math.round(seconds * scale) / scale < MINUTE) {
    return t("unit.s", { n: seconds.toFixed(decimals) });
  }
  const whole = Math.round(seconds);
  if (whole < HOUR) return pair("unit.min", Math.floor(whole / MINUTE), "unit.s", two(whole % MINUTE));
  if (whole < DAY) {
    return pair("unit.h", Math.floor(whole / HOUR), "unit.min", two(Math.floor((whole % HOUR) / MINUTE)));
  }
  return pair("unit.d", Math.floor(whole / DAY), "unit.h", Math.floor((whole % DAY) / HOUR));
}

/** How long ago, or how often: whole units, and none that is zero. */
export function span(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < MINUTE) return t("unit.s", { n: whole });
  const minutes = Math.round(whole / MINUTE);
  if (whole < HOUR && minutes < 60) return t("unit.min.alone", { n: minutes });
  if (whole < DAY) {
    const rest = Math.floor((whole % HOUR) / MINUTE);
    const hours = Math.floor(whole / HOUR) || 1;
    return rest && whole >= HOUR ? pair("unit.h", hours, "unit.min", rest) : t("unit.h", { n: hours });
  }
  const hours = Math.floor((whole % DAY) / HOUR);
  const days = Math.floor(whole / DAY);
  return hours ? pair("unit.d", days, "unit.h", hours) : t("unit.d", { n: days });
}

function pair(large, many, small, few) {
  return `${t(large, { n: many })} ${t(small, { n: few })}`;
}

/** A duration that goes on, as a clock shows it: 0:04:05, 2:13:05, 3 d 04:13:05. */
export function ticking(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const days = Math.floor(whole / DAY);
  const hours = Math.floor((whole % DAY) / HOUR);
  const rest = `${two(Math.floor((whole % HOUR) / MINUTE))}:${two(whole % MINUTE)}`;
  return days ? `${t("unit.d", { n: days })} ${two(hours)}:${rest}` : `${hours}:${rest}`;
}

/** The date, without its year where that is this one, and the time, both local. */
export function localParts(iso) {
  const at = new Date(iso);
  const day = `${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  const year = at.getFullYear();
  return {
    date: year === new Date().getFullYear() ? day : `${year}-${day}`,
    time: `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`,
  };
}

/** Date and time, local. */
export function local(iso) {
  const { date, time } = localParts(iso);
  return `${date} ${time}`;
}

/** UTC, to the millisecond. */
export const utc = (iso) => new Date(iso).toISOString().replace("T", " ").replace("Z", " UTC");

/** A <time> element: local, with UTC as its title; a dash where no time is known. */
export function timeElement(iso, properties = {}) {
  if (!iso) return h("span", { ...properties }, "–");
  if (timeForm === "relative") {
    const element = h("time", { datetime: iso, class: "ago", ...properties });
    writeAgo(element);
    return element;
  }
  const { date, time } = localParts(iso);
  return h(
    "time",
    { datetime: iso, title: utc(iso), ...properties },
    h("span", { class: "date" }, date),
    " ",
    h("span", { class: "clock" }, time),
  );
}

function writeAgo(element) {
  const { dateTime } = element;
  setText(element, t("statistics.ago", { ago: span((clock.now() - Date.parse(dateTime)) / 1000) }));
  setAttribute(element, "title", `${local(dateTime)} (${utc(dateTime)})`);
}

/** Writes anew how long ago the times below `root` are. */
export function tickTimes(root) {
  for (const element of root.querySelectorAll("time.ago")) writeAgo(element);
}

/** Lets `parent` hold the element of this time, and none but it. */
export function setTime(parent, iso) {
  const shown = parent.firstElementChild;
  if (!shown || shown.getAttribute("datetime") !== iso) parent.replaceChildren(timeElement(iso));
}

/** How far the reader's clock is from UTC: UTC, UTC+8, UTC-3:30. */
export function zone() {
  const minutes = -new Date().getTimezoneOffset();
  if (!minutes) return "UTC";
  const [hours, rest] = [Math.floor(Math.abs(minutes) / 60), Math.abs(minutes) % 60];
  return `UTC${minutes < 0 ? "-" : "+"}${hours}${rest ? `:${two(rest)}` : ""}`;
}

/** The last line with content: of a stack trace, the error itself. */
export const lastLine = (text) => text.split("\n").filter((line) => line.trim()).at(-1)?.trim() ?? "";

/** A file's or log's JSON, indented. */
export const json = (value) => JSON.stringify(value, null, 2);
