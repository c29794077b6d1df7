// corpus.mjs - Schemas and instances for the grammar test, with ajv as the judge.
//
//   node corpus.mjs make CORPUS       write one JSON line per schema: {schema, good: [...], bad: [...]}
//   node corpus.mjs check CORPUS OUT  judge what the masks led to: OUT has {i, text} per line
//
// Instances are compact texts whose properties stand in the order of the schema.  Everything is a
// function of SEED, so a failure can be repeated.
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
const require = createRequire(process.cwd() + "/");
const Ajv2020 = require("ajv/dist/2020").default;
const addFormats = require("ajv-formats").default ?? require("ajv-formats");

const SEED = 20261121;
const SCHEMAS = 700;

let state = SEED >>> 0;
function random() { // mulberry32
  state = (state + 0x6d2b79f5) >>> 0;
  let t = state;
  t = Math.imul(t ^ (t >>> 15), t | 1);
  t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
}
const below = (n) => Math.floor(random() * n);
const pick = (list) => list[below(list.length)];
const chance = (p) => random() < p;

function compiled(schema) {
  const ajv = new Ajv2020({ strict: false, validateFormats: true, logger: false });
  addFormats(ajv);
  return ajv.compile(schema);
}

// ---- schemas ----

const PATTERNS = {
  "^[a-z]+$": ["a", "hello", "zz"],
  "^[A-Z]{2,3}-\\d{4}$": ["AB-1234", "ABC-0000"],
  "^(red|green|blue)$": ["red", "blue"],
  "\\d": ["a1", "7", "x9y"],
  "^\\S+@\\S+$": ["a@b", "me@x.y"],
  "^[^\\s\"]*$": ["", "abc", "é-ß"],
  "^.{1,8}$": ["a", "日本語", "q\"w\\e"],
  "^(?:[01]\\d|2[0-3]):[0-5]\\d$": ["00:00", "23:59"],
  "^v\\d+\\.\\d+(\\.\\d+)?$": ["v1.2", "v10.20.30"],
  "a|^b|c$": ["xay", "bzz", "zc"],
  "^[\\w.-]{3,20}$": ["a.b-c", "under_score"],
  "^\\$[0-9]+(\\.[0-9]{2})?$": ["$1", "$12.50"],
  "\\bfoo\\b": ["foo", "a foo.", "é-foo é"],
  "^\\w+\\b \\B[-+]\\d*$": ["ab -12", "x +"],
  "^\\p{Lu}[\\p{L}' -]{1,20}$": ["Éa", "Marie Curie", "ΩЖ日本"],
  "^(?:ab|abcd)+$": ["ab", "abcdab", "abababab"],
};
const FORMATS = {
  date: ["2024-02-29", "1999-12-31"],
  time: ["10:00:00Z", "23:59:59.5+01:00"],
  "date-time": ["2024-02-29T10:00:00Z", "1999-12-31T23:59:59.123-08:00"],
  duration: ["P1Y2M3D", "PT1H30M", "P4W", "P1DT12H"],
  email: ["a@b.co", "first.last+tag@mail.example.org"],
  uuid: ["123e4567-e89b-12d3-a456-426614174000"],
  uri: ["https://example.org/a?b=c#d", "urn:isbn:0451450523", "mailto:x@y.z", "ftp://u:p@h:21/f"],
  hostname: ["a", "example.org", "x-1.y2.net"],
  ipv4: ["0.0.0.0", "192.168.1.255"],
  ipv6: ["::", "::1", "2001:db8::8a2e:370:7334", "1:2:3:4:5:6:7:8", "::ffff:10.0.0.1"],
};
const NAMES = ["id", "name", "kind", "value", "tags", "é", "a b", "x-y", "price", "items"];
const SCALARS = [0, 1, -7, 42, 2.5, "", "a", "b", "long text", "q\"uo\\te", "line\nbreak", "é€𝄞", true, false, null];

