// A picture before it is sent: how the server will cut it, what the model will see, and what that costs.
// The server is asked by the picture's size alone (v1/plan), so nothing is computed and no pixel leaves the page.

import { post } from "./api.js";
import { element } from "./element.js";

const kTaken = ["image/png", "image/jpeg", "image/webp"];

// Reads a file. Kinds that the server does not decode are drawn anew as PNG.
export async function read_picture(blob, name) {
  const bitmap = await createImageBitmap(blob);  // upright: a camera's orientation is applied
  let bytes = blob;
  if (!kTaken.includes(blob.type)) {
    const canvas = element("canvas", { width: bitmap.width, height: bitmap.height });
    canvas.getContext("2d").drawImage(bitmap, 0, 0);
    bytes = await new Promise((done) => canvas.toBlob(done, "image/png"));
  }
  const url = await new Promise((done, failed) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result);
    reader.onerror = () => failed(reader.error);
    reader.readAsDataURL(bytes);
  });
  return { name, bitmap, url };
}

// Asks for the plan of a picture with these options ({detail, max_slices}).
export async function plan_of(picture, options) {
  const { width, height } = picture.bitmap;
  const content = [{ type: "image_size", width, height, ...options }, { type: "text", text: "?" }];
  const answer = await (await post("v1/plan", { messages: [{ role: "user", content }], max_tokens: 1 })).json();
  return { ...answer.images[0], seconds: answer.predicted_seconds };
}

export function options_of(detail, slices) {
  return { detail, ...(slices === "" ? {} : { max_slices: Number(slices) }) };
}

// One view as the model sees it: this part of the picture, scaled to so many pixels.
function view(bitmap, part, size, label, title) {
  const canvas = element("canvas", { width: size.width, height: size.height });
  const paint = canvas.getContext("2d");
  paint.imageSmoothingQuality = "high";
  paint.drawImage(bitmap, part.x, part.y, part.width, part.height, 0, 0, size.width, size.height);
  const button = element("button", { className: "view", type: "button", title: `${title} Open it pixel by pixel.` }, canvas,
    element("span", {}, label));
  button.setAttribute("aria-label", `${label}: ${title}`);
  button.onclick = () => enlarge(canvas, `${label}: ${title}`);
  return button;
}

function enlarge(canvas, title) {
  const copy = element("canvas", { width: canvas.width, height: canvas.height });
  copy.getContext("2d").drawImage(canvas, 0, 0);
  const times = Math.max(1, Math.floor(Math.min(innerWidth * 0.85 / canvas.width, innerHeight * 0.7 / canvas.height)));
  copy.style.width = `${canvas.width * times}px`;
  const close = element("button", {}, "Close");
  const dialog = element("dialog", {}, element("p", {}, title), copy, close);
  close.onclick = () => dialog.close();
  dialog.onclose = () => dialog.remove();
  document.body.append(dialog);
  dialog.showModal();
}

const pixels = (size) => `${size.width}×${size.height}`;

// As `uhd slices` says it.
function scale_in_words([across, down]) {
  const one = (scale) => (scale <= 1 ? `${(1 / scale).toFixed(1)} pixels become one` : `one pixel becomes ${scale.toFixed(1)}`);
  if (Math.max(Math.abs(across - 1), Math.abs(down - 1)) < 0.05) return "pixel by pixel";
  if (Math.abs(Math.log(across / down)) < 0.03) return `${one(Math.sqrt(across * down))} in each direction`;
  return `${one(across)} across, and ${one(down)} down`;
}

function views(bitmap, plan) {
  const parts = [];
  const [columns, rows] = plan.grid;
  if (plan.slice && plan.slices > 0) {
    const slices = element("div", { className: "slices" });
    slices.style.gridTemplateColumns = `repeat(${columns}, 1fr)`;
    const width = bitmap.width / columns;
    const height = bitmap.height / rows;
    const seen = `${pixels(plan.slice)} pixels, ${plan.slice.tokens} tokens.`;
    for (let n = 0; n < columns * rows; ++n) {
      const part = { x: (n % columns) * width, y: Math.floor(n / columns) * height, width, height };
      slices.append(view(bitmap, part, plan.slice, `slice ${n + 1}`, seen));
    }
    parts.push(slices);
  }
  if (plan.overview) {
    const whole = { x: 0, y: 0, width: bitmap.width, height: bitmap.height };
    const seen = `${pixels(plan.overview)} pixels, ${plan.overview.tokens} tokens`;
    parts.push(element("figure", { className: "overview" }, view(bitmap, whole, plan.overview, "overview", seen + "."),
      element("figcaption", {}, `The overview: ${seen}.`)));
  }
  return element("div", { className: "views" }, ...parts);
}

function in_words(plan) {
  const cut = plan.slices > 0
    ? `${plan.slices} slices in a grid of ${plan.grid[0]} × ${plan.grid[1]}, ${pixels(plan.slice)} pixels and ${plan.slice.tokens} tokens each` +
      `${plan.overview ? ", and an overview" : ""}; ${scale_in_words(plan.scale)}`
    : "the overview alone";
  return `${pixels(plan)}: ${cut}. ${plan.tokens} tokens in all.`;
}

// What other details would cost, one row each; the one that is chosen is marked.
function choices(plans) {
  const rows = plans.map(({ name, plan, chosen }) => element("tr", { className: chosen ? "chosen" : "" },
    ...[name, plan.slices, plan.tokens, plan.scale ? scale_in_words(plan.slices > 0 ? plan.scale : overview_scale(plan)) : ""]
      .map((text) => element("td", {}, String(text)))));
  const head = element("tr", {}, ...["detail", "slices", "tokens", "scale"].map((text) => element("th", { scope: "col" }, text)));
  return element("details", {}, element("summary", {}, "What detail changes"), element("table", {}, element("thead", {}, head), element("tbody", {}, ...rows)));
}

function overview_scale(plan) {
  return plan.overview ? [plan.overview.width / plan.width, plan.overview.height / plan.height] : plan.scale;
}

// The card of a picture. `remove` is called by its button.
export async function card(picture, options, remove) {
  const plan = await plan_of(picture, options);
  picture.pieces = plan.slices + (plan.overview ? 1 : 0);
  const others = [];
  for (const detail of ["low", "auto", "high"]) {
    const chosen = detail === options.detail;
    const asked = { ...options, detail };
    others.push({ name: detail, chosen, plan: chosen ? plan : await plan_of(picture, asked) });
  }
  return card_of(picture, remove, element("p", {}, in_words(plan)), views(picture.bitmap, plan), choices(others));
}

// The card of a picture that the server refuses.
export function refused_card(picture, error, remove) {
  return card_of(picture, remove, element("p", { className: "bad" }, error.message));
}

function card_of(picture, remove, ...parts) {
  const button = element("button", { type: "button" }, "Remove");
  button.onclick = remove;
  return element("article", { className: "picture" }, element("h3", {}, picture.name, button), ...parts);
}

export function thumbnail(picture) {
  const height = 64;
  const width = Math.max(1, Math.round(height * picture.bitmap.width / picture.bitmap.height));
  const canvas = element("canvas", { width: 2 * width, height: 2 * height, title: picture.name });
  canvas.getContext("2d").drawImage(picture.bitmap, 0, 0, 2 * width, 2 * height);
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", picture.name);
  return canvas;
}
