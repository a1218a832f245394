// Every word that the pages say, in the languages they speak. `{name}` stands for what is given.

import { keep, kept } from "./state.js";

const ENGLISH = {
  page_explorer: "Explorer", page_desk: "Writing desk", page_inside: "Look inside", page_music: "Music", pages: "Pages",
  otherLanguage: "中", otherLanguageTitle: "用中文显示", theme_system: "Theme: as the system", theme_light: "Theme: light", theme_dark: "Theme: dark",
  model: "Model", again: "Try again", off: "off", cancel: "Cancel", goOn: "Go on", key: "API key", keyNeeded: "This server asks for a key", keyWhy: "It was started with --api-key. The key stays in this tab.",
  unreachable: "The server does not answer. Is gpt2lab serve still running?",

  explorerTitle: "Which word comes next?", explorerLead: "Write a beginning. The model says how likely every next token is; choose one and go on from there.",
  text: "Text", begin: "Joel is", options: "What may come next", settings: "Settings",
  view: "What to choose", view_tokens: "Tokens", view_words: "Words", view_paths: "Paths",
  says: "the model says", leaves: "settings leave", sum: "sum",
  k: "Options shown", steps: "Look ahead", stepsShow: "{n} tokens", stepsOne: "next token only", temperature: "Temperature", top_k: "Top-k", top_p: "Top-p", length: "Length", lengthShow: "{n} tokens",
  undo: "Undo", random: "Roll the dice", share: "Copy link", copied: "Copied",   tokens: "{n} tokens", token: "1 token", noTokens: "no tokens yet: this is how texts begin",
  mass_tokens: "{k} of {vocab} tokens hold {mass}", mass_words: "{k} words hold {mass}", mass_paths: "{k} paths of {n} tokens hold {mass}", massLeft: "settings leave {n}",
  uncertainty: "As unsure as among {n} equally likely tokens ({bits} bits)",
  slides: "The model reads the last {n} of {all} tokens; its window is {window}. What is before them is pale.",
  blankEnd: "The blank at the end is left out of the question: a word brings its own.",
  short: "Only {n} tokens ahead fit the model's window.",
  keys: "choose", keyUndo: "undo", keyRandom: "dice", keyFocus: "between text and options", chosen: "Chosen: {token}",
  deskTitle: "Writing desk", deskLead: "Write. Where you would like help, press Tab: the model offers three ways to go on.",
  deskPlaceholder: "It was the sort of morning on which …", desk: "Desk", story: "Story", preset: "Kind of desk",
  storyTitle: "This story does not exist", storyLead: "Give it a first sentence. The model makes up the rest, and it was never written before.",
  storyPlaceholder: "Once upon a time there was a lighthouse keeper who", tell: "Tell the story", more: "Tell more", stop: "Stop", clear: "Clear", copy: "Copy text", suggest: "Offer three", suggestions: "Three ways to go on", accept: "accept", dismiss: "dismiss", others: "three others", pick: "choose",
  words: "{n} words", madeShare: "{p} by the model", until: "Stop at", until_length: "the length", until_sentence: "the sentence's end", until_line: "the line's end", nothing: "The model ends the text here.", leave: "Esc, then Tab leaves the text",

  insideTitle: "Look inside", insideLead: "What surprises the model, what every layer would already say, and what every head attends to.",
  insideText: "When the rain had stopped, the old man opened the door and looked at the sea. The sea was", look: "Look", saveHtml: "Save as a page", looking: "Looking …",
  surprise: "Surprise", surpriseLead: "The darker a token, the less the model expected it. Choose one to follow it through the layers below.",
  bits: "{n} bits", surpriseSummary: "{bits} bits per token, perplexity {ppl}", rank: "rank {n}", startToken: "start", likely: "expected", unlikely: "surprising", chance: "probability {p}", nextHere: "The model's guesses for this place",
  lens: "Logit lens", lensLead: "Each layer's guess at the next token, as if its work ended there. A framed guess is what really follows.", layer: "layer {n}", embeddings: "embeddings", lastLayer: "the model",   attention: "Attention", attentionLead: "Every map is one head: each row a token, reading the tokens before it. Choose a head.", head: "layer {l}, head {h}", overview: "All heads", hideStart: "leave out the first token, on which many heads rest", lines: "Lines", attentionOf: "{from} gives {to} {p}",   cut: "Shown are the first {n} of {all} tokens.", savedNote: "{model} · made with gpt2lab", arrowHint: "arrow keys move between tokens",

  musicTitle: "Music", musicLead: "A language model whose words are notes. Have it compose, or give it the beginning of a piece as a MIDI file.",
  noMusic: "No model of music is served here.", noMusicWhy: "Train one with gpt2lab music train, then start the server with it:",
  piece: "Piece", position: "Position in the piece", noNotes: "Nothing yet: compose, or open a MIDI file (it may be dropped here).",
  compose: "Compose", composing: "Composing …", goOnMusic: "Continue", play: "Play", pause: "Pause", openMidi: "Open MIDI", saveMidi: "Save MIDI", reading: "Reading …",
  pieceMade: "{s} s, {notes} notes; the model wrote {tokens} tokens; seed {seed}", fileRead: "{name}: {s} s, {notes} notes. Continue goes on from its beginning.",
  seconds: "New music", primer: "Take of the file", secondsShow: "{n} s", wholeFile: "all",
  space: "Space", keyPlay: "play or pause", keySeek: "move in the piece", colours: "orange is what was given, green what the model wrote",
};

