// The model's card and a form made from its contract. Text is only ever set as text.
const $ = (id) => document.getElementById(id);

function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

const headers = () => {
  const key = sessionStorage.getItem("key");
  return { "content-type": "application/json", ...(key && { authorization: `Bearer ${key}` }) };
};

function control(name, field, required, example) {
  const kind = field.anyOf?.find((option) => option.type !== "null") ?? field;
  const id = `field-${name}`;
  let input;
  if (kind.enum || kind.type === "boolean") {
    input = make("select");
    if (!required) input.append(make("option", { value: "", textContent: "unknown" }));
    for (const value of kind.enum ?? [false, true]) input.append(make("option", { value, textContent: value }));
  } else {
    input = make("input", { type: "text", autocomplete: "off" });
    if (kind.type !== "string") input.inputMode = "decimal";
    if (kind.format === "date") input.type = "date";
    if (kind.format === "date-time") Object.assign(input, { type: "datetime-local", step: 1 });
  }
  const moment = kind.format === "date-time"; // the control has no time zone: what it holds is UTC
  Object.assign(input, { id, name, required, value: (moment ? example?.slice(0, 19) : example) ?? "" });
  input.dataset.type = moment ? "moment" : kind.type;
  input.setAttribute("aria-describedby", `${id}-hint ${id}-error`);
  const low = kind.minimum ?? kind.exclusiveMinimum ?? kind.formatMinimum ?? kind.formatExclusiveMinimum;
  const high = kind.maximum ?? kind.exclusiveMaximum ?? kind.formatMaximum ?? kind.formatExclusiveMaximum;
  const range = low !== undefined || high !== undefined ? `${low ?? "…"} to ${high ?? "…"}` : "";
  const hint = [field.description, [range, moment ? "UTC" : field.unit].filter(Boolean).join(" ")].filter(Boolean).join(": ");
  return make("div", {},
    make("label", { htmlFor: id, textContent: name.replaceAll("_", " ") + (required ? "" : " (optional)") }), input,
    make("p", { id: `${id}-hint`, className: "hint", textContent: hint }),
    make("p", { id: `${id}-error`, className: "error" }));
}

// What cannot be read as the field's kind is sent as it is: the service says what is wrong with it.
function value(input) {
  const text = input.value.trim();
  if (input.dataset.type === "boolean") return text === "true";
  if (input.dataset.type === "moment") return `${text}Z`;
  if (input.dataset.type === "string") return text;
  return Number.isFinite(Number(text)) ? Number(text) : text;
}

async function ask(path, body) {
  const response = await fetch(path, { method: body ? "POST" : "GET", headers: headers(), body });
  if (response.status !== 401) return response;
  const key = prompt("API key");
  if (key === null) return response;
  sessionStorage.setItem("key", key);
  return ask(path, body);
}

async function predict(event) {
  event.preventDefault();
  const inputs = [...$("form").querySelectorAll("[name]")];
  const row = Object.fromEntries(inputs.filter((i) => i.value.trim() !== "").map((i) => [i.name, value(i)]));
  inputs.forEach((input) => {
    input.removeAttribute("aria-invalid");
    $(`${input.id}-error`).textContent = "";
  });
  const answer = $("answer");
  answer.replaceChildren();
  let response, result;
  try {
    response = await ask("predict", JSON.stringify(row));
    result = await response.json();
  } catch (error) {
    answer.append(make("p", { className: "error", textContent: `No answer: ${error.message}` }));
    return;
  }
  if (!response.ok) return showErrors(result, inputs);
  const { label, value: number, probabilities = {} } = result.predictions[0];
  const told = make("strong", { textContent: label ?? number });
  answer.append(told);
  for (const [name, chance] of Object.entries(probabilities)) {
    answer.append(make("label", {}, `${name}: ${(100 * chance).toFixed(1)} %`, make("meter", { value: chance })));
  }
  await explain(row, told);
}

// What each field contributed, as bars from a common zero; without an answer there are none. A later prediction removes
// what this one stands below.
async function explain(row, below) {
  const response = await ask("explain", JSON.stringify(row)).catch(() => null);
  if (!response?.ok) return;
  const { label, base, contributions, standard_errors: errors } = (await response.json()).explanations[0];
  const largest = Math.max(...Object.values(contributions).map(Math.abs)) || 1;
  const [scale, digits] = label === undefined ? [1, 3 - Math.floor(Math.log10(largest))] : [100, 1];
  const maximumFractionDigits = Math.min(Math.max(digits, 0), 20);
  const shown = (x, signDisplay = "auto") => (scale * x).toLocaleString("en", { maximumFractionDigits, signDisplay });
  const unit = label === undefined ? "" : ` % ${label}`;
  const total = Object.values(contributions).reduce((sum, part) => sum + part, base);
  const about = `Why: from ${shown(base)}${unit} on average to ${shown(total)}${unit}, field by field`;
  const table = make("table", { className: "bars" }, make("caption", { textContent: about }));
  for (const [name, part] of Object.entries(contributions).sort(([, a], [, b]) => Math.abs(b) - Math.abs(a))) {
    const bar = make("div", { className: part < 0 ? "less" : "more" });
    bar.style.width = `${(50 * Math.abs(part)) / largest}%`;
    const number = shown(part, "exceptZero") + (errors ? ` ± ${shown(1.96 * errors[name])}` : "");
    table.append(make("tr", {}, make("th", { scope: "row", textContent: name.replaceAll("_", " ") }),
      make("td", {}, bar), make("td", { textContent: number })));
  }
  if (below.isConnected) $("answer").append(table);
}

function showErrors(problem, inputs) {
  const wrong = [];
  for (const item of problem.errors ?? []) {
    const input = inputs.find((candidate) => candidate.name === item.field.split(".")[0]);
    if (!input) continue;
    input.setAttribute("aria-invalid", "true");
    $(`${input.id}-error`).textContent = item.message;
    wrong.push(input);
  }
  if (wrong.length) inputs.find((input) => wrong.includes(input)).focus();
  else $("answer").append(make("p", { className: "error", textContent: problem.detail }));
}

function show(card) {
  document.title = $("name").textContent = card.name;
  $("about").textContent = `Predicts ${card.target}. Version ${card.version}: ${card.estimator}.`;
  const required = new Set(card.schema.required);
  for (const [name, field] of Object.entries(card.schema.properties)) {
    $("form").append(control(name, field, required.has(name), card.example[name]));
  }
  $("form").append(make("div", { className: "whole" }, make("button", { textContent: "Predict" })));
  $("form").addEventListener("submit", predict);
  const number = (x) => (typeof x === "number" ? x.toFixed(3) : "");
  for (const [name, metric] of Object.entries(card.metrics)) {
    if (typeof metric?.value !== "number") continue;
    const interval = typeof metric.low === "number" ? `${number(metric.low)} to ${number(metric.high)}` : "";
    const cells = [number(metric.value), interval].map((text) => make("td", { textContent: text }));
    $("metrics").append(make("tr", {}, make("th", { scope: "row", textContent: name.replaceAll("_", " ") }), ...cells));
  }
  for (const src of card.plots) {
    $("plots").append(make("img", { src, alt: src.replace(/.*\/|\.svg$/g, "").replaceAll(/[-_]/g, " ") }));
  }
  const facts = { verdict: card.verdict.verdict ?? card.verdict.action, ...card.lineage };
  for (const [name, fact] of Object.entries(facts)) {
    if (fact != null) $("lineage").append(make("dt", { textContent: name }), make("dd", { textContent: fact }));
  }
}

const response = await ask("model");
if (response.ok) show(await response.json());
else $("about").textContent = (await response.json()).detail;
