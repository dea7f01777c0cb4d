// The picture: one time axis for the thread, the lag, the requests and the pool.
//
// Owns: where everything is drawn. Must not know: the feed, the controls.
// Invariant: a function of the store and the view. What is narrower than a pixel is joined with its neighbor, so the
// number of shapes is bounded by the width of the screen.

import { colorOf, element, fillOf, KINDS, NARROW, patterns } from "./look.js";
import { duration, lengthOf } from "./store.js";

export const LEFT = 290; // pixels for the names
const RIGHT = 14;
const MOST = 200; // rows
const THIN = 1.6; // pixels of the shortest bar

export class Scale {
  constructor(from, to, width) {
    this.from = from;
    this.to = to;
    this.width = Math.max(width - LEFT - RIGHT, 100);
  }
  x(time) {
    return LEFT + ((Math.min(Math.max(time, this.from), this.to) - this.from) / (this.to - this.from)) * this.width;
  }
  time(x) {
    return this.from + ((x - LEFT) / this.width) * (this.to - this.from);
  }
}

// Draws everything; returns the kinds of waits that can be seen.
export function draw(svgs, store, view, scale, now) {
  const { snapshot } = store;
  const lanes = store.between(scale.from, scale.to, view.filter);
  const bands = [...snapshot.blocks.map((block) => ({ ...block, end: block.end ?? now })), ...view.silence]
    .filter((block) => block.start <= scale.to && block.end >= scale.from);
  const kinds = new Set();
  for (const lane of lanes) for (const part of lane.segments) if (part.state === "wait") kinds.add(part.kind);
  const guilty = new Set(bands.map((block) => block.lane));
  fill(svgs.thread, 92, [...axis(scale), ...thread(lanes, bands, scale), ...lag(snapshot, scale)]);
  const rows = view.rows === "routes" ? byRoute(lanes) : byRequest(lanes, view.rows, now);
  const height = rows.length > 60 ? 11 : 17;
  const bottom = 20 + rows.length * height + 6;
  fill(svgs.lanes, bottom, [
    patterns(), ...heading(lanes, rows, view), ...(rows.length || view.silence.length ? [] : [text(LEFT, 12, "none in this time: ask the server for something, or take the tour", { class: "dim" })]), ...grid(scale, 18, bottom),
    ...rows.flatMap((row, at) => drawRow(row, 20 + at * height, height, scale, now, guilty)),
    ...bands.flatMap((block) => band(block, scale, bottom)),
  ]);
  const gauges = snapshot.gauges.flatMap((gauge, at) => pool(gauge, at * 62 + 8, scale, now));
  fill(svgs.gauges, snapshot.gauges.length * 62 + 8, [...gauges, ...bands.flatMap((block) => band(block, scale, snapshot.gauges.length * 62))]);
  return kinds;
}

function fill(svg, height, children) {
  svg.setAttribute("height", height);
  svg.replaceChildren(...children);
}

function text(x, y, words, attributes = {}) {
  return element("text", { x, y, ...attributes }, words);
}

function bar(scale, from, to, y, height, attributes) {
  const x = scale.x(from);
  return element("rect", { x, y, width: Math.max(scale.x(to) - x, THIN), height, ...attributes });
}

function ticks(scale) {
  const span = scale.to - scale.from;
  const rough = span / Math.max(scale.width / 130, 2);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((each) => each >= rough);
  const first = Math.max(Math.ceil(scale.from / step) * step, 0);
  const found = [];
  for (let time = first; time <= scale.to; time += step) found.push(time);
  return [found, step];
}

function axis(scale) {
  const [found, step] = ticks(scale);
  const digits = Math.max(0, Math.ceil(-Math.log10(step / 1000)));
  return found.flatMap((time) => [
    element("line", { x1: scale.x(time), x2: scale.x(time), y1: 16, y2: 92, class: "grid" }),
    text(scale.x(time), 11, `${(time / 1000).toFixed(digits)} s`, { class: "dim", "text-anchor": "middle" }),
  ]);
}

function grid(scale, top, bottom) {
  return ticks(scale)[0].map((time) => element("line", { x1: scale.x(time), x2: scale.x(time), y1: top, y2: bottom, class: "grid" }));
}

