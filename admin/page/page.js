// Replaces what is live with what the gate sends, unless somebody is about to use it.
"use strict";
const live = document.getElementById("live"), state = document.getElementById("live-state");
const source = new EventSource("/live");
source.onopen = () => { state.hidden = false; state.textContent = "live"; state.classList.remove("gone"); };
source.onerror = () => { state.textContent = "not connected"; state.classList.add("gone"); };
source.onmessage = (event) => {
  if (live.contains(document.activeElement) || live.querySelector("details[open], button:hover")) return;
  live.innerHTML = JSON.parse(event.data);
};
