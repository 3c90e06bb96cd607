"use strict";
// Enhances pages that work without it: live verdicts, a slider, search as you type, printing.

// Verdicts of a running verification, as they are decided.
for (const live of document.querySelectorAll("[data-events]")) {
  const events = new EventSource(live.dataset.events);
  const progress = live.querySelector("[data-progress]");
  events.addEventListener("progress", (event) => { progress.textContent = event.data; });
  events.addEventListener("claim", (event) => {
    const { anchor, html } = JSON.parse(event.data);
    const parsed = new DOMParser().parseFromString(html, "text/html").body.firstElementChild;
    const known = document.getElementById(anchor);
    if (known) { parsed.open = known.open; known.replaceWith(parsed); }
    else { (document.querySelector("[data-claims]") || live).append(parsed); }
  });
  events.addEventListener("end", (event) => {
    events.close();
    live.querySelector("[role=status]").textContent = event.data;
  });
}

// A slider between a picture and its labels.
for (const pair of document.querySelectorAll(".before-after")) slide(pair);
function slide(pair) {
  const label = document.createElement("label");
  label.className = "slider";
  label.textContent = "Before and after";
  const range = document.createElement("input");
  range.type = "range";
  range.value = "50";
  range.addEventListener("input", () => pair.style.setProperty("--at", range.value + "%"));
  label.append(range);
  pair.classList.add("sliding");
  pair.after(label);
}

// Everything is printed, also what is folded.
let folded = [];
addEventListener("beforeprint", () => {
  folded = [...document.querySelectorAll("details:not([open])")];
  for (const one of folded) one.open = true;
});
addEventListener("afterprint", () => { for (const one of folded) one.open = false; });

// What is found, while it is typed.
const search = document.querySelector("form.search input[type=search]");
if (search) {
  const found = document.getElementById("found");
  let running = new AbortController();
  search.addEventListener("input", async () => {
    running.abort();
    running = new AbortController();
    const query = new URLSearchParams(new FormData(search.form));
    try {
      const reply = await fetch("/search/found?" + query, { signal: running.signal });
      if (reply.ok) found.innerHTML = await reply.text();
      history.replaceState(null, "", "/search?" + query);
    } catch (error) {
      if (error.name !== "AbortError") throw error;
    }
  });
}

// A picture that is dropped on its form is sent.
for (const form of document.querySelectorAll("form.drop")) {
  form.addEventListener("dragover", (event) => { event.preventDefault(); form.classList.add("over"); });
  form.addEventListener("dragleave", () => form.classList.remove("over"));
  form.addEventListener("drop", (event) => {
    event.preventDefault();
    form.classList.remove("over");
    form.querySelector("input[type=file]").files = event.dataTransfer.files;
    form.requestSubmit();
  });
}
