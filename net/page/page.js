// Starts the page: the model's name, the two views, and the key if the server asks for one.

import { get, on_key_needed, use_key } from "./api.js";
import { start_ask } from "./ask.js";
import { start_server } from "./server.js";

const by = (id) => document.getElementById(id);
const kViews = ["ask", "server"];

function show(view, look) {
  for (const name of kViews) {
    const chosen = name === view;
    by(name).hidden = !chosen;
    by(`tab-${name}`).setAttribute("aria-selected", chosen);
    by(`tab-${name}`).tabIndex = chosen ? 0 : -1;
  }
  if (view === "server") look();
}

async function start() {
  on_key_needed(() => {
    by("key").hidden = false;
    by("key-value").focus();
  });
  by("key").onsubmit = (event) => {
    event.preventDefault();
    use_key(by("key-value").value);
    location.reload();
  };
  const look = start_server(() => !by("server").hidden);
  for (const name of kViews) {
    const tab = by(`tab-${name}`);
    tab.onclick = () => show(name, look);
    tab.onkeydown = (event) => {
      if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
      const other = kViews[(kViews.indexOf(name) + 1) % kViews.length];
      show(other, look);
      by(`tab-${other}`).focus();
    };
  }
  try {
    const { data } = await (await get("v1/models")).json();
    by("model").textContent = `${data[0].id}, ${data[0].max_model_len} tokens`;
    document.title = `${data[0].id} at uhd`;
    start_ask(data[0]);
  } catch (error) {
    by("problem").textContent = error.message;
    by("problem").hidden = false;
  }
}

start();
