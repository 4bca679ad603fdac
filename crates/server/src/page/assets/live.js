// Keeps the page up to date: the server sends pieces of it, already rendered, and this puts them
// where they belong without disturbing what has not changed (selection, scrolling, bars in motion).

const link = document.getElementById("link");
const main = document.querySelector("main[data-live]");

function say(state, text) {
  link.dataset.state = state;
  link.textContent = text;
}

/** Makes `now` look like `next`, touching only what differs. */
function morph(now, next) {
  if (now.nodeType !== next.nodeType || now.nodeName !== next.nodeName) {
    now.replaceWith(next.cloneNode(true));
    return;
  }
  if (now.nodeType === Node.TEXT_NODE) {
    if (now.data !== next.data) now.data = next.data;
    return;
  }
  if (now.nodeType !== Node.ELEMENT_NODE) return;
  for (const { name, value } of next.attributes) {
    if (now.getAttribute(name) !== value) now.setAttribute(name, value);
  }
  for (const { name } of [...now.attributes]) {
    // What a reader has opened stays open.
    if (!next.hasAttribute(name) && name !== "open") now.removeAttribute(name);
  }
  const old = [...now.childNodes];
  const fresh = [...next.childNodes];
  fresh.forEach((node, i) => (old[i] ? morph(old[i], node) : now.append(node.cloneNode(true))));
  old.slice(fresh.length).forEach((node) => node.remove());
}

function put(id, html) {
  const place = document.getElementById(id);
  const template = document.createElement("template");
  template.innerHTML = html.trim();
  const piece = template.content;
  if (!place) return;
  if (piece.firstElementChild?.id === id) {
    morph(place, piece.firstElementChild);
  } else {
    const wanted = place.cloneNode(false);
    wanted.append(piece);
    morph(place, wanted);
  }
  tick();
}

// The server's clock counts, whatever the reader's says.
let ahead_ms = 0;

function lasted(ms) {
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < 60) return `${s} s`;
  const [h, m] = [Math.floor(s / 3600), Math.floor(s / 60) % 60];
  return h ? `${h} h ${m} min` : `${m} min ${String(s % 60).padStart(2, "0")} s`;
}

function tick() {
  const now = Date.now() + ahead_ms;
  for (const time of document.querySelectorAll("time.since")) {
    const text = lasted(now - Number(time.dataset.since));
    if (time.textContent !== text) time.textContent = text;
  }
}

if (main) {
  const source = new EventSource(main.dataset.live);
  source.addEventListener("open", () => say("live", "live"));
  source.addEventListener("error", () => say("lost", "no connection; trying again"));
  source.addEventListener("now", (event) => {
    ahead_ms = Number(event.data) - Date.now();
    tick();
  });
  source.addEventListener("put", (event) => {
    const { id, html } = JSON.parse(event.data);
    put(id, html);
  });
  setInterval(tick, 1000);
}
