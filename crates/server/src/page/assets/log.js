// The log of one run: what is stored, then what comes, each event a line; filters hide lines.

const section = document.querySelector(".log[data-run]");
const run = section.dataset.run;
const list = document.getElementById("log");
const count = document.getElementById("log-count");
const form = document.getElementById("filter");
const text = document.getElementById("filter-text");
// More would make phones slow; the whole log is a command away.
const LINES = 20000;
let attempt = 0;
let total = 0;

const size = (bytes) =>
  bytes < 1024 * 1024 ? `${Math.round(bytes / 1024)} KiB` : `${(bytes / 1048576).toFixed(1)} MiB`;

/** What an event is for people: its group for the filter, its class, its mark and its text. */
function words(event) {
  switch (event.event) {
    case "agent-started":
      return ["steps", "phase", "▶", `agent is up, ${(event.uptime_ms / 1000).toFixed(1)} s after the kernel`];
    case "fetch":
      return ["progress", "plain", "↓", `${event.what}: ${size(event.done_bytes)} of ${size(event.total_bytes)}`];
    case "planned":
      return ["steps", "plain", "≡", `plan: ${event.steps} steps, ${event.finished} done`];
    case "phase-started":
      return ["steps", "phase", "▶", event.phase];
    case "phase-finished":
      return ["steps", "good", "✓", event.phase];
    case "step-started":
      return ["steps", "", "›", `${event.title}  [${event.step}]`];
    case "step-progress":
      return ["progress", "plain", "…", `${event.step}: ${event.done} of ${event.total} ${event.unit}`];
    case "step-finished": {
      const status = event.outcome?.exited;
      if (status) return ["steps", "note", "!", `${event.step} ended with status ${status}`];
      const same = event.outcome === "already-true" ? ", was already so" : "";
      return ["steps", "good", "✓", `${event.step}${same}`];
    }
    case "step-failed":
      return ["problem", "bad", "✗", `${event.step}: ${fault(event.fault)}`];
    case "output":
      return ["output", event.stream === "err" ? "stderr" : "plain", "", event.line];
    case "run-finished":
      if (event.ok) return ["steps", "good phase", "✓", "installed"];
      return ["problem", "bad phase", "✗", event.fault ? fault(event.fault) : "the run failed"];
    case "rebooting":
      return ["steps", "phase", "↻", "restarts into what was installed"];
    default:
      return ["steps", "plain", "?", event.event];
  }
}

function fault({ message, cure, command, output }) {
  const more = [command && `$ ${command}`, ...(output ?? []), `What to do: ${cure}`];
  return [message, ...more.filter(Boolean)].join("\n");
}

function line(stored) {
  const [group, look, mark, words_] = words(stored);
  const item = document.createElement("li");
  item.className = look;
  item.dataset.group = group;
  if (stored.attempt !== attempt) {
    if (attempt > 0) item.classList.add("attempt");
    attempt = stored.attempt;
  }
  const at = new Date(stored.at_ms);
  const time = document.createElement("time");
  time.dateTime = at.toISOString();
  time.textContent = at.toLocaleTimeString([], { hour12: false });
  const sign = document.createElement("span");
  sign.className = "mark";
  sign.textContent = mark;
  const body = document.createElement("span");
  body.className = "text";
  body.textContent = words_;
  item.append(time, sign, body);
  return item;
}

function shown(item) {
  const { group } = item.dataset;
  const wanted = group === "problem" || form.elements[group].checked;
  const needle = text.value.trim().toLowerCase();
  return wanted && (!needle || item.textContent.toLowerCase().includes(needle));
}

function add(events) {
  const fragment = document.createDocumentFragment();
  for (const stored of events) {
    const item = line(stored);
    item.hidden = !shown(item);
    item.style.display = item.hidden ? "none" : "";
    fragment.append(item);
  }
  list.append(fragment);
  total += events.length;
  while (list.childElementCount > LINES) list.firstElementChild.remove();
  const older = total > LINES ? `, the last ${LINES} shown` : "";
  count.textContent = `${total} event${total === 1 ? "" : "s"}${older}`;
  if (form.elements.follow.checked) list.scrollTop = list.scrollHeight;
}

// Who scrolls up wants to read; at the end it follows again.
list.addEventListener("scroll", () => {
  form.elements.follow.checked = list.scrollTop + list.clientHeight >= list.scrollHeight - 40;
});

form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("input", () => {
  for (const item of list.children) {
    item.hidden = !shown(item);
    item.style.display = item.hidden ? "none" : "";
  }
});

let since = 0;
for (;;) {
  const answer = await fetch(`/api/v1/runs/${run}/events?since=${since}`);
  if (!answer.ok) break;
  const page = await answer.json();
  if (page.length === 0) break;
  since = page.at(-1).id;
  add(page);
}

// Events come one by one; drawing them together keeps a busy log smooth.
let waiting = [];
const source = new EventSource(`/api/v1/events?run=${run}&since=${since}`);
source.onmessage = (message) => {
  if (waiting.length === 0) requestAnimationFrame(() => add(waiting.splice(0)));
  waiting.push(JSON.parse(message.data));
};
