// Replaces each section of the page with what the gate sends, unless somebody is about to use it.
"use strict";
const live = document.getElementById("live"), state = document.getElementById("live-state");
const inUse = (section) => section.contains(document.activeElement) || section.querySelector("details[open], button:hover") ||
  !getSelection().isCollapsed && section.contains(getSelection().anchorNode);
const source = new EventSource("/live");
source.onopen = () => { state.hidden = false; state.textContent = "live"; state.classList.remove("gone"); };
source.onerror = () => { state.hidden = false; state.textContent = "not connected"; state.classList.add("gone"); };
source.onmessage = (event) => {
  const next = document.createElement("template");
  next.innerHTML = JSON.parse(event.data);
  for (const section of [...next.content.children]) {
    const now = document.getElementById(section.id);
    if (!now) live.append(section);
    else if (!inUse(now)) now.replaceWith(section);
  }
};
