// Keeps the sections marked data-live up to date, except the one somebody is in.
"use strict";

async function refresh() {
  if (document.hidden) return;
  const answer = await fetch(location.href);
  if (!answer.ok) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const section of document.querySelectorAll("[data-live]")) {
    const now = fresh.getElementById(section.id);
    const busy = section.contains(document.activeElement) || section.contains(getSelection().anchorNode);
    if (now && !busy && now.innerHTML !== section.innerHTML) section.replaceChildren(...now.childNodes);
  }
}

if (document.querySelector("[data-live]")) setInterval(() => refresh().catch(() => {}), 4000);
