// The OpenAPI document as a page: each operation with a real example, as a command to paste.
const make = (tag, text, ...children) => {
  const element = document.createElement(tag);
  element.textContent = text;
  element.append(...children);
  return element;
};
const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

const api = await (await fetch("/openapi.json")).json();
document.title = `${api.info.title}: API`;
document.getElementById("name").textContent = document.title;
document.getElementById("about").textContent = `${api.info.description} Version ${api.info.version}.`;
for (const [path, operations] of Object.entries(api.paths)) {
  for (const [method, operation] of Object.entries(operations)) {
    const section = make("section", "", make("h2", `${method.toUpperCase()} ${path}`), make("p", operation.summary));
    const content = operation.requestBody?.content ?? {};
    const key = operation.security ? " -H 'authorization: Bearer KEY'" : "";
    const examples = content["application/json"]?.examples ?? {};
    for (const [name, example] of Object.entries(examples)) {
      const body = quoted(JSON.stringify(example.value));
      const command = `curl ${location.origin}${path}${key} -H 'content-type: application/json' -d ${body}`;
      section.append(make("h3", name), make("pre", command));
    }
    if (method === "get") section.append(make("pre", `curl ${location.origin}${path}${key}`));
    if (Object.keys(content).length) section.append(make("p", `Takes ${Object.keys(content).join(", ")}.`));
    const answers = Object.entries(operation.responses).map(([status, { description }]) => `${status} ${description}`);
    section.append(make("h3", "Answers"), make("ul", "", ...answers.map((text) => make("li", text))));
    document.getElementById("operations").append(section);
  }
}
