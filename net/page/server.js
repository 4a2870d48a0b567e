// What the server does now: its metrics, read once a second while this view is open, and seldom while it is not.

import { get } from "./api.js";
import { element } from "./element.js";
import { count_of, counted_since, parse_metrics, percentile } from "./metrics.js";

const by = (id) => document.getElementById(id);
const kHistory = 60;  // looks of a sparkline
const kMinute = 60_000;
const kSeldom = 10_000;
const kLatencies = { uhd_queue_seconds: "wait for a place", uhd_preprocess_seconds: "decode and cut images", uhd_encode_seconds: "encode slices",
  uhd_ttft_seconds: "first token", uhd_tpot_seconds: "between two tokens", uhd_request_seconds: "whole request" };
const histories = new Map();
let looks = [];  // of the last minute, the oldest first
let last_tried = -Infinity;  // when the last look began
let looking = false;         // a look is under way

const short = (n) => (n >= 1e6 ? `${(n / 1e6).toFixed(1)} M` : n >= 1e4 ? `${(n / 1e3).toFixed(1)} k` : String(Math.round(n * 10) / 10));
const time = (s) => (s === null ? "–" : s < 1 ? `${(1000 * s).toPrecision(3)} ms` : `${s.toPrecision(3)} s`);

function spark(name, value) {
  const history = [...(histories.get(name) ?? []), value].slice(-kHistory);
  histories.set(name, history);
  const canvas = element("canvas", { width: 2 * 240, height: 2 * 40 });
  const paint = canvas.getContext("2d");
  const top = Math.max(...history, 1e-9);
  paint.strokeStyle = getComputedStyle(document.body).getPropertyValue("--main");
  paint.lineWidth = 3;
  history.forEach((v, n) => paint.lineTo((kHistory - history.length + n) * canvas.width / (kHistory - 1), canvas.height - 4 - (canvas.height - 8) * v / top));
  paint.stroke();
  return canvas;
}

function bar(...shares) {
  return element("div", { className: "bar" }, ...shares.map((share) => {
    const piece = element("i");
    piece.style.width = `${100 * share}%`;
    return piece;
  }));
}

function card(title, value, ...more) {
  return element("div", { className: "card" }, element("span", { className: "quiet" }, title), element("b", {}, value), ...more);
}

const note = (text) => element("span", { className: "quiet" }, text);
const row = (...cells) => element("tr", {}, ...cells.map((text) => element("td", {}, String(text))));
const share_of = (part, rest) => (part + rest > 0 ? `${Math.round(100 * part / (part + rest))} %` : "–");

function draw_cards(now, before) {
  const value = (name) => now.values.get(name) ?? 0;
  const rate = (name) => (before ? 1000 * (value(name) - (before.values.get(name) ?? 0)) / (now.at - before.at) : 0);
  const pages = Math.max(1, value("uhd_kv_pages"));
  const kept = value("uhd_kv_pages_cached");
  const used = pages - value("uhd_kv_pages_free");
  const out = rate("uhd_decode_tokens_total");
  const read = rate("uhd_prefill_tokens_total");
  const slices = rate("uhd_slices_encoded_total");
  by("cards").replaceChildren(
    card("Answers", `${short(out)} tokens/s`, spark("out", out)),
    card("Prompts", `${short(read)} tokens/s`, spark("read", read)),
    card("Slices", `${short(slices)} slices/s`, spark("slices", slices)),
    card("Requests", `${value("uhd_running_sequences")} running`, note(`${value("uhd_waiting_requests")} waiting, ${short(value("uhd_queued_cost_seconds"))} s of work accepted`)),
    card("KV pages in use", `${used} of ${pages}`, bar(used / pages, Math.min(kept, pages - used) / pages), note(`${kept} kept for later prompts`)),
    card("Slices on their way", `${value("uhd_slices_queued")} queued`, note(`${value("uhd_slices_failed_total")} failed, ${value("uhd_slices_retried_total")} tried again`)));
}

