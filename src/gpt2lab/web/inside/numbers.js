// The numbers of an inspection, as /api/inspect sends them.

// Adds `row(layer, head, i)`: what token i gives each of the tokens 0 to i, as shares of 1.
export function readInspection(data) {
  const bytes = Uint8Array.from(atob(data.attentions), (c) => c.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  const count = data.token_ids.length;
  const size = (count * (count + 1)) / 2;
  const values = new Float32Array(bytes.length / 2);
  for (let i = 0; i < values.length; i += 1) values[i] = view.getUint16(2 * i, true) / data.attention_unit;
  const row = (layer, head, i) => {
    const first = (layer * data.n_head + head) * size + (i * (i + 1)) / 2;
    return values.subarray(first, first + i + 1);
  };
  return { ...data, count, row };
}

// What a layer guesses for the place of token `at` (of the one behind the last token too): [text, probability], likeliest first.
export function guessesFor(data, layer, at) {
  return data.lens[layer].top[at - 1].map(([name, probability]) => [data.names[name], probability]);
}
