// The playground's page: what the reader does, and what is shown for it.
//
// All that is chosen stands in `state`, and in the address behind the #, so that a link
// leads to it. Every change goes through `refresh`, which reads the tokens and shows
// what the model made of them; a change that comes meanwhile wins.

import { Model, Reading, Tokenizer, draw, nextProbs, softmax, uniform } from "./model.mjs";

const COUNTS = [1, 2, 3, 5, 8, 12, 20, 50, Infinity]; // the places of the knob top-k
const MASKS = { on: "on", off: "off", peek: "off, and trained on so" };
const BEGINNING = "Hobbo loved his anchor and took it everywhere, except to school. " +
  'He took it to the magpie. "I will keep it safe," said the';
const SHOWN = 12; // tokens in the list of the likeliest
const NAT = 11; // pixels of a bar

const root = document.getElementById("pg-root");
const $ = (name) => document.getElementById(`pg-${name}`);
const folder = new URL(root.dataset.folder, document.baseURI);

const state = { ids: [], at: -1, to: -1, layer: 1, head: 1, mask: "on", seed: 0 };
const knobs = { temperature: 1, topK: Infinity, topP: 1 };
let tokenizer, stories, reading, running = false;
const models = {}, readings = {};

// ---- Small things -------------------------------------------------------------------

const element = (name, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
};
const percent = (x) => x < 0.0005 ? "< 0.1 %" : `${(100 * x).toFixed(x < 0.1 ? 1 : 0)} %`;
const say = (text) => ($("status").textContent = text);
const sum = (numbers) => numbers.reduce((a, b) => a + b, 0);

/** A token as a reader sees it: spaces as dots, the end as a word. */
function label(id) {
  if (id === tokenizer.end) return "‹end›";
  return tokenizer.decode([id]).replaceAll(" ", "·").replaceAll("\n", "↵");
}
const name = (at) => (at === 0 ? "‹start›" : label(reading.ids[at]));

/** The ids of the best scores or chances, likeliest first. */
const best = (numbers, n) =>
  Array.from(numbers.keys()).sort((a, b) => numbers[b] - numbers[a] || a - b).slice(0, n);