function stringSchema() {
  const s = { type: "string" };
  const r = random();
  if (r < 0.25) { s.minLength = below(4); s.maxLength = s.minLength + below(12); }
  else if (r < 0.55) { s.pattern = pick(Object.keys(PATTERNS)); if (chance(0.3)) s.maxLength = 4 + below(10); if (chance(0.2)) s.minLength = 2; }
  else if (r < 0.8) { s.format = pick(Object.keys(FORMATS)); if (chance(0.1)) s.maxLength = 40; }
  return s;
}
function numberSchema() {
  const s = { type: chance(0.6) ? "integer" : "number" };
  const a = pick([-1000, -10, -1, 0, 0.5, 1, 7, 99]), b = a + pick([0, 1, 2.5, 10, 150, 12345]);
  if (chance(0.5)) s[chance(0.7) ? "minimum" : "exclusiveMinimum"] = a;
  if (chance(0.5)) s[chance(0.7) ? "maximum" : "exclusiveMaximum"] = b + 1;
  if (s.type === "integer" && chance(0.25)) s.multipleOf = pick([2, 3, 5, 7, 10, 25]);
  return s;
}
function enumSchema() {
  const n = 1 + below(4), values = [];
  for (let i = 0; i < n; i++) {
    const v = chance(0.1) ? pick([[1, "a"], { k: [null] }, []]) : pick(SCALARS);
    if (!values.some((w) => JSON.stringify(w) === JSON.stringify(v))) values.push(v);
  }
  return values.length === 1 && chance(0.5) ? { const: values[0] } : { enum: values };
}
function arraySchema(depth) {
  const s = { type: "array" };
  const r = random();
  if (r < 0.15) {
    s.items = chance(0.3) ? { type: "integer", exclusiveMinimum: -2, maximum: below(5) } : { enum: ["a", "b", "c", 1, null].slice(0, 2 + below(4)) };
    s.uniqueItems = true;
    s.maxItems = 1 + below(4);
    if (chance(0.4)) s.minItems = 1;
    return s;
  }
  if (r < 0.4) {
    s.prefixItems = Array.from({ length: 1 + below(3) }, () => schemaOf(depth - 1));
    if (chance(0.6)) s.items = chance(0.6) ? false : schemaOf(depth - 1);
  } else s.items = schemaOf(depth - 1);
  if (chance(0.5)) s.minItems = below(3);
  if (chance(0.5)) s.maxItems = (s.minItems ?? 0) + below(4);
  return s;
}
function objectSchema(depth) {
  const s = { type: "object" };
  const names = NAMES.filter(() => chance(0.35));
  if (names.length > 0) s.properties = Object.fromEntries(names.map((n) => [n, schemaOf(depth - 1)]));
  s.required = names.filter(() => chance(0.5));
  const r = random();
  if (r < 0.6) s.additionalProperties = false;
  else if (r < 0.8) s.additionalProperties = schemaOf(depth - 1);
  if (chance(0.12)) s.patternProperties = { [pick(["^x-", "_id$", "^[0-9]+$"])]: schemaOf(depth - 1) };
  if (chance(0.12)) s.minProperties = Math.min(names.length, 1 + below(3));
  if (chance(0.12)) s.maxProperties = s.required.length + below(3);
  if (chance(0.05)) s.propertyNames = { maxLength: 6 };
  else if (chance(0.04)) s.propertyNames = { enum: NAMES };
  if (names.length > 1 && chance(0.08)) s.dependentRequired = { [names[0]]: [names[1]] };
  return s;
}
function tagged(depth) { // oneOf with a discriminator
  const kinds = ["cat", "dog", "fish"].slice(0, 2 + below(2));
  return { oneOf: kinds.map((k) => ({
    type: "object",
    properties: { kind: { const: k }, v: schemaOf(depth - 1) },
    required: ["kind", "v"].slice(0, 1 + below(2)),
    additionalProperties: false })) };
}
function conditional(depth) {
  const s = { type: "object",
    properties: { mode: { enum: ["a", "b", "c"] }, v: {}, w: { type: "integer" } },
    required: chance(0.7) ? ["mode"] : [], additionalProperties: false,
    if: { properties: { mode: chance(0.5) ? { const: "a" } : { enum: ["a", "b"] } } },
    then: { properties: { v: schemaOf(depth - 1) }, required: ["v"] } };
  if (chance(0.5)) s.if.required = ["mode"];
  if (chance(0.7)) s.else = chance(0.5) ? { properties: { w: { maximum: 5 } } } : { required: ["w"] };
  return s;
}
function merged(depth) {
  return { allOf: [
    { type: "object", properties: { id: { type: "integer", minimum: 0 }, name: { type: "string" } }, required: ["id"] },
    { properties: { id: { maximum: 99 }, tags: { type: "array", items: schemaOf(depth - 1) } }, required: chance(0.5) ? ["tags"] : [] } ],
    ...(chance(0.5) ? { properties: { price: { type: "number" } } } : {}) };
}
function recursive() {
  return pick([
    { $ref: "#/$defs/node", $defs: { node: { type: "object", properties: { v: { type: "integer" }, next: { anyOf: [{ $ref: "#/$defs/node" }, { type: "null" }] } }, required: ["v", "next"], additionalProperties: false } } },
    { $defs: { tree: { type: "object", properties: { name: { type: "string", maxLength: 5 }, kids: { type: "array", items: { $ref: "#/$defs/tree" }, maxItems: 3 } }, required: ["name"], additionalProperties: false } }, $ref: "#/$defs/tree" },
    { type: "array", items: { anyOf: [{ type: "boolean" }, { $ref: "#" }] }, maxItems: 4 },
  ]);
}
function schemaOf(depth) {
  const r = random();
  if (depth <= 0) return r < 0.35 ? stringSchema() : r < 0.65 ? numberSchema() : r < 0.85 ? enumSchema() : { type: pick(["boolean", "null", ["string", "null"], ["integer", "boolean"]]) };
  if (r < 0.12) return stringSchema();
  if (r < 0.22) return numberSchema();
  if (r < 0.28) return enumSchema();
  if (r < 0.42) return arraySchema(depth);
  if (r < 0.7) return objectSchema(depth);
  if (r < 0.77) return { anyOf: [schemaOf(depth - 1), schemaOf(depth - 1)] };
  if (r < 0.83) return tagged(depth);
  if (r < 0.89) return conditional(depth);
  if (r < 0.94) return merged(depth);
  if (r < 0.97) return { ...stringSchema(), not: { enum: ["a", "red", "AB-1234"] } };
  return chance(0.3) ? {} : true;
}

