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

  /** When the last good answer came, by our clock; null before the first. */
  loadedAt = null;
  /** Why the last request brought nothing; null if it did. */
  error = null;

  /**
   * @param {(signal: AbortSignal) => Promise<any>} load
   * @param {() => number} everyMs asked after each answer
   * @param {(data: any) => void} onData
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
    try {
      const data = await this.load(request.signal);
      if (request.signal.aborted) return;
      this.error = null;
      this.loadedAt = Date.now();
      if (data.now) clock.set(data.now);
      this.onData(data);
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
