// corpus.mjs - Random schemas and instances, judged by ajv: node corpus.mjs OUT SEED COUNT
//
// Writes OUT/corpus.json in the form of the official test suite.  What ajv 8 itself gets wrong is not asked: `contains`
// beside `prefixItems` ([] passes) or `unevaluatedItems` (it does not count), required names that are empty.  Instances are made to fit the schema
// and then damaged, so that both answers are frequent.
import { writeFileSync } from "node:fs"
import Ajv2020 from "ajv/dist/2020.js"
import addFormats from "ajv-formats"

const [out, seed, count] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])]
let state = BigInt(seed) * 2n + 1n
const random = () => {
  state = (state * 6364136223846793005n + 1442695040888963407n) & ((1n << 64n) - 1n)
  return Number(state >> 33n) / 2 ** 31
}
const below = n => Math.floor(random() * n)
const pick = list => list[below(list.length)]
const chance = p => random() < p

const NAMES = ["a", "b", "name", "x-y", "ä", "n/m", "k~0"]
const WORDS = ["", "a", "ab", "abc", "red", "Blue", "2024-02-29", "2023-02-29", "12:30:00Z", "2024-01-01T10:00:00+01:00", "P1DT2H",
  "a@b.de", "a@@b", "123e4567-e89b-12d3-a456-426614174000", "http://x.y/z?q#f", "not a uri", "host.name", "-bad-", "10.0.0.1", "256.1.1.1",
  "::1", "1::2::3", "ümläut", "😀😀", "a\nb", "\"quoted\"", "back\\slash", "xyz-7"]
const FORMATS = ["date", "time", "date-time", "duration", "email", "uuid", "uri", "hostname", "ipv4", "ipv6"]
const PATTERNS = ["^a", "b$", "^[a-z]+$", "^\\w{2,4}$", "[0-9]", "^(red|blue)$", "^.{3}$", "^\\S*$", "^[^a]*$", "^(?:a|b)*c?$", "\\d-\\d", "^\\p{L}+$"]
const NUMBERS = [0, 1, -1, 2, 3, 7, 10, 0.5, 1.5, -2.25, 100, 1e3, 0.1, 0.3, 12.34, -0, 9007199254740991] // ajv computes in doubles

function value(depth) {
  const kind = below(depth > 0 ? 7 : 5)
  if (kind === 0) return null
  if (kind === 1) return chance(0.5)
  if (kind === 2) return pick(NUMBERS)
  if (kind <= 4) return pick(WORDS)
  if (kind === 5) return Array.from({ length: below(4) }, () => value(depth - 1))
  return Object.fromEntries(Array.from({ length: below(4) }, () => [pick(NAMES), value(depth - 1)]))
}

