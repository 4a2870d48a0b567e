// What happens to one request, drawn as it happens: a lane for each who works on it, and time from left to right. The server
// tells spans of time as they end (docs/api.md, "Timeline").

import { element } from "./element.js";

// Stage -> its words, and the class of its colour.
const kStages = {
  read: ["sent to the server", "queue"], lay_out: ["laid out as a prompt", "queue"], queue: ["waited for a place", "queue"],
  cut: ["decoded and cut", "preprocess"], cached: ["kept from before", "kept"], wait: ["waited for an encoder", "queue"],
  send: ["sent to an encoder", "queue"], encode: ["encoded", "encode"], transfer: ["rows came back", "transfer"],
  prefill: ["prompt read", "prefill"], decode: ["answer written", "decode"] };
const kMostLaneHeight = 84;
const kRowHeight = 16;

export const seconds = (s) => (s < 1 ? `${Math.round(1000 * s)} ms` : `${s.toFixed(2)} s`);

// Who works, in the order in which lanes are drawn.
function lane_of({ stage, encoder }) {
  if (stage === "read" || stage === "lay_out" || stage === "queue") return [0, "request"];
  if (stage === "cut") return [1, "cut"];
  if (stage === "cached") return [2, "kept"];
  if (stage === "wait" || stage === "send") return [3, "slices wait"];
  if (stage === "encode") return [4 + (encoder ?? 0) / 1e6, encoder ? `encoder ${encoder}` : "encode"];
  if (stage === "transfer") return [5, "transfer"];
  return [6, "language"];
}

// The span in words; `overview(image)` is the number of the overview among the pieces of an image.
function in_words(span, overview) {
  const [words] = kStages[span.stage] ?? [span.stage];
  const of = span.slice === undefined ? "" : span.slice === overview(span.image) ? "overview: " : `slice ${span.slice + 1}: `;
  const tokens = span.tokens === undefined ? "" : `, ${span.tokens} tokens`;
  return `${of}${words}, ${seconds(span.begin)} to ${seconds(span.end)}${tokens}`;
}

// Puts each span into the first row that is free when it begins, and returns the number of rows.
function stack(spans) {
  const ends = [];
  for (const span of spans.sort((a, b) => a.begin - b.begin || a.end - b.end)) {
    let row = ends.findIndex((end) => end <= span.begin);
    if (row < 0) row = ends.push(0) - 1;
    ends[row] = span.end;
    span.row = row;
  }
  return ends.length;
}

// A length of 1, 2 or 5 times a power of ten, of which at most so many are in `whole`.
function tick_of(whole, most) {
  const power = 10 ** Math.floor(Math.log10(whole));
  return [0.1, 0.2, 0.5, 1, 2, 5].map((part) => part * power).find((tick) => whole / tick <= most) ?? whole;
}

export class Timeline {
  #spans = [];
  #elapsed = 0;
  #due = false;
  #pieces;

  // `pieces` holds, for each picture of the question, how many pieces it has; undefined where that is not known.
  constructor(pieces) {
    this.#pieces = pieces;
    this.element = element("div", { className: "timeline", hidden: true });
    this.element.setAttribute("role", "img");
  }

  add(spans) {
    this.#spans.push(...spans);
    this.#draw_soon();
  }

  // So many seconds have passed while the answer is not complete.
  tick(elapsed) {
    this.#elapsed = elapsed;
    this.#draw_soon();
  }

  finish() {
    this.#elapsed = 0;
    this.#draw_soon();
  }

  #draw_soon() {
    if (this.#due) return;
    this.#due = true;
    requestAnimationFrame(() => {
      this.#due = false;
      this.#draw();
    });
  }

  #overview(image) {
    const pieces = this.#pieces[image ?? 0];
    return pieces === undefined ? -1 : pieces - 1;
  }

  #draw() {
    if (!this.#spans.length) return;
    const whole = Math.max(this.#elapsed, ...this.#spans.map(({ end }) => end), 1e-3);
    const lanes = new Map();
    for (const span of this.#spans) {
      const [order, name] = lane_of(span);
      if (!lanes.has(order)) lanes.set(order, { name, spans: [] });
      lanes.get(order).spans.push(span);
    }
    const drawn = [...lanes].sort(([a], [b]) => a - b).map(([, { name, spans }]) => this.#lane(name, spans, whole));
    this.element.replaceChildren(...drawn, this.#axis(whole));
    this.element.setAttribute("aria-label", `Timeline: ${this.#spans.map((span) => in_words(span, (image) => this.#overview(image))).join("; ")}`);
    this.element.hidden = false;
  }

  #lane(name, spans, whole) {
    const rows = stack(spans);
    const height = Math.max(3, Math.min(kRowHeight, kMostLaneHeight / rows));
    const track = element("div", { className: "track" });
    track.style.height = `${rows * height}px`;
    for (const span of spans) {
      const label = span.stage === "encode" && height === kRowHeight ? (span.slice === this.#overview(span.image) ? "o" : span.slice + 1) : "";
      const box = element("i", { className: kStages[span.stage]?.[1] ?? "queue", title: in_words(span, (image) => this.#overview(image)) }, String(label));
      box.style.left = `${100 * span.begin / whole}%`;
      box.style.width = `${100 * (span.end - span.begin) / whole}%`;
      box.style.top = `${span.row * height}px`;
      box.style.height = `${height - 1}px`;
      track.append(box);
    }
    return element("div", { className: "lane" }, element("span", {}, name), track);
  }

  #axis(whole) {
    const track = element("div", { className: "track axis" });
    const tick = tick_of(whole, this.element.clientWidth < 600 ? 3 : 8);
    for (let n = 0; n * tick <= whole; ++n) {
      const mark = element("span", {}, n === 0 ? "0" : whole < 1 ? `${Math.round(1000 * n * tick)} ms` : `${+(n * tick).toPrecision(3)} s`);
      mark.style.left = `${100 * n * tick / whole}%`;
      track.append(mark);
    }
    return element("div", { className: "lane" }, element("span", {}), track);
  }
}
