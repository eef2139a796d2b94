// A button that ends the cell at work. A kernel reads messages only between cells, so the
// button asks the server for what the square in the toolbar does: interrupt the kernel.
// Where no such server answers (Colab), the message is the second way.

async function interrupt(kernel) {
  const page = document.getElementById("jupyter-config-data");
  if (!page || !kernel) return false;
  const { baseUrl = "/", token = "" } = JSON.parse(page.textContent);
  const xsrf = document.cookie.match(/(?:^|; )_xsrf=([^;]+)/);
  const headers = token ? { Authorization: `token ${token}` } : {};
  if (xsrf) headers["X-XSRFToken"] = xsrf[1];
  const url = `${baseUrl}api/kernels/${kernel}/interrupt`;
  try {
    return (await fetch(url, { method: "POST", headers })).ok;
  } catch {
    return false;
  }
}

function render({ model, el }) {
  const button = el.appendChild(document.createElement("button"));
  const said = el.appendChild(document.createElement("span"));
  button.type = "button";
  button.textContent = "Stop and save";
  said.setAttribute("role", "status");
  said.style.marginLeft = "0.75rem";
  button.addEventListener("click", async () => {
    button.disabled = true;
    said.textContent = "Stopping …";
    if (await interrupt(model.get("kernel"))) return;
    model.send({ kind: "stop" });
    said.textContent = "Asked to stop. If nothing happens, interrupt the kernel.";
    button.disabled = false;
  });
  const update = () => {
    if (!model.get("over")) return;
    button.disabled = true;
    said.textContent = "";
  };
  update();
  model.on("change:over", update);
  return () => model.off("change:over", update);
}

export default { render };