function schema(depth, defs) {
  if (chance(0.03)) return chance(0.8)
  if (defs && chance(0.06)) return { $ref: "#/$defs/" + pick(defs) }
  const s = {}
  const type = pick(["null", "boolean", "integer", "number", "string", "array", "object", "object", "string"])
  if (chance(0.85)) s.type = chance(0.1) ? [...new Set([type, pick(["null", "string", "integer"])])] : type
  if (chance(0.06)) s.const = value(1)
  if (chance(0.08)) s.enum = [...new Map(Array.from({ length: 1 + below(4) }, () => value(1)).map(v => [JSON.stringify(v), v])).values()]
  if (type === "integer" || type === "number") {
    if (chance(0.4)) s.minimum = pick(NUMBERS)
    if (chance(0.4)) s.maximum = pick(NUMBERS)
    if (chance(0.15)) s.exclusiveMinimum = pick(NUMBERS)
    if (chance(0.15)) s.exclusiveMaximum = pick(NUMBERS)
    if (chance(0.2)) s.multipleOf = pick([1, 2, 3, 5, 10])
  }
  if (type === "string") {
    if (chance(0.3)) s.minLength = below(4)
    if (chance(0.3)) s.maxLength = below(7)
    if (chance(0.25)) s.pattern = pick(PATTERNS)
    if (chance(0.25)) s.format = pick(FORMATS)
  }
  if (depth > 0 && type === "array") {
    if (chance(0.7)) s.items = schema(depth - 1, defs)
    if (chance(0.3)) s.prefixItems = Array.from({ length: 1 + below(2) }, () => schema(depth - 1, defs))
    if (chance(0.3)) s.minItems = below(3)
    if (chance(0.3)) s.maxItems = 1 + below(3)
    if (chance(0.2)) s.uniqueItems = true
    if (!s.prefixItems && chance(0.15)) { s.contains = schema(depth - 1, defs); if (chance(0.4)) s.minContains = below(3); if (chance(0.3)) s.maxContains = 1 + below(2) }
    if (!s.contains && chance(0.1)) s.unevaluatedItems = schema(0)
  }
  if (depth > 0 && type === "object") {
    if (chance(0.85)) s.properties = Object.fromEntries(Array.from({ length: 1 + below(3) }, () => [pick(NAMES), schema(depth - 1, defs)]))
    if (chance(0.5)) s.required = [...new Set(Array.from({ length: 1 + below(2) }, () => pick(Object.keys(s.properties ?? { a: 1 }))))]
    if (chance(0.4)) s.additionalProperties = chance(0.6) ? false : schema(depth - 1, defs)
    if (chance(0.12)) s.patternProperties = { [pick(["^a", "^x-", "n", "ä"])]: schema(depth - 1, defs) }
    if (chance(0.15)) s.minProperties = below(3)
    if (chance(0.15)) s.maxProperties = 1 + below(3)
    if (chance(0.08)) s.propertyNames = pick([{ maxLength: 2 }, { pattern: "^[a-z]*$" }, { enum: ["a", "b", "name"] }])
    if (chance(0.08)) s.dependentRequired = { [pick(NAMES)]: [pick(NAMES)] }
    if (chance(0.06)) s.dependentSchemas = { [pick(NAMES)]: schema(depth - 1, defs) }
    if (chance(0.08)) s.unevaluatedProperties = false
  }
  if (depth > 0) {
    if (chance(0.1)) s.anyOf = Array.from({ length: 2 }, () => schema(depth - 1, defs))
    if (chance(0.08)) s.oneOf = Array.from({ length: 2 }, () => schema(depth - 1, defs))
    if (chance(0.08)) s.allOf = Array.from({ length: 1 + below(2) }, () => schema(depth - 1, defs))
    if (chance(0.05)) s.not = schema(depth - 1, defs)
    if (chance(0.06)) { s.if = schema(depth - 1, defs); if (chance(0.8)) s.then = schema(depth - 1, defs); if (chance(0.6)) s.else = schema(depth - 1, defs) }
  }
  return s
}

// Something that might fit; ajv says whether it does.
function fitting(s, root, depth) {
  if (typeof s === "boolean" || depth < 0 || chance(0.05)) return value(2)
  if (s.$ref) return fitting(root.$defs[s.$ref.slice(8)], root, depth - 1)
  if ("const" in s) return s.const
  if (s.enum) return pick(s.enum)
  for (const k of ["anyOf", "oneOf", "allOf"]) if (s[k] && chance(0.5)) return fitting(pick(s[k]), root, depth - 1)
  switch (Array.isArray(s.type) ? pick(s.type) : s.type) {
    case "null": return null
    case "boolean": return chance(0.5)
    case "integer": return Math.trunc(pick([s.minimum, s.maximum, ...NUMBERS, 5, 6].filter(n => n !== undefined)))
    case "number": return pick([s.minimum, s.maximum, ...NUMBERS].filter(n => n !== undefined))
    case "string": return pick(WORDS)
    case "array": {
      const n = Math.max(s.minItems ?? 0, below(Math.min(s.maxItems ?? 3, 3) + 1))
      return Array.from({ length: n }, (_, i) => fitting(s.prefixItems?.[i] ?? (chance(0.3) && s.contains) ?? s.items ?? true, root, depth - 1))
    }
    case "object": {
      const o = {}
      for (const [k, p] of Object.entries(s.properties ?? {})) if (s.required?.includes(k) || chance(0.6)) o[k] = fitting(p, root, depth - 1)
      if (chance(0.2)) o[pick(NAMES)] = value(1)
      return o
    }
  }
  return value(2)
}

const groups = []
let valid = 0, total = 0
while (groups.length < count) {
  const defs = chance(0.3) ? ["one", "two"] : null
  const s = schema(3, defs)
  if (typeof s === "boolean") continue
  if (defs) s.$defs = { one: schema(1), two: schema(2, ["one"]) }
  let check
  try {
    const ajv = new Ajv2020({ strict: false, unicodeRegExp: true })
    addFormats(ajv)
    check = ajv.compile(s)
  } catch { continue }
  let tests
  try {
    tests = Array.from({ length: 6 }, () => {
      const data = JSON.parse(JSON.stringify(fitting(s, s, 6)))
      return { description: "", data, valid: check(data) }
    })
  } catch { continue } // its compiled code fails on some schemas with unevaluatedProperties
  valid += tests.filter(t => t.valid).length
  total += tests.length
  groups.push({ description: String(groups.length), schema: s, tests })
}
writeFileSync(out + "/corpus.json", JSON.stringify(groups))
console.log(`${groups.length} schemas, ${total} pairs, ${valid} of them valid`)
