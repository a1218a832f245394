// Every word that the pages say, in the languages they speak. `{name}` stands for what is given.

import { keep, kept } from "./state.js";

const ENGLISH = {
  page_explorer: "Explorer", page_desk: "Writing desk", page_inside: "Look inside", page_articles: "Articles", page_detect: "Who wrote it?", page_music: "Music", pages: "Pages",
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
  steps_inside: "Where you are", stepToken: "token", stepLayer: "layer", stepBack: "one {what} back", stepOn: "one {what} on",
  leaveOut: "Leave this token out", putBack: "Put it back", bitsMore: "{n} bits", lessBits: "less surprising", moreBits: "more surprising", withoutSummary: "without {token} the rest costs {n} bits", withoutHere: "without {token}: {bits} bits ({n})",
  neurons: "Neurons", neuronsLead: "The neurons of a layer that fire most at the token, and what they add to the logits of the next one by themselves: the darker, the more.", neuronsOf: "{n} of the {all} neurons of layer {l}, at {token}", neuron: "neuron", active: "active", promotes: "makes likelier", suppresses: "makes less likely",

  articlesTitle: "Any field from the others", articlesLead: "A news article has five fields. Fill in what you know, leave the rest empty, and have the model write any of them, again and again.",
  articleModel: "Model of articles", articlesNone: "None of this server's models knows the fields of articles. Train one from articles as JSON lines, and serve it:", articlesMore: "docs/articles.md says what such lines hold and how a corpus is made from web pages.",
  field_domain: "Domain", field_date: "Date", field_authors: "Authors", field_title: "Headline", field_article: "Body",
  example_domain: "example.com", example_date: "April 19, 2019", example_authors: "Ann Lee, Bo Li", example_title: "Sea lions return to the old harbour", example_article: "They came back on Thursday, …",
  write: "Write", writeField: "Write: {field}", stopField: "Stop: {field}", undoField: "Undo: {field}", fillMissing: "Write what is missing", bodyLength: "Body, at most", copyJson: "Copy as JSON", notEnded: "The model did not end it.", cutAway: "{n} tokens of the other fields did not fit the model's window.", byTheModel: "written by the model",

  detectTitle: "Did a machine write this?", detectLead: "Paste a text. Each token is coloured by how expected it was, and above it stands what can honestly be said.",
  detectPlaceholder: "Paste a text of a hundred words or more", measure: "Measure", measuring: "Measuring …",
  call_machine: "Probably machine-written", call_human: "Probably human", call_unsure: "Cannot tell", call_too_short: "Too short to say", call_unlike: "No verdict: unlike anything the detector was trained with", call_none: "No verdict: this model has no detector",
  saidProbability: "Probability {p} that a machine wrote it, if half of all texts were a machine's.", above: "above {p}", belowP: "below {p}",
  shareOf: "Of {n} texts of about {words} words that the detector had not learnt from and put here, {p} were machine-written.",
  ranking: "At this length it puts a machine's text above a human's {p} of the time. If it may accuse one human in a hundred, it finds {q} of the machines' texts.",
  tooShort: "Of {n} words nothing can be said; even at fifty it is little better than a coin.",
  trainedOn: "Trained on {pairs} pairs: the writing of {corpora}, against {generators}. Of other writing and other machines it knows nothing.", noProof: "Evidence, no proof. Accuse nobody by it.",
  noDetector: "The detector that comes along is the embedded model's. Train one for this model with gpt2lab detect train.",
  colourBy: "Colour by", by_rank: "rank", by_share: "frac(p)", bound: "bound {n}", belowN: "below {n}", rest: "the rest", between: "{a} to {b}",
  coloured: "Token by token", fraction: "frac(p) {n}", charts: "Histograms", chart_rank: "Tokens by rank", chart_share: "frac(p): a token's probability over the likeliest one's", chart_entropy: "Entropy of the ten likeliest tokens, in nats",
  methods: "Measurements", methodsLead: "Each beside human texts of this length. Far out on either side is unusual: samplers differ in which.", placed: "above {p} of human texts", method_likelihood: "Likelihood", method_rank: "Rank", method_log_rank: "Log-rank", method_lrr: "LRR", method_entropy: "Entropy", method_fast_detectgpt: "Fast-DetectGPT", method_binoculars: "Binoculars (one model)",

  musicTitle: "Music", musicLead: "A language model whose words are notes. Have it compose, or give it the beginning of a piece as a MIDI file.",
  noMusic: "No model of music is served here.", noMusicWhy: "One comes with gpt2lab, gpt2lab music train makes others. Start the server with it:",
  piece: "Piece", position: "Position in the piece", noNotes: "Nothing yet: compose, or open a MIDI file (it may be dropped here).",
  compose: "Compose", composing: "Composing …", goOnMusic: "Continue", play: "Play", pause: "Pause", openMidi: "Open MIDI", saveMidi: "Save MIDI", reading: "Reading …",
  pieceMade: "{s} s, {notes} notes; the model wrote {tokens} tokens; seed {seed}", fileRead: "{name}: {s} s, {notes} notes. Continue goes on from its beginning.",
  seconds: "New music", primer: "Take of the file", secondsShow: "{n} s", wholeFile: "all",
  space: "Space", keyPlay: "play or pause", keySeek: "move in the piece", colours: "orange is what was given, green what the model wrote",
};