// Every solid piece of every request, in one strip: they never overlap, for there is one thread.
function thread(lanes, bands, scale) {
  const runs = lanes.flatMap((lane) => lane.segments.filter((part) => part.state === "run").map((part) => ({ ...part, name: lane.name })));
  runs.sort((a, b) => a.start - b.start);
  return [
    text(2, 32, "THE ONE THREAD", { class: "head" }), text(2, 45, "who has it", { class: "dim" }),
    element("rect", { x: LEFT, y: 20, width: scale.width, height: 28, class: "track" }),
    ...joined(runs, scale).map((run) => bar(scale, run.start, run.end, 20, 28, { fill: colorOf(run.name), "data-tip": tipOfRun(run) })),
    ...bands.flatMap((block) => {
      const width = scale.x(block.end) - scale.x(block.start);
      const words = block.label ?? `${block.name || "somebody"} keeps the thread ${duration(block.end - block.start)}`;
      const shape = bar(scale, block.start, block.end, 20, 28, { class: "blocked", "data-tip": tipOfBlock(block) });
      return width < words.length * 6.8 ? [shape] : [shape, text(scale.x(block.start) + width / 2, 38, words, { class: "on-red", "text-anchor": "middle" })];
    }),
  ];
}

// Pieces that would lie on the same pixel become one, with their number.
function joined(pieces, scale) {
  const pixel = (scale.to - scale.from) / scale.width;
  const found = [];
  for (const piece of pieces) {
    const last = found[found.length - 1];
    if (last && last.name === piece.name && last.state === piece.state && last.kind === piece.kind && piece.start - last.end < pixel && piece.end - last.start < 4 * pixel) {
      last.end = Math.max(last.end, piece.end);
      last.count += 1;
    } else if (piece.end >= scale.from && piece.start <= scale.to) {
      found.push({ ...piece, count: 1 });
    }
  }
  return found;
}

function lag(snapshot, scale) {
  const limit = snapshot.process.limit;
  const shown = snapshot.loop.lag.filter(([when]) => when >= scale.from && when <= scale.to);
  return [
    text(2, 66, "LOOP LAG", { class: "head" }), text(2, 79, "how late it turns", { class: "dim" }),
    element("line", { x1: LEFT, x2: LEFT + scale.width, y1: 86, y2: 86, class: "grid" }),
    ...shown.map(([when, late]) => {
      const height = Math.max(1, Math.min(late / limit, 1) * 28);
      return bar(scale, when - late, when, 86 - height, height, { class: late > limit ? "late" : "lag", "data-tip": `the loop was ${duration(late)} late` });
    }),
  ];
}

function heading(lanes, rows, view) {
  const many = rows.length < lanes.length ? `${rows.length} of ${lanes.length}` : String(rows.length);
  const said = view.rows === "routes" ? `${lanes.length} on ${rows.length} routes` : many;
  return [text(2, 12, "REQUESTS", { class: "head" }), text(66, 12, said, { class: "dim" }), text(LEFT - 62, 12, "took", { class: "dim", "text-anchor": "end" }), text(LEFT - 8, 12, "ran", { class: "dim", "text-anchor": "end" })];
}

function byRequest(lanes, order, now) {
  const slowest = [...lanes].sort((a, b) => lengthOf(b, now) - lengthOf(a, now)).slice(0, MOST);
  const chosen = order === "slowest" ? slowest : lanes.slice(-MOST);
  return chosen.map((lane) => ({ name: lane.name, lanes: [lane], took: lengthOf(lane, now), ran: lane.ran, child: lane.parent !== null }));
}

function byRoute(lanes) {
  const routes = new Map();
  for (const lane of lanes) routes.set(lane.name, [...(routes.get(lane.name) ?? []), lane]);
  return [...routes].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, found]) => ({
    name: `${name} ×${found.length}`, route: name, lanes: found, took: null, ran: found.reduce((sum, lane) => sum + lane.ran, 0), child: false,
  }));
}

function drawRow(row, y, height, scale, now, guilty) {
  const base = y + height - (height > 12 ? 5 : 2.5);
  const route = row.route ?? row.name;
  const small = height > 12 ? {} : { style: "font-size: 9px" };
  const most = row.child ? 21 : 24;
  const name = row.name.length > most ? `${row.name.slice(0, most - 1)}…` : row.name;
  const blames = row.lanes.some((lane) => guilty.has(lane.id)) ? { class: "bad" } : {};
  const parts = [
    element("rect", { x: 2, y: base - 7, width: 7, height: 7, fill: colorOf(route) }),
    text(row.child ? 26 : 14, base, row.child ? `└ ${name}` : name, { ...small, ...blames, "data-tip": row.name }),
    text(LEFT - 62, base, row.took === null ? "" : duration(row.took), { ...small, class: "dim", "text-anchor": "end" }),
    text(LEFT - 8, base, duration(row.ran), { ...small, class: "dim", "text-anchor": "end" }),
  ];
  for (const lane of row.lanes) {
    const last = lane.segments.length - 1;
    const grown = lane.segments.map((part, at) => ({ ...part, name: lane.name, end: at === last && lane.end === null ? now : part.end }));
    for (const piece of joined(grown, scale)) parts.push(...drawPiece(piece, lane, y + 2, height - 4, scale, guilty));
  }
  return parts;
}

