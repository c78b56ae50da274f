// Puts the sections of each snapshot in their places. Everything was drawn and escaped by the daemon.
"use strict";

const status = document.getElementById("status");
let saidLost = false;

function say(text, lost) {
    document.body.classList.toggle("lost", lost);
    // Only when it is another one: a screen reader says it each time.
    if (status.textContent !== text) status.textContent = text;
}

function inUse(place) {
    const selection = window.getSelection();
    return selection && !selection.isCollapsed && place.contains(selection.anchorNode);
}

function replace(place, html) {
    const focused = place.contains(document.activeElement) ? document.activeElement.id : "";
    const scrolled = new Map();
    for (const part of place.querySelectorAll(".scroll[id]")) scrolled.set(part.id, part.scrollLeft);
    place.innerHTML = html;
    for (const [id, left] of scrolled) {
        const part = document.getElementById(id);
        if (part) part.scrollLeft = left;
    }
    const again = focused && document.getElementById(focused);
    if (again) again.focus({ preventScroll: true });
}

const shown = new Map();

function show(snapshot) {
    document.title = snapshot.title;
    document.getElementById("title").textContent = snapshot.title;
    document.getElementById("lead").textContent = snapshot.lead;
    for (const place of document.querySelectorAll("[data-live]")) {
        const html = snapshot.sections[place.dataset.live];
        // What somebody is about to copy stays until the next change.
        if (html === undefined || shown.get(place.id) === html || inUse(place)) continue;
        shown.set(place.id, html);
        replace(place, html);
    }
}

const events = new EventSource("/events");
events.onmessage = (event) => {
    show(JSON.parse(event.data));
    saidLost = false;
    say("Live: changes are shown as they happen.", false);
};
events.onerror = () => {
    if (saidLost) return;
    saidLost = true;
    const time = new Date().toISOString().slice(11, 19);
    say(`Not connected since ${time} UTC: what is shown is from before. Trying again.`, true);
};
