// Asks the server about dropped files or an example, and shows the answer.

import { showDart } from "./dart.js";
import { showWaveform } from "./waveform.js";

const byId = (id) => document.getElementById(id);
const LARGEST_BYTES = 20e6;
let models = [];
let shown = null;
let asked = 0;

function say(text, bad = false) {
  byId("status").textContent = text;
  byId("status").classList.toggle("bad", bad);
}

async function fetchJson(path, options) {
  const answer = await fetch(path, options);
  const content = await answer.json();
  if (!answer.ok) throw new Error(content.error ?? answer.statusText);
  return content;
}

function chosen() {
  return models.find((model) => model.name === byId("model").value);
}

function describe() {
  const model = chosen();
  const labels = Object.entries(model.labels).filter(([, version]) => version === model.version).map(([name]) => name);
  const which = `Version ${model.version}${labels.length ? ` (${labels.join(", ")})` : ""}.`;
  byId("about").textContent = `${which} ${model.about ?? "This model takes no records; ask it over /v1."}`;
  byId("drop").hidden = !model.task;
  byId("origin-field").hidden = model.task !== "dart";
  byId("resample-field").hidden = model.task !== "waveforms";
  const examples = model.examples ?? [];
  byId("examples-field").hidden = examples.length === 0;
  byId("examples").replaceChildren(...examples.map((title, number) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = title;
    button.setAttribute("aria-pressed", "false");
    button.addEventListener("click", () => ask({ example: number }, title, button));
    return button;
  }));
}

async function ask(question, title, button = null) {
  const number = asked += 1;
  for (const other of byId("examples").children) other.setAttribute("aria-pressed", String(other === button));
  say(`Asking about ${title} ...`);
  try {
    const body = { model: byId("model").value, ...question };
    const headers = { "content-type": "application/json", "x-requested-with": "seis_tf" };
    const options = { method: "POST", headers, body: JSON.stringify(body) };
    const answer = await fetchJson("/page/answer", options);
    if (number !== asked) return; // another question came in between
    shown = { answer, title };
    draw();
    say(`Answer of ${answer.model}, version ${answer.version}, about ${title}.`);
    byId("answer").focus({ preventScroll: true });
    byId("answer").scrollIntoView({ block: "start", behavior: "auto" });
  } catch (error) {
    if (number !== asked) return;
    shown = null;
    byId("answer").hidden = true;
    say(error.message, true);
  }
}

function draw() {
  if (shown === null) return;
  const section = byId("answer");
  section.hidden = false;
  const open = [...section.querySelectorAll("details")].map((details) => details.open);
  section.replaceChildren();
  (shown.answer.task === "dart" ? showDart : showWaveform)(section, shown.answer, shown.title);
  [...section.querySelectorAll("details")].forEach((details, k) => { details.open = open[k] ?? false; });
}

async function askAboutFiles(files) {
  const list = [...files];
  if (list.length === 0) return;
  if (list.reduce((sum, file) => sum + file.size, 0) > LARGEST_BYTES) {
    say(`files: expected at most ${LARGEST_BYTES / 1e6} MB together`, true);
    return;
  }
  const named = await Promise.all(list.map(async (file) => ({ name: file.name, b64: await base64(file) })));
  const question = { files: named, resample: byId("resample").checked };
  const origin = byId("origin").value.trim();
  if (chosen().task === "dart" && origin) question.origin_time = origin;
  await ask(question, list.map((file) => file.name).join(", "));
}

function base64(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
}

async function start() {
  try {
    models = await fetchJson("/page/models");
  } catch (error) {
    say(error.message, true);
    return;
  }
  if (models.length === 0) {
    say("This server has no model yet.", true);
    return;
  }
  byId("model").replaceChildren(...models.map((model) => new Option(model.name)));
  byId("model").addEventListener("change", () => { describe(); say(""); });
  byId("files").addEventListener("change", (event) => askAboutFiles(event.target.files));
  byId("ask").addEventListener("submit", (event) => event.preventDefault());
  const drop = byId("drop");
  for (const kind of ["dragenter", "dragover"]) {
    drop.addEventListener(kind, (event) => { event.preventDefault(); drop.classList.add("over"); });
  }
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    askAboutFiles(event.dataTransfer.files);
  });
  window.addEventListener("resize", draw);
  describe();
  document.body.dataset.ready = "yes";
}

start();
