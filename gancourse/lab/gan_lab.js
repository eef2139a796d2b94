// The page of the GAN lab. It asks, the kernel answers; nothing moves by itself.
//
// Requests {t, view, seq, epoch, …}: hello; tick (play n steps); move (who: D, G, both);
// set (changes); reset (seed); past (index); program. Answers carry the same view, seq
// and epoch; those of an older epoch (asked before a reset) are dropped. While playing,
// 2 to 6 ticks are in flight, so that the kernel trains while this page draws.

const EXTENT = 3, SIDE = 48, ARROWS = 40, SHEET = [2, 11, 41];
const REAL = "#0072B2", FAKE = "#D55E00", DARK = "#222222", THIRD = "#009E73";
const SILENCE = 2000; // ms without an answer: the kernel is busy, stop asking
const SPEEDS = [
  ["slow: 2 steps a second", 1, 500], ["1 step a frame", 1, 0],
  ["5 steps a frame", 5, 0], ["25 steps a frame", 25, 0],
];
const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer;
const points = (text) => new Int16Array(bytes(text));

function node(parent, tag, options = {}, text = "") {
  const made = document.createElement(tag);
  // JupyterLab takes arrow keys, Space and Enter for itself unless the very element
  // that has the focus says no.
  made.setAttribute("data-lm-suppress-shortcuts", "true");
  for (const [key, value] of Object.entries(options)) made.setAttribute(key, value);
  made.textContent = text;
  parent.append(made);
  return made;
}

function button(parent, text, title, press) {
  const made = node(parent, "button", { type: "button", title }, text);
  made.addEventListener("click", press);
  return made;
}

// A control with its label; `changed` gets the value.
const unique = Math.random().toString(36).slice(2); // each lab is a module of its own
let labels = 0;

function control(parent, label, tag, options, changed) {
  const row = node(parent, "div", { class: "gl-control" }), id = `gan-lab-${unique}-${++labels}`;
  node(row, "label", { for: id }, label);
  const made = node(row, tag, { id, ...options });
  made.addEventListener("change", () => changed(made.value));
  return made;
}

function choice(parent, label, values, names, changed) {
  const made = control(parent, label, "select", {}, changed);
  values.forEach((value, i) => node(made, "option", { value }, names[i]));
  return made;
}

// A slider on a logarithmic scale, its value written beside it.
function slider(parent, label, low, high, changed) {
  const read = (position) => Number((10 ** position).toPrecision(2));
  const options = { type: "range", min: Math.log10(low), max: Math.log10(high), step: 0.05 };
  const made = control(parent, label, "input", options, (at) => changed(read(at)));
  const shown = node(made.parentNode, "span", { class: "gl-value", "aria-hidden": "true" });
  const say = () => {
    shown.textContent = read(made.value);
    made.setAttribute("aria-valuetext", shown.textContent);
  };
  made.addEventListener("input", say);
  made.show = (value) => { made.value = Math.log10(Math.max(value, low)); say(); };
  return made;
}

function canvas(parent, width, height, label) {
  const made = node(parent, "canvas", { width, height, role: "img", "aria-label": label });
  return made.getContext("2d");
}

// ------------------------------------------------------------------ drawing

const place = (ctx, x, y) => [
  (x / 4096 / EXTENT + 1) * ctx.canvas.width / 2,
  (1 - y / 4096 / EXTENT) * ctx.canvas.height / 2,
];

const small = Object.assign(document.createElement("canvas"), { width: SIDE, height: SIDE });

// Red where D says fake, blue where it says real, white where it cannot tell.
function drawField(ctx, field) {
  const picture = new ImageData(SIDE, SIDE);
  field.forEach((value, i) => {
    const [t, row] = [value / 127.5 - 1, SIDE - 1 - Math.floor(i / SIDE)];
    const at = 4 * (row * SIDE + (i % SIDE)), end = t < 0 ? [214, 96, 77] : [67, 147, 195];
    end.forEach((c, k) => { picture.data[at + k] = 255 - (255 - c) * Math.abs(t) * 0.8; });
    picture.data[at + 3] = 255;
  });
  small.getContext("2d").putImageData(picture, 0, 0);
  ctx.drawImage(small, 0, 0, ctx.canvas.width, ctx.canvas.height);
}

function drawDots(ctx, real) { // blue discs
  ctx.fillStyle = REAL;
  for (let i = 0; i < real.length; i += 2) {
    ctx.beginPath();
    ctx.arc(...place(ctx, real[i], real[i + 1]), 2.2, 0, 7);
    ctx.fill();
  }
}

