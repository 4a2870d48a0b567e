// Calls of the server. All paths are relative, so that the page works behind a prefix.

const kKey = "uhd-key";
let ask_key = () => {};

export class ApiError extends Error {
  constructor(status, error) {
    super(error.message || `The server answered ${status}.`);
    this.status = status;
    this.code = error.code || "";
  }
}

// The function is called when the server asks for a key.
export function on_key_needed(callback) {
  ask_key = callback;
}

export function use_key(key) {
  sessionStorage.setItem(kKey, key);
}

function headers() {
  const key = sessionStorage.getItem(kKey);
  return { "Content-Type": "application/json", ...(key ? { Authorization: `Bearer ${key}` } : {}) };
}

async function checked(response) {
  if (response.ok) return response;
  if (response.status === 401) ask_key();
  const text = await response.text();
  let error = { message: text.slice(0, 300) };
  try {
    error = JSON.parse(text).error ?? error;
  } catch {}
  throw new ApiError(response.status, error);
}

export async function get(path) {
  return checked(await fetch(path, { headers: headers(), cache: "no-store" }));
}

export async function post(path, body, signal) {
  return checked(await fetch(path, { method: "POST", headers: headers(), body: JSON.stringify(body), signal }));
}

// Yields the objects of a stream of events. An event with an error is thrown, and so is a stream's end before [DONE].
export async function* events(response) {
  const decoder = new TextDecoder();
  const reader = response.body.getReader();
  let text = "";
  let whole = false;
  for (;;) {
    const { done, value } = await reader.read();
    text += done ? "" : decoder.decode(value, { stream: true });
    for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
      const line = text.slice(0, end).trim();
      text = text.slice(end + 2);
      whole ||= line === "data: [DONE]";
      if (!line.startsWith("data: ") || whole) continue;  // comments are signs of life
      const event = JSON.parse(line.slice(6));
      if (event.error) throw new ApiError(response.status, event.error);
      yield event;
    }
    if (done && !whole) throw new ApiError(response.status, { message: "The answer ended early." });
    if (done) return;
  }
}