const CHINESE = {
  page_explorer: "探索", page_desk: "写作台", page_inside: "看进内部", page_articles: "新闻", page_detect: "谁写的？", page_music: "音乐", pages: "页面",
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
  steps_inside: "当前位置", stepToken: "token", stepLayer: "层", stepBack: "上一个{what}", stepOn: "下一个{what}",
  leaveOut: "去掉这个 token", putBack: "放回", bitsMore: "{n} 比特", lessBits: "更在意料之中", moreBits: "更意外", withoutSummary: "去掉 {token} 后其余多 {n} 比特", withoutHere: "去掉 {token}：{bits} 比特（{n}）",
  neurons: "神经元", neuronsLead: "这一层中在该 token 处最活跃的神经元，以及它们单独给下一个 token 的 logit 加上多少：颜色越深，加得越多。", neuronsOf: "第 {l} 层 {all} 个神经元中的 {n} 个，在 {token} 处", neuron: "神经元", active: "活跃度", promotes: "使更可能", suppresses: "使更不可能",

  articlesTitle: "由其余各项写出任何一项", articlesLead: "一篇新闻有五项。填上你知道的，其余留空，让模型写出任何一项，想写几遍就写几遍。",
  articleModel: "新闻模型", articlesNone: "这台服务器上没有懂得新闻各项的模型。用 JSON 行格式的文章训练一个，再启动服务：", articlesMore: "每行应有什么、如何从网页制作语料，见 docs/articles.md。",
  field_domain: "网站", field_date: "日期", field_authors: "作者", field_title: "标题", field_article: "正文",
  example_domain: "example.com", example_date: "April 19, 2019", example_authors: "Ann Lee, Bo Li", example_title: "Sea lions return to the old harbour", example_article: "They came back on Thursday, …",
  write: "写", writeField: "写：{field}", stopField: "停：{field}", undoField: "撤销：{field}", fillMissing: "写出空缺的", bodyLength: "正文长度上限", copyJson: "复制为 JSON", notEnded: "模型没有把它写完。", cutAway: "其余各项有 {n} 个 token 放不进模型的窗口。", byTheModel: "出自模型",

  detectTitle: "这是机器写的吗？", detectLead: "粘贴一段文本。每个 token 按意料之中的程度着色；上方是能够如实说出的结论。",
  detectPlaceholder: "粘贴一百词以上的文本", measure: "测量", measuring: "正在测量……",
  call_machine: "很可能出自机器", call_human: "很可能出自人", call_unsure: "无法判断", call_too_short: "太短，无法判断", call_unlike: "不作判断：与检测器学过的都不相像", call_none: "不作判断：这个模型没有检测器",
  saidProbability: "假如一半文本出自机器，那么它出自机器的概率为 {p}。", above: "高于 {p}", belowP: "低于 {p}",
  shareOf: "检测器没有学过、约 {words} 词、得到同样结论的 {n} 篇文本中，{p} 出自机器。",
  ranking: "在这个长度上，它有 {p} 的时候把机器的文本排在人的之上。若容许冤枉百分之一的人，它能找出机器文本中的 {q}。",
  tooShort: "仅有 {n} 个词，无法判断；即使五十个词，也只比抛硬币略好。",
  trainedOn: "以 {pairs} 对文本训练：{corpora} 的写作，对照 {generators}。对别的写作和别的机器一无所知。", noProof: "这是线索，不是证据。不要据此指责任何人。",
  noDetector: "自带的检测器属于内置模型。可用 gpt2lab detect train 为这个模型训练一个。",
  colourBy: "着色依据", by_rank: "名次", by_share: "frac(p)", bound: "界限 {n}", belowN: "{n} 以内", rest: "其余", between: "{a} 到 {b}",
  coloured: "逐个 token", fraction: "frac(p) {n}", charts: "直方图", chart_rank: "按名次的 token 数", chart_share: "frac(p)：该 token 的概率与最可能者之比", chart_entropy: "十个最可能 token 的熵（奈特）",
  methods: "测量值", methodsLead: "各与同样长度的人写文本相比。偏向哪一端都不寻常：不同的采样方式偏向不同。", placed: "高于 {p} 的人写文本", method_likelihood: "似然", method_rank: "名次", method_log_rank: "对数名次", method_lrr: "LRR", method_entropy: "熵", method_fast_detectgpt: "Fast-DetectGPT", method_binoculars: "Binoculars（单模型）",

  musicTitle: "音乐", musicLead: "一个以音符为词的语言模型。让它作曲，或给它一首曲子的开头（MIDI 文件）。",
  noMusic: "这里没有音乐模型。", noMusicWhy: "gpt2lab 自带一个，也可用 gpt2lab music train 训练。用它启动服务器：",
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
