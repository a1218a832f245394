// The page that is kept as one file: it draws the data that lies in it.

import { h } from "../lib/view.js";
import { language, say } from "../lib/words.js";
import { drawInspection } from "./inspection.js";

const keptData = JSON.parse(document.getElementById("data").textContent);
const keptRoot = document.getElementById("inspection");
document.documentElement.lang = language();
const keptParts = h("div");
keptRoot.append(h("h1", {}, say("insideTitle")), keptParts, h("p", { class: "saved" }, say("savedNote", { model: keptData.model })));
const redrawKept = drawInspection(keptParts, keptData);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redrawKept);
