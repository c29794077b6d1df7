// test_recorded.mjs - The vendors' own parsers read every recorded answer of tests/cases/api.
//
// Each `client` body and `client-stream` is given to the official SDK of its dialect, in pieces of
// seven bytes.  A stream must say the same as the body of the same answer, and one that holds an
// error must raise.  No server is needed: fetch is replaced.
import fs from 'node:fs'
import OpenAI from 'openai'
import Anthropic from '@anthropic-ai/sdk'
import { GoogleGenAI } from '@google/genai'

const folder = new URL('../cases/api/', import.meta.url)
let passed = 0, failed = 0

function sections(file) {
  const parts = fs.readFileSync(new URL(file, folder), 'utf8').split(/^>> /m).slice(1)
  return parts.map(s => {
    const end = s.indexOf('\n')
    return { head: s.slice(0, end).split(' '), body: s.slice(end + 1).replace(/\n+$/, '').replace(/\\r(\n|$)/g, '\r\n') }
  })
}

// A fetch that answers 200 with this body, seven bytes at a time.
const answers = (body, type) => async () => {
  const bytes = new TextEncoder().encode(body)
  let at = 0
  const pull = c => at < bytes.length ? c.enqueue(bytes.slice(at, at += 7)) : c.close()
  return new Response(new ReadableStream({ pull }), { status: 200, headers: { 'content-type': type } })
}

const readers = {
  async openai(isStream, fetch) {
    const client = new OpenAI({ apiKey: 'x', baseURL: 'http://x/v1', maxRetries: 0, fetch })
    const r = isStream
      ? await client.chat.completions.stream({ model: 'm', messages: [] }).finalChatCompletion()
      : await client.chat.completions.create({ model: 'm', messages: [] })
    return r.choices.map(c => [c.message.content, c.message.refusal ?? null, c.finish_reason,
      (c.message.tool_calls ?? []).map(t => [t.id, t.function.name, JSON.parse(t.function.arguments)])])
  },
  async anthropic(isStream, fetch) {
    const client = new Anthropic({ apiKey: 'x', baseURL: 'http://x', maxRetries: 0, fetch })
    const ask = { model: 'm', max_tokens: 5, messages: [] }
    const r = isStream ? await client.messages.stream(ask).finalMessage() : await client.messages.create(ask)
    return [r.stop_reason, r.usage.input_tokens, r.usage.output_tokens,
      r.content.map(b => [b.type, b.text, b.thinking, b.signature, b.data, b.id, b.name, b.input, b.citations?.length])]
  },
  async gemini(isStream, fetch) {
    const before = globalThis.fetch
    globalThis.fetch = fetch
    try {
      const client = new GoogleGenAI({ apiKey: 'x', httpOptions: { baseUrl: 'http://x' } })
      const ask = { model: 'm', contents: 'x' }
      const parts = [], seen = {}
      const chunks = isStream ? await client.models.generateContentStream(ask) : [await client.models.generateContent(ask)]
      for await (const c of chunks) {
        parts.push(...(c.candidates?.[0]?.content?.parts ?? []))
        seen.finish = c.candidates?.[0]?.finishReason ?? seen.finish
        seen.usage = c.usageMetadata ?? seen.usage
      }
      const join = thought => parts.filter(p => !!p.thought === thought && p.text).map(p => p.text).join('')
      return [join(true), join(false), parts.filter(p => p.functionCall).map(p => [p.functionCall, p.thoughtSignature]), seen]
    } finally {
      globalThis.fetch = before
    }
  },
}

async function view(dialect, verb, body) {
  const isStream = verb === 'client-stream'
  const end = dialect === 'gemini' ? '\r\n\r\n' : '\n\n'
  try {
    return JSON.stringify(await readers[dialect](isStream, answers(isStream ? body + end : body,
      isStream ? 'text/event-stream' : 'application/json')))
  } catch (e) {
    return 'raised ' + e
  }
}

function judge(ok, what, detail) {
  if (ok) { passed++; return }
  failed++
  console.log(`FAIL recorded: ${what}: ${detail}`)
}

async function run(file) {
  let dialect = '', isArray = false, views = {}
  for (const { head: [verb, name, path], body } of sections(file)) {
    if (verb === 'from') {
      dialect = name
      isArray = !!path?.includes(':stream') && !path.includes('alt=sse')
    }
    if (['from', 'answer', 'stream'].includes(verb)) views = {}
    if (!['client', 'client-stream'].includes(verb) || !readers[dialect] || body.startsWith('refused')) continue
    const what = `${file}, ${verb} of ${dialect}`
    if (verb === 'client-stream' && isArray) {
      judge(Array.isArray(JSON.parse(body)), what, 'is not an array')
      continue
    }
    views[verb] = await view(dialect, verb, body)
    const shouldRaise = verb === 'client-stream' && /"error":\{/.test(body)
    judge(views[verb].startsWith('raised') === shouldRaise, what, views[verb])
    if (views.client && views['client-stream'])
      judge(views.client === views['client-stream'], what, `${views['client-stream']} is not ${views.client}`)
  }
}

console.warn = () => {} // Google's SDK remarks on parts that are not text
for (const file of fs.readdirSync(folder).filter(f => f.endsWith('.txt'))) await run(file)
console.log(`${passed} passed, ${failed} failed, 0 skipped`)
process.exit(failed ? 1 : 0)