// ---- instances ----

// Properties as the grammar orders them: those of the schema itself, then those of its parts.
function propertyOrder(s, root, out = [], seen = new Set()) {
  if (typeof s !== "object" || s === null || seen.has(s)) return out;
  seen.add(s);
  for (const k of Object.keys(s.properties ?? {})) if (!out.includes(k)) out.push(k);
  if (s.$ref) propertyOrder(resolve(s.$ref, root), root, out, seen);
  for (const part of [...(s.allOf ?? []), ...(s.anyOf ?? []), ...(s.oneOf ?? []), s.if, s.then, s.else]) propertyOrder(part, root, out, seen);
  return out;
}
function resolve(ref, root) {
  return ref === "#" ? root : ref.slice(2).split("/").reduce((o, k) => o[k], root);
}
function sampleString(s) {
  if (s.pattern) return pick([...PATTERNS[s.pattern] ?? ["a"], "zzz"]);
  if (s.format) return pick(FORMATS[s.format] ?? ["x"]);
  const n = (s.minLength ?? 0) + below(Math.max(1, Math.min(s.maxLength ?? 6, 12) - (s.minLength ?? 0) + 1));
  return Array.from({ length: n }, () => pick(["a", "b", " ", "\"", "\\", "\n", "\u0001", "é", "€", "𝄞", "/", "\u2028"])).join("");
}
function sampleNumber(s) {
  const lo = s.minimum ?? s.exclusiveMinimum ?? -50, hi = s.maximum ?? s.exclusiveMaximum ?? lo + 200;
  let v = lo + random() * (hi - lo);
  if (chance(0.2)) v = pick([lo, hi, 0, 1e-7, 1e21, 12345678901234567890, -0.001]);
  if (s.type === "integer") v = Math.round(v);
  if (s.multipleOf) v = Math.round(v / s.multipleOf) * s.multipleOf;
  return v === 0 ? 0 : Number(v.toPrecision(pick([3, 6, 17])));
}
function sample(s, root, depth = 0) {
  if (s === true || s === undefined || depth > 12) return pick([...SCALARS, [], {}]);
  if (s === false) return null;
  if (s.$ref) return sample(resolve(s.$ref, root), root, depth + 1);
  if ("const" in s) return s.const;
  if (s.enum) return pick(s.enum);
  if (s.anyOf || s.oneOf) {
    const branch = sample(pick(s.anyOf ?? s.oneOf), root, depth + 1);
    return branch;
  }
  if (s.allOf) {
    const all = [{ ...s, allOf: undefined, type: "object" }, ...s.allOf.map((p) => ({ type: "object", ...p }))].map((p) => sample(p, root, depth + 1));
    return Object.assign({}, ...all);
  }
  let type = Array.isArray(s.type) ? pick(s.type) : s.type;
  if (!type) type = s.properties ? "object" : s.pattern || s.format ? "string" : "minimum" in s || "maximum" in s ? "number" : undefined;
  switch (type) {
    case "string": return sampleString(s);
    case "integer": case "number": return sampleNumber({ ...s, type });
    case "boolean": return chance(0.5);
    case "null": return null;
    case "array": {
      const n = Math.min(Math.max(s.minItems ?? 0, below(4)), s.maxItems ?? 4), prefix = s.prefixItems ?? [], out = [];
      for (let i = 0; i < n; i++) out.push(sample(i < prefix.length ? prefix[i] : s.items, root, depth + 1));
      return s.uniqueItems ? out.filter((v, i) => out.findIndex((w) => JSON.stringify(w) === JSON.stringify(v)) === i) : out;
    }
    case "object": {
      const out = {}, more = s.then && chance(0.5) ? s.then.properties ?? {} : {};
      for (const [k, p] of Object.entries(s.properties ?? {}))
        if ((s.required ?? []).includes(k) || chance(depth > 6 ? 0.1 : 0.6)) out[k] = sample(more[k] ?? p, root, depth + 1);
      if (s.patternProperties && chance(0.7)) out[pick(["x-a", "y_id", "12"])] = sample(Object.values(s.patternProperties)[0], root, depth + 1);
      if (s.additionalProperties !== false && chance(0.4)) out[pick(["zz", "extra", "q\"", ""])] = sample(s.additionalProperties, root, depth + 1);
      return out;
    }
    default: return pick([...SCALARS, [1, [2]], { a: {} }]);
  }
}
function mutated(v) {
  if (Array.isArray(v)) {
    const w = v.slice();
    const r = below(4);
    if (r === 0) w.pop(); else if (r === 1) w.push(pick(SCALARS)); else if (w.length > 0) { const i = below(w.length); w[i] = r === 2 ? mutated(w[i]) : w[below(w.length)]; }
    return w;
  }
  if (typeof v === "object" && v !== null) {
    const keys = Object.keys(v), w = { ...v };
    const r = below(3);
    if (r === 0 && keys.length > 0) delete w[pick(keys)];
    else if (r === 1) w[pick(["new", "zzz"])] = pick(SCALARS);
    else if (keys.length > 0) { const k = pick(keys); w[k] = mutated(w[k]); }
    return w;
  }
  if (typeof v === "string") return pick([v + "a", v.slice(1), v + "\n", v.toUpperCase(), 5, v + v]);
  if (typeof v === "number") return pick([v + 1, -v, v * 10, v + 0.5, String(v)]) + 0;
  return pick(SCALARS);
}

