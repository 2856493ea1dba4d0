// The storyteller in a browser: its tokenizer, its file of weights, its forward pass.
//
// The same tensors under the same names as in llmbook/gpt.py, read from the same file;
// the tests compare every logit. Matrices are rows of numbers in one long array: the
// vector of token t begins at t * C. What a reader may want to see is kept: the stream
// after each block, and what every head looked at.

// ---- Tokens -------------------------------------------------------------------------

// JavaScript's \s is not Unicode's white space, which Python's regex module goes by.
const pattern = (source) => {
  const python = source.replaceAll("\\s", "\\p{White_Space}");
  return new RegExp(python.replaceAll("\\S", "\\P{White_Space}"), "gu");
};

/** Byte-pair encoding, as llmbook.tokenizer.BPETokenizer does it. */
export class Tokenizer {
  constructor(description) { // what is in tokenizer.json
    this.pattern = pattern(description.pattern);
    this.merges = new Map(); // "a,b" -> the token that the two become
    this.tokens = []; // id -> its bytes
    const order = description.byte_order;
    this.ids = new Array(256); // byte -> its id
    for (let id = 0; id < 256; id++) {
      const byte = parseInt(order.slice(2 * id, 2 * id + 2), 16);
      this.ids[byte] = id;
      this.tokens[id] = [byte];
    }
    for (const [a, b, id] of description.merges) {
      this.merges.set(`${a},${b}`, id);
      this.tokens[id] = [...this.tokens[a], ...this.tokens[b]];
    }
    this.special = description.special_tokens;
    this.end = this.special["<|endoftext|>"];
    const utf8 = new TextEncoder();
    for (const [name, id] of Object.entries(this.special)) {
      this.tokens[id] = [...utf8.encode(name)];
    }
  }

  /** Text to ids; special tokens in it are plain text. */
  encode(text) {
    const utf8 = new TextEncoder();
    const words = text.match(this.pattern) ?? [];
    return words.flatMap((word) => this.mergeWord([...utf8.encode(word)]));
  }

  /** The tokens of one word: the pair that was learned first is merged first. */
  mergeWord(bytes) {
    let ids = bytes.map((byte) => this.ids[byte]);
    while (ids.length > 1) {
      let best = Infinity;
      for (let i = 0; i + 1 < ids.length; i++) {
        best = Math.min(best, this.merges.get(`${ids[i]},${ids[i + 1]}`) ?? Infinity);
      }
      if (best === Infinity) break;
      const merged = [];
      for (let i = 0; i < ids.length; i++) {
        if (this.merges.get(`${ids[i]},${ids[i + 1]}`) === best) {
          merged.push(best);
          i++;
        } else {
          merged.push(ids[i]);
        }
      }
      ids = merged;
    }
    return ids;
  }

  /** Ids to text; bytes that are no UTF-8 become U+FFFD. */
  decode(ids) {
    const bytes = ids.flatMap((id) => this.tokens[id]);
    return new TextDecoder("utf-8", { ignoreBOM: true }).decode(new Uint8Array(bytes));
  }
}

// ---- Weights ------------------------------------------------------------------------