const CHINESE = {
  page_explorer: "探索", page_desk: "写作台", page_inside: "看进内部", page_music: "音乐", pages: "页面",
  otherLanguage: "EN", otherLanguageTitle: "Show in English", theme_system: "主题：跟随系统", theme_light: "主题：浅色", theme_dark: "主题：深色",
  model: "模型", again: "重试", off: "关", cancel: "取消", goOn: "继续", key: "API 密钥", keyNeeded: "这台服务器需要密钥", keyWhy: "它以 --api-key 启动。密钥只留在本标签页。",
  unreachable: "服务器没有回应。gpt2lab serve 还在运行吗？",

  explorerTitle: "下一个词是什么？", explorerLead: "写一个开头。模型给出每个后续 token 的概率；选一个，再从那里继续。",
  text: "文本", begin: "Joel is", options: "接下来可能是", settings: "设置",
  view: "选择的单位", view_tokens: "Token", view_words: "词", view_paths: "路径",
  says: "模型给出", leaves: "设置之后", sum: "累计",
  k: "显示选项", steps: "向前看", stepsShow: "{n} 个 token", stepsOne: "只看下一个", temperature: "温度", top_k: "Top-k", top_p: "Top-p", length: "长度", lengthShow: "{n} 个 token",
  undo: "撤销", random: "掷骰子", share: "复制链接", copied: "已复制",   tokens: "{n} 个 token", token: "1 个 token", noTokens: "还没有 token：文本就是这样开始的",
  mass_tokens: "{vocab} 个 token 中的 {k} 个占 {mass}", mass_words: "{k} 个词占 {mass}", mass_paths: "{k} 条 {n} 个 token 的路径占 {mass}", massLeft: "设置留下 {n} 个",
  uncertainty: "不确定程度相当于在 {n} 个等可能的 token 中选择（{bits} 比特）",
  slides: "模型只读全部 {all} 个 token 中的最后 {n} 个；窗口为 {window}。之前的部分以浅色显示。",
  blankEnd: "末尾的空格不参与提问：英文词自带空格。",
  short: "模型的窗口只容得下再看 {n} 个 token。",
  keys: "选择", keyUndo: "撤销", keyRandom: "骰子", keyFocus: "在文本与选项间切换", chosen: "已选：{token}",
  deskTitle: "写作台", deskLead: "动笔写吧。想要帮助时按 Tab：模型给出三种接法。",
  deskPlaceholder: "那是这样一个早晨……", desk: "写作", story: "故事", preset: "写作台的种类",
  storyTitle: "这个故事并不存在", storyLead: "给它第一句话。其余由模型编出，从未有人写过。",
  storyPlaceholder: "Once upon a time there was a lighthouse keeper who", tell: "讲这个故事", more: "接着讲", stop: "停", clear: "清空", copy: "复制文本", suggest: "给出三种", suggestions: "三种接法", accept: "采用", dismiss: "不用", others: "另外三种", pick: "选择",
  words: "{n} 个词", madeShare: "{p} 出自模型", until: "停在", until_length: "长度用尽", until_sentence: "句末", until_line: "行末", nothing: "模型认为文本到此为止。", leave: "先 Esc 再 Tab 离开文本框",

  insideTitle: "看进内部", insideLead: "什么让模型意外，每一层会怎么说，每个注意力头在看哪里。",
  insideText: "When the rain had stopped, the old man opened the door and looked at the sea. The sea was", look: "查看", saveHtml: "保存为网页", looking: "正在查看……",
  surprise: "意外程度", surpriseLead: "颜色越深，模型越没有料到。选一个 token，在下面各层中跟随它。",
  bits: "{n} 比特", surpriseSummary: "每个 token {bits} 比特，困惑度 {ppl}", rank: "第 {n} 位", startToken: "开始", likely: "意料之中", unlikely: "意外", chance: "概率 {p}", nextHere: "模型对此处的猜测",
  lens: "Logit 透镜", lensLead: "假如计算到此为止，每一层猜下一个 token 是什么。带框的正是真正的下一个。", layer: "第 {n} 层", embeddings: "词嵌入", lastLayer: "模型",   attention: "注意力", attentionLead: "每张图是一个头：每行是一个 token，读它之前的 token。选一个头。", head: "第 {l} 层，第 {h} 头", overview: "所有的头", hideStart: "略去第一个 token（许多头停在它上面）", lines: "连线", attentionOf: "{from} 给 {to} {p}",   cut: "显示全部 {all} 个 token 中的前 {n} 个。", savedNote: "{model} · 由 gpt2lab 生成", arrowHint: "方向键在 token 之间移动",

  musicTitle: "音乐", musicLead: "一个以音符为词的语言模型。让它作曲，或给它一首曲子的开头（MIDI 文件）。",
  noMusic: "这里没有音乐模型。", noMusicWhy: "先用 gpt2lab music train 训练一个，再用它启动服务器：",
  piece: "曲子", position: "曲中位置", noNotes: "还什么都没有：请作曲，或打开一个 MIDI 文件（可拖到这里）。",
  compose: "作曲", composing: "正在作曲……", goOnMusic: "续写", play: "播放", pause: "暂停", openMidi: "打开 MIDI", saveMidi: "保存 MIDI", reading: "正在读取……",
  pieceMade: "{s} 秒，{notes} 个音；模型写了 {tokens} 个 token；种子 {seed}", fileRead: "{name}：{s} 秒，{notes} 个音。“续写”从它的开头继续。",
  seconds: "新写的长度", primer: "取文件的开头", secondsShow: "{n} 秒", wholeFile: "全部",
  space: "空格", keyPlay: "播放或暂停", keySeek: "在曲中移动", colours: "橙色是给定的，绿色是模型写的",
};

const SPOKEN = { en: ENGLISH, zh: CHINESE };

export function languages() {
  return Object.keys(SPOKEN);
}

export function language() {
  const wanted = kept("language") || document.documentElement.lang || navigator.language || "en";
  return wanted.startsWith("zh") ? "zh" : "en";
}

export function useLanguage(name) {
  keep("language", name);
}

export function say(key, given = {}) {
  const sentence = SPOKEN[language()][key] ?? ENGLISH[key];
  if (sentence === undefined) throw new Error(`no words for ${key}`);
  return sentence.replace(/\{(\w+)\}/g, (_, name) => given[name]);
}

export function grouped(number) {
  return number.toLocaleString(language() === "zh" ? "zh-CN" : "en");
}
