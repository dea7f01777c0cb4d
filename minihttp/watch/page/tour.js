// The guided tour: each step makes one pattern happen on this server, and says what to look at.
//
// Owns: the steps and their words. Must not know: how anything is drawn.
// Invariant: it asks only for /_loop/demo/..., whose handlers are made for it.

const STEPS = [
  {
    title: "Many wait, nobody is in the way",
    before: "Five requests, as many as a browser sends at once, each of which waits 150 ms for something. A server that did one after the other would need 750 ms.",
    after: "Five hatched bars lie below each other, at the same time. The solid pieces at their ends are the only moments in which they have the thread: look at THE ONE THREAD, which is nearly empty.",
    asks: [["wait", 5]],
  },
  {
    title: "Story 1: a sleep that keeps the thread",
    before: "Requests that wait 150 ms, as before, and among them one handler that calls time.sleep(0.4) where it should await asyncio.sleep(0.4).",
    after: "One solid red bar, and a red band across everybody. Who waited is hatched, then an empty frame: it could go on, and cannot, because the thread is not free. The card names the line, and what to write instead.",
    asks: [["wait", 3], ["sleep", 1], ["wait", 3]],
  },
  {
    title: "Story 2: a handler that computes",
    before: "No sleep this time: a handler that just computes for a while in Python, while others come.",
    after: "The same red band. To the loop it makes no difference what the thread is kept for, and asyncio.sleep is no cure. Do it in a process; in a thread the loop turns, but shares the GIL with it.",
    asks: [["wait", 3], ["compute", 1], ["wait", 3]],
  },
  {
    title: "The cure: a thread for what blocks",
    before: "The same time.sleep(0.4), but awaited in a thread: await in_thread(time.sleep, 0.4).",
    after: "No red. The bar is hatched: the request waits for its thread, and the loop's thread is free for others meanwhile.",
    asks: [["wait", 2], ["thread", 3]],
  },
  {
    title: "Story 3: a pool of one connection",
    before: "Five requests that each need a database connection for 150 ms, and a pool that has one.",
    after: "Stairs: each waits for a free connection (one kind of hatching) and then for its query (another). DATABASE POOL at the bottom is full, with a queue above the line.",
    asks: [["pool", 5]],
  },
  {
    title: "Story 4: a slow client",
    before: "A large answer, and a client that takes nothing for more than a second and then small sips. A browser takes whatever comes, so the server plays that client itself: demo/slow asks for demo/large over a connection to its own address.",
    after: "demo/large waits for its client, for as long as the client likes, and nobody else notices: four others come and go meanwhile. A server with a thread for each client would have one thread less. The card accuses nobody: it is not the server's fault.",
    asks: [["slow", 1], ["wait", 4]],
  },
  {
    title: "Story 5: a query for each row",
    before: "A page that asks for 20 rows, and then once more for each of them: N+1 queries, one after the other.",
    after: "One long row of small waits with the same text. The thread is free all the time, and still the request is slow: the round trips add up. The card says how many there were, and that one query with IN does the same.",
    asks: [["rows", 1]],
  },
];

export function start(place, freeze) {
  let at = 0;
  place.hidden = false;

  function show(done) {
    const step = STEPS[at];
    const go = button("Make it happen", async () => {
      freeze(null);
      go.disabled = true;
      await play(step);
      show(true);
    });
    const nav = document.createElement("nav");
    nav.append(
      go,
      ...(at ? [button("Back", () => { at -= 1; show(false); })] : []),
      ...(at + 1 < STEPS.length ? [button("Next", () => { at += 1; freeze(null); show(false); })] : []),
      `${at + 1} of ${STEPS.length}`,
    );
    place.replaceChildren(line("h2", step.title), line("p", step.before), ...(done ? [line("p", `Look: ${step.after}`)] : []), nav);
  }

  show(false);
}

async function play(step) {
  const asked = step.asks.flatMap(([name, count]) => Array.from({ length: count }, () => ask(name)));
  await Promise.allSettled(asked);
}

function ask(name) {
  return fetch(`/_loop/demo/${name}`, { method: "POST", headers: { "x-loop-tour": "1" } });
}

function button(words, pressed) {
  const made = line("button", words);
  made.type = "button";
  made.onclick = pressed;
  return made;
}

function line(name, words) {
  const made = document.createElement(name);
  made.textContent = words;
  return made;
}
