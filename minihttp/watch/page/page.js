// The page: the feed comes in, the controls choose what is seen, the picture is drawn.
//
// Owns: the feed, the controls, the notice that the loop is silent, tiles and cards.
// Must not know: how the picture is drawn. Invariant: text of the server is only ever shown as text.

import { legend } from "./look.js";
import { draw, LEFT, Scale } from "./picture.js";
import { duration, Store } from "./store.js";

const SILENT = 1300; // ms without a word: the feed speaks twice a second
const BEHIND = 600; // ms that the picture is behind the clock, so that it is known up to its edge
const $ = (id) => document.getElementById(id);
const svgs = { thread: $("thread"), lanes: $("lanes"), gauges: $("gauges") };
const store = new Store();
const view = { window: 2000, rows: "latest", filter: "", silence: [], frozen: null };
let scale = new Scale(0, 1, 1000);

// -- the feed --------------------------------------------------------------------------------------------------------

function listen() {
  const feed = new EventSource("/_loop/feed");
  feed.onmessage = (event) => {
    const snapshot = JSON.parse(event.data);
    const silent = store.snapshot ? snapshot.now - store.snapshot.now : 0; // the server's clock: a browser can be late too
    store.take(snapshot, performance.now());
    if (silent > SILENT) notify(`The loop answers again, after ${duration(silent)} of silence. The card says who kept it, and Show where in time.`, true);
    else if (!$("notice").classList.contains("calm")) $("notice").hidden = true;
    view.silence = [];
    if (view.frozen === null) render();
    renderAround();
  };
}

// The page cannot ask a loop that is blocked, so it notices by itself that nothing comes.
function watchSilence() {
  const clock = performance.now();
  if (!store.snapshot) return;
  const silent = clock - store.heard;
  if (silent > SILENT) {
    const words = `No word from the loop for ${duration(silent)}`;
    notify(`${words}: somebody keeps its thread, or the server is gone. In a terminal, python -m minihttp top shows who.`, false);
    view.silence = [{ start: store.snapshot.now, end: store.now(clock), label: words, lane: null }];
  }
  if (view.frozen === null) render();
}

function notify(words, calm) {
  const notice = $("notice");
  notice.textContent = words;
  notice.className = calm ? "calm" : "";
  notice.hidden = false;
  clearTimeout(notify.timer);
  if (calm) notify.timer = setTimeout(() => { notice.hidden = true; notice.className = ""; }, 8000);
}

// -- drawing ---------------------------------------------------------------------------------------------------------

function render() {
  if (!store.snapshot) return;
  const edge = store.now(performance.now()) - BEHIND;
  const { from, to } = view.frozen ?? { from: edge - view.window, to: edge };
  scale = new Scale(from, to, svgs.lanes.clientWidth);
  const kinds = draw(svgs, store, view, scale, store.snapshot.now);
  $("legend").replaceChildren(...legend(kinds));
}

function renderAround() {
  const { process, loop, requests, gauges, cards } = store.snapshot;
  $("process").textContent = `${process.name} · pid ${process.pid} · Python ${process.python} · ${process.loop}`;
  document.title = `/_loop · ${process.name}`;
  const tiles = [
    ["requests handled", requests.handled.toLocaleString("en")],
    ["in flight (most)", `${requests.running} (${requests.running_max})`],
    ["handlers have the thread", percent(loop.handlers)],
    ...(loop.busy === null ? [] : [["the loop is busy", percent(loop.busy), loop.busy > 0.9 && "warn"]]),
    ["worst lag", duration(loop.lag_max), loop.lag_max > process.limit && "bad"],
    ...gauges.map((each) => [each.kind === "pool" ? "connections used" : each.kind, `${each.used} of ${each.limit}`, each.used >= each.limit && "warn"]),
    ...gauges.filter((each) => each.waiters).map((each) => ["wait for a connection", String(each.waiters), "bad"]),
    ...(requests.skipped ? [["not recorded (busy)", requests.skipped.toLocaleString("en")]] : []),
  ];
  $("tiles").replaceChildren(...tiles.map(([name, value, state]) => {
    const tile = html("div", "", html("dt", name), html("dd", value));
    if (state) tile.className = state;
    return tile;
  }));
  renderCards(cards);
}

function percent(share) {
  return `${Math.round(share * 100)} %`;
}

// Only what changed is made anew, so that a text can be selected and a button pressed.
function renderCards(cards) {
  const said = JSON.stringify(cards);
  if (renderCards.said === said) return;
  renderCards.said = said;
  const rank = { error: 0, warning: 1, hint: 2 };
  const sorted = [...cards].sort((a, b) => rank[a.level] - rank[b.level] || b.last - a.last);
  $("cards").replaceChildren(...sorted.map(card));
}

