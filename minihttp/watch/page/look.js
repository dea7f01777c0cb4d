// How things look: the color of a route, the hatching of a wait, the words of a legend.
//
// Owns: each kind's look, once. Must not know: where anything is drawn.
// Invariant: red is for what blocks and for nothing else.

const SVG = "http://www.w3.org/2000/svg";

// What a request can wait for: color, angle of the hatching, words.
export const KINDS = {
  query: ["#009e73", 45, "a database query"],
  connection: ["#e69f00", 135, "a free database connection"],
  client: ["#0099b8", 0, "a slow client taking its answer"],
  body: ["#0099b8", 90, "a client sending its body"],
  sleep: ["#8f98a5", 45, "a sleep"],
  lock: ["#a05bd0", 135, "a lock"],
  event: ["#a05bd0", 0, "an event"],
  queue: ["#a05bd0", 90, "a queue"],
  tasks: ["#5b7bd0", 45, "its own tasks"],
  thread: ["#cc79a7", 135, "a thread"],
  process: ["#cc79a7", 0, "a process"],
  socket: ["#cc79a7", 90, "another socket"],
  other: ["#8f98a5", 135, "something else"],
};
const ROUTES = ["#2f7fe0", "#a05bd0", "#009e73", "#d79a00", "#00a0b0", "#cc79a7", "#5f6fd0", "#7a8a2a"];
const seen = new Map();

export function element(name, attributes = {}, ...children) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

// A route keeps its color for as long as the page is open.
export function colorOf(name) {
  const route = name.startsWith("task ") ? "task" : name;
  if (!seen.has(route)) seen.set(route, ROUTES[seen.size % ROUTES.length]);
  return seen.get(route);
}

// Narrow waits are tinted: hatching would be noise there.
export function fillOf(kind, width) {
  const known = kind in KINDS ? kind : "other";
  return width < 5 ? `${KINDS[known][0]}88` : `url(#wait-${known})`;
}

export function patterns() {
  return element("defs", {}, ...Object.entries(KINDS).map(([kind, [color, angle]]) =>
    element("pattern", { id: `wait-${kind}`, width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: `rotate(${angle})` },
      element("rect", { width: 6, height: 6, fill: color, opacity: 0.22 }),
      element("rect", { width: 2.2, height: 6, fill: color }))));
}

// The legend, of the kinds that are to be seen and no others.
export function legend(kinds) {
  const entries = [
    [element("rect", { width: 22, height: 11, rx: 1, fill: ROUTES[0] }), "has the thread (color: its route)"],
    [element("rect", { x: 1, y: 1, width: 20, height: 9, class: "woken" }), "could go on, waits its turn"],
    ...[...kinds].sort().map((kind) => [element("rect", { width: 22, height: 11, fill: fillOf(kind, 22) }), `waits for ${KINDS[kind]?.[2] ?? kind}`]),
    [element("line", { x1: 0, x2: 22, y1: 6, y2: 6, class: "arrived" }), "has arrived, nobody has read it"],
    [element("rect", { width: 22, height: 11, class: "blocked" }), "keeps the thread: nobody else can run"],
  ];
  return entries.map(([shape, words]) => {
    const item = document.createElement("li");
    item.append(element("svg", { width: 22, height: 11 }, shape), words);
    return item;
  });
}