/** All numbers of 16 bits (1 sign, 5 exponent, 10 fraction), by their bits. */
const HALVES = new Float32Array(2 ** 16);
for (let bits = 0; bits < 2 ** 16; bits++) {
  const sign = bits >> 15 ? -1 : 1, exponent = (bits >> 10) & 31, fraction = bits & 1023;
  if (exponent === 0) HALVES[bits] = sign * fraction * 2 ** -24;
  else if (exponent === 31) HALVES[bits] = fraction ? NaN : sign * Infinity;
  else HALVES[bits] = sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** The tensors of a safetensors file in float16, and what it says about itself. */
export function readWeights(buffer) {
  const start = 8 + new DataView(buffer).getUint32(0, true); // of 64 bits, half is enough
  const { __metadata__: about, ...header } = JSON.parse(
    new TextDecoder().decode(new Uint8Array(buffer, 8, start - 8)),
  );
  const tensors = {};
  for (const [name, { dtype, data_offsets: [from, to] }] of Object.entries(header)) {
    if (dtype !== "F16") throw new Error(`${name} is ${dtype}: save it in float16`);
    const bits = new Uint16Array(buffer, start + from, (to - from) / 2);
    const numbers = new Float32Array(bits.length);
    for (let i = 0; i < bits.length; i++) numbers[i] = HALVES[bits[i]];
    tensors[name.replace(/^model\./, "")] = numbers;
  }
  return { config: JSON.parse(about.llmbook).config, tensors };
}

// ---- The forward pass ---------------------------------------------------------------

/** y = x Wᵀ for rows x of a width, W stored as rows: what nn.Linear computes. */
function linear(x, W, width) {
  const n = x.length / width, out = W.length / width;
  const y = new Float32Array(n * out);
  for (let o = 0; o < out; o++) {
    const row = o * width;
    let t = 0;
    for (; t + 4 <= n; t += 4) { // four tokens at a time share each weight that is read
      const a = t * width, b = a + width, c = b + width, d = c + width;
      let p = 0, q = 0, r = 0, s = 0;
      for (let i = 0; i < width; i++) {
        const w = W[row + i];
        p += w * x[a + i];
        q += w * x[b + i];
        r += w * x[c + i];
        s += w * x[d + i];
      }
      y[t * out + o] = p;
      y[(t + 1) * out + o] = q;
      y[(t + 2) * out + o] = r;
      y[(t + 3) * out + o] = s;
    }
    for (; t < n; t++) {
      let sum = 0;
      for (let i = 0; i < width; i++) sum += W[row + i] * x[t * width + i];
      y[t * out + o] = sum;
    }
  }
  return y;
}

/** Bring each row to mean 0 and variance 1, then stretch it. */
function layerNorm(x, weight) {
  const C = weight.length, y = new Float32Array(x.length);
  for (let at = 0; at < x.length; at += C) {
    let mean = 0, variance = 0;
    for (let i = 0; i < C; i++) mean += x[at + i] / C;
    for (let i = 0; i < C; i++) variance += (x[at + i] - mean) ** 2 / C;
    const scale = 1 / Math.sqrt(variance + 1e-5);
    for (let i = 0; i < C; i++) y[at + i] = (x[at + i] - mean) * scale * weight[i];
  }
  return y;
}

/** GELU, in place, by the formula with tanh that GPT-2 uses. */
function gelu(x) {
  const root = Math.sqrt(2 / Math.PI);
  for (let i = 0; i < x.length; i++) {
    x[i] *= 0.5 * (1 + Math.tanh(root * (x[i] + 0.044715 * x[i] ** 3)));
  }
  return x;
}

/** Scores to shares that sum to 1, in place. */
export function softmax(scores) {
  const most = scores.reduce((a, b) => Math.max(a, b), -Infinity);
  let sum = 0;
  for (let i = 0; i < scores.length; i++) sum += scores[i] = Math.exp(scores[i] - most);
  for (let i = 0; i < scores.length; i++) scores[i] /= sum;
  return scores;
}

const add = (x, y) => x.forEach((_, i) => (x[i] += y[i]));
const pause = () => new Promise((resolve) => setTimeout(resolve));

export class Model {
  constructor({ config, tensors }) {
    if (config.rotary || config.bias || config.gelu !== "tanh") {
      throw new Error("this forward pass knows learned positions, tanh and no bias");
    }
    this.config = config;
    this.tensors = tensors;
  }

  static async load(address) {
    const answer = await fetch(address);
    if (!answer.ok) throw new Error(`${address}: status ${answer.status}`);
    return new Model(readWeights(await answer.arrayBuffer()));
  }
}

/** What a model makes of a row of tokens, with or without its causal mask. */
export class Reading {
  constructor(model, masked = true) {
    const { n_layer: L, n_head: H, n_embd: C, context_length: T } = model.config;
    this.model = model;
    this.masked = masked;
    this.ids = [];
    const memory = (n) => Array.from({ length: n }, () => new Float32Array(T * C));
    this.stream = memory(L + 1); // after the embedding, and after each block
    this.keys = memory(L);
    this.values = memory(L);
    this.looks = Array.from({ length: L * H }, () => new Float32Array(T * T));
  }

  /**
   * Read tokens. Those that have been read stay as they are, which is the cache of
   * keys and values; without the mask they may look at the new ones, so all are read.
   */
  async read(ids) {
    const { n_embd: C, context_length: T, n_layer: L } = this.model.config;
    if (ids.length > T) throw new Error(`${ids.length} tokens, and it looks at ${T}`);
    let start = 0;
    if (this.masked) {
      while (start < ids.length && ids[start] === this.ids[start]) start++;
    }
    this.ids = ids.slice(0, start); // should it be left in the middle
    const n = ids.length - start;
    if (n) {
      const { "wte.weight": words, "wpe.weight": places } = this.model.tensors;
      let x = new Float32Array(n * C);
      for (let t = 0; t < n; t++) {
        for (let i = 0; i < C; i++) {
          x[t * C + i] = words[ids[start + t] * C + i] + places[(start + t) * C + i];
        }
      }
      this.stream[0].set(x, start * C);
      for (let layer = 0; layer < L; layer++) {
        this.block(layer, x, start);
        this.stream[layer + 1].set(x, start * C);
        if (n > 16) await pause(); // let the page answer between blocks
      }
    }
    this.ids = [...ids];
    return this;
  }

  /** One block, in place: look back, then think. */
  block(layer, x, start) {
    const C = this.model.config.n_embd;
    const tensor = (name) => this.model.tensors[`h.${layer}.${name}.weight`];
    add(x, this.attend(layer, layerNorm(x, tensor("ln_1")), tensor, start));
    const wide = linear(layerNorm(x, tensor("ln_2")), tensor("mlp.c_fc"), C);
    add(x, linear(gelu(wide), tensor("mlp.c_proj"), 4 * C));
  }

  /** Attention of all heads of a layer; their shares are kept in `looks`. */
  attend(layer, x, tensor, start) {
    const { n_head: H, n_embd: C, context_length: T } = this.model.config;
    const D = C / H, n = x.length / C;
    const qkv = linear(x, tensor("attn.c_attn"), C); // n rows of queries, keys, values
    const keys = this.keys[layer], values = this.values[layer];
    for (let t = 0; t < n; t++) {
      keys.set(qkv.subarray((3 * t + 1) * C, (3 * t + 2) * C), (start + t) * C);
      values.set(qkv.subarray((3 * t + 2) * C, (3 * t + 3) * C), (start + t) * C);
    }
    const found = new Float32Array(n * C);
    for (let t = 0; t < n; t++) {
      const seen = this.masked ? start + t + 1 : n;
      for (let head = 0; head < H; head++) {
        const row = (start + t) * T;
        const shares = this.looks[layer * H + head].subarray(row, row + T).fill(0);
        const scores = shares.subarray(0, seen);
        const q = 3 * t * C + head * D;
        for (let s = 0; s < seen; s++) {
          const k = s * C + head * D;
          let score = 0;
          for (let i = 0; i < D; i++) score += qkv[q + i] * keys[k + i];
          scores[s] = score / Math.sqrt(D);
        }
        softmax(scores);
        for (let s = 0; s < seen; s++) {
          const v = s * C + head * D, share = scores[s];
          for (let i = 0; i < D; i++) found[t * C + head * D + i] += share * values[v + i];
        }
      }
    }
    return linear(found, tensor("attn.c_proj"), C);
  }

  /** Scores for the token behind token `at`; after fewer blocks, the logit lens. */
  logits(at, depth = this.model.config.n_layer) {
    const { n_embd: C } = this.model.config;
    const x = this.stream[depth].subarray(at * C, (at + 1) * C);
    const { "ln_f.weight": norm, "wte.weight": words } = this.model.tensors;
    return linear(layerNorm(x, norm), words, C);
  }

  /** How the head of a layer shares out the look of token `at`: one number a token. */
  attention(layer, head, at) {
    const { n_head: H, context_length: T } = this.model.config;
    const row = at * T;
    return this.looks[layer * H + head].subarray(row, row + this.ids.length);
  }

  /** What token `at` costs, in nats; the end of a story stands behind the last. */
  loss(at, end) {
    const probs = softmax(Float64Array.from(this.logits(at - 1)));
    return -Math.log(probs[this.ids[at] ?? end]);
  }
}

// ---- Drawing ------------------------------------------------------------------------

/** Scores to chances, as llmbook.generation.next_probs: among equals the smaller id. */
export function nextProbs(logits, { temperature = 1, topK = Infinity, topP = 1 } = {}) {
  const best = logits.reduce((a, b) => Math.max(a, b), -Infinity);
  const order = Array.from(logits.keys()).sort((a, b) => logits[b] - logits[a] || a - b);
  const probs = new Float64Array(logits.length);
  if (temperature === 0) {
    probs[order[0]] = 1;
    return probs;
  }
  let kept = order.slice(0, topK), sum = 0;
  for (const id of kept) sum += probs[id] = Math.exp((logits[id] - best) / temperature);
  if (topP < 1) {
    let before = 0; // the mass of those that come first
    const enough = kept.findIndex((id) => (before += probs[id] / sum) >= topP);
    const cut = enough < 0 ? kept.length : enough + 1;
    for (const id of kept.slice(cut)) probs[id] = 0;
    kept = kept.slice(0, cut);
    sum = kept.reduce((total, id) => total + probs[id], 0);
  }
  for (const id of kept) probs[id] /= sum;
  return probs;
}

/** The id on which a number from 0 to below 1 falls. */
export function draw(probs, u) {
  let sum = 0, last = 0;
  for (let id = 0; id < probs.length; id++) {
    if (!probs[id]) continue;
    last = id;
    if ((sum += probs[id]) > u) return id;
  }
  return last;
}

/** A number from 0 to below 1 for each place of each seed, the same at every visit. */
export function uniform(seed, place) {
  let x = Math.imul(seed + 1, 0x9e3779b1) ^ Math.imul(place + 1, 0x85ebca6b);
  for (const factor of [0x7feb352d, 0x846ca68b]) {
    x = Math.imul(x ^ (x >>> 16), factor);
    x ^= x >>> 15;
  }
  return ((x ^ (x >>> 16)) >>> 0) / 2 ** 32;
}