// The grammar writes properties in the order of the schema, so an instance must, everywhere.  Integer-like
// keys, which JavaScript moves to the front, are left out of the comparison by taking none at all.
function inOrder(s, v, root, depth = 0) {
  if (typeof s !== "object" || s === null || typeof v !== "object" || v === null || depth > 20) return true;
  if (Array.isArray(v)) return v.every((x, i) => parts(s, root).every((p) => inOrder(p.prefixItems?.[i] ?? p.items, x, root, depth + 1)));
  const order = propertyOrder(s, root), keys = Object.keys(v);
  if (keys.some((k) => /^\d+$/.test(k))) return false;
  const at = keys.map((k) => (order.includes(k) ? order.indexOf(k) : order.length));
  if (at.some((x, i) => i > 0 && x < at[i - 1])) return false;
  return keys.every((k) => parts(s, root).every((p) => memberSchemas(p, k).every((m) => inOrder(m, v[k], root, depth + 1))));
}
function memberSchemas(p, k) {
  const own = p.properties?.[k], by = Object.entries(p.patternProperties ?? {}).filter(([re]) => new RegExp(re, "u").test(k)).map(([, m]) => m);
  if (own !== undefined) by.push(own);
  return by.length > 0 ? by : [p.additionalProperties];
}
function parts(s, root, seen = new Set()) {
  if (typeof s !== "object" || s === null || seen.has(s)) return [];
  seen.add(s);
  const more = [...(s.allOf ?? []), ...(s.anyOf ?? []), ...(s.oneOf ?? []), s.then, s.else, s.$ref ? resolve(s.$ref, root) : undefined];
  return [s, ...more.flatMap((p) => parts(p, root, seen))];
}

