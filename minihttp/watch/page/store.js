// What the page knows: the latest snapshot, and the lanes of those before it.
//
// Owns: how snapshots of the feed become one picture's worth of data. Must not know: how it is drawn.
// Invariant: bounded. At most LANES lanes are kept, the latest.

const LANES = 4000;

export class Store {
  constructor() {
    this.lanes = new Map();
    this.snapshot = null;
    this.heard = 0; // when the last word came, on the browser's clock
  }

  // A feed sends the whole snapshot, but of the lanes only those that changed.
  take(snapshot, heard) {
    if (this.snapshot && snapshot.process.started !== this.snapshot.process.started) this.lanes.clear(); // another process
    for (const lane of snapshot.lanes) {
      this.lanes.delete(lane.id); // so that the order is that of the last change
      this.lanes.set(lane.id, lane);
    }
    for (const id of this.lanes.keys()) {
      if (this.lanes.size <= LANES) break;
      this.lanes.delete(id);
    }
    this.snapshot = snapshot;
    this.heard = heard;
  }

  // Now, on the server's clock, as far as the browser can tell.
  now(clock) {
    return this.snapshot ? this.snapshot.now + (clock - this.heard) : 0;
  }

  // Lanes alive between two moments whose name has the text in it.
  between(from, to, text) {
    const now = this.snapshot.now;
    const wanted = text.trim().toLowerCase();
    return [...this.lanes.values()]
      .filter((lane) => lane.start <= to && (lane.end ?? now) >= from && lane.name.toLowerCase().includes(wanted))
      .sort((a, b) => a.start - b.start);
  }
}

export function lengthOf(lane, now) {
  return (lane.end ?? now) - lane.start;
}

// 0.4 -> "400 µs", 12.3 -> "12 ms", 1500 -> "1.50 s"
export function duration(ms) {
  if (ms < 1) return `${Math.round(ms * 1000)} µs`;
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(2)} s`;
}
