// Before anything is drawn: the reader's theme and language, so that nothing flashes. The one script that is no module.
"use strict";
(() => {
  try {
    const theme = localStorage.getItem("gpt2lab.theme");
    if (theme) document.documentElement.dataset.theme = theme;
    document.documentElement.lang = localStorage.getItem("gpt2lab.language") || (navigator.language.startsWith("zh") ? "zh" : "en");
  } catch {
    // A browser that keeps nothing for us shows what it would anyway.
  }
})();