// Hits, misses and what gave way, of the keys and values of prompts and of the rows of slices.
function draw_caches({ values }) {
  const value = (name) => values.get(name) ?? 0;
  const line = (words, hits, misses, gone) => row(words, short(hits), short(misses), share_of(hits, misses), short(gone));
  by("caches").replaceChildren(
    line("prompts, in tokens", value("uhd_prefix_cached_tokens_total"), value("uhd_prefix_missed_tokens_total"), value("uhd_prefix_evicted_tokens_total")),
    line("slices", value("uhd_slices_cached_total"), value("uhd_slices_encoded_total"), value("uhd_slices_evicted_total")));
}

// The leader is LLM rank 0. It takes steps together with the other LLM ranks, so one state holds for all of them.
function draw_ranks({ values, series }, ready) {
  const llm = values.get("uhd_llm_ranks") ?? 1;
  const encoders = (series.get("uhd_encoder_slices") ?? []).toSorted((a, b) => a.labels.encoder - b.labels.encoder);
  const of = (name, encoder) => (series.get(name) ?? []).find(({ labels }) => labels.encoder === encoder)?.value ?? 0;
  const rows = [];
  for (let rank = 0; rank < llm; ++rank) {
    const alone = rank === 0 && encoders.length === 0 && (values.get("uhd_encoders") ?? 0) > 0;
    const share = llm > 1 ? `, part ${rank + 1} of ${llm} of the language model` : ", the language model";
    rows.push(row(`LLM ${rank}`, (rank === 0 ? `leader${share}${alone ? ", the encoder" : ""}` : share.slice(2)), ready ? "answers" : "does not answer", "", "", ""));
  }
  for (const { labels, value } of encoders) {
    const speed = of("uhd_encoder_patches_per_second", labels.encoder);
    const failed = of("uhd_encoder_slices_failed_total", labels.encoder);
    rows.push(row(`encoder ${labels.encoder}`, "encodes slices", of("uhd_encoder_healthy", labels.encoder) ? "at work" : "rests after failures",
      `${value} slices`, speed > 0 ? `${short(speed)} patches/s` : "–",
      `${short(of("uhd_encoder_slices_encoded_total", labels.encoder))}${failed > 0 ? `, ${short(failed)} failed` : ""}`));
  }
  const lost = values.get("uhd_encoders_lost_total") ?? 0;
  by("ranks").replaceChildren(...rows);
  by("lost").textContent = lost > 0 ? `${lost} encoders were lost or left since the server started.` : "";
}

function draw_latencies(now) {
  const since_start = by("window").value === "start";
  by("latency").replaceChildren(...Object.entries(kLatencies).map(([name, words]) => {
    const all = now.buckets.get(name) ?? new Map();
    const of = since_start ? all : counted_since(all, looks[0]?.buckets.get(name));
    return row(words, short(count_of(of)), ...[0.5, 0.9, 0.99].map((share) => time(percentile(of, share))));
  }));
}

async function look(shown) {
  if (looking) return;
  looking = true;
  last_tried = performance.now();
  try {
    const ready = await fetch("ready", { cache: "no-store" });
    const { status } = await ready.json();
    by("readiness").textContent = ready.ok ? `The server is ${status}.` : `The server cannot answer now: it is ${status}.`;
    by("readiness").className = ready.ok ? "good" : "bad";
    const now = { ...parse_metrics(await (await get("metrics")).text()), at: performance.now() };
    if (shown) {
      draw_cards(now, looks.at(-1));
      draw_caches(now);
      draw_ranks(now, ready.ok);
      draw_latencies(now);
    }
    looks = [...looks, now].filter(({ at }) => now.at - at <= kMinute);
  } catch (error) {
    by("readiness").textContent = `The server does not answer: ${error.message}`;
    by("readiness").className = "bad";
  } finally {
    looking = false;
  }
}

// Looks once a second while `shown()` is true, and else seldom, so that the last minute is known. The function that is returned
// looks at once.
export function start_server(shown) {
  by("window").onchange = () => looks.length > 0 && draw_latencies(looks.at(-1));
  setInterval(() => {
    const late = performance.now() - last_tried > kSeldom;
    if (!document.hidden && (shown() || late)) look(shown());
  }, 1000);
  look(false);
  return () => look(true);
}
