// Data that refreshes itself: one request at a time, none while the page is hidden.

/** The server's clock: its `now` against ours when the answer came. */
export const clock = {
  offset: 0,
  set(now) {
    this.offset = Date.parse(now) - Date.now();
  },
  now() {
    return Date.now() + this.offset;
  },
};

/** Repeats a request. */
export class Poller {
  #timer = null;
  #request = null;
  #active = false;
  #data = null;

  /** When the last good answer came, by our clock; null before the first. */
  loadedAt = null;
  /** How long the last good answer took. */
  tookMs = 0;
  /** Why the last request brought nothing; null if it did. */
  error = null;

  /**
   * @param {(signal: AbortSignal) => Promise<any>} load the same object again where nothing has changed
   * @param {() => number} everyMs asked after each answer
   * @param {(data: any) => void} onData called when the data are others than before
   * @param {() => void} onError
   */
  constructor({ load, everyMs, onData, onError }) {
    Object.assign(this, { load, everyMs, onData, onError });
    document.addEventListener("visibilitychange", () => {
      if (!this.#active) return;
      if (document.hidden) this.#cancel();
      else this.now();
    });
  }

  start() {
    this.#active = true;
    this.now();
  }

  stop() {
    this.#active = false;
    this.#cancel();
  }

  /** Asks at once; an older request still under way is dropped, so that answers cannot overtake each other. */
  async now() {
    this.#cancel();
    const request = new AbortController();
    this.#request = request;
    const askedAt = Date.now();
    try {
      const data = await this.load(request.signal);
      if (request.signal.aborted) return;
      const isNew = data !== this.#data || this.error !== null;
      this.error = null;
      this.loadedAt = Date.now();
      this.tookMs = this.loadedAt - askedAt;
      if (data.now && data !== this.#data) clock.set(data.now);
      this.#data = data;
      if (isNew) this.onData(data);
    } catch (error) {
      if (request.signal.aborted) return;
      this.error = error;
      this.onError(error);
    }
    if (this.#active && !document.hidden) this.#timer = setTimeout(() => this.now(), this.everyMs());
  }

  #cancel() {
    clearTimeout(this.#timer);
    this.#request?.abort();
  }
}