function drawCrosses(ctx, fake) { // vermilion crosses
  ctx.strokeStyle = FAKE;
  ctx.lineWidth = 1.4;
  ctx.beginPath();
  for (let i = 0; i < fake.length; i += 2) {
    const [x, y] = place(ctx, fake[i], fake[i + 1]);
    ctx.moveTo(x - 3, y - 3), ctx.lineTo(x + 3, y + 3);
    ctx.moveTo(x - 3, y + 3), ctx.lineTo(x + 3, y - 3);
  }
  ctx.stroke();
}

// Where the first fakes are pushed; arrows longer than one unit are cut.
function drawArrows(ctx, fake, push) {
  ctx.strokeStyle = DARK;
  ctx.lineWidth = 1.5;
  ctx.beginPath();
  for (let i = 0; i < 2 * ARROWS; i += 2) {
    const length = Math.hypot(push[i], push[i + 1]) / 4096;
    const cut = length > 1 ? 1 / length : 1;
    const [x, y] = place(ctx, fake[i], fake[i + 1]);
    const [u, v] = place(ctx, fake[i] + cut * push[i], fake[i + 1] + cut * push[i + 1]);
    const head = Math.min(5, Math.hypot(u - x, v - y) / 2), way = Math.atan2(v - y, u - x);
    ctx.moveTo(x, y), ctx.lineTo(u, v);
    for (const side of [2.6, -2.6]) {
      ctx.moveTo(u, v);
      ctx.lineTo(u + head * Math.cos(way + side), v + head * Math.sin(way + side));
    }
  }
  ctx.stroke();
}

function drawSheet(ctx, sheet) {
  const [sides, lines, along] = SHEET;
  ctx.strokeStyle = FAKE;
  ctx.lineWidth = 0.9;
  for (let line = 0; line < sides * lines; line++) {
    ctx.beginPath();
    for (let i = 0; i < along; i++) {
      const at = 2 * (line * along + i);
      ctx.lineTo(...place(ctx, sheet[at], sheet[at + 1]));
    }
    ctx.stroke();
  }
}

// Curves over the steps of the recording: columns of rows [step, D, G, coverage].
function drawCurves(ctx, rows, columns, now, range) {
  const { width, height } = ctx.canvas, left = 34, foot = 16;
  const count = rows.length / 4, value = (i, c) => rows[4 * i + c] / 1000;
  const missing = (i, c) => rows[4 * i + c] === -(2 ** 31);
  let [low, high] = range ?? [Infinity, -Infinity];
  if (!range) {
    for (let i = 0; i < count; i++) for (const [c] of columns) {
      if (missing(i, c)) continue;
      low = Math.min(low, value(i, c)), high = Math.max(high, value(i, c));
    }
    if (!Number.isFinite(low)) low = high = 0; // nothing to draw yet
    if (low === high) [low, high] = [low - 0.5, high + 0.5];
  }
  const last = Math.max(value(count - 1, 0), now, 1);
  const x = (step) => left + (width - left - 4) * step / last;
  const y = (v) => 22 + (height - foot - 26) * (high - v) / (high - low);
  ctx.fillStyle = "white", ctx.fillRect(0, 0, width, height);
  ctx.fillStyle = DARK, ctx.font = "10px sans-serif";
  ctx.textAlign = "right";
  for (const v of [low, high]) ctx.fillText(v.toPrecision(2), left - 4, y(v) + 4);
  ctx.fillText(last.toLocaleString(), width - 4, height - 4);
  ctx.textAlign = "left", ctx.fillText("step 0", left, height - 4);
  columns.forEach(([c, name, colour, dash], k) => {
    ctx.strokeStyle = ctx.fillStyle = colour, ctx.lineWidth = 1.5, ctx.setLineDash(dash);
    ctx.beginPath();
    for (let i = 0; i < count; i++) {
      if (!missing(i, c)) ctx.lineTo(x(value(i, 0)), y(value(i, c)));
    }
    ctx.stroke();
    ctx.fillText(name, left + 8 + 66 * k, 14);
  });
  ctx.setLineDash([2, 2]), ctx.strokeStyle = "#888888", ctx.beginPath();
  ctx.moveTo(x(now), 20), ctx.lineTo(x(now), height - foot), ctx.stroke();
  ctx.setLineDash([]);
}

// ------------------------------------------------------------------ the lab