/** A colour of the style sheet as three numbers. */
function colour(variable) {
  const hex = getComputedStyle(root).getPropertyValue(variable).trim();
  return [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
}

/** Tint a node: the share decides how much. */
const tint = (node, variable, share) =>
  (node.style.background = `rgb(${colour(variable).join(" ")} / ${0.36 * Math.sqrt(share)})`);

// ---- The model ----------------------------------------------------------------------

const fetchJson = async (file) => (await fetch(new URL(file, folder))).json();

/** The model of a mask; the one that peeks is fetched when it is first asked for. */
function modelOf(mask) {
  const file = mask === "peek" ? "peeker" : "storyteller";
  return (models[file] ??= Model.load(new URL(`${file}.safetensors`, folder)));
}

let turn = 0, work = Promise.resolve();

/** Read the tokens and show everything, unless a later change has overtaken this one. */
function refresh() {
  const mine = ++turn;
  work = work.then(async () => {
    if (mine !== turn) return;
    const model = await modelOf(state.mask);
    const mask = state.mask;
    readings[mask] ??= new Reading(model, mask === "on");
    const read = await readings[mask].read([tokenizer.end, ...state.ids]);
    if (mine !== turn) return;
    reading = read;
    if (state.to >= 0) findHead();
    show();
  });
  return work;
}

/** The token that the views look from, by its place in the reading. */
function chosen() {
  const last = reading.ids.length - 1;
  return state.at < 0 ? last : Math.min(state.at, last);
}

/** Choose the head that looks most from the chosen token to another, as a link asks. */
function findHead() {
  const { n_layer, n_head } = stories.config;
  let most = -1;
  for (let layer = 0; layer < n_layer; layer++) {
    for (let head = 0; head < n_head; head++) {
      const share = reading.attention(layer, head, chosen())[state.to];
      if (share > most) [most, state.layer, state.head] = [share, layer + 1, head + 1];
    }
  }
  state.to = -1;
}

// ---- What is shown ------------------------------------------------------------------

function show() {
  showTokens();
  showNext();
  showLens();
  showHeads();
  showWords();
  writeAddress();
  $("back").disabled = !state.ids.length;
}

let drawnTokens = "";

/** The tokens as a row of choices, tinted by where the chosen head looks. */
function showTokens() {
  const ids = reading.ids.join();
  if (ids !== drawnTokens) {
    drawnTokens = ids;
    $("tokens").replaceChildren(...reading.ids.map((_, at) => {
      const input = element("input", { type: "radio", name: "pg-at", value: at });
      return element("label", {}, input, element("span", { textContent: name(at) }));
    }));
  }
  const shares = reading.attention(state.layer - 1, state.head - 1, chosen());
  [...$("tokens").children].forEach((token, at) => {
    token.firstChild.checked = at === chosen();
    tint(token.lastChild, "--axis-h", shares[at]);
  });
}

/** The likeliest next tokens: as believed, and as the knobs leave them. */
function showNext() {
  const logits = reading.logits(chosen());
  const believed = softmax(Float64Array.from(logits)), left = nextProbs(logits, knobs);
  const stands = reading.ids[chosen() + 1];
  const focused = [...$("next").querySelectorAll("button")].indexOf(document.activeElement);
  $("next").replaceChildren(...best(logits, SHOWN).map((id) => {
    const write = element("button", { type: "button", textContent: label(id), value: id });
    write.title = "write this token here";
    if (id === stands) write.append(element("small", { textContent: " stands here" }));
    const bar = element("span", { className: "pg-bar" }, element("i"), element("b"));
    [believed, left].forEach((chances, i) => {
      bar.children[i].style.width = `${100 * chances[id]}%`;
      bar.children[i].hidden = chances[id] < 0.0005;
    });
    const chance = element("span", { textContent: left[id] ? percent(left[id]) : "–" });
    return element("li", {}, write, bar, chance);
  }));
  $("next").querySelectorAll("button")[focused]?.focus();
  const kept = left.filter((p) => p > 0), nats = -sum([...kept].map((p) => p * Math.log(p)));
  $("kept").textContent = `${kept.length} of ${left.length} tokens can be drawn, ` +
    `${nats.toFixed(2)} nats of choice. A token that you press is written.`;
}

/** What the last layer would say of the stream after fewer blocks. */
function showLens() {
  const rows = reading.stream.map((_, depth) => {
    const probs = softmax(Float64Array.from(reading.logits(chosen(), depth)));
    const cells = best(probs, 3).map((id) => {
      const cell = element("td", {}, label(id), element("small", { textContent: percent(probs[id]) }));
      tint(cell, "--axis-c", probs[id]);
      return cell;
    });
    const title = depth ? `layer ${depth}` : "embedding";
    return element("tr", {}, element("th", { scope: "row", textContent: title }), ...cells);
  });
  $("lens").replaceChildren(element("tbody", {}, ...rows));
}

/** Draw what a head looks at: rows look, columns are looked at. */
function drawMap(canvas, layer, head) {
  const n = reading.ids.length, [r, g, b] = colour("--axis-h");
  canvas.width = canvas.height = n;
  const image = new ImageData(n, n);
  for (let t = 0; t < n; t++) {
    const shares = reading.attention(layer, head, t);
    for (let s = 0; s < n; s++) {
      image.data.set([r, g, b, 255 * Math.sqrt(shares[s])], 4 * (t * n + s));
    }
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}

function showHeads() {
  $("heads").querySelectorAll("input").forEach((input) => {
    const [layer, head] = input.value.split(",").map(Number);
    input.checked = layer === state.layer && head === state.head;
    drawMap(input.nextElementSibling, layer - 1, head - 1);
  });
  drawMap($("map"), state.layer - 1, state.head - 1);
  const n = reading.ids.length, at = chosen();
  $("line").style.cssText = `top: ${(100 * at) / n}%; height: ${100 / n}%`;
  const shares = reading.attention(state.layer - 1, state.head - 1, at);
  const most = best(shares, 4).filter((s) => shares[s] > 0.01);
  const where = `layer ${state.layer}, head ${state.head}`;
  $("map").setAttribute("aria-label", `The looks of ${where}: a square of ${n} rows that ` +
    "look and as many columns that are looked at; its frame marks the chosen token's row");
  const list = most.map((s) => `${name(s)} (token ${s}) ${percent(shares[s])}`).join(", ");
  $("look").textContent = `In ${where}, ${name(at)} (token ${at}) looks at ${list}.`;
}

/** Which of the stories the text is, or undefined. */
const story = () => stories.find((each) => each.ids.join() === state.ids.join());

/** What each word of a story cost, from what its tokens cost. */
function wordLosses(read, words) {
  let at = 1;
  return words.map(([, n]) => sum(Array.from({ length: n }, () => read.loss(at++, tokenizer.end))));
}

function showWords() {
  const known = story();
  for (const part of ["key", "words", "numbers"]) $(part).hidden = !known;
  $("story").value = known ? stories.indexOf(known) + 1 : "";
  if (!known) {
    $("sum").textContent = "Only the world's own stories have a known floor: take one above.";
    return;
  }
  const losses = wordLosses(reading, known.words);
  const floor = sum(known.words.map(([, , nats]) => nats)), loss = sum(losses);
  $("sum").textContent = `The world itself, which knows every chance, loses ${floor.toFixed(1)} ` +
    `nats on this story; the model (mask ${MASKS[state.mask]}) loses ${loss.toFixed(1)}. ` +
    (loss >= floor ? "" : state.mask === "on" ? "Below the floor: on one story that is luck." :
      "That is below the floor: nobody who reads from the left can do it.");
  const bar = (kind, nats) => {
    const made = element("i", { className: kind });
    made.style.height = `${Math.min(nats, 6) * NAT}px`;
    if (nats > 6) made.classList.add("pg-cut");
    return made;
  };
  const shown = known.words.map(([word]) => word.trim() || "‹end›");
  $("words").replaceChildren(...known.words.map(([, , nats], i) => {
    const bars = element("span", { ariaHidden: true }, bar("pg-floor", nats), bar("pg-model", losses[i]));
    return element("span", { title: `${nats.toFixed(2)} and ${losses[i].toFixed(2)} nats` }, bars, shown[i]);
  }));
  const head = ["word", "floor", "model"].map((text) => element("th", { scope: "col", textContent: text }));
  const rows = known.words.map(([, , nats], i) => element("tr", {},
    ...[shown[i], nats.toFixed(2), losses[i].toFixed(2)].map((text) => element("td", { textContent: text }))));
  $("word-table").replaceChildren(element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...rows));
}

// ---- All stories, with each mask ----------------------------------------------------

async function readAll() {
  const n = sum(stories.map((each) => each.ids.length + 1));
  const floor = sum(stories.flatMap((each) => each.words.map(([, , nats]) => nats))) / n;
  const row = (title, nats) => element("tr", {}, ...[title, nats.toFixed(3), (nats / floor).toFixed(2)]
    .map((textContent) => element("td", { textContent })));
  const table = $("means").tBodies[0];
  $("means").hidden = false;
  table.replaceChildren(row("(the floor)", floor));
  for (const mask of Object.keys(MASKS)) {
    const read = new Reading(await modelOf(mask), mask === "on");
    let loss = 0;
    for (const [i, each] of stories.entries()) {
      say(`Mask ${MASKS[mask]}: reading story ${i + 1} of ${stories.length}.`);
      await read.read([tokenizer.end, ...each.ids]);
      loss += sum(wordLosses(read, each.words));
      await new Promise((resolve) => setTimeout(resolve)); // let the page answer
    }
    table.append(row(MASKS[mask], loss / n));
  }
  say(`All ${stories.length} stories are read.`);
}

// ---- What the reader does -----------------------------------------------------------

/** Let the text be these tokens. */
function setIds(ids) {
  const most = stories.context - 1;
  if (ids.length > most) say(`It looks at ${most} tokens at most; the rest is left out.`);
  state.ids = ids.slice(0, most);
  state.at = -1;
}

/** Let the field show the tokens that were set without it. */
const showText = () => ($("text").value = tokenizer.decode(state.ids));

/** Let the tokens be those of the field, if something was typed since. */
function takeText() {
  const text = $("text").value;
  if (text !== tokenizer.decode(state.ids)) setIds(tokenizer.encode(text));
}

/** Draw the next token and write it; false where there is no going on. */
async function step() {
  takeText();
  state.at = -1;
  await refresh();
  if (state.ids.length >= stories.context - 1) {
    say("Its context is full.");
    return false;
  }
  const probs = nextProbs(reading.logits(reading.ids.length - 1), knobs);
  const id = draw(probs, uniform(state.seed, state.ids.length));
  if (id === tokenizer.end) {
    say(`It drew the end (${percent(probs[id])}): the story is over.`);
    return false;
  }
  setIds([...state.ids, id]);
  showText();
  await refresh();
  say(`It drew ${label(id)} (${percent(probs[id])}).`);
  return true;
}

async function run() {
  running = !running;
  $("run").textContent = running ? "Stop" : "Write on";
  while (running && (await step())) await new Promise((resolve) => setTimeout(resolve, 80));
  if (running) {
    running = false;
    $("run").textContent = "Write on";
  }
}

/** Another draw of the same text: the last token anew. */
function again() {
  state.seed++;
  setIds(state.ids.slice(0, -1));
  return step();
}

function turnKnobs() {
  knobs.temperature = +$("temperature").value;
  knobs.topK = COUNTS[$("top_k").value];
  knobs.topP = +$("top_p").value;
  showKnobs();
  showNext();
  writeAddress();
}

function showKnobs() {
  $("temperature").value = knobs.temperature;
  $("top_k").value = COUNTS.findIndex((n) => n >= knobs.topK);
  $("top_p").value = knobs.topP;
  const texts = {
    temperature: knobs.temperature.toFixed(2),
    top_k: knobs.topK === Infinity ? "all" : `${knobs.topK}`,
    top_p: knobs.topP.toFixed(2),
  };
  for (const [knob, text] of Object.entries(texts)) {
    $(knob).nextElementSibling.textContent = text;
    $(knob).setAttribute("aria-valuetext", text);
  }
}

// ---- The address --------------------------------------------------------------------

let touched = false; // an address is written once the reader has changed something

function writeAddress() {
  if (!touched) return;
  const all = new URLSearchParams();
  const known = story();
  if (known) all.set("story", stories.indexOf(known) + 1);
  else all.set("text", tokenizer.decode(state.ids));
  if (state.at >= 0) all.set("at", state.at);
  all.set("layer", state.layer);
  all.set("head", state.head);
  if (knobs.temperature !== 1) all.set("temperature", knobs.temperature);
  if (knobs.topK !== Infinity) all.set("top_k", knobs.topK);
  if (knobs.topP !== 1) all.set("top_p", knobs.topP);
  if (state.mask !== "on") all.set("mask", state.mask);
  if (state.seed) all.set("seed", state.seed);
  history.replaceState(null, "", `#${all}`);
}

/** Take over what the address says; what it leaves out, or says wrongly, is as usual. */
function readAddress() {
  const all = new URLSearchParams(location.hash.slice(1));
  const number = (key, low, high, usual) => {
    const value = Number(all.get(key) ?? NaN);
    return value >= low && value <= high ? value : usual;
  };
  const { n_layer, n_head } = stories.config;
  setIds(stories[number("story", 1, stories.length, NaN) - 1]?.ids ??
    tokenizer.encode(all.get("text") ?? BEGINNING));
  state.at = number("at", 0, state.ids.length, -1);
  state.to = number("to", 0, state.ids.length, location.hash.length > 1 ? -1 : 19);
  state.layer = number("layer", 1, n_layer, 2);
  state.head = number("head", 1, n_head, 1);
  state.seed = number("seed", 0, 1e6, 0);
  state.mask = all.get("mask") in MASKS ? all.get("mask") : "on";
  knobs.temperature = number("temperature", 0, 2, 1);
  knobs.topK = COUNTS.find((n) => n >= number("top_k", 1, 1e6, Infinity));
  knobs.topP = number("top_p", 0.05, 1, 1);
  root.querySelector(`[name=pg-mask][value=${state.mask}]`).checked = true;
  showText();
  showKnobs();
}

// ---- Start --------------------------------------------------------------------------

function makeHeads({ n_layer, n_head }) {
  $("heads").style.setProperty("--heads", n_head);
  for (let layer = 1; layer <= n_layer; layer++) {
    for (let head = 1; head <= n_head; head++) {
      const input = element("input", { type: "radio", name: "pg-head", value: `${layer},${head}` });
      input.setAttribute("aria-label", `layer ${layer}, head ${head}`);
      $("heads").append(element("label", {}, input, element("canvas")));
    }
  }
}

function listen() {
  const change = (target, event, action) => target.addEventListener(event, (which) => {
    touched = true;
    action(which);
  });
  let typing;
  change($("text"), "input", () => {
    clearTimeout(typing);
    typing = setTimeout(() => {
      takeText();
      refresh();
    }, 150);
  });
  change($("step"), "click", step);
  change($("run"), "click", run);
  change($("again"), "click", again);
  change($("back"), "click", () => {
    setIds(state.ids.slice(0, -1));
    showText();
    refresh();
  });
  change($("story"), "change", ({ target }) => {
    const known = stories[target.value - 1];
    setIds(known ? known.ids : []);
    showText();
    refresh();
  });
  change($("tokens"), "change", ({ target }) => {
    state.at = +target.value;
    show();
  });
  change($("heads"), "change", ({ target }) => {
    [state.layer, state.head] = target.value.split(",").map(Number);
    show();
  });
  change($("next"), "click", ({ target }) => {
    const button = target.closest("button");
    if (!button) return;
    if (+button.value === tokenizer.end) return say("There the story would be over.");
    setIds([...state.ids.slice(0, chosen()), +button.value]);
    showText();
    refresh();
  });
  change($("map"), "click", ({ offsetY, target }) => {
    state.at = Math.floor((offsetY / target.clientHeight) * reading.ids.length);
    show();
  });
  for (const knob of ["temperature", "top_k", "top_p"]) change($(knob), "input", turnKnobs);
  for (const input of root.querySelectorAll("[name=pg-mask]")) {
    change(input, "change", async () => {
      state.mask = input.value;
      await refresh();
      if (story()) say($("sum").textContent);
    });
  }
  $("all").addEventListener("click", readAll);
  addEventListener("hashchange", () => {
    readAddress();
    refresh();
  });
  const theme = new MutationObserver(() => reading && show());
  theme.observe(document.documentElement, { attributeFilter: ["data-theme"] });
}

async function start() {
  const [description, told, model] = await Promise.all([
    fetchJson("tokenizer.json"), fetchJson("stories.json"), modelOf("on"),
  ]);
  tokenizer = new Tokenizer(description);
  stories = told;
  stories.config = model.config;
  stories.context = model.config.context_length;
  for (const [i, each] of stories.entries()) {
    each.ids = tokenizer.encode(each.text);
    each.opening = each.text.split(" ").slice(0, 4).join(" ");
    $("story").append(element("option", { value: i + 1, textContent: `${i + 1}: ${each.opening} …` }));
  }
  makeHeads(model.config);
  readAddress();
  listen();
  root.hidden = false;
  $("wait").hidden = true;
  document.querySelector(".playground-still")?.setAttribute("hidden", "");
  await refresh();
  performance.mark("playground: first token");
  root.dataset.ready = "yes";
}

start().catch((error) => {
  const note = element("p", { role: "alert", textContent: `The playground does not start: ${error.message}` });
  root.before(note);
});
