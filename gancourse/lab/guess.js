// One question's choices as radio buttons of one group: arrow keys move between them, and
// the group has the question as its name. `disabled` locks the guess.

let count = 0;

function render({ model, el }) {
  const name = `gc-guess-${Date.now()}-${count++}`;
  const group = document.createElement("fieldset");
  group.className = "gc-guess";
  group.setAttribute("aria-label", model.get("question"));
  group.style.cssText = "border: none; margin: 0; padding: 0 0 0.5rem";
  group.addEventListener("keydown", (event) => event.stopPropagation());
  const inputs = model.get("choices").map((choice) => {
    const label = document.createElement("label");
    label.style.cssText = "display: block; padding: 0.1rem 0";
    const input = document.createElement("input");
    Object.assign(input, { type: "radio", name, value: choice });
    input.addEventListener("change", () => {
      model.set("value", choice);
      model.save_changes();
    });
    label.append(input, ` ${choice}`);
    group.appendChild(label);
    return input;
  });
  const update = () => {
    for (const input of inputs) {
      input.checked = input.value === model.get("value");
      input.disabled = model.get("disabled");
    }
  };
  update();
  el.appendChild(group);
  model.on("change:value", update);
  model.on("change:disabled", update);
  return () => {
    model.off("change:value", update);
    model.off("change:disabled", update);
  };
}

export default { render };