function card(each) {
  const show = html("button", "Show");
  show.type = "button";
  show.onclick = () => zoomTo(each);
  const title = html("h2", each.count > 1 ? `${each.title} (${each.count} times)` : each.title);
  const made = html("article", "", show, title, html("p", [each.at, each.text].filter(Boolean).join(" · ")));
  made.className = each.level;
  if (each.source.length) {
    const width = String(each.source[each.source.length - 1][0]).length;
    made.append(html("pre", "", ...each.source.flatMap(([number, line]) => {
      const guilty = number === each.line;
      const row = html("span", `${guilty ? "▶" : " "} ${String(number).padStart(width)}  ${line}`);
      if (guilty) row.className = "guilty";
      return [row, "\n"];
    })));
  }
  const fix = html("p", `Fix: ${each.fix}`);
  fix.className = "fix";
  if (each.fix) made.append(fix);
  return made;
}

function html(name, words, ...children) {
  const made = document.createElement(name);
  if (words) made.textContent = words;
  made.append(...children);
  return made;
}

// -- choosing what is seen -------------------------------------------------------------------------------------------

function freeze(range) {
  view.frozen = range;
  $("freeze").setAttribute("aria-pressed", String(range !== null));
  $("freeze").textContent = range === null ? "Freeze" : "Go on";
  render();
}

function zoomTo(each) {
  const block = store.snapshot.blocks.find((found) => found.id === each.block);
  const lanes = each.lanes.map((id) => store.lanes.get(id)).filter(Boolean);
  const from = block ? block.start : Math.min(each.last, ...lanes.map((lane) => lane.start));
  const to = block ? (block.end ?? store.snapshot.now) : Math.max(each.last, ...lanes.map((lane) => lane.end ?? store.snapshot.now));
  const margin = Math.max((to - from) * 0.3, 5);
  freeze({ from: from - margin, to: to + margin });
}

function toggle() {
  freeze(view.frozen === null ? { from: scale.from, to: scale.to } : null);
}

$("freeze").onclick = toggle;
$("controls").onsubmit = (event) => event.preventDefault();
$("window").onchange = (event) => { view.window = Number(event.target.value); freeze(null); };
$("rows").onchange = (event) => { view.rows = event.target.value; render(); };
$("filter").oninput = (event) => { view.filter = event.target.value; render(); };
addEventListener("keydown", (event) => {
  if (event.key !== " " || event.target.closest("input, select, button, a")) return;
  event.preventDefault();
  toggle();
});
addEventListener("resize", render);

for (const svg of Object.values(svgs)) {
  svg.ondblclick = () => freeze(null);
  svg.onpointerdown = (event) => startZoom(svg, event);
}

function startZoom(svg, down) {
  const box = svg.getBoundingClientRect();
  const first = down.clientX - box.left;
  if (first < LEFT || down.button !== 0) return;
  const was = { from: scale.from, to: scale.to };
  const move = (event) => {
    if (Math.abs(event.clientX - down.clientX) < 4) return;
    if (view.frozen === null) freeze(was); // what lies under the pointer must not walk away
    svg.querySelector(".selection")?.remove();
    const [a, b] = [first, event.clientX - box.left].sort((x, y) => x - y);
    const shape = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    for (const [key, value] of Object.entries({ x: a, y: 0, width: b - a, height: box.height, class: "selection" })) shape.setAttribute(key, value);
    svg.append(shape);
  };
  const up = (event) => {
    removeEventListener("pointermove", move);
    removeEventListener("pointerup", up);
    if (Math.abs(event.clientX - down.clientX) < 4) return;
    const [a, b] = [first, event.clientX - box.left].map((x) => scale.time(x)).sort((x, y) => x - y);
    freeze({ from: Math.max(a, was.from), to: Math.min(b, was.to) });
  };
  addEventListener("pointermove", move);
  addEventListener("pointerup", up);
}

addEventListener("pointermove", (event) => {
  const words = event.target.closest?.("[data-tip]")?.getAttribute("data-tip");
  const tip = $("tip");
  tip.hidden = !words;
  if (!words) return;
  tip.textContent = words;
  const { width, height } = tip.getBoundingClientRect();
  tip.style.left = `${Math.min(event.clientX + 14, innerWidth - width - 8)}px`;
  tip.style.top = `${event.clientY + height + 24 > innerHeight ? event.clientY - height - 10 : event.clientY + 16}px`;
});

if (new URLSearchParams(location.search).has("tour")) import("./tour.js").then((tour) => tour.start($("tour"), freeze));
listen();
setInterval(watchSilence, 250);
