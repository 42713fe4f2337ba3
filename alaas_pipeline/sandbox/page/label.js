// Labelling by keyboard and mouse. All text from the server is set as text, never as HTML.
"use strict";

const KEYS = [..."1234567890acdefghijklmopqstuvwxyz"];
const SVG = "http://www.w3.org/2000/svg";
const part = (id) => document.getElementById(id);
const desk = part("desk");
const root = `/_sandbox/projects/${desk.dataset.project}/tasks`;
const labels = JSON.parse(desk.dataset.labels);
const open = desk.dataset.status === "active";
const sizes = new Map();
const drafts = new Map();
let tasks = [];
let at = 0;
let chosen = 0;
let boxing = false;
let ready = false;
let sending = false;
let drag = null;

const task = () => tasks[at];
const mine = () => open && task() && !sending && (task().status === "pending" || task().annotator === "person");
const boxes = () => {
  if (!drafts.has(task().uid)) drafts.set(task().uid, task().boxes.map((box) => ({ ...box })));
  return drafts.get(task().uid);
};

function say(text, wrong = false) {
  part("said").textContent = text;
  part("said").classList.toggle("wrong", wrong);
}

function answered(one) {
  if (one.result === "refused") return `Refused: ${one.refusal_reason}`;
  const names = one.label === null ? [] : [one.label];
  if (one.boxes.length) names.push(one.boxes.length === 1 ? "1 box" : `${one.boxes.length} boxes`);
  return `${names.join(", ")} (${one.annotator})`;
}

function drawLabels() {
  const current = task() && !boxing ? task().label : labels[chosen];
  part("labels").replaceChildren(
    ...labels.map((name, index) => {
      const button = document.createElement("button");
      const text = document.createElement("span");
      text.textContent = name;
      if (index < KEYS.length) {
        const key = document.createElement("kbd");
        key.textContent = KEYS[index].toUpperCase();
        button.append(key);
      }
      button.append(text);
      button.disabled = !open;
      button.setAttribute("aria-pressed", String(name === current));
      button.onclick = () => choose(index);
      return button;
    }),
  );
}

function drawBoxes() {
  const [width, height] = sizes.get(task().item_uid) ?? [1, 1];
  const svg = part("boxes");
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const unit = width / (part("sheet").clientWidth || width);
  const shown = drag ? [...boxes(), drag.box] : boxes();
  svg.replaceChildren(
    ...shown.flatMap((box) => {
      const rect = document.createElementNS(SVG, "rect");
      for (const side of ["x", "y", "width", "height"]) rect.setAttribute(side, box[side]);
      const name = document.createElementNS(SVG, "text");
      name.setAttribute("x", box.x + 4 * unit);
      name.setAttribute("y", box.y + 16 * unit);
      name.setAttribute("font-size", 14 * unit);
      name.textContent = box.label;
      return [rect, name];
    }),
  );
  const count = boxes().length;
  part("send").hidden = !mine() || (count === 0 && !boxing);
  part("send").disabled = count === 0;
  part("boxing").setAttribute("aria-pressed", String(boxing));
  part("sheet").classList.toggle("drawing", boxing);
}

function fit() {
  if (!task()) return;
  const [width, height] = sizes.get(task().item_uid) ?? [4, 3];
  const stage = part("stage");
  const scale = Math.min((stage.clientWidth - 16) / width, (stage.clientHeight - 16) / height);
  part("sheet").style.width = `${width * scale}px`;
  part("sheet").style.height = `${height * scale}px`;
  drawBoxes();
}

function count() {
  const done = tasks.filter((one) => one.status !== "pending").length;
  part("done").max = tasks.length || 1;
  part("done").value = done;
  part("count").textContent = `${done} of ${tasks.length} answered`;
  return tasks.length - done;
}

async function sizeOf(item) {
  if (!sizes.has(item)) {
    const answer = await fetch(`/_sandbox/items/${item}`);
    if (!answer.ok) throw new Error("The image is gone.");
    const told = await answer.json();
    if (told.width) sizes.set(item, [told.width, told.height]);
  }
}

async function show(index) {
  if (!tasks.length) return;
  at = (index + tasks.length) % tasks.length;
  const one = task();
  ready = false;
  drag = null;
  part("refusing").hidden = true;
  part("sheet").classList.add("waiting");
  part("key").textContent = one.key;
  part("place").textContent = `${at + 1} / ${tasks.length}`;
  part("refuse").disabled = part("boxing").disabled = !mine();
  say(one.status === "pending" ? (open ? "What is it?" : "Not answered.") : answered(one));
  if (open && !labels.length) say("Add a label first: type its name below.");
  drawLabels();
  const image = part("image");
  image.alt = `Image ${one.key}`;
  const loaded = new Promise((settle) => (image.onload = image.onerror = settle));
  image.src = `/_sandbox/items/${one.item_uid}/image`;
  await Promise.all([loaded, sizeOf(one.item_uid)]).catch((error) => say(error.message, true));
  // Somebody may have gone on while it loaded.
  if (task() !== one) return;
  ready = true;
  part("sheet").classList.remove("waiting");
  fit();
  const next = tasks[following()];
  if (next) new Image().src = `/_sandbox/items/${next.item_uid}/image`;
}

function following() {
  for (let step = 1; step <= tasks.length; step += 1) {
    const index = (at + step) % tasks.length;
    if (tasks[index].status === "pending") return index;
  }
  return -1;
}