function drawPiece(piece, lane, y, height, scale, guilty) {
  const tip = { "data-tip": tipOf(piece, lane) };
  const middle = y + height / 2;
  if (piece.state === "run") {
    const long = guilty.has(lane.id) && piece.end - piece.start > 20;
    if (long) return [bar(scale, piece.start, piece.end, y - 2, height + 4, { class: "blocked", ...tip })]; // higher than any other
    return [bar(scale, piece.start, piece.end, y, height, { fill: colorOf(lane.name), ...tip })];
  }
  if (piece.state === "woken") return [bar(scale, piece.start, piece.end, y + 1.5, height - 3, { class: "woken", ...tip })];
  if (piece.state === "arrived") {
    const x = scale.x(piece.start);
    return [element("line", { x1: x, x2: scale.x(piece.end), y1: middle, y2: middle, class: "arrived", ...tip }), element("circle", { cx: x, cy: middle, r: 2.6, class: "arrived-at", ...tip })];
  }
  const width = scale.x(piece.end) - scale.x(piece.start);
  const lower = width < NARROW ? height / 4 : 0;
  return [bar(scale, piece.start, piece.end, y + lower, height - 2 * lower, { fill: fillOf(piece.kind, width), ...tip })];
}

// Across all rows: nobody could run.
function band(block, scale, bottom) {
  const [left, right] = [scale.x(block.start), scale.x(block.end)];
  return [
    element("rect", { x: left, y: 0, width: Math.max(right - left, THIN), height: bottom, class: "band", "pointer-events": "none" }),
    ...[left, right].map((x) => element("line", { x1: x, x2: x, y1: 0, y2: bottom, class: "edge" })),
  ];
}

function pool(gauge, y, scale, now) {
  const most = Math.max(gauge.limit * 1.5, ...gauge.history.map(([, used, waiters]) => used + waiters));
  const unit = 40 / most;
  const steps = gauge.history.map((step, at) => [...step, gauge.history[at + 1]?.[0] ?? now]);
  const full = y + 48 - gauge.limit * unit;
  return [
    text(2, y + 22, (gauge.name.length < 20 ? gauge.name : `${gauge.kind === "pool" ? "database " : ""}${gauge.kind}`).toUpperCase(), { class: "head" }),
    text(2, y + 35, `${gauge.used} of ${gauge.limit} used, ${gauge.waiters} waiting`, { class: gauge.waiters ? "bad" : "dim", "data-tip": gauge.name }),
    text(LEFT - 8, full + 4, "full", { class: "dim", "text-anchor": "end" }),
    ...steps.filter(([from, , , to]) => to >= scale.from && from <= scale.to).flatMap(([from, used, waiters, to]) => [
      ...(used ? [bar(scale, from, to, y + 48 - used * unit, used * unit, { class: "pool", "data-tip": `${used} of ${gauge.limit} connections used, ${waiters} requests waiting` })] : []),
      ...(waiters ? [bar(scale, from, to, y + 48 - (used + waiters) * unit, waiters * unit, { class: "queue", "data-tip": `${waiters} requests wait for a connection` })] : []),
    ]),
    element("line", { x1: LEFT, x2: LEFT + scale.width, y1: full, y2: full, class: "full" }),
  ];
}

function tipOf(piece, lane) {
  const took = duration(piece.end - piece.start);
  const many = piece.count > 1 ? ` in ${piece.count} pieces` : "";
  const what = {
    run: `has the thread for ${took}${many}`,
    woken: `could go on, and waits ${took} for its turn`,
    arrived: `had arrived, and was not read for ${took}`,
    wait: `waits ${took}${many} for ${KINDS[piece.kind]?.[3] ?? piece.kind}`,
  }[piece.state];
  return [lane.name, what, piece.detail, piece.at].filter(Boolean).join("\n");
}

function tipOfRun(run) {
  return `${run.name}\nhas the thread for ${duration(run.end - run.start)}${run.count > 1 ? ` in ${run.count} pieces` : ""}`;
}

function tipOfBlock(block) {
  if (block.label) return block.label;
  const where = block.line ? `${block.file}:${block.line} in ${block.function}` : "";
  return [`${block.name || "A callback"} keeps the thread ${duration(block.end - block.start)}`, block.expression, where, block.fix && `Fix: ${block.fix}`].filter(Boolean).join("\n");
}