// A value may be valid by several readings of the schema with several orders of its properties
// (anyOf); JSON.stringify writes one of them.
function wellFormed(text) {
  // Integers have at most 21 digits; of those with 16 and more the judge, with doubles, finds any a multiple of 3.
  return !/\\ud[89a-f]/i.test(text) && !/\de\+/.test(text) && !/\d{16}/.test(text);
}

function make(path) {
  const lines = [];
  let pairs = 0;
  for (let i = 0; lines.length < SCHEMAS; i++) {
    const schema = i % 12 === 0 ? recursive() : schemaOf(1 + (i % 3));
    let validate;
    try { validate = compiled(schema); } catch { continue; }
    const good = new Set(), bad = new Set();
    for (let k = 0; k < 14; k++) {
      let v = sample(schema, schema);
      if (k % 2) v = mutated(v);
      const text = JSON.stringify(v);
      if (text === undefined || text.length > 3000 || !wellFormed(text)) continue;
      const parsed = JSON.parse(text);
      if (!validate(parsed)) bad.add(text);
      else if (inOrder(schema, parsed, schema)) good.add(text);
    }
    pairs += good.size + bad.size;
    lines.push(JSON.stringify({ schema: JSON.stringify(schema), good: [...good], bad: [...bad] }));
  }
  writeFileSync(path, lines.join("\n") + "\n");
  console.log(`${lines.length} schemas, ${pairs} instances`);
}

function check(corpus, out) {
  const schemas = readFileSync(corpus, "utf8").trim().split("\n").map((l) => JSON.parse(JSON.parse(l).schema));
  const checks = new Map();
  let right = 0, wrong = 0;
  for (const line of readFileSync(out, "utf8").split("\n")) {
    if (!line) continue;
    const { i, text } = JSON.parse(line);
    if (!checks.has(i)) checks.set(i, compiled(schemas[i]));
    let ok = false, why = "no JSON";
    try { ok = checks.get(i)(JSON.parse(text)); why = JSON.stringify(checks.get(i).errors); } catch (e) { why = String(e); }
    if (ok) right++;
    else if (wrong++ < 20) console.log(`schema ${i} ${JSON.stringify(schemas[i])}\n  generated ${text}\n  ${why}`);
  }
  console.log(`${right} passed, ${wrong} failed`);
  process.exitCode = wrong > 0 ? 1 : 0;
}

const [, , command, ...args] = process.argv;
if (command === "make") make(args[0]);
else check(args[0], args[1]);