function render({ model, el }) {
  const view = Math.random().toString(36).slice(2);
  const waiting = new Map(); // seq of a request: when it was sent
  let seq = 0, epoch = 0, playing = false, flight = 3, pace = 30, heard = 0, spoken = 0;
  let last = null, real = null, recipe = {}, drawing = [], pen = false, timer = null;
  let reason = ""; // why it does not play
  let changed = 0; // seq of the newest change: older answers do not move the controls
  const at = { x: 0, y: 0 }; // the pen, when it is moved by keys

  const root = node(el, "div", { class: "gan-lab" });
  root.dataset.frames = 0;

  function ask(t, more = {}) {
    waiting.set(++seq, performance.now());
    model.send({ t, view, seq, epoch, ...more });
    if (waiting.size === 1) heard = performance.now();
  }

  // -------- the parts
  const bar = node(root, "div", { class: "gl-bar", role: "group", "aria-label": "Playing" });
  const play = button(bar, "Play", "Play and pause", () => (playing ? pause("Paused.") : start()));
  for (const [name, who] of [["Step D", "D"], ["Step G", "G"], ["Step both", "both"]]) {
    const title = who === "both" ? "One step: D's moves, then G's" : `One move of ${who} alone`;
    button(bar, name, title, () => { pause(); ask("move", { who }); });
  }
  button(bar, "Reset", "Back to step 0 with the same seed", () => reset());
  button(bar, "New seed", "Back to step 0 with the next seed", () => reset(recipe.seed + 1));
  const speed = choice(bar, "Speed", [0, 1, 2, 3], SPEEDS.map(([name]) => name), () => {});
  speed.value = 2;
  const status = node(root, "p", { class: "gl-status", role: "status", "aria-live": "polite" });

  const stage = node(root, "div", { class: "gl-stage" });
  const left = node(stage, "figure"), middle = node(stage, "figure"), right = node(stage, "figure");
  const plane = canvas(left, 320, 320, "The plane");
  plane.canvas.tabIndex = 0;
  node(left, "figcaption", {}, "Blue ground: D says real; red: fake. Discs: real points; "
    + "crosses: fakes; arrows: where G's loss pushes them.");
  const sheet = canvas(middle, 320, 320, "The sheet of latents");
  node(middle, "figcaption", {}, "What G makes of a square grid of latents; its cells are "
    + "equally probable.");
  const losses = canvas(right, 270, 150, "Curves of both losses");
  const cover = canvas(right, 270, 110, "Curve of the coverage");
  const verdict = node(right, "p", { class: "gl-verdict" });

  const past = control(root, "Look back", "input", { type: "range", min: 0, max: 0 }, () => {});
  past.parentNode.classList.add("gl-past");
  past.addEventListener("input", () => { pause(); ask("past", { index: Number(past.value) }); });
  const now = button(past.parentNode, "Now", "Back to the run as it is", () => ask("hello"));

  const panel = node(root, "div", { class: "gl-panel", role: "group", "aria-label": "Settings" });
  const controls = {};
  const shown = {};
  for (const [name, label] of [["field", "D's field"], ["real", "real"], ["fake", "fakes"], ["push", "arrows"]]) {
    const box = node(node(bar, "label", { class: "gl-check" }), "input", { type: "checkbox" });
    box.parentNode.append(label);
    box.checked = true;
    box.addEventListener("change", () => draw());
    shown[name] = box;
  }
  const sketch = node(root, "div", { class: "gl-bar", role: "group", "aria-label": "Drawing" });
  const draws = button(sketch, "Draw your own", "Put points into the plane: mouse, or "
    + "arrow keys and Space", () => setPen(!pen));
  const use = button(sketch, "Play with the drawing", "", () => {
    setPen(false);
    change({ law: "your drawing", points: drawing.map((p) => p.map((v) => v / 4096)) });
  });
  const wipe = button(sketch, "Wipe", "Remove all drawn points", () => { drawing = []; draw(); });
  const details = node(root, "details");
  node(details, "summary", {}, "The program of this run");
  const copy = button(details, "Copy", "Copy the program", async () => {
    let copied = !!navigator.clipboard; // not every address gives a page one
    await navigator.clipboard?.writeText(listing.textContent).catch(() => { copied = false; });
    getSelection().selectAllChildren(listing);
    say(copied ? "Selected and copied: paste it into a cell."
      : "Selected: copy it with the keyboard.");
  });
  const listing = node(details, "pre", { tabindex: 0, "aria-label": "Program" });
  details.addEventListener("toggle", () => details.open && ask("program"));

  function build(names) {
    const change1 = (name) => (value) => change({ [name]: value });
    for (const [name, label] of [["law", "Data"], ["loss", "Loss"], ["penalty", "Penalty on D"], ["optimizer", "Optimizer"]]) {
      controls[name] = choice(panel, label, names[name], names[name], change1(name));
    }
    controls.law.querySelector("option[value='your drawing']").disabled = true;
    controls.strength = slider(panel, "Strength of the penalty", 0.01, 100, change1("strength"));
    controls.d_lr = slider(panel, "Learning rate of D", 1e-5, 1, change1("d_lr"));
    controls.g_lr = slider(panel, "Learning rate of G", 1e-5, 1, change1("g_lr"));
    controls.d_steps = choice(panel, "Moves of D a step", [1, 2, 5, 10], [1, 2, 5, 10],
      (value) => change({ d_steps: Number(value) }));
    const falls = names.falling.map((n) => (n ? `fall to 0 in ${n.toLocaleString()} steps` : "stay"));
    controls.falling = choice(panel, "The rates", names.falling, falls,
      (value) => change({ falling: Number(value) }));
  }

  // -------- playing
  function start() {
    if (last?.stopped) return say(last.stopped);
    playing = true;
    play.textContent = "Pause";
    setPen(false);
    heard = performance.now();
    say(calm() ? "Playing, at two pictures a second: this device asks for little motion." : "Playing.");
    fill();
  }

  function pause(why = "") {
    reason = why && `${why} `;
    const was = playing;
    if (playing && why) say(reason + (last?.words ?? ""));
    playing = false;
    clearTimeout(timer), timer = null;
    play.textContent = "Play";
    if (was && details.open) ask("program");
  }

  function fill() { // ask for frames, as many as may be in flight
    const [, n, delay] = SPEEDS[speed.value];
    const wait = calm() ? 500 : delay;
    if (wait) {
      if (!waiting.size && !timer) {
        timer = setTimeout(() => { timer = null; if (playing) ask("tick", { n }); }, wait);
      }
      return;
    }
    while (playing && waiting.size < flight) ask("tick", { n });
  }

  function adapt(ms) { // more in flight while answers are quick, fewer when they queue
    pace += 0.2 * (ms - pace);
    if (pace > 110) flight = Math.max(2, flight - 1), pace = 80;
    else if (pace < 50) flight = Math.min(6, flight + 1), pace = 80;
  }

  const watch = setInterval(() => {
    if (!root.isConnected) return pause();
    if (waiting.size && performance.now() - heard > SILENCE) {
      waiting.clear();
      const was = playing;
      pause();
      say(`The kernel has not answered for 2 seconds: ${was ? "paused. " : ""}It may be busy `
        + "with a cell, or it was restarted (then run the lab's cell again).");
    }
  }, 250);
  const hidden = () => document.hidden && playing && pause("Paused, since the page was hidden.");
  document.addEventListener("visibilitychange", hidden);

  // -------- settings, and starting again
  function change(changes) {
    reason = "";
    if (last?.restarts?.some((name) => name in changes)) renew();
    ask("set", { changes });
    changed = seq;
  }

  function reset(seed = recipe.seed) {
    pause();
    renew();
    ask("reset", { seed });
  }

  function renew() { epoch += 1, waiting.clear(); } // older answers no longer count

  // -------- answers
  function hear(told) {
    if (told.view !== view || told.epoch !== epoch) return;
    const sent = waiting.get(told.seq);
    waiting.delete(told.seq);
    heard = performance.now();
    if (sent !== undefined) {
      if (told.t === "frame" && playing) adapt(heard - sent);
      else root.dataset.answered = Math.round(heard - sent);
    }
    if (told.t === "error") {
      pause(told.message), say(told.message);
      return ask("hello"); // the controls go back to what counts
    }
    if (told.t === "program") {
      listing.textContent = told.program;
      return playing && fill();
    }
    if (playing && told.stopped) pause(), say(told.stopped);
    if (playing) fill(); // ask for the next before drawing this one
    if (told.t === "whole") settle(told);
    last = { ...last, ...told };
    past.max = told.kept - 1;
    past.value = told.t === "past" ? told.index : told.kept - 1;
    draw();
    root.dataset.frames = Number(root.dataset.frames) + 1;
    root.dataset.step = told.step;
    if (!playing || heard - spoken > 3000) speak(told);
    if (told.t === "frame" && !playing && details.open) ask("program");
  }

  function settle(told) { // a whole answer says how the controls stand
    if (!Object.keys(controls).length) build(told.controls);
    real = points(told.real), recipe = told.recipe;
    for (const [name, made] of Object.entries(controls)) {
      if (told.seq < changed) break;
      if (made.show) { made.show(recipe[name]); continue; }
      const known = [...made.options].some((option) => option.value === `${recipe[name]}`);
      if (!known) node(made, "option", { value: recipe[name] }, recipe[name]);
      made.value = recipe[name];
    }
    controls.law.querySelector("option[value='your drawing']").disabled = !recipe.points.length;
    controls.strength.disabled = recipe.penalty === "none";
    if (details.open) ask("program");
  }

  function say(words) { status.textContent = words; }

  function speak(told) {
    spoken = performance.now();
    const words = told.words + (told.moves ? `; D has moved ${told.moves} times since` : "");
    const label = `${words}. ${told.verdict}`;
    plane.canvas.setAttribute("aria-label", `The plane at ${label}`);
    sheet.canvas.setAttribute("aria-label", `The sheet of latents at ${label}`);
    if (told.stopped) say(told.stopped);
    else say((told.t === "past" ? "Looking back: " : playing ? "Playing: " : reason) + words);
  }

  function draw() {
    if (!last) return;
    for (const ctx of [plane, sheet]) {
      ctx.fillStyle = "white", ctx.fillRect(0, 0, ctx.canvas.width, ctx.canvas.height);
    }
    const fake = points(last.fake);
    if (shown.field.checked) drawField(plane, new Uint8Array(bytes(last.field)));
    if (real && shown.real.checked) drawDots(plane, real);
    if (shown.fake.checked) drawCrosses(plane, fake);
    if (shown.push.checked) drawArrows(plane, fake, points(last.push));
    if (pen || drawing.length) drawPen();
    if (real) drawDots(sheet, real);
    drawSheet(sheet, points(last.sheet));
    const rows = new Int32Array(bytes(last.curves));
    drawCurves(losses, rows, [[1, "D loss", REAL, []], [2, "G loss", FAKE, [5, 3]]], last.step);
    drawCurves(cover, rows, [[3, "coverage", THIRD, []]], last.step, [0, 1]);
    verdict.textContent = `Verdict: ${last.verdict}. ${last.why}`;
  }

  // -------- drawing a law of one's own
  function setPen(on) {
    pen = on;
    draws.setAttribute("aria-pressed", on);
    plane.canvas.classList.toggle("gl-pen", on);
    if (on) {
      pause();
      plane.canvas.focus();
      say("Drawing: drag in the plane, or move the pen by arrow keys and press Space.");
    }
    draw();
  }

  function drawPen() {
    plane.fillStyle = THIRD;
    for (const [x, y] of drawing) plane.fillRect(...place(plane, x, y).map((v) => v - 3), 6, 6);
    if (!pen) return;
    const [x, y] = place(plane, at.x, at.y);
    plane.strokeStyle = DARK, plane.strokeRect(x - 5, y - 5, 10, 10);
  }

  function put() {
    const near = drawing.some(([x, y]) => Math.hypot(x - at.x, y - at.y) < 0.15 * 4096);
    if (!near && drawing.length < 200) drawing.push([at.x, at.y]);
    draw();
  }

  function point(event) {
    const box = plane.canvas.getBoundingClientRect();
    at.x = Math.round((2 * (event.clientX - box.left) / box.width - 1) * EXTENT * 4096);
    at.y = Math.round((1 - 2 * (event.clientY - box.top) / box.height) * EXTENT * 4096);
    put();
  }
  plane.canvas.addEventListener("pointerdown", (event) => pen && point(event));
  plane.canvas.addEventListener("pointermove", (event) => pen && event.buttons && point(event));
  plane.canvas.addEventListener("keydown", (event) => {
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    if (!pen || !(event.key in way || event.key === " ")) return;
    event.preventDefault();
    if (event.key === " ") return put();
    const clip = (v) => Math.max(-EXTENT * 4096, Math.min(EXTENT * 4096, v));
    at.x = clip(at.x + 410 * way[event.key][0]), at.y = clip(at.y + 410 * way[event.key][1]);
    draw();
  });

  model.on("msg:custom", hear);
  ask("hello");
  return () => {
    pause();
    clearInterval(watch);
    document.removeEventListener("visibilitychange", hidden);
    model.off("msg:custom", hear);
  };
}

export default { render };
