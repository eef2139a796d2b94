// Draws what panel.py describes: real controls with labels, pictures with descriptions.
// It asks the kernel one question at a time, with the newest values; events (buttons) wait
// in line. No answer is expected that was not asked for, and nothing starts by itself.

const calm = window.matchMedia("(prefers-reduced-motion: reduce)");
let count = 0;

function element(parent, tag, attributes = {}, text = "") {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (text) node.textContent = text;
  parent.appendChild(node);
  return node;
}

function rounded(value) {
  return Number(value).toFixed(2).replace(/\.?0+$/, "");
}

const builders = {
  slider(row, c, id, changed) {
    element(row, "label", { for: id }, c.label);
    const input = element(row, "input", {
      type: "range", id, min: c.min, max: c.max, step: c.step, value: c.value });
    const output = element(row, "output", { for: id });
    const show = () => {
      const words = c.words ? c.words[Number(input.value) - c.min] : rounded(input.value);
      output.textContent = words;
      input.setAttribute("aria-valuetext", words);
    };
    show();
    input.addEventListener("input", () => { show(); changed(c.name, Number(input.value)); });
  },
  choice(row, c, id, changed) {
    element(row, "label", { for: id }, c.label);
    const input = element(row, "select", { id });
    for (const option of c.options) element(input, "option", { value: option }, option);
    input.value = c.value;
    input.addEventListener("change", () => changed(c.name, input.value));
  },
  number(row, c, id, changed) {
    element(row, "label", { for: id }, c.label);
    const input = element(row, "input", {
      type: "number", id, min: c.min, max: c.max, step: 1, value: c.value });
    input.addEventListener("input", () => {
      if (input.checkValidity() && input.value) changed(c.name, Number(input.value));
    });
  },
  button(row, c, id, changed, pressed) {
    const button = element(row, "button", { type: "button", id }, c.label);
    button.addEventListener("click", () => pressed(c.name));
  },
  // A square with two axes: pointer or arrow keys; Home goes back to the middle.
  pad(row, c, id, changed) {
    element(row, "span", { id: `${id}-label` }, c.label);
    row.style.display = "block";
    const pad = element(row, "div", {
      class: "gc-pad", id, tabindex: 0, role: "slider", "aria-labelledby": `${id}-label`,
      "aria-valuemin": -c.reach, "aria-valuemax": c.reach });
    element(pad, "img", { alt: "", "data-picture": c.map, draggable: "false" });
    const dot = element(pad, "div", { class: "gc-dot" });
    let [x, y] = c.value;
    const move = (nx, ny, tell = true) => {
      [x, y] = [nx, ny].map((v) => Math.max(-c.reach, Math.min(c.reach, v)));
      dot.style.left = `${50 + (50 * x) / c.reach}%`;
      dot.style.top = `${50 - (50 * y) / c.reach}%`;
      pad.setAttribute("aria-valuenow", rounded(x));
      pad.setAttribute("aria-valuetext", `across ${rounded(x)}, up ${rounded(y)}`);
      if (tell) changed(c.name, [x, y]);
    };
    move(x, y, false);
    const follow = (event) => {
      const box = pad.getBoundingClientRect();
      move(c.reach * (2 * (event.clientX - box.left) / box.width - 1),
           c.reach * (1 - 2 * (event.clientY - box.top) / box.height));
    };
    pad.addEventListener("pointerdown", (event) => {
      pad.setPointerCapture(event.pointerId);
      follow(event);
    });
    pad.addEventListener("pointermove", (event) => { if (event.buttons) follow(event); });
    pad.addEventListener("keydown", (event) => {
      const step = c.reach / 12;
      const by = { ArrowLeft: [-step, 0], ArrowRight: [step, 0],
                   ArrowUp: [0, step], ArrowDown: [0, -step] }[event.key];
      if (by) move(x + by[0], y + by[1]);
      else if (event.key === "Home") move(0, 0);
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
  },
};

function render({ model, el }) {
  const view = `${Date.now()}-${count++}`;
  const panel = element(el, "section", { class: "gc-panel", "aria-label": model.get("title") });
  // Keys meant for a control must not move the notebook's cursor as well.
  panel.addEventListener("keydown", (event) => event.stopPropagation());
  element(panel, "h3", {}, model.get("title"));
  const body = element(panel, "div", { class: "gc-body" });
  const controls = element(body, "div", { class: "gc-controls" });
  const pictures = element(body, "div", { class: "gc-pictures", role: "group",
                                          "aria-label": "pictures" });
  const bar = element(panel, "progress", { max: 1, value: 0, "aria-label": "progress" });
  const text = element(panel, "p", { class: "gc-text", role: "status", "aria-live": "polite" });

  const values = {}, events = [];
  let asked = false, changes = false, more = false, patience = null;

  function ask(event = "") {
    asked = true;
    changes = false;
    patience = setTimeout(() => {
      text.textContent = "The kernel is busy; the answer follows when it is free. " +
        "If it was restarted, run the cell again.";
    }, 5000);
    model.send({ kind: "ask", view, values, event });
  }
  function next() {
    if (asked || !panel.isConnected) return;
    if (events.length) ask(events.shift());
    else if (changes) ask();
    else if (more && !document.hidden) ask("more");
  }
  function show(answer) {
    bar.hidden = answer.progress === null || answer.progress === undefined;
    bar.value = answer.progress || 0;
    if (text.textContent !== answer.text) text.textContent = answer.text;
    if (answer.partial && calm.matches) return;
    for (const [name, { src, alt }] of Object.entries(answer.pictures)) {
      const grounds = panel.querySelectorAll(`img[data-picture="${name}"]`);
      if (!grounds.length) {
        const figure = element(pictures, "figure");
        element(figure, "img", { src, alt, "data-picture": name, class: src.startsWith(
          "data:image/png") ? "gc-crisp" : "" });
        element(figure, "figcaption", { "aria-hidden": "true" }, alt);
      }
      for (const image of grounds) {
        image.src = src;
        if (image.parentNode.tagName !== "FIGURE") continue;
        image.alt = alt;
        image.nextSibling.textContent = alt;
      }
    }
  }
  function heard(message) {
    if (message.kind !== "answer" || message.view !== view) return;
    clearTimeout(patience);
    asked = false;
    more = message.more;
    show(message);
    next();
  }
  const changed = (name, value) => { values[name] = value; changes = true; next(); };
  const pressed = (name) => { events.push(name); next(); };
  for (const c of model.get("controls")) {
    const row = element(controls, "div", { class: "gc-row" });
    if ("value" in c) values[c.name] = c.value; // what this view shows is what counts
    builders[c.kind](row, c, `gc-${view}-${c.name}`, changed, pressed);
  }
  const first = model.get("first");
  show(first);
  more = first.more;
  model.on("msg:custom", heard);
  document.addEventListener("visibilitychange", next);
  return () => {
    clearTimeout(patience);
    model.off("msg:custom", heard);
    document.removeEventListener("visibilitychange", next);
  };
}

export default { render };
