// Small things that every page draws with. Text is only ever set as text, so that nothing in it becomes a part of the page.

export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.className = value;
    else if (name in element && name !== "list" && name !== "form") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

export function percent(probability) {
  const value = probability * 100;
  if (value >= 99.95) return probability === 1 ? "100 %" : "> 99.9 %";
  if (value >= 10) return `${value.toFixed(1)} %`;
  if (value >= 0.095) return `${value.toFixed(2)} %`;
  if (value >= 0.00095) return `${value.toFixed(value >= 0.0095 ? 3 : 4)} %`;
  return value > 0 ? "< 0.001 %" : "0 %";
}

const MARKS = { " ": "·", "\n": "↵", "\t": "⇥", "\r": "␍" };

// A token as it is shown: blanks and line breaks have marks of their own.
export function shownToken(text) {
  if (text === "") return [h("span", { class: "blank" }, "∅")];
  return [...text].map((c) => (c in MARKS ? h("span", { class: "blank" }, MARKS[c]) : c));
}

export function spokenToken(text) {
  return [...text].map((c) => MARKS[c] === "↵" ? "↵" : c).join("").trim() || "␣";
}

export function later(milliseconds, action) {
  let timer = 0;
  const planned = (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => action(...given), milliseconds);
  };
  planned.cancel = () => clearTimeout(timer);
  return planned;
}

// A colour of the stylesheet as numbers [r, g, b], for a canvas.
export function inkOf(name) {
  const probe = h("span", { hidden: true });
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 1;
  const context = canvas.getContext("2d");
  context.fillStyle = getComputedStyle(probe).color;
  probe.remove();
  context.fillRect(0, 0, 1, 1);
  return [...context.getImageData(0, 0, 1, 1).data.slice(0, 3)];
}
