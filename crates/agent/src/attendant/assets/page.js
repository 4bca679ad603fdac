// Puts what changed into the page, and keeps what was opened open and the log at its end.
"use strict";
const live = document.getElementById("live");

function follow(log) {
  const last = log && log.scrollTop + log.clientHeight >= log.scrollHeight - 8;
  return !log || last ? null : log.scrollTop;
}

function show(html) {
  const open = [...live.querySelectorAll("details")].map((it) => it.open);
  const top = follow(live.querySelector(".log"));
  live.innerHTML = html;
  live.querySelectorAll("details").forEach((it, i) => { it.open = open[i] || false; });
  const log = live.querySelector(".log");
  if (log) log.scrollTop = top === null ? log.scrollHeight : top;
}

const events = new EventSource("/events");
events.addEventListener("page", (event) => { document.body.classList.remove("lost"); show(event.data); });
events.onerror = () => document.body.classList.add("lost");
show(live.innerHTML);
