// How things look: the color of a route, the hatching of a wait, the words of a legend.
//
// Owns: each kind's look, once. Must not know: where anything is drawn.
// Invariant: red is for what blocks and for nothing else.

const SVG = "http://www.w3.org/2000/svg";

// What is drawn over the tint of a wait, again and again: the width of the pattern, and the path within it.
const TEXTURES = {
  line: [6, "M0 0h2.2v6h-2.2z"],
  double: [9, "M0 0h1.6v9h-1.6zM3.4 0h1.6v9h-1.6z"],
  wide: [12, "M0 0h6.5v12h-6.5z"],
  dots: [5, "M0.9 2.5a1.6 1.6 0 1 0 3.2 0a1.6 1.6 0 1 0-3.2 0z"],
  cross: [6, "M0 0h6v1.4h-4.6v4.6h-1.4z"],
};
// What a request can wait for: color, angle and texture of the hatching, words. Some eyes see no difference between some
// of the colors, so that no two kinds are hatched alike. Dots and crosses are the same after a quarter of a turn, and lines
// along the bar would look like the frame of who could go on.
export const KINDS = {
  query: ["#009e73", 45, "line", "a database query"],
  connection: ["#e69f00", 135, "wide", "a free database connection"],
  client: ["#0099b8", 0, "line", "a slow client taking its answer"],
  body: ["#0099b8", 0, "wide", "a client sending its body"],
  sleep: ["#8f98a5", 135, "line", "a sleep"],
  lock: ["#a05bd0", 45, "cross", "a lock"],
  event: ["#a05bd0", 0, "cross", "an event"],
  queue: ["#a05bd0", 45, "dots", "a queue"],
  tasks: ["#5b7bd0", 45, "double", "its own tasks"],
  thread: ["#cc79a7", 135, "double", "a thread"],
  process: ["#cc79a7", 45, "wide", "a process"],
  socket: ["#cc79a7", 0, "double", "another socket"],
  other: ["#8f98a5", 0, "dots", "something else"],
};
const ROUTES = ["#2f7fe0", "#a05bd0", "#009e73", "#d79a00", "#00a0b0", "#cc79a7", "#5f6fd0"];
export const NARROW = 5; // pixels: below this, hatching would be noise
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

// A narrow wait is tinted; whoever draws it makes it lower than a run, which can have the same color.
export function fillOf(kind, width) {
  const known = kind in KINDS ? kind : "other";
  return width < NARROW ? `${KINDS[known][0]}88` : `url(#wait-${known})`;
}

export function patterns() {
  return element("defs", {}, ...Object.entries(KINDS).map(([kind, [color, angle, texture]]) => {
    const [size, path] = TEXTURES[texture];
    return element("pattern", { id: `wait-${kind}`, width: size, height: size, patternUnits: "userSpaceOnUse", patternTransform: `rotate(${angle})` },
      element("rect", { width: size, height: size, fill: color, opacity: 0.22 }),
      element("path", { d: path, fill: color }));
  }));
}

// The legend, of the kinds that are to be seen and no others.
export function legend(kinds) {
  const entries = [
    [element("rect", { width: 22, height: 11, rx: 1, fill: ROUTES[0] }), "has the thread (color: its route)"],
    [element("rect", { x: 1, y: 1, width: 20, height: 9, class: "woken" }), "could go on, waits its turn"],
    ...[...kinds].sort().map((kind) => [element("rect", { width: 22, height: 11, fill: fillOf(kind, 22) }), `waits for ${KINDS[kind]?.[3] ?? kind}`]),
    [element("line", { x1: 0, x2: 22, y1: 6, y2: 6, class: "arrived" }), "has arrived, nobody has read it"],
    [element("rect", { x: 0.5, y: 0.5, width: 21, height: 10, class: "blocked" }), "keeps the thread: nobody else can run"],
  ];
  return entries.map(([shape, words]) => {
    const item = document.createElement("li");
    item.append(element("svg", { width: 22, height: 11 }, shape), words);
    return item;
  });
}