async function send(body) {
  // Nobody answers for a picture they have not seen yet.
  if (!mine() || !ready) return;
  const one = task();
  sending = true;
  try {
    const answer = await fetch(`${root}/${one.uid}/answer`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ ...body, again: one.status !== "pending" }),
    });
    const told = await answer.json();
    if (!answer.ok) throw new Error(told.detail ?? Object.values(told).flat().join(" "));
    Object.assign(one, told, { label: body.label ?? null, refusal_reason: body.refusal_reason ?? null });
    Object.assign(one, { boxes: body.boxes ?? [], annotator: "person" });
    drafts.delete(one.uid);
  } catch (error) {
    say(`Not saved: ${error.message}`, true);
    return;
  } finally {
    sending = false;
  }
  if (count() > 0) {
    await show(following());
    return;
  }
  await show(at);
  say("Every image is answered. The pipeline collects the labels on its next look.");
}

function choose(index) {
  if (index >= labels.length) return;
  chosen = index;
  if (boxing) {
    drawLabels();
    return;
  }
  send({ label: labels[index], boxes: boxes() });
}

function sendBoxes() {
  if (boxes().length) send({ label: task().label, boxes: boxes() });
}

function toggleBoxes() {
  boxing = !boxing;
  say(boxing ? "Drag on the image to draw a box." : "What is it?");
  drawLabels();
  drawBoxes();
}

function askReason() {
  if (!mine() || !ready) return;
  part("refusing").hidden = false;
  part("reason").select();
}

function place(event) {
  const frame = part("sheet").getBoundingClientRect();
  const [width, height] = sizes.get(task().item_uid);
  const share = (value) => Math.min(1, Math.max(0, value));
  return [
    share((event.clientX - frame.left) / frame.width) * width,
    share((event.clientY - frame.top) / frame.height) * height,
  ];
}

part("sheet").onpointerdown = (event) => {
  if (!boxing || !mine() || !ready || event.button !== 0 || !sizes.has(task().item_uid)) return;
  event.preventDefault();
  if (!labels.length) {
    say("Add a label first: a box needs one.", true);
    return;
  }
  part("sheet").setPointerCapture(event.pointerId);
  const [x, y] = place(event);
  drag = { x, y, box: { label: labels[chosen], x, y, width: 0, height: 0 } };
};
part("sheet").onpointermove = (event) => {
  if (!drag) return;
  const [x, y] = place(event);
  const tidy = (value) => Math.round(value * 100) / 100;
  Object.assign(drag.box, { x: tidy(Math.min(x, drag.x)), y: tidy(Math.min(y, drag.y)) });
  Object.assign(drag.box, { width: tidy(Math.abs(x - drag.x)), height: tidy(Math.abs(y - drag.y)) });
  drawBoxes();
};
part("sheet").onpointerup = () => {
  if (!drag) return;
  const { box } = drag;
  drag = null;
  const unit = sizes.get(task().item_uid)[0] / part("sheet").clientWidth;
  // A click that slipped is no box.
  if (box.width > 4 * unit && box.height > 4 * unit) boxes().push(box);
  drawBoxes();
};
part("sheet").onpointercancel = () => {
  drag = null;
  drawBoxes();
};
part("image").ondragstart = () => false;
part("refuse").onclick = askReason;
part("boxing").onclick = toggleBoxes;
part("send").onclick = sendBoxes;
part("back").onclick = () => show(at - 1);
part("next").onclick = () => show(at + 1);
part("refusing").onsubmit = (event) => {
  event.preventDefault();
  part("reason").blur();
  send({ refusal_reason: part("reason").value });
};
if (part("adding")) {
  part("adding").onsubmit = (event) => {
    event.preventDefault();
    const name = part("name").value.trim();
    if (name && !labels.includes(name)) labels.push(name);
    part("name").value = "";
    part("name").blur();
    if (name) say(`Added ${name}.`);
    drawLabels();
  };
}
// A button that was clicked would take the next Enter for itself.
document.onclick = (event) => {
  if (event.detail > 0 && document.activeElement.tagName === "BUTTON") document.activeElement.blur();
};
window.onresize = fit;
document.onkeydown = (event) => {
  if (event.key === "Escape") {
    document.activeElement.blur();
    part("refusing").hidden = true;
  }
  const typing = event.target.tagName === "INPUT";
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  const key = event.key.toLowerCase();
  if (key === "n" && part("adding")) {
    part("name").focus();
    event.preventDefault();
  }
  if (!task()) return;
  const moves = { arrowleft: -1, arrowright: 1 };
  if (key in moves) show(at + moves[key]);
  // A key that is held down answers once.
  else if (event.repeat) return;
  else if (key === "enter" && event.target.tagName !== "BUTTON" && event.target.tagName !== "A") sendBoxes();
  else if (key === "r") askReason();
  else if (key === "b" && mine()) toggleBoxes();
  else if (key === "backspace" && mine()) {
    boxes().pop();
    drawBoxes();
  } else if (KEYS.includes(key)) choose(KEYS.indexOf(key));
  else return;
  event.preventDefault();
};

async function begin() {
  const answer = await fetch(root);
  if (!answer.ok) throw new Error("The tasks cannot be read: is the sandbox running?");
  tasks = (await answer.json()).tasks;
  if (!tasks.length) {
    say("There is nothing to label here yet.");
    return;
  }
  count();
  const first = tasks.findIndex((one) => one.status === "pending");
  await show(Math.max(0, first));
}

begin().catch((error) => say(error.message, true));
