// What a page is about stands in its address, so that it can be sent, kept and gone back to.

// `fields`: name -> default, whose type the value has. What equals its default is left out of the address.
export function readAddress(fields) {
  const given = new URLSearchParams(location.search);
  const state = {};
  for (const [name, usual] of Object.entries(fields)) {
    const text = given.get(name);
    if (text === null) state[name] = usual;
    else if (typeof usual === "number") state[name] = text !== "" && Number.isFinite(Number(text)) ? Number(text) : usual;
    else state[name] = text;
  }
  return state;
}

export function addressOf(fields, state) {
  const out = new URLSearchParams();
  for (const [name, usual] of Object.entries(fields)) {
    if (state[name] !== usual && state[name] !== null && state[name] !== undefined) out.set(name, state[name]);
  }
  const query = out.toString();
  return location.pathname + (query ? `?${query}` : "");
}

export function keep(name, value) {
  try {
    if (value === null) localStorage.removeItem(`gpt2lab.${name}`);
    else localStorage.setItem(`gpt2lab.${name}`, value);
  } catch {
    // Then it is not kept.
  }
}

export function kept(name) {
  try {
    return localStorage.getItem(`gpt2lab.${name}`);
  } catch {
    return null;
  }
}
