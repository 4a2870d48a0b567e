// The conversation: questions with pictures go out, answers stream in, and each says where its time went.

import { events, post } from "./api.js";
import { card, options_of, read_picture, refused_card, thumbnail } from "./picture.js";
import { element } from "./element.js";
import { Timeline, seconds } from "./timeline.js";

const by = (id) => document.getElementById(id);
const kStages = { queue: "waited", preprocess: "decoded and cut", encode: "encoded slices", prefill: "read the prompt", decode: "wrote the answer" };

let pictures = [];  // of the next question
let messages = [];  // of the conversation
let shown = [];     // its pictures, in order
let stop = null;    // stops the answer that streams
let drawn = 0;      // counts drawings of the cards, so that a slow one does not replace a later one

function say(problem) {
  by("problem").textContent = problem ?? "";
  by("problem").hidden = !problem;
}

function options() {
  return options_of(by("detail").value, by("slices").value);
}

async function draw_cards() {
  const mine = ++drawn;
  const cards = [];
  for (const picture of pictures) {
    const remove = () => {
      pictures = pictures.filter((other) => other !== picture);
      draw_cards();
    };
    cards.push(await card(picture, options(), remove).catch((error) => refused_card(picture, error, remove)));
  }
  if (mine === drawn) by("pictures").replaceChildren(...cards);
}

async function add(blobs) {
  say();
  for (const blob of blobs) {
    try {
      pictures.push(await read_picture(blob, blob.name || "pasted picture"));
    } catch {
      say(`“${blob.name || "this"}” is no picture that this browser can read.`);
      return;
    }
  }
  await draw_cards();
  by("text").focus();
}

function part_of(picture) {
  const { detail, ...rest } = options();
  return { type: "image_url", image_url: { url: picture.url, detail, ...rest } };
}

// The sums of the stages, in the colours of the timeline. Encoding and prefill overlap, so they are not moments.
function legend(times) {
  const shown = Object.entries(kStages).filter(([name]) => times[name] > 0);
  return element("div", { className: "legend" }, ...shown.map(([name, words]) =>
    element("span", {}, element("i", { className: name }), `${words} ${seconds(times[name])}`)));
}

function receipt({ usage, uhd }) {
  const slices = uhd.images.reduce((all, image) => all + image.slices + 1, 0);
  const kept = uhd.images.reduce((all, image) => all + image.cached_slices, 0);
  const cached = usage.prompt_tokens_details?.cached_tokens ?? 0;
  return `${usage.prompt_tokens} tokens of prompt (${cached} kept from before), ${usage.completion_tokens} of answer` +
    (slices ? `; ${kept} of ${slices} views kept from before` : "") +
    `. First token after ${seconds(uhd.times.ttft)}, all after ${seconds(uhd.times.total)}.`;
}

async function stream(answer, notes, pieces) {
  const body = { messages, stream: true, timeline: true, stream_options: { include_usage: true },
    max_tokens: Number(by("tokens").value), temperature: Number(by("temperature").value) };
  const started = performance.now();
  const timeline = new Timeline(pieces);
  notes.append(timeline.element);
  const clock = setInterval(() => {
    const elapsed = (performance.now() - started) / 1000;
    by("state").textContent = `${answer.textContent ? "answering" : "working on it"}, ${seconds(elapsed)}`;
    timeline.tick(elapsed);
  }, 100);
  stop = new AbortController();
  let thoughts = null;
  let cut = false;
  try {
    for await (const event of events(await post("v1/chat/completions", body, stop.signal))) {
      const delta = event.choices?.[0]?.delta ?? {};
      if (delta.reasoning_content) {
        if (!thoughts) {
          thoughts = element("details", {}, element("summary", {}, "Thoughts"));
          answer.before(thoughts);
        }
        thoughts.append(delta.reasoning_content);
      }
      if (delta.content) answer.append(delta.content);
      cut ||= event.choices?.[0]?.finish_reason === "length";
      if (event.uhd?.timeline) timeline.add(event.uhd.timeline);
      if (event.usage && event.uhd) notes.append(legend(event.uhd.times), element("p", { className: "quiet" }, receipt(event)));
    }
    if (cut) notes.append(element("p", { className: "quiet" }, "The answer ended at the most tokens."));
  } finally {
    clearInterval(clock);
    timeline.finish();
    by("state").textContent = "";
    stop = null;
  }
}

async function send() {
  const text = by("text").value.trim();
  if (stop || (!text && !pictures.length)) return;
  say();
  const mine = { role: "user", content: [...pictures.map(part_of), { type: "text", text: text || "What is this?" }] };
  const you = element("div", { className: "you" }, ...pictures.map(thumbnail), mine.content.at(-1).text);
  const answer = element("div", { className: "answer" });
  const notes = element("div", { className: "notes" });
  const turn = element("article", { className: "turn" }, you, answer, notes);
  by("conversation").append(turn);
  const before = { pictures, text };
  messages.push(mine);
  shown.push(...pictures);
  pictures = [];
  by("text").value = "";
  await draw_cards();
  busy(true);
  try {
    await stream(answer, notes, shown.map(({ pieces }) => pieces));
    messages.push({ role: "assistant", content: answer.textContent });
  } catch (error) {
    messages.pop();
    shown = shown.slice(0, shown.length - before.pictures.length);
    if (error.name === "AbortError") {
      notes.append(element("p", { className: "quiet" }, "You stopped this answer, so it is no part of the conversation."));
    } else {
      say(error.message);
      turn.remove();
      pictures = before.pictures;
      by("text").value = before.text;
      await draw_cards();
    }
  }
  busy(false);
  by("text").focus();
}

function busy(yes) {
  by("send").disabled = yes;
  by("stop").hidden = !yes;
  by("again").hidden = yes || !messages.length;
}

function start_again() {
  messages = [];
  shown = [];
  by("conversation").replaceChildren();
  busy(false);
}

async function offer_samples() {
  const response = await fetch("page/samples.json");
  if (!response.ok) return;
  const { about, samples } = await response.json();
  if (!samples.length) return;
  const buttons = samples.map(({ image, question }) => {
    const button = element("button", { type: "button", className: "sample" }, `“${question}”`);
    button.onclick = async () => {
      const blob = await (await fetch(`page/samples/${encodeURIComponent(image)}`)).blob();
      await add([new File([blob], image, { type: blob.type })]);
      by("text").value = question;
    };
    return button;
  });
  by("samples").replaceChildren("Or take a sample: ", ...buttons, ...(about ? [element("br"), element("span", { className: "quiet" }, about)] : []));
  by("samples").hidden = false;
}

export function start_ask(model) {
  const files = (list) => [...list].filter((file) => file.type.startsWith("image/"));
  for (const [button, input] of [["choose", "file"], ["camera", "photograph"]]) {
    by(button).onclick = () => by(input).click();
    by(input).onchange = () => {
      add(files(by(input).files));
      by(input).value = "";
    };
  }
  for (const [name, over] of [["dragover", true], ["dragleave", false], ["drop", false]]) {
    document.addEventListener(name, (event) => {
      event.preventDefault();
      by("drop").classList.toggle("over", over);
      if (name === "drop" && event.dataTransfer) add(files(event.dataTransfer.files));
    });
  }
  document.addEventListener("paste", (event) => {
    const pasted = files(event.clipboardData?.files ?? []);
    if (pasted.length) {
      event.preventDefault();
      add(pasted);
    }
  });
  for (const id of ["detail", "slices"]) by(id).onchange = draw_cards;
  by("question").onsubmit = (event) => {
    event.preventDefault();
    send();
  };
  by("text").onkeydown = (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      send();
    }
  };
  by("stop").onclick = () => stop?.abort();
  by("again").onclick = start_again;
  by("drop").hidden = !model.vision;
  if (model.vision) offer_samples();
}
